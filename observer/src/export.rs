//! The formats in which windows leave the agent, and their way to the receivers.

#[expect(dead_code, reason = "what carries requests comes next")]
pub(crate) mod delivery;
pub(crate) mod feed;
pub(crate) mod negotiate;
pub(crate) mod prometheus;
