//! One request's way through the receiver: posted, and cut in halves where that saves a part of it.

use super::{Answer, Code, Contents, Parcel, Transport, Verdict, counters::Counters, status::StatusCell};
use crate::clock;

/// How many requests one may become when the receiver refuses parts of it: enough to find a few bad series among ten thousand.
const PARTS: u32 = 64;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The receiver has it, or will never.
    Done,
    /// It is to be posted again, as a whole.
    Later { message: String, after: Option<std::time::Duration> },
}

/// Posts a request and what becomes of it, in order. What was delivered before a part has to wait is posted again with it, and
/// counted then: receivers know samples that they have.
pub(super) async fn post<T: Transport>(
    transport: &T,
    parcel: Parcel,
    counters: &Counters,
    status: &StatusCell,
) -> Fate {
    let mut waiting = vec![parcel];
    let mut left = PARTS;
    let (mut delivered, mut dropped) = (Contents::default(), Vec::new());
    while let Some(parcel) = waiting.pop() {
        left = left.saturating_sub(1);
        let began = clock::monotonic();
        let Answer { code, verdict } = transport.post(&parcel).await;
        counters.answered(code, began.elapsed(), parcel.body.len());
        match verdict {
            Verdict::Delivered { refused, message } => {
                delivered = delivered.with(parcel.contents.without(refused));
                if refused.sum() > 0 {
                    dropped.push(("refused", refused, message));
                }
            }
            Verdict::Later { message, after } => return Fate::Later { message, after },
            Verdict::Refused { cause, message, halve } => {
                let halves = if halve && left > 0 { transport.halve(&parcel) } else { None };
                match halves {
                    Some([first, second]) => waiting.extend([second, first]),
                    None => dropped.push((cause, parcel.contents, message)),
                }
            }
            // A transport that cannot make up its mind would go on for ever.
            Verdict::Otherwise if left == 0 => {
                return Fate::Later { message: "the receiver agrees to no protocol".to_owned(), after: None };
            }
            Verdict::Otherwise => waiting.push(parcel),
        }
    }
    counters.delivered(delivered);
    for (cause, contents, message) in dropped {
        counters.dropped(cause, contents);
        status.refused(&message, contents.sum());
    }
    Fate::Done
}

impl Code {
    /// As a label's value.
    pub(super) fn with<R>(self, then: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Status(status) => then(&status.to_string()),
            Self::None(word) => then(word),
        }
    }
}

impl From<&observer_queue::Entry> for Contents {
    fn from(entry: &observer_queue::Entry) -> Self {
        Self {
            samples: entry.samples.into(),
            histograms: entry.histograms.into(),
            exemplars: entry.exemplars.into(),
        }
    }
}
