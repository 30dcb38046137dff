//! The formats in which windows leave the agent.

pub(crate) mod negotiate;
pub(crate) mod prometheus;
