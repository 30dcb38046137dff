//! The scraper against real sockets on loopback.

use std::{collections::VecDeque, sync::Mutex};

use observer_aggregate::family::Family;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{sleep, timeout},
};

use super::*;
use crate::{
    config::{Config, Settings},
    window::Health,
};

/// What a scripted exporter does with a request.
#[derive(Clone, Debug)]
enum Reply {
    /// Sends these bytes.
    Raw(String),
    /// Sends these bytes and closes.
    Last(String),
    /// Closes without a byte.
    Close,
    /// Never answers.
    Silence,
}

/// An exporter that follows a script, the last reply for ever.
struct Exporter {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicU64>,
}

impl Exporter {
    async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let exporter = Self {
            address: listener.local_addr().unwrap().to_string(),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let (requests, connections) = (Arc::clone(&exporter.requests), Arc::clone(&exporter.connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Relaxed);
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&requests)));
            }
        });
        exporter
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Mutex<VecDeque<Reply>>>,
    requests: Arc<Mutex<Vec<String>>>,
) {
    let mut request = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        requests.lock().unwrap().push(String::from_utf8(std::mem::take(&mut request)).unwrap());
        let reply = {
            let mut script = script.lock().unwrap();
            if script.len() > 1 { script.pop_front().unwrap() } else { script[0].clone() }
        };
        match reply {
            Reply::Raw(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            // The client may go before the end of a body that it refuses.
            Reply::Last(bytes) => return drop(stream.write_all(bytes.as_bytes()).await),
            Reply::Close => return,
            Reply::Silence => std::future::pending().await,
        }
    }
}

fn response(content_type: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn text(body: &str) -> Reply {
    Reply::Raw(response("text/plain; version=0.0.4", body))
}

/// Settings that let a test see several scrapes soon, and that a busy machine keeps.
fn settings() -> Settings {
    Settings { interval: Duration::from_millis(20), timeout: Duration::from_secs(20), ..Settings::default() }
}

struct Running {
    scraper: Scraper,
    telemetry: Arc<Telemetry>,
    _stop: oneshot::Sender<()>,
}

fn start(address: &str, settings: Settings) -> Running {
    let mut config = Config::default();
    config.global.settings = settings;
    config.add(format!("j=http://{address}/m?a=b").parse().unwrap());
    let (stop, stopped) = oneshot::channel();
    let telemetry = Telemetry::new();
    let jobs = config.jobs.iter().cloned().map(Arc::new).collect();
    let scraper = Scraper::spawn(jobs, &config.limits, &telemetry, async move {
        let _sender_gone = stopped.await;
    })
    .unwrap();
    Running { scraper, telemetry, _stop: stop }
}

impl Running {
    /// The first snapshot that fulfils the condition.
    async fn wait(&self, condition: impl Fn(&TargetSnapshot) -> bool) -> Arc<TargetSnapshot> {
        let found = async {
            loop {
                let snapshot = Arc::clone(&self.scraper.list().active[0]);
                if condition(&snapshot) {
                    return snapshot;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        let found = timeout(Duration::from_secs(20), found);
        found.await.unwrap_or_else(|_| panic!("still {:?}", self.scraper.list()))
    }

    /// How many scrapes ended so.
    fn results(&self, result: &str) -> u64 {
        self.telemetry.scrapes.with([result]).get()
    }

    async fn first(&self) -> Arc<TargetSnapshot> {
        self.wait(|snapshot| snapshot.scrapes >= 1).await
    }
}

fn value(families: &[Family], name: &str) -> Option<f64> {
    families.iter().find(|family| family.name == name).map(|family| family.samples[0].value)
}

#[tokio::test]
async fn a_target_gives_its_samples_with_its_labels() {
    let exporter = Exporter::start([text("a{x=\"1\"} 5\n")]).await;
    let running = start(&exporter.address, settings());
    let snapshot = running.wait(|s| s.health == Health::Up).await;
    let family = snapshot.families.iter().find(|family| family.name == "a").unwrap();
    assert_eq!(*family.samples[0].labels, *format!("instance=\"{}\",job=\"j\",x=\"1\"", exporter.address));
    for (name, expected) in [
        ("up", 1.0),
        ("scrape_samples_scraped", 1.0),
        ("scrape_samples_post_metric_relabeling", 1.0),
        ("scrape_body_size_bytes", 11.0),
    ] {
        assert_eq!(value(&snapshot.families, name), Some(expected), "{name}");
    }
    assert!(value(&snapshot.families, "scrape_duration_seconds").unwrap() > 0.0);
    assert_eq!(&*snapshot.last_error, "");
    assert!(snapshot.last_scrape_ms > 0);
}

#[tokio::test]
async fn the_request_is_one_an_exporter_of_prometheus_expects() {
    let exporter = Exporter::start([text("a 1\n")]).await;
    let running = start(&exporter.address, Settings { timeout: Duration::from_millis(10_500), ..settings() });
    running.first().await;
    let request = exporter.requests.lock().unwrap()[0].to_ascii_lowercase();
    let (head, headers) = request.split_once("\r\n").unwrap();
    assert_eq!(head, "get /m?a=b http/1.1");
    for expected in [
        &*format!("host: {}\r\n", exporter.address),
        &*format!("accept: {}\r\n", settings().accept()),
        "x-prometheus-scrape-timeout-seconds: 10.5\r\n",
        concat!("user-agent: observer/", env!("CARGO_PKG_VERSION"), "\r\n"),
    ] {
        assert!(headers.contains(expected), "{expected} not in {headers}");
    }
}

#[tokio::test]
async fn scrapes_share_one_connection() {
    let exporter = Exporter::start([text("a 1\n")]).await;
    let running = start(&exporter.address, settings());
    running.wait(|s| s.scrapes >= 5).await;
    assert_eq!(exporter.connections.load(Relaxed), 1);
}

#[tokio::test]
async fn a_connection_closed_between_scrapes_costs_no_scrape() {
    // Answers once, then closes each connection at its second request.
    let script = (0..50).flat_map(|_| [text("a 1\n"), Reply::Close]);
    let exporter = Exporter::start(script).await;
    let running = start(&exporter.address, settings());
    running.wait(|s| s.scrapes >= 5).await;
    assert_eq!(Failure::RESULTS.map(|result| running.results(result)), [0; Failure::RESULTS.len()]);
    assert!(exporter.connections.load(Relaxed) > 1);
}

#[tokio::test]
async fn a_body_without_length_is_read_to_its_end() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\na \r\n2\r\n1\n\r\n0\r\n\r\n";
    let exporter = Exporter::start([
        Reply::Raw(chunked.to_owned()),
        Reply::Last("HTTP/1.0 200 OK\r\n\r\nb 1\n".to_owned()),
    ])
    .await;
    let running = start(&exporter.address, settings());
    let first = running.first().await;
    assert_eq!(value(&first.families, "a"), Some(1.0), "{}", first.last_error);
    running.wait(|s| value(&s.families, "b") == Some(1.0)).await;
}

#[tokio::test]
async fn a_large_body_is_decoded_as_a_small_one() {
    let body: String = (0..20_000).map(|i| format!("a{{i=\"{i}\"}} {i}\n")).collect();
    assert!(body.len() > 256 << 10);
    let exporter = Exporter::start([text(&body)]).await;
    let running = start(&exporter.address, settings());
    // The decoder comes back with what it knows: the second body adds no series.
    let snapshot = running.wait(|s| s.scrapes >= 2).await;
    for (name, expected) in [("up", 1.0), ("scrape_samples_scraped", 20_000.0), ("scrape_series_added", 0.0)]
    {
        assert_eq!(value(&snapshot.families, name), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn openmetrics_is_read_when_the_server_says_so() {
    let body = "# TYPE a counter\na_total 1\n# EOF\n";
    let exporter = Exporter::start([
        Reply::Raw(response("application/openmetrics-text; version=1.0.0", body)),
        Reply::Raw(response("application/openmetrics-text; version=1.0.0", "a 1\n")),
    ])
    .await;
    let running = start(&exporter.address, settings());
    running.wait(|s| value(&s.families, "a") == Some(1.0)).await;
    let failed = running.wait(|s| s.health == Health::Down).await;
    assert_eq!(&*failed.last_error, "cannot parse the body: line 2, column 1: body without `# EOF`");
}

#[tokio::test]
async fn a_failed_scrape_shows_its_synthetic_series_only_and_the_next_one_recovers() {
    let exporter = Exporter::start([text("a 1\nb 2\n"), text("a 1\nb x\n"), text("a 3\n")]).await;
    let running = start(&exporter.address, settings());
    running.wait(|s| s.health == Health::Up).await;
    let failed = running.wait(|s| s.health == Health::Down).await;
    assert_eq!(&*failed.last_error, "cannot parse the body: line 2, column 3: expected a number");
    assert_eq!(value(&failed.families, "up"), Some(0.0));
    assert_eq!(value(&failed.families, "scrape_samples_scraped"), Some(1.0));
    assert_eq!(value(&failed.families, "scrape_series_added"), Some(0.0));
    assert_eq!((failed.families.len(), value(&failed.families, "a")), (6, None));
    let recovered = running.wait(|s| value(&s.families, "a") == Some(3.0)).await;
    // `b` is gone, and nothing stands in its place.
    assert_eq!((recovered.health, value(&recovered.families, "b")), (Health::Up, None));
    assert_eq!(running.results("malformed"), 1);
}

#[tokio::test]
async fn every_failure_has_its_reason_and_its_cause() {
    for (reply, limits, result, expected) in [
        (Reply::Raw("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".into()), settings(), "status", "503"),
        (
            Reply::Silence,
            Settings { timeout: Duration::from_millis(20), ..settings() },
            "timeout",
            "timeout of 20ms",
        ),
        (Reply::Close, settings(), "protocol", "cannot exchange HTTP"),
        (Reply::Last("nonsense\r\n\r\n".into()), settings(), "protocol", "cannot exchange HTTP"),
        (
            Reply::Last("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\na 1\n".into()),
            settings(),
            "protocol",
            "cannot exchange HTTP",
        ),
        (
            Reply::Raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n".into()),
            settings(),
            "malformed",
            "`gzip`",
        ),
        (text("a 1\nb 1\n"), Settings { sample_limit: 1, ..settings() }, "too_large", "limit of 1"),
        (text("a 1\nb 1\n"), Settings { body_size_limit: 7, ..settings() }, "too_large", "limit of 7 bytes"),
        (
            Reply::Last("HTTP/1.1 200 OK\r\n\r\na 1\nb 1\n".into()),
            Settings { body_size_limit: 7, ..settings() },
            "too_large",
            "limit of 7 bytes",
        ),
    ] {
        let exporter = Exporter::start([reply.clone()]).await;
        let running = start(&exporter.address, limits);
        let snapshot = running.first().await;
        assert_eq!(snapshot.health, Health::Down, "{reply:?}");
        assert!(snapshot.last_error.contains(expected), "{reply:?}: {}", snapshot.last_error);
        assert!(running.results(result) >= 1, "{reply:?}: no {result}");
        if limits.body_size_limit == 7 {
            assert_eq!(value(&snapshot.families, "scrape_body_size_bytes"), Some(-1.0));
        }
    }
}

#[tokio::test]
async fn a_target_that_does_not_listen_is_down() {
    // Bound and not listening: nobody else gets the port, and connects are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let running = start(&socket.local_addr().unwrap().to_string(), settings());
    let snapshot = running.first().await;
    assert!(
        snapshot.last_error.starts_with("cannot connect to `127.0.0.1` port "),
        "{}",
        snapshot.last_error
    );
    assert!(running.results("connect") >= 1);
}

#[tokio::test]
async fn scrapes_due_and_done_are_counted() {
    let exporter = Exporter::start([text("a 1\n")]).await;
    let running = start(&exporter.address, settings());
    running.wait(|s| s.scrapes >= 3).await;
    let Progress { due, done } = running.scraper.progress();
    assert!(due >= done && done >= 2, "due {due}, done {done}");
    assert_eq!(running.telemetry.scrape_targets.get(), 1);
    assert!(running.telemetry.scrape_samples.get() >= running.results("success").min(2));
}

#[tokio::test]
async fn shutdown_ends_every_task() {
    let exporter = Exporter::start([Reply::Silence]).await;
    let Running { scraper, telemetry: _, _stop: stop } = start(&exporter.address, settings());
    let core = Arc::downgrade(&scraper.live.lock().active[0].core.0);
    drop(stop);
    timeout(Duration::from_secs(20), scraper.stopped()).await.unwrap();
    // The worker, which has it too, is gone.
    assert_eq!(core.strong_count(), 0);
}

#[test]
fn targets_are_spread_over_the_interval() {
    let interval = Duration::from_secs(1);
    let mut tenths = [0; 10];
    for port in 1..=1000 {
        let mut config = Config::default();
        config.add(format!("h:{port}").parse().unwrap());
        let phase = phase(&config.jobs[0].targets[0], interval);
        assert_eq!(phase.as_nanos() % 10_000_000, 0, "many share a moment");
        tenths[usize::try_from(phase.as_millis()).unwrap() / 100] += 1;
    }
    // The last tenth is left free: a body has to be there before the second ends.
    assert_eq!(tenths[9], 0);
    assert!(tenths[..9].iter().all(|&n| (60..=160).contains(&n)), "{tenths:?}");
}

#[test]
fn the_first_scrape_is_at_the_next_time_of_its_phase() {
    let check = |phase, wall: u64, expected| {
        let until = until_first(Duration::from_millis(phase), Duration::from_secs(1), wall * 1_000_000);
        assert_eq!(until, Duration::from_millis(expected));
    };
    check(300, 5000, 300);
    check(300, 5300, 0);
    check(300, 5400, 900);
    check(0, 5001, 999);
}
