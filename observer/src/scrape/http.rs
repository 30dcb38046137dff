//! The HTTP side of a scrape: one connection a target, kept open between scrapes.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Incoming},
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use observer_exposition::Dialect;
use tokio::{net::TcpStream, task::JoinHandle};

use crate::config::{Settings, Target};

/// What Prometheus accepts, without its protobuf and with names that every reader downstream understands.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,\
                      application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

const USER_AGENT: &str = concat!("observer/", env!("CARGO_PKG_VERSION"));

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("cannot connect to `{host}` port {port}: {source}")]
    Connect { host: String, port: u16, source: io::Error },
    #[error("cannot exchange HTTP: {}", causes(.0))]
    Exchange(hyper::Error),
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    #[error("body exceeds the limit of {0} bytes")]
    BodyLimit(usize),
    #[error("body has the content encoding `{0}`, which was not asked for")]
    Encoding(String),
}

/// Scrapes one target.
#[derive(Debug)]
pub(super) struct Client {
    target: Arc<Target>,
    timeout_seconds: String,
    body_limit: usize,
    connection: Option<Connection>,
}

/// An idle connection. Its task ends with it.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    pub(super) fn new(target: Arc<Target>, settings: &Settings) -> Self {
        let Settings { timeout, body_size_limit: body_limit, .. } = *settings;
        Self { target, timeout_seconds: seconds(timeout), body_limit, connection: None }
    }

    /// Fetches the body into `body`, which is emptied first. Cancelling the future closes the connection.
    pub(super) async fn fetch(&mut self, body: &mut Vec<u8>) -> Result<Dialect, HttpError> {
        if let Some(mut connection) = self.connection.take()
            && connection.sender.ready().await.is_ok()
        {
            match self.exchange(connection, body).await {
                // The server closed the idle connection at the moment it was used again.
                Err(HttpError::Exchange(error))
                    if body.is_empty() && (error.is_canceled() || error.is_incomplete_message()) => {}
                result => return result,
            }
        }
        let connection = self.connect().await?;
        self.exchange(connection, body).await
    }

    async fn connect(&self) -> Result<Connection, HttpError> {
        let (host, port) = (self.target.host(), self.target.port());
        let failed = |source| HttpError::Connect { host: host.to_owned(), port, source };
        let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(HttpError::Exchange)?;
        let task = tokio::spawn(async move {
            // The exchange that runs at that time gets the error; an idle connection has none to tell.
            let _closed = connection.await;
        });
        Ok(Connection { sender, task })
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        body: &mut Vec<u8>,
    ) -> Result<Dialect, HttpError> {
        body.clear();
        let response = connection.sender.send_request(self.request()).await.map_err(HttpError::Exchange)?;
        let format = accept(&response)?;
        let mut incoming = response.into_body();
        self.check(incoming.size_hint().lower())?;
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(HttpError::Exchange)?.into_data() {
                self.check((body.len() + data.len()) as u64)?;
                body.extend_from_slice(&data);
            }
        }
        self.connection = Some(connection);
        Ok(format)
    }

    fn request(&self) -> Request<Empty<Bytes>> {
        let url = &self.target.url;
        let mut request = Request::new(Empty::new());
        // The request line has the path only; the host stands in its header.
        if let Some(path) = url.path_and_query() {
            *request.uri_mut() = path.clone().into();
        }
        let headers = request.headers_mut();
        let host = url.authority().map_or("", |authority| authority.as_str());
        for (name, value) in [
            (header::HOST, host),
            (header::ACCEPT, ACCEPT),
            (header::USER_AGENT, USER_AGENT),
            (header::HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), &*self.timeout_seconds),
        ] {
            // A host that was parsed and the rest, which is ASCII, are all valid values.
            if let Ok(value) = header::HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        request
    }

    fn check(&self, bytes: u64) -> Result<(), HttpError> {
        let over = self.body_limit != 0 && bytes > self.body_limit as u64;
        if over { Err(HttpError::BodyLimit(self.body_limit)) } else { Ok(()) }
    }
}

/// Whether the response has a body that can be read, and in which format.
fn accept(response: &Response<Incoming>) -> Result<Dialect, HttpError> {
    if response.status() != StatusCode::OK {
        return Err(HttpError::Status(response.status()));
    }
    let value = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let encoding = value(header::CONTENT_ENCODING);
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
        return Err(HttpError::Encoding(encoding.to_owned()));
    }
    Ok(format(value(header::CONTENT_TYPE)))
}

/// Whatever is not OpenMetrics is read as the text format: many small exporters name no type, or a wrong one.
fn format(content_type: &str) -> Dialect {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/openmetrics-text") {
        Dialect::OpenMetrics
    } else {
        Dialect::Text
    }
}

/// Seconds in the fewest digits, as Go writes them.
fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

/// An error of hyper says little without its causes.
fn causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_openmetrics_is_read_as_openmetrics() {
        for (content_type, expected) in [
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Dialect::OpenMetrics),
            ("Application/OpenMetrics-Text", Dialect::OpenMetrics),
            ("text/plain; version=0.0.4", Dialect::Text),
            ("", Dialect::Text),
        ] {
            assert_eq!(format(content_type), expected, "{content_type}");
        }
    }

    #[test]
    fn the_timeout_is_written_as_go_does() {
        assert_eq!(seconds(Duration::from_secs(10)), "10");
        assert_eq!(seconds(Duration::from_millis(500)), "0.5");
    }
}
