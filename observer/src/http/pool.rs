//! The connections of a client: one that all requests share with HTTP/2, or some that take turns with HTTP/1.1.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, Uri,
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

use super::{Connector, PostError, Refusal, chain};

type Body = Full<Bytes>;

/// How long a connection may take to be ready for the next request behind an answer. It takes longer only where the server
/// has answered before it read the request.
const READY: Duration = Duration::from_millis(50);

/// Connections that are open.
#[derive(Debug)]
pub(super) struct Pool {
    /// The most of `idle`.
    most: usize,
    idle: Mutex<Vec<(http1::SendRequest<Body>, Made)>>,
    /// Held while one is made that may be it.
    shared: tokio::sync::Mutex<Option<(http2::SendRequest<Body>, Made)>>,
}

/// Sends requests on a connection.
#[derive(Debug)]
pub(super) enum Sender {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

/// What there is to know of a connection that hyper has.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// The serial of the certificates it was made with.
    serial: u64,
    pub(super) refusal: Refusal,
}

/// A connection to send a request on.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) sender: Sender,
    pub(super) made: Made,
    /// It may have ended since it was last used.
    pub(super) used: bool,
}

impl Taken {
    /// A new connection.
    pub(super) async fn connect(connector: &Connector, url: &Uri) -> Result<Self, PostError> {
        let stream = connector.connect(url).await?;
        let made = Made { serial: stream.serial(), refusal: stream.refusal() };
        let failed = |error: hyper::Error| PostError::Unanswered(chain(&error));
        let sender = if connector.speaks_http2(&stream) {
            let builder = http2::Builder::new(TokioExecutor::new());
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
            // What goes wrong with it comes to those who send on it too. It ends with the last of them.
            tokio::spawn(async move { drop(connection.await) });
            Sender::Two(sender)
        } else if connector.needs_http2() {
            return Err(PostError::NoHttp2(url.to_string()));
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
            tokio::spawn(async move { drop(connection.await) });
            Sender::One(sender)
        };
        Ok(Self { sender, made, used: false })
    }
}

impl Sender {
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self, Self::Two(_))
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Self::One(sender) => sender.try_send_request(request).await,
            Self::Two(sender) => sender.try_send_request(request).await,
        }
    }
}

impl Pool {
    pub(super) fn new(most: usize) -> Self {
        Self { most, idle: Mutex::default(), shared: tokio::sync::Mutex::default() }
    }

    /// A connection to the one server that the pool is for.
    pub(super) async fn take(&self, connector: &Connector, url: &Uri) -> Result<Taken, PostError> {
        if let Some(taken) = self.take_idle(connector).await {
            return Ok(taken);
        }
        if !connector.may_http2(url) || self.most == 0 {
            return Taken::connect(connector, url).await;
        }
        let mut shared = self.shared.lock().await;
        if let Some((sender, made)) = &*shared {
            if !sender.is_closed() && connector.is_current(made.serial).await {
                return Ok(Taken { sender: Sender::Two(sender.clone()), made: made.clone(), used: true });
            }
            *shared = None;
        }
        let taken = Taken::connect(connector, url).await?;
        if let Sender::Two(sender) = &taken.sender {
            *shared = Some((sender.clone(), taken.made.clone()));
        }
        Ok(taken)
    }

    async fn take_idle(&self, connector: &Connector) -> Option<Taken> {
        loop {
            // The last that was used is the last that the server gives up.
            let (sender, made) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if sender.is_ready() && connector.is_current(made.serial).await {
                return Some(Taken { sender: Sender::One(sender), made, used: true });
            }
        }
    }

    /// Takes a connection back behind an answer.
    pub(super) async fn give(&self, sender: Sender, made: Made) {
        let Sender::One(mut sender) = sender else { return };
        if self.most == 0 || !matches!(timeout(READY, sender.ready()).await, Ok(Ok(()))) {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.most {
            idle.push((sender, made));
        }
    }

    /// The next request makes a new connection; those under way keep theirs.
    pub(super) fn forget_shared(&self) {
        if let Ok(mut shared) = self.shared.try_lock() {
            *shared = None;
        }
    }
}
