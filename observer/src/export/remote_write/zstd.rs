//! VictoriaMetrics' own form of remote write: version 1.0, compressed with zstd.
//! <https://docs.victoriametrics.com/victoriametrics/vmagent/#victoriametrics-remote-write-protocol>

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use bytes::Bytes;
use hyper::{
    Uri,
    header::{CONTENT_LENGTH, HeaderValue},
};

use crate::{
    config::Compressing,
    http::{Answer, PostError, PostSettings, Poster},
};

/// What receivers of it answer with the version that they speak.
const QUESTION: &str = "get_vm_proto_version=1";

/// Nobody knows; it is sent already.
const TRIED: u8 = 0;
/// Nobody knows; it is asked for first.
const UNASKED: u8 = 1;
const TAKEN: u8 = 2;
const REFUSED: u8 = 3;

/// What is known of a receiver and zstd.
pub(super) struct Zstd {
    known: AtomicU8,
    /// Asks.
    poster: Option<Poster>,
}

impl Zstd {
    /// `settings`: those of requests.
    pub(super) fn new(compression: Compressing, settings: PostSettings) -> Result<Self, PostError> {
        let known = match compression {
            Compressing::Snappy => REFUSED,
            Compressing::Zstd => TRIED,
            Compressing::Asked => UNASKED,
        };
        let poster = match compression {
            Compressing::Asked => Some(Poster::new(&PostSettings {
                url: question(&settings.url),
                connections: 1,
                answer_bytes: 16,
                ..settings
            })?),
            Compressing::Snappy | Compressing::Zstd => None,
        };
        Ok(Self { known: known.into(), poster })
    }

    /// Asks, if the answer is not known. No answer is an error; any but a version is one that says no.
    pub(super) async fn ask(&self) -> Result<(), PostError> {
        let Some(poster) = self.poster.as_ref().filter(|_| self.known.load(Relaxed) == UNASKED) else {
            return Ok(());
        };
        // Some servers want to be told that nothing comes.
        let headers = [(CONTENT_LENGTH, HeaderValue::from(0))];
        let answer = poster.post(&headers, Bytes::new()).await?;
        self.known.store(if is_yes(&answer) { TAKEN } else { REFUSED }, Relaxed);
        Ok(())
    }

    /// Whether a request may be sent as it is.
    pub(super) fn may_be(&self) -> bool {
        self.known.load(Relaxed) != REFUSED
    }

    /// Whether the next windows are to be encoded so.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.known.load(Relaxed), TRIED | TAKEN)
    }

    /// Whether the receiver is known to take it.
    pub(super) fn is_taken(&self) -> bool {
        self.known.load(Relaxed) == TAKEN
    }

    /// It was.
    pub(super) fn taken(&self) {
        // What one request was told stays, whatever another hears that was sent before.
        let _known = self.known.compare_exchange(TRIED, TAKEN, Relaxed, Relaxed);
    }

    /// It was not, and will not be.
    pub(super) fn refused(&self) {
        self.known.store(REFUSED, Relaxed);
    }
}

/// The same URL, with the question behind the parameters it has.
fn question(url: &Uri) -> Uri {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let before = if path.contains('?') { '&' } else { '?' };
    let mut parts = url.clone().into_parts();
    parts.path_and_query = format!("{path}{before}{QUESTION}").parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| url.clone())
}

fn is_yes(answer: &Answer) -> bool {
    let version = str::from_utf8(&answer.body).ok().and_then(|text| text.trim().parse::<u32>().ok());
    answer.status.is_success() && version.is_some_and(|version| version >= 1)
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn the_question_stands_behind_other_parameters() {
        for (url, expected) in [
            ("http://h/w", "http://h/w?get_vm_proto_version=1"),
            ("http://h/w?a=b", "http://h/w?a=b&get_vm_proto_version=1"),
            ("http://h", "http://h/?get_vm_proto_version=1"),
        ] {
            assert_eq!(question(&url.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn only_a_version_says_yes() {
        for (status, body, expected) in [
            (200, "1", true),
            (200, "2\n", true),
            (200, "0", false),
            (200, "", false),
            (200, "<html>", false),
            (400, "1", false),
            (204, "", false),
        ] {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                trailers: HeaderMap::new(),
                body: Bytes::from_static(body.as_bytes()),
                cut: false,
            };
            assert_eq!(is_yes(&answer), expected, "{status} {body}");
        }
    }
}
