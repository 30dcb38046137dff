//! What a receiver's answer to a remote-write request means.
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/#response>

use std::time::Duration;

use observer_export::Protocol;

use crate::export::delivery::{Contents, Verdict};

/// An answer, as far as it decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) status: u16,
    /// What the headers say was written; none of them, and the receiver does not speak 2.0.
    pub(super) written: Option<Contents>,
    /// The begin of the body.
    pub(super) message: &'a str,
    pub(super) retry_after: Option<Duration>,
}

/// What was asked, and what may be done about the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// What the request was written in.
    pub(super) protocol: Protocol,
    pub(super) contents: Contents,
    /// The receiver is known to understand it.
    pub(super) confirmed: bool,
    /// Version 1.0 may be tried.
    pub(super) negotiates: bool,
    /// 429 is tried again.
    pub(super) retry_429: bool,
}

pub(super) fn judge(asked: &Asked, seen: &Seen<'_>) -> Verdict {
    let Seen { status, written, message, retry_after } = *seen;
    let is_2 = asked.protocol == Protocol::RemoteWrite2;
    let is_zstd = asked.protocol == Protocol::RemoteWrite1Zstd;
    let said = || match message.trim() {
        "" => format!("status {status}"),
        text => format!("status {status}: {text}"),
    };
    // Whoever has told what it wrote has understood the request.
    let may_be_1 = is_2 && asked.negotiates && !asked.confirmed && written.is_none();
    match (status, written) {
        (200..=299, Some(written)) if is_2 => {
            let refused = asked.contents.without(written);
            Verdict::Delivered { refused, message: said() }
        }
        // Without the headers nothing of a 2.0 request was written: a receiver of 1.0 that looks at no header finds nothing in it.
        (200..=299, None) if is_2 && asked.contents.sum() > 0 => match asked.negotiates {
            true => Verdict::Otherwise,
            false => Verdict::Refused {
                cause: "not_written",
                message: "the receiver answers as one that speaks only version 1.0; set `protobuf_message: prometheus.WriteRequest`"
                    .to_owned(),
                halve: false,
            },
        },
        (200..=299, _) => Verdict::Delivered { refused: Contents::default(), message: String::new() },
        (415, _) if is_2 && asked.negotiates => Verdict::Otherwise,
        // Snappy is for everybody.
        (415, _) if is_zstd => Verdict::Otherwise,
        (400, _) if is_zstd && !asked.confirmed => Verdict::Otherwise,
        (400, None) if may_be_1 => Verdict::Otherwise,
        // A receiver of 2.0 has written the rest.
        (400, Some(written)) if is_2 => {
            Verdict::Delivered { refused: asked.contents.without(written), message: said() }
        }
        (429, _) if asked.retry_429 => Verdict::Later { message: said(), after: retry_after },
        (500.., _) => Verdict::Later { message: said(), after: retry_after },
        // A receiver of 1.0 may have written nothing at all (Prometheus takes back the whole request,
        // `storage/remote/write_handler.go`), or the rest (Mimir).
        (400 | 413, _) => Verdict::Refused { cause: cause(status), message: said(), halve: true },
        _ => Verdict::Refused { cause: cause(status), message: said(), halve: false },
    }
}

/// The status as a cause.
const fn cause(status: u16) -> &'static str {
    match status {
        400 => "status_400",
        401 => "status_401",
        403 => "status_403",
        404 => "status_404",
        409 => "status_409",
        413 => "status_413",
        415 => "status_415",
        422 => "status_422",
        429 => "status_429",
        402..=499 => "status_4xx",
        300..=399 => "status_3xx",
        _ => "status_other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Contents = Contents { samples: 8, histograms: 2, exemplars: 0 };
    const NONE: Contents = Contents { samples: 0, histograms: 0, exemplars: 0 };

    fn asked(protocol: Protocol) -> Asked {
        Asked { protocol, contents: TEN, confirmed: false, negotiates: true, retry_429: true }
    }

    fn seen(status: u16, written: Option<Contents>) -> Seen<'static> {
        Seen { status, written, message: "why\n", retry_after: None }
    }

    fn one(status: u16) -> Verdict {
        judge(&asked(Protocol::RemoteWrite1), &seen(status, None))
    }

    fn two(status: u16, written: Option<Contents>) -> Verdict {
        judge(&asked(Protocol::RemoteWrite2), &seen(status, written))
    }

    fn delivered(refused: Contents, message: &str) -> Verdict {
        Verdict::Delivered { refused, message: message.to_owned() }
    }

    fn refused(cause: &'static str, message: &str, halve: bool) -> Verdict {
        Verdict::Refused { cause, message: message.to_owned(), halve }
    }

    #[test]
    fn success_is_delivery() {
        for status in [200, 202, 204] {
            assert_eq!(one(status), delivered(NONE, ""));
            assert_eq!(two(status, Some(TEN)), delivered(NONE, &format!("status {status}: why")));
        }
    }

    #[test]
    fn what_was_not_written_is_refused() {
        let part = Contents { samples: 5, ..TEN };
        let missing = Contents { samples: 3, ..NONE };
        assert_eq!(two(200, Some(part)), delivered(missing, "status 200: why"));
        assert_eq!(two(400, Some(part)), delivered(missing, "status 400: why"));
        assert_eq!(two(400, Some(NONE)), delivered(TEN, "status 400: why"));
    }

    #[test]
    fn a_receiver_of_1_is_found_out() {
        assert_eq!(two(415, None), Verdict::Otherwise);
        assert_eq!(two(204, None), Verdict::Otherwise);
        assert_eq!(two(400, None), Verdict::Otherwise);
        let confirmed = Asked { confirmed: true, ..asked(Protocol::RemoteWrite2) };
        assert_eq!(judge(&confirmed, &seen(400, None)), refused("status_400", "status 400: why", true));
        assert_eq!(one(415), refused("status_415", "status 415: why", false));
    }

    #[test]
    fn a_receiver_without_zstd_is_found_out() {
        let zstd = asked(Protocol::RemoteWrite1Zstd);
        for status in [400, 415] {
            assert_eq!(judge(&zstd, &seen(status, None)), Verdict::Otherwise);
        }
        let confirmed = Asked { confirmed: true, ..zstd };
        assert_eq!(judge(&confirmed, &seen(400, None)), refused("status_400", "status 400: why", true));
        assert_eq!(judge(&confirmed, &seen(415, None)), Verdict::Otherwise);
        assert_eq!(judge(&zstd, &seen(204, None)), delivered(NONE, ""));
    }

    #[test]
    fn a_protocol_that_was_chosen_stays() {
        let fixed = Asked { negotiates: false, ..asked(Protocol::RemoteWrite2) };
        assert_eq!(judge(&fixed, &seen(415, None)), refused("status_415", "status 415: why", false));
        assert!(matches!(
            judge(&fixed, &seen(204, None)),
            Verdict::Refused { cause: "not_written", halve: false, .. }
        ));
    }

    #[test]
    fn failures_of_the_receiver_are_tried_again() {
        for status in [500, 502, 503, 504, 599, 429] {
            let after = Some(Duration::from_secs(7));
            let seen = Seen { retry_after: after, ..seen(status, None) };
            for protocol in [Protocol::RemoteWrite1, Protocol::RemoteWrite2] {
                let expected = Verdict::Later { message: format!("status {status}: why"), after };
                assert_eq!(judge(&asked(protocol), &seen), expected);
            }
        }
        let never = Asked { retry_429: false, ..asked(Protocol::RemoteWrite1) };
        assert_eq!(judge(&never, &seen(429, None)), refused("status_429", "status 429: why", false));
    }

    #[test]
    fn other_answers_are_final() {
        assert_eq!(one(400), refused("status_400", "status 400: why", true));
        assert_eq!(one(413), refused("status_413", "status 413: why", true));
        for (status, cause) in [
            (401, "status_401"),
            (404, "status_404"),
            (405, "status_4xx"),
            (418, "status_4xx"),
            (301, "status_3xx"),
        ] {
            assert_eq!(one(status), refused(cause, &format!("status {status}: why"), false));
        }
    }

    #[test]
    fn a_request_without_samples_needs_no_headers() {
        let metadata = Asked { contents: NONE, ..asked(Protocol::RemoteWrite2) };
        assert_eq!(judge(&metadata, &seen(204, None)), delivered(NONE, ""));
    }
}
