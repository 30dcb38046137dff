//! Remote write, read back by somebody else's decoder.

#[path = "../../../aggregate/tests/support/allocations.rs"]
mod allocations;
mod churn;
mod decode;
mod exemplars;
mod native;
mod proto;
#[path = "../../../aggregate/tests/support/random.rs"]
mod random;
mod receiver;
mod samples;
mod source;
mod steady;
mod template;
mod windows;
