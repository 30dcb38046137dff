//! The trace for people.

use std::io::{self, Write};

use serde_json::Value;

use super::{row::Row, summary::Summary};

const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

pub(crate) fn header(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<15} {:<7} {:<6} {:<22} {:<22} {:>5}  {:<25} DETAILS",
        "TIME (UTC)", "EVENT", "ROLE", "PROCESS", "PEER", "PORT", "OUTCOME"
    )
}

pub(crate) fn row(out: &mut impl Write, row: &Row, colour: bool) -> io::Result<()> {
    let text = |field| row.cell(field).and_then(Value::as_str).unwrap_or("-");
    let outcome = text("outcome");
    let (on, off) = match outcome {
        _ if !colour => ("", ""),
        "success" => ("", ""),
        "closed" => (DIM, RESET),
        _ => (RED, RESET),
    };
    let process = match row.cell("pid") {
        Some(pid) => format!("{} {pid}", printable(text("comm"))),
        None => "-".to_owned(),
    };
    let outcome = match row.cell("error").and_then(Value::as_str) {
        Some(error) => format!("{outcome} {error}"),
        None => outcome.to_owned(),
    };
    // 2026-01-02T03:04:05.123456Z: the day is not what a live trace is about.
    let time = text("time").get(11..26).unwrap_or("-");
    writeln!(
        out,
        "{on}{time:<15} {:<7} {:<6} {process:<22} {:<22} {:>5}  {outcome:<25} {}{off}",
        text("event"),
        text("role"),
        text("peer"),
        row.cell("port").map_or(String::new(), Value::to_string),
        details(row),
    )
}

fn details(row: &Row) -> String {
    let number = |field| row.cell(field).and_then(Value::as_f64);
    let mut parts = Vec::new();
    let mut time = |label: &str, field| {
        if let Some(seconds) = number(field) {
            parts.push(format!("{label}{}", duration(seconds)));
        }
    };
    time("in ", "connect_seconds");
    time("after ", "duration_seconds");
    if let Some(n) = number("syn_retransmits").filter(|n| *n > 0.0) {
        parts.push(format!("SYN sent again {n} times"));
    }
    if let (Some(sent), Some(received)) = (number("sent_bytes"), number("received_bytes")) {
        parts.push(format!("sent {} received {}", bytes(sent), bytes(received)));
    }
    if let Some(n) = number("exchanges").filter(|n| *n > 0.0) {
        parts.push(format!("{n} exchanges"));
    }
    for (label, p50, p99) in [
        ("response", "response_p50_seconds", "response_p99_seconds"),
        ("service", "service_p50_seconds", "service_p99_seconds"),
        ("receive wait", "receive_wait_p50_seconds", "receive_wait_p99_seconds"),
    ] {
        if let (Some(p50), Some(p99)) = (number(p50), number(p99)) {
            parts.push(format!("{label} p50 {} p99 {}", duration(p50), duration(p99)));
        }
    }
    if let (Some(srtt), Some(min)) = (number("srtt_seconds"), number("min_rtt_seconds")) {
        parts.push(format!("RTT {} (min {})", duration(srtt), duration(min)));
    }
    if let Some(n) = row.cell("retransmits").and_then(Value::as_u64).filter(|n| *n > 0) {
        parts.push(format!("{} sent again", segments(n)));
    }
    if row.cell("adopted") == Some(&Value::Bool(true)) {
        parts.push("older than the trace".to_owned());
    }
    parts.join(", ")
}

pub(crate) fn summary(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    for line in summary.lines() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// A process may call itself anything, terminal escapes included.
pub(crate) fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A duration with three digits and a unit that fits.
pub(crate) fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    let digits = if value >= 100.0 { 0 } else { usize::from(value < 10.0) + 1 };
    format!("{value:.digits$} {unit}")
}

/// So many segments.
pub(crate) fn segments(n: u64) -> String {
    format!("{n} segment{}", if n == 1 { "" } else { "s" })
}

/// An amount of bytes with three digits and a unit that fits.
pub(crate) fn bytes(n: f64) -> String {
    let mut value = n;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            let digits = usize::from(unit != "B" && value < 100.0);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits() {
        for (seconds, text) in [
            (0.000_000_9, "0.90 µs"),
            (0.000_062, "62.0 µs"),
            (0.0201, "20.1 ms"),
            (0.25, "250 ms"),
            (1.5, "1.50 s"),
            (125.0, "125 s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
    #[test]
    fn bytes_keep_three_digits() {
        assert_eq!(
            (bytes(5.0), bytes(1234.0), bytes(4_560_000.0)),
            ("5 B".into(), "1.2 kB".into(), "4.6 MB".into())
        );
    }
    #[test]
    fn a_process_name_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb"), "a?[2Jb");
    }
}
