//! The client against servers on loopback, with certificates made here.

use std::{
    convert::Infallible,
    fs,
    io::Read as _,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::{self, ClientConfig, Environment};

mod authority;
mod posts;
mod trusts;

pub(crate) use authority::{Authority, Issued};

/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("observer-http-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, file: &str, text: &str) -> String {
        let path = self.0.join(file);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over does not matter to the result.
        let _left = fs::remove_dir_all(&self.0);
    }
}

/// The keys of a client as a job has them.
fn client(keys: &str) -> ClientConfig {
    let text = format!("scrape_configs: [{{job_name: j, {keys}}}]");
    config::parse("a.yml", &text, &Environment::default()).unwrap().0.jobs.remove(0).client
}

fn settings(url: &str, client: ClientConfig) -> PostSettings {
    PostSettings {
        url: url.parse().unwrap(),
        versions: Versions::of(&client),
        client,
        headers: Vec::new(),
        timeout: PATIENCE,
        connections: 2,
        answer_bytes: 1024,
    }
}

fn poster(url: &str, keys: &str) -> Poster {
    Poster::new(&settings(url, client(keys))).unwrap()
}

async fn post(poster: &Poster) -> Result<String, String> {
    let answer = poster.post(&[], Bytes::from_static(b"hello")).await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(answer.body.to_vec()).unwrap())
}

/// A server that says what it was asked: version, path and body.
pub(crate) struct Server {
    pub(crate) address: std::net::SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Who connects from now on meets this.
    pub(crate) tls: Arc<Mutex<Option<Arc<ServerConfig>>>>,
    open: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Server {
    /// The URL of a path, by the name that its certificate has.
    pub(crate) fn url(&self, path: &str) -> String {
        let tls = self.tls.lock().unwrap().is_some();
        let (scheme, host) = if tls { ("https", "localhost") } else { ("http", "127.0.0.1") };
        format!("{scheme}://{host}:{}{path}", self.address.port())
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Ends all connections without a word.
    pub(crate) async fn hang_up(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap());
        for task in open {
            task.abort();
            let _ended = task.await;
        }
    }

    pub(crate) async fn start(tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, tls) = (Arc::<AtomicUsize>::default(), Arc::new(Mutex::new(tls.map(Arc::new))));
        let open = Arc::<Mutex<Vec<_>>>::default();
        let server = Self {
            address,
            connections: Arc::clone(&connections),
            tls: Arc::clone(&tls),
            open: Arc::clone(&open),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Relaxed);
                let tls = tls.lock().unwrap().clone();
                // How a connection ends is what the client is asked about.
                let task = tokio::spawn(async move {
                    let Some(config) = tls else {
                        let mut begin = [0; 3];
                        let two = stream.peek(&mut begin).await.is_ok() && &begin == b"PRI";
                        return serve(stream, two).await;
                    };
                    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
                    let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    serve(stream, two).await;
                });
                open.lock().unwrap().push(task);
            }
        });
        server
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, http2: bool) {
    let (io, service) = (TokioIo::new(stream), service_fn(answer));
    if http2 {
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
    } else {
        drop(http1::Builder::new().serve_connection(io, service).await);
    }
}

fn full(bytes: impl AsRef<[u8]>) -> BoxBody<Bytes, Infallible> {
    Full::new(Bytes::copy_from_slice(bytes.as_ref())).boxed()
}

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<BoxBody<Bytes, Infallible>>> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
    let version = if head.version == Version::HTTP_2 { 2 } else { 1 };
    let login = head.headers.get("authorization").map_or("", |value| value.to_str().unwrap());
    let text = format!("{version} {} {} {body} {login}", head.method, head.uri.path());
    let mut response = Response::new(full(text.trim()));
    match head.uri.path() {
        "/metrics" => {
            let text = format!("http_version {version}\n# {}\n", "x".repeat(100_000));
            *response.body_mut() = full(text);
        }
        "/gzip" => {
            let mut encoder = flate2::bufread::GzEncoder::new(&b"a 1\n"[..], flate2::Compression::fast());
            let mut compressed = Vec::new();
            encoder.read_to_end(&mut compressed).unwrap();
            response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
            *response.body_mut() = full(compressed);
        }
        "/targets" => {
            response.headers_mut().insert("content-type", "application/json".parse().unwrap());
            *response.body_mut() = full(format!(r#"[{{"targets": ["h:{version}"]}}]"#));
        }
        "/large" => *response.body_mut() = full("a".repeat(5000)),
        "/silence" => std::future::pending().await,
        "/grpc" => {
            let mut trailers = hyper::HeaderMap::new();
            trailers.insert("grpc-status", "7".parse().unwrap());
            let body = std::mem::replace(response.body_mut(), full(""));
            *response.body_mut() = body.with_trailers(async { Some(Ok(trailers)) }).boxed();
        }
        "/busy" => {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().insert("retry-after", "7".parse().unwrap());
        }
        path => {
            if let Some(status) = path.strip_prefix("/moved/") {
                *response.status_mut() = status.parse().unwrap();
                response
                    .headers_mut()
                    .insert("location", head.uri.query().unwrap_or("/there").parse().unwrap());
            }
        }
    }
    Ok(response)
}

/// What a server shows, and which clients it wants.
pub(crate) fn serving(issued: &Issued, clients: Option<&Authority>, alpn: &[&str]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = match clients {
        None => builder.unwrap().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.unwrap().with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(vec![issued.der.clone()], issued.key()).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}
