//! `export: otlp`

use observer_export::otlp::{Histograms, Names, Temporality};

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
        "endpoint: 'http://h:1', name: n, compression: none, timeout: 3s, temporality: delta, histograms: explicit, names: otel, \
         resource_attributes: {a: b}, headers: {x-tenant: t}, queue_config: {max_shards: 2}",
    );
    assert_eq!(
        (&*otlp.name, otlp.compression, otlp.timeout),
        ("n", OtlpCompression::None, Duration::from_secs(3))
    );
    assert_eq!((otlp.temporality, otlp.histograms), (Temporality::Delta, Histograms::Explicit));
    assert_eq!(otlp.names, Names::Otel);
    assert_eq!(otlp.resource_attributes, [("a".to_owned(), "b".to_owned())]);
    assert_eq!((otlp.headers[0].0.as_str(), otlp.queue.max_shards), ("x-tenant", 2));
}

#[test]
fn what_otlp_cannot_be_is_named() {
    for (keys, expected) in [
        ("protocol: grpc", "`otlp` without `endpoint`"),
        ("endpoint: 'http://h', protocol: http/json", "expected grpc or http/protobuf, not `http/json`"),
        ("endpoint: 'http://h', names: short", "expected otel or prometheus, not `short`"),
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
    let flags = ["http://h:1", "http://other:4317"].map(|endpoint| endpoint.parse().unwrap());
    config.export.add_otlp(&flags, &Environment::default()).unwrap();
    config.export.add_ndjson(&Place::Stdout);
    let names: Vec<_> = config.export.otlp.iter().map(|otlp| &*otlp.name).collect();
    assert_eq!((names, config.export.ndjson.len()), (vec!["otlp h:1", "otlp other:4317"], 1));
}

fn variables(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), &[])
}

/// The endpoints of a file, flags and OpenTelemetry's variables.
fn merged(text: &str, flags: &[&str], said: &[(&str, &str)]) -> Result<Vec<Otlp>, Problem> {
    let over = variables(said);
    let mut export = parse("observer.yml", text, &over)?.0.export;
    let flags: Vec<_> = flags.iter().map(|flag| flag.parse().unwrap()).collect();
    export.add_otlp(&flags, &over)?;
    Ok(export.otlp)
}

#[test]
fn a_variable_names_an_endpoint() {
    let service = "opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    let (all, metrics) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
    let (protocol, own) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL");
    for (said, expected) in [
        (vec![(all, "http://h:4318")], "http://h:4318/v1/metrics".to_owned()),
        (vec![(all, "https://h/otlp/?k=v")], "https://h/otlp/v1/metrics?k=v".to_owned()),
        (vec![(metrics, "http://h:4318")], "http://h:4318/".to_owned()),
        (vec![(metrics, "http://h/m?k=v"), (all, "http://other")], "http://h/m?k=v".to_owned()),
        (vec![(metrics, " "), (all, "http://h:9")], "http://h:9/v1/metrics".to_owned()),
        (vec![(all, "http://h:4317")], format!("http://h:4317/{service}")),
        (vec![(all, "http://h:4317"), (protocol, "HTTP/protobuf")], "http://h:4317/v1/metrics".to_owned()),
        (
            vec![(all, "http://h/base"), (protocol, "http/protobuf"), (own, "grpc")],
            format!("http://h/{service}"),
        ),
    ] {
        let [otlp] = &merged("", &[], &said).unwrap()[..] else { panic!("{said:?}") };
        assert_eq!(otlp.url.to_string(), expected, "{said:?}");
    }
    assert_eq!(merged("", &[], &[(all, ""), (protocol, "grpc")]).unwrap(), []);
}

#[test]
fn variables_say_how_to_post() {
    let otlp = merged(
        "",
        &[],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, authorization=Basic c=="),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert.pem"),
            ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/key.pem"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
            ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram"),
        ],
    )
    .unwrap()
    .remove(0);
    let headers: Vec<_> =
        otlp.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(headers, [("api-key", "a b"), ("authorization", "Basic c==")]);
    assert_eq!((otlp.timeout, otlp.compression), (Duration::from_millis(2500), OtlpCompression::None));
    assert_eq!((otlp.temporality, otlp.histograms), (Temporality::Delta, Histograms::Explicit));
    let file = |path: &str| Content::File(path.into());
    let identity = otlp.client.tls.identity.as_ref().unwrap();
    assert_eq!(otlp.client.tls.ca, Some(file("/ca.pem")));
    assert_eq!((&identity.cert, &identity.key), (&file("/cert.pem"), &file("/key.pem")));
    let shown = format!("{otlp:?}");
    assert!(!shown.contains("a b") && !shown.contains("c=="), "{shown}");
}

#[test]
fn a_variable_of_otlp_that_means_nothing_is_an_error() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h");
    for (name, value, expected) in [
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "h:4317",
            "expected a URL such as `http://host:port/path`, not `h:4317`",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "expected grpc or http/protobuf, not `http/json`"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "expected gzip or none, not `zip`"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "expected a number of milliseconds, at least 1, not `10s`"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "secret", "expected `name=value,name=value`"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=secret", "`a b` is not the name of a header"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "grpc-timeout=1", "header `grpc-timeout` is the agent's own"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key", "a key without `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "expected `name=value,name=value`"),
    ] {
        let expected = format!("environment variable `{name}`: {expected}");
        let error = merged("", &[], &[endpoint, (name, value)]).unwrap_err();
        assert_eq!(error.to_string(), expected);
        let file = "export: {otlp: [{endpoint: 'http://h'}]}";
        assert_eq!(merged(file, &[], &[(name, value)]).unwrap_err().to_string(), expected);
        // Who does not use OTLP does not have to know of it.
        let unused = merged("", &[], &[(name, value)]).map_err(|error| error.to_string());
        let names_endpoint = name.ends_with("_ENDPOINT");
        assert_eq!(unused, if names_endpoint { Err(expected) } else { Ok(Vec::new()) });
    }
}

#[test]
fn variables_without_an_endpoint_are_defaults() {
    let said = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "k=v"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "7000"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
    ];
    let file = "export: {otlp: [{endpoint: 'http://silent'}, {endpoint: 'http://own', timeout: 1s, protocol: http/protobuf, \
                headers: {a: b}, tls_config: {ca_file: /own.pem}}, {endpoint: 'http://login', basic_auth: {username: u}}]}";
    let all = merged(file, &["http://flag"], &said).unwrap();
    let seconds: Vec<_> = all.iter().map(|otlp| otlp.timeout.as_secs()).collect();
    assert_eq!(seconds, [7, 1, 7, 7]);
    let protocols: Vec<_> = all.iter().map(|otlp| otlp.protocol).collect();
    assert_eq!(protocols, [OtlpProtocol::Grpc, OtlpProtocol::Http, OtlpProtocol::Grpc, OtlpProtocol::Grpc]);
    let headers: Vec<_> =
        all.iter().map(|otlp| otlp.headers.first().map_or("", |(name, _)| name.as_str())).collect();
    assert_eq!(headers, ["k", "a", "", "k"]);
    let ca: Vec<_> = all.iter().map(|otlp| otlp.client.tls.ca.as_ref().unwrap().place("ca")).collect();
    assert_eq!(ca, ["`/ca.pem`", "`/own.pem`", "`/ca.pem`", "`/ca.pem`"]);
}

#[test]
fn variables_with_an_endpoint_are_that_ones() {
    let said = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://vendor"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "k=secret"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "7000"),
    ];
    let look = |all: &[Otlp]| -> Vec<(String, bool, u64)> {
        let look = |otlp: &Otlp| (otlp.name.clone(), !otlp.headers.is_empty(), otlp.timeout.as_secs());
        all.iter().map(look).collect()
    };
    let other = "export: {otlp: [{endpoint: 'http://other'}]}";
    assert_eq!(
        look(&merged(other, &[], &said).unwrap()),
        [("otlp other".to_owned(), false, 10), ("otlp vendor".to_owned(), true, 7)]
    );
    // The environment decides over the file, a flag over the environment.
    let same = "export: {otlp: [{endpoint: 'http://vendor', name: n, timeout: 3s}]}";
    assert_eq!(look(&merged(same, &[], &said).unwrap()), [("n".to_owned(), true, 7)]);
    assert_eq!(look(&merged("", &["http://flag"], &said).unwrap()), [("otlp flag".to_owned(), true, 7)]);
}
