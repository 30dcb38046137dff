use super::*;

fn read(text: &str) -> Result<(Config, Vec<Problem>), Problem> {
    parse("observer.yml", text, &Environment::default())
}

#[track_caller]
fn good(text: &str) -> Config {
    warns(text, &[])
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    assert_eq!(read(text).unwrap_err().to_string(), format!("observer.yml:{expected}"), "{text}");
}

#[track_caller]
fn warns(text: &str, expected: &[&str]) -> Config {
    let (config, warnings) = read(text).unwrap();
    let mut warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    // Which keys nothing obeys yet is not what a test is about.
    warnings.retain(|warning| !warning.ends_with("is read and has no effect yet"));
    assert_eq!(warnings, expected, "{text}");
    config
}

fn job(lines: &str) -> String {
    format!("scrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['h:1']}}]\n{lines}")
}

#[test]
fn every_key_is_read() {
    let config = good(
        "\
global:
  scrape_interval: 5s
  scrape_timeout: 2s
  external_labels: {zone: a, cluster: '1.10'}
scrape_configs:
  - job_name: node
    honor_labels: true
    honor_timestamps: false
    sample_limit: 5000
    body_size_limit: 10MB
    scrape_interval: 1s
    scrape_timeout: 500ms
    metrics_path: /probe
    scheme: http
    params: {target: ['a b', c], module: [http_2xx]}
    static_configs:
      - targets: ['127.0.0.1:9100', '[::1]:9100']
        labels: {rack: r1}
  - job_name: other
",
    );
    assert_eq!(
        config.global.external_labels,
        [("cluster".into(), "1.10".into()), ("zone".into(), "a".into())]
    );
    let [node, other] = &config.jobs[..] else { panic!("{config:?}") };
    assert_eq!(
        node.settings,
        Settings {
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
            honor_labels: true,
            honor_timestamps: false,
            sample_limit: 5000,
            body_size_limit: 10 << 20,
            ..Settings::default()
        }
    );
    let url = node.targets[0].url.to_string();
    assert_eq!(url, "http://127.0.0.1:9100/probe?module=http_2xx&target=a+b&target=c");
    let labels: Vec<_> = node.targets[1].labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(labels, ["instance=[::1]:9100", "job=node", "rack=r1"]);
    assert_eq!(
        (other.settings.interval, other.settings.timeout),
        (Duration::from_secs(5), Duration::from_secs(2))
    );
    assert!(other.targets.is_empty());
}

#[test]
fn nothing_said_is_every_second() {
    assert_eq!(good(""), Config::default());
    assert_eq!(good("# only a comment\n"), Config::default());
    assert_eq!(good("global:\nscrape_configs:\n"), Config::default());
    let settings = good(&job("")).jobs[0].settings;
    assert_eq!((settings.interval, settings.timeout), (Duration::from_secs(1), Duration::from_secs(1)));
}

#[test]
fn a_timeout_follows_the_interval_up_to_ten_seconds() {
    let timeout = |text: &str| good(text).jobs[0].settings.timeout.as_secs();
    assert_eq!(timeout(&job("  scrape_interval: 4s")), 4);
    assert_eq!(timeout(&job("  scrape_interval: 1m")), 10);
    assert_eq!(timeout(&format!("global: {{scrape_timeout: 2s, scrape_interval: 15s}}\n{}", job(""))), 2);
    assert_eq!(
        timeout(&format!(
            "global: {{scrape_timeout: 5s, scrape_interval: 15s}}\n{}",
            job("  scrape_interval: 3s")
        )),
        3
    );
    fails(
        &job("  scrape_interval: 1s\n  scrape_timeout: 2s"),
        "5:19: scrape timeout 2s is longer than the scrape interval 1s",
    );
    fails(
        &format!("global: {{scrape_interval: 2s}}\n{}", job("  scrape_timeout: 3s")),
        "5:19: scrape timeout 3s is longer than the scrape interval 2s",
    );
}

#[test]
fn a_timeout_of_a_file_for_prometheus_is_cut_where_no_interval_is_said() {
    const WHY: &str =
        "is cut to the scrape interval, which is 1s where `scrape_interval` says nothing (1m in Prometheus)";
    let config =
        warns(&job("  scrape_timeout: 2s"), &[&format!("observer.yml:4:19: scrape timeout 2s {WHY}")]);
    assert_eq!(config.jobs[0].settings.timeout, Duration::from_secs(1));
    let config = warns(
        &format!("global: {{scrape_timeout: 10s}}\n{}", job("  scrape_interval: 30s")),
        &[&format!("observer.yml:1:26: scrape timeout 10s {WHY}")],
    );
    let Settings { interval, timeout, .. } = config.jobs[0].settings;
    assert_eq!((interval.as_secs(), timeout.as_secs()), (30, 10));
}

#[test]
fn static_labels_decide_over_job_and_instance() {
    let text = "\
scrape_configs:
- job_name: j
  params: {a: [x], b: [y]}
  static_configs:
  - targets: [h, h, 'g:2']
    labels: {job: own, instance: i, __metrics_path__: /m, __param_a: z, __other: hidden, none: ''}
";
    let config = good(text);
    let targets = &config.jobs[0].targets;
    assert_eq!(targets.len(), 2, "{targets:?}");
    assert_eq!(targets[0].url.to_string(), "http://h/m?a=z&b=y");
    assert_eq!(targets[0].labels, [("instance".into(), "i".into()), ("job".into(), "own".into())]);
}

#[test]
fn a_misspelt_key_is_an_error_that_names_the_right_one() {
    fails("scrape_config:\n", "1:1: unknown key `scrape_config`; did you mean `scrape_configs`?");
    fails(
        "global:\n  scrape_intervall: 1s\n",
        "2:3: unknown key `scrape_intervall`; did you mean `scrape_interval`?",
    );
    fails(&job("  honour_labels: true"), "4:3: unknown key `honour_labels`; did you mean `honor_labels`?");
    fails(&job("  relabel_config: []"), "4:3: unknown key `relabel_config`; did you mean `relabel_configs`?");
    fails(
        "zzz: 1",
        "1:1: unknown key `zzz`; expected one of global, scrape_configs, scrape_config_files, remote_write, export, aggregate, limits, server",
    );
    fails(
        "scrape_configs:\n- job_name: j\n  static_configs:\n  - target: [a]\n",
        "4:5: unknown key `target`; did you mean `targets`?",
    );
}

#[test]
fn an_item_without_anything_is_none() {
    fails(
        "scrape_configs:\n- job_name: j\n  static_configs:\n  -\n",
        "4:4: expected a section, and there is nothing",
    );
    fails("global: {external_labels: {a: !!binary YQ==}}", "1:31: expected text: `!!binary` is not read");
}

#[test]
fn a_key_of_prometheus_that_is_not_supported_is_named() {
    let config = warns(
        &format!("rule_files: [x]\n{}", job("  proxy_url: x\n  oauth2: {}")),
        &[
            "observer.yml:1:1: key `rule_files` is not supported yet and has no effect",
            "observer.yml:5:3: key `proxy_url` is not supported yet and has no effect",
            "observer.yml:6:3: key `oauth2` is not supported yet and has no effect",
        ],
    );
    assert_eq!(config.jobs[0].targets.len(), 1);
}

#[test]
fn a_key_that_nothing_obeys_yet_is_named() {
    let table = keys::TABLES.iter().find(|table| table.title == "`limits`").unwrap();
    for key in table.keys {
        let (_, warnings) = read(&format!("limits: {{{}: {}}}", key.name, key.default)).unwrap();
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        let idle = format!("observer.yml:1:10: key `{}` is read and has no effect yet", key.name);
        let expected = if table.idle.contains(&key.name) { vec![idle] } else { Vec::new() };
        assert_eq!(warnings, expected);
    }
}

#[test]
fn an_https_job_is_scraped_over_tls() {
    let config = good(&job("  scheme: https"));
    assert_eq!(config.jobs[0].targets[0].url, "https://h:1/metrics");
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    fails(&job("  scrape_interval: 1 s"), "4:20: expected a duration such as `1s`, more than 0, not `1 s`");
    fails(&job("  scrape_interval: 0s"), "4:20: expected a duration such as `1s`, more than 0, not `0s`");
    fails(&job("  honor_labels: yes"), "4:17: expected `true` or `false`, not `yes`");
    fails(&job("  sample_limit: -1"), "4:17: expected a whole number, not `-1`");
    fails(&job("  body_size_limit: 10"), "4:20: expected a size such as `10MB`, not `10`");
    fails(&job("  scheme: ftp"), "4:11: expected `http` or `https`, not `ftp`");
    fails(&job("  metrics_path: [a]"), "4:17: expected a single value");
    fails("scrape_configs: {a: b}", "1:17: expected a list");
    fails("global: []", "1:9: expected keys with values");
    fails(
        "global: {external_labels: {a-b: c}}",
        "1:27: expected a label name of letters, digits and `_`, not `a-b`",
    );
    fails(
        "scrape_configs:\n- job_name: j\n  static_configs: [{targets: ['http://h:1']}]\n",
        "3:31: expected `host:port`, not `http://h:1`",
    );
    fails(
        "scrape_configs:\n- job_name: j\n  static_configs: [{targets: [h/x]}]\n",
        "3:31: expected `host:port`, not `h/x`",
    );
    fails("scrape_configs:\n- scheme: http\n", "2:3: a job without `job_name`");
    fails("scrape_configs:\n- job_name: j\n- job_name: j\n", "3:3: a second job `j`");
}

#[test]
fn what_is_no_yaml_is_an_error_with_its_place() {
    let error = read("global: [\n").unwrap_err();
    assert!(error.line >= 1 && !error.message.is_empty(), "{error}");
    let error = read("global:\nglobal:\n").unwrap_err();
    assert_eq!((error.line, error.column), (2, 1), "{error}");
    let error = read("a: 1\n---\nb: 2\n").unwrap_err();
    assert_eq!(error.message, "a second document in the file");
}

#[test]
fn a_flag_joins_the_job_of_its_name() {
    let mut config = good(&job("  scrape_interval: 7s\n  honor_labels: true"));
    for flag in ["j=other:2", "j=other:2", "new=third:3"] {
        config.add(flag.parse().unwrap());
    }
    assert_eq!(config.jobs[0].targets.len(), 2);
    assert!(config.jobs[0].targets[1].labels.contains(&("job".into(), "j".into())));
    assert_eq!((&*config.jobs[1].name, config.jobs[1].settings), ("new", config.global.settings));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load(Some(Path::new("/nonexistent/observer.yml")), &Environment::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read `/nonexistent/observer.yml`");
}

mod export;
mod lines;
mod otlp;
mod own;
mod pages;
mod prometheus;

/// Everything there is, to be damaged.
const WHOLE: &str = "\
global: {scrape_interval: 5s, external_labels: {a: $B}, body_size_limit: 1MB}
scrape_configs:
- job_name: j
  params: {m: [a, 'b']}
  basic_auth: {username: a, password_file: /x}
  http_headers: {x-a: {values: [b]}}
  static_configs: [{targets: ['h:1', \"[::1]:2\"], labels: {__meta_a: é}}]
  file_sd_configs: [{files: ['t/*.yml'], refresh_interval: 1m}]
  http_sd_configs: [{url: 'http://h/x'}]
  relabel_configs:
  - {source_labels: [__meta_a], regex: '(a+)[^b-d]{2}', target_label: b, replacement: '${1}'}
  - {action: hashmod, source_labels: [b], modulus: 7, target_label: c}
aggregate: [{match: 'a{b=~\"c\"}', by: [d], interval: 2s, outputs: [sum, 'quantiles(0.5)'], topk: {k: 1, by: sum}}]
limits: {series: 1, windows: 3, arena_bytes: 1KiB}
server: {listen: '127.0.0.1:1', linger: 1s}
";

#[test]
fn whatever_is_in_a_file_is_read_or_an_error_with_its_place() {
    const BYTES: &[u8] = b"{}[]:,'\"-#&*!|>%@` \n\t\\0a\xc3\xa9~?<";
    assert!(read(WHOLE).is_ok());
    let mut seed = 1_u64;
    let mut below = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % n
    };
    let (mut good, mut bad) = (0, 0);
    for _ in 0..3000 {
        let mut bytes = WHOLE.as_bytes().to_vec();
        for _ in 0..=below(3) {
            let at = below(bytes.len());
            match below(4) {
                0 => bytes[at] = BYTES[below(BYTES.len())],
                1 => bytes.insert(at, BYTES[below(BYTES.len())]),
                2 => drop(bytes.drain(at..(at + 1 + below(20)).min(bytes.len()))),
                _ => bytes.truncate(at + 1),
            }
        }
        match read(&String::from_utf8_lossy(&bytes)) {
            Ok(_) => good += 1,
            Err(problem) => {
                bad += 1;
                assert!(problem.line > 0 && problem.column > 0 && !problem.message.is_empty(), "{problem:?}");
            }
        }
    }
    assert!(good > 100 && bad > 100, "{good} {bad}");
}
