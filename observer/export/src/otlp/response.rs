//! What a receiver answers, and what follows from it.
//! <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-response>, <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>

use std::time::Duration;

use super::read::{Value, fields, message};

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken, but for so many points.
    Taken {
        /// Points the receiver did not take.
        rejected: u64,
        /// Why, or a warning; empty for none.
        message: String,
    },
    /// The same again, not before the time the receiver asks for.
    Retry {
        /// How long to wait at least.
        after: Option<Duration>,
        /// What the receiver says.
        message: String,
    },
    /// Never again: the receiver will not take it.
    Refused {
        /// What the receiver says.
        message: String,
    },
}

/// Characters of a receiver's message that are kept.
const LONGEST_MESSAGE: usize = 512;

/// Status codes of gRPC (<https://grpc.io/docs/guides/status-codes/>).
const OK: u32 = 0;
const CANCELLED: u32 = 1;
const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const ABORTED: u32 = 10;
const OUT_OF_RANGE: u32 = 11;
const UNAVAILABLE: u32 = 14;
const DATA_LOSS: u32 = 15;

/// Judges the answer of a gRPC receiver: `grpc-status`, `grpc-message`, `grpc-status-details-bin` (decoded) and the message.
#[must_use]
pub fn grpc(status: u32, message: &str, details: &[u8], body: &[u8]) -> Verdict {
    let after = retry_delay(details);
    match status {
        OK => partial(body),
        CANCELLED | DEADLINE_EXCEEDED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS => {
            Verdict::Retry { after, message: message.to_owned() }
        }
        // Only a receiver that says when it will have room again will have room again.
        RESOURCE_EXHAUSTED if after.is_some() => Verdict::Retry { after, message: message.to_owned() },
        _ => Verdict::Refused { message: message.to_owned() },
    }
}

/// Judges the answer of an HTTP receiver. `retry_after` is its header's value, read.
#[must_use]
pub fn http(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Verdict {
    match status {
        200..=299 => partial(body),
        429 | 502 | 503 | 504 => Verdict::Retry { after: retry_after, message: status_message(body) },
        _ => Verdict::Refused { message: status_message(body) },
    }
}

/// `ExportMetricsServiceResponse`: points that were rejected, or a warning. One that cannot be read is taken for success.
fn partial(body: &[u8]) -> Verdict {
    let partial = message(fields(body), 1).unwrap_or(&[]);
    let rejected = fields(partial).find_map(|field| match field.value {
        Value::Number(rejected) if field.number == 1 => Some(rejected),
        _ => None,
    });
    let message = message(fields(partial), 2).map(text).unwrap_or_default();
    Verdict::Taken { rejected: rejected.unwrap_or(0), message }
}

/// What a `google.rpc.Status` says, or the text that was sent in its place.
fn status_message(body: &[u8]) -> String {
    let told =
        message(fields(body), 2).filter(|_| body.first() == Some(&0x08) || body.first() == Some(&0x12));
    text(told.unwrap_or(body))
}

/// The delay in the `google.rpc.RetryInfo` of a `google.rpc.Status`.
fn retry_delay(status: &[u8]) -> Option<Duration> {
    let mut details = fields(status).filter_map(|field| match field.value {
        Value::Bytes(any) if field.number == 3 => Some(any),
        _ => None,
    });
    let info = details.find_map(|any| {
        let url = message(fields(any), 1)?;
        url.ends_with(b"google.rpc.RetryInfo").then(|| message(fields(any), 2)).flatten()
    })?;
    let (mut seconds, mut nanos) = (0, 0);
    for field in fields(message(fields(info), 1)?) {
        match (field.number, field.value) {
            (1, Value::Number(value)) => seconds = value,
            (2, Value::Number(value)) => nanos = value,
            _ => {}
        }
    }
    // Negative numbers have their highest bit set.
    let seconds = i64::try_from(seconds).ok()?.unsigned_abs();
    Some(Duration::new(seconds, u32::try_from(nanos).ok()?.min(999_999_999)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().chars().take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn taken(rejected: u64, message: &str) -> Verdict {
        Verdict::Taken { rejected, message: message.to_owned() }
    }

    fn partial_success(rejected: u64, message: &str) -> Vec<u8> {
        let (mut inner, mut body) = (Vec::new(), Vec::new());
        wire::number(&mut inner, 1, rejected);
        wire::bytes(&mut inner, 2, message.as_bytes());
        wire::bytes(&mut body, 1, &inner);
        body
    }

    /// A status of so many seconds and nanoseconds.
    fn retry_info(seconds: u64, nanos: u64) -> Vec<u8> {
        let (mut delay, mut info, mut any, mut status) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        wire::number(&mut delay, 1, seconds);
        wire::number(&mut delay, 2, nanos);
        wire::bytes(&mut info, 1, &delay);
        wire::bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
        wire::bytes(&mut any, 2, &info);
        wire::number(&mut status, 1, 8);
        wire::bytes(&mut status, 2, b"full");
        wire::bytes(&mut status, 3, &any);
        status
    }

    #[test]
    fn success_may_be_partial() {
        assert_eq!(http(200, None, &[]), taken(0, ""));
        assert_eq!(http(200, None, &partial_success(7, "too old")), taken(7, "too old"));
        assert_eq!(grpc(0, "", &[], &partial_success(0, "careful")), taken(0, "careful"));
        assert_eq!(http(200, None, b"{}"), taken(0, ""));
    }

    #[test]
    fn http_is_tried_again_as_the_specification_says() {
        let after = Some(Duration::from_secs(3));
        for status in [429, 502, 503, 504] {
            let retry = Verdict::Retry { after, message: "later".to_owned() };
            assert_eq!(http(status, after, b"later\n"), retry);
        }
        for status in [400, 401, 404, 413, 415, 500, 501, 505] {
            assert_eq!(http(status, after, b"no"), Verdict::Refused { message: "no".to_owned() }, "{status}");
        }
        let refused = Verdict::Refused { message: "full".to_owned() };
        assert_eq!(http(400, None, &retry_info(1, 0)), refused);
    }

    #[test]
    fn grpc_is_tried_again_as_the_specification_says() {
        let again: Vec<_> =
            (0..17).filter(|s| matches!(grpc(*s, "", &[], &[]), Verdict::Retry { .. })).collect();
        assert_eq!(again, [1, 4, 10, 11, 14, 15]);
        let (details, after) = (retry_info(2, 500_000_000), Some(Duration::from_millis(2_500)));
        assert_eq!(grpc(8, "full", &details, &[]), Verdict::Retry { after, message: "full".to_owned() });
        assert_eq!(grpc(14, "", &details, &[]), Verdict::Retry { after, message: String::new() });
    }

    #[test]
    fn any_bytes_are_judged() {
        let whole = retry_info(2, 5);
        for end in 0..whole.len() {
            for status in 0..20 {
                let over_grpc = grpc(status, "", &whole[..end], &whole[..end]);
                assert_eq!(status == 0, matches!(over_grpc, Verdict::Taken { .. }));
                let over_http = http(400 + status as u16, None, &whole[..end]);
                assert!(!matches!(over_http, Verdict::Taken { .. }));
            }
        }
        assert_eq!(retry_delay(&retry_info(u64::MAX, 0)), None);
    }
}
