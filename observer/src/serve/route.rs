//! From a request to its answer.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use observer_aggregate::window::Source;
use tokio::task::spawn_blocking;

use super::{
    State, api, exports,
    page::{self, Ask, PageError},
};
use crate::{
    bpf::Level,
    clock,
    export::negotiate::{self, Encoding},
};

/// What is there, with its methods. The only list of paths: what is not in it is 404, and counted together.
const PATHS: [(&str, &str); 7] = [
    ("/", "GET, HEAD"),
    ("/metrics", "GET, HEAD"),
    ("/live", "GET, HEAD"),
    ("/ready", "GET, HEAD"),
    ("/api/v1/targets", "GET, HEAD"),
    ("/api/v1/status/exports", "GET, HEAD"),
    (LEVEL, "GET, HEAD, PUT"),
];
const LEVEL: &str = "/api/v1/tcp/level";

const INDEX: &str = "\
observer

/metrics            what the kernel, the node, the targets and the agent say; collect[]=kernel|node|scrape|self narrows it
/live               the agent runs
/ready              the agent has closed a complete window in the last five seconds
/api/v1/targets     what is scraped, and how it goes
/api/v1/status/exports  where windows are written to, what waits, and what went wrong last
/api/v1/tcp/level   on the Unix socket: how much of each connection is watched
";

/// Whoever closes no window for so long is not well, in milliseconds.
const LATE_MS: i64 = 5_000;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Where a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Tcp,
    /// Whoever can open the socket may change things.
    Unix,
}

type Answer = Response<Full<Bytes>>;

pub(super) async fn answer(state: &Arc<State>, door: Door, request: Request<Incoming>) -> Answer {
    let found = PATHS.iter().find(|(path, _)| *path == request.uri().path());
    let response = match found {
        None => plain(StatusCode::NOT_FOUND, "there is no such path\n"),
        Some((_, methods)) if !methods.split(", ").any(|method| method == request.method().as_str()) => {
            let response = plain(StatusCode::METHOD_NOT_ALLOWED, format!("the methods here are {methods}\n"));
            with(response, header::ALLOW, methods)
        }
        Some((path, _)) => dispatch(state, door, path, request).await,
    };
    let path = found.map_or("(other)", |(path, _)| path);
    state.telemetry.http_requests.with([path, response.status().as_str()]).inc();
    response
}

async fn dispatch(state: &Arc<State>, door: Door, path: &str, request: Request<Incoming>) -> Answer {
    match path {
        "/" => plain(StatusCode::OK, INDEX),
        "/metrics" => metrics(state, &request).await,
        "/live" => plain(StatusCode::OK, "live\n"),
        "/ready" => ready(state),
        "/api/v1/targets" => targets(state, &request),
        "/api/v1/status/exports" => respond(StatusCode::OK, JSON, exports::body(&(state.exports)())),
        LEVEL if door == Door::Unix => level(state, request).await,
        LEVEL => plain(StatusCode::FORBIDDEN, "only the Unix socket has the control\n"),
        _ => plain(StatusCode::NOT_FOUND, "there is no such path\n"),
    }
}

async fn metrics(state: &Arc<State>, request: &Request<Incoming>) -> Answer {
    let mut sources = [false; Source::ALL.len()];
    for (name, value) in query(request) {
        if name != "collect[]" {
            continue;
        }
        match Source::ALL.iter().position(|source| source.as_str() == value) {
            Some(at) => sources[at] = true,
            None => {
                let known = Source::ALL.map(Source::as_str).join(", ");
                return plain(
                    StatusCode::BAD_REQUEST,
                    format!("collect[] is one of {known}, not `{value}`\n"),
                );
            }
        }
    }
    if sources.iter().all(|wanted| !wanted) {
        sources = [true; Source::ALL.len()];
    }
    let form = negotiate::form(&joined(request, header::ACCEPT));
    let encoding = negotiate::encoding(&joined(request, header::ACCEPT_ENCODING));
    let body = match page::page(state, Ask { form, encoding, sources }).await {
        Ok(body) => body,
        Err(error) => {
            let status = match error {
                PageError::Full { .. } => StatusCode::SERVICE_UNAVAILABLE,
                PageError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            return plain(status, format!("{error}\n"));
        }
    };
    let mut response = respond(StatusCode::OK, form.content_type(), body);
    if encoding != Encoding::Identity {
        response = with(response, header::CONTENT_ENCODING, encoding.as_str());
    }
    with(response, header::VARY, "Accept, Accept-Encoding")
}

fn ready(state: &State) -> Answer {
    let window = Arc::clone(&state.windows.borrow());
    let end = jiff::Timestamp::from_millisecond(window.end_ms).unwrap_or_default();
    if !window.complete {
        plain(StatusCode::SERVICE_UNAVAILABLE, "not ready: no complete window yet\n")
    } else if clock::wall_ms().saturating_sub(window.end_ms) > LATE_MS {
        plain(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: no window since the one that ended at {end}\n"),
        )
    } else {
        plain(StatusCode::OK, format!("ready: the last window ended at {end}\n"))
    }
}

fn targets(state: &State, request: &Request<Incoming>) -> Answer {
    let query: Vec<_> = query(request).collect();
    let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| &**value);
    // As in Prometheus, where what is neither of the two selects both.
    let is = |state: &str| value("state").is_some_and(|value| value.eq_ignore_ascii_case(state));
    let selection = api::Selection {
        active: !is("dropped"),
        dropped: !is("active"),
        pool: value("scrapePool").filter(|pool| !pool.is_empty()),
    };
    respond(StatusCode::OK, JSON, api::targets(&(state.targets)(), selection))
}

async fn level(state: &Arc<State>, request: Request<Incoming>) -> Answer {
    let state = Arc::clone(state);
    let wanted = if *request.method() == Method::PUT {
        let Ok(body) = Limited::new(request.into_body(), 64).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is `outcomes` or `exchanges`\n");
        };
        match body.to_bytes().trim_ascii() {
            b"outcomes" => Some(Level::Outcomes),
            b"exchanges" => Some(Level::Exchanges),
            _ => return plain(StatusCode::BAD_REQUEST, "the body is `outcomes` or `exchanges`\n"),
        }
    } else {
        None
    };
    let result = spawn_blocking(move || match wanted {
        Some(level) => state.control.set_level(level),
        None => state.control.level(),
    });
    match result.await {
        Ok(Ok(level)) => plain(StatusCode::OK, format!("{level}\n")),
        Ok(Err(reason)) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the level could not be asked\n"),
    }
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    respond(status, TEXT, body)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    with(response, header::CONTENT_TYPE, content_type)
}

fn with(mut response: Answer, name: HeaderName, value: &'static str) -> Answer {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

/// All values of a header as one list.
fn joined(request: &Request<Incoming>, name: HeaderName) -> String {
    let values: Vec<_> =
        request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

fn query(request: &Request<Incoming>) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// Decodes what a form encodes. What is not encoded right stays as it is.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        match (first, rest) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, rest @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(nibble(*high) << 4 | nibble(*low));
                bytes = rest;
            }
            _ => decoded.push(*first),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// The value of a hexadecimal digit.
const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// A time as JSON APIs write it; the zero time of Go for 0, which means never.
pub(super) fn rfc3339(ms: i64) -> String {
    if ms <= 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The date of a day since 1970. <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_as_a_form() {
        for (text, expected) in [
            ("a", "a"),
            ("collect%5B%5D", "collect[]"),
            ("a+b", "a b"),
            ("%e2%82%ac", "€"),
            ("100%", "100%"),
            ("%zz", "%zz"),
        ] {
            assert_eq!(decode(text), expected);
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        for (ms, expected) in [
            (0, "0001-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_704_067_199_999, "2023-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), expected);
        }
    }
}
