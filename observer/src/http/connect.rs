//! Connections: plain ones, and TLS.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
};

use hyper::Uri;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    ConnectError, TlsFault,
    error::{handshake, refusal},
    tls::{Made, Tls},
};
use crate::config::{ClientConfig, TlsConfig};

/// Which versions of HTTP may be spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Versions {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 where the server agrees to it in TLS, else HTTP/1.1.
    #[default]
    Any,
    /// HTTP/2 only, without TLS by prior knowledge, as gRPC needs it.
    Http2,
}

impl Versions {
    /// Those that a client may speak.
    pub(crate) const fn of(config: &ClientConfig) -> Self {
        if config.http2 { Self::Any } else { Self::Http1 }
    }

    /// What is offered in TLS.
    pub(super) const fn offered(self) -> &'static [&'static [u8]] {
        match self {
            // What Go's client does without HTTP/2.
            Self::Http1 => &[],
            Self::Any => &[b"h2", b"http/1.1"],
            Self::Http2 => &[b"h2"],
        }
    }
}

/// Connects as one `tls_config` says. All that use the same one share it, and with it what it remembers of past handshakes.
#[derive(Debug)]
pub(crate) struct Connector {
    tls: Arc<Tls>,
    versions: Versions,
}

/// Those that are in use.
#[derive(Debug, Default)]
pub(crate) struct Connectors(Mutex<Vec<Weak<Connector>>>);

impl Connectors {
    /// The one for this configuration.
    pub(crate) fn get(&self, config: &TlsConfig, versions: Versions) -> Arc<Connector> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|one| one.strong_count() > 0);
        let same = |one: &Arc<Connector>| one.versions == versions && one.tls.config() == config;
        let found = known.iter().filter_map(Weak::upgrade).find(same);
        found.unwrap_or_else(|| {
            let new = Arc::new(Connector::new(config.clone(), versions));
            known.push(Arc::downgrade(&new));
            new
        })
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Stream {
    io: Io,
    /// The serial of the certificates it was made with; 0 without TLS.
    serial: u64,
    refusal: Refusal,
}

/// Why a server has ended TLS behind the handshake, if it has. Whoever speaks HTTP/2 on a connection hears less than that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal(Option<Arc<OnceLock<String>>>);

impl Refusal {
    /// The reason.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.as_ref()?.get().map(String::as_str)
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let (Poll::Ready(Err(error)), Some(noted)) = (&result, &self.0)
            && let Some(reason) = refusal(error)
        {
            noted.get_or_init(|| reason);
        }
        result
    }

    /// The same of what was written. A server that refuses us says why and closes the connection: who writes then hears only of its
    /// end, and reads no more.
    fn note_written<T>(
        &self,
        tls: &mut TlsStream<TcpStream>,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if matches!(wrote, Poll::Ready(Err(_))) && self.reason().is_none() {
            let mut byte = [0];
            // What the server said last may not have been noticed yet; its end will be, and then the write fails again.
            ready!(self.note(Pin::new(tls).poll_read(context, &mut ReadBuf::new(&mut byte)))).ok();
        }
        self.note(wrote)
    }
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    /// Large, and mostly not used.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The host to connect to, an IPv6 address without its brackets, and the port.
pub(crate) fn endpoint(url: &Uri) -> (&str, u16) {
    let host = url.host().unwrap_or_default();
    let default = if is_tls(url) { 443 } else { 80 };
    (host.trim_start_matches('[').trim_end_matches(']'), url.port_u16().unwrap_or(default))
}

fn is_tls(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

impl Connector {
    pub(crate) fn new(config: TlsConfig, versions: Versions) -> Self {
        Self { tls: Arc::new(Tls::new(config, versions)), versions }
    }

    /// Connects to the host of a URL, and agrees on TLS if its scheme is `https`.
    ///
    /// # Errors
    ///
    /// Names the host and what failed.
    pub(crate) async fn connect(&self, url: &Uri) -> Result<Stream, ConnectError> {
        let (host, port) = endpoint(url);
        let failed = |source| ConnectError::Tcp { host: host.to_owned(), port, source };
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        if !is_tls(url) {
            return Ok(Stream { io: Io::Plain(stream), serial: 0, refusal: Refusal::default() });
        }
        let Made { client, serial, .. } = self.tls.current().await?;
        let name = self.tls.config().server_name.as_deref().unwrap_or(host);
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsFault(format!("`{name}` is not a name that a certificate can have")))?;
        let agreed = TlsConnector::from(client).connect(server, stream).await;
        let stream = agreed.map_err(|error| ConnectError::Tls {
            host: host.to_owned(),
            port,
            reason: handshake(&error),
        })?;
        let refusal = Refusal(Some(Arc::default()));
        Ok(Stream { io: Io::Tls(Box::new(stream)), serial, refusal })
    }

    /// Whether a connection with that serial was made with the certificates of now.
    pub(crate) async fn is_current(&self, serial: u64) -> bool {
        !self.tls.config().has_files() || self.tls.current().await.is_ok_and(|made| made.serial == serial)
    }

    /// Whether HTTP/2 is to be spoken on it.
    pub(crate) fn speaks_http2(&self, stream: &Stream) -> bool {
        match &stream.io {
            Io::Plain(_) => self.versions == Versions::Http2,
            Io::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Whether a connection to there may come to speak HTTP/2.
    pub(super) fn may_http2(&self, url: &Uri) -> bool {
        match self.versions {
            Versions::Http1 => false,
            Versions::Any => is_tls(url),
            Versions::Http2 => true,
        }
    }

    /// Whether only HTTP/2 will do.
    pub(super) fn needs_http2(&self) -> bool {
        self.versions == Versions::Http2
    }
}

impl Stream {
    /// The serial of the certificates that it was made with.
    pub(crate) const fn serial(&self) -> u64 {
        self.serial
    }

    /// Where it will be said why the server refuses.
    pub(crate) fn refusal(&self) -> Refusal {
        self.refusal.clone()
    }

    /// The connection beneath TLS, or itself.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match &self.io {
            Io::Plain(tcp) => tcp,
            Io::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Waits until there is something to read. With TLS that can only be known by reading: so many bytes are in `first`, none
    /// if the connection has ended.
    pub(crate) async fn begin(&mut self, first: &mut [u8; 1]) -> io::Result<Option<usize>> {
        match &mut self.io {
            Io::Plain(tcp) => tcp.readable().await.map(|()| None),
            Io::Tls(tls) => tls.read(first).await.map(Some),
        }
    }

    /// Whether nothing came since the last answer, neither bytes nor an end.
    pub(crate) fn is_quiet(&mut self) -> bool {
        match &mut self.io {
            Io::Plain(tcp) => {
                matches!(tcp.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Io::Tls(tls) => {
                let (mut byte, waker) = ([0], Waker::noop());
                let read =
                    Pin::new(tls).poll_read(&mut Context::from_waker(waker), &mut ReadBuf::new(&mut byte));
                read.is_pending()
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, refusal, .. } = &mut *self;
        match io {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Io::Tls(tls) => refusal.note(Pin::new(tls).poll_read(context, buffer)),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, refusal, .. } = &mut *self;
        match io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Io::Tls(tls) => {
                let wrote = Pin::new(&mut *tls).poll_write(context, bytes);
                refusal.note_written(tls, context, wrote)
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, refusal, .. } = &mut *self;
        match io {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Io::Tls(tls) => {
                let wrote = Pin::new(&mut *tls).poll_flush(context);
                refusal.note_written(tls, context, wrote)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, refusal, .. } = &mut *self;
        match io {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Io::Tls(tls) => {
                let wrote = Pin::new(&mut *tls).poll_shutdown(context);
                refusal.note_written(tls, context, wrote)
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, refusal, .. } = &mut *self;
        match io {
            Io::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Io::Tls(tls) => {
                let wrote = Pin::new(&mut *tls).poll_write_vectored(context, slices);
                refusal.note_written(tls, context, wrote)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(tcp) => tcp.is_write_vectored(),
            Io::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_has_no_brackets_to_connect_to() {
        assert_eq!(endpoint(&"http://[::1]:9100/m".parse().unwrap()), ("::1", 9100));
        assert_eq!(endpoint(&"http://h/m".parse().unwrap()), ("h", 80));
        assert_eq!(endpoint(&"https://h/m".parse().unwrap()), ("h", 443));
    }
}
