//! The agent on itself.

use super::{Group, rows};

pub(crate) const GROUP: Group = Group {
    title: "The agent itself",
    note: "Whether what is shown is complete, and what showing it costs.",
    metrics: &[BUILD_ROWS, AGENT_ROWS, EXPORT_ROWS, NODE_ROWS, PROCESS_ROWS],
};

rows! { BUILD_ROWS:
    BUILD = Info "observer_build", ["version", "kernel"], "The agent's version and the running kernel's release.";
}

rows! { AGENT_ROWS:
    FEATURE_AVAILABLE = Gauge "observer_feature_available", ["feature"],
        "1 if the kernel and the permissions allow the feature, else 0: then what depends on it is missing.";
    EVENTS = Counter "observer_events", ["kind"], "Records the kernel programs had for the ring by kind: connect, accept, close, activity, spill, listen. Counted before any could be lost.";
    EVENTS_LOST = Counter "observer_events_lost", ["cause"],
        "Events lost, by cause: ring (it was full: the totals still have them, under `(lost)`), storage (no memory for a socket's state), nested (the kernel skips a program inside itself, as when an interrupt brings data to one socket in the middle of telling of another: an exchange then lacks its wait; state changes are not among them).";
    DECODE_ERRORS = Counter "observer_decode_errors", [], "Ring records that were not understood.";
    LATE_RECORDS = Counter "observer_late_records", [], "Ring records that were counted in a window after their own.";
    WINDOWS = Counter "observer_windows", [], "Windows closed.";
    WINDOW_COMPLETENESS = Gauge "observer_window_completeness_ratio", [],
        "The share of the last window's expected input that arrived: records, scrapes due, the sweep. 1 if nothing is missing.";
    WINDOW_CLOSE = Histogram "observer_window_close_seconds", [],
        "How long after the whole second a window was closed and readable.";
    SHARD_LAG = Histogram "observer_shard_lag_seconds", ["of"],
        "How late work was begun: close (of a window, behind its whole second), ring (the oldest record of a reading of the ring, behind what it tells of), body (decoding a scrape, behind its last byte).";
    SERIES = Gauge "observer_series", [], "Scraped series that are held.";
    SERIES_LIMIT = Gauge "observer_series_limit", [], "How many there may be; more are refused.";
    RULE_GROUPS = Gauge "observer_aggregate_groups", ["rule"], "Groups of an aggregation rule.";
    RULE_GROUPS_LIMIT = Gauge "observer_aggregate_groups_limit", ["rule"], "How many there may be; the rest share `(other)`.";
    RULE_SERIES_TURNED_AWAY = Counter "observer_aggregate_series_turned_away", ["rule", "how"],
        "Series that found no group of their own: folded (into `(other)`), refused (no room for that either, or another rule writes the same series).";
    RULE_SAMPLES_NOTICED = Counter "observer_aggregate_samples", ["what"],
        "Samples that rules took in another way: not_finite (left out), stale (a series' end), reset (a counter that fell).";
    ARENA_USED = Gauge "observer_arena_used_bytes", [], "Memory in which series, their values and what is known of bodies stand: in use.";
    ARENA_CAPACITY = Gauge "observer_arena_capacity_bytes", [], "Memory in which series, their values and what is known of bodies stand: reserved, the windows' included.";
    ARENA_LIMIT = Gauge "observer_arena_limit_bytes", [], "How much of it scraped series may reserve; more series are refused.";
    POOL_CAPACITY = Gauge "observer_pool_capacity", [], "Windows that go round.";
    POOL_IN_USE = Gauge "observer_pool_in_use", [], "Windows that somebody holds.";
    POOL_HITS = Counter "observer_pool_hits", [], "Closes of a window that found a free one.";
    POOL_MISSES = Counter "observer_pool_misses", [], "Closes of a window that found none free: the window stayed open.";
    SWEEP = Histogram "observer_sweep_seconds", [], "Duration of the sweep over open sockets.";
    SWEEP_SOCKETS = Gauge "observer_sweep_sockets", [], "Sockets the last sweep visited.";
    GROUPS = Gauge "observer_tcp_groups", [], "Label groups of the TCP families in use.";
    GROUPS_LIMIT = Gauge "observer_tcp_groups_limit", [], "How many there may be; the rest share `(other)`.";
    GROUPS_FOLDED = Counter "observer_tcp_groups_folded", [], "Records counted under `(other)` because the groups were used up.";
    PLACES = Gauge "observer_tcp_places", [], "Places of sockets' accumulators, see `--tcp-places`.";
    DISPLACED = Counter "observer_tcp_sockets_displaced", [], "Sockets that found their place taken: they are counted all the same, at a higher cost.";
    DISCOVERY_REFRESHES = Counter "observer_discovery_refreshes", ["kind", "result"],
        "Readings of lists of targets, by kind (file, http) and result (success, failure). A failure leaves the targets as they were.";
    DISCOVERED_TARGETS = Gauge "observer_discovered_targets", ["state"],
        "Targets found: active, dropped by relabelling, refused (no usable address), over_limit.";
    SCRAPE_TARGETS = Gauge "observer_scrape_targets", [], "Targets scraped.";
    SCRAPE_THREADS = Gauge "observer_scrape_threads", [], "Threads that scrape and decode.";
    SCRAPES = Counter "observer_scrapes", ["result"],
        "Scrapes by result: success, connect, tls, timeout, protocol, status, too_large, malformed, skipped.";
    SCRAPE_BODY_BYTES = Counter "observer_scrape_body_bytes", [], "Bytes of exporters' bodies received.";
    BODY_BUFFERS_LIMIT = Gauge "observer_body_buffers_limit", [], "Buffers for bodies that are kept at most.";
    BODY_BUFFERS_FREE = Gauge "observer_body_buffers_free", [], "Buffers for bodies that are kept now; those in use are not among them.";
    BODY_BUFFER_LIMIT_BYTES = Gauge "observer_body_buffer_limit_bytes", [], "Memory that kept buffers may have.";
    BODY_BUFFER_FREE_BYTES = Gauge "observer_body_buffer_free_bytes", [], "Memory that kept buffers have.";
    BODY_BUFFER_MISSES = Counter "observer_body_buffer_misses", [], "Bodies for which no kept buffer was free: new memory was taken.";
    SCRAPE_SAMPLES = Counter "observer_scrape_samples", [], "Samples taken from exporters.";
    EXEMPLARS = Gauge "observer_exemplars", [], "Exemplars of scraped series that are held.";
    EXEMPLARS_LIMIT = Gauge "observer_exemplars_limit", [], "How many there may be; more are not taken.";
    SCRAPE_EXEMPLARS_DROPPED = Counter "observer_scrape_exemplars_dropped", ["cause"],
        "Exemplars of scraped series that are not taken, by cause: limit (there are as many as there may be), labels_too_long (over 128 characters, in protobuf; in OpenMetrics the body is malformed then), no_timestamp (of a native histogram).";
    SCRAPE_SAMPLES_REFUSED = Counter "observer_scrape_samples_refused", ["cause"], "Samples not taken from exporters, by cause: duplicate (the series stands in the body before), sample_limit (of the job), out_of_order (it says a time before that of the last one), series_limit (of the agent or of a target), memory_limit (of all series), labels_too_long (64 KiB for all labels of a series); the last three are told when the series comes or is looked at again, not every second.";
    PAGE_SAMPLES_DROPPED = Gauge "observer_page_samples_dropped", ["cause"],
        "Samples left off the page last written: duplicate (the series is there already), conflict (its name is taken by another type), native (a native histogram without a classic form, on a page of text).";
    PAGES = Counter "observer_pages", ["how"],
        "Pages handed out: written (for that request), shared (with others who asked in the same way for the same window), refused (there was no memory for it).";
    PAGE_BYTES = Counter "observer_page_bytes", ["encoding"], "Bytes of pages written, by encoding: identity, gzip, zstd.";
    PAGE_SECONDS = Histogram "observer_page_seconds", ["step"], "Time spent on a page, by step: write, gzip, zstd.";
    PAGE_HELD = Gauge "observer_page_held_bytes", [], "Memory of pages that somebody may still read.";
    PAGE_HELD_LIMIT = Gauge "observer_page_held_limit_bytes", [], "How much there may be; beyond it a request gets status 503.";
    HTTP_CONNECTIONS_REFUSED = Counter "observer_http_connections_refused", [], "Connections to the agent's own HTTP server that were over its limit.";
    HTTP_CONNECTIONS_CUT = Counter "observer_http_connections_cut", [], "Connections that the agent's own HTTP server ended because the client read too slowly: less than about 16 KiB a second for ten seconds.";
    HTTP_REQUESTS = Counter "observer_http_requests", ["path", "code"], "Requests to the agent's own HTTP server.";
}

rows! { EXPORT_ROWS:
    EXPORT_WINDOWS_LOST = Counter "observer_export_windows_lost", ["endpoint", "cause"],
        "Windows that an export did not encode, by cause: encoder_behind (it was busy with earlier ones for too long), clock (it ended before one that was exported: the clock was set back); of lines of JSON disk_full, write_error, no_reader.";
    EXPORT_SERIES = Gauge "observer_export_series", ["endpoint"], "Series that an export sends.";
    EXPORT_SERIES_REFUSED = Counter "observer_export_series_refused", ["endpoint", "cause"],
        "Series that an export does not send, by cause: dropped (by a relabelling rule), duplicate (relabelling made it the same as another), unnamed, too_long (64 KiB for all labels), full.";
    EXPORT_OTLP_POINTS = Counter "observer_export_otlp_untold", ["endpoint", "cause"],
        "Samples that an OTLP export does not tell as they are, by cause: unsupported (gauge histograms, parts without a whole), malformed (buckets that contradict each other, fractions), withheld (delta: first values, and those of no later time, which the next point tells), coarsened (told, with fewer buckets).";
    EXPORT_EXEMPLARS_UNTOLD = Counter "observer_export_exemplars_untold", ["endpoint"],
        "New exemplars that an export does not tell, for it does not tell their sample: the series has ended (a target that goes down in the window that they came in), or has nothing later to tell. With OTLP also those of gauges and of deltas that are withheld.";
    EXPORT_NOT_NEWER = Counter "observer_export_not_newer_samples", ["endpoint"],
        "Samples that remote write does not send because the time of their own is not after that of the last one: an exporter that says the same time again says the same sample again.";
    EXPORT_ENCODER_MEMORY = Gauge "observer_export_encoder_bytes", ["endpoint"], "Memory in which an export keeps what it knows of its series.";
    EXPORT_ENCODED = Counter "observer_export_encoded_samples", ["endpoint", "kind"],
        "Samples put into the queue of an endpoint, by kind: sample, histogram (native), exemplar. Each is delivered, dropped or waits.";
    EXPORT_DELIVERED = Counter "observer_export_delivered_samples", ["endpoint", "kind"], "Samples that the receiver has taken, by kind.";
    EXPORT_DROPPED = Counter "observer_export_dropped_samples", ["endpoint", "cause"],
        "Samples that the receiver will never have, by cause. By the receiver: status_400 and so on, refused (a part of a request it took). By the queue's bounds: disk_full, memory_full, age, too_large. By the disk: damaged, unreadable. And unknown_protocol (a queue of another version).";
    EXPORT_RETRIED = Counter "observer_export_retried_samples", ["endpoint"], "Samples in requests that have to be sent again.";
    EXPORT_REQUESTS = Counter "observer_export_requests", ["endpoint", "code"],
        "Requests, by the status of the answer, or what came in its place: connect, tls, timeout, closed, login.";
    EXPORT_REQUEST = Histogram "observer_export_request_seconds", ["endpoint"], "From a request to the end of its answer.";
    EXPORT_BYTES = Counter "observer_export_sent_bytes", ["endpoint"], "Bytes of the bodies of all requests.";
    EXPORT_SHARDS = Gauge "observer_export_shards", ["endpoint"], "How many requests may be on their way at a time.";
    EXPORT_SHARDS_LIMIT = Gauge "observer_export_shards_limit", ["endpoint"], "The most there may be.";
    EXPORT_QUEUE_SAMPLES = Gauge "observer_export_queue_samples", ["endpoint", "place"], "Samples that wait, in memory and on disk.";
    EXPORT_QUEUE_BYTES = Gauge "observer_export_queue_bytes", ["endpoint", "place"], "Bytes of the requests that wait, in memory and on disk.";
    EXPORT_QUEUE_LIMIT = Gauge "observer_export_queue_limit_bytes", ["endpoint", "place"], "How many there may be; then the oldest are dropped.";
    EXPORT_OLDEST = Gauge "observer_export_oldest_pending_seconds", ["endpoint"], "The age of the oldest window that waits; 0 if none does.";
    EXPORT_DELIVERED_UNTIL = Gauge "observer_export_delivered_timestamp_seconds", ["endpoint"],
        "The end of the newest window of which the receiver has taken a request.";
    EXPORT_DURABLE = Gauge "observer_export_durable_timestamp_seconds", ["endpoint"],
        "Every window up to here is at the receiver or safe on disk, as far as no bound has dropped it.";
    EXPORT_DISK_FAILING = Gauge "observer_export_disk_failing", ["endpoint"], "1 if the queue's disk does not take what it should, and memory takes it.";
    EXPORT_DISK_WRITTEN = Counter "observer_export_disk_written_bytes", ["endpoint"], "Bytes that the queue has written to disk.";
    EXPORT_DISK_FSYNCS = Counter "observer_export_disk_fsyncs", ["endpoint"], "How often the queue has waited for the disk to be sure.";
    EXPORT_DISK_ERRORS = Counter "observer_export_disk_errors", ["endpoint"], "Calls that the queue's disk has failed.";
    EXPORT_DISK_DAMAGED = Counter "observer_export_disk_damaged", ["endpoint", "cause"],
        "Places where the queue's files were not as they should be, by cause: torn (the end of a file, as a kill leaves it), gap (bytes that are no record), body (a record with a wrong checksum), missing (a file), state (a copy of the list of what is delivered), foreign (a file of another version, set aside). The log says where.";
}

rows! { NODE_ROWS:
    NODE_COLLECTOR_SUCCESS = Gauge "observer_node_collector_success", ["collector"],
        "1 if the collector of node metrics read all its files, 0 if its families are missing from this window.";
    NODE_COLLECTOR_YIELDED = Gauge "observer_node_collector_yielded", ["collector"],
        "1 if the collector stays silent because a scraped target exports the same families.";
}

rows! { PROCESS_ROWS:
    PROCESS_CPU = Counter "process_cpu_seconds", [], "CPU time of the agent, user and system.";
    PROCESS_RESIDENT_MEMORY = Gauge "process_resident_memory_bytes", [], "Resident memory of the agent.";
    PROCESS_VIRTUAL_MEMORY = Gauge "process_virtual_memory_bytes", [], "Address space of the agent.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds", [], "Open file descriptors of the agent.";
    PROCESS_MAX_FDS = Gauge "process_max_fds", [], "How many file descriptors the agent may open.";
    PROCESS_THREADS = Gauge "process_threads", [], "Threads of the agent.";
    PROCESS_START_TIME = Gauge "process_start_time_seconds", [], "When the agent started, in seconds since the Unix epoch.";
}
