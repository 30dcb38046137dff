//! The server over real sockets on loopback.

use std::{
    io::Read as _,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use flate2::read::GzDecoder;
use observer_aggregate::{
    family::{Family, Kind, Sample, Suffix},
    window::Source,
};
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    net::{TcpSocket, TcpStream, UnixStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;
use crate::{
    clock,
    config::Config,
    export::{negotiate::Encoding, prometheus::Form},
    scrape::Targets,
    window::{Dropped, Health, TargetSnapshot, window_of},
};

/// Room for a few pages of a test.
const PAGE_BYTES: usize = 1000;

/// Long enough for a busy machine, never waited for.
const LONG: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Levels(Mutex<Level>);

impl Control for Levels {
    fn level(&self) -> Result<Level, String> {
        Ok(*self.0.lock().unwrap())
    }

    fn set_level(&self, level: Level) -> Result<Level, String> {
        *self.0.lock().unwrap() = level;
        Ok(level)
    }
}

struct Server {
    address: SocketAddr,
    windows: watch::Sender<Arc<Window>>,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

struct Answered {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answered {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn gauge(name: &'static str, labels: &str, value: f64) -> Family {
    let sample =
        Sample { suffix: Suffix::None, labels: Arc::from(labels), value, timestamp_ms: None, native: None };
    Family { name: name.into(), kind: Kind::Gauge, help: "".into(), unit: "".into(), samples: vec![sample] }
}

fn window(value: f64) -> Arc<Window> {
    window_of(
        1000,
        vec![
            (Source::Kernel, vec![gauge("k", "", value)]),
            (Source::Node, vec![gauge("n", "", 1.0)]),
            (Source::Scrape, vec![gauge("s", "instance=\"a\"", 1.0)]),
            (Source::Scrape, vec![gauge("s", "instance=\"b\"", 2.0)]),
            (Source::Agent, vec![gauge("a", "", 1.0)]),
        ],
    )
}

fn state() -> (watch::Sender<Arc<Window>>, Arc<State>) {
    let (windows, receiver) = watch::channel(Arc::default());
    let state = State::new(
        receiver,
        Box::new(|| {
            let active = snapshot();
            let job = Arc::clone(&active.target.job);
            let dropped = vec![Dropped { job, labels: Vec::new(), count: 0 }];
            TargetList { active: vec![Arc::new(active)], dropped }
        }),
        Box::new(Vec::new),
        Box::new(Levels::default()),
        Vec::new(),
        Telemetry::new(),
        PAGE_BYTES,
    );
    (windows, Arc::new(state))
}

fn snapshot() -> TargetSnapshot {
    let mut config = Config::default();
    config.add("node=http://127.0.0.1:9100/metrics".parse().unwrap());
    let job = Arc::new(config.jobs.remove(0));
    let targets = Targets::fixed(vec![job]);
    TargetSnapshot {
        target: Arc::clone(&targets.jobs[0].active[0]),
        health: Health::Down,
        last_error: Arc::from("no"),
        last_scrape_ms: 951_782_400_123,
        duration: Duration::from_millis(1500),
        scrapes: 1,
        refused: 0,
        families: Vec::new(),
    }
}

async fn start(limits: Limits) -> Server {
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let (windows, state) = state();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        let _sender_gone = stopped.await;
    };
    let task = tokio::spawn(run(listener, Arc::clone(&state), limits, shutdown));
    Server { address, windows, state, stop: Some(stop), task }
}

impl Server {
    async fn connect(&self) -> BufReader<TcpStream> {
        BufReader::new(TcpStream::connect(self.address).await.unwrap())
    }

    async fn get(&self, path: &str, headers: &str) -> Answered {
        let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
        exchange(&mut self.connect().await, &request).await
    }
}

/// One request and its answer, over a connection that stays open.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> Answered {
    stream.write_all(request.as_bytes()).await.unwrap();
    timeout(LONG, answer(stream, request.starts_with("HEAD"))).await.expect("no answer")
}

async fn answer<S: AsyncRead + Unpin>(stream: &mut S, bodiless: bool) -> Answered {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; if bodiless { 0 } else { length }];
    stream.read_exact(&mut body).await.unwrap();
    Answered { status: head[9..12].parse().unwrap(), head, body }
}

#[tokio::test]
async fn the_page_is_that_of_the_current_window() {
    let server = start(Limits::default()).await;
    for value in [1.0, 2.0] {
        server.windows.send_replace(window(value));
        let page = server.get("/metrics", "").await;
        assert!(
            page.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
            "{}",
            page.head
        );
        assert_eq!(
            page.text(),
            format!(
                "# TYPE k gauge\nk {value}\n# TYPE n gauge\nn 1\n# TYPE s gauge\ns{{instance=\"a\"}} 1\n\
                 s{{instance=\"b\"}} 2\n# TYPE a gauge\na 1\n"
            )
        );
    }
}

#[tokio::test]
async fn a_page_is_written_once_a_window() {
    let (windows, state) = state();
    windows.send_replace(window(1.0));
    let ask = ask(Encoding::Identity);
    let first = page::page(&state, ask).await.unwrap();
    let second = page::page(&state, ask).await.unwrap();
    assert_eq!(first.as_ptr(), second.as_ptr());
    windows.send_replace(window(1.0));
    assert_ne!(page::page(&state, ask).await.unwrap().as_ptr(), first.as_ptr());
    let pages = |how| state.telemetry.pages.with([how]).get();
    assert_eq!((pages("written"), pages("shared"), pages("refused")), (2, 1, 0));
}

fn ask(encoding: Encoding) -> page::Ask {
    let (format, names) = (observer_exposition::Format::Text, observer_exposition::Names::Underscores);
    page::Ask { form: Form::Lines(format, names), encoding, sources: [true; Source::ALL.len()] }
}

#[tokio::test]
async fn pages_are_given_back_when_their_last_reader_has_let_go() {
    let (windows, state) = state();
    windows.send_replace(window(1.0));
    let held = || usize::try_from(state.telemetry.page_held.get()).unwrap();
    let page = page::page(&state, ask(Encoding::Identity)).await.unwrap();
    let compressed = page::page(&state, ask(Encoding::Gzip)).await.unwrap();
    assert_eq!(held(), page.len() + compressed.len());
    drop(compressed);
    // Nobody asks for the next window's.
    windows.send_replace(window(2.0));
    timeout(LONG, async {
        while held() > page.len() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the pages of the window before are given back");
    drop(page);
    assert_eq!(held(), 0);
}

#[tokio::test]
async fn readers_of_old_pages_hold_so_much_and_no_more() {
    let (windows, state) = state();
    let mut readers = Vec::new();
    let full = loop {
        windows.send_replace(window(1.0));
        match page::page(&state, ask(Encoding::Identity)).await {
            Ok(page) => readers.push(page),
            Err(error) => break error,
        }
        assert!(readers.len() <= PAGE_BYTES);
    };
    let (held, page) = (state.telemetry.page_held.get(), readers[0].len());
    assert_eq!(held, i64::try_from(page * readers.len()).unwrap());
    assert!(page * readers.len() <= PAGE_BYTES && page * (readers.len() + 1) > PAGE_BYTES);
    assert_eq!(
        full.to_string(),
        format!(
            "pages that are being read hold {held} bytes of the {PAGE_BYTES} of `limits.page_bytes`; ask again"
        )
    );
    assert_eq!(state.telemetry.pages.with(["refused"]).get(), 1);
    readers.pop();
    windows.send_replace(window(1.0));
    assert!(page::page(&state, ask(Encoding::Identity)).await.is_ok());
}

#[tokio::test]
async fn the_client_chooses_format_and_encoding() {
    let server = start(Limits::default()).await;
    server.windows.send_replace(window(1.0));
    let page = server.get("/metrics", "accept: application/openmetrics-text\r\n").await;
    assert!(
        page.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n")
    );
    assert!(page.text().ends_with("# EOF\n"));
    let page = server.get("/metrics", "accept-encoding: gzip\r\n").await;
    assert!(page.head.contains("content-encoding: gzip\r\n"), "{}", page.head);
    let mut text = String::new();
    GzDecoder::new(&*page.body).read_to_string(&mut text).unwrap();
    assert_eq!(text, server.get("/metrics", "").await.text());
    let page = server.get("/metrics", "accept-encoding: zstd, gzip;q=0.5\r\n").await;
    assert!(page.head.contains("content-encoding: zstd\r\n"), "{}", page.head);
    assert_eq!(zstd::bulk::decompress(&page.body, 1 << 20).unwrap(), text.as_bytes());
    let protobuf =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let page = server.get("/metrics", &format!("accept: {protobuf}\r\n")).await;
    assert!(page.head.contains("content-type: application/vnd.google.protobuf; proto="), "{}", page.head);
    let families = observer_exposition::protobuf(&page.body).map(|family| family.unwrap().name);
    assert_eq!(families.collect::<Vec<_>>(), ["k", "n", "s", "a"]);
}

#[tokio::test]
async fn collect_narrows_the_page() {
    let server = start(Limits::default()).await;
    server.windows.send_replace(window(1.0));
    let page = server.get("/metrics?collect[]=self&collect%5B%5D=kernel", "").await;
    assert_eq!(page.text(), "# TYPE k gauge\nk 1\n# TYPE a gauge\na 1\n");
    let page = server.get("/metrics?collect[]=disk", "").await;
    assert_eq!(
        (page.status, page.text()),
        (400, "collect[] is one of kernel, node, self, aggregate, scrape, not `disk`\n")
    );
}

#[tokio::test]
async fn what_is_left_off_the_page_is_counted() {
    let server = start(Limits::default()).await;
    let twice = vec![gauge("n", "", 1.0), gauge("n", "", 2.0)];
    server.windows.send_replace(window_of(0, vec![(Source::Node, twice)]));
    assert_eq!(server.get("/metrics", "").await.text(), "# TYPE n gauge\nn 1\n");
    assert_eq!(server.state.telemetry.page_samples_dropped.with(["duplicate"]).get(), 1);
}

#[tokio::test]
async fn ready_waits_for_a_complete_window() {
    let server = start(Limits::default()).await;
    let answer = server.get("/ready", "").await;
    assert_eq!((answer.status, answer.text()), (503, "not ready: no complete window yet\n"));
    assert_eq!(server.get("/live", "").await.status, 200);
    server.windows.send_replace(window_of(clock::wall_ms(), Vec::new()));
    assert_eq!(server.get("/ready", "").await.status, 200);
    // Windows have stopped.
    server.windows.send_replace(window(1.0));
    let answer = server.get("/ready", "").await;
    let stopped = "not ready: no window since the one that ended at 1970-01-01T00:00:01Z\n";
    assert_eq!((answer.status, answer.text()), (503, stopped));
}

#[tokio::test]
async fn every_request_gets_the_right_status() {
    let server = start(Limits::default()).await;
    server.windows.send_replace(window(1.0));
    let mut stream = server.connect().await;
    for (request, expected) in [
        ("GET / HTTP/1.1", 200),
        ("HEAD /metrics HTTP/1.1", 200),
        ("GET /none HTTP/1.1", 404),
        ("GET /metrics/ HTTP/1.1", 404),
        ("DELETE /metrics HTTP/1.1", 405),
        ("PUT /live HTTP/1.1", 405),
        ("GET /api/v1/tcp/level HTTP/1.1", 403),
    ] {
        let answer = exchange(&mut stream, &format!("{request}\r\nhost: h\r\n\r\n")).await;
        assert_eq!(answer.status, expected, "{request}");
        assert_eq!(answer.head.contains("allow: get, head"), expected == 405, "{request}");
    }
    assert_eq!(exchange(&mut stream, "nonsense\r\n\r\n").await.status, 400);
    let requests = |path, code| server.state.telemetry.http_requests.with([path, code]).get();
    assert_eq!((requests("(other)", "404"), requests("/metrics", "405")), (2, 1));
}

#[tokio::test]
async fn targets_have_the_shape_of_prometheus() {
    let server = start(Limits::default()).await;
    let answer = server.get("/api/v1/targets", "").await;
    assert!(answer.head.contains("content-type: application/json\r\n"));
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = serde_json::json!({
        "status": "success",
        "data": {
            "activeTargets": [{
                "discoveredLabels": {
                    "__address__": "127.0.0.1:9100",
                    "__metrics_path__": "/metrics",
                    "__scheme__": "http",
                    "__scrape_interval__": "1s",
                    "__scrape_timeout__": "1s",
                    "job": "node",
                },
                "labels": {"instance": "127.0.0.1:9100", "job": "node"},
                "scrapePool": "node",
                "scrapeUrl": "http://127.0.0.1:9100/metrics",
                "globalUrl": "http://127.0.0.1:9100/metrics",
                "lastError": "no",
                "lastScrape": "2000-02-29T00:00:00.123Z",
                "lastScrapeDuration": 1.5,
                "health": "down",
                "scrapeInterval": "1s",
                "scrapeTimeout": "1s",
            }],
            "droppedTargets": [],
            "droppedTargetCounts": {"node": 0},
        },
    });
    assert_eq!(json, expected);
    for (query, count) in [
        ("state=any", 1),
        ("state=active", 1),
        ("state=dropped", 0),
        ("scrapePool=node", 1),
        ("scrapePool=x", 0),
    ] {
        let answer = server.get(&format!("/api/v1/targets?{query}"), "").await;
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json["data"]["activeTargets"].as_array().unwrap().len(), count, "{query}");
    }
}

#[tokio::test]
async fn the_unix_socket_has_the_control() {
    let path = std::env::temp_dir().join(format!("observer-serve-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let mut stream = BufReader::new(UnixStream::connect(&path).await.unwrap());
    std::fs::remove_file(&path).unwrap();
    let (_windows, state) = state();
    tokio::spawn(run_unix(listener, state, Limits::default(), std::future::pending()));
    let get = "GET /api/v1/tcp/level HTTP/1.1\r\nhost: h\r\n\r\n";
    let put = |body: &str| {
        format!("PUT /api/v1/tcp/level HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    assert_eq!(exchange(&mut stream, get).await.text(), "exchanges\n");
    assert_eq!(exchange(&mut stream, &put("outcomes\n")).await.text(), "outcomes\n");
    assert_eq!(exchange(&mut stream, get).await.text(), "outcomes\n");
    assert_eq!(exchange(&mut stream, &put("everything")).await.status, 400);
    assert_eq!(exchange(&mut stream, &put(&"x".repeat(65))).await.status, 413);
}

#[tokio::test]
async fn a_connection_over_the_limit_is_told_and_counted() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = server.connect().await;
    let request = "GET /live HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(exchange(&mut first, request).await.status, 200);
    let mut second = server.connect().await;
    let answer = timeout(LONG, answer(&mut second, false)).await.unwrap();
    assert_eq!((answer.status, answer.text()), (503, "too many connections\n"));
    assert_eq!(server.state.telemetry.http_connections_refused.get(), 1);
    // The first still works, and its place is free when it is gone.
    assert_eq!(exchange(&mut first, request).await.status, 200);
    drop(first);
    // A refused client may be reset before its request is written.
    let again = async || {
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.ok()?;
        (status == *b"HTTP/1.1 200").then_some(())
    };
    timeout(LONG, async { while again().await.is_none() {} }).await.expect("the place stays taken");
}

#[tokio::test]
async fn a_client_that_sends_no_request_is_cut_off() {
    let server = start(Limits { read: Duration::from_millis(50), ..Limits::default() }).await;
    for start in ["", "GET /live HTTP/1.1\r\nhost"] {
        let mut stream = server.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        timeout(LONG, stream.read_to_end(&mut rest)).await.expect("the connection stays open").unwrap();
        let rest = String::from_utf8_lossy(&rest);
        assert!(!rest.contains("200 OK"), "{rest}");
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_blocks_nobody_and_is_cut_off() {
    let server =
        start(Limits { connections: 2, write: Duration::from_millis(50), ..Limits::default() }).await;
    // More than the buffers of both sockets take.
    let long = "x".repeat(1 << 15);
    let families = (0..256).map(|i| gauge("big", &format!("i=\"{i}{long}\""), 1.0)).collect();
    server.windows.send_replace(window_of(0, vec![(Source::Node, families)]));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(server.address).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    assert_eq!(server.get("/live", "").await.status, 200);
    // When the write has failed, the rest of the page never comes.
    server.windows.send_replace(window(1.0));
    timeout(LONG, async {
        while Arc::strong_count(&server.state) > 2 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the slow client keeps its connection");
    assert_eq!(server.state.telemetry.http_connections_cut.get(), 1);
    let mut page = Vec::new();
    let ended = slow.read_to_end(&mut page).await;
    assert!(ended.is_err() || page.len() < 8 << 20, "{} bytes", page.len());
}

#[tokio::test]
async fn shutdown_lets_requests_end_and_closes_idle_connections() {
    let mut server = start(Limits::default()).await;
    let mut idle = server.connect().await;
    assert_eq!(exchange(&mut idle, "GET /live HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
    server.stop.take();
    timeout(LONG, &mut server.task).await.unwrap().unwrap();
    assert_eq!(timeout(LONG, idle.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let server = start(Limits::default()).await;
    server.windows.send_replace(window(1.0));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let (address, served) = (server.address, Arc::clone(&served));
            tokio::spawn(async move {
                let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
                for _ in 0..5 {
                    let answer = exchange(&mut stream, "GET /metrics HTTP/1.1\r\nhost: h\r\n\r\n").await;
                    served.fetch_add(usize::from(answer.status == 200), Relaxed);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(served.load(Relaxed), 500);
}
