//! What exports cost a sample: their bodies, compression alone, prost's encoding, a copy of the same bytes.
//!
//! `cargo run --release -p observer-export --example encode_speed [--only ROW] [TARGETS]`
//! Each target has the series of a node_exporter; one second its values are those of one body, the next those of another.
//!
//! With `--only` one row is measured, by its name, for two warm windows: for callgrind, which counts the instructions in `pass` alone with
//! `--toggle-collect='*encode_speed::pass*'`; the row says by how many samples to divide them.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::{env, hint::black_box, sync::Arc, time::Instant};

use observer_aggregate::{
    family::{Kind, Suffix},
    series::Block,
    window::{Pool, Source, Window},
};
use observer_export::{
    Encode, ndjson, otlp,
    remote_write::{Compression, Encoder, Options, Version, decode::Request},
};
use observer_exposition::{Event, text};

#[path = "../../aggregate/tests/support/allocations.rs"]
mod allocations;
#[path = "../tests/remote_write/proto.rs"]
mod proto;

const BODIES: [&str; 2] = [
    include_str!("../../exposition/tests/bodies/node_exporter.txt"),
    include_str!("../../exposition/tests/bodies/node_exporter_1s.txt"),
];

/// Windows in which the encoder learns its series and looks at them again.
const WARM: usize = 30;

fn main() {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let only = args.iter().position(|arg| arg == "--only").map(|at| {
        args.remove(at);
        args.remove(at)
    });
    let targets = args.first().map_or(20, |targets| targets.parse().expect("a number of targets"));
    let windows = windows(targets);
    let samples = windows[0].len() as f64;
    if only.is_none() {
        println!("{targets} targets, {samples} samples a window\n");
        println!(
            "{:<34} {:>10} {:>10} {:>10} {:>12}",
            "", "ns/sample", "bytes in", "bytes out", "allocations"
        );
    }
    let table = Table { only, samples };
    for (version, compression) in [
        (Version::V1, Compression::Snappy),
        (Version::V1, Compression::Zstd),
        // The specification knows nothing else.
        (Version::V2, Compression::Snappy),
    ] {
        remote_write(&table, version, compression, &windows);
    }
    let mut encoder = otlp::Encoder::new(otlp::Options::default());
    let bodies = warm(&mut encoder, &windows);
    let bytes = length(&bodies);
    table.row("OTLP", bytes, bytes, || encode(&mut encoder, &windows));
    beside(&table, "OTLP", &bodies);
    let mut encoder = ndjson::Encoder::default();
    let mut lines = vec![Vec::new()];
    for window in windows.iter().cycle().take(WARM) {
        lines[0].clear();
        encoder.window(window, &mut |part| lines[0].extend_from_slice(part));
    }
    let bytes = length(&lines);
    table.row("ndjson", bytes, bytes, || {
        for window in &windows {
            encoder.window(window, &mut |part| {
                black_box(part);
            });
        }
    });
    beside(&table, "ndjson", &lines);
}

fn remote_write(table: &Table, version: Version, compression: Compression, windows: &[Arc<Window>]) {
    let options = Options { compression, metadata_interval_windows: 0, ..Options::new(version) };
    let mut encoder = Encoder::new(options);
    let empty = encoder.totals().memory_bytes;
    let bodies = warm(&mut encoder, windows);
    let read = |body: &Vec<u8>| Request::read(version, body, 1 << 28).expect("a request").raw().to_vec();
    let raws: Vec<Vec<u8>> = match compression {
        Compression::Snappy => bodies.iter().map(read).collect(),
        Compression::Zstd => bodies.iter().map(|body| zstd::decode_all(&**body).expect("zstd")).collect(),
    };
    let name = format!("remote write {version:?} {compression:?}");
    table.row(&name, length(&raws), length(&bodies), || encode(&mut encoder, windows));
    if compression == Compression::Snappy {
        beside(table, &format!("remote write {version:?}"), &raws);
        let name = format!("  remote write {version:?} by prost");
        match version {
            Version::V1 => prost::<proto::WriteRequest>(table, &name, &raws),
            Version::V2 => prost::<proto::Request>(table, &name, &raws),
        }
    }
    if table.only.is_none() {
        let totals = encoder.totals();
        let each = (totals.memory_bytes - empty) as f64 / totals.series as f64;
        println!("    {each:.1} bytes a series remembered, {} requests a window", raws.len());
    }
}

/// The bodies of the last of so many windows that no series is new to the encoder, which says how long the slowest took.
fn warm(encoder: &mut impl Encode, windows: &[Arc<Window>]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut slowest = [0.0_f64; 2];
    for (at, window) in windows.iter().cycle().take(WARM).enumerate() {
        bodies.clear();
        let start = Instant::now();
        encoder.window(window, &mut |batch| bodies.push(batch.body.to_vec()));
        let slowest = &mut slowest[at.min(1)];
        *slowest = slowest.max(start.elapsed().as_secs_f64());
    }
    let [first, later] = slowest.map(|seconds| seconds * 1e3);
    println!("    first window {first:.1} ms, slowest of the {} behind it {later:.1} ms", WARM - 1);
    bodies
}

fn encode(encoder: &mut impl Encode, windows: &[Arc<Window>]) {
    for window in windows {
        encoder.window(window, &mut |batch| {
            black_box(batch.body);
        });
    }
}

/// What others do with the same bytes.
fn beside(table: &Table, name: &str, raws: &[Vec<u8>]) {
    let bytes = length(raws);
    let largest = raws.iter().map(Vec::len).max().unwrap_or(0);
    let mut snappy = snap::raw::Encoder::new();
    let mut out = vec![0; snap::raw::max_compress_len(largest).max(zstd::zstd_safe::compress_bound(largest))];
    let mut all = |out: &mut [u8]| {
        raws.iter().map(|raw| snappy.compress(black_box(raw), out).expect("room")).sum::<usize>()
    };
    let packed = all(&mut out);
    table.row(&format!("  {name} by snappy alone"), bytes, packed, || {
        // As many as the encoder has windows.
        black_box(all(&mut out) + all(&mut out));
    });
    let mut zstd = zstd::bulk::Compressor::new(1).expect("a level");
    let mut all = |out: &mut [u8]| {
        raws.iter().map(|raw| zstd.compress_to_buffer(black_box(raw), out).expect("room")).sum::<usize>()
    };
    let packed = all(&mut out);
    table.row(&format!("  {name} by zstd alone"), bytes, packed, || {
        black_box(all(&mut out) + all(&mut out));
    });
    table.row(&format!("  {name} by a copy"), bytes, bytes, || {
        for raw in raws.iter().chain(raws) {
            black_box(&mut out[..raw.len()]).copy_from_slice(black_box(raw));
        }
    });
}

fn prost<M: prost::Message + Default>(table: &Table, name: &str, raws: &[Vec<u8>]) {
    let requests: Vec<M> = raws.iter().map(|raw| M::decode(&**raw).expect("protobuf")).collect();
    let mut out = Vec::new();
    table.row(name, length(raws), length(raws), || {
        for request in requests.iter().chain(&requests) {
            out.clear();
            black_box(request).encode(&mut out).expect("room");
        }
    });
}

fn length(bodies: &[Vec<u8>]) -> usize {
    bodies.iter().map(Vec::len).sum()
}

/// Where rows go.
struct Table {
    /// The name of the one row to measure.
    only: Option<String>,
    /// Of a window.
    samples: f64,
}

impl Table {
    /// Measures rounds of two windows.
    fn row(&self, name: &str, from: usize, to: usize, mut work: impl FnMut()) {
        let samples = 2.0 * self.samples;
        if let Some(only) = &self.only {
            if name.trim_start() == only {
                work();
                pass(&mut work);
                println!("{name}: {samples} samples");
            }
            return;
        }
        work();
        let before = allocations::count();
        work();
        let allocated = (allocations::count() - before) / 2;
        let ns = best(work) * 1e9 / samples;
        let [from, to] = [from, to].map(|bytes| bytes as f64 / self.samples);
        println!("{name:<34} {ns:>10.2} {from:>10.1} {to:>10.1} {allocated:>12}");
    }
}

/// What is measured, and nothing else.
#[inline(never)]
fn pass(work: &mut impl FnMut()) {
    work();
}

/// Two windows with all values as they are a second apart.
fn windows(targets: u32) -> Vec<Arc<Window>> {
    let mut pool = Pool::new(2);
    let mut blocks: Vec<(Block, Vec<u32>)> = (0..targets).map(block).collect();
    let close = |body: &str| {
        for (block, slots) in &mut blocks {
            let values = text(body.as_bytes()).filter_map(|event| match event {
                Ok(Event::Sample(sample)) => Some(sample.value),
                _ => None,
            });
            slots.iter().zip(values).for_each(|(slot, value)| block.set(*slot, value));
            block.touch();
        }
        pool.close(|window| {
            window.begin(1_700_000_000_000, true);
            blocks.iter_mut().for_each(|(block, _)| window.take(Source::Scrape, block));
        })
    };
    BODIES.map(close).into_iter().flatten().collect()
}

/// The series of the first body, as a target has them.
fn block(number: u32) -> (Block, Vec<u32>) {
    let mut block = Block::default();
    let mut slots = Vec::new();
    for event in text(BODIES[0].as_bytes()) {
        if let Event::Sample(sample) = event.expect("a sound body") {
            let family = block.family(&sample.name, Kind::Gauge, "Some words about what this metric is.", "");
            let own = sample.labels.block();
            let comma = if own.is_empty() { "" } else { "," };
            let labels = format!("instance=\"10.0.{number}.1:9100\",job=\"node\"{comma}{own}");
            slots.push(block.add(family, Suffix::None, &labels).expect("a slot"));
        }
    }
    (block, slots)
}

/// The best of many rounds, in seconds.
fn best(mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 0.4 {
        let start = Instant::now();
        pass(&mut work);
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}
