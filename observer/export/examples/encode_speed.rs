//! What remote write costs a sample: our requests, their compression alone, prost's encoding, a copy of the same bytes.
//!
//! `cargo run --release -p observer-export --example encode_speed [TARGETS]`
//! Each target has the series of a node_exporter; one second its values are those of one body, the next those of another.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::{env, hint::black_box, sync::Arc, time::Instant};

use observer_aggregate::{
    family::{Kind, Suffix},
    series::Block,
    window::{Pool, Source, Window},
};
use observer_export::{
    Encode as _,
    remote_write::{Encoder, Options, Version, decode::Request},
};
use observer_exposition::{Event, text};

#[path = "../tests/remote_write/proto.rs"]
mod proto;

const BODIES: [&str; 2] = [
    include_str!("../../exposition/tests/bodies/node_exporter.txt"),
    include_str!("../../exposition/tests/bodies/node_exporter_1s.txt"),
];

fn main() {
    let targets = env::args().nth(1).map_or(20, |targets| targets.parse().expect("a number of targets"));
    let windows = windows(targets);
    let samples = windows[0].len() as f64;
    println!("{targets} targets, {samples} samples a window\n");
    println!("{:<34} {:>10} {:>10} {:>10}", "", "ns/sample", "raw B", "wire B");
    for version in [Version::V1, Version::V2] {
        measure_version(version, &windows, samples);
    }
}

fn measure_version(version: Version, windows: &[Arc<Window>], samples: f64) {
    let mut encoder = Encoder::new(Options { metadata_interval_windows: 0, ..Options::new(version) });
    let empty = encoder.totals().memory_bytes;
    let mut bodies = Vec::new();
    // The first window is the one in which series are new, and some more are those in which they are looked at again.
    let mut slowest = [0.0_f64; 2];
    for (at, window) in windows.iter().cycle().take(30).enumerate() {
        bodies.clear();
        let start = Instant::now();
        encoder.window(window, &mut |batch| bodies.push(batch.body.to_vec()));
        let slowest = &mut slowest[at.min(1)];
        *slowest = slowest.max(start.elapsed().as_secs_f64());
    }
    let wire = bodies.iter().map(Vec::len).sum::<usize>() as f64 / samples;
    let raws: Vec<Vec<u8>> = bodies.iter().map(|body| raw(version, body)).collect();
    let bytes = raws.iter().map(Vec::len).sum::<usize>() as f64 / samples;
    let row = |name: &str, ns: f64, wire: f64| {
        println!("{:<34} {ns:>10.2} {bytes:>10.1} {wire:>10.1}", format!("{version:?} {name}"));
    };
    let mut serial = 0;
    let all = best(|| {
        serial += 1;
        encoder.window(&windows[serial % windows.len()], &mut |batch| {
            black_box(batch.body);
        });
    });
    row("window to bodies", all * 1e9 / samples, wire);
    let mut snappy = snap::raw::Encoder::new();
    let mut out = vec![0; raws.iter().map(|raw| snap::raw::max_compress_len(raw.len())).max().unwrap_or(0)];
    let packed = best(|| {
        for raw in &raws {
            black_box(snappy.compress(black_box(raw), &mut out).expect("room"));
        }
    });
    let searched = raws.iter().map(|raw| snappy.compress(raw, &mut out).expect("room")).sum::<usize>();
    row("snappy alone", packed * 1e9 / samples, searched as f64 / samples);
    let mut copy = vec![0; raws.iter().map(Vec::len).max().unwrap_or(0)];
    let copied = best(|| {
        for raw in &raws {
            black_box(&mut copy[..raw.len()]).copy_from_slice(black_box(raw));
        }
    });
    row("a copy", copied * 1e9 / samples, bytes);
    let prost = match version {
        Version::V1 => prost::<proto::WriteRequest>(&raws),
        Version::V2 => prost::<proto::Request>(&raws),
    };
    row("prost, from its own structures", prost * 1e9 / samples, bytes);
    let [first, later] = slowest.map(|seconds| seconds * 1e3);
    println!("    first window {first:.1} ms, slowest of the 29 behind it {later:.1} ms");
    let totals = encoder.totals();
    let each = (totals.memory_bytes - empty) as f64 / totals.series as f64;
    println!("    {each:.1} bytes a series remembered, {} requests a window\n", raws.len());
}

fn prost<M: prost::Message + Default>(raws: &[Vec<u8>]) -> f64 {
    let requests: Vec<M> = raws.iter().map(|raw| M::decode(&**raw).expect("protobuf")).collect();
    let mut out = Vec::new();
    best(|| {
        for request in &requests {
            out.clear();
            black_box(request).encode(&mut out).expect("room");
        }
    })
}

fn raw(version: Version, body: &[u8]) -> Vec<u8> {
    Request::read(version, body, 1 << 28).expect("a request").raw().to_vec()
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
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}
