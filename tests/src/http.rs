//! HTTP as far as a test needs it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::clock;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head, names in lower case.
    pub head: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A field of the head, empty when it is absent.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.head.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Gets a page, with further lines for the request's head.
#[track_caller]
#[must_use]
pub fn get(from: SocketAddr, path: &str, lines: &[&str]) -> Answer {
    let stream = TcpStream::connect_timeout(&from, clock::PATIENCE)
        .unwrap_or_else(|error| panic!("nobody listens on {from}: {error}"));
    stream.set_read_timeout(Some(clock::PATIENCE)).expect("not zero");
    ask(stream, &format!("GET {path}"), lines, "")
}

/// As [`get`], over a Unix socket: no TCP connection is made for it.
#[track_caller]
#[must_use]
pub fn get_unix(socket: &Path, path: &str) -> Answer {
    ask(unix(socket), &format!("GET {path}"), &[], "")
}

/// Puts a text, over a Unix socket.
#[track_caller]
#[must_use]
pub fn put_unix(socket: &Path, path: &str, text: &str) -> Answer {
    ask(unix(socket), &format!("PUT {path}"), &[&format!("Content-Length: {}", text.len())], text)
}

#[track_caller]
fn unix(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket)
        .unwrap_or_else(|error| panic!("nobody listens on `{}`: {error}", socket.display()));
    stream.set_read_timeout(Some(clock::PATIENCE)).expect("not zero");
    stream
}

#[track_caller]
fn ask(mut stream: impl Read + Write, what: &str, lines: &[&str], body: &str) -> Answer {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!("{what} HTTP/1.1\r\nHost: observer\r\nConnection: close\r\n{lines}\r\n{body}");
    stream
        .write_all(request.as_bytes())
        .unwrap_or_else(|error| panic!("`{what}` is not listened to: {error}"));
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("`{what}` is not answered: {error}"));
    parse(&bytes).unwrap_or_else(|| panic!("not an answer: {}", String::from_utf8_lossy(&bytes)))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let field = |line: &str| {
        Some((line.split_once(':')?.0.to_lowercase(), line.split_once(':')?.1.trim().to_owned()))
    };
    let head: Vec<_> = lines.filter_map(field).collect();
    let rest = &bytes[end + 4..];
    let chunked = head.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(rest)? } else { rest.to_vec() };
    Some(Answer { status, head, body })
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend(bytes.get(end + 2..end + 2 + length)?);
        bytes = bytes.get(end + 4 + length..)?;
    }
}
