//! Where a request goes, and its bytes.

use std::time::Duration;

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};

const USER_AGENT: &str = concat!("observer/", env!("CARGO_PKG_VERSION"));

/// The bytes of a request.
pub(super) fn render(
    url: &Uri,
    accept: &str,
    timeout: Duration,
    gzip: bool,
    login: &[(HeaderName, HeaderValue)],
) -> Vec<u8> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let host = url.authority().map_or("", |authority| authority.as_str());
    let coding = if gzip { "gzip" } else { "identity" };
    let timeout = seconds(timeout);
    let mut bytes = format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {host}\r\n\
         User-Agent: {USER_AGENT}\r\n\
         Accept: {accept}\r\n\
         Accept-Encoding: {coding}\r\n\
         X-Prometheus-Scrape-Timeout-Seconds: {timeout}\r\n"
    )
    .into_bytes();
    for (name, value) in login {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The host to connect to, an IPv6 address without its brackets, and the port.
pub(super) fn endpoint(url: &Uri) -> (&str, u16) {
    let host = url.host().unwrap_or_default();
    (host.trim_start_matches('[').trim_end_matches(']'), url.port_u16().unwrap_or(80))
}

/// The place that an answer from `base` names, or why nothing can be asked there.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-5.2>
pub(super) fn elsewhere(base: &Uri, location: &str) -> Result<Uri, String> {
    let (reference, _fragment) = location.split_once('#').unwrap_or((location, ""));
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let scheme = reference.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?']));
    let text = match reference {
        _ if scheme.is_some() => reference.to_owned(),
        _ if reference.starts_with("//") => format!("http:{reference}"),
        "" => base.to_string(),
        _ if reference.starts_with('?') => format!("http://{authority}{}{reference}", base.path()),
        _ => {
            let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
            format!("http://{authority}{}{query}", without_dots(&path))
        }
    };
    let url: Uri = text.parse().map_err(|_| format!("`{location}` is no place to go"))?;
    match url.scheme_str() {
        Some("http") if !url.host().unwrap_or_default().is_empty() => Ok(url),
        Some("http") | None => Err(format!("`{location}` is no place to go")),
        Some(other) => Err(format!("`{location}` has the scheme `{other}`; only `http` is supported")),
    }
}

/// A path without its `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    // What ends with a dot is a folder.
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
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
    fn an_answer_leads_where_its_location_says() {
        let base: Uri = "http://h:1/a/b?c=d".parse().unwrap();
        for (location, expected) in [
            ("http://o:2/x?y", "http://o:2/x?y"),
            ("http://o", "http://o/"),
            ("//o/x", "http://o/x"),
            ("/x?y#z", "http://h:1/x?y"),
            ("x", "http://h:1/a/x"),
            ("./x?y=/../z", "http://h:1/a/x?y=/../z"),
            ("../x", "http://h:1/x"),
            ("../../../x/..", "http://h:1/"),
            ("?x", "http://h:1/a/b?x"),
            ("", "http://h:1/a/b?c=d"),
        ] {
            assert_eq!(elsewhere(&base, location).unwrap().to_string(), expected, "{location}");
        }
        for (location, expected) in [
            ("https://o/x", "`https://o/x` has the scheme `https`; only `http` is supported"),
            ("http:///x", "`http:///x` is no place to go"),
            ("/a b", "`/a b` is no place to go"),
            ("/a\r\nb: c", "`/a\r\nb: c` is no place to go"),
        ] {
            assert_eq!(elsewhere(&base, location), Err(expected.to_owned()));
        }
    }

    #[test]
    fn a_request_has_the_login_behind_its_own_headers() {
        let url = "http://[::1]:9100/m?a=b".parse().unwrap();
        let login = [(HeaderName::from_static("x-a"), HeaderValue::from_static("b"))];
        let text =
            String::from_utf8(render(&url, "text/plain", Duration::from_secs(1), true, &login)).unwrap();
        assert!(text.starts_with("GET /m?a=b HTTP/1.1\r\nHost: [::1]:9100\r\n"), "{text}");
        assert!(text.contains("\r\nAccept-Encoding: gzip\r\n"), "{text}");
        assert!(text.ends_with("\r\nX-Prometheus-Scrape-Timeout-Seconds: 1\r\nx-a: b\r\n\r\n"), "{text}");
    }

    #[test]
    fn an_ipv6_host_has_no_brackets_to_connect_to() {
        assert_eq!(endpoint(&"http://[::1]:9100/m".parse().unwrap()), ("::1", 9100));
        assert_eq!(endpoint(&"http://h/m".parse().unwrap()), ("h", 80));
    }
}
