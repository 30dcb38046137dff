//! `export: otlp`

use observer_export::otlp::{Histograms, Temporality};

use super::*;

fn one(keys: &str) -> Otlp {
    let mut config = good(&format!("export: {{otlp: [{{{keys}}}]}}"));
    assert_eq!(config.export.otlp.len(), 1);
    config.export.otlp.remove(0)
}

#[test]
fn an_endpoint_is_enough() {
    let otlp = one("endpoint: 'http://h:4318'");
    assert_eq!((otlp.url.to_string(), &*otlp.name), ("http://h:4318/v1/metrics".to_owned(), "otlp h:4318"));
    assert_eq!((otlp.protocol, otlp.compression), (OtlpProtocol::Http, OtlpCompression::Gzip));
    assert_eq!(otlp, Otlp::to(&"http://h:4318".parse().unwrap()));
}

#[test]
fn the_port_says_the_protocol_unless_a_key_does() {
    let service = "opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    for (keys, protocol, url) in [
        ("endpoint: 'http://h:4317'", OtlpProtocol::Grpc, format!("http://h:4317/{service}")),
        ("endpoint: 'https://h', protocol: grpc", OtlpProtocol::Grpc, format!("https://h/{service}")),
        (
            "endpoint: 'http://h:4317/', protocol: http/protobuf",
            OtlpProtocol::Http,
            "http://h:4317/v1/metrics".to_owned(),
        ),
        ("endpoint: 'http://h/otlp/v1/metrics'", OtlpProtocol::Http, "http://h/otlp/v1/metrics".to_owned()),
    ] {
        let otlp = one(keys);
        assert_eq!((otlp.protocol, otlp.url.to_string()), (protocol, url), "{keys}");
    }
}

#[test]
fn every_key_of_otlp_is_read() {
    let otlp = one(
        "endpoint: 'http://h:1', name: n, compression: none, timeout: 3s, temporality: delta, histograms: explicit, \
         resource_attributes: {a: b}, headers: {x-tenant: t}, queue_config: {max_shards: 2}",
    );
    assert_eq!(
        (&*otlp.name, otlp.compression, otlp.timeout),
        ("n", OtlpCompression::None, Duration::from_secs(3))
    );
    assert_eq!((otlp.temporality, otlp.histograms), (Temporality::Delta, Histograms::Explicit));
    assert_eq!(otlp.resource_attributes, [("a".to_owned(), "b".to_owned())]);
    assert_eq!((otlp.headers[0].0.as_str(), otlp.queue.max_shards), ("x-tenant", 2));
}

#[test]
fn what_otlp_cannot_be_is_named() {
    for (keys, expected) in [
        ("protocol: grpc", "`otlp` without `endpoint`"),
        ("endpoint: 'http://h', protocol: http/json", "expected grpc or http/protobuf, not `http/json`"),
        ("endpoint: 'http://h', temporality: low", "expected cumulative or delta, not `low`"),
        ("endpoint: 'http://h', headers: {grpc-timeout: 1S}", "header `grpc-timeout` is the agent's own"),
        (
            "endpoint: 'http://h'}, {endpoint: 'http://h'",
            "a second export named `otlp h`: give each a `name`",
        ),
    ] {
        let error = read(&format!("export: {{otlp: [{{{keys}}}]}}")).unwrap_err();
        assert_eq!((error.line, &*error.message), (1, expected), "{keys}");
        assert!(error.column > 16, "{error}");
    }
}

#[test]
fn a_flag_adds_what_the_file_does_not_have() {
    let mut config = good("export: {otlp: [{endpoint: 'http://h:1', timeout: 1s}], ndjson: [{path: '-'}]}");
    for endpoint in ["http://h:1", "http://other:4317"] {
        config.export.add_otlp(&endpoint.parse().unwrap());
    }
    config.export.add_ndjson(&Place::Stdout);
    let names: Vec<_> = config.export.otlp.iter().map(|otlp| &*otlp.name).collect();
    assert_eq!((names, config.export.ndjson.len()), (vec!["otlp h:1", "otlp other:4317"], 1));
}
