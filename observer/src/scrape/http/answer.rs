//! An answer, read as its bytes come: no I/O here.

use hyper::StatusCode;

use super::{
    Fault, HttpError,
    buffers::Body,
    chunked::Chunked,
    head::{self, Framing, Head},
};
use crate::config::Dialect;

/// The most bytes to make room for at once: what a server announces costs nothing before it sends it.
const STEP: u64 = 64 << 10;

/// Room for a head and a small body.
pub(super) const FIRST: usize = 8 << 10;

/// One answer, as far as it has come.
#[derive(Debug)]
pub(super) struct Answer {
    /// The largest body in bytes; 0 for any size.
    limit: usize,
    gzip_asked: bool,
    state: State,
    /// Where the head ends that is read, or the body as far as it has come.
    end: usize,
}

#[derive(Debug)]
enum State {
    Head,
    Length { rest: u64, whole: Whole },
    Chunked { chunked: Chunked, whole: Whole },
    Close { whole: Whole },
}

/// What there is to know about a body that has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) gzip: bool,
    /// The connection is good for another request.
    pub(super) keep: bool,
    /// What the body says it is, if we can read that.
    pub(super) dialect: Option<Dialect>,
}

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Read; room for so many bytes is worth having.
    Read(usize),
    /// That was all.
    End(End),
}

/// What an answer comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The body is there.
    Body(Whole),
    /// The body is at another place.
    Elsewhere { status: StatusCode, location: String },
}

impl Answer {
    pub(super) fn new(limit: usize, gzip_asked: bool) -> Self {
        Self { limit, gzip_asked, state: State::Head, end: 0 }
    }

    /// Takes what was added to the buffer.
    pub(super) fn advance(&mut self, body: &mut Body) -> Result<Next, HttpError> {
        while let State::Head = self.state {
            let Some((head, length)) = head::parse(&body.buffer[self.end..], self.gzip_asked)? else {
                return match body.buffer.len() {
                    ..head::LONGEST => Ok(Next::Read(1 << 10)),
                    _ => Err(Fault::from(format!("head of more than {} bytes", head::LONGEST)).into()),
                };
            };
            self.end += length;
            if self.end > head::LONGEST {
                return Err(Fault::from(format!("head of more than {} bytes", head::LONGEST)).into());
            }
            match head {
                Head::Interim => {}
                Head::Elsewhere { status, location } => {
                    return Ok(Next::End(End::Elsewhere { status, location }));
                }
                Head::Body { framing, gzip, keep, dialect } => {
                    self.begin(framing, Whole { gzip, keep, dialect }, body)?;
                }
            }
        }
        self.body(body)
    }

    fn begin(&mut self, framing: Framing, whole: Whole, body: &mut Body) -> Result<(), HttpError> {
        body.range = self.end..self.end;
        self.state = match framing {
            Framing::Length(rest) => {
                check(self.limit, rest)?;
                State::Length { rest, whole }
            }
            Framing::Chunked => State::Chunked { chunked: Chunked::default(), whole },
            Framing::Close => State::Close { whole },
        };
        Ok(())
    }

    fn body(&mut self, body: &mut Body) -> Result<Next, HttpError> {
        let Body { buffer, range } = body;
        match &mut self.state {
            State::Head => Ok(Next::Read(1 << 10)),
            State::Length { rest, whole } => {
                let came = buffer.len() - self.end;
                let taken = usize::try_from(*rest).map_or(came, |rest| came.min(rest));
                *rest -= taken as u64;
                self.end += taken;
                if *rest > 0 {
                    // One byte more, so that the last read has room left and the socket is known to be empty.
                    return Ok(Next::Read(room(*rest, buffer) + 1));
                }
                range.end = self.end;
                // Nobody asked for what stands behind the body.
                let keep = whole.keep && buffer.len() == self.end;
                Ok(Next::End(End::Body(Whole { keep, ..*whole })))
            }
            State::Chunked { chunked, whole } => {
                let done = chunked.advance(buffer, &mut self.end)?;
                check(self.limit, (self.end - range.start) as u64 + chunked.announced())?;
                if !done {
                    return Ok(Next::Read(room(chunked.announced(), buffer) + 1024));
                }
                range.end = self.end;
                let keep = whole.keep && buffer.len() == self.end;
                Ok(Next::End(End::Body(Whole { keep, ..*whole })))
            }
            State::Close { .. } => {
                self.end = buffer.len();
                check(self.limit, (self.end - range.start) as u64)?;
                Ok(Next::Read(room(STEP, buffer)))
            }
        }
    }

    /// The connection has ended.
    pub(super) fn closed(&mut self, body: &mut Body) -> Result<Whole, HttpError> {
        let fault = match &self.state {
            State::Head if body.buffer.is_empty() => Fault::NoAnswer,
            State::Head => "connection closed within the head".into(),
            State::Length { rest, .. } => {
                format!("connection closed {rest} bytes before the end of the body").into()
            }
            State::Chunked { .. } => "connection closed before the last chunk of the body".into(),
            State::Close { whole } => {
                body.range.end = body.buffer.len();
                return Ok(*whole);
            }
        };
        Err(fault.into())
    }
}

/// Room for `rest` bytes, or for as many as there are already.
fn room(rest: u64, buffer: &[u8]) -> usize {
    let step = STEP.max(buffer.len() as u64);
    // At most the length of a buffer, or 64 KiB.
    rest.min(step) as usize
}

pub(super) fn check(limit: usize, bytes: u64) -> Result<(), HttpError> {
    if limit != 0 && bytes > limit as u64 { Err(HttpError::BodyLimit(limit)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of bytes that arrive in pieces and are followed by the end of the connection.
    fn read(pieces: &[&[u8]], limit: usize) -> Result<(String, bool), String> {
        let mut answer = Answer::new(limit, false);
        let mut body = Body::default();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            body.buffer.extend_from_slice(piece);
            match answer.advance(&mut body).map_err(|error| error.to_string())? {
                Next::Read(_) => {}
                Next::End(End::Body(whole)) => return Ok((text(&body), whole.keep)),
                Next::End(End::Elsewhere { status, location }) => {
                    return Ok((format!("{} {location}", status.as_u16()), false));
                }
            }
        }
        let whole = answer.closed(&mut body).map_err(|error| error.to_string())?;
        Ok((text(&body), whole.keep))
    }

    fn text(body: &Body) -> String {
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// The same, however the bytes are split.
    #[track_caller]
    fn check(bytes: &str, expected: Result<(&str, bool), &str>) {
        let bytes = bytes.as_bytes();
        let expected = expected
            .map(|(body, keep)| (body.to_owned(), keep))
            .map_err(|error| format!("cannot exchange HTTP: {error}"));
        for at in 0..=bytes.len() {
            let (one, two) = bytes.split_at(at);
            assert_eq!(read(&[one, two], 0), expected, "split at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single, 0), expected, "byte by byte");
    }

    const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

    fn chunked(chunks: &str) -> String {
        format!("{CHUNKED}{chunks}")
    }

    #[test]
    fn a_body_is_read_however_it_comes() {
        check(&format!("{LENGTH}a 1\n"), Ok(("a 1\n", true)));
        check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok(("", true)));
        check("HTTP/1.1 200\r\n\r\na 1\n", Ok(("a 1\n", false)));
        check("HTTP/1.0 200 OK\r\n\r\n", Ok(("", false)));
        check("HTTP/1.1 200 OK\n\na 1\n", Ok(("a 1\n", false)));
        check(&chunked("2\r\na \r\n2\r\n1\n\r\n0\r\n\r\n"), Ok(("a 1\n", true)));
        check(
            &chunked("00A;name=\"v\"\r\n0123456789\r\n1 ;x\r\n\n\r\n0\r\n\r\n"),
            Ok(("0123456789\n", true)),
        );
        check(&chunked("1\r\na\r\n0\r\nx: y\r\nz: 1\r\n\r\n"), Ok(("a", true)));
        check(&chunked("0\r\n\r\n"), Ok(("", true)));
        check(
            &format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: a\r\n\r\n{LENGTH}a 1\n"),
            Ok(("a 1\n", true)),
        );
        check("HTTP/1.1 301 Moved\r\nlocation: /x\r\n\r\n", Ok(("301 /x", false)));
    }

    #[test]
    fn what_is_cut_or_broken_is_refused_with_the_reason() {
        check("", Err("connection closed before an answer came"));
        check("HTTP/1.1 200 OK\r\nconte", Err("connection closed within the head"));
        check("HTTP/1.1 100 Continue\r\n\r\n", Err("connection closed within the head"));
        check(&format!("{LENGTH}a 1"), Err("connection closed 1 bytes before the end of the body"));
        for chunks in ["", "2", "2\r", "2\r\n", "2\r\na", "2\r\na \r", "2\r\na \r\n", "0\r\n", "0\r\n\r"] {
            check(&chunked(chunks), Err("connection closed before the last chunk of the body"));
        }
        for (chunks, line) in [
            ("x\r\n", "x"),
            ("-1\r\na\r\n", "-1"),
            ("+1\r\na\r\n", "+1"),
            ("0x1\r\na\r\n", "0x1"),
            ("\r\n", ""),
            (";a\r\n", ";a"),
            ("1 1\r\na\r\n", "1 1"),
            (" 1\r\na\r\n", " 1"),
            ("10000000000000000\r\na\r\n", "10000000000000000"),
        ] {
            check(&chunked(chunks), Err(&format!("`{line}` is not the size of a chunk")));
        }
        check(&chunked("1\na\r\n0\r\n\r\n"), Err("line of a chunk ends with LF alone"));
        check(&chunked("1\r\nab\r\n"), Err("chunk is longer than its size"));
        check(&chunked("1\r\na\n0\r\n\r\n"), Err("chunk is longer than its size"));
        check(
            &chunked(&format!("1;{}\r\na\r\n", "x".repeat(300))),
            Err("line of a chunk is longer than 256 bytes"),
        );
        let trailers = format!("{}: x\r\n", "a".repeat(200)).repeat(100);
        check(&chunked(&format!("0\r\n{trailers}\r\n")), Err("more than 16384 bytes behind the last chunk"));
    }

    #[test]
    fn a_head_has_a_bound() {
        let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n", "b".repeat(head::LONGEST));
        let expected = Err("cannot exchange HTTP: head of more than 16384 bytes".to_owned());
        assert_eq!(read(&[long.as_bytes()], 0), expected);
        assert_eq!(read(&[format!("{long}\r\n").as_bytes()], 0), expected);
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        assert_eq!(read(&[interim.as_bytes()], 0), expected);
    }

    #[test]
    fn bytes_behind_a_body_end_the_connection() {
        for whole in [format!("{LENGTH}a 1\n"), chunked("4\r\na 1\n\r\n0\r\n\r\n")] {
            let more = format!("{whole}HTTP/1.1 200 OK\r\n\r\n");
            assert_eq!(read(&[more.as_bytes()], 0), Ok(("a 1\n".to_owned(), false)));
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_before_it_comes() {
        let over = Err("body exceeds the limit of 3 bytes".to_owned());
        assert_eq!(read(&[LENGTH.as_bytes()], 3), over);
        assert_eq!(read(&[chunked("4\r\n").as_bytes()], 3), over);
        assert_eq!(read(&[chunked("2\r\naa\r\n2\r\n").as_bytes()], 3), over);
        assert_eq!(read(&[chunked("ffffffffffffffff\r\n").as_bytes()], 3), over);
        assert_eq!(read(&[b"HTTP/1.1 200 OK\r\n\r\na 1\n"], 3), over);
        assert_eq!(read(&[LENGTH.as_bytes(), b"a 1\n"], 4), Ok(("a 1\n".to_owned(), true)));
        assert_eq!(
            read(&[chunked("2\r\naa\r\n2\r\naa\r\n0\r\n\r\n").as_bytes()], 4),
            Ok(("aaaa".to_owned(), true))
        );
    }

    #[test]
    fn room_is_made_for_what_comes_not_for_what_is_announced() {
        let mut body = Body::default();
        body.buffer.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n");
        let next = Answer::new(0, false).advance(&mut body).unwrap();
        assert_eq!(next, Next::Read((64 << 10) + 1));
    }
}
