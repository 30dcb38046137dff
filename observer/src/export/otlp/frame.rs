//! gRPC's frame around a message, and what stands behind it. <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::http;

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) status: u32,
    pub(super) message: String,
    /// A `google.rpc.Status`.
    pub(super) details: Vec<u8>,
}

/// A request of one message.
pub(super) fn frame(message: &[u8], compressed: bool) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(u8::from(compressed));
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// The message of an answer. Nobody who was not asked for it compresses it.
pub(super) fn message(body: &[u8]) -> &[u8] {
    let whole = |body: &[u8]| {
        let (prefix, rest) = body.split_first_chunk::<PREFIX>()?;
        let length = u32::from_be_bytes(*prefix.last_chunk()?) as usize;
        (prefix[0] == 0).then(|| 0..length.min(rest.len()))
    };
    whole(body).map_or(&[], |range| &body[PREFIX..][range])
}

/// How the call ended, if the answer says so: behind the message, or in the head where there is none.
pub(super) fn status(answer: &http::Answer) -> Option<Status> {
    let field = |name: &str| answer.trailers.get(name).or_else(|| answer.headers.get(name));
    let text = |name: &str| field(name).and_then(|value| value.to_str().ok());
    Some(Status {
        status: text("grpc-status")?.trim().parse().ok()?,
        message: text("grpc-message").map(unpercent).unwrap_or_default(),
        details: text("grpc-status-details-bin").map(unbase64).unwrap_or_default(),
    })
}

impl Status {
    /// As the counter of requests calls it.
    pub(super) const fn name(&self) -> &'static str {
        const NAMES: [&str; 17] = [
            "grpc_ok",
            "grpc_cancelled",
            "grpc_unknown",
            "grpc_invalid_argument",
            "grpc_deadline_exceeded",
            "grpc_not_found",
            "grpc_already_exists",
            "grpc_permission_denied",
            "grpc_resource_exhausted",
            "grpc_failed_precondition",
            "grpc_aborted",
            "grpc_out_of_range",
            "grpc_unimplemented",
            "grpc_internal",
            "grpc_unavailable",
            "grpc_data_loss",
            "grpc_unauthenticated",
        ];
        if (self.status as usize) < NAMES.len() { NAMES[self.status as usize] } else { "grpc_other" }
    }

    /// Whether half of the request may be taken: it was too large, or a part of it was wrong.
    pub(super) const fn may_be_size(&self) -> bool {
        matches!(self.status, 3 | 8)
    }
}

/// `%` and two digits are a byte.
pub(super) fn unpercent(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Base64 with or without its padding, up to what is none.
fn unbase64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let sextets: Vec<u8> = text.bytes().map_while(value).collect();
    let mut bytes = Vec::with_capacity(sextets.len() * 3 / 4);
    for chunk in sextets.chunks(4) {
        let bits = chunk.iter().fold(0_u32, |bits, sextet| bits << 6 | u32::from(*sextet))
            << (6 * (4 - chunk.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..][..chunk.len() * 6 / 8]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, StatusCode};

    use super::*;

    fn answer(headers: &[(&'static str, &str)], trailers: &[(&'static str, &str)]) -> http::Answer {
        let map = |fields: &[(&'static str, &str)]| -> HeaderMap {
            fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let (headers, trailers) = (map(headers), map(trailers));
        http::Answer { status: StatusCode::OK, headers, trailers, body: Bytes::new(), cut: false }
    }

    #[test]
    fn messages_are_framed_and_read_back() {
        let framed = frame(b"abc", false);
        assert_eq!(&framed[..], b"\0\0\0\0\x03abc");
        assert_eq!(message(&framed), b"abc");
        assert_eq!(frame(b"abc", true)[0], 1);
        for broken in [&b""[..], b"\0\0\0\0", b"\x01\0\0\0\x01a"] {
            assert_eq!(message(broken), b"");
        }
        assert_eq!(message(b"\0\0\0\0\x09abc"), b"abc");
    }

    #[test]
    fn the_status_stands_behind_the_message_or_in_the_head() {
        let told = |status: u32, message: &str, details: &[u8]| {
            Some(Status { status, message: message.to_owned(), details: details.to_vec() })
        };
        assert_eq!(status(&answer(&[], &[("grpc-status", "0")])), told(0, "", b""));
        let fields = [
            ("grpc-status", "8"),
            ("grpc-message", "too%20large%21 50%"),
            ("grpc-status-details-bin", "AAECAwQ"),
        ];
        assert_eq!(status(&answer(&fields, &[])), told(8, "too large! 50%", &[0, 1, 2, 3, 4]));
        assert_eq!(status(&answer(&[("content-type", "text/html")], &[])), None);
    }

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("TQ==", b"M"),
            ("TWE=", b"Ma"),
            ("TWFu", b"Man"),
            ("TQ", b"M"),
            ("TWFuTQ", b"ManM"),
        ] {
            assert_eq!(unbase64(text), bytes, "{text}");
        }
    }
}
