//! Where windows are written to.

use std::time::Duration;

use observer_queue::Fsync;

use super::super::*;

fn read(text: &str) -> Result<(Config, Vec<Problem>), Problem> {
    parse("a.yml", text, &Environment::default())
}

#[track_caller]
fn endpoint(lines: &str) -> RemoteWrite {
    let (mut config, problems) =
        read(&format!("remote_write: [{{url: 'http://h:9090/w', {lines}}}]")).unwrap();
    assert_eq!(problems, []);
    config.remote_write.remove(0)
}

#[track_caller]
fn fails(lines: &str, expected: &str) {
    let error = read(&format!("remote_write: [{{url: 'http://h:9090/w', {lines}}}]")).unwrap_err();
    assert!(error.message.contains(expected), "{error}");
}

#[test]
fn a_url_is_enough() {
    let expected = RemoteWrite::to("http://h:9090/w".parse().unwrap());
    assert_eq!(endpoint(""), expected);
    assert_eq!((&*expected.name, expected.message), ("h:9090", Message::Negotiated));
}

#[test]
fn an_entry_of_prometheus_means_what_it_means_there() {
    let text = "\
remote_write:
- url: https://mimir.example/api/v1/push
  name: mimir
  remote_timeout: 10s
  protobuf_message: prometheus.WriteRequest
  send_native_histograms: true
  send_exemplars: true
  headers: {X-Scope-OrgID: team}
  basic_auth: {username: u, password: p}
  write_relabel_configs: [{source_labels: [__name__], regex: go_.*, action: drop}]
  metadata_config: {send: false}
  queue_config: {max_shards: 20, min_shards: 2, max_samples_per_send: 500, min_backoff: 100ms, max_backoff: 10s, retry_on_http_429: false, sample_age_limit: 1h}
";
    let (config, problems) = read(text).unwrap();
    assert_eq!(problems, []);
    let remote = &config.remote_write[0];
    assert_eq!((&*remote.name, remote.message), ("mimir", Message::V1));
    assert!(remote.native && remote.exemplars);
    assert_eq!((remote.timeout, remote.metadata), (Duration::from_secs(10), None));
    assert_eq!(remote.headers[0].0, "x-scope-orgid");
    assert!(!remote.relabel.is_empty());
    assert_eq!(remote.client.login.headers().unwrap().len(), 1);
    let QueueConfig { max_shards, min_shards, max_samples, retry_429, max_age, .. } = remote.queue;
    assert_eq!((max_shards, min_shards, max_samples, retry_429), (20, 2, 500, false));
    assert_eq!(max_age, Duration::from_secs(3600));
}

#[test]
fn zstd_is_for_version_1() {
    for (lines, expected) in [
        ("", Compressing::Snappy),
        ("compression: zstd", Compressing::Zstd),
        ("compression: auto, protobuf_message: io.prometheus.write.v2.Request", Compressing::Asked),
        ("compression: zstd, protobuf_message: prometheus.WriteRequest", Compressing::Zstd),
    ] {
        assert_eq!(endpoint(lines).compression, expected, "{lines}");
    }
    fails("compression: zstd, protobuf_message: io.prometheus.write.v2.Request", "zstd is for version 1.0");
    fails("compression: gzip", "expected `snappy`, `zstd` or `auto`, not `gzip`");
}

#[test]
fn the_queue_has_keys_of_its_own() {
    let queue =
        endpoint("queue_config: {max_memory: 1MiB, max_disk: 0, spill_after: 0s, fsync: always}").queue;
    assert_eq!((queue.memory_bytes, queue.disk_bytes, queue.spill_after), (1 << 20, 0, Duration::ZERO));
    assert_eq!(queue.fsync.0, Fsync::Always);
    assert_eq!(endpoint("queue_config: {fsync: 5s}").queue.fsync.0, Fsync::Interval(Duration::from_secs(5)));
    assert!(endpoint("queue_config: {sample_age_limit: 0s}").queue.max_age > Duration::from_hours(24 * 365));
}

#[test]
fn what_cannot_be_is_refused() {
    fails("queue_config: {max_shards: 0}", "more than 0");
    fails("queue_config: {max_shards: 2, min_shards: 3}", "`min_shards` is more than `max_shards`");
    fails("queue_config: {min_backoff: 10s}", "`min_backoff` is more than `max_backoff`");
    fails("queue_config: {fsync: sometimes}", "expected `always`, `never` or a duration");
    fails("protobuf_message: v3", "`prometheus.WriteRequest` or `io.prometheus.write.v2.Request`");
    fails("headers: {Content-Type: text}", "header `Content-Type` is the agent's own");
    fails("remote_timout: 1s", "did you mean `remote_timeout`?");
    let twice = read("remote_write: [{url: 'http://h/a'}, {url: 'http://h/b'}]").unwrap_err();
    assert!(twice.message.contains("a second `remote_write` named `h`"), "{twice}");
    assert!(read("remote_write: [{url: 'ftp://h/'}]").is_err() && read("remote_write: [{name: x}]").is_err());
}

#[test]
fn what_is_not_supported_is_named() {
    let text =
        "remote_write: [{url: 'http://h/', sigv4: {}, queue_config: {capacity: 1, batch_send_deadline: 5s}}]";
    let problems = read(text).unwrap().1;
    let said: Vec<_> = problems.iter().map(|problem| &*problem.message).collect();
    let expected = [
        "key `sigv4` is not supported yet and has no effect",
        "key `capacity` has no effect: what waits is bounded in bytes, by `max_memory` and `max_disk`, not in samples",
        "key `batch_send_deadline` has no effect: a window is sent once it is closed, whether or not a request is full; `interval` says how often",
    ];
    assert_eq!(said, expected);
    fails("queue_config: {capcity: 1}", "did you mean `capacity`?");
}

#[test]
fn the_command_line_adds_what_the_file_does_not_have() {
    let mut config = read("remote_write: [{url: 'http://h/a'}]").unwrap().0;
    for url in ["http://h/a", "http://h/b", "http://i/"] {
        config.add_remote_write(parse_url(url).unwrap());
    }
    let names: Vec<_> = config.remote_write.iter().map(|remote| &*remote.name).collect();
    assert_eq!(names, ["h", "http://h/b", "i"]);
    assert!(parse_url("h:9090").is_err());
}

#[test]
fn nobody_sees_a_secret_of_a_url() {
    let remote = RemoteWrite::to(parse_url("https://user:hidden@h:1/w?token=hidden").unwrap());
    assert_eq!((&*remote.name, &*shown(&remote.url)), ("h:1", "https://h:1/w"));
}

#[test]
fn the_environment_decides_over_the_section() {
    let variables = [("OBSERVER_EXPORT__SHUTDOWN_GRACE".to_owned(), "1m".to_owned())];
    let over = Environment::new(variables, &[]);
    let export = parse("a.yml", "export: {queue_dir: /q, shutdown_grace: 1s}", &over).unwrap().0.export;
    assert_eq!((export.queue_dir, export.shutdown_grace), (Some("/q".into()), Duration::from_secs(60)));
}
