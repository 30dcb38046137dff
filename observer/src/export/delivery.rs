//! From closed windows to receivers: every window encoded once, queued, and posted until the receiver has it or will never take it.
//!
//! ```text
//! shard ─▶ hand-off ─▶ encoder thread ─▶ queue ─▶ dispatcher ─▶ workers, a lane each ─▶ receiver
//! ```

mod backoff;

use std::time::Duration;

use bytes::Bytes;
use observer_export::Protocol;

/// The body of one request, and what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    /// What it is written in.
    pub(crate) protocol: Protocol,
    /// The body as the encoder made it.
    pub(crate) body: Bytes,
    /// What is in it.
    pub(crate) contents: Contents,
    /// How often it was posted before.
    pub(crate) attempt: u32,
}

/// Counts of what a receiver is to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Samples with one number.
    pub(crate) samples: u64,
    /// Native histograms.
    pub(crate) histograms: u64,
    /// Exemplars.
    pub(crate) exemplars: u64,
}

/// What a receiver's answer means for the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there, except for `refused`, which will never be.
    Delivered {
        /// Of the request's contents.
        refused: Contents,
        /// What the receiver says about that; empty if it says nothing.
        message: String,
    },
    /// It may be taken later.
    Later {
        /// A word for the counter.
        cause: &'static str,
        /// What happened, for people.
        message: String,
        /// How long the receiver wants to be left alone.
        after: Option<Duration>,
    },
    /// It will never be taken.
    Refused {
        /// A word for the counter.
        cause: &'static str,
        /// What the receiver says.
        message: String,
        /// Whether a part of it may be.
        halve: bool,
    },
    /// It can be posted in another way, at once: the transport has noted which.
    Otherwise,
}

/// How requests reach one receiver, and what its answers mean.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Posts a request once.
    fn post(&self, parcel: &Parcel) -> impl Future<Output = (Verdict, Option<u16>)> + Send;

    /// Cuts a request in two whose parts are requests; `None` if it has one series, or cannot be read.
    fn halve(&self, parcel: &Parcel) -> Option<[Parcel; 2]>;

    /// In which protocol the receiver wants the next windows; `None` as long as nothing speaks against the one they are in.
    fn wanted(&self) -> Option<Protocol> {
        None
    }
}
