//! `observer run` scrapes a real node exporter and a real nginx over TLS, with certificates made as their manuals say.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use observer_tests::{
    clock,
    daemon::{Daemon, free_address, scratch, tool},
    http,
    observer::Agent,
    page::Page,
    privileges::Privileges,
};
use serde_json::Value;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = scratch("tls");
        fs::create_dir(&path).expect("a temporary directory can be made");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    #[track_caller]
    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).expect("a temporary file can be written");
        self.path(name)
    }

    /// A key and a certificate that it has signed itself, as `openssl` makes them for people.
    #[track_caller]
    fn certificate(&self, openssl: &Path, name: &str) {
        let (key, cert) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.pem")));
        let output = Command::new(openssl)
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName = DNS:localhost", "-keyout", &key, "-out", &cert])
            .output()
            .expect("`openssl` can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is temporary anyway.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn up(page: &Page, job: &str) -> Option<f64> {
    page.samples
        .iter()
        .find(|sample| sample.name == "up" && sample.labels["job"] == job)
        .map(|sample| sample.value)
}

/// What the agent says of the target of a job.
fn last_error(agent: &Agent, job: &str) -> String {
    let text = http::get(agent.address(), "/api/v1/targets", &[]).text();
    let value: Value = serde_json::from_str(&text).expect("the targets are JSON");
    let targets = value["data"]["activeTargets"].as_array().expect("a list");
    let target = targets.iter().find(|target| target["labels"]["job"] == job).expect("each job has a target");
    target["lastError"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn real_servers_are_scraped_over_tls() {
    let Some((openssl, exporter, nginx)) = tool("openssl")
        .and_then(|openssl| Some((openssl, tool("prometheus-node-exporter")?, tool("nginx")?)))
    else {
        return;
    };
    let folder = Folder::new();
    for name in ["server", "client", "stranger"] {
        folder.certificate(&openssl, name);
    }
    let (cert, key, known) =
        (folder.path("server.pem"), folder.path("server.key"), folder.path("client.pem"));

    // Wants a certificate of its clients, in TLS.
    let node = free_address();
    let web = folder.write(
        "web.yml",
        &format!("tls_server_config: {{cert_file: {cert}, key_file: {key}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: {known}}}\n"),
    );
    let mut node_process = Daemon::start(
        &exporter,
        &[&format!("--web.listen-address={node}"), &format!("--web.config.file={web}")],
    );
    node_process.wait_for_port(node);

    let (page, log) = (free_address(), folder.path("access.log"));
    folder.write("metrics", "scraped_over_tls 1\n");
    let config = folder.write(
        "nginx.conf",
        &format!(
            "daemon off; pid {root}/pid; error_log stderr; events {{}}\n\
             http {{\n\
             log_format protocol '$ssl_protocol $server_protocol $connection_requests'; access_log {log} protocol;\n\
             client_body_temp_path {root}; proxy_temp_path {root}; fastcgi_temp_path {root}; uwsgi_temp_path {root}; scgi_temp_path {root};\n\
             server {{ listen {page} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3; ssl_verify_client on; ssl_client_certificate {known}; root {root}; }}\n\
             }}\n",
            root = folder.0.display(),
        ),
    );
    let mut web_process = Daemon::start(&nginx, &["-c", &config, "-e", "stderr"]);
    web_process.wait_for_port(page);

    let job = |name: &str, port: u16, tls: &str| {
        format!(
            "- {{job_name: {name}, scheme: https, static_configs: [{{targets: ['localhost:{port}']}}], tls_config: {{{tls}}}}}\n"
        )
    };
    let shows = |name: &str| format!("ca_file: {name}.pem, cert_file: {name}.pem, key_file: {name}.key");
    let client = "ca_file: server.pem, cert_file: client.pem, key_file: client.key";
    let file = folder.write(
        "observer.yml",
        &[
            "scrape_configs:\n".to_owned(),
            job("node", node.port(), client),
            job("nginx", page.port(), client),
            job("one", page.port(), &format!("{client}, max_version: TLS12")),
            job("nobody", node.port(), "ca_file: server.pem"),
            job("stranger", node.port(), &shows("stranger").replace("ca_file: stranger", "ca_file: server")),
            job("untrusted", page.port(), &shows("client")),
        ]
        .concat(),
    );
    let agent = Agent::start(Privileges::Root, &["--config", &file]);
    let refused = ["nobody", "stranger", "untrusted"];
    let all = |page: &Page| {
        ["node", "nginx", "one"].iter().all(|job| up(page, job) == Some(1.0))
            && refused.iter().all(|job| up(page, job) == Some(0.0))
    };
    let page = agent.page_with(all);
    let errors = || refused.map(|job| last_error(&agent, job));
    assert!(all(&page), "{:?}\n{}", errors(), agent.stderr());
    assert!(page.sum("node_load1", &[("job", "node")]) >= 0.0 && page.text.contains("node_load1{"));
    assert_eq!(page.sum("scraped_over_tls", &[("job", "nginx")]), 1.0);

    for (error, expected) in errors().iter().zip([
        // Newer servers say that they ask for one.
        ": `cert_file` and `key_file` (",
        "the server does not accept our certificate",
        "it is trusted when it is itself in `ca_file`",
    ]) {
        assert!(error.contains(expected), "{error}\n{}", agent.stderr());
    }
    // HTTP/2, with both versions of TLS, on connections that are kept.
    let kept = |version: &str| {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().any(|line| {
            line.strip_prefix(version)
                .is_some_and(|count| count.trim().parse().is_ok_and(|count: u32| count >= 3))
        })
    };
    for version in ["TLSv1.3 HTTP/2.0", "TLSv1.2 HTTP/2.0"] {
        assert!(
            clock::wait(|| kept(version).then_some(())).is_some(),
            "{}",
            fs::read_to_string(&log).unwrap_or_default()
        );
    }
}
