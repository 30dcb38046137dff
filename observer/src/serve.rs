//! The agent's own HTTP server: the page, health, and the API, on TCP and on a Unix socket.

mod api;
mod exports;
mod page;
mod patience;
mod route;

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use observer_aggregate::window::Window;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use self::{page::Pages, patience::Patient, route::Door};
use crate::{bpf::Level, export::delivery::Status, telemetry::Telemetry, window::TargetList};

/// What the server shows.
pub(crate) struct State {
    pub(crate) windows: watch::Receiver<Arc<Window>>,
    /// The targets' last scrapes.
    pub(crate) targets: Box<dyn Fn() -> TargetList + Send + Sync>,
    /// How the exports are.
    pub(crate) exports: Box<dyn Fn() -> Vec<Status> + Send + Sync>,
    /// What the Unix socket controls.
    pub(crate) control: Box<dyn Control>,
    /// Labels for every series of the page that has none of the name.
    pub(crate) external_labels: Vec<(String, String)>,
    pub(crate) telemetry: Arc<Telemetry>,
    pages: Pages,
}

/// What clients of the Unix socket may change. May block.
pub(crate) trait Control: Send + Sync + 'static {
    /// The level that is on.
    fn level(&self) -> Result<Level, String>;

    /// Switches the level and says which is on then.
    fn set_level(&self, level: Level) -> Result<Level, String>;
}

/// What clients can take of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time; one more gets status 503.
    pub(crate) connections: usize,
    /// The longest wait for a request, on a connection that was used before too.
    pub(crate) read: Duration,
    /// The longest wait for a client to take more of a response, which is a third of what the socket holds back at least.
    pub(crate) write: Duration,
    /// How long requests may still run behind the shutdown.
    pub(crate) grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            // More than the usual scrape interval, so that a scraper keeps its connection.
            read: Duration::from_secs(75),
            write: Duration::from_secs(10),
            grace: Duration::from_secs(2),
        }
    }
}

impl State {
    /// `page_bytes` is the most that pages may hold in memory.
    pub(crate) fn new(
        windows: watch::Receiver<Arc<Window>>,
        targets: Box<dyn Fn() -> TargetList + Send + Sync>,
        exports: Box<dyn Fn() -> Vec<Status> + Send + Sync>,
        control: Box<dyn Control>,
        external_labels: Vec<(String, String)>,
        telemetry: Arc<Telemetry>,
        page_bytes: usize,
    ) -> Self {
        let pages = Pages::new(page_bytes, &telemetry);
        Self { windows, targets, exports, control, external_labels, telemetry, pages }
    }
}

/// What a connection holds back for a client, in bytes. The kernel takes it twice, and wants more when a third of that is gone: a client
/// that takes less than 17 kB a second keeps us waiting for longer than [`Limits::write`]. On its own it would hold back megabytes.
const SEND_BUFFER: u32 = 256 << 10;

/// Listens for clients of the server.
///
/// # Errors
/// When the address cannot be had.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // An agent that is started again finds the address of the one before.
    socket.set_reuseaddr(true)?;
    // Connections have it from here.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Serves a TCP listener until `shutdown`, then ends what runs.
pub(crate) async fn run(
    listener: TcpListener,
    state: Arc<State>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(stream, _)| stream);
    accept_all(accept, Door::Tcp, state, limits, shutdown).await;
}

/// Serves a Unix socket, which has the control too.
pub(crate) async fn run_unix(
    listener: UnixListener,
    state: Arc<State>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let accept = |cx: &mut Context<'_>| listener.poll_accept(cx).map_ok(|(stream, _)| stream);
    accept_all(accept, Door::Unix, state, limits, shutdown).await;
}

async fn accept_all<S>(
    accept: impl Fn(&mut Context<'_>) -> Poll<io::Result<S>>,
    door: Door,
    state: Arc<State>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let free = Arc::new(Semaphore::new(limits.connections));
    // Each connection holds a receiver: it sees the end begin, and the sender sees when all are gone.
    let (stop, stopping) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => break,
            accepted = poll_fn(&accept) => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Such as no free descriptor: the queue of the socket keeps the client meanwhile.
                    log::warn!("cannot accept a connection: {error}");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => {
                tokio::spawn(connection(stream, door, Arc::clone(&state), limits, stopping.clone(), permit));
            }
            Err(_) => {
                state.telemetry.http_connections_refused.inc();
                refuse(stream).await;
            }
        }
    }
    drop(stopping);
    stop.send_replace(());
    if timeout(limits.grace, stop.closed()).await.is_err() {
        log::warn!("closed connections that were still busy {:?} after the shutdown", limits.grace);
    }
}

/// Says why there is no answer, as far as the socket takes it at once.
async fn refuse(mut stream: impl AsyncWrite + Unpin) {
    const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
        content-length: 21\r\nconnection: close\r\n\r\ntoo many connections\n";
    // A fresh socket takes so few bytes without waiting; if it does not, the client only sees the close.
    let _told = timeout(Duration::ZERO, stream.write_all(FULL)).await;
}

async fn connection<S>(
    stream: S,
    door: Door,
    state: Arc<State>,
    limits: Limits,
    mut stopping: watch::Receiver<()>,
    _permit: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(route::answer(&state, door, request).await) }
    });
    let stream = Patient::new(stream, limits.write, state.telemetry.http_connections_cut.clone());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.read)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        _ = stopping.changed() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            // Whoever outlives the grace is cut off, so that the process can end.
            match timeout(limits.grace, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        log::debug!("connection ended: {error}");
    }
}

#[cfg(test)]
mod tests;
