//! Where a request goes, and its bytes.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Uri, Version,
    header::{self, HeaderName, HeaderValue},
};

use crate::http::USER_AGENT;

/// What is asked for, where, and by whom.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) url: &'a Uri,
    /// The formats that are read.
    pub(super) accept: String,
    pub(super) timeout: Duration,
    /// Whether the body may be compressed.
    pub(super) gzip: bool,
    pub(super) login: Vec<(HeaderName, HeaderValue)>,
}

impl Ask<'_> {
    const fn coding(&self) -> &'static str {
        if self.gzip { "gzip" } else { "identity" }
    }

    /// The bytes of the request for HTTP/1.1.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Self { url, accept, .. } = self;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let host = url.authority().map_or("", |authority| authority.as_str());
        let coding = self.coding();
        let timeout = seconds(self.timeout);
        let mut bytes = format!(
            "GET {path} HTTP/1.1\r\n\
             Host: {host}\r\n\
             User-Agent: {USER_AGENT}\r\n\
             Accept: {accept}\r\n\
             Accept-Encoding: {coding}\r\n\
             X-Prometheus-Scrape-Timeout-Seconds: {timeout}\r\n"
        )
        .into_bytes();
        for (name, value) in &self.login {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// The request for HTTP/2.
    pub(super) fn request(&self) -> Request<Empty<Bytes>> {
        const TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.url.clone();
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(self.coding()));
        // Names of formats, numbers and points.
        headers.extend(HeaderValue::from_str(&self.accept).ok().map(|accept| (header::ACCEPT, accept)));
        headers.extend(HeaderValue::from_str(&seconds(self.timeout)).ok().map(|seconds| (TIMEOUT, seconds)));
        for (name, value) in &self.login {
            headers.append(name, value.clone());
        }
        request
    }
}

/// Seconds in the fewest digits, as Go writes them.
fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_is_written_as_go_does() {
        assert_eq!(seconds(Duration::from_secs(10)), "10");
        assert_eq!(seconds(Duration::from_millis(500)), "0.5");
    }

    #[test]
    fn a_request_has_the_login_behind_its_own_headers() {
        let url = "http://[::1]:9100/m?a=b".parse().unwrap();
        let login = vec![(HeaderName::from_static("x-a"), HeaderValue::from_static("b"))];
        let timeout = Duration::from_secs(1);
        let ask = Ask { url: &url, accept: "text/plain".to_owned(), timeout, gzip: true, login };
        let text = String::from_utf8(ask.bytes()).unwrap();
        assert!(text.starts_with("GET /m?a=b HTTP/1.1\r\nHost: [::1]:9100\r\n"), "{text}");
        assert!(text.contains("\r\nAccept-Encoding: gzip\r\n"), "{text}");
        assert!(text.ends_with("\r\nX-Prometheus-Scrape-Timeout-Seconds: 1\r\nx-a: b\r\n\r\n"), "{text}");
    }
}
