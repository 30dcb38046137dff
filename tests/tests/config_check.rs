//! `observer config check`: what it prints, and its exit codes.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Command},
};

use observer_tests::observer;
use serde_json::Value;

/// A configuration file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = env::temp_dir().join(format!("observer-check-{}-{name}.yml", process::id()));
        fs::write(&path, text).expect("the folder for temporary files can be written");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What is left over does not matter to the result.
        let _left = fs::remove_file(&self.0);
    }
}

/// The exit code, what it printed, and what it said.
fn check(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = Command::new(observer::binary())
        .args(["config", "check"])
        // Where the tests find the agent is no variable of the agent.
        .env_remove("OBSERVER_BIN")
        .args(args)
        .envs(variables.iter().copied())
        .output()
        .expect("the agent can be started");
    let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_file_that_runs_is_told_with_its_warnings() {
    let file = File::new(
        "good",
        "alerting: {}\nscrape_configs: [{job_name: j, static_configs: [{targets: ['h:1']}]}]\n",
    );
    let path = file.0.display().to_string();
    let variables = [("OBSERVER_GLOBAL__SCRAPE_INTERVAL", "7s"), ("OBSERVER_GLOBL__X", "1")];
    let (code, out, said) = check(&[&path], &variables);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains("job `j`: every 7s, at most 7s, 1 static targets\n  http://h:1/metrics {"), "{out}");
    assert!(said.contains(&format!("warning: {path}:1:1: key `alerting` is not supported yet")), "{said}");
    assert!(said.contains("warning: environment variable `OBSERVER_GLOBL__X`: has no meaning"), "{said}");

    let (code, out, said) = check(&["-o", "json", &path], &[]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &*said), (Some(0), ""));
    assert_eq!(report["warnings"][0]["line"], 1);
    assert_eq!(report["jobs"][0]["targets"][0]["url"], "http://h:1/metrics");
}

#[test]
fn files_of_certificates_and_logins_that_are_of_no_use_are_named() {
    let text = "\
remote_write: [{url: 'https://h/write', basic_auth: {username: a, password_file: /nonexistent/p}}]
scrape_configs:
- {job_name: j, tls_config: {ca_file: good.yml, cert_file: /nonexistent/c, key_file: good.yml}}
";
    let file = File::new("files", text);
    let path = file.0.display().to_string();
    let name = file.0.file_name().expect("it has one").to_string_lossy().into_owned();
    fs::write(&file.0, text.replace("good.yml", &name)).expect("it was just written");
    let (code, out, said) = check(&[&path], &[]);
    assert_eq!(code, Some(0), "{said}");
    for expected in [
        "  of no use: cannot read `/nonexistent/c`: No such file or directory",
        "  of no use: cannot read `/nonexistent/p`: No such file or directory",
        &format!("  of no use: `{path}`: no certificate in PEM"),
        &format!("  of no use: `{path}`: no key in PEM"),
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
}

#[test]
fn a_wrong_file_is_told_with_its_place() {
    let file = File::new("bad", "scrape_configs:\n- job_nam: j\n");
    let path = file.0.display().to_string();
    let (code, out, said) = check(&[&path], &[]);
    assert_eq!((code, &*out), (Some(2), ""));
    assert_eq!(said, format!("observer: {path}:2:3: unknown key `job_nam`; did you mean `job_name`?\n"));

    let (code, out, _) = check(&["-o", "json", &path], &[]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, Some(2));
    assert_eq!((&report["valid"], &report["error"]["column"]), (&Value::Bool(false), &Value::from(3)));
}

#[test]
fn a_file_that_is_not_there_has_a_code_of_its_own() {
    let (code, _, said) = check(&["/nonexistent/observer.yml"], &[]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("observer: cannot read `/nonexistent/observer.yml`\n"), "{said}");
}

#[test]
fn each_export_is_told_with_its_place() {
    let file = File::new(
        "exports",
        "remote_write: [{name: r, url: 'http://u:secret@h/write'}]\n\
         export:\n  otlp: [{name: o, endpoint: 'http://u:secret@h:4317', tls_config: {ca_file: /nonexistent/c}}]\n  \
         ndjson: [{path: /a/b}, {name: s, path: 'unix:/c'}]\n",
    );
    let path = file.0.display().to_string();
    let (code, out, said) = check(&[&path], &[]);
    assert_eq!(code, Some(0), "{said}");
    let exports = out.lines().skip_while(|line| !line.starts_with("remote write")).collect::<Vec<_>>();
    let grpc = "opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    assert_eq!(
        exports,
        [
            "remote write `r`: version 2.0 or 1.0 to http://h/write",
            &format!("OTLP `o`: grpc to http://h:4317/{grpc}"),
            "  of no use: cannot read `/nonexistent/c`: No such file or directory (os error 2)",
            "lines of JSON `ndjson /a/b`: to /a/b",
            "lines of JSON `s`: to unix:/c",
        ]
    );
    let (_, out, _) = check(&["-o", "json", &path], &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:4318")]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["otlp"][0]["url"], format!("http://h:4317/{grpc}"));
    assert_eq!(report["ndjson"][1]["path"], "unix:/c");
}
