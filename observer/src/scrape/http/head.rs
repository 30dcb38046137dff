//! The head of an answer: what it says about the body, or what is wrong with it.
//! <https://www.rfc-editor.org/rfc/rfc9112>

use hyper::{HeaderMap, StatusCode};

use super::{Fault, HttpError};
use crate::config::Dialect;

/// The longest head in bytes, those of interim answers before it included.
pub(super) const LONGEST: usize = 16 << 10;

/// The most headers of an answer.
const HEADERS: usize = 100;

/// A head that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// `1xx`: another head follows.
    Interim,
    /// A body follows.
    Body { framing: Framing, gzip: bool, keep: bool, dialect: Option<Dialect> },
    /// The body is at another place.
    Elsewhere { status: StatusCode, location: String },
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// It has so many bytes.
    Length(u64),
    /// Each part says its length.
    Chunked,
    /// The connection ends with it.
    Close,
}

/// Reads the head at the begin of `bytes`, and says its length; `None` if there is more of it to come.
pub(super) fn parse(bytes: &[u8], gzip_asked: bool) -> Result<Option<(Head, usize)>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Fault::from(format!("cannot read the head: {error}")).into()),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| Fault::from("status below 100"))?;
    Ok(Some((said(status, &Fields(response.headers), response.version == Some(0), gzip_asked)?, length)))
}

/// What a head of HTTP/2 says.
pub(super) fn of(status: StatusCode, headers: &HeaderMap, gzip_asked: bool) -> Result<Head, HttpError> {
    let fields =
        headers.iter().map(|(name, value)| httparse::Header { name: name.as_str(), value: value.as_bytes() });
    let fields: Vec<_> = fields.collect();
    said(status, &Fields(&fields), false, gzip_asked)
}

fn said(status: StatusCode, fields: &Fields<'_>, old: bool, gzip_asked: bool) -> Result<Head, HttpError> {
    Ok(match status {
        StatusCode::OK => fields.body(old, gzip_asked)?,
        StatusCode::SWITCHING_PROTOCOLS => {
            return Err(Fault::from("switch to another protocol, which was not asked for").into());
        }
        _ if status.is_informational() => Head::Interim,
        _ => match fields.location(status) {
            Some(location) => Head::Elsewhere { status, location },
            None => return Err(HttpError::Status(status)),
        },
    })
}

struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    /// The values of a header. Bytes that are not UTF-8 are in none that means anything here.
    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| std::str::from_utf8(field.value).unwrap_or("\u{fffd}").trim_matches([' ', '\t']))
    }

    fn body(&self, old: bool, gzip_asked: bool) -> Result<Head, HttpError> {
        let framing = self.framing(old)?;
        let tokens = || self.all("connection").flat_map(|value| value.split(',')).map(str::trim);
        let says = |token: &str| tokens().any(|said| said.eq_ignore_ascii_case(token));
        let keep = framing != Framing::Close && !says("close") && (!old || says("keep-alive"));
        let dialect = Dialect::of(self.all("content-type").next().unwrap_or_default());
        Ok(Head::Body { framing, gzip: self.gzip(gzip_asked)?, keep, dialect })
    }

    /// Two who read one answer in two ways can be set against each other, so what is not clear is refused.
    fn framing(&self, old: bool) -> Result<Framing, Fault> {
        let mut lengths = self.all("content-length");
        let mut codings = self.all("transfer-encoding");
        match (lengths.next(), codings.next()) {
            (None, None) => Ok(Framing::Close),
            (Some(_), Some(_)) => Err("both `Content-Length` and `Transfer-Encoding`".into()),
            (Some(length), None) if lengths.next().is_none() => {
                let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                let bytes = length.parse().ok().filter(|_| digits);
                bytes
                    .map(Framing::Length)
                    .ok_or_else(|| format!("`Content-Length: {length}` is not a number of bytes").into())
            }
            (Some(_), None) => Err("more than one `Content-Length`".into()),
            (None, Some(_)) if old => Err("`Transfer-Encoding` in an answer of HTTP/1.0".into()),
            (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") && codings.next().is_none() => {
                Ok(Framing::Chunked)
            }
            (None, Some(coding)) => {
                Err(format!("`Transfer-Encoding: {coding}`, not just once `chunked`").into())
            }
        }
    }

    fn gzip(&self, asked: bool) -> Result<bool, HttpError> {
        let mut codings =
            self.all("content-encoding").filter(|v| !v.is_empty() && !v.eq_ignore_ascii_case("identity"));
        match (codings.next(), codings.next()) {
            (None, _) => Ok(false),
            (Some(coding), None) if asked && coding.eq_ignore_ascii_case("gzip") => Ok(true),
            (Some(coding), None) => Err(HttpError::Encoding(coding.to_owned())),
            (Some(one), Some(two)) => Err(HttpError::Encoding(format!("{one}, {two}"))),
        }
    }

    fn location(&self, status: StatusCode) -> Option<String> {
        matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
            .then(|| self.all("location").next())
            .flatten()
            .map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(first: &str, fields: &[&str]) -> Result<Option<(Head, usize)>, HttpError> {
        let text: String = [first].iter().chain(fields).flat_map(|line| [line, "\r\n"]).collect();
        parse((text + "\r\n").as_bytes(), true)
    }

    #[track_caller]
    fn reads(first: &str, fields: &[&str], expected: (Framing, bool, bool)) {
        let Some((Head::Body { framing, gzip, keep, .. }, _)) = head(first, fields).unwrap() else {
            panic!("no body: {first}, {fields:?}")
        };
        assert_eq!((framing, gzip, keep), expected, "{first}, {fields:?}");
    }

    #[track_caller]
    fn refuses(first: &str, fields: &[&str], expected: &str) {
        assert_eq!(head(first, fields).unwrap_err().to_string(), expected, "{first}, {fields:?}");
    }

    #[test]
    fn a_head_says_where_the_body_ends_and_whether_the_connection_stays() {
        const NEW: &str = "HTTP/1.1 200 OK";
        const OLD: &str = "HTTP/1.0 200 OK";
        reads(NEW, &["content-length: 5"], (Framing::Length(5), false, true));
        reads(NEW, &["Content-Length:\t18446744073709551615 "], (Framing::Length(u64::MAX), false, true));
        reads(NEW, &["content-length: 5", "connection: x, Close"], (Framing::Length(5), false, false));
        reads(NEW, &["transfer-encoding: Chunked"], (Framing::Chunked, false, true));
        reads(NEW, &["content-encoding: gzip", "content-length: 5"], (Framing::Length(5), true, true));
        reads(NEW, &["content-encoding: identity", "content-length: 5"], (Framing::Length(5), false, true));
        reads(NEW, &[], (Framing::Close, false, false));
        reads(OLD, &["content-length: 5"], (Framing::Length(5), false, false));
        reads(OLD, &["content-length: 5", "connection: keep-alive"], (Framing::Length(5), false, true));
        reads(OLD, &["connection: keep-alive"], (Framing::Close, false, false));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let exchange = |first, fields: &[&str], expected: &str| {
            refuses(first, fields, &format!("cannot exchange HTTP: {expected}"));
        };
        let new = |fields: &[&str], expected: &str| exchange("HTTP/1.1 200 OK", fields, expected);
        for value in ["-1", "+1", "", "0x5", "5 5", "5,5", "18446744073709551616", "5\u{e9}"] {
            new(
                &[&format!("content-length: {value}")],
                &format!("`Content-Length: {value}` is not a number of bytes"),
            );
        }
        new(&["content-length: 5", "Content-Length: 5"], "more than one `Content-Length`");
        new(
            &["content-length: 5", "transfer-encoding: chunked"],
            "both `Content-Length` and `Transfer-Encoding`",
        );
        new(
            &["transfer-encoding: gzip, chunked"],
            "`Transfer-Encoding: gzip, chunked`, not just once `chunked`",
        );
        new(
            &["transfer-encoding: chunked", "transfer-encoding: chunked"],
            "`Transfer-Encoding: chunked`, not just once `chunked`",
        );
        new(&["transfer-encoding: identity"], "`Transfer-Encoding: identity`, not just once `chunked`");
        exchange(
            "HTTP/1.0 200 OK",
            &["transfer-encoding: chunked"],
            "`Transfer-Encoding` in an answer of HTTP/1.0",
        );
        exchange("HTTP/1.1 099 X", &[], "status below 100");
        exchange("HTTP/1.1 101 X", &["upgrade: h2c"], "switch to another protocol, which was not asked for");
        for (first, field) in [
            ("HTTP/2 200 OK", "a: b"),
            ("ICY 200 OK", "a: b"),
            ("HTTP/1.1 2x0 OK", "a: b"),
            ("HTTP/1.1 200 OK", "content-length : 5"),
            ("HTTP/1.1 200 OK", " content-length: 5"),
            ("HTTP/1.1 200 OK", "a"),
            ("HTTP/1.1 200 OK", "a: b\0"),
        ] {
            let error = head(first, &[field]).unwrap_err().to_string();
            assert!(
                error.starts_with("cannot exchange HTTP: cannot read the head: "),
                "{first}, {field}: {error}"
            );
        }
        let many = vec!["a: b"; HEADERS + 1];
        exchange("HTTP/1.1 200 OK", &many, "cannot read the head: too many headers");
    }

    #[test]
    fn an_encoding_that_was_not_asked_for_is_refused() {
        for (fields, expected) in [
            (&["content-encoding: br"][..], "br"),
            (&["content-encoding: gzip", "content-encoding: gzip"], "gzip, gzip"),
            (&["content-encoding: gzip, gzip"], "gzip, gzip"),
        ] {
            refuses(
                "HTTP/1.1 200 OK",
                fields,
                &format!("body has the content encoding `{expected}`, which was not asked for"),
            );
        }
        let text = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        assert!(matches!(parse(text, false), Err(HttpError::Encoding(coding)) if coding == "gzip"));
    }

    #[test]
    fn other_statuses_are_said_or_lead_elsewhere() {
        // What is wrong with a body that nobody reads does not matter.
        refuses(
            "HTTP/1.1 503 Busy",
            &["content-length: x"],
            "server returned HTTP status 503 Service Unavailable",
        );
        refuses("HTTP/1.1 204 No", &[], "server returned HTTP status 204 No Content");
        refuses("HTTP/1.1 302 Found", &[], "server returned HTTP status 302 Found");
        refuses("HTTP/1.1 304 Not", &["location: /a"], "server returned HTTP status 304 Not Modified");
        let elsewhere = Head::Elsewhere { status: StatusCode::FOUND, location: "/a".to_owned() };
        assert_eq!(
            head("HTTP/1.1 302 Found", &["location: /a"]).unwrap().map(|(head, _)| head),
            Some(elsewhere)
        );
        assert_eq!(head("HTTP/1.1 100 Continue", &[]).unwrap().map(|(head, _)| head), Some(Head::Interim));
    }
}
