//! Remote write, read back by somebody else's decoder.

#[path = "support/proto.rs"]
mod proto;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/source.rs"]
mod source;

use observer_aggregate::{
    family::{Kind, Suffix},
    series::{Block, STALE},
};
use observer_export::remote_write::{Options, Version};

use self::{
    receiver::{Key, Point},
    source::Pipe,
};

const BOTH: [Version; 2] = [Version::V1, Version::V2];

fn key(labels: &[(&str, &str)]) -> Key {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn value(value: f64) -> Point {
    Point::Value(value.to_bits(), 0)
}

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
