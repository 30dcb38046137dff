//! Lists of targets from HTTP servers.
//! <https://prometheus.io/docs/prometheus/latest/http_sd/>

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{Counters, Sender};
use crate::config::{Group, HttpSd, parse_json_groups};

/// The largest answer, in bytes.
const LARGEST: usize = 64 << 20;

const USER_AGENT: &str = concat!("observer/", env!("CARGO_PKG_VERSION"));

/// One entry of `http_sd_configs`.
#[derive(Debug)]
pub(super) struct List {
    config: HttpSd,
}

impl List {
    pub(super) fn new(config: HttpSd) -> Self {
        Self { config }
    }

    /// Asks once.
    pub(super) async fn ask(&self) -> Result<Vec<Group>, String> {
        let limit = self.config.refresh;
        let body = timeout(limit, self.exchange())
            .await
            .map_err(|_| format!("no answer within {}", crate::config::write_duration(limit)))??;
        let text = std::str::from_utf8(&body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        let url = self.config.url.to_string();
        let mut groups = parse_json_groups("the answer", text).map_err(|problem| problem.to_string())?;
        for group in &mut groups {
            group.set_label("__meta_url", &url);
        }
        Ok(groups)
    }

    async fn exchange(&self) -> Result<Bytes, String> {
        let url = &self.config.url;
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, url.port_u16().unwrap_or(80)))
            .await
            .map_err(because("cannot connect"))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(because("cannot exchange HTTP"))?;
        let request = self.request().await?;
        // Asked for seldom: the connection ends with the answer, or when nobody waits for it any more.
        let exchange = async {
            let response = sender.send_request(request).await.map_err(because("cannot exchange HTTP"))?;
            if response.status() != StatusCode::OK {
                return Err(format!("server returned HTTP status {}", response.status()));
            }
            let content = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
            if !is_json(content.unwrap_or_default()) {
                return Err(format!(
                    "content type `{}` is not `application/json`",
                    content.unwrap_or_default()
                ));
            }
            let body = Limited::new(response.into_body(), LARGEST).collect().await;
            Ok(body.map_err(|error| format!("cannot read the answer: {error}"))?.to_bytes())
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            result = &mut exchange => result,
            // What it says comes to the exchange too.
            _ended = connection => exchange.await,
        }
    }

    async fn request(&self) -> Result<Request<Empty<Bytes>>, String> {
        let login = self.config.login.clone();
        let headers = match login.is_empty() {
            true => Vec::new(),
            // Names and passwords may be in files.
            false => spawn_blocking(move || login.headers())
                .await
                .map_err(because("cannot read the headers"))?
                .map_err(|error| error.to_string())?,
        };
        let url = &self.config.url;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = path.parse().map_err(because("cannot ask for the path"))?;
        let host = url.authority().map_or("", |authority| authority.as_str());
        let own = [
            (header::HOST, host.to_owned()),
            (header::ACCEPT, "application/json".to_owned()),
            (header::USER_AGENT, USER_AGENT.to_owned()),
            (
                header::HeaderName::from_static("x-prometheus-refresh-interval-seconds"),
                seconds(self.config.refresh),
            ),
        ];
        for (name, value) in own {
            let value = value.parse().map_err(because("cannot send the host's name"))?;
            request.headers_mut().insert(name, value);
        }
        for (name, value) in headers {
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }
}

fn because<E: Display>(what: &str) -> impl FnOnce(E) -> String + '_ {
    move |error| format!("{what}: {error}")
}

/// As Go writes a float.
fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

fn is_json(content_type: &str) -> bool {
    let (kind, parameter) = content_type.split_once(';').unwrap_or((content_type, ""));
    let parameter = parameter.trim().to_ascii_lowercase();
    kind.trim().eq_ignore_ascii_case("application/json")
        && matches!(&*parameter, "" | "charset=utf-8" | "charset=\"utf-8\"")
}

/// Asks for ever.
pub(super) async fn run(list: List, sender: Sender, counters: Counters) {
    let mut ticks = interval(list.config.refresh);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<Vec<Group>> = None;
    let mut told = None;
    loop {
        ticks.tick().await;
        match list.ask().await {
            Ok(groups) => {
                counters.success.inc();
                told = None;
                if last.as_ref() != Some(&groups) {
                    last = Some(groups.clone());
                    sender.send(groups).await;
                }
            }
            Err(message) => {
                counters.failure.inc();
                // Once for each cause, not every time.
                if told.as_ref() != Some(&message) {
                    log::warn!("targets stay as they were: `{}`: {message}", list.config.url);
                }
                told = Some(message);
            }
        }
    }
}
