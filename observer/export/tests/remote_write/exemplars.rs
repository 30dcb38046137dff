//! Exemplars go with the samples that they are examples of, once.

use observer_aggregate::{
    family::{Kind, Suffix},
    native::Native,
    series::{Block, STALE},
};
use observer_export::{
    Encode as _,
    remote_write::{Options, Version, decode::Request},
};

use crate::{
    receiver::{Key, Told, key},
    source::{BOTH, Pipe},
};

fn options(version: Version) -> Options {
    Options { send_exemplars: true, send_native: true, ..Options::new(version) }
}

/// Three counters in one block.
fn counters() -> (Block, [u32; 3]) {
    let mut block = Block::default();
    let family = block.family("requests", Kind::Counter, "How many.", "");
    let slot =
        |block: &mut Block, n| block.add(family, Suffix::Total, &format!("n=\"{n}\"")).expect("a slot");
    let slots = [1, 2, 3].map(|n| slot(&mut block, n));
    slots.iter().for_each(|slot| block.set(*slot, 1.0));
    block.touch();
    (block, slots)
}

fn named(n: &str) -> Key {
    key(&[("__name__", "requests_total"), ("n", n)])
}

fn told(labels: &[(&str, &str)], value: f64, time_ms: i64) -> Told {
    (key(labels), value.to_bits(), time_ms)
}

#[test]
fn an_exemplar_is_sent_once_with_its_own_time_or_that_of_its_sample() {
    for version in BOTH {
        let mut pipe = Pipe::new(options(version));
        let (mut block, [a, b, _]) = counters();
        block.set_exemplar(a, "trace_id=\"1\",empty=\"\",text=\"a\\\"b\\\\c\\n\"", 0.5, Some(7));
        block.set_exemplar(b, "", 2.0, None);
        pipe.window(1000, &mut [&mut block]);
        block.touch();
        pipe.window(2000, &mut [&mut block]);
        block.set_exemplar(b, "n=\"requests_total\"", 2.0, None);
        block.touch();
        pipe.window(3000, &mut [&mut block]);
        let exemplars = &pipe.received().exemplars;
        assert_eq!(exemplars.len(), 2, "{version:?}");
        let first = told(&[("trace_id", "1"), ("text", "a\"b\\c\n")], 0.5, 7);
        assert_eq!(exemplars[&named("1")], [first]);
        let seconds = [told(&[], 2.0, 1000), told(&[("n", "requests_total")], 2.0, 3000)];
        assert_eq!(exemplars[&named("2")], seconds);
        assert!(pipe.received().series.values().all(|points| points.len() == 3));
        assert_eq!(pipe.encoder.totals().exemplars, 3);
    }
}

#[test]
fn an_exemplar_of_a_window_that_was_passed_over_goes_with_the_next() {
    for version in BOTH {
        let mut pipe = Pipe::new(options(version));
        let (mut block, [a, _, c]) = counters();
        pipe.window(1000, &mut [&mut block]);
        block.set_exemplar(a, "t=\"1\"", 1.0, Some(7));
        block.touch();
        let window = pipe.close(2000, &mut [&mut block]);
        pipe.encoder.skip(&window);
        drop(window);
        pipe.window(3000, &mut [&mut block]);
        // The encoder does not see this one at all.
        block.set_exemplar(c, "t=\"2\"", 2.0, Some(8));
        block.touch();
        pipe.close(4000, &mut [&mut block]);
        block.touch();
        pipe.window(5000, &mut [&mut block]);
        let exemplars = &pipe.received().exemplars;
        assert_eq!(exemplars[&named("1")], [told(&[("t", "1")], 1.0, 7)], "{version:?}");
        assert_eq!(exemplars[&named("3")], [told(&[("t", "2")], 2.0, 8)], "{version:?}");
    }
}

#[test]
fn nothing_is_sent_of_a_series_that_has_ended_or_where_it_is_not_wanted() {
    for version in BOTH {
        for send in [true, false] {
            let mut pipe = Pipe::new(Options { send_exemplars: send, ..options(version) });
            let (mut block, [a, b, _]) = counters();
            pipe.window(1000, &mut [&mut block]);
            block.set_exemplar(a, "t=\"1\"", 1.0, Some(7));
            block.set(a, STALE);
            block.set_exemplar(b, "t=\"2\"", 2.0, Some(8));
            block.touch();
            pipe.window(2000, &mut [&mut block]);
            let exemplars: Vec<_> = pipe.received().exemplars.keys().cloned().collect();
            assert_eq!(exemplars, if send { vec![named("2")] } else { vec![] });
        }
    }
}

#[test]
fn a_native_histogram_has_those_that_are_new() {
    for version in BOTH {
        let mut pipe = Pipe::new(options(version));
        let mut block = Block::default();
        let family = block.family("seconds", Kind::Histogram, "", "");
        let slot = block.add(family, Suffix::Native, "").expect("a slot");
        let mut window = |end_ms, of: &[(&str, i64)]| {
            let Native { count, .. } = block.set_native(slot, 3.0);
            *count = 3.0;
            block.begin_exemplars(slot);
            for (labels, time) in of {
                if !block.keep_exemplar(slot, labels, 0.5, Some(*time)) {
                    block.add_exemplar(slot, labels, 0.5, Some(*time));
                }
            }
            block.finish_exemplars(slot);
            block.touch();
            pipe.window(end_ms, &mut [&mut block]);
        };
        window(1000, &[("t=\"1\"", 8), ("t=\"2\"", 7)]);
        window(2000, &[("t=\"1\"", 8), ("t=\"3\"", 9)]);
        let sent = [("2", 7), ("1", 8), ("3", 9)].map(|(t, time)| told(&[("t", t)], 0.5, time));
        assert_eq!(pipe.received().exemplars[&key(&[("__name__", "seconds")])], sent, "{version:?}");
        assert_eq!(pipe.received().series.values().map(Vec::len).sum::<usize>(), 2);
    }
}

#[test]
fn samples_with_times_of_their_own_and_of_creation_have_exemplars_too() {
    for version in BOTH {
        let mut pipe = Pipe::new(options(version));
        let (mut block, [a, b, _]) = counters();
        let family = block.family("requests", Kind::Counter, "How many.", "");
        let created = block.add(family, Suffix::Created, "n=\"2\"").expect("a slot");
        block.set(created, 0.5);
        block.set_at(a, 1.0, Some(900));
        block.set_exemplar(a, "t=\"1\"", 1.0, None);
        block.set_exemplar(b, "t=\"2\"", 2.0, None);
        pipe.window(1000, &mut [&mut block]);
        let exemplars = &pipe.received().exemplars;
        assert_eq!(exemplars[&named("1")], [told(&[("t", "1")], 1.0, 900)], "{version:?}");
        assert_eq!(exemplars[&named("2")], [told(&[("t", "2")], 2.0, 1000)], "{version:?}");
        let started = if version == Version::V2 { 500 } else { 0 };
        assert_eq!(
            pipe.received().series[&named("2")],
            [(1000, crate::receiver::Point::Value(1.0_f64.to_bits(), started))]
        );
    }
}

/// Values and times are those of windows without exemplars, however many there are and where.
#[test]
fn exemplars_change_nothing_else() {
    for version in BOTH {
        let limited =
            |send_exemplars| Options { send_exemplars, max_samples: 700, lanes: 2, ..options(version) };
        let mut pipes = [true, false].map(|send| Pipe::new(limited(send)));
        let mut block = Block::default();
        let family = block.family("requests", Kind::Counter, "How many.", "");
        let slots: Vec<u32> = (0..2000)
            .map(|n| {
                block.add(family, Suffix::Total, &format!("path=\"/{}\",n=\"{n}\"", n % 7)).expect("a slot")
            })
            .collect();
        for round in 0..12_u32 {
            for slot in &slots {
                block.set(*slot, f64::from(round * slot));
                if (slot * 31 + round) % (3 + 20 * (round % 3)) == 0 {
                    let labels = format!("trace_id=\"{:032x}\",n=\"{slot}\"", slot * 100 + round);
                    block.set_exemplar(*slot, &labels, f64::from(round), Some(i64::from(round)));
                }
            }
            block.touch();
            let end_ms = 1_700_000_000_000 + i64::from(round) * 1000;
            let window = pipes[0].close(end_ms, &mut [&mut block]);
            pipes.iter_mut().for_each(|pipe| pipe.send(&window));
        }
        let [with, without] = pipes.each_ref().map(Pipe::received);
        assert_eq!(with.series, without.series, "{version:?}");
        let sent = with.exemplars.values().map(Vec::len).sum::<usize>();
        assert!(sent > 2000 && sent as u64 == block.exemplars().newest(), "{sent}");
        assert!(without.exemplars.is_empty());
    }
}

#[test]
fn names_of_any_characters_are_for_version_2() {
    for (version, name) in BOTH.into_iter().zip(["a_b", "a.b"]) {
        let mut pipe = Pipe::new(options(version));
        let (mut block, [a, ..]) = counters();
        block.set_exemplar(a, "\"a.b\"=\"1\"", 1.0, Some(1));
        pipe.window(1000, &mut [&mut block]);
        assert_eq!(pipe.received().exemplars[&named("1")], [told(&[(name, "1")], 1.0, 1)]);
    }
}

/// A queued request of version 2.0 keeps its exemplars when its receiver turns out to speak 1.0 only, or when it is halved.
#[test]
fn exemplars_survive_what_is_made_of_a_request() {
    let mut pipe = Pipe::new(options(Version::V2));
    let (mut block, slots) = counters();
    slots.iter().for_each(|slot| block.set_exemplar(*slot, &format!("t=\"{slot}\""), 1.0, Some(9)));
    let window = pipe.close(1000, &mut [&mut block]);
    let body = pipe.bodies(&window).remove(0);
    let request = Request::read(Version::V2, &body, 1 << 20).expect("a request");
    let sent = |request: &Request| {
        let of = request.series().into_iter().flat_map(|series| series.exemplars);
        of.map(|exemplar| (exemplar.labels[0].1.to_owned(), exemplar.value, exemplar.time_ms))
            .collect::<Vec<_>>()
    };
    let all = slots.map(|slot| (slot.to_string(), 1.0, 9));
    assert_eq!(sent(&request), all);
    let older = request.to_version_1().expect("version 1");
    assert_eq!(older.exemplars, 3);
    assert_eq!(sent(&Request::read(Version::V1, &older.body, 1 << 20).expect("a request")), all);
    let halves = request
        .part(|index| index < 1)
        .expect("halves")
        .map(|half| sent(&Request::read(Version::V2, &half.body, 1 << 20).expect("a request")));
    assert_eq!(halves.concat(), all);
}

/// The exemplars of a window in which their series ends go with nothing.
#[test]
fn an_exemplar_of_a_series_that_ends_with_it_is_counted() {
    for version in BOTH {
        let mut pipe = Pipe::new(options(version));
        let (mut block, [a, b, _]) = counters();
        pipe.window(1000, &mut [&mut block]);
        block.set_exemplar(a, "t=\"1\"", 0.5, None);
        block.set_exemplar(b, "t=\"2\"", 0.5, None);
        block.set(a, STALE);
        block.touch();
        pipe.window(2000, &mut [&mut block]);
        block.touch();
        pipe.window(3000, &mut [&mut block]);
        assert_eq!(pipe.received().exemplars.len(), 1, "{version:?}");
        assert_eq!(pipe.encoder.totals().exemplars_untold, 1, "{version:?}");
    }
}
