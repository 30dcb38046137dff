//! Series that stay, whose compressed form is put together from what is known of it.

use std::collections::BTreeMap;

use observer_aggregate::{
    family::{Kind, Suffix},
    native::Native,
    series::{ABSENT, Block, STALE},
};
use observer_export::remote_write::{Compression, Options, Version};

use crate::{
    random::Random,
    receiver::{Key, Point, key, value},
    source::{BOTH, Pipe},
};

/// Labels that are alike, long, or like nothing else.
fn label(n: u32, random: &mut Random) -> String {
    match n % 9 {
        0 => "x".repeat(random.below(400) as usize + 1),
        1 => (0..random.below(90) + 1).map(|_| char::from(b'a' + random.below(26) as u8)).collect(),
        2 => "ab".repeat(random.below(60) as usize + 1),
        _ => format!("/some/path/{}", n / 2),
    }
}

/// Values that real series have, and some that are hard.
fn number(random: &mut Random) -> f64 {
    match random.below(9) {
        0 | 1 => 0.0,
        2 => random.below(100) as f64,
        3 => 1.0,
        4 => f64::NAN,
        5 => -0.0,
        6 => f64::from_bits(random.below(1 << 30) << 34 | random.below(1 << 30)),
        7 => f64::from_bits(random.below(1 << 30) | 1 << 62),
        _ => ABSENT,
    }
}

fn run(version: Version, compression: Compression, seed: u64) {
    let mut random = Random::new(seed);
    let options = Options { max_samples: 170, max_bytes: 60_000, send_native: true, ..Options::new(version) };
    let options = Options { compression, ..options };
    let mut pipe = Pipe::new(Options { metadata_interval_windows: 3, ..options });
    let mut block = Block::default();
    let family = block.family("requests", Kind::Counter, "", "");
    let add = |block: &mut Block, n: u32, random: &mut Random| {
        let path = label(n, random);
        let native = n % 50 == 7;
        let (suffix, name) =
            if native { (Suffix::Native, "requests") } else { (Suffix::Total, "requests_total") };
        let labels = format!("instance=\"a\",job=\"b\",n=\"{n}\",path=\"{path}\"");
        let slot = block.add(family, suffix, &labels).expect("a slot");
        let n = n.to_string();
        (
            slot,
            suffix,
            key(&[("__name__", name), ("instance", "a"), ("job", "b"), ("n", &n), ("path", &path)]),
        )
    };
    let mut series: Vec<_> = (0..400).map(|n| add(&mut block, n, &mut random)).collect();
    let mut expected: BTreeMap<Key, Vec<(i64, Point)>> = BTreeMap::new();
    let mut native = 0;
    for window in 0..24 {
        let end_ms = 1_700_000_000_000 + window * 1000;
        // Some go, and what comes takes the slots of those that went before.
        for n in 0..if window % 4 == 3 { random.below(9) as u32 } else { 0 } {
            let (slot, suffix, key) = series.swap_remove(random.below(series.len() as u64) as usize);
            block.remove(slot);
            if suffix == Suffix::Total {
                let points = expected.entry(key).or_default();
                if points.last().is_some_and(|last| last.1 != value(STALE)) {
                    points.push((end_ms, value(STALE)));
                }
            } else {
                native += 1;
            }
            series.push(add(&mut block, 1000 + 100 * window as u32 + 3 * n, &mut random));
        }
        for (slot, suffix, key) in &series {
            if *suffix == Suffix::Native {
                let Native { count, .. } = block.set_native(*slot, 1.0);
                *count = 1.0;
                native += 1;
                continue;
            }
            let number = number(&mut random);
            block.set(*slot, number);
            let points = expected.entry(key.clone()).or_default();
            let live = points.last().is_some_and(|last| last.1 != value(STALE));
            match number.to_bits() == ABSENT.to_bits() {
                false => points.push((end_ms, value(number))),
                true if live => points.push((end_ms, value(STALE))),
                true => {}
            }
        }
        block.touch();
        pipe.window(end_ms, &mut [&mut block]);
    }
    let received = &pipe.received().series;
    for (key, points) in expected.iter().filter(|(_, points)| !points.is_empty()) {
        assert_eq!(&received[key], points, "{version:?} {seed}");
    }
    assert_eq!(pipe.encoder.totals().histograms, native);
    let requests = &pipe.received().requests;
    assert!(
        requests.len() >= 72
            && requests.iter().all(|(_, samples, bytes)| *samples <= 170 && *bytes <= 60_000)
    );
}

#[test]
fn known_elements_make_the_same_bodies() {
    for version in BOTH {
        (1..4).for_each(|seed| run(version, Compression::Snappy, seed));
    }
}

#[test]
fn zstd_has_the_same_samples() {
    (1..4).for_each(|seed| run(Version::V1, Compression::Zstd, seed));
}

/// Series that stay beside many that come and go, until what all of them share is made anew; and a help text that changes.
#[test]
fn what_stays_is_right_when_what_it_shares_is_made_anew() {
    for version in BOTH {
        let mut pipe = Pipe::new(Options::new(version));
        let mut block = Block::default();
        let (stays, goes) = (
            block.family("stays", Kind::Gauge, "Before.", ""),
            block.family("goes", Kind::Gauge, "Short.", ""),
        );
        let add = |block: &mut Block, family, n: u32| {
            let slot = block.add(family, Suffix::None, &format!("id=\"{n}\",of=\"all\""));
            slot.expect("a slot")
        };
        let staying: Vec<u32> = (0..300).map(|n| add(&mut block, stays, n)).collect();
        let mut going: Vec<u32> = Vec::new();
        let windows = 60;
        for window in 0..windows {
            going.drain(..).for_each(|slot| block.remove(slot));
            going.extend((0..60).map(|n| add(&mut block, goes, 1000 * (window + 1) + n)));
            if window == windows / 2 {
                block.family("stays", Kind::Gauge, "Another text, and longer than before.", "");
            }
            for slot in staying.iter().chain(&going) {
                block.set(*slot, f64::from(slot * (window % 3)));
            }
            block.touch();
            pipe.window(1_700_000_000_000 + i64::from(window) * 1000, &mut [&mut block]);
        }
        let received = pipe.received();
        for (n, slot) in (0..300).zip(&staying) {
            let key = key(&[("__name__", "stays"), ("id", &u32::to_string(&n)), ("of", "all")]);
            let expected: Vec<_> = (0..windows)
                .map(|window| {
                    (1_700_000_000_000 + i64::from(window) * 1000, value(f64::from(slot * (window % 3))))
                })
                .collect();
            assert_eq!(received.series[&key], expected, "{version:?} {n}");
            if version == Version::V2 {
                assert_eq!(received.metadata[&key].1, "Another text, and longer than before.");
            }
        }
    }
}
