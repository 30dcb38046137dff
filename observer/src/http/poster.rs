//! What exports post with.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Method, Uri,
    header::{HeaderName, HeaderValue},
};

use super::{Answer, Client, Connector, PostError, Versions, client::Options};
use crate::config::ClientConfig;

/// Where to post, and how.
#[derive(Clone, Debug)]
pub(crate) struct PostSettings {
    /// `http` or `https`, with a host.
    pub(crate) url: Uri,
    /// Login, TLS and which redirects to follow: with a body only 307 and 308 are.
    pub(crate) client: ClientConfig,
    /// Headers of every request; those of a request decide over them.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The longest from a request to the end of its answer.
    pub(crate) timeout: Duration,
    /// [`Versions::of`] the client, or [`Versions::Http2`] for gRPC.
    pub(crate) versions: Versions,
    /// How many connections stay open: as many as there are requests at a time. HTTP/2 has one for all of them.
    pub(crate) connections: usize,
    /// The most bytes of an answer's body that are kept.
    pub(crate) answer_bytes: usize,
}

/// Posts to one endpoint over connections that it keeps.
#[derive(Debug)]
pub(crate) struct Poster {
    client: Client,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Poster {
    /// A poster without a connection: the first request makes one.
    ///
    /// # Errors
    ///
    /// Says which value of the login cannot be sent, if that is known before a file is read.
    pub(crate) fn new(settings: &PostSettings) -> Result<Self, PostError> {
        let PostSettings { url, client, headers, timeout, versions, connections, answer_bytes } = settings;
        if !client.login.has_files() {
            client.login.headers().map_err(PostError::Login)?;
        }
        let connector = Arc::new(Connector::new(client.tls.clone(), *versions));
        let options = Options { timeout: *timeout, idle: *connections, answer: *answer_bytes };
        Ok(Self { client: Client::new(url.clone(), client, options, connector), headers: headers.clone() })
    }

    /// Posts one body, with headers beside those of the settings and of the login. Cancelling the future ends the exchange.
    ///
    /// # Errors
    ///
    /// Says what the server may have seen. An answer is none, whatever its status.
    pub(crate) async fn post(
        &self,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answer, PostError> {
        let all: Vec<_> = self.headers.iter().chain(headers).cloned().collect();
        self.client.send(&Method::POST, &all, &body).await
    }
}
