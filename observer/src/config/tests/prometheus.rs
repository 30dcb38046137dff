//! A Prometheus configuration runs as it is.

use super::*;

#[test]
fn the_configuration_that_comes_with_prometheus_runs() {
    let text = "\
# my global config
global:
  scrape_interval: 15s # Set the scrape interval to every 15 seconds. Default is every 1 minute.
  evaluation_interval: 15s
alerting:
  alertmanagers:
    - static_configs:
        - targets:
          # - alertmanager:9093
rule_files:
  # - \"first_rules.yml\"
scrape_configs:
  - job_name: \"prometheus\"
    # metrics_path defaults to '/metrics'
    static_configs:
      - targets: [\"localhost:9090\"]
        labels:
          app: \"prometheus\"
";
    let config = warns(
        text,
        &[
            "observer.yml:4:3: key `evaluation_interval` is not supported yet and has no effect",
            "observer.yml:5:1: key `alerting` is not supported yet and has no effect",
            "observer.yml:10:1: key `rule_files` is not supported yet and has no effect",
        ],
    );
    let target = &config.jobs[0].targets[0];
    assert_eq!(target.url, "http://localhost:9090/metrics");
    assert!(target.labels.contains(&("app".to_owned(), "prometheus".to_owned())));
    assert_eq!(
        (config.jobs[0].settings.interval.as_secs(), config.jobs[0].settings.timeout.as_secs()),
        (15, 10)
    );
}

#[test]
fn other_ways_of_discovery_are_left_out_by_name() {
    let config = warns(
        "scrape_configs:\n- job_name: k\n  kubernetes_sd_configs: [{role: pod}]\n  dns_sd_configs: []\n",
        &[
            "observer.yml:3:3: key `kubernetes_sd_configs` is not supported yet and has no effect",
            "observer.yml:4:3: key `dns_sd_configs` is not supported yet and has no effect",
        ],
    );
    assert!(config.jobs[0].targets.is_empty());
}

#[test]
fn limits_of_global_hold_for_jobs_that_say_none() {
    let config = good(
        "\
global: {sample_limit: 1, target_limit: 2, label_limit: 3, body_size_limit: 4KB}
scrape_configs: [{job_name: a}, {job_name: b, sample_limit: 0, target_limit: 5, label_limit: 6}]
",
    );
    let limits = |at: usize| {
        let Settings { sample_limit, target_limit, label_limit, body_size_limit, .. } =
            config.jobs[at].settings;
        [sample_limit, target_limit, label_limit, body_size_limit]
    };
    assert_eq!([limits(0), limits(1)], [[1, 2, 3, 4096], [0, 5, 6, 4096]]);
}

#[test]
fn a_key_without_a_value_has_its_default() {
    let config = good(
        "global:\n  scrape_interval:\nscrape_configs:\n- job_name: j\n  static_configs:\n  honor_labels:\n",
    );
    assert_eq!(config.jobs[0].settings, Settings::default());
    // Text is empty instead, as in Prometheus.
    let text = "  relabel_configs:\n  - {target_label: job, replacement: }";
    let labels = &good(&job(text)).jobs[0].targets[0].labels;
    assert_eq!(labels.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["instance"]);
}

#[test]
fn static_targets_are_relabelled() {
    let text = "\
scrape_configs:
- job_name: j
  static_configs: [{targets: ['a:1', 'b:1', 'c:1']}]
  relabel_configs:
  - {source_labels: [__address__], regex: 'b.*', action: drop}
  - {source_labels: [__address__], regex: '(.*):1', target_label: host}
  - {action: labeldrop, regex: instance}
";
    let config = good(text);
    let targets: Vec<_> = config.jobs[0].targets.iter().map(|target| target.labels.as_slice()).collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // `instance` comes after relabelling.
    assert_eq!(targets[0], [pair("host", "a"), pair("instance", "a:1"), pair("job", "j")]);
    assert_eq!((targets.len(), &targets[1][0]), (2, &pair("host", "c")));
}

#[test]
fn a_static_target_that_relabelling_spoils_is_named() {
    let text = "  relabel_configs: [{target_label: __address__, replacement: 'h:x'}]";
    let config =
        warns(&job(text), &["observer.yml:3:31: target `h:1` is not scraped: `h:x` is not `host:port`"]);
    assert!(config.jobs[0].targets.is_empty());
}

#[test]
fn a_rule_without_meaning_is_named_with_its_place() {
    let rule = |text: &str| job(&format!("  relabel_configs:\n  - {{source_labels: [a]}}\n  - {{{text}}}"));
    fails(
        &rule("action: move"),
        "6:14: expected one of replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase, not `move`",
    );
    let text = |text: &str| job(&format!("  relabel_configs:\n  - {{{text}}}"));
    fails(&text("source_labels: [a]"), "5:5: action `replace` needs a `target_label`");
    fails(&text("action: keep, regex: '('"), "5:27: `(` is no regular expression: unclosed group");
    fails(
        &text("action: labeldrop, regex: a, target_label: b"),
        "5:49: action `labeldrop` takes only `regex`",
    );
    fails(&text("regexp: a"), "5:6: unknown key `regexp`; did you mean `regex`?");
    fails(&text("action: hashmod, target_label: a, modulus: -1"), "5:49: expected a whole number, not `-1`");
}

#[test]
fn who_asks_is_checked() {
    fails(
        &job("  basic_auth: {username: a}\n  authorization: {credentials: b}"),
        "5:18: `authorization` together with `basic_auth`",
    );
    fails(&job("  basic_auth: {password: a}"), "4:15: neither `username` nor `username_file`");
    fails(
        &job("  basic_auth: {username: a, password: b, password_file: c}"),
        "4:57: `password_file` together with `password`",
    );
    fails(
        &job("  authorization: {type: Basic, credentials: a}"),
        "4:18: `type: Basic` is what `basic_auth` is for",
    );
    fails(
        &job("  bearer_token: a\n  bearer_token_file: b"),
        "5:22: `bearer_token_file` together with `bearer_token`",
    );
    fails(&job("  http_headers: {Host: {values: [a]}}"), "4:24: header `Host` is the agent's own");
    fails(&job("  http_headers: {'a b': {values: [a]}}"), "4:25: `a b` is not the name of a header");
}

#[test]
fn lists_of_targets_are_checked() {
    for (text, expected) in [
        ("  file_sd_configs: [{}]", "4:21: `file_sd_configs` without `files`"),
        (
            "  file_sd_configs: [{files: [a.txt]}]",
            "4:30: expected a path that ends in .json, .yml or .yaml, with `*` only behind the last `/`, not `a.txt`",
        ),
        (
            "  file_sd_configs: [{files: ['*/a.yml']}]",
            "4:30: expected a path that ends in .json, .yml or .yaml, with `*` only behind the last `/`, not `*/a.yml`",
        ),
        ("  file_sd_configs: [{file: a}]", "4:22: unknown key `file`; did you mean `files`?"),
        ("  http_sd_configs: [{refresh_interval: 1s}]", "4:21: `http_sd_configs` without `url`"),
        (
            "  http_sd_configs: [{url: 'ftp://h'}]",
            "4:27: expected a URL such as `http://host:port/path`, not `ftp://h`",
        ),
        (
            "  http_sd_configs: [{url: 'h/x'}]",
            "4:27: expected a URL such as `http://host:port/path`, not `h/x`",
        ),
    ] {
        fails(&job(text), expected);
    }
    let config = good(&job("  http_sd_configs: [{url: 'https://h'}]"));
    assert_eq!(config.jobs[0].servers[0].url, "https://h/");
}

#[test]
fn a_key_that_stands_twice_is_an_error() {
    for text in ["global: {sample_limit: 1, sample_limit: 2}", "scrape_configs: [{job_name: a, job_name: b}]"]
    {
        let error = read(text).unwrap_err();
        assert_eq!(error.line, 1, "{error}");
        assert!(error.column > 1 && error.message.contains("duplicate"), "{error}");
    }
}

#[test]
fn the_path_of_a_url_is_encoded() {
    let url =
        |path: &str| good(&job(&format!("  metrics_path: '{path}'"))).jobs[0].targets[0].url.to_string();
    assert_eq!(url("/a b/é"), "http://h:1/a%20b/%C3%A9");
    assert_eq!(url("/a?b=c"), "http://h:1/a?b=c");
    assert_eq!(url("a%2Fb"), "http://h:1/a%2Fb");
}

#[test]
fn a_client_of_tls_is_as_prometheus_has_it() {
    let text = "  tls_config: {ca_file: ca.pem, cert_file: c, key_file: /k.pem, server_name: n, insecure_skip_verify: true, min_version: TLS11, max_version: TLS12}\n  enable_http2: false\n  follow_redirects: false";
    let client = &good(&job(text)).jobs[0].client;
    let content = |text: &str| Content::File(text.into());
    let tls = &client.tls;
    assert_eq!(tls.ca, Some(content("ca.pem")));
    assert_eq!(tls.identity.as_ref().map(|both| &both.key), Some(&content("/k.pem")));
    assert_eq!((tls.server_name.as_deref(), tls.insecure_skip_verify), (Some("n"), true));
    assert_eq!((tls.min, tls.max.0), (TlsVersion::V12, TlsVersion::V12));
    assert_eq!((client.http2, client.follow_redirects, tls.has_files()), (false, false, true));
    assert_eq!(good(&job("")).jobs[0].client, ClientConfig::default());
    for (keys, expected) in [
        ("ca: a, ca_file: b", "4:32: `ca_file` together with `ca`"),
        ("cert_file: a", "4:15: a certificate without `key` or `key_file`"),
        ("key_file: a", "4:15: a key without `cert` or `cert_file`"),
        ("ca: a", "4:20: no certificate in PEM"),
        ("cert_file: a, key: b", "4:35: no key in PEM"),
        ("min_version: TLS9", "4:29: expected one of TLS10, TLS11, TLS12, TLS13, not `TLS9`"),
        ("max_version: TLS11", "4:29: TLS 1.2 and 1.3 are spoken, and nothing older"),
        ("min_version: TLS13, max_version: TLS12", "4:49: `max_version` is older than `min_version`"),
        ("cafile: a", "4:16: unknown key `cafile`; did you mean `ca_file`?"),
    ] {
        fails(&job(&format!("  tls_config: {{{keys}}}")), expected);
    }
}
