//! The HTTP side of a scrape: one connection a target, kept open between scrapes, and nothing else.
//!
//! An HTTP/1.1 client of our own: a scrape is one request that never changes and one answer that is read into memory which
//! the parser then reads, and what a general client does beside that would cost more than all else we do with a body.

mod answer;
mod buffers;
mod chunked;
mod gzip;
mod head;
mod request;

use std::{borrow::Cow, io, mem, sync::Arc};

use hyper::{
    StatusCode, Uri,
    header::{HeaderName, HeaderValue},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::spawn_blocking,
};

use self::answer::{Answer, End, Next, Whole};
pub(super) use self::buffers::{Body, Buffers};
use crate::config::{Dialect, ScrapeTarget, Settings};

/// How often an answer may name another place. Go's client, which Prometheus uses, goes as far.
const HOPS: usize = 10;

/// The size of a compressed body from which decompressing takes milliseconds, in which other tasks of the thread would wait.
const LARGE: usize = 512 << 10;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("cannot connect to `{host}` port {port}: {source}")]
    Connect { host: String, port: u16, source: io::Error },
    #[error("cannot exchange HTTP: {0}")]
    Exchange(#[from] Fault),
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    #[error("body exceeds the limit of {0} bytes")]
    BodyLimit(usize),
    #[error("body has the content encoding `{0}`, which was not asked for")]
    Encoding(String),
}

/// What went wrong between request and body.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Io(io::Error),
    #[error("connection closed before an answer came")]
    NoAnswer,
    /// The answer is not one, or leads nowhere.
    #[error("{0}")]
    Broken(Cow<'static, str>),
    #[error("cannot log in: {0}")]
    Login(io::Error),
}

impl From<&'static str> for Fault {
    fn from(text: &'static str) -> Self {
        Self::Broken(Cow::Borrowed(text))
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::Broken(Cow::Owned(text))
    }
}

/// Scrapes one target.
#[derive(Debug)]
pub(super) struct Client {
    target: Arc<ScrapeTarget>,
    buffers: Arc<Buffers>,
    /// The bytes of the request, and whether they ask for a compressed body. Made at the first scrape.
    request: Option<(bool, Vec<u8>)>,
    connection: Option<Connection>,
    /// The size of the last answer.
    read: usize,
    /// The size of the last body that was decompressed.
    inflated: usize,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// A compressed body is worth its time: over a real network, and if the job wants it.
    gzip: bool,
}

impl Client {
    pub(super) fn new(target: Arc<ScrapeTarget>, buffers: Arc<Buffers>) -> Self {
        let (request, connection) = (None, None);
        Self { target, buffers, request, connection, read: 0, inflated: 0 }
    }

    /// Fetches the body into `body`, which then holds memory until [`Self::release`]. Cancelling the future closes the
    /// connection.
    pub(super) async fn fetch(&mut self, body: &mut Body) -> Result<Dialect, HttpError> {
        let mut end = self.ask_target(body).await?;
        let mut url = None;
        let mut hops = 0;
        loop {
            let (status, location) = match end {
                End::Body(whole) => return self.unpack(whole, body).await,
                End::Elsewhere { status, location } => (status, location),
            };
            if !self.settings().follow_redirects {
                return Err(HttpError::Status(status));
            }
            if hops == HOPS {
                return Err(Fault::from(format!("answer leads elsewhere for more than {HOPS} times")).into());
            }
            hops += 1;
            let base = url.as_ref().unwrap_or(&self.target.target.url);
            let next = request::elsewhere(base, &location).map_err(Fault::from)?;
            end = self.ask_elsewhere(&next, body).await?;
            url = Some(next);
        }
    }

    /// Gives the memory of a body back.
    pub(super) fn release(&self, body: &mut Body) {
        body.release(&self.buffers);
    }

    async fn ask_target(&mut self, body: &mut Body) -> Result<End, HttpError> {
        if let Some(connection) = self.connection.take().filter(Connection::is_quiet) {
            match self.exchange(connection, body).await {
                // The server closed the idle connection before it saw the request.
                Err(HttpError::Exchange(Fault::Io(_) | Fault::NoAnswer)) if body.buffer.is_empty() => {}
                result => return result,
            }
        }
        let connection = self.connect(&self.target.target.url).await?;
        self.exchange(connection, body).await
    }

    /// Asks once at a place that an answer named.
    async fn ask_elsewhere(&mut self, url: &Uri, body: &mut Body) -> Result<End, HttpError> {
        let mut connection = self.connect(url).await?;
        // What the target may know is not for others.
        let login = if url.authority() == self.target.target.url.authority() {
            self.login().await?
        } else {
            Vec::new()
        };
        let accept = self.settings().accept();
        let bytes = request::render(url, &accept, self.target.timeout, connection.gzip, &login);
        self.converse(&mut connection, &bytes, body).await
    }

    fn settings(&self) -> &Settings {
        &self.target.job.settings
    }

    /// The headers of the job's login, with the files as they are now.
    async fn login(&self) -> Result<Vec<(HeaderName, HeaderValue)>, HttpError> {
        let headers = if self.target.job.login.has_files() {
            let target = Arc::clone(&self.target);
            spawn_blocking(move || target.job.login.headers()).await.unwrap_or_else(|error| Err(error.into()))
        } else {
            self.target.job.login.headers()
        };
        Ok(headers.map_err(Fault::Login)?)
    }

    async fn connect(&self, url: &Uri) -> Result<Connection, HttpError> {
        let (host, port) = request::endpoint(url);
        let failed = |source| HttpError::Connect { host: host.to_owned(), port, source };
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let near = stream.peer_addr().map_err(failed)?.ip().to_canonical().is_loopback();
        Ok(Connection { stream, gzip: self.settings().compression && !near })
    }

    async fn exchange(&mut self, mut connection: Connection, body: &mut Body) -> Result<End, HttpError> {
        let bytes = match self.request.take() {
            Some((gzip, bytes)) if gzip == connection.gzip && !self.target.job.login.has_files() => bytes,
            _ => {
                let login = self.login().await?;
                let (url, accept) = (&self.target.target.url, self.settings().accept());
                request::render(url, &accept, self.target.timeout, connection.gzip, &login)
            }
        };
        let end = self.converse(&mut connection, &bytes, body).await;
        self.request = Some((connection.gzip, bytes));
        if let Ok(End::Body(Whole { keep: true, .. })) = end {
            self.connection = Some(connection);
        }
        end
    }

    /// Sends a request and reads the answer.
    async fn converse(
        &mut self,
        connection: &mut Connection,
        request: &[u8],
        body: &mut Body,
    ) -> Result<End, HttpError> {
        let Connection { stream, gzip } = connection;
        body.release(&self.buffers);
        stream.write_all(request).await.map_err(Fault::Io)?;
        // A server that takes its time holds no memory of ours meanwhile.
        stream.readable().await.map_err(Fault::Io)?;
        body.buffer = self.buffers.take(self.read);
        let mut room = (self.read + 1).max(answer::FIRST);
        let mut answer = Answer::new(self.settings().body_size_limit, *gzip);
        loop {
            body.buffer.reserve(room);
            if stream.read_buf(&mut body.buffer).await.map_err(Fault::Io)? == 0 {
                return answer.closed(body).map(End::Body);
            }
            match answer.advance(body)? {
                Next::Read(bytes) => room = bytes,
                Next::End(end) => {
                    self.read = body.buffer.len();
                    return Ok(end);
                }
            }
        }
    }

    async fn unpack(&mut self, whole: Whole, body: &mut Body) -> Result<Dialect, HttpError> {
        let Whole { gzip, dialect, keep: _ } = whole;
        if gzip {
            let limit = self.settings().body_size_limit;
            let compressed = mem::take(body);
            let mut plain = self.buffers.take(self.inflated);
            let inflate = move || {
                let result = gzip::inflate(&compressed, &mut plain, limit);
                (compressed, plain, result)
            };
            let (mut compressed, plain, result) = if self.read < LARGE {
                inflate()
            } else {
                spawn_blocking(inflate).await.map_err(|error| Fault::Io(error.into()))?
            };
            compressed.release(&self.buffers);
            self.inflated = plain.len();
            *body = Body { range: 0..plain.len(), buffer: plain };
            if result.is_err() {
                body.range = 0..0;
            }
            result?;
        }
        Ok(dialect.unwrap_or(self.settings().fallback))
    }
}

impl Connection {
    /// Whether nothing came since the last answer, neither bytes nor an end.
    fn is_quiet(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

#[cfg(test)]
mod tests;
