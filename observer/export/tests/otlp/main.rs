//! OTLP requests as another implementation of protobuf reads them.

#[path = "../../../aggregate/tests/support/allocations.rs"]
mod allocations;
mod exemplars;
mod histograms;
mod parts;
mod points;
#[path = "../../../aggregate/tests/support/random.rs"]
mod random;
mod schema;
mod warm;
mod windows;
