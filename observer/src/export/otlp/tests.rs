use std::{
    convert::Infallible,
    io::Read as _,
    sync::{Arc, Mutex},
};

use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use observer_aggregate::{
    family::{Kind, Suffix},
    series::Block,
    window::Source,
};
use observer_export::Protocol;
use tokio::net::TcpListener;

use super::*;

/// What a receiver was asked.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// What it answers: status, headers, body, trailers.
#[derive(Clone, Default)]
struct Says {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    trailers: Vec<(&'static str, String)>,
}

fn fields(of: &[(&'static str, String)]) -> HeaderMap {
    of.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn receiver(endpoint: &str, keys: &str) -> Receiver {
    let text = format!("export: {{otlp: [{{endpoint: '{endpoint}', {keys}}}]}}");
    let (config, problems) =
        crate::config::parse("test", &text, &crate::config::Environment::default()).unwrap();
    assert_eq!(problems, []);
    Receiver::new(&config.export.otlp[0]).unwrap()
}

/// Posts once to a receiver that says that, and gives what it was asked.
async fn post(keys: &str, grpc: bool, says: Says) -> (Answer, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(None));
    let heard = Arc::clone(&asked);
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: Request<Incoming>| {
            let (says, heard) = (says.clone(), Arc::clone(&heard));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let path = head.uri.path().to_owned();
                *heard.lock().unwrap() = Some(Asked { path, headers: head.headers, body });
                let trailers = (!says.trailers.is_empty()).then(|| Ok(fields(&says.trailers)));
                let body = Full::new(Bytes::from(says.body)).with_trailers(async { trailers });
                let mut response = Response::new(body);
                *response.status_mut() = says.status.try_into().unwrap();
                *response.headers_mut() = fields(&says.headers);
                Ok::<_, Infallible>(response)
            }
        });
        let io = TokioIo::new(stream);
        // The client hangs up when the test is over.
        if grpc {
            drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
        } else {
            drop(http1::Builder::new().serve_connection(io, service).await);
        }
    });
    let receiver = receiver(&endpoint, keys);
    let contents = Contents { samples: 10, histograms: 2, exemplars: 0 };
    let body = Bytes::from_static(b"a request");
    let answer = receiver
        .post(&Parcel { protocol: Protocol::Otlp, body, contents, attempt: 0, refused_lately: false })
        .await;
    drop(receiver);
    server.abort();
    let asked = asked.lock().unwrap().take().expect("a request");
    (answer, asked)
}

fn delivered(samples: u64, message: &str) -> Verdict {
    let refused = Contents { samples, histograms: 0, exemplars: 0 };
    Verdict::Delivered { refused, message: message.to_owned() }
}

/// `ExportMetricsServiceResponse` with a rejected point.
const PARTIAL: &[u8] = b"\x0a\x08\x08\x01\x12\x04late";

fn grpc_status(status: &str) -> Vec<(&'static str, String)> {
    vec![("grpc-status", status.to_owned()), ("grpc-message", "no%20room".to_owned())]
}

#[tokio::test]
async fn a_call_is_framed_and_its_end_is_judged() {
    let body = frame::frame(PARTIAL, false).to_vec();
    let says = Says { status: 200, body, trailers: grpc_status("0"), ..Says::default() };
    let (answer, asked) = post("protocol: grpc", true, says).await;
    assert_eq!(answer.verdict, delivered(1, "late"));
    assert_eq!(asked.path, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "10000m"),
        ("grpc-encoding", "gzip"),
    ] {
        assert_eq!(asked.headers.get(name).unwrap(), value);
    }
    let (prefix, message) = asked.body.split_at(5);
    assert_eq!((prefix[0], u32::from_be_bytes(prefix[1..].try_into().unwrap())), (1, message.len() as u32));
    let mut plain = String::new();
    GzDecoder::new(message).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, "a request");
}

#[tokio::test]
async fn a_call_that_fails_says_whether_to_try_again() {
    for (status, code, again) in [
        ("14", "grpc_unavailable", true),
        ("8", "grpc_resource_exhausted", false),
        ("16", "grpc_unauthenticated", false),
        ("12", "grpc_unimplemented", false),
    ] {
        // Where there is no message, the status stands in the head.
        let says = Says { status: 200, headers: grpc_status(status), ..Says::default() };
        let (answer, _) = post("protocol: grpc, compression: none", true, says).await;
        let message = "no room".to_owned();
        let expected = match again {
            true => Verdict::Later { message, after: None },
            false => Verdict::Refused { cause: code, message, halve: status == "8" },
        };
        assert_eq!(answer, Answer { code: Code::None(code), verdict: expected });
    }
    let (answer, _) = post("protocol: grpc", true, Says { status: 404, ..Says::default() }).await;
    assert!(matches!(answer.verdict, Verdict::Refused { cause: "status_404", .. }), "{answer:?}");
    let (answer, _) = post("protocol: grpc", true, Says { status: 200, ..Says::default() }).await;
    assert!(matches!(answer.verdict, Verdict::Later { .. }), "{answer:?}");
}

#[tokio::test]
async fn http_is_posted_and_judged() {
    let says = Says { status: 200, body: PARTIAL.to_vec(), ..Says::default() };
    let (answer, asked) = post("headers: {x-tenant: me}", false, says).await;
    assert_eq!(answer, Answer { code: Code::Status(200), verdict: delivered(1, "late") });
    assert_eq!(
        (&*asked.path, asked.headers.get("x-tenant").unwrap()),
        ("/v1/metrics", &"me".parse::<HeaderValue>().unwrap())
    );
    assert_eq!(asked.headers.get("content-type").unwrap(), "application/x-protobuf");
    let mut plain = String::new();
    GzDecoder::new(&*asked.body).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, "a request");

    let headers = vec![("retry-after", "7".to_owned())];
    let says = Says { status: 429, headers, body: b"slow down".to_vec(), ..Says::default() };
    let (answer, asked) = post("compression: none", false, says).await;
    let after = Some(Duration::from_secs(7));
    assert_eq!(answer.verdict, Verdict::Later { message: "slow down".to_owned(), after });
    assert_eq!((asked.headers.get("content-encoding"), &*asked.body), (None, &b"a request"[..]));

    let says = Says { status: 413, body: b"too large".to_vec(), ..Says::default() };
    let (answer, _) = post("", false, says).await;
    let refused = Verdict::Refused { cause: "status_413", message: "too large".to_owned(), halve: true };
    assert_eq!(answer.verdict, refused);
}

/// What is wrong with a point's series is wrong with it in the next window too.
#[test]
fn a_series_that_was_refused_alone_is_apart_in_the_next_window() {
    let mut block = Block::default();
    let family = block.family("m", Kind::Gauge, "", "");
    let slots = [0, 1, 2, 3].map(|n| block.add(family, Suffix::None, &format!("n=\"{n}\"")).unwrap());
    let mut encoder = Encoder::new(encoding::Options::default());
    let mut next = |serial: u64| {
        slots.iter().for_each(|slot| block.set(*slot, serial as f64));
        block.touch();
        let mut window = Window::default();
        window.begin(1_700_000_000_000 + 1_000 * serial as i64, true);
        window.serial = serial;
        window.take(Source::Node, &mut block);
        let mut body = Bytes::new();
        encoder.window(&window, &mut |batch| body = Bytes::copy_from_slice(batch.body));
        let contents = Contents { samples: 4, ..Contents::default() };
        Parcel { protocol: Protocol::Otlp, body, contents, attempt: 0, refused_lately: false }
    };
    let receiver = receiver("http://127.0.0.1:1", "");
    let told =
        |halves: &[Parcel; 2]| halves.each_ref().map(|half| (half.contents.samples, half.refused_lately));
    let halves = receiver.halve(&next(1)).unwrap();
    assert_eq!(told(&halves), [(2, false), (2, false)]);
    let quarters = receiver.halve(&halves[1]).unwrap();
    assert_eq!(receiver.halve(&quarters[0]), None, "one is alone");
    assert_eq!(told(&receiver.halve(&next(2)).unwrap()), [(3, false), (1, true)]);
}

#[test]
fn points_that_are_rejected_are_none_that_were_delivered() {
    let contents = Contents { samples: 10, histograms: 5, exemplars: 0 };
    for (rejected, samples, histograms) in [(0, 0, 0), (3, 3, 0), (12, 10, 2), (99, 10, 5)] {
        let judged = response::Verdict::Taken { rejected, message: "no".to_owned() };
        let refused = Contents { samples, histograms, exemplars: 0 };
        let expected = Verdict::Delivered { refused, message: "no".to_owned() };
        assert_eq!(verdict(judged, contents, "", false), expected);
    }
}

#[test]
fn a_deadline_has_at_most_eight_digits() {
    assert_eq!(grpc_timeout(Duration::from_millis(1500)), "1500m");
    assert_eq!(grpc_timeout(Duration::from_secs(1 << 40)), "99999999m");
}
