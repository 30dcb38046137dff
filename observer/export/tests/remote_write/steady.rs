//! Windows without a new series allocate nothing.

use std::fmt::Write as _;

use observer_aggregate::{
    family::{Kind, Suffix},
    native::Native,
    series::Block,
};
use observer_export::{
    Encode as _,
    remote_write::{Compression, Options, Version},
};

use crate::{
    allocations,
    source::{BOTH, Pipe, Rename},
};

fn end_ms(window: u32) -> i64 {
    1_700_000_000_000 + i64::from(window) * 1000
}

/// A target with gauges, native histograms, and samples that have a time of their own.
fn block(target: u32, series: u32) -> (Block, Vec<u32>, Vec<u32>) {
    let mut block = Block::default();
    let family = block.family("requests", Kind::Counter, "How many.", "");
    let labels = |n: u32| format!("instance=\"host-{target}\",job=\"web\",path=\"/{n}\"");
    let slots = (0..series).map(|n| block.add(family, Suffix::Total, &labels(n)).expect("a slot")).collect();
    let family = block.family("seconds", Kind::Histogram, "How long.", "seconds");
    let natives =
        (0..series / 20).map(|n| block.add(family, Suffix::Native, &labels(n)).expect("a slot")).collect();
    (block, slots, natives)
}

fn fill((block, slots, natives): &mut (Block, Vec<u32>, Vec<u32>), window: u32, trace: &mut String) {
    for slot in &*slots {
        let own = (block.id() % 2 == 0 && slot % 7 == 3).then_some(end_ms(window) - 10);
        block.set_at(*slot, f64::from(window * slot), own);
    }
    for slot in &*natives {
        let Native { positive, count, .. } = block.set_native(*slot, 3.0);
        positive.clear();
        positive.push(1, 3.0);
        *count = 3.0;
    }
    for slot in slots.iter().filter(|slot| (**slot + window).is_multiple_of(4)) {
        trace.clear();
        write!(trace, "trace_id=\"{:032x}\",n=\"{slot}\"", slot + window * 1000).expect("a String takes all");
        block.set_exemplar(*slot, trace, 0.5, None);
    }
    block.touch();
}

#[test]
fn sixty_warm_windows_allocate_nothing() {
    let snappy = BOTH.map(|version| (version, Compression::Snappy));
    let forms = snappy.into_iter().chain([(Version::V1, Compression::Zstd)]);
    for ((version, compression), relabel) in forms.flat_map(|form| [(form, false), (form, true)]) {
        let mut pipe = Pipe::new(Options {
            compression,
            max_samples: 300,
            lanes: 2,
            send_native: true,
            send_exemplars: true,
            metadata_interval_windows: 5,
            relabel: relabel.then(|| Box::new(Rename) as Box<_>),
            ..Options::new(version)
        });
        let mut blocks: Vec<_> = (0..5).map(|target| block(target, 200)).collect();
        let (mut allocated, mut sent, mut exemplars, mut bytes, mut memory) = (0, 0, 0, 0, 0);
        let mut trace = String::new();
        for window in 1..=80 {
            blocks.iter_mut().for_each(|block| fill(block, window, &mut trace));
            let closed =
                pipe.close(end_ms(window), &mut blocks.iter_mut().map(|b| &mut b.0).collect::<Vec<_>>());
            let before = allocations::count();
            pipe.encoder.window(&closed, &mut |batch| {
                sent += batch.samples + batch.histograms;
                exemplars += batch.exemplars;
                bytes += batch.body.len();
            });
            if window > 20 {
                allocated += allocations::count() - before;
            } else {
                memory = pipe.encoder.totals().memory_bytes;
            }
        }
        assert_eq!(allocated, 0, "{version:?}, {compression:?}");
        // Also what the counter does not see: zstd's own memory.
        assert_eq!(pipe.encoder.totals().memory_bytes, memory, "{version:?}, {compression:?}");
        assert_eq!((sent, exemplars), (80 * 5 * 210, 80 * 5 * 50));
        let before = allocations::count();
        drop(vec![bytes]);
        assert_eq!(allocations::count() - before, 1, "the allocator does not count");
    }
}

#[test]
fn a_series_takes_little_memory() {
    for (version, limit) in BOTH.into_iter().zip([100, 64]) {
        let mut pipe = Pipe::new(Options::new(version));
        let mut blocks: Vec<_> = (0..20).map(|target| block(target, 1000)).collect();
        let empty = pipe.encoder.totals().memory_bytes;
        for window in 1..4 {
            pipe.window(end_ms(window), &mut blocks.iter_mut().map(|block| &mut block.0).collect::<Vec<_>>());
        }
        let totals = pipe.encoder.totals();
        let each = (totals.memory_bytes - empty) / totals.series;
        assert!(each < limit, "{version:?}: {each} bytes a series");
    }
}
