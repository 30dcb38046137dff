//! A client for one URL that keeps its connections: whole bodies to it, and whole answers from it.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    header::{HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT},
};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    Connector, PostError, Refusal, chain, elsewhere,
    pool::{Pool, Taken},
};
use crate::config::{ClientConfig, Login};

/// How often an answer may name another place. Go's client, which Prometheus uses, goes as far.
pub(crate) const HOPS: usize = 10;

/// How to speak to the server, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The longest from a request to the end of its answer.
    pub(crate) timeout: Duration,
    /// How many connections stay open when there is nothing to send; 0 if it is not worth it.
    pub(crate) idle: usize,
    /// The most bytes of an answer's body that are read.
    pub(crate) answer: usize,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status, whatever it is.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// What stands behind the body, such as `grpc-status`.
    pub(crate) trailers: HeaderMap,
    /// The body, or its begin.
    pub(crate) body: Bytes,
    /// There is more of the body than what may be read.
    pub(crate) cut: bool,
}

impl Answer {
    /// The first value of a header or, if there is none, of a trailer.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).or_else(|| self.trailers.get(name)).and_then(|value| value.to_str().ok())
    }
}

/// Sends requests to one URL.
#[derive(Debug)]
pub(crate) struct Client {
    url: Uri,
    login: Arc<Login>,
    follow: bool,
    options: Options,
    connector: Arc<Connector>,
    pool: Pool,
}

/// Headers in their order.
type Headers<'a> = &'a [(HeaderName, HeaderValue)];

impl Client {
    /// A client that has no connection yet. The connector is one for the same configuration and versions.
    pub(crate) fn new(url: Uri, config: &ClientConfig, options: Options, connector: Arc<Connector>) -> Self {
        let pool = Pool::new(options.idle);
        let login = Arc::new(config.login.clone());
        Self { url, login, follow: config.follow_redirects, options, connector, pool }
    }

    /// Sends a request with these headers, beside those of the login, and reads its answer. Cancelling the future ends the
    /// exchange.
    ///
    /// # Errors
    ///
    /// Says what the server may have seen. An answer is none, whatever its status.
    pub(crate) async fn send(
        &self,
        method: &Method,
        headers: Headers<'_>,
        body: &Bytes,
    ) -> Result<Answer, PostError> {
        let limit = self.options.timeout;
        match timeout(limit, self.follow(method, headers, body)).await {
            Ok(result) => result,
            Err(_) => {
                // A connection that many share may be one that leads nowhere any more.
                self.pool.forget_shared();
                Err(PostError::Timeout(limit))
            }
        }
    }

    async fn follow(&self, method: &Method, headers: Headers<'_>, body: &Bytes) -> Result<Answer, PostError> {
        let login = self.login().await?;
        let mut url = None;
        for _ in 0..=HOPS {
            let place = url.as_ref().unwrap_or(&self.url);
            let home = is_same_server(place, &self.url);
            // What the server may know is not for others.
            let secrets: &[_] = if home { &login } else { &[] };
            let answer = self.ask(place, home, method, (headers, secrets), body).await?;
            let Some(location) =
                answer.headers.get(LOCATION).filter(|_| self.follow && leads(method, answer.status))
            else {
                return Ok(answer);
            };
            let location = String::from_utf8_lossy(location.as_bytes());
            url = Some(elsewhere(place, &location).map_err(PostError::Elsewhere)?);
        }
        Err(PostError::Elsewhere(format!("answer leads elsewhere for more than {HOPS} times")))
    }

    /// The headers of the login, with the files as they are now.
    async fn login(&self) -> Result<Vec<(HeaderName, HeaderValue)>, PostError> {
        let headers = if self.login.has_files() {
            let login = Arc::clone(&self.login);
            spawn_blocking(move || login.headers()).await.unwrap_or_else(|error| Err(error.into()))
        } else {
            self.login.headers()
        };
        headers.map_err(PostError::Login)
    }

    /// Asks at one place, once more if the connection turns out to have ended before it took the request.
    async fn ask(
        &self,
        url: &Uri,
        home: bool,
        method: &Method,
        headers: (Headers<'_>, Headers<'_>),
        body: &Bytes,
    ) -> Result<Answer, PostError> {
        loop {
            let Taken { mut sender, made, used } = match home {
                true => self.pool.take(&self.connector, url).await?,
                false => Taken::connect(&self.connector, url).await?,
            };
            let request = request(url, sender.is_http2(), method, headers, body)?;
            let response = match sender.send(request).await {
                Ok(response) => response,
                Err(mut error) => {
                    if used && error.take_message().is_some() {
                        continue;
                    }
                    let error = error.into_error();
                    return Err(failed(url, &made.refusal, &error, PostError::Unanswered));
                }
            };
            let answer = self.read(url, &made.refusal, response).await?;
            if home && !answer.cut {
                self.pool.give(sender, made).await;
            }
            return Ok(answer);
        }
    }

    async fn read(
        &self,
        url: &Uri,
        refusal: &Refusal,
        response: Response<Incoming>,
    ) -> Result<Answer, PostError> {
        let (head, mut body) = response.into_parts();
        let mut answer = Answer {
            status: head.status,
            headers: head.headers,
            trailers: HeaderMap::new(),
            body: Bytes::new(),
            cut: false,
        };
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failed(url, refusal, &error, PostError::Cut))?;
            match frame.into_data() {
                Ok(data) => {
                    let room = self.options.answer - read.len();
                    read.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        answer.cut = true;
                        break;
                    }
                }
                Err(frame) => answer.trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        answer.body = read.freeze();
        Ok(answer)
    }
}

fn failed(url: &Uri, refusal: &Refusal, error: &hyper::Error, other: fn(String) -> PostError) -> PostError {
    match refusal.reason() {
        Some(reason) => {
            PostError::Tls { host: url.host().unwrap_or_default().to_owned(), reason: reason.to_owned() }
        }
        None => other(chain(error)),
    }
}

/// Whether an answer to such a request is to be followed: one with a body only to where it may go with it.
fn leads(method: &Method, status: StatusCode) -> bool {
    match status.as_u16() {
        307 | 308 => true,
        301..=303 => *method == Method::GET,
        _ => false,
    }
}

fn is_same_server(one: &Uri, other: &Uri) -> bool {
    one.scheme() == other.scheme() && one.authority() == other.authority()
}

fn request(
    url: &Uri,
    http2: bool,
    method: &Method,
    headers: (Headers<'_>, Headers<'_>),
    body: &Bytes,
) -> Result<Request<Full<Bytes>>, PostError> {
    let unfit = |what: &str| PostError::Elsewhere(format!("`{url}` {what}"));
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = method.clone();
    let own = request.headers_mut();
    own.insert(USER_AGENT, HeaderValue::from_static(super::USER_AGENT));
    let host = url.authority().map_or("", |authority| authority.as_str());
    if !http2 {
        own.insert(
            HOST,
            HeaderValue::from_str(host).map_err(|_| unfit("is at a host that HTTP cannot name"))?,
        );
    }
    for (name, value) in headers.0 {
        own.insert(name, value.clone());
    }
    for (name, value) in headers.1 {
        own.append(name, value.clone());
    }
    if http2 {
        *request.uri_mut() = url.clone();
        *request.version_mut() = Version::HTTP_2;
    } else {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| unfit("has a path that HTTP cannot ask for"))?;
    }
    Ok(request)
}
