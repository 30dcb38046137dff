//! Samples, ends and blocks.

use observer_aggregate::{
    family::{Kind, Suffix},
    series::{Block, STALE},
};
use observer_export::remote_write::{Options, Version};

use crate::{
    receiver::{key, value},
    source::{BOTH, Pipe, Rename},
};

#[test]
fn a_sample_arrives_as_it_is() {
    for version in BOTH {
        let mut pipe = Pipe::new(Options::new(version));
        let mut block = Block::default();
        let family = block.family("requests", Kind::Counter, "Requests so far.", "");
        let slot = block.add(family, Suffix::Total, r#"path="/a\\b",code="200""#).expect("a slot");
        block.set(slot, 42.5);
        block.touch();
        pipe.window(1_700_000_001_000, &mut [&mut block]);
        let name = key(&[("__name__", "requests_total"), ("code", "200"), ("path", "/a\\b")]);
        let received = pipe.received();
        assert_eq!(received.series[&name], [(1_700_000_001_000, value(42.5))]);
        assert!(received.is_done());
        match version {
            Version::V1 => {
                let [family] = &*received.families else { panic!("{:?}", received.families) };
                assert_eq!((family.kind, &*family.metric_family_name), (1, "requests_total"));
                assert_eq!((&*family.help, &*family.unit), ("Requests so far.", ""));
            }
            Version::V2 => {
                assert_eq!(received.metadata[&name], (1, "Requests so far.".to_owned(), String::new()));
            }
        }
    }
}

#[test]
fn only_what_came_in_the_window_is_sent() {
    for version in BOTH {
        let mut pipe = Pipe::new(Options::new(version));
        let mut block = Block::default();
        let family = block.family("x", Kind::Gauge, "", "");
        let slot = block.add(family, Suffix::None, "").expect("a slot");
        for (window, fresh) in [(1, true), (2, false), (3, true)] {
            block.set(slot, window as f64);
            if fresh {
                block.touch();
            }
            pipe.window(window * 1000, &mut [&mut block]);
        }
        let name = key(&[("__name__", "x")]);
        assert_eq!(pipe.received().series[&name], [(1000, value(1.0)), (3000, value(3.0))]);
    }
}

#[test]
fn an_end_is_told_once() {
    for version in BOTH {
        let mut pipe = Pipe::new(Options::new(version));
        let mut block = Block::default();
        let family = block.family("x", Kind::Gauge, "", "");
        let slot = block.add(family, Suffix::None, "a=\"1\"").expect("a slot");
        block.set(slot, 1.0);
        block.touch();
        pipe.window(1000, &mut [&mut block]);
        block.remove(slot);
        block.touch();
        pipe.window(2000, &mut [&mut block]);
        let other = block.add(family, Suffix::None, "a=\"2\"").expect("a slot");
        assert_eq!(other, slot, "the slot is used again");
        block.set(other, 2.0);
        block.touch();
        pipe.window(3000, &mut [&mut block]);
        let series = &pipe.received().series;
        assert_eq!(
            series[&key(&[("__name__", "x"), ("a", "1")])],
            [(1000, value(1.0)), (2000, value(STALE))]
        );
        assert_eq!(series[&key(&[("__name__", "x"), ("a", "2")])], [(3000, value(2.0))]);
    }
}

#[test]
fn an_end_that_no_window_told_is_told() {
    for version in BOTH {
        let mut pipe = Pipe::new(Options::new(version));
        let (mut block, mut lost) = (Block::default(), Block::default());
        let family = block.family("x", Kind::Gauge, "", "");
        let (a, b) = (block.add(family, Suffix::None, "a=\"1\""), block.add(family, Suffix::None, "a=\"2\""));
        let (a, b) = (a.expect("a slot"), b.expect("a slot"));
        let other = lost.family("y", Kind::Gauge, "", "");
        let y = lost.add(other, Suffix::None, "").expect("a slot");
        for (block, slot) in [(&mut block, a), (&mut lost, y)] {
            block.set(slot, 1.0);
            block.touch();
        }
        block.set(b, 2.0);
        pipe.window(1000, &mut [&mut block, &mut lost]);
        block.remove(a);
        block.touch();
        drop(pipe.close(2000, &mut [&mut block, &mut lost]));
        block.end_all();
        drop(pipe.close(3000, &mut [&mut block]));
        pipe.window(4000, &mut [&mut block]);
        let series = &pipe.received().series;
        let first = [(1000, value(1.0)), (3999, value(STALE))];
        assert_eq!(series[&key(&[("__name__", "x"), ("a", "1")])], first);
        assert_eq!(
            series[&key(&[("__name__", "x"), ("a", "2")])],
            [(1000, value(2.0)), (4000, value(STALE))]
        );
        assert_eq!(series[&key(&[("__name__", "y")])], [(1000, value(1.0)), (3999, value(STALE))]);
        assert_eq!(pipe.encoder.totals().ends_made_up, 3);
    }
}

#[test]
fn samples_with_a_time_of_their_own_keep_it_and_do_not_go_back() {
    for version in BOTH {
        let mut pipe = Pipe::new(Options::new(version));
        let mut block = Block::default();
        let family = block.family("x", Kind::Gauge, "", "");
        let slot = block.add(family, Suffix::None, "").expect("a slot");
        let other = block.add(family, Suffix::None, "a=\"1\"").expect("a slot");
        for (end, own) in
            [(1000, Some(500)), (2000, Some(500)), (3000, Some(400)), (4000, None), (5000, Some(9000))]
        {
            block.set_at(slot, end as f64, own);
            block.set_at(other, end as f64, None);
            block.touch();
            pipe.window(end, &mut [&mut block]);
        }
        block.end_all();
        pipe.window(6000, &mut [&mut block]);
        let series = &pipe.received().series;
        let own = [(500, value(1000.0)), (4000, value(4000.0)), (9000, value(5000.0)), (9001, value(STALE))];
        assert_eq!(series[&key(&[("__name__", "x")])], own);
        assert_eq!(series[&key(&[("__name__", "x"), ("a", "1")])].len(), 6);
        assert_eq!(pipe.encoder.totals().not_newer, 2);
    }
}

#[test]
fn external_labels_do_not_override_and_come_before_the_rules() {
    for version in BOTH {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut pipe = Pipe::new(Options {
            external_labels: vec![pair("a", "outside"), pair("zone", "here")],
            relabel: Some(Box::new(Rename)),
            ..Options::new(version)
        });
        let mut block = Block::default();
        let family = block.family("x", Kind::Gauge, "", "");
        let slots = ["a=\"own\"", "", "drop=\"1\"", "rename=\"y\"", "rename=\"y\",unseen=\"1\""]
            .map(|labels| block.add(family, Suffix::None, labels).expect("a slot"));
        for (end, ended) in [(1000, None), (2000, None), (3000, Some(slots[3])), (4000, None)] {
            slots.iter().for_each(|slot| block.set(*slot, f64::from(*slot)));
            if let Some(slot) = ended {
                block.remove(slot);
            }
            block.touch();
            pipe.window(end, &mut [&mut block]);
        }
        let received = pipe.received();
        let zone = ("zone", "here");
        assert_eq!(received.series[&key(&[("__name__", "x"), ("a", "own"), zone])].len(), 4);
        assert_eq!(received.series[&key(&[("__name__", "x"), ("a", "outside"), zone])].len(), 4);
        // Two became the same: the first goes first, the other when that has ended.
        let times: Vec<_> = received.series[&key(&[("__name__", "y"), ("a", "outside"), zone])].clone();
        assert_eq!(times, [(1000, value(3.0)), (2000, value(3.0)), (3000, value(STALE)), (4000, value(4.0))]);
        assert_eq!(received.series.len(), 3);
        let refused = pipe.encoder.totals().refused;
        assert_eq!((refused[0], refused[1]), (1, 1), "dropped and duplicate");
    }
}

#[test]
fn names_of_any_characters_are_for_version_2() {
    for version in BOTH {
        let mut pipe = Pipe::new(Options::new(version));
        let mut block = Block::default();
        let family = block.family("größe.x:y", Kind::Gauge, "", "");
        let slot = block.add(family, Suffix::None, r#""a.b"="ü",c="1""#).expect("a slot");
        block.set(slot, 1.0);
        block.touch();
        pipe.window(1000, &mut [&mut block]);
        let name = match version {
            Version::V1 => key(&[("__name__", "gr__e_x:y"), ("a_b", "ü"), ("c", "1")]),
            Version::V2 => key(&[("__name__", "größe.x:y"), ("a.b", "ü"), ("c", "1")]),
        };
        assert_eq!(pipe.received().series.keys().collect::<Vec<_>>(), [&name]);
    }
}

#[test]
fn a_time_of_creation_goes_with_all_series_of_its_labels() {
    let mut pipe = Pipe::new(Options::new(Version::V2));
    let mut block = Block::default();
    let family = block.family("x", Kind::Histogram, "", "");
    let samples = [
        (Suffix::Bucket, r#"a="1",le="+Inf""#, 3.0),
        (Suffix::Sum, r#"a="1""#, 6.0),
        (Suffix::Created, r#"a="1""#, 1.5),
        (Suffix::Sum, r#"a="2""#, 7.0),
    ];
    for (suffix, labels, value) in samples {
        let slot = block.add(family, suffix, labels).expect("a slot");
        block.set(slot, value);
    }
    block.touch();
    pipe.window(9000, &mut [&mut block]);
    let series = &pipe.received().series;
    let point = |value: f64, start| vec![(9000, crate::receiver::Point::Value(value.to_bits(), start))];
    assert_eq!(series[&key(&[("__name__", "x_bucket"), ("a", "1"), ("le", "+Inf")])], point(3.0, 1500));
    assert_eq!(series[&key(&[("__name__", "x_sum"), ("a", "1")])], point(6.0, 1500));
    assert_eq!(series[&key(&[("__name__", "x_created"), ("a", "1")])], point(1.5, 0));
    assert_eq!(series[&key(&[("__name__", "x_sum"), ("a", "2")])], point(7.0, 0));
}

#[test]
fn small_blocks_share_a_request_and_large_ones_are_cut() {
    for version in BOTH {
        let options = Options { max_samples: 500, max_bytes: 30_000, lanes: 3, ..Options::new(version) };
        let mut pipe = Pipe::new(Options { metadata_interval_windows: 0, ..options });
        let block = |name: &str, series: u32| {
            let mut block = Block::default();
            let family = block.family(name, Kind::Gauge, "", "");
            for n in 0..series {
                let slot =
                    block.add(family, Suffix::None, &format!("n=\"{n}\",job=\"{name}\"")).expect("a slot");
                block.set(slot, f64::from(n));
            }
            block.touch();
            block
        };
        let mut small: Vec<_> = (0..50).map(|n| block(&format!("small_{n}"), 9)).collect();
        let mut large = block("large", 2_300);
        pipe.window(1000, &mut small.iter_mut().collect::<Vec<_>>());
        assert_eq!(pipe.received().requests.len(), 1, "450 samples fit into one request");
        large.touch();
        pipe.window(2000, &mut [&mut large]);
        let requests = &pipe.received().requests[1..];
        assert!(
            requests.iter().all(|(_, samples, bytes)| *samples <= 500 && *bytes <= 30_000),
            "{requests:?}"
        );
        let lanes: std::collections::BTreeSet<u16> = requests.iter().map(|(lane, ..)| *lane).collect();
        assert_eq!(lanes.len(), 3, "{requests:?}");
        assert_eq!(pipe.received().series.len(), 2_750);
    }
}

#[test]
fn long_strings_do_not_make_a_request_of_each_series() {
    let options = Options { max_bytes: 40_000, ..Options::new(Version::V2) };
    let mut pipe = Pipe::new(options);
    let mut block = Block::default();
    let family = block.family("x", Kind::Gauge, "", "");
    for n in 0..100 {
        block.add(family, Suffix::None, &format!("n=\"{n}{}\"", "a".repeat(1000))).expect("a slot");
        block.set(n, 1.0);
    }
    block.touch();
    pipe.window(1000, &mut [&mut block]);
    assert_eq!((pipe.received().requests.len(), pipe.received().series.len()), (1, 100));
}

/// The bytes as the specifications and protobuf's encoding have them, written by hand.
#[test]
fn the_bytes_are_those_of_the_specification() {
    let mut block = Block::default();
    let family = block.family("up", Kind::Gauge, "", "");
    let slot = block.add(family, Suffix::None, "job=\"a\"").expect("a slot");
    block.set(slot, 1.0);
    let sample = *b"\x12\x10\x09\0\0\0\0\0\0\xf0\x3f\x10\x80\x80\xe9\x8b\xae\x31";
    let version_1 =
        [&b"\x0a\x2c\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01a"[..], &sample[..]]
            .concat();
    let version_2 = [
        &b"\x22\x00\x22\x08__name__\x22\x02up\x22\x03job\x22\x01a\x2a\x1c\x0a\x04\x01\x02\x03\x04"[..],
        &sample[..],
        b"\x2a\x02\x08\x02",
    ]
    .concat();
    for (version, expected) in [(Version::V1, version_1), (Version::V2, version_2)] {
        let mut pipe = Pipe::new(Options { metadata_interval_windows: 0, ..Options::new(version) });
        block.touch();
        let window = pipe.close(1_696_000_000_000, &mut [&mut block]);
        let raw = pipe.raw(&window);
        assert_eq!(raw, [expected], "{version:?}");
    }
}

#[test]
fn metadata_of_version_1_come_every_so_often() {
    let mut pipe = Pipe::new(Options { metadata_interval_windows: 3, ..Options::new(Version::V1) });
    let mut blocks = [Block::default(), Block::default()];
    for block in &mut blocks {
        let family = block.family("size_bytes", Kind::Gauge, "How large.", "bytes");
        block.add(family, Suffix::None, "").expect("a slot");
    }
    for window in 0..7 {
        let [a, b] = &mut blocks;
        pipe.window(window * 1000, &mut [a, b]);
    }
    let families = &pipe.received().families;
    let all: Vec<_> = families.iter().map(|f| (f.kind, &*f.metric_family_name, &*f.help, &*f.unit)).collect();
    assert_eq!(all, [(2, "size_bytes", "How large.", "bytes"); 3]);
}
