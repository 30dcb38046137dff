//! The HTTP side of a scrape: one connection a target, kept open between scrapes, and nothing else.
//!
//! An HTTP/1.1 client of our own: a scrape is one request that never changes and one answer that is read into memory which
//! the parser then reads, and what a general client does beside that would cost more than all else we do with a body.

mod answer;
mod buffers;
mod chunked;
mod gzip;
mod head;
mod http2;
mod request;

use std::{borrow::Cow, io, mem, sync::Arc};

use hyper::{
    StatusCode, Uri,
    header::{HeaderName, HeaderValue},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::spawn_blocking,
};

use self::answer::{Answer, End, Next, Whole};
pub(super) use self::buffers::{Body, Buffers};
use self::{http2::Shared, request::Ask};
use crate::{
    config::{Dialect, ScrapeTarget, Settings},
    http::{ConnectError, Connector, HOPS, Stream, elsewhere, refusal},
};

/// The size of a compressed body from which decompressing takes milliseconds, in which other tasks of the thread would wait.
const LARGE: usize = 512 << 10;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server ended TLS behind the handshake, as those do that want another certificate of ours.
    #[error("TLS failed: {0}")]
    Tls(String),
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
    #[error("connection ended before an answer came: {0}")]
    Unanswered(String),
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

impl From<io::Error> for HttpError {
    fn from(error: io::Error) -> Self {
        match refusal(&error) {
            Some(reason) => Self::Tls(reason),
            None => Self::Exchange(Fault::Io(error)),
        }
    }
}

/// Scrapes one target.
#[derive(Debug)]
pub(super) struct Client {
    target: Arc<ScrapeTarget>,
    connector: Arc<Connector>,
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
    speaks: Speaks,
    /// A compressed body is worth its time: over a real network, and if the job wants it.
    gzip: bool,
}

#[derive(Debug)]
enum Speaks {
    Http1(Stream),
    Http2(Shared),
}

impl Client {
    pub(super) fn new(target: Arc<ScrapeTarget>, buffers: Arc<Buffers>, connector: Arc<Connector>) -> Self {
        let (request, connection) = (None, None);
        Self { target, connector, buffers, request, connection, read: 0, inflated: 0 }
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
            if !self.target.job.client.follow_redirects {
                return Err(HttpError::Status(status));
            }
            if hops == HOPS {
                return Err(Fault::from(format!("answer leads elsewhere for more than {HOPS} times")).into());
            }
            hops += 1;
            let base = url.as_ref().unwrap_or(&self.target.target.url);
            let next = elsewhere(base, &location).map_err(Fault::from)?;
            end = self.ask_elsewhere(&next, body).await?;
            url = Some(next);
        }
    }

    /// Gives the memory of a body back.
    pub(super) fn release(&self, body: &mut Body) {
        body.release(&self.buffers);
    }

    async fn ask_target(&mut self, body: &mut Body) -> Result<End, HttpError> {
        if let Some(mut connection) = self.connection.take()
            && connection.is_quiet()
            && connection.is_current(&self.connector).await
        {
            match self.exchange(connection, body).await {
                // The server closed the idle connection before it saw the request.
                Err(HttpError::Exchange(Fault::Io(_) | Fault::NoAnswer | Fault::Unanswered(_)))
                    if body.buffer.is_empty() => {}
                result => return result,
            }
        }
        let connection = self.connect(&self.target.target.url).await?;
        self.exchange(connection, body).await
    }

    /// Asks once at a place that an answer named.
    async fn ask_elsewhere(&mut self, url: &Uri, body: &mut Body) -> Result<End, HttpError> {
        let mut connection = self.connect(url).await?;
        let own = &self.target.target.url;
        // What the target may know is not for others.
        let login = if url.authority() == own.authority() && url.scheme() == own.scheme() {
            self.login().await?
        } else {
            Vec::new()
        };
        let accept = self.settings().accept();
        let gzip = connection.gzip;
        let ask = Ask { url, accept, timeout: self.target.timeout, gzip, login };
        match &mut connection.speaks {
            Speaks::Http1(stream) => self.converse(stream, gzip, &ask.bytes(), body).await,
            Speaks::Http2(shared) => self.converse_http2(shared, gzip, ask.request(), body).await,
        }
    }

    fn settings(&self) -> &Settings {
        &self.target.job.settings
    }

    /// The headers of the job's login, with the files as they are now.
    async fn login(&self) -> Result<Vec<(HeaderName, HeaderValue)>, HttpError> {
        let headers = if self.target.job.client.login.has_files() {
            let target = Arc::clone(&self.target);
            spawn_blocking(move || target.job.client.login.headers())
                .await
                .unwrap_or_else(|error| Err(error.into()))
        } else {
            self.target.job.client.login.headers()
        };
        Ok(headers.map_err(Fault::Login)?)
    }

    async fn connect(&self, url: &Uri) -> Result<Connection, HttpError> {
        let stream = self.connector.connect(url).await?;
        let near = stream.tcp().peer_addr()?.ip().to_canonical().is_loopback();
        let speaks = if self.connector.speaks_http2(&stream) {
            Speaks::Http2(Shared::new(stream).await?)
        } else {
            Speaks::Http1(stream)
        };
        Ok(Connection { speaks, gzip: self.settings().compression && !near })
    }

    /// A request to the target.
    async fn ask(&self, gzip: bool) -> Result<Ask<'_>, HttpError> {
        let (accept, login) = (self.settings().accept(), self.login().await?);
        Ok(Ask { url: &self.target.target.url, accept, timeout: self.target.timeout, gzip, login })
    }

    async fn exchange(&mut self, mut connection: Connection, body: &mut Body) -> Result<End, HttpError> {
        let gzip = connection.gzip;
        let end = match &mut connection.speaks {
            Speaks::Http1(stream) => {
                let bytes = match self.request.take() {
                    Some((same, bytes)) if same == gzip && !self.target.job.client.login.has_files() => bytes,
                    _ => self.ask(gzip).await?.bytes(),
                };
                let end = self.converse(stream, gzip, &bytes, body).await;
                self.request = Some((gzip, bytes));
                end
            }
            Speaks::Http2(shared) => {
                let request = self.ask(gzip).await?.request();
                self.converse_http2(shared, gzip, request, body).await
            }
        };
        if let Ok(End::Body(Whole { keep: true, .. })) = end {
            self.connection = Some(connection);
        }
        end
    }

    /// Sends a request and reads the answer.
    async fn converse(
        &mut self,
        stream: &mut Stream,
        gzip: bool,
        request: &[u8],
        body: &mut Body,
    ) -> Result<End, HttpError> {
        body.release(&self.buffers);
        let mut answer = Answer::new(self.settings().body_size_limit, gzip);
        stream.write_all(request).await?;
        stream.flush().await?;
        // A server that takes its time holds no memory of ours meanwhile.
        let mut first = [0];
        let first = match stream.begin(&mut first).await? {
            Some(0) => return answer.closed(body).map(End::Body),
            Some(_) => &first[..],
            None => &[],
        };
        body.buffer = self.buffers.take(self.read);
        body.buffer.extend_from_slice(first);
        let mut room = (self.read + 1).max(answer::FIRST);
        loop {
            body.buffer.reserve(room);
            if stream.read_buf(&mut body.buffer).await? == 0 {
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
    fn is_quiet(&mut self) -> bool {
        match &mut self.speaks {
            Speaks::Http1(stream) => stream.is_quiet(),
            Speaks::Http2(shared) => shared.is_open(),
        }
    }

    /// Whether it was made with the certificates of now.
    async fn is_current(&self, connector: &Connector) -> bool {
        connector
            .is_current(match &self.speaks {
                Speaks::Http1(stream) => stream.serial(),
                Speaks::Http2(shared) => shared.serial(),
            })
            .await
    }
}

#[cfg(test)]
mod tests;
