//! From closed windows to receivers: every window encoded once, queued, and posted until the receiver has it or will never take it.
//!
//! ```text
//! shard ─▶ hand-off ─▶ encoder thread ─▶ queue ─▶ sender thread, a request a lane ─▶ receiver
//! ```
//!
//! An endpoint has two threads of its own, so that neither a slow receiver nor a slow disk holds up anything else: the encoder's,
//! which works as long as windows come, and the sender's, which mostly waits.

mod backoff;
mod counters;
mod encode;
mod endpoint;
mod pace;
mod post;
mod retry_after;
mod schedule;
mod send;
mod status;
mod suspects;

use std::time::Duration;

use bytes::Bytes;
use observer_export::{Piece, Protocol};

pub(crate) use self::{
    encode::Factory,
    endpoint::{Endpoint, EndpointError, Endpoints, Sending, queue_options},
    retry_after::retry_after,
    schedule::Schedule,
    status::{Failure, Status},
    suspects::Suspects,
};
use crate::http::{self, ConnectError, PostError};

/// The body of one request, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parcel {
    /// What it is written in.
    pub(crate) protocol: Protocol,
    /// The body as the encoder made it.
    pub(crate) body: Bytes,
    /// What is in it.
    pub(crate) contents: Contents,
    /// How often it was posted before.
    pub(crate) attempt: u32,
    /// Whether all that is in it was refused alone a short while ago.
    pub(crate) refused_lately: bool,
}

impl Parcel {
    /// A request made of a part of this one.
    pub(crate) fn part(&self, piece: Piece) -> Self {
        let Piece { body, samples, histograms, exemplars } = piece;
        let contents =
            Contents { samples: samples.into(), histograms: histograms.into(), exemplars: exemplars.into() };
        Self { body: body.into(), contents, ..self.clone() }
    }
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

/// A verdict, and what led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status, or a word for what there was instead of one: `connect`, `timeout`.
    pub(crate) code: Code,
    /// What it means.
    pub(crate) verdict: Verdict,
}

/// What a request came to, for the counter of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// An HTTP status.
    Status(u16),
    /// Why there is none.
    None(&'static str),
}

/// How requests reach one receiver, and what its answers mean.
pub(crate) trait Transport: Send + Sync + 'static {
    /// Posts a request once.
    fn post(&self, parcel: &Parcel) -> impl Future<Output = Answer> + Send;

    /// Cuts a request in two that was refused and whose parts are requests; `None` if it has one series, or cannot be read.
    fn halve(&self, parcel: &Parcel) -> Option<[Parcel; 2]>;

    /// What the receiver wants the next windows in; `None` as long as nothing speaks against what they are in.
    fn wanted(&self) -> Option<Protocol> {
        None
    }
}

/// What comes of a request without an answer: it is tried again.
pub(crate) fn unanswered(error: &PostError) -> Answer {
    Answer { code: code(error), verdict: Verdict::Later { message: http::chain(error), after: None } }
}

/// What it is counted as.
const fn code(error: &PostError) -> Code {
    Code::None(match error {
        PostError::Login(_) => "login",
        PostError::Connect(ConnectError::Tcp { .. }) => "connect",
        PostError::Connect(_) | PostError::Tls { .. } | PostError::NoHttp2(_) => "tls",
        PostError::Timeout(_) => "timeout",
        PostError::Elsewhere(_) => "redirect",
        _ => "closed",
    })
}

impl Contents {
    /// All of them.
    pub(crate) const fn sum(self) -> u64 {
        self.samples + self.histograms + self.exemplars
    }

    /// Both.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            histograms: self.histograms + other.histograms,
            exemplars: self.exemplars + other.exemplars,
        }
    }

    /// What is left without `other`.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(other.samples),
            histograms: self.histograms.saturating_sub(other.histograms),
            exemplars: self.exemplars.saturating_sub(other.exemplars),
        }
    }
}

#[cfg(test)]
mod tests;
