//! Scrapes over TLS, with HTTP/1.1 and 2.

use super::*;
use crate::http::tests::{Authority, Folder, Server, serving};

/// Both ways to scrape over TLS, and what the server calls them.
const WAYS: [(&[&str], u8); 2] = [(&["http/1.1"], 1), (&["h2", "http/1.1"], 2)];

struct Lab {
    authority: Authority,
    folder: Folder,
}

impl Lab {
    fn new(name: &str) -> Self {
        let (authority, folder) = (Authority::new("right"), Folder::new(name));
        folder.write("ca.pem", &authority.pem());
        Self { authority, folder }
    }

    async fn server(&self, alpn: &[&str]) -> Server {
        Server::start(Some(serving(&self.authority.issue("localhost"), None, alpn))).await
    }

    fn client(&self, server: &Server, path: &str, settings: Settings) -> Client {
        let ca = self.folder.write("ca.pem", &self.authority.pem());
        let keys = format!("scheme: https, metrics_path: {path}, tls_config: {{ca_file: {ca}}}");
        client_of(&format!("localhost:{}", server.address.port()), settings, &keys)
    }
}

#[tokio::test]
async fn a_target_is_scraped_over_tls_on_one_connection() {
    let lab = Lab::new("scraped");
    for (alpn, version) in WAYS {
        let server = lab.server(alpn).await;
        let mut client = lab.client(&server, "/metrics", Settings::default());
        for _ in 0..5 {
            let body = fetch(&mut client).await.unwrap();
            assert_eq!(body.lines().next(), Some(&*format!("http_version {version}")));
            assert!(body.len() > 100_000 && body.ends_with("x\n"), "{}", body.len());
        }
        assert_eq!(server.connections(), 1, "HTTP/{version}");
    }
}

#[tokio::test]
async fn the_login_and_the_limit_hold_over_tls_too() {
    let lab = Lab::new("limit");
    for (alpn, version) in WAYS {
        let server = lab.server(alpn).await;
        let body = fetch(&mut lab.client(&server, "/a", Settings::default())).await.unwrap();
        assert_eq!(body, format!("{version} GET /a  Bearer abc"));
        let settings = Settings { body_size_limit: 1000, ..Settings::default() };
        let error = fetch(&mut lab.client(&server, "/metrics", settings)).await.unwrap_err();
        assert_eq!(error, "body exceeds the limit of 1000 bytes");
        let error = fetch(&mut lab.client(&server, "/busy", Settings::default())).await.unwrap_err();
        assert_eq!(error, "server returned HTTP status 429 Too Many Requests");
    }
}

#[tokio::test]
async fn a_compressed_body_comes_over_http2_as_it_was() {
    let lab = Lab::new("compressed");
    for (alpn, version) in WAYS {
        let server = lab.server(alpn).await;
        let mut client = lab.client(&server, "/gzip", Settings::default());
        let error = fetch(&mut client).await.unwrap_err();
        assert_eq!(error, "body has the content encoding `gzip`, which was not asked for");
        let mut connection = client.connect(&client.target.target.url).await.unwrap();
        connection.gzip = true;
        client.connection = Some(connection);
        assert_eq!(fetch(&mut client).await.as_deref(), Ok("a 1\n"), "HTTP/{version}");
    }
}

#[tokio::test]
async fn an_answer_leads_from_one_scheme_to_the_other() {
    let lab = Lab::new("leads");
    let plain = Server::start(None).await;
    for (alpn, version) in WAYS {
        let server = lab.server(alpn).await;
        let within = lab.client(&server, "/moved/307?/there", Settings::default());
        let there = fetch(&mut { within }).await;
        assert_eq!(there, Ok(format!("{version} GET /there  Bearer abc")));
        let path = format!("'/moved/302?{}'", plain.url("/there"));
        // Another server is not told who asks.
        let there = fetch(&mut lab.client(&server, &path, Settings::default())).await;
        assert_eq!(there.as_deref(), Ok("1 GET /there"));
    }
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_is_replaced_over_tls_too() {
    let lab = Lab::new("idle");
    for (alpn, version) in WAYS {
        let server = lab.server(alpn).await;
        let mut client = lab.client(&server, "/a", Settings::default());
        for round in 1..=3 {
            assert!(fetch(&mut client).await.is_ok(), "HTTP/{version}");
            assert_eq!(server.connections(), round);
            server.hang_up().await;
        }
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_not_scraped() {
    let (lab, other) = (Lab::new("trusted"), Authority::new("wrong"));
    for (alpn, _) in WAYS {
        let server = Server::start(Some(serving(&other.issue("localhost"), None, alpn))).await;
        let error = fetch(&mut lab.client(&server, "/a", Settings::default())).await.unwrap_err();
        assert!(error.starts_with("TLS with `localhost` port "), "{error}");
        assert!(
            error.ends_with("from an issuer that is not trusted; `ca_file` names those that are"),
            "{error}"
        );
        let wants = Server::start(Some(serving(&lab.authority.issue("localhost"), Some(&other), alpn))).await;
        let error = fetch(&mut lab.client(&wants, "/a", Settings::default())).await.unwrap_err();
        assert!(error.starts_with("TLS failed: the server asks for a certificate of ours"), "{error}");
    }
}
