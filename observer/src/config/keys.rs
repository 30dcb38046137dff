//! Every key of the configuration file: a row each. The reader, its suggestions and `docs/configuration.md` come from the rows.
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/>

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    protocol::ScrapeProtocol,
    queue::Syncing,
    remote_write::{Compressing, Message},
    section::{At, Delay, Key, Labels, Named, Params, Secret, Section, Size, Table, Unread, Value, sections},
    tls::Named as Version,
    yaml::{Fault, Node},
};
use crate::relabel::Action;

sections! {
    /// The file.
    RootKeys<'n> "the file" {
        "global" => global: Unread<GlobalKeys<'n>> = "", "What holds for all jobs.";
        "scrape_configs" => scrape_configs: Vec<JobKeys<'n>> = "", "The jobs: what is scraped, and how.";
        "scrape_config_files" => scrape_config_files: Vec<At<'n, String>> = "", "Files with more `scrape_configs`; the last part of a path may have `*`.";
        "remote_write" => remote_write: Vec<RemoteWriteKeys<'n>> = "", "Where windows are written to.";
        "export" => export: Unread<ExportKeys<'n>> = "", "What holds for all that windows are written to.";
        "aggregate" => aggregate: Vec<AggregateKeys<'n>> = "", "Rules that reduce series before they are exported.";
        "limits" => limits: Unread<LimitKeys<'n>> = "", "What the agent may use.";
        "server" => server: Unread<ServerKeys<'n>> = "", "The agent's own HTTP server.";
        unsupported: "runtime", "rule_files", "alerting", "remote_read", "storage", "tracing", "otlp";
    }

    /// Another file with jobs.
    MoreKeys<'n> "a file of `scrape_config_files`" {
        "scrape_configs" => scrape_configs: Vec<JobKeys<'n>> = "", "More jobs.";
    }

    /// What holds for all jobs.
    GlobalKeys<'n> "`global`" {
        "scrape_interval" => scrape_interval: Duration = "1s", "From the begin of one scrape to the begin of the next.";
        "scrape_timeout" => scrape_timeout: Duration = "10s", "The longest a scrape may take; the interval if that is shorter.";
        "external_labels" => external_labels: Labels = "", "Labels that every exported series gets unless it has a label of that name; `${NAME}` is a variable of the environment, `$$` a `$`.";
        "sample_limit" => sample_limit: usize = "0", "The most samples a scrape may have; 0 for any number.";
        "target_limit" => target_limit: usize = "0", "The most targets a job may have; 0 for any number. A job with more is not scraped.";
        "label_limit" => label_limit: usize = "0", "The most labels a sample may have; 0 for any number.";
        "label_name_length_limit" => label_name_length_limit: usize = "0", "The longest name of a label in bytes; 0 for any length.";
        "label_value_length_limit" => label_value_length_limit: usize = "0", "The longest value of a label in bytes; 0 for any length.";
        "body_size_limit" => body_size_limit: Size = "64MiB", "The largest body of a scrape; 0 for any size.";
        "keep_dropped_targets" => keep_dropped_targets: usize = "0", "How many targets that relabelling dropped are kept for `/api/v1/targets`; 0 for as many as `limits` has.";
        "scrape_protocols" => scrape_protocols: Vec<ScrapeProtocol> = "", "The formats that are asked for, the most wanted first; if nothing is said OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4, and before them PrometheusProto with `scrape_native_histograms`.";
        "scrape_native_histograms" => scrape_native_histograms: bool = "false", "Take native histograms, which only protobuf has. Otherwise only the classic form is taken.";
        "always_scrape_classic_histograms" => always_scrape_classic_histograms: bool = "false", "Take the classic form of a native histogram too.";
        unsupported: "evaluation_interval", "rule_query_offset", "query_log_file", "scrape_failure_log_file",
            "metric_name_validation_scheme", "metric_name_escaping_scheme",
            "convert_classic_histograms_to_nhcb", "extra_scrape_metrics";
    }

    /// A job.
    JobKeys<'n> "an entry of `scrape_configs`" {
        "job_name" => job_name: String = "", "The name of the job, and the `job` label of its targets. Needed.";
        "scrape_interval" => scrape_interval: Duration = "", "As in `global`.";
        "scrape_timeout" => scrape_timeout: Duration = "", "As in `global`.";
        "metrics_path" => metrics_path: String = "/metrics", "The path of the URL.";
        "scheme" => scheme: String = "http", "The scheme of the URL: `http` or `https`.";
        "params" => params: Params = "", "Parameters of the URL.";
        "honor_labels" => honor_labels: bool = "false", "A scraped label wins over the target's of that name, which otherwise renames it to `exported_`….";
        "honor_timestamps" => honor_timestamps: bool = "true", "A scraped timestamp is kept.";
        "track_timestamps_staleness" => track_timestamps_staleness: bool = "false", "Series with timestamps of their own get a stale marker too.";
        "enable_compression" => enable_compression: bool = "true", "Ask for a compressed body.";
        "enable_http2" => enable_http2: bool = "true", "Speak HTTP/2 where the target agrees to it in TLS; without TLS it is HTTP/1.1.";
        "follow_redirects" => follow_redirects: bool = "true", "Follow an answer that names another place.";
        "basic_auth" => basic_auth: BasicAuthKeys<'n> = "", "The name and password that are sent.";
        "authorization" => authorization: AuthorizationKeys<'n> = "", "The `Authorization` header that is sent.";
        "bearer_token" => bearer_token: Secret = "", "As `credentials` of `authorization`.";
        "bearer_token_file" => bearer_token_file: PathBuf = "", "As `credentials_file` of `authorization`.";
        "http_headers" => http_headers: Named<HeaderKeys<'n>> = "", "More headers that are sent.";
        "tls_config" => tls_config: TlsKeys<'n> = "", "Whom to trust over `https`, and what to show.";
        "static_configs" => static_configs: Vec<StaticKeys<'n>> = "", "Targets named here.";
        "file_sd_configs" => file_sd_configs: Vec<FileSdKeys<'n>> = "", "Targets named in files, which are read again when they change.";
        "http_sd_configs" => http_sd_configs: Vec<HttpSdKeys<'n>> = "", "Targets named by an HTTP server.";
        "relabel_configs" => relabel_configs: Vec<RelabelKeys<'n>> = "", "Rules on the labels of the targets.";
        "metric_relabel_configs" => metric_relabel_configs: Vec<RelabelKeys<'n>> = "", "Rules on the labels of the samples.";
        "sample_limit" => sample_limit: usize = "", "As in `global`.";
        "target_limit" => target_limit: usize = "", "As in `global`.";
        "label_limit" => label_limit: usize = "", "As in `global`.";
        "label_name_length_limit" => label_name_length_limit: usize = "", "As in `global`.";
        "label_value_length_limit" => label_value_length_limit: usize = "", "As in `global`.";
        "body_size_limit" => body_size_limit: Size = "", "As in `global`.";
        "keep_dropped_targets" => keep_dropped_targets: usize = "", "As in `global`.";
        "scrape_protocols" => scrape_protocols: Vec<ScrapeProtocol> = "", "As in `global`.";
        "fallback_scrape_protocol" => fallback_scrape_protocol: ScrapeProtocol = "PrometheusText0.0.4", "How a body is read whose `Content-Type` is missing or unknown.";
        "scrape_native_histograms" => scrape_native_histograms: bool = "", "As in `global`.";
        "always_scrape_classic_histograms" => always_scrape_classic_histograms: bool = "", "As in `global`.";
        "scrape_classic_histograms" => scrape_classic_histograms: bool = "", "The older name of `always_scrape_classic_histograms`.";
        "native_histogram_bucket_limit" => native_histogram_bucket_limit: usize = "0", "The most buckets of a native histogram; 0 for any number. One with more is brought to a lower resolution; where none is low enough, the scrape fails.";
        "native_histogram_min_bucket_factor" => native_histogram_min_bucket_factor: f64 = "0", "By how much each bucket's bound must at least exceed the one before; a native histogram with finer buckets is brought to a lower resolution.";
        unsupported: "oauth2", "proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header",
            "convert_classic_histograms_to_nhcb", "scrape_failure_log_file", "metric_name_validation_scheme",
            "metric_name_escaping_scheme", "extra_scrape_metrics", "aws_sd_configs", "azure_sd_configs",
            "consul_sd_configs", "digitalocean_sd_configs", "dns_sd_configs", "docker_sd_configs",
            "dockerswarm_sd_configs", "ec2_sd_configs", "eureka_sd_configs", "gce_sd_configs",
            "hetzner_sd_configs", "ionos_sd_configs", "kubernetes_sd_configs", "kuma_sd_configs",
            "lightsail_sd_configs", "linode_sd_configs", "marathon_sd_configs", "nerve_sd_configs",
            "nomad_sd_configs", "oci_sd_configs", "openstack_sd_configs", "outscale_sd_configs", "ovhcloud_sd_configs", "puppetdb_sd_configs",
            "scaleway_sd_configs", "serverset_sd_configs", "stackit_sd_configs", "triton_sd_configs",
            "uyuni_sd_configs", "vultr_sd_configs";
    }

    /// Targets named in the file.
    StaticKeys<'n> "an entry of `static_configs`" {
        "targets" => targets: Vec<At<'n, String>> = "", "Addresses: `host` or `host:port`.";
        "labels" => labels: Labels = "", "Labels of all of them.";
    }

    /// Targets named in other files.
    FileSdKeys<'n> "an entry of `file_sd_configs`" {
        "files" => files: Vec<At<'n, String>> = "", "Paths of YAML or JSON files; the last part may have `*`. A relative one starts at the configuration file.";
        "refresh_interval" => refresh_interval: Duration = "5m", "How often files are read even if nothing seems to have changed. Changes are looked for every second.";
    }

    /// Targets named by a server.
    HttpSdKeys<'n> "an entry of `http_sd_configs`" {
        "url" => url: String = "", "Where the list is. Needed.";
        "refresh_interval" => refresh_interval: Duration = "1m", "How often it is asked for, and the longest an answer may take.";
        "basic_auth" => basic_auth: BasicAuthKeys<'n> = "", "As in a job.";
        "authorization" => authorization: AuthorizationKeys<'n> = "", "As in a job.";
        "bearer_token" => bearer_token: Secret = "", "As in a job.";
        "bearer_token_file" => bearer_token_file: PathBuf = "", "As in a job.";
        "http_headers" => http_headers: Named<HeaderKeys<'n>> = "", "As in a job.";
        "tls_config" => tls_config: TlsKeys<'n> = "", "As in a job.";
        "enable_http2" => enable_http2: bool = "true", "As in a job.";
        "follow_redirects" => follow_redirects: bool = "true", "As in a job.";
        unsupported: "oauth2", "proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header";
    }

    /// A name and a password.
    BasicAuthKeys<'n> "`basic_auth`" {
        "username" => username: String = "", "The name.";
        "username_file" => username_file: PathBuf = "", "A file with the name, read at every use.";
        "password" => password: Secret = "", "The password.";
        "password_file" => password_file: PathBuf = "", "A file with the password, read at every use.";
    }

    /// An `Authorization` header.
    AuthorizationKeys<'n> "`authorization`" {
        "type" => kind: String = "Bearer", "What kind of credentials they are.";
        "credentials" => credentials: Secret = "", "The credentials.";
        "credentials_file" => credentials_file: PathBuf = "", "A file with the credentials, read at every use.";
    }

    /// What a client of TLS trusts and shows.
    TlsKeys<'n> "`tls_config`" {
        "ca" => ca: String = "", "Certificates (PEM) that servers are trusted by, in place of the system's.";
        "ca_file" => ca_file: PathBuf = "", "A file with them, read again when it changes, as all files of certificates and keys are.";
        "cert" => cert: String = "", "The certificate (PEM) that is shown to servers, and those between it and one that they know.";
        "cert_file" => cert_file: PathBuf = "", "A file with it.";
        "key" => key: Secret = "", "The key (PEM) of the certificate.";
        "key_file" => key_file: PathBuf = "", "A file with it.";
        "server_name" => server_name: String = "", "The name that the server's certificate has to have, in place of the URL's host.";
        "insecure_skip_verify" => insecure_skip_verify: bool = "false", "Trust whoever answers.";
        "min_version" => min_version: Version = "TLS12", "The oldest version that is spoken: TLS12 or TLS13. TLS10 and TLS11 mean TLS12, for nothing older is spoken.";
        "max_version" => max_version: Version = "TLS13", "The newest version that is spoken: TLS12 or TLS13.";
        unsupported: "ca_ref", "cert_ref", "key_ref";
    }

    /// A header.
    HeaderKeys<'n> "an entry of `http_headers`" {
        "values" => values: Vec<String> = "", "Its values.";
        "secrets" => secrets: Vec<Secret> = "", "Values that are shown to nobody.";
        "files" => files: Vec<PathBuf> = "", "Files with a value each, read at every use.";
    }

    /// A rule on labels.
    RelabelKeys<'n> "an entry of `relabel_configs` and `metric_relabel_configs`" {
        "action" => action: Action = "replace", "replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase or uppercase.";
        "source_labels" => source_labels: Vec<String> = "", "The labels whose values, joined, are looked at.";
        "separator" => separator: String = ";", "What stands between the values.";
        "regex" => regex: String = "(.*)", "The expression that the whole is matched against.";
        "modulus" => modulus: u64 = "", "What `hashmod` divides by.";
        "target_label" => target_label: String = "", "The label that is written.";
        "replacement" => replacement: String = "$1", "What is written; `$1` and `${name}` are groups of the expression.";
    }

    /// A rule that reduces series.
    AggregateKeys<'n> "an entry of `aggregate`" {
        "name" => name: String = "", "What messages and counters call the rule; its number if nothing is said.";
        "output_name" => output_name: String = "", "Stands before `_<output>` in the names of the results, in place of the metric and the rule.";
        "match" => selector: String = "{}", "Which series: a selector such as `http_requests_total{code!=\"200\"}`.";
        "by" => by: Vec<String> = "", "The labels that the results keep.";
        "without" => without: Vec<String> = "", "The labels that the results lose. Not together with `by`.";
        "interval" => interval: Duration = "", "How often there is a result: whole seconds. Needed.";
        "outputs" => outputs: Vec<At<'n, String>> = "", "total, increase, rate, sum, min, max, avg, count, last, stddev, quantiles(0.5, …) or histogram(0.1, …). Needed.";
        "keep_input" => keep_input: bool = "false", "Export the series too.";
        "staleness" => staleness: Duration = "", "After how long without a sample a series is forgotten; twice the interval and at least five minutes if nothing is said.";
        "ignore_first" => ignore_first: bool = "true", "The first sample of a counter is only what later ones are compared with.";
        "max_groups" => max_groups: usize = "1000", "The most groups; the rest share `(other)`.";
        "topk" => topk: TopKeys<'n> = "", "Which groups keep labels of their own.";
    }

    /// The largest groups.
    TopKeys<'n> "`topk`" {
        "k" => k: usize = "", "How many. Needed.";
        "by" => by: String = "", "What makes a group large: increase, sum, max, count or last. Needed.";
    }

    /// A receiver of windows.
    RemoteWriteKeys<'n> "an entry of `remote_write`" {
        "url" => url: String = "", "Where to post. Needed.";
        "name" => name: String = "", "What messages, metrics and the queue's directory call it; host and port of the URL if nothing is said. Each has its own.";
        "remote_timeout" => remote_timeout: Duration = "30s", "The longest from a request to the end of its answer.";
        "protobuf_message" => protobuf_message: Message = "", "prometheus.WriteRequest (version 1.0) or io.prometheus.write.v2.Request (2.0); if nothing is said 2.0, and 1.0 for a receiver that does not speak it.";
        "compression" => compression: Compressing = "snappy", "How requests of version 1.0 are compressed: snappy; zstd, which VictoriaMetrics takes (1.0 from the start, and snappy for a receiver that refuses it); or auto: zstd for a receiver of 1.0 that says it takes it. Version 2.0 is snappy.";
        "send_native_histograms" => send_native_histograms: bool = "false", "Send native histograms, in place of the classic ones beside them.";
        "send_exemplars" => send_exemplars: bool = "false", "Send the exemplars of scraped series, each once.";
        "headers" => headers: Labels = "", "More headers that are sent.";
        "write_relabel_configs" => write_relabel_configs: Vec<RelabelKeys<'n>> = "", "Rules on the labels of what is sent, external labels among them.";
        "metadata_config" => metadata_config: MetadataKeys<'n> = "", "Version 1.0: types and help texts. Version 2.0 has them in each series.";
        "queue_config" => queue_config: QueueKeys<'n> = "", "What waits, and how it is sent.";
        "basic_auth" => basic_auth: BasicAuthKeys<'n> = "", "As in a job.";
        "authorization" => authorization: AuthorizationKeys<'n> = "", "As in a job.";
        "bearer_token" => bearer_token: Secret = "", "As in a job.";
        "bearer_token_file" => bearer_token_file: PathBuf = "", "As in a job.";
        "http_headers" => http_headers: Named<HeaderKeys<'n>> = "", "As in a job.";
        "tls_config" => tls_config: TlsKeys<'n> = "", "As in a job.";
        "enable_http2" => enable_http2: bool = "true", "As in a job.";
        "follow_redirects" => follow_redirects: bool = "true", "Follow an answer that says to post the same elsewhere (307, 308).";
        unsupported: "sigv4", "azuread", "google_iam", "oauth2", "proxy_url", "no_proxy",
            "proxy_from_environment", "proxy_connect_header", "round_robin_dns", "failed_request_logging";
    }

    /// How types and help texts are sent.
    MetadataKeys<'n> "`metadata_config`" {
        "send" => send: bool = "true", "Send them.";
        "send_interval" => send_interval: Duration = "1m", "How often.";
        unsupported: "max_samples_per_send";
    }

    /// What waits for a receiver, and how it is sent.
    QueueKeys<'n> "`queue_config`" {
        "max_shards" => max_shards: usize = "8", "The most requests on their way at a time. Each series stays with one of them.";
        "min_shards" => min_shards: usize = "1", "How many there may be from the start.";
        "max_samples_per_send" => max_samples_per_send: usize = "10000", "The most samples of a request. A window is sent as soon as it is closed, however few it has.";
        "interval" => interval: Duration = "1s", "How often what is known is sent, in whole seconds: of the windows in between only that a series has ended. Agents differ in the second.";
        "spread" => spread: Delay = "500ms", "How long a window waits at most before it is sent, differently for each agent, so that many of them do not all post at the whole second. At most 1s.";
        "min_backoff" => min_backoff: Duration = "30ms", "The first wait before another try, at random up to this; it doubles with each.";
        "max_backoff" => max_backoff: Duration = "5s", "The longest wait, unless the receiver asks for a longer one.";
        "retry_on_http_429" => retry_on_http_429: bool = "true", "Try again what the receiver has no room for now.";
        "sample_age_limit" => sample_age_limit: Delay = "6h", "Drop what could not be delivered for so long; 0 for no limit.";
        "max_memory" => max_memory: Size = "32MiB", "The most that waits in memory; beyond it requests go to disk, or the oldest is dropped where there is none.";
        "max_disk" => max_disk: Size = "1GiB", "The most that waits on disk; beyond it the oldest is dropped. 0 for nothing on disk.";
        "spill_after" => spill_after: Delay = "5s", "How long a request waits in memory before it goes to disk; 0 for all of them at once.";
        "fsync" => fsync: Syncing = "1s", "When the disk has to be sure of what was written: always (before a window counts as queued), never (when the kernel likes), or so often.";
        needless: "capacity" => "what waits is bounded in bytes, by `max_memory` and `max_disk`, not in samples",
            "batch_send_deadline" => "a window is sent once it is closed, whether or not a request is full; `interval` says how often";
    }

    /// What holds for all exports.
    ExportKeys<'n> "`export`" {
        "queue_dir" => queue_dir: PathBuf = "", "Where what waits is kept on disk, a directory for each receiver; `--queue-dir`. If nothing is said /var/lib/observer/queue, if /var/lib/observer is there, else nothing goes to disk.";
        "shutdown_grace" => shutdown_grace: Delay = "5s", "How long the agent delivers what it has after the signal to end; the rest is kept on disk, at once for a receiver that is away; `--shutdown-grace`.";
        "otlp" => otlp: Vec<OtlpKeys<'n>> = "", "Where windows are posted as OTLP; `--otlp`.";
        "ndjson" => ndjson: Vec<NdjsonKeys<'n>> = "", "Where windows are written as lines of JSON; `--ndjson`.";
    }

    /// A receiver of OTLP.
    OtlpKeys<'n> "an entry of `export: otlp`" {
        "endpoint" => endpoint: String = "", "Where to post: `http://HOST:4317` for gRPC, `http://HOST:4318` or a whole URL for HTTP. Needed.";
        "name" => name: String = "", "What messages, metrics and the queue's directory call it; `otlp`, host and port if nothing is said. Each has its own.";
        "protocol" => protocol: String = "", "grpc or http/protobuf; if nothing is said gRPC on port 4317, else HTTP. HTTP without a path posts to `/v1/metrics`.";
        "compression" => compression: String = "gzip", "gzip or none.";
        "timeout" => timeout: Duration = "10s", "The longest from a request to the end of its answer.";
        "temporality" => temporality: String = "cumulative", "cumulative, or delta: what sums and histograms counted since the point before.";
        "histograms" => histograms: String = "exponential", "exponential, or explicit: the classic buckets where a histogram has both.";
        "names" => names: String = "prometheus", "prometheus, or otel: metrics without the unit and `_total` in their names, for OTLP has both beside them.";
        "resource_attributes" => resource_attributes: Labels = "", "More attributes of every resource; they win over those the agent finds.";
        "headers" => headers: Labels = "", "More headers that are sent.";
        "queue_config" => queue_config: QueueKeys<'n> = "", "What waits, and how it is sent.";
        "basic_auth" => basic_auth: BasicAuthKeys<'n> = "", "As in a job.";
        "authorization" => authorization: AuthorizationKeys<'n> = "", "As in a job.";
        "bearer_token" => bearer_token: Secret = "", "As in a job.";
        "bearer_token_file" => bearer_token_file: PathBuf = "", "As in a job.";
        "http_headers" => http_headers: Named<HeaderKeys<'n>> = "", "As in a job.";
        "tls_config" => tls_config: TlsKeys<'n> = "", "As in a job.";
        "enable_http2" => enable_http2: bool = "true", "As in a job; gRPC always is HTTP/2.";
        "follow_redirects" => follow_redirects: bool = "true", "Follow an answer that says to post the same elsewhere (307, 308).";
    }

    /// Lines of JSON.
    NdjsonKeys<'n> "an entry of `export: ndjson`" {
        "path" => path: String = "", "A file, `-` for the standard output, or `unix:` and the path of a socket that a reader listens on. Needed.";
        "name" => name: String = "", "What messages and metrics call it; `ndjson` and the path if nothing is said. Each has its own.";
        "match" => select: Vec<At<'n, String>> = "", "Selectors such as `{__name__=~\"observer_.*\"}`; what one of them takes is written. Everything if nothing is said.";
        "changed_only" => changed_only: bool = "false", "Leave out samples with the value that was written last.";
        "max_size" => max_size: Size = "100MiB", "A file that has reached this begins anew with the next window; 0 for never.";
        "max_age" => max_age: Duration = "", "A file as old as this begins anew; never if nothing is said.";
        "max_files" => max_files: usize = "5", "How many earlier files are kept beside it: `PATH.1` is the latest.";
    }

    /// What the agent may use.
    LimitKeys<'n> "`limits`" {
        "body_bytes" => body_bytes: Size = "64MiB", "The largest body of a scrape where no `body_size_limit` is said.";
        "body_buffers" => body_buffers: usize = "16", "Buffers for bodies that are kept for the next scrapes: as many as there are scrapes at one time; more are made, and counted.";
        "body_buffer_bytes" => body_buffer_bytes: Size = "8MiB", "The most memory of the buffers that are kept.";
        "scrape_threads" => scrape_threads: usize = "", "Threads that scrape and decode, 1 to 256. A quarter of the CPUs if nothing is said, from 1 to 16: one takes several million samples a second.";
        "targets" => targets: usize = "100000", "The most targets over all jobs; those beyond it are not scraped, and counted.";
        "dropped_targets" => dropped_targets: usize = "1000", "How many targets that relabelling dropped are kept for `/api/v1/targets`, a job.";
        "series" => series: usize = "4000000", "The most scraped series; those beyond it are refused, and counted; `--series`.";
        "series_per_target" => series_per_target: usize = "200000", "The most series of a target; those beyond it are refused, and counted.";
        "exemplars" => exemplars: usize = "10000", "The most exemplars of scraped series that are kept, over all targets: one of each counter and bucket, several of a native histogram. Those beyond it are not taken, and counted; 0 for none at all.";
        "arena_bytes" => arena_bytes: Size = "", "The most memory for scraped series, their values and what is known of bodies; series beyond it are refused, and counted. Half of the memory of the machine or of the agent's cgroup if nothing is said; `--arena-bytes`.";
        "windows" => windows: usize = "3", "Windows that go round, 2 to 64: one is filled, the others can be read; `--windows`.";
        "page_bytes" => page_bytes: Size = "256MiB", "The memory for pages of `/metrics` that are being read; a request beyond it gets status 503.";
    }

    /// The agent's own HTTP server.
    ServerKeys<'n> "`server`" {
        "listen" => listen: SocketAddr = "127.0.0.1:9435", "Where it listens; `--listen`.";
        "allow_remote" => allow_remote: bool = "false", "Serve other hosts too. Nothing asks who they are; `--allow-remote`.";
        "socket" => socket: PathBuf = "", "A Unix socket that also takes changes; `--socket`.";
        "linger" => linger: Delay = "0s", "How long the last window can still be read after the signal to end; `--linger`.";
    }
}
