//! A scrape over HTTP/2, which a target agrees to in TLS. The protocol is hyper's; the body goes into memory of the pool too.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, StatusCode,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{
    Body, Client, Fault, HttpError,
    answer::{End, Whole, check},
    head::{self, Framing, Head},
};
use crate::http::{Refusal, Stream, chain};

/// A connection that one request at a time goes over.
#[derive(Debug)]
pub(super) struct Shared {
    sender: SendRequest<Empty<Bytes>>,
    serial: u64,
    refusal: Refusal,
}

impl Shared {
    /// Begins HTTP/2 on a connection.
    pub(super) async fn new(stream: Stream) -> Result<Self, HttpError> {
        let (serial, refusal) = (stream.serial(), stream.refusal());
        let builder = Builder::new(TokioExecutor::new());
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&refusal, &error, Fault::Unanswered))?;
        // What goes wrong with it comes to who sends on it too. It ends with the sender.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, serial, refusal })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// The serial of the certificates it was made with.
    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }
}

fn failed(refusal: &Refusal, error: &hyper::Error, other: fn(String) -> Fault) -> HttpError {
    match refusal.reason() {
        Some(reason) => HttpError::Tls(reason.to_owned()),
        None => other(chain(error)).into(),
    }
}

impl Client {
    /// Sends a request and reads the answer.
    pub(super) async fn converse_http2(
        &mut self,
        shared: &mut Shared,
        gzip: bool,
        request: Request<Empty<Bytes>>,
        body: &mut Body,
    ) -> Result<End, HttpError> {
        body.release(&self.buffers);
        let response = match shared.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(error) => return Err(failed(&shared.refusal, &error.into_error(), Fault::Unanswered)),
        };
        let (head, mut frames) = response.into_parts();
        let whole = match head::of(head.status, &head.headers, gzip)? {
            Head::Elsewhere { status, location } => return Ok(End::Elsewhere { status, location }),
            Head::Interim => return Err(HttpError::Status(head.status)),
            Head::Body { framing, gzip, keep: _, dialect } => {
                if let Framing::Length(bytes) = framing {
                    check(self.settings().body_size_limit, bytes)?;
                }
                Whole { gzip, keep: true, dialect }
            }
        };
        debug_assert_eq!(head.status, StatusCode::OK);
        body.buffer = self.buffers.take(self.read);
        while let Some(frame) = frames.frame().await {
            // What stands behind the body means nothing here.
            let Ok(data) = frame.map_err(|error| failed(&shared.refusal, &error, Fault::from))?.into_data()
            else {
                continue;
            };
            body.buffer.extend_from_slice(&data);
            check(self.settings().body_size_limit, body.buffer.len() as u64)?;
        }
        self.read = body.buffer.len();
        body.range = 0..body.buffer.len();
        Ok(End::Body(whole))
    }
}
