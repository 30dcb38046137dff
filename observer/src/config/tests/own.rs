//! What is not in a Prometheus configuration: the environment, and sections of our own.

use observer_aggregate::stream::{Grouping, Matcher, Op, Output, Top, Weight};

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment::new(owned, &["OBSERVER_LISTEN".to_owned()])
}

#[track_caller]
fn over(text: &str, variables: &[(&str, &str)], warnings: &[&str]) -> Config {
    let (config, problems) = parse("observer.yml", text, &environment(variables)).unwrap();
    assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), warnings);
    config
}

#[test]
fn the_environment_decides_over_the_file() {
    let text = "global: {scrape_interval: 5s, sample_limit: 7}\nscrape_configs: [{job_name: j}]\n";
    let config = over(
        text,
        &[
            ("OBSERVER_GLOBAL__SCRAPE_INTERVAL", "2s"),
            ("OBSERVER_LIMITS__SERIES", "9"),
            ("OBSERVER_SERVER__LISTEN", "[::1]:1"),
            ("OBSERVER_GLOBAL__SAMPLE_LIMIT", ""),
            ("OTHER_GLOBAL__SAMPLE_LIMIT", "1"),
        ],
        &[],
    );
    assert_eq!((config.jobs[0].settings.interval.as_secs(), config.jobs[0].settings.sample_limit), (2, 7));
    assert_eq!(config.limits.series, 9);
    assert_eq!(config.server.listen.to_string(), "[::1]:1");
}

#[test]
fn the_environment_alone_is_a_configuration() {
    let config =
        over("", &[("OBSERVER_SERVER__LINGER", "3s"), ("OBSERVER_SERVER__ALLOW_REMOTE", "true")], &[]);
    assert_eq!((config.server.linger.as_secs(), config.server.allow_remote), (3, true));
}

#[test]
fn external_labels_name_variables() {
    let variables = [("HOST", "h1"), ("ZONE_1", "z")];
    for (text, expected) in [
        ("$HOST", "h1"),
        ("a-${HOST}-$ZONE_1.", "a-h1-z."),
        ("$HOSTS|${NONE}|", "||"),
        ("$$HOST$$", "$HOST$"),
        ("5$", "5$"),
        ("5 $ or ${}", "5 $ or "),
    ] {
        let config = over(&format!("global: {{external_labels: {{l: '{text}'}}}}"), &variables, &[]);
        assert_eq!(config.global.external_labels, [("l".to_owned(), expected.to_owned())], "{text}");
    }
}

#[test]
fn a_variable_that_means_nothing_is_named() {
    over(
        "",
        &[
            ("OBSERVER_LISTEN", "a flag's"),
            ("OBSERVER_SERVICE_HOST", "10.0.0.1"),
            ("OBSERVER_PORT_9435_TCP_ADDR", "10.0.0.1"),
            ("OBSERVER_LIMITS__SERIE", "1"),
            ("OBSERVER_LISTENN", "1"),
            ("OBSERVER_JOBS__NAME", "1"),
        ],
        &[
            "environment variable `OBSERVER_JOBS__NAME`: has no meaning; keys are `OBSERVER_SECTION__KEY` with a section of global, limits, server, export",
            "environment variable `OBSERVER_LISTENN`: has no meaning; keys are `OBSERVER_SECTION__KEY` with a section of global, limits, server, export",
            "environment variable `OBSERVER_LIMITS__SERIE`: unknown key `serie`; did you mean `series`?",
        ],
    );
}

#[test]
fn a_variable_with_a_wrong_value_is_an_error() {
    let over = environment(&[("OBSERVER_LIMITS__SERIES", "many")]);
    assert_eq!(
        parse("observer.yml", "", &over).unwrap_err().to_string(),
        "environment variable `OBSERVER_LIMITS__SERIES`: expected a whole number, not `many`"
    );
}

#[test]
fn limits_are_bounds_of_the_agent_and_defaults_of_jobs() {
    let config = good(
        "limits: {body_bytes: 1MiB, dropped_targets: 5, targets: 6, windows: 7, series: 8, scrape_threads: 9}\n\
         scrape_configs: [{job_name: a}, {job_name: b, body_size_limit: 2KB, keep_dropped_targets: 3}, {job_name: c, keep_dropped_targets: 9}]\n",
    );
    let bodies: Vec<_> = config.jobs.iter().map(|job| job.settings.body_size_limit).collect();
    assert_eq!(bodies, [1 << 20, 2 << 10, 1 << 20]);
    let dropped: Vec<_> = config.jobs.iter().map(|job| job.settings.keep_dropped).collect();
    assert_eq!(dropped, [5, 3, 5]);
    assert_eq!((config.limits.targets, config.limits.windows, config.limits.series), (6, 7, 8));
    assert_eq!(config.limits.scrape_threads(), 9);
    assert!((1..=16).contains(&good("{}").limits.scrape_threads()));
    fails("limits: {scrape_threads: 0}", "1:26: expected 1 to 256 threads");
    fails("limits: {windows: 1}", "1:19: expected 2 to 64 windows");
    fails("limits: {serie: 1}", "1:10: unknown key `serie`; did you mean `series`?");
}

fn rule(text: &str) -> Rule {
    good(&format!("aggregate: [{{interval: 10s, outputs: [sum], {text}}}]")).aggregate.remove(0)
}

#[test]
fn an_aggregation_rule_is_read_whole() {
    let text = "\
aggregate:
- name: errors
  match: 'http_requests_total{code=~\"5..\", job!=\"x\"}'
  by: [job]
  interval: 1m
  outputs: [total, 'quantiles(0.5, 0.99)', 'histogram(0.1, 1)']
  output_name: errors
  keep_input: true
  staleness: 5m
  ignore_first: false
  max_groups: 50
  topk: {k: 3, by: increase}
";
    let expected = Rule {
        matchers: [
            ("__name__", Op::Equal, "http_requests_total"),
            ("code", Op::Regex, "5.."),
            ("job", Op::NotEqual, "x"),
        ]
        .map(|(name, op, value)| Matcher { name: name.to_owned(), op, value: value.to_owned() })
        .to_vec(),
        grouping: Grouping::By(vec!["job".to_owned()]),
        output_name: Some("errors".to_owned()),
        keep_input: true,
        staleness_windows: 300,
        ignore_first: false,
        max_groups: 50,
        top: Some(Top { k: 3, by: Weight::Increase }),
        ..Rule::new(
            "errors",
            60,
            vec![Output::Total, Output::Quantiles(vec![0.5, 0.99]), Output::Histogram(vec![0.1, 1.0])],
        )
    };
    assert_eq!(good(text).aggregate, [expected]);
}

#[test]
fn an_aggregation_rule_needs_little() {
    assert_eq!(rule("name: ''"), Rule::new("", 10, vec![Output::Sum]));
    assert_eq!(rule("without: [a]").name, "1");
    assert_eq!(rule("without: [a]").grouping, Grouping::Without(vec!["a".to_owned()]));
}

#[test]
fn the_defaults_in_the_documentation_are_those_of_the_core() {
    let default = Rule::new("", 10, vec![Output::Sum]);
    assert_eq!(
        rule("name: '', ignore_first: true, max_groups: 1000, keep_input: false, staleness: 5m"),
        default
    );
}

#[test]
fn an_aggregation_rule_without_meaning_is_named_with_its_place() {
    for (text, expected) in [
        ("{outputs: [sum]}", "1:13: a rule without `interval`"),
        ("{interval: 1s}", "1:13: a rule without `outputs`"),
        ("{interval: 1500ms, outputs: [sum]}", "1:24: expected whole seconds, at most 136 years of them"),
        ("{interval: 1s, outputs: [sum], by: [a], without: [b]}", "1:62: `without` together with `by`"),
        (
            "{interval: 1s, outputs: [mean]}",
            "1:38: `mean` is not one of the words or lists of numbers that stand here",
        ),
        (
            "{interval: 1s, outputs: [sum], match: 'a{'}",
            "1:51: expected a label name or `}` at character 3 of `a{`",
        ),
        ("{interval: 1s, outputs: [sum], topk: {k: 1}}", "1:50: `topk` without `by`"),
        ("{name: x, interval: 1s, outputs: []}", "1:13: rule `x`: `outputs` is empty: name at least one"),
        ("{interval: 1s, output: [sum]}", "1:28: unknown key `output`; did you mean `outputs`?"),
    ] {
        fails(&format!("aggregate: [{text}]"), expected);
    }
}

#[test]
fn a_report_says_what_will_run() {
    let text = "\
global: {external_labels: {zone: a}}
limits: {arena_bytes: 512MiB}
scrape_configs:
- job_name: node
  scrape_interval: 5s
  static_configs: [{targets: ['h:1']}]
  file_sd_configs: [{files: [t/*.yml]}]
  http_sd_configs: [{url: 'http://h/list'}]
";
    let report = report(&Ok((good(text), Vec::new())));
    assert_eq!(
        report.to_string(),
        "listens on 127.0.0.1:9435\n\
         external labels {zone=\"a\"}\n\
         limits: 100000 targets, 4000000 series, 200000 a target, 512 MiB for them, 3 windows, 256 MiB for pages\n\
         job `node`: every 5s, at most 5s, 1 static targets\n  \
         http://h:1/metrics {instance=\"h:1\", job=\"node\"}\n  \
         0 targets in t/*.yml\n  \
         targets from http://h/list\n"
    );
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["valid"], true);
    assert_eq!(json["jobs"][0]["targets"][0]["labels"]["job"], "node");
}

#[test]
fn a_report_reads_the_files_of_targets() {
    let folder = std::env::temp_dir().join(format!("observer-check-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let write = |file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
    write("a.yml", "- targets: ['h:1', 'drop:1', 'x/y']\n  labels: {zone: a}\n");
    write("b.yml", "- target: []\n");
    let path = folder.join("*.yml").display().to_string();
    let config = good(&format!(
        "scrape_configs:\n- job_name: j\n  file_sd_configs: [{{files: ['{path}', '{path}.none.yml']}}]\n  \
         relabel_configs: [{{source_labels: [__address__], regex: 'drop.*', action: drop}}]\n"
    ));
    let shown = report(&Ok((config, Vec::new()))).to_string().replace(&folder.display().to_string(), "F");
    fs::remove_dir_all(&folder).unwrap();
    let files = shown.split_once("0 static targets\n").unwrap().1;
    assert_eq!(
        files,
        "  1 targets in F/*.yml\n    \
         http://h:1/metrics {instance=\"h:1\", job=\"j\", zone=\"a\"}\n    \
         left out: F/a.yml: target `x/y` is not scraped: `x/y` is not `host:port`\n    \
         left out: F/b.yml:1:3: unknown key `target`; did you mean `targets`?\n  \
         0 targets in F/*.yml.none.yml\n"
    );
}
