//! Lists of targets from HTTP servers.
//! <https://prometheus.io/docs/prometheus/latest/http_sd/>

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{
    Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use tokio::time::{MissedTickBehavior, interval};

use super::{Counters, Sender};
use crate::{
    config::{Group, HttpSd, parse_json_groups},
    http::{Answer, Client, Connector, Options, Versions},
};

/// The largest answer, in bytes.
const LARGEST: usize = 64 << 20;

/// One entry of `http_sd_configs`.
#[derive(Debug)]
pub(super) struct List {
    config: HttpSd,
    client: Client,
}

impl List {
    pub(super) fn new(config: HttpSd) -> Self {
        let connector = Arc::new(Connector::new(config.client.tls.clone(), Versions::of(&config.client)));
        // Asked for seldom: a connection ends with its answer.
        let options = Options { timeout: config.refresh, idle: 0, answer: LARGEST };
        let client = Client::new(config.url.clone(), &config.client, options, connector);
        Self { config, client }
    }

    /// Asks once.
    pub(super) async fn ask(&self) -> Result<Vec<Group>, String> {
        const REFRESH: HeaderName = HeaderName::from_static("x-prometheus-refresh-interval-seconds");
        let refresh =
            HeaderValue::from_str(&seconds(self.config.refresh)).map_err(|error| error.to_string())?;
        let headers = [(header::ACCEPT, HeaderValue::from_static("application/json")), (REFRESH, refresh)];
        let answer = self.client.send(&Method::GET, &headers, &Bytes::new()).await;
        let body = body(answer.map_err(|error| error.to_string())?)?;
        let text = std::str::from_utf8(&body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        let url = self.config.url.to_string();
        let mut groups = parse_json_groups("the answer", text).map_err(|problem| problem.to_string())?;
        for group in &mut groups {
            group.set_label("__meta_url", &url);
        }
        Ok(groups)
    }
}

fn body(answer: Answer) -> Result<Bytes, String> {
    if answer.status != StatusCode::OK {
        return Err(format!("server returned HTTP status {}", answer.status));
    }
    let content = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content = content.unwrap_or_default();
    if !is_json(content) {
        return Err(format!("content type `{content}` is not `application/json`"));
    }
    if answer.cut {
        return Err(format!("the answer has more than {LARGEST} bytes"));
    }
    Ok(answer.body)
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
