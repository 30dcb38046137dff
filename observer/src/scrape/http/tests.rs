//! The client against sockets on loopback.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    thread,
};

use super::*;
use crate::{allocations, http::Versions, telemetry::Telemetry};

mod tls;

/// What becomes of a connection.
enum Step {
    /// Waits for a request and answers with these bytes.
    Answer(Vec<u8>),
    /// Waits for a request and closes the connection.
    Leave,
    /// Closes the connection without a request.
    Close,
    /// Sends bytes that nobody asked for.
    Push(&'static [u8]),
}

/// Follows a script over as many connections as it takes; the result is the requests.
fn server(script: Vec<Step>) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let handle = thread::spawn(move || {
        let mut requests = Vec::new();
        let mut stream = None;
        for step in script {
            let reader = stream.get_or_insert_with(|| BufReader::new(listener.accept().unwrap().0));
            let mut request = String::new();
            if matches!(step, Step::Answer(_) | Step::Leave) {
                while reader.read_line(&mut request).unwrap() > 2 {}
                assert!(request.ends_with("\r\n\r\n"), "{request}");
                requests.push(request);
            }
            match step {
                Step::Answer(bytes) => {
                    // A client that refuses an answer does not wait for its end.
                    let _broken = reader.get_mut().write_all(&bytes);
                    if !bytes.starts_with(b"HTTP/1.1 200") {
                        stream = None;
                    }
                }
                Step::Push(bytes) => reader.get_mut().write_all(bytes).unwrap(),
                Step::Leave | Step::Close => stream = None,
            }
        }
        requests
    });
    (address, handle)
}

fn answer(body: &[u8]) -> Step {
    encoded("identity", body)
}

fn encoded(coding: &str, body: &[u8]) -> Step {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n", body.len());
    Step::Answer([head.as_bytes(), body].concat())
}

fn moved(location: &str) -> Step {
    Step::Answer(format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\n\r\n").into_bytes())
}

fn client(address: &str, settings: Settings) -> Client {
    client_of(address, settings, "params: {}")
}

/// A client of a job with more keys.
fn client_of(address: &str, settings: Settings, keys: &str) -> Client {
    let yaml = format!(
        "scrape_configs: [{{job_name: j, {keys}, authorization: {{credentials: abc}}, static_configs: [{{targets: ['{address}']}}]}}]"
    );
    let environment = crate::config::Environment::default();
    let mut job = crate::config::parse("a.yml", &yaml, &environment).unwrap().0.jobs.remove(0);
    job.settings = settings;
    let target = ScrapeTarget {
        target: Arc::new(job.targets[0].clone()),
        discovered: Vec::new(),
        interval: settings.interval,
        timeout: settings.timeout,
        identity: 0,
        job: Arc::new(job),
    };
    let connector = Arc::new(Connector::new(target.job.client.tls.clone(), Versions::of(&target.job.client)));
    Client::new(Arc::new(target), Arc::new(Buffers::new(4, 1 << 20, &Telemetry::new())), connector)
}

async fn fetch(client: &mut Client) -> Result<String, String> {
    let mut body = Body::default();
    let result = client.fetch(&mut body).await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    client.release(&mut body);
    result.map(|_| text).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_is_replaced_in_silence() {
    let (address, server) = server(vec![
        answer(b"a 1\n"),
        Step::Close,
        answer(b"a 2\n"),
        Step::Leave,
        answer(b"a 3\n"),
        Step::Push(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nb 1\n"),
        Step::Close,
        answer(b"a 4\n"),
    ]);
    let mut client = client(&address, Settings::default());
    for expected in ["a 1\n", "a 2\n", "a 3\n"] {
        assert_eq!(fetch(&mut client).await.as_deref(), Ok(expected));
    }
    // What was sent without a request is the answer to none, whether it came with the one before or later.
    if let Some(Connection { speaks: Speaks::Http1(stream), .. }) = &client.connection {
        stream.tcp().readable().await.unwrap();
    }
    assert_eq!(fetch(&mut client).await.as_deref(), Ok("a 4\n"));
    assert_eq!(server.join().unwrap().len(), 5);
}

#[tokio::test]
async fn only_an_idle_connection_is_replaced_and_only_before_an_answer() {
    let (address, server) =
        server(vec![Step::Leave, answer(b"a 1\n"), Step::Answer(b"HTTP/1.1 2".to_vec()), answer(b"a 2\n")]);
    let mut client = client(&address, Settings::default());
    let gone = "cannot exchange HTTP: connection closed before an answer came".to_owned();
    assert_eq!(fetch(&mut client).await, Err(gone));
    assert_eq!(fetch(&mut client).await.as_deref(), Ok("a 1\n"));
    let cut = "cannot exchange HTTP: connection closed within the head".to_owned();
    assert_eq!(fetch(&mut client).await, Err(cut));
    assert_eq!(fetch(&mut client).await.as_deref(), Ok("a 2\n"));
    assert_eq!(server.join().unwrap().len(), 4);
}

#[tokio::test]
async fn an_answer_may_lead_elsewhere_and_only_the_target_is_told_who_asks() {
    let (other, others) = server(vec![answer(b"a 1\n")]);
    let (address, server) = server(vec![moved("b?c=d"), moved(&format!("http://{other}/x"))]);
    assert_eq!(fetch(&mut client(&address, Settings::default())).await.as_deref(), Ok("a 1\n"));
    let requests = server.join().unwrap();
    assert!(requests[1].starts_with("GET /b?c=d HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests.iter().all(|request| request.contains("\r\nauthorization: Bearer abc\r\n")));
    let requests = others.join().unwrap();
    assert!(requests[0].starts_with(&format!("GET /x HTTP/1.1\r\nHost: {other}\r\n")), "{requests:?}");
    assert!(!requests[0].contains("authorization"), "{requests:?}");
}

#[tokio::test]
async fn not_every_answer_is_followed() {
    let (address, server) = server((0..=HOPS).map(|_| moved("/metrics")).collect());
    let error = fetch(&mut client(&address, Settings::default())).await.unwrap_err();
    assert_eq!(error, "cannot exchange HTTP: answer leads elsewhere for more than 10 times");
    assert_eq!(server.join().unwrap().len(), HOPS + 1);

    let (address, server) = self::server(vec![moved("/metrics")]);
    let error =
        fetch(&mut client_of(&address, Settings::default(), "follow_redirects: false")).await.unwrap_err();
    assert_eq!(error, "server returned HTTP status 302 Found");
    server.join().unwrap();

    let (address, server) = self::server(vec![moved("ftp://h/metrics")]);
    let error = fetch(&mut client(&address, Settings::default())).await.unwrap_err();
    assert_eq!(
        error,
        "cannot exchange HTTP: `ftp://h/metrics` has the scheme `ftp`; only `http` and `https` are supported"
    );
    server.join().unwrap();
}

#[tokio::test]
async fn a_body_from_afar_is_asked_for_and_read_compressed() {
    let mut encoder = flate2::bufread::GzEncoder::new(&b"a 1\n"[..], flate2::Compression::fast());
    let mut compressed = Vec::new();
    encoder.read_to_end(&mut compressed).unwrap();
    let (address, server) = server(vec![answer(b"a 0\n"), encoded("gzip", &compressed), encoded("br", b"x")]);
    let mut client = client(&address, Settings::default());
    assert_eq!(fetch(&mut client).await.as_deref(), Ok("a 0\n"));
    let connection = client.connection.as_mut().unwrap();
    assert!(!connection.gzip, "loopback");
    connection.gzip = true;
    assert_eq!(fetch(&mut client).await.as_deref(), Ok("a 1\n"));
    let error = fetch(&mut client).await.unwrap_err();
    assert_eq!(error, "body has the content encoding `br`, which was not asked for");
    drop(client);
    let requests = server.join().unwrap();
    let asked =
        |at: usize, coding: &str| requests[at].contains(&format!("\r\nAccept-Encoding: {coding}\r\n"));
    assert!(asked(0, "identity") && asked(1, "gzip") && asked(2, "gzip"), "{requests:?}");
}

#[tokio::test]
async fn who_waits_for_an_answer_holds_no_memory_and_a_warm_scrape_asks_for_none() {
    const SCRAPES: usize = 20;
    let text = "a{b=\"c\"} 1\n".repeat(10_000);
    let whole = |_| answer(text.as_bytes());
    let (address, server) = server((0..SCRAPES).map(whole).chain([Step::Leave]).collect());
    let mut client = client(&address, Settings::default());
    let mut body = Body::default();
    for warm in 0..SCRAPES {
        let before = allocations::count();
        client.fetch(&mut body).await.unwrap();
        let asked = allocations::count() - before;
        assert_eq!(body.len(), text.len());
        client.release(&mut body);
        assert_eq!(body.buffer.capacity(), 0);
        assert!(warm < 2 || asked == 0, "scrape {warm}: {asked} allocations");
    }
    drop(client);
    drop(server);
}
