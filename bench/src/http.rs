//! An HTTP/1.1 server on one thread: both ends of a measurement must cost far less than what stands between them.

use std::{
    io::{self, ErrorKind, IoSlice, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream as Client},
    rc::Rc,
    str,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Result, clock::Started, sys};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// Tokens before the first connection's.
const RESERVED: usize = 2;
const LARGEST_HEAD: usize = 64 << 10;
const LARGEST_BODY: usize = 64 << 20;
const CHUNK: usize = 64 << 10;

/// A whole request.
pub(crate) struct Request<'a> {
    /// The address it was sent to.
    pub(crate) to: Ipv4Addr,
    pub(crate) path: &'a str,
    head: &'a str,
    pub(crate) body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        header(self.head, name)
    }
}

/// What answers requests.
pub(crate) trait Service {
    /// Writes the head of the response, and what comes before the shared part of its body. `at` counts from the start.
    fn answer(&mut self, request: &Request<'_>, at: Duration, out: &mut Vec<u8>) -> Option<Rc<Vec<u8>>>;
    /// The other side has gone before it had the whole response.
    fn cut(&mut self);
    /// Does what is due without a request, and says when to be called again.
    fn tick(&mut self, at: Duration) -> Duration;
}

/// Serves until standard input ends or `limit` has passed. Says `listening PORT` first.
pub(crate) fn serve(port: u16, limit: Duration, service: &mut impl Service) -> Result<()> {
    sys::raise_open_files()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
    // All of 127.0.0.0/8, and nothing else.
    sys::only_loopback(&listener)?;
    // Ten thousand connections may come at once, when a scraper starts.
    sys::listen_to_many(&listener)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    // Ours to hold: one that is dropped right after it woke us would take its event along.
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    let ended = when_input_ends(Arc::clone(&waker));
    println!("listening {}", listener.local_addr()?.port());
    let started = Started::now();
    let mut events = Events::with_capacity(1024);
    let mut connections = Connections::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let now = started.elapsed();
        if now >= limit || ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        let until = service.tick(now).min(limit).saturating_sub(now);
        match poll.poll(&mut events, Some(until)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => connections.accept(&listener, &poll)?,
                WAKER => {}
                Token(token) => {
                    connections.drive(token - RESERVED, event.is_readable(), service, started, &mut chunk);
                }
            }
        }
    }
}

fn when_input_ends(waker: Arc<Waker>) -> Arc<AtomicBool> {
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    thread::spawn(move || {
        let _count = io::copy(&mut io::stdin(), &mut io::sink());
        end.store(true, Ordering::Relaxed);
        let _woken = waker.wake();
    });
    ended
}

/// The open connections, each in the slot its token names.
#[derive(Default)]
struct Connections {
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
}

impl Connections {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            // The other side may have gone again.
            let Ok(SocketAddr::V4(to)) = stream.local_addr() else { continue };
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            poll.registry().register(
                &mut stream,
                Token(slot + RESERVED),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            self.slots[slot] = Some(Connection::new(stream, *to.ip()));
        }
    }

    /// An event of a connection that has gone in the same batch is nobody's.
    fn drive(
        &mut self,
        slot: usize,
        readable: bool,
        service: &mut impl Service,
        started: Started,
        chunk: &mut [u8],
    ) {
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        connection.readable |= readable;
        if connection.drive(service, started, chunk).is_err() {
            if !connection.is_flushed() {
                service.cut();
            }
            self.slots[slot] = None;
            self.free.push(slot);
        }
    }
}

struct Connection {
    stream: TcpStream,
    to: Ipv4Addr,
    /// The kernel may have more for us. It tells once.
    readable: bool,
    input: Vec<u8>,
    own: Vec<u8>,
    shared: Option<Rc<Vec<u8>>>,
    /// Bytes of `own` and `shared` that have left.
    sent: usize,
}

impl Connection {
    fn new(stream: TcpStream, to: Ipv4Addr) -> Self {
        Self { stream, to, readable: false, input: Vec::new(), own: Vec::new(), shared: None, sent: 0 }
    }

    /// Goes on until there is nothing to read or no room to write. An error is the end of the connection.
    fn drive(&mut self, service: &mut impl Service, started: Started, chunk: &mut [u8]) -> io::Result<()> {
        while self.flush()? {
            let Some((head, end)) = whole(&self.input)? else {
                if self.fill(chunk)? { continue } else { break }
            };
            let text = str::from_utf8(&self.input[..head]).map_err(|_| ErrorKind::InvalidData)?;
            let path = text.split(' ').nth(1).ok_or(ErrorKind::InvalidData)?;
            let request = Request { to: self.to, path, head: text, body: &self.input[head..end] };
            self.shared = service.answer(&request, started.elapsed(), &mut self.own);
            self.input.drain(..end);
        }
        Ok(())
    }

    /// Whether something was read.
    fn fill(&mut self, chunk: &mut [u8]) -> io::Result<bool> {
        if !self.readable {
            return Ok(false);
        }
        let count = match self.stream.read(chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        // A short read has taken all there was; the kernel tells when there is more.
        self.readable = count == chunk.len();
        self.input.extend_from_slice(&chunk[..count]);
        Ok(true)
    }

    fn is_flushed(&self) -> bool {
        self.sent == self.own.len() + self.shared.as_ref().map_or(0, |shared| shared.len())
    }

    /// Whether all has left.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.is_flushed() {
            let shared = self.shared.as_deref().map_or(&[][..], Vec::as_slice);
            let own = self.own.get(self.sent..).unwrap_or_default();
            let rest = &shared[self.sent.saturating_sub(self.own.len())..];
            match self.stream.write_vectored(&[IoSlice::new(own), IoSlice::new(rest)]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.shared = None;
        self.own.clear();
        self.sent = 0;
        Ok(true)
    }
}

/// Where the head and the body of the first request end, once all of it is there.
fn whole(input: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(head) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if input.len() > LARGEST_HEAD { Err(ErrorKind::InvalidData.into()) } else { Ok(None) };
    };
    let head = head + 4;
    let text = str::from_utf8(&input[..head]).map_err(|_| ErrorKind::InvalidData)?;
    let length = match header(text, "content-length") {
        Some(length) => length.parse().map_err(|_| ErrorKind::InvalidData)?,
        // Nobody whom we measure sends chunks.
        None if header(text, "transfer-encoding").is_some() => return Err(ErrorKind::Unsupported.into()),
        None => 0,
    };
    if length > LARGEST_BODY {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok((input.len() >= head + length).then_some((head, head + length)))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// The head of a response in JSON, and its body.
pub(crate) fn json(value: &impl Serialize, out: &mut Vec<u8>) -> Rc<Vec<u8>> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    Rc::new(body)
}

/// The body of one GET to a port of this machine. A connection that was lost in a crowd is made again.
pub(crate) fn get(port: u16, path: &str) -> Result<String> {
    const MORE: usize = 4;
    (0..MORE).fold(try_get(port, path), |got, _| got.or_else(|_| try_get(port, path)))
}

fn try_get(port: u16, path: &str) -> Result<String> {
    let mut stream = Client::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    // Ours keep the connection open all the same: a length decides.
    loop {
        if let Some((head, end)) = whole(&bytes)? {
            let head = str::from_utf8(&bytes[..head])?;
            let status = head.lines().next().unwrap_or_default();
            if !status.contains(" 200 ") {
                return Err(format!("`{path}` on port {port}: {status}").into());
            }
            if header(head, "content-length").is_some() {
                return Ok(str::from_utf8(&bytes[head.len()..end])?.to_owned());
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Err(format!("`{path}` on port {port}: the response has no length or no end").into()),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// The same, read as JSON.
pub(crate) fn get_json<T: DeserializeOwned>(port: u16, path: &str) -> Result<T> {
    Ok(serde_json::from_str(&get(port, path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Option<(usize, usize)>) {
        assert_eq!(whole(input.as_bytes()).expect("well formed"), expected);
    }

    #[test]
    fn a_request_is_whole_with_its_body() {
        check("GET / HTTP/1.1\r\nHost: a\r\n", None);
        check("GET / HTTP/1.1\r\n\r\n", Some((18, 18)));
        check("POST / HTTP/1.1\r\ncontent-Length: 3\r\n\r\nab", None);
        check("POST / HTTP/1.1\r\ncontent-Length: 3\r\n\r\nabcGET", Some((38, 41)));
    }

    #[test]
    fn chunks_and_nonsense_end_the_connection() {
        assert!(whole(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(whole(b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n").is_err());
        assert!(whole(&[b'x'; LARGEST_HEAD + 1]).is_err());
    }
}
