//! Series that come and go for long: what is remembered of them does not grow.

use observer_aggregate::{
    family::{Kind, Suffix},
    series::{Block, STALE},
};
use observer_export::remote_write::{Options, Version};

use crate::{
    receiver::{key, value},
    source::{BOTH, Pipe, Rename},
};

/// Every window all series are replaced but one.
fn run(version: Version, rules: bool) {
    let mut pipe =
        Pipe::new(Options { relabel: rules.then(|| Box::new(Rename) as Box<_>), ..Options::new(version) });
    let mut block = Block::default();
    let family = block.family("x", Kind::Gauge, "", "");
    let stays = block.add(family, Suffix::None, "stays=\"yes\"").expect("a slot");
    let mut slots: Vec<u32> = Vec::new();
    let mut memory = 0;
    for window in 1..=120 {
        slots.drain(..).for_each(|slot| block.remove(slot));
        for n in 0..60 {
            let slot =
                block.add(family, Suffix::None, &format!("n=\"{n}\",window=\"{window}\"")).expect("a slot");
            block.set(slot, f64::from(n));
            slots.push(slot);
        }
        block.set(stays, 1.0);
        block.touch();
        pipe.window(1_700_000_000_000 + i64::from(window) * 1000, &mut [&mut block]);
        let now = pipe.encoder.totals().memory_bytes;
        if window == 60 {
            memory = now;
        }
        assert!(window < 60 || now < 2 * memory, "{now} bytes, {memory} before");
    }
    let received = pipe.received();
    assert_eq!(received.series.len(), 60 * 120 + 1);
    for (n, window) in [(0, 1), (59, 60), (30, 119)] {
        let end_ms = 1_700_000_000_000 + window * 1000;
        let name = key(&[("__name__", "x"), ("n", &n.to_string()), ("window", &window.to_string())]);
        assert_eq!(received.series[&name], [(end_ms, value(f64::from(n))), (end_ms + 1000, value(STALE))]);
    }
    assert_eq!(received.series[&key(&[("__name__", "x"), ("stays", "yes")])].len(), 120);
    // Those of the last window, and those whose end it tells.
    assert_eq!((pipe.encoder.totals().series, pipe.encoder.totals().ends_made_up), (121, 0));
}

#[test]
fn what_has_gone_is_forgotten() {
    for version in BOTH {
        [false, true].into_iter().for_each(|rules| run(version, rules));
    }
}

#[test]
fn a_help_text_that_changes_is_sent() {
    let mut pipe = Pipe::new(Options::new(Version::V2));
    let mut block = Block::default();
    let name = key(&[("__name__", "x")]);
    let family = block.family("x", Kind::Gauge, "Before.", "");
    block.add(family, Suffix::None, "").expect("a slot");
    for (end_ms, help) in [(1000, "Before."), (2000, "After."), (3000, "After.")] {
        let family = block.family("x", Kind::Gauge, help, "");
        assert_eq!(block.name(family), "x");
        block.set(0, 1.0);
        block.touch();
        pipe.window(end_ms, &mut [&mut block]);
        assert_eq!(pipe.received().metadata[&name].1, help);
    }
    assert_eq!(pipe.received().series[&name].len(), 3);
}
