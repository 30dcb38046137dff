//! The formats in which windows leave the agent, and their way to the receivers.

#[expect(dead_code, unused_imports, reason = "the first export comes next")]
pub(crate) mod delivery;
pub(crate) mod feed;
pub(crate) mod negotiate;
pub(crate) mod prometheus;
