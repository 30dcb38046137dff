//! A bounded queue of request bodies that outlives its process.
//!
//! Bodies wait in memory as long as the receiver keeps up: then nothing is written. What does not fit there, waits for too long, or
//! comes while older ones wait on disk goes to disk, in order. What is handed out stays the queue's until it is [acknowledged]
//! (`Queue::ack`), so nothing is lost with a sender. Each bound drops the oldest, and counts it by cause.
//!
//! All calls are synchronous. None waits for the network; those that may wait for the disk say so, and [`Queue::offer`] does not.
//!
//! [acknowledged]: Queue::ack
#![forbid(unsafe_code)]

mod damage;
mod done;
mod door;
mod entry;
mod flow;
mod options;
mod porch;
mod queue;
mod record;
mod segment;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod trial;
mod waiting;

pub use damage::{Damage, Harm, Place};
pub use entry::{Entry, Totals};
pub use options::{Clock, Fsync, Options};
pub use queue::{Error, NotNow, Queue};
pub use stats::{Cause, Recovered, State, Stats};
