//! One request's way through the receiver: posted, and cut in halves where that saves a part of it.

use std::collections::{BTreeMap, VecDeque};

use super::{Answer, Code, Contents, Parcel, Transport, Verdict, counters::Counters, status::StatusCell};
use crate::clock;

/// How many requests one may become when the receiver refuses parts of it: that many, and half as many as it has samples. To find one
/// bad series among ten thousand takes 28, two hundred 2,500.
const PARTS: u64 = 64;

/// How many those become that were refused alone lately: their number says nothing, for it is the same in each window.
const KNOWN_PARTS: u64 = 16;

/// The most parts that wait for requests others do not need: they are in memory.
const STARVED: usize = 256;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The receiver has it, or will never.
    Done,
    /// It is to be posted again, as a whole.
    Later { message: String, after: Option<std::time::Duration> },
}

/// Posts a request and what becomes of it. What was delivered before a part has to wait is posted again with it, and
/// counted then: receivers know samples that they have.
pub(super) async fn post<T: Transport>(
    transport: &T,
    parcel: Parcel,
    counters: &Counters,
    status: &StatusCell,
) -> Fate {
    let most = PARTS + parcel.contents.sum() / 2;
    // Each with the requests that it and its parts may take. Halves get half of them each, so that bad series are found behind as
    // well as before; what one does not need goes to the next, and at the end to those that had too few.
    let mut waiting = vec![(parcel, most)];
    let mut starved = VecDeque::new();
    let mut spare = 0;
    let (mut delivered, mut dropped) = (Contents::default(), Dropped::default());
    loop {
        let Some((parcel, share)) = waiting.pop() else {
            let Some(Starved { halves: [first, second], cause, message }) = starved.pop_front() else {
                break;
            };
            if spare >= 2 {
                waiting.extend([(second, spare / 2), (first, spare - spare / 2)]);
                spare = 0;
            } else {
                dropped.add(cause, first.contents.with(second.contents), message);
            }
            continue;
        };
        let may_take = share + spare;
        let takes = if parcel.refused_lately { share.min(KNOWN_PARTS) } else { may_take };
        spare = may_take - takes;
        let left = takes.saturating_sub(1);
        let began = clock::monotonic();
        let Answer { code, verdict } = transport.post(&parcel).await;
        counters.answered(code, began.elapsed(), parcel.body.len());
        match verdict {
            Verdict::Delivered { refused, message } => {
                spare += left;
                delivered = delivered.with(parcel.contents.without(refused));
                if refused.sum() > 0 {
                    dropped.add("refused", refused, message);
                }
            }
            Verdict::Later { message, after } => return Fate::Later { message, after },
            Verdict::Refused { cause, message, halve } => {
                // Also where there are no more requests to be had: the transport learns which are refused alone.
                let halves = if halve { transport.halve(&parcel) } else { None };
                match halves {
                    Some([first, second]) if left >= 2 => {
                        waiting.extend([(second, left / 2), (first, left - left / 2)]);
                    }
                    Some(halves) if !parcel.refused_lately && starved.len() < STARVED => {
                        spare += left;
                        starved.push_back(Starved { halves, cause, message });
                    }
                    _ => {
                        spare += left;
                        dropped.add(cause, parcel.contents, message);
                    }
                }
            }
            // A transport that cannot make up its mind would go on for ever.
            Verdict::Otherwise if left == 0 => {
                return Fate::Later { message: "the receiver agrees to no protocol".to_owned(), after: None };
            }
            Verdict::Otherwise => waiting.push((parcel, left)),
        }
    }
    counters.delivered(delivered);
    for (cause, (contents, message)) in dropped.0 {
        counters.dropped(cause, contents);
        status.refused(&message, contents.sum());
    }
    Fate::Done
}

/// A part that was refused, and could not be looked into.
struct Starved {
    halves: [Parcel; 2],
    cause: &'static str,
    message: String,
}

/// What is refused of a request, by cause, with the last message for each.
#[derive(Default)]
struct Dropped(BTreeMap<&'static str, (Contents, String)>);

impl Dropped {
    fn add(&mut self, cause: &'static str, contents: Contents, message: String) {
        let (all, last) = self.0.entry(cause).or_default();
        *all = all.with(contents);
        *last = message;
    }
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Mutex};

    use observer_export::Protocol;

    use super::*;
    use crate::telemetry::Telemetry;

    /// A receiver that takes a request, a byte pair each sample, only if none of them is bad.
    struct Strict {
        bad: BTreeSet<u16>,
        posts: Mutex<u64>,
        taken: Mutex<Vec<u16>>,
    }

    fn samples(parcel: &Parcel) -> Vec<u16> {
        parcel.body.as_chunks::<2>().0.iter().map(|pair| u16::from_ne_bytes(*pair)).collect()
    }

    fn parcel(samples: &[u16]) -> Parcel {
        Parcel {
            protocol: Protocol::RemoteWrite1,
            body: samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect::<Vec<u8>>().into(),
            contents: Contents { samples: samples.len() as u64, ..Contents::default() },
            attempt: 0,
            refused_lately: false,
        }
    }

    impl Transport for Strict {
        async fn post(&self, parcel: &Parcel) -> Answer {
            *self.posts.lock().unwrap() += 1;
            let samples = samples(parcel);
            match samples.iter().find(|sample| self.bad.contains(sample)) {
                None => {
                    self.taken.lock().unwrap().extend(samples);
                    let verdict = Verdict::Delivered { refused: Contents::default(), message: String::new() };
                    Answer { code: Code::Status(204), verdict }
                }
                Some(bad) => {
                    let message = format!("{bad} is bad");
                    let verdict = Verdict::Refused { cause: "status_400", message, halve: true };
                    Answer { code: Code::Status(400), verdict }
                }
            }
        }

        fn halve(&self, parcel: &Parcel) -> Option<[Parcel; 2]> {
            let samples = samples(parcel);
            let (first, second) = samples.split_at(samples.len() / 2);
            let halves = [first, second].map(|half| {
                let half = self::parcel(half);
                Parcel { refused_lately: parcel.refused_lately, ..half }
            });
            (samples.len() > 1).then_some(halves)
        }
    }

    /// Posts so many samples once, and gives what is lost of the good ones, and how many requests it took.
    #[track_caller]
    fn check(count: u16, bad: impl Iterator<Item = u16>, refused_lately: bool) -> (u64, u64) {
        let strict = Strict { bad: bad.collect(), posts: Mutex::default(), taken: Mutex::default() };
        let telemetry = Telemetry::new();
        let (counters, status) = (Counters::new("e", &telemetry), StatusCell::new("e"));
        let all: Vec<u16> = (0..count).collect();
        let whole = Parcel { refused_lately, ..parcel(&all) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(post(&strict, whole, &counters, &status)), Fate::Done);
        let Strict { bad, posts, taken } = strict;
        let (posts, taken) = (posts.into_inner().unwrap(), taken.into_inner().unwrap());
        assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len(), "each once");
        let dropped = telemetry.export_dropped.with(["e", "status_400"]).get();
        assert_eq!(telemetry.export_delivered.with(["e", "sample"]).get(), taken.len() as u64);
        assert_eq!(dropped + taken.len() as u64, u64::from(count), "each is delivered or counted");
        let refusal = status.with("", observer_queue::Stats::default()).last_refusal;
        assert_eq!(
            refusal.map(|refusal| refusal.message.ends_with(" is bad")),
            (!bad.is_empty()).then_some(true)
        );
        assert!(posts <= PARTS + u64::from(count) / 2, "{posts}");
        (dropped - bad.len() as u64, posts)
    }

    #[test]
    fn of_ten_thousand_only_the_bad_are_lost() {
        assert_eq!(check(10_000, std::iter::empty(), false), (0, 1));
        assert_eq!(check(10_000, std::iter::once(4321), false).0, 0);
        assert_eq!(check(10_000, (0..200).map(|n| n * 50 + 7), false).0, 0);
        assert_eq!(check(10_000, 9_800..10_000, false).0, 0);
        assert_eq!(check(10_000, 0..200, false).0, 0);
        // Without any order.
        assert_eq!(check(10_000, (0..200_u32).map(|n| (n * n * 7919 % 10_000) as u16), false).0, 0);
    }

    #[test]
    fn what_it_takes_to_find_the_bad_is_bounded() {
        // Every fifth: to find them all would take a request for nearly each sample.
        let (lost, posts) = check(10_000, (0..2_000).map(|n| n * 5), false);
        assert!((1..8_000).contains(&lost) && posts > 5_000, "{lost} {posts}");
        let (lost, posts) = check(400, 100..300, true);
        assert!(lost <= 100 && posts <= KNOWN_PARTS, "{lost} {posts}");
    }
}
