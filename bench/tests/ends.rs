//! Both ends of a measurement as their users meet them: over HTTP, and in what they say at the end.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::Value;

/// A running end. It ends with its standard input.
struct End {
    child: Child,
    said: BufReader<ChildStdout>,
    port: u16,
}

impl End {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_observer-bench"));
        command.args(arguments).args(["--port", "0", "--seconds", "60"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it was built for this test");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says where it listens");
        let port = line.trim_end().strip_prefix("listening ").expect("where it listens");
        Self { port: port.parse().expect("a port"), child, said }
    }

    /// Status and body.
    fn ask(&self, to: Ipv4Addr, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect((to, self.port)).expect("it listens");
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nContent-Length: {length}\r\n{headers}\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).expect("it reads");
        let mut reader = BufReader::new(stream);
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("it answers");
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().expect("a status");
            } else if let Some(text) = line.strip_prefix("Content-Length: ") {
                length = text.trim_end().parse().expect("a length");
            } else if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the whole body");
        (status, String::from_utf8(body).expect("text"))
    }

    fn get(&self, to: [u8; 4], headers: &str) -> (u16, String) {
        self.ask(to.into(), "GET", "/metrics", headers, b"")
    }

    fn write(&self, encoding: &str, body: &[u8]) -> u16 {
        let headers = format!("Content-Encoding: {encoding}\r\n");
        self.ask(Ipv4Addr::LOCALHOST, "POST", "/api/v1/write", &headers, body).0
    }

    /// What it says last.
    fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.said.read_to_string(&mut said).expect("it says what passed");
        assert!(self.child.wait().expect("ours").success());
        serde_json::from_str(&said).expect("JSON")
    }
}

impl Drop for End {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _gone = self.child.wait();
    }
}

fn samples(body: &str) -> Vec<&str> {
    body.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn each_address_is_a_target_that_counts_its_scrapes() {
    let targets = End::start(&["targets", "--targets", "3", "--series", "50"]);
    for (target, scrapes) in [(0, 1), (2, 1), (2, 2), (2, 3)] {
        let (status, body) = targets.get([127, 64, 0, target], "Accept: application/openmetrics-text\r\n");
        let samples = samples(&body);
        assert_eq!((status, samples.len()), (200, 50), "{body}");
        assert_eq!(samples[0], format!("bench_scrapes_total {scrapes}"));
        assert!(!body.contains("# EOF"), "nobody asked for OpenMetrics on the command line");
    }
    assert_eq!(targets.get([127, 64, 0, 3], "").0, 404);
    assert_eq!(targets.get([127, 0, 0, 1], "").0, 404);
    let served = targets.end();
    let figures = ["targets", "series", "scrapes", "samples", "reached", "cut"].map(|name| &served[name]);
    assert_eq!(figures.map(Value::as_u64), [3, 50, 4, 200, 2, 0].map(Some), "{served}");
}

#[test]
fn openmetrics_is_for_those_who_prefer_it() {
    let targets = End::start(&["targets", "--targets", "1", "--series", "50", "--openmetrics"]);
    let (_, body) = targets.get([127, 64, 0, 0], "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert_eq!(samples(&body).len(), 50);
    assert!(body.ends_with("\n# EOF\n"), "{body}");
    let (_, body) = targets.get([127, 64, 0, 0], "Accept: text/plain;version=0.0.4\r\n");
    assert!(!body.contains("# EOF"), "{body}");
}

#[test]
fn a_reset_forgets() {
    let targets = End::start(&["targets", "--targets", "1", "--series", "50"]);
    targets.get([127, 64, 0, 0], "");
    assert_eq!(targets.ask(Ipv4Addr::LOCALHOST, "GET", "/-/reset", "", b"").0, 200);
    assert_eq!(targets.end()["scrapes"].as_u64(), Some(0));
}

/// A request of the first version with one sample of a known series.
fn request(value: f64) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).expect("short");
        [&[number << 3 | 2, length], bytes].concat()
    };
    let label =
        |name: &str, value: &str| field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat());
    let sample = field(2, &[&[9][..], &value.to_le_bytes(), &[16, 1]].concat());
    let series = [label("__name__", "bench_scrapes_total"), label("instance", "a"), sample].concat();
    snap::raw::Encoder::new().compress_vec(&field(1, &series)).expect("compressed")
}

#[test]
fn a_sink_knows_what_is_missing_and_what_came_twice() {
    let sink = End::start(&["sink"]);
    for value in [1.0, 2.0, 2.0, 5.0] {
        assert_eq!(sink.write("snappy", &request(value)), 204);
    }
    let arrived = sink.end();
    assert_eq!(arrived["samples"].as_u64(), Some(4), "{arrived}");
    let sequence = ["instances", "received", "missing", "twice"].map(|name| &arrived["sequence"][name]);
    assert_eq!(sequence.map(Value::as_u64), [1, 3, 2, 1].map(Some), "{arrived}");
}

#[test]
fn a_sink_says_what_it_cannot_read() {
    let sink = End::start(&["sink"]);
    assert_eq!(sink.write("zstd", &request(1.0)), 415);
    assert_eq!(sink.write("snappy", b"nonsense"), 400);
    assert_eq!(sink.ask(Ipv4Addr::LOCALHOST, "POST", "/plain", "", b"anything").0, 204);
    assert_eq!(sink.ask(Ipv4Addr::LOCALHOST, "POST", "/other", "", b"anything").0, 404);
    let arrived = sink.end();
    assert_eq!((arrived["samples"].as_u64(), arrived["malformed"].as_u64()), (Some(0), Some(1)), "{arrived}");
}
