use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use super::{resolved::JobTargets, *};
use crate::{
    clock,
    config::{self, Environment},
    http::tests::{self as tls, Authority, serving},
};

/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("observer-discovery-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// As who replaces a file should do it.
    fn write(&self, file: &str, text: &str) {
        fs::write(self.path("next"), text).unwrap();
        fs::rename(self.path("next"), self.path(file)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over does not matter to the result.
        let _left = fs::remove_dir_all(&self.0);
    }
}

/// Jobs of a configuration, of which `lines` are the first's.
fn jobs(lines: &str) -> Vec<Arc<Job>> {
    let text = format!("scrape_configs:\n- job_name: j\n{lines}");
    let (config, _) = config::parse("a.yml", &text, &Environment::default()).unwrap();
    config.jobs.into_iter().map(Arc::new).collect()
}

fn group(targets: &[&str]) -> Group {
    Group { targets: targets.iter().map(|&target| target.to_owned()).collect(), labels: Vec::new() }
}

fn urls(job: &JobTargets) -> Vec<String> {
    job.active.iter().map(|target| target.target.url.to_string()).collect()
}

fn labels(labels: &[(String, String)]) -> Vec<String> {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn a_target_has_what_prometheus_gives_it() {
    let text = "
  scrape_interval: 10s
  params: {module: [a, b], x: [y]}
  static_configs:
  - targets: ['h:1']
    labels: {__param_module: c, env: prod, __scrape_timeout__: 2s, __meta_a: b}
  relabel_configs:
  - {source_labels: [__meta_a, __param_x], target_label: seen}
  - {target_label: __scrape_interval__, replacement: 5s}
  - {source_labels: [env], target_label: __metrics_path__, replacement: /m/$1}
";
    let targets = Found::new(jobs(text), 9).targets();
    let [target] = &targets.jobs[0].active[..] else { panic!("{targets:?}") };
    assert_eq!(target.target.url, "http://h:1/m/prod?module=c&module=b&x=y");
    assert_eq!(labels(&target.target.labels), ["env=prod", "instance=h:1", "job=j", "seen=b;y"]);
    assert_eq!((target.interval.as_secs(), target.timeout.as_secs()), (5, 2));
    assert_eq!(
        labels(&target.discovered),
        [
            "__address__=h:1",
            "__meta_a=b",
            "__metrics_path__=/metrics",
            "__param_module=c",
            "__param_x=y",
            "__scheme__=http",
            "__scrape_interval__=10s",
            "__scrape_timeout__=2s",
            "env=prod",
            "job=j"
        ]
    );
}

#[test]
fn relabelling_decides_over_address_job_and_instance() {
    let text = "
  static_configs: [{targets: [a]}]
  relabel_configs:
  - {source_labels: [__address__], target_label: instance}
  - {target_label: __address__, replacement: 'proxy:9'}
  - {target_label: job, replacement: other}
";
    let targets = Found::new(jobs(text), 9).targets();
    let target = &targets.jobs[0].active[0];
    assert_eq!(target.target.url, "http://proxy:9/metrics");
    assert_eq!(labels(&target.target.labels), ["instance=a", "job=other"]);
}

#[test]
fn what_is_dropped_or_cannot_be_scraped_is_counted() {
    let text = "
  file_sd_configs: [{files: [a.yml]}]
  keep_dropped_targets: 2
  relabel_configs:
  - {source_labels: [__address__], regex: 'drop.*', action: drop}
  - {source_labels: [__address__], regex: 'ftp', target_label: __scheme__, replacement: ftp}
  - {source_labels: [__address__], regex: 'never', target_label: __scrape_interval__, replacement: 0s}
  - {source_labels: [__address__], regex: 'late', target_label: __scrape_timeout__, replacement: 5s}
  - {source_labels: [__address__], regex: 'none', target_label: __address__, replacement: ''}
";
    let mut found = Found::new(jobs(text), 99);
    found.update(
        0,
        0,
        vec![group(&["a", "drop1", "drop2", "drop3", "ftp", "never", "late", "none", "b/c", "a"])],
    );
    let targets = found.targets();
    let job = &targets.jobs[0];
    assert_eq!(urls(job), ["http://a/metrics"]);
    assert_eq!((job.dropped_count, job.dropped.len(), job.refused), (3, 2, 5));
    assert!(labels(&job.dropped[0]).contains(&"__address__=drop1".to_owned()));
    assert_eq!(targets.states(), [("active", 1), ("dropped", 3), ("refused", 5), ("over_limit", 0)]);
}

#[test]
fn what_stays_is_the_same_target() {
    let mut found = Found::new(
        jobs("  file_sd_configs: [{files: [a.yml, b.yml]}]\n  static_configs: [{targets: [s]}]"),
        99,
    );
    let mut next = |targets: &[&str]| {
        found.update(0, 0, vec![group(targets)]);
        found.targets()
    };
    let one = next(&["a", "b"]);
    let two = next(&["c", "b"]);
    let three = next(&["c", "b"]);
    assert_eq!(urls(&two.jobs[0]), ["http://s/metrics", "http://c/metrics", "http://b/metrics"]);
    let find = |targets: &Targets, host: &str| {
        let of = |target: &&Arc<config::ScrapeTarget>| target.target.url.host() == Some(host);
        targets.jobs[0].active.iter().find(of).cloned().unwrap()
    };
    assert!(Arc::ptr_eq(&find(&one, "b"), &find(&two, "b")));
    assert!(Arc::ptr_eq(&two.jobs[0], &three.jobs[0]));
    let identities: HashSet<u64> = two.jobs[0].active.iter().map(|target| target.identity).collect();
    assert_eq!(identities.len(), 3);
    assert_eq!(
        find(&Found::new(jobs("  static_configs: [{targets: [s]}]"), 9).targets(), "s").identity,
        find(&one, "s").identity
    );
}

#[test]
fn a_job_over_its_limit_is_not_scraped() {
    let mut found = Found::new(jobs("  target_limit: 2\n  file_sd_configs: [{files: [a.yml]}]"), 99);
    found.update(0, 0, vec![group(&["a", "b", "c"])]);
    let targets = found.targets();
    assert_eq!((urls(&targets.jobs[0]).len(), targets.jobs[0].over_limit), (0, 3));
    found.update(0, 0, vec![group(&["a", "b"])]);
    assert_eq!(urls(&found.targets().jobs[0]).len(), 2);
}

#[test]
fn targets_beyond_the_limit_of_the_agent_are_left_out() {
    let text = "  static_configs: [{targets: [a, b]}]\n- job_name: k\n  static_configs: [{targets: [c, d]}]";
    let targets = Found::new(jobs(text), 3).targets();
    assert_eq!([urls(&targets.jobs[0]).len(), urls(&targets.jobs[1]).len()], [2, 1]);
    assert_eq!(targets.states(), [("active", 3), ("dropped", 0), ("refused", 0), ("over_limit", 1)]);
}

#[test]
fn a_target_of_the_command_line_is_as_it_was_given() {
    let text = "scrape_configs: [{job_name: j, relabel_configs: [{action: drop}]}]";
    let (mut config, _) = config::parse("a.yml", text, &Environment::default()).unwrap();
    config.add("j=h:1/p?a=b".parse().unwrap());
    let targets = Found::new(config.jobs.into_iter().map(Arc::new).collect(), 9).targets();
    let target = &targets.jobs[0].active[0];
    assert_eq!(target.target.url, "http://h:1/p?a=b");
    assert!(labels(&target.discovered).contains(&"__metrics_path__=/p".to_owned()));
}

fn files(patterns: &[PathBuf]) -> Files {
    let patterns: Vec<_> = patterns.iter().map(|path| path.display().to_string()).collect();
    let jobs = jobs(&format!("  file_sd_configs: [{{files: {patterns:?}, refresh_interval: 10s}}]"));
    Files::new(jobs[0].files[0].clone())
}

fn addresses(files: &Files) -> Vec<String> {
    files.groups().into_iter().flat_map(|group| group.targets).collect()
}

#[test]
fn files_are_read_when_they_change_and_keep_what_they_had() {
    let folder = Folder::new("files");
    let mut files = files(&[folder.path("*.json"), folder.path("one.yml")]);
    let start = clock::monotonic();
    let mut look = |second| {
        let look = files.look(start + Duration::from_secs(second));
        (look.changed, look.read, look.failed, addresses(&files))
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(look(0), (false, 0, 0, none.clone()));
    folder.write("b.json", r#"[{"targets": ["b"], "labels": {"x": "y"}}]"#);
    folder.write("one.yml", "- targets: [one]\n");
    folder.write("c.other", "ignored");
    assert_eq!(look(1), (true, 2, 0, vec!["b".into(), "one".into()]));
    assert_eq!(look(2), (false, 0, 0, vec!["b".into(), "one".into()]));
    // Broken: it is told once, and nothing is lost.
    folder.write("b.json", r#"[{"targets": ["b"#);
    assert_eq!(look(3), (false, 0, 1, vec!["b".into(), "one".into()]));
    assert_eq!(look(4), (false, 0, 0, vec!["b".into(), "one".into()]));
    // The refresh interval is over: all are read again.
    assert_eq!(look(10), (false, 1, 1, vec!["b".into(), "one".into()]));
    folder.write("b.json", r#"[{"targets": ["b2", "b3"]}]"#);
    assert_eq!(look(11), (true, 1, 0, vec!["b2".into(), "b3".into(), "one".into()]));
    fs::remove_file(folder.path("b.json")).unwrap();
    assert_eq!(look(12), (true, 0, 0, vec!["one".into()]));
    fs::remove_file(folder.path("one.yml")).unwrap();
    assert_eq!(look(13), (true, 0, 0, none));
}

#[test]
fn a_mounted_folder_that_is_switched_is_seen() {
    let folder = Folder::new("switch");
    for (version, target) in [("v1", "a"), ("v2", "b")] {
        fs::create_dir(folder.path(version)).unwrap();
        fs::write(folder.path(version).join("t.yml"), format!("- targets: [{target}]\n")).unwrap();
    }
    let link = |version: &str| {
        std::os::unix::fs::symlink(version, folder.path("next")).unwrap();
        fs::rename(folder.path("next"), folder.path("data")).unwrap();
    };
    link("v1");
    let mut files = files(&[folder.path("data/*.yml")]);
    let start = clock::monotonic();
    assert!(files.look(start).changed);
    link("v2");
    assert!(files.look(start).changed);
    assert_eq!(addresses(&files), ["b"]);
}

#[test]
fn a_group_says_which_file_it_is_from() {
    let folder = Folder::new("meta");
    folder.write("a.yml", "- targets: [a]\n");
    let path = folder.path("a.yml");
    let mut files = files(std::slice::from_ref(&path));
    files.look(clock::monotonic());
    assert_eq!(files.groups()[0].labels, [("__meta_filepath".to_owned(), path.display().to_string())]);
}

/// A server that gives the answer of now to each request, and keeps the last request.
struct Server {
    address: String,
    answer: Arc<Mutex<String>>,
    request: Arc<Mutex<String>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (answer, request) = (Arc::<Mutex<String>>::default(), Arc::<Mutex<String>>::default());
        let this = Self { address, answer: Arc::clone(&answer), request: Arc::clone(&request) };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                *request.lock().unwrap() = String::from_utf8(head).unwrap().to_ascii_lowercase();
                let answer = answer.lock().unwrap().clone();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        this
    }

    fn answers(&self, status: &str, content_type: &str, body: &str) {
        *self.answer.lock().unwrap() = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }

    fn job(&self, lines: &str) -> Vec<Arc<Job>> {
        jobs(&format!("  http_sd_configs: [{{url: 'http://{}/list?a=b', {lines}}}]", self.address))
    }
}

#[tokio::test]
async fn a_server_is_asked_as_documented() {
    let server = Server::start().await;
    let jobs = server.job(
        "refresh_interval: 30s, basic_auth: {username: a, password: b}, http_headers: {X-Own: {values: [c]}}",
    );
    let list = List::new(jobs[0].servers[0].clone());
    server.answers(
        "200 OK",
        "application/json; charset=utf-8",
        r#"[{"targets": ["a"], "labels": {"x": "y"}}, {"targets": null}]"#,
    );
    let groups = list.ask().await.unwrap();
    assert_eq!(
        labels(&groups[0].labels),
        ["x=y".to_owned(), format!("__meta_url=http://{}/list?a=b", server.address)]
    );
    let request = server.request.lock().unwrap().clone();
    assert!(request.starts_with("get /list?a=b http/1.1\r\n"), "{request}");
    for header in [
        &*format!("host: {}", server.address),
        "accept: application/json",
        "x-prometheus-refresh-interval-seconds: 30",
        "authorization: basic ytpi",
        "x-own: c",
    ] {
        assert!(request.contains(&format!("\r\n{header}\r\n")), "{header} in {request}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_list_says_why() {
    let server = Server::start().await;
    let list = List::new(server.job("refresh_interval: 50s")[0].servers[0].clone());
    for (status, content_type, body, expected) in [
        (
            "503 Service Unavailable",
            "application/json",
            "[]",
            "server returned HTTP status 503 Service Unavailable",
        ),
        ("200 OK", "text/html", "[]", "content type `text/html` is not `application/json`"),
        ("200 OK", "application/json", "{}", "the answer:1:0: invalid type: map, expected a sequence"),
        (
            "200 OK",
            "application/json",
            "[{\"target\": []}]",
            "the answer:1:10: unknown field `target`, expected `targets` or `labels`",
        ),
    ] {
        server.answers(status, content_type, body);
        assert_eq!(list.ask().await.unwrap_err(), expected);
    }
    let gone = jobs("  http_sd_configs: [{url: 'http://127.0.0.1:1'}]");
    let error = List::new(gone[0].servers[0].clone()).ask().await.unwrap_err();
    assert!(error.starts_with("cannot connect to `127.0.0.1` port 1: "), "{error}");
}

#[tokio::test]
async fn a_server_may_be_asked_over_tls_and_want_to_know_who_asks() {
    let authority = Authority::new("right");
    let folder = tls::Folder::new("list");
    let (ca, shown) = (folder.write("ca.pem", &authority.pem()), authority.issue("client"));
    let (cert, key) = (folder.write("c.pem", &shown.pem), folder.write("c.key", &shown.key_pem));
    for (alpn, version) in [(&["http/1.1"][..], 1), (&["h2"], 2)] {
        let server =
            tls::Server::start(Some(serving(&authority.issue("localhost"), Some(&authority), alpn))).await;
        let ask = async |keys: &str| {
            let url = server.url("/targets");
            let jobs =
                jobs(&format!("  http_sd_configs: [{{url: '{url}', tls_config: {{ca_file: {ca}{keys}}}}}]"));
            List::new(jobs[0].servers[0].clone()).ask().await
        };
        let groups = ask(&format!(", cert_file: {cert}, key_file: {key}")).await.unwrap();
        assert_eq!(groups[0].targets, [format!("h:{version}")]);
        let error = ask("").await.unwrap_err();
        assert!(error.contains("the server asks for a certificate of ours"), "{error}");
    }
}

/// Waits until the first job's targets are these.
async fn until(targets: &mut watch::Receiver<Arc<Targets>>, expected: &[&str]) {
    let there = |targets: &Arc<Targets>| urls(&targets.jobs[0]) == expected;
    let found = timeout(PATIENCE, targets.wait_for(there)).await.is_ok();
    assert!(found, "not {expected:?} but {:?}", urls(&targets.borrow().jobs[0]));
}

#[tokio::test]
async fn targets_follow_files_and_servers_and_survive_their_failures() {
    let server = Server::start().await;
    let folder = Folder::new("follow");
    folder.write("a.yml", "- targets: [file]\n");
    server.answers("200 OK", "application/json", r#"[{"targets": ["web"]}]"#);
    let telemetry = Telemetry::new();
    let jobs = jobs(&format!(
        "  static_configs: [{{targets: [static]}}]\n  file_sd_configs: [{{files: [{}]}}]\n  http_sd_configs: [{{url: 'http://{}', refresh_interval: 20ms}}]",
        folder.path("*.yml").display(),
        server.address
    ));
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let discovery = Discovery::spawn(jobs, 99, &telemetry, async move { drop(stopping.await) });
    let mut targets = discovery.targets();
    assert_eq!(urls(&targets.borrow().jobs[0]), ["http://static/metrics"]);
    until(&mut targets, &["http://static/metrics", "http://file/metrics", "http://web/metrics"]).await;

    server.answers("500 Internal Server Error", "text/plain", "");
    let failures = telemetry.discovery_refreshes.with(["http", "failure"]);
    timeout(PATIENCE, async {
        while failures.get() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    until(&mut targets, &["http://static/metrics", "http://file/metrics", "http://web/metrics"]).await;

    folder.write("a.yml", "- targets: [file, more]\n");
    server.answers("200 OK", "application/json", "[]");
    until(&mut targets, &["http://static/metrics", "http://file/metrics", "http://more/metrics"]).await;
    assert_eq!(telemetry.discovered_targets.with(["active"]).get(), 3);
    assert!(telemetry.discovery_refreshes.with(["file", "success"]).get() >= 2);

    drop(stop);
    timeout(PATIENCE, discovery.stopped()).await.unwrap();
}

#[test]
fn relative_paths_begin_at_the_configuration() {
    let folder = Folder::new("base");
    let text = "scrape_configs: [{job_name: j, file_sd_configs: [{files: [t/*.yml, /abs/x.json]}]}]\nscrape_config_files: ['more*.yml']\n";
    folder.write("observer.yml", text);
    folder.write("more1.yml", "scrape_configs: [{job_name: k, scrape_interval: 3s}]\n");
    let load = || config::load(Some(&folder.path("observer.yml")), &Environment::default());
    let (config, _) = load().unwrap();
    assert_eq!(config.jobs[0].files[0].files, [folder.path("t/*.yml"), Path::new("/abs/x.json").to_owned()]);
    assert_eq!((&*config.jobs[1].name, config.jobs[1].settings.interval.as_secs()), ("k", 3));
    folder.write("more2.yml", "scrape_configs: [{job_name: j}]\n");
    assert_eq!(
        load().unwrap_err().to_string(),
        format!("{}:1:18: a second job `j`", folder.path("more2.yml").display())
    );
}
