use super::{
    text::{PIECES, SHORT},
    *,
};
use crate::window::{Pool, Source, Window};

fn family(name: &'static str, samples: &[(&str, f64)]) -> Family {
    let sample = |(labels, value): &(&str, f64)| Sample {
        suffix: Suffix::None,
        labels: (*labels).into(),
        value: *value,
        timestamp_ms: None,
        native: None,
    };
    Family {
        name: name.into(),
        kind: Kind::Gauge,
        samples: samples.iter().map(sample).collect(),
        ..Family::default()
    }
}

/// What a window shows of the block, series that end in it as `None`.
fn told(block: &mut Block) -> Vec<(String, Option<f64>)> {
    let mut window = Window::default();
    window.begin(0, true);
    window.take(Source::Node, block);
    let mut lines = Vec::new();
    for view in window.views() {
        for (head, slots) in view.layout.families() {
            for slot in slots {
                let value = view.values[*slot as usize];
                let line = format!("{}{{{}}}", head.name, view.layout.labels(*slot));
                if is_stale(value) {
                    lines.push((line, None));
                } else if is_present(value) {
                    lines.push((line, Some(value)));
                }
            }
        }
    }
    lines
}

#[track_caller]
fn check(block: &mut Block, families: &[Family], expected: &[(&str, Option<f64>)]) {
    block.read(families.iter());
    let expected: Vec<_> = expected.iter().map(|(line, value)| ((*line).to_owned(), *value)).collect();
    assert_eq!(told(block), expected);
}

#[test]
fn what_is_missing_ends_once() {
    let mut block = Block::default();
    let (a, b) = (family("m", &[("x=\"1\"", 1.0), ("x=\"2\"", 2.0)]), family("m", &[("x=\"2\"", 3.0)]));
    check(&mut block, &[a], &[("m{x=\"1\"}", Some(1.0)), ("m{x=\"2\"}", Some(2.0))]);
    // Behind the rest: its place belongs to nobody any more.
    check(&mut block, std::slice::from_ref(&b), &[("m{x=\"2\"}", Some(3.0)), ("m{x=\"1\"}", None)]);
    check(&mut block, &[b], &[("m{x=\"2\"}", Some(3.0))]);
    assert_eq!(block.len(), 1);
}

#[test]
fn a_series_that_is_back_before_its_end_was_told_goes_on() {
    let mut block = Block::default();
    let (both, one) = (family("m", &[("a", 1.0), ("b", 2.0)]), family("m", &[("b", 3.0)]));
    check(&mut block, std::slice::from_ref(&both), &[("m{a}", Some(1.0)), ("m{b}", Some(2.0))]);
    block.read([&one].into_iter());
    check(&mut block, &[both], &[("m{a}", Some(1.0)), ("m{b}", Some(2.0))]);
}

#[test]
fn families_stay_together_in_the_order_of_their_source() {
    let mut block = Block::default();
    let first = [family("m", &[("a", 1.0)]), family("n", &[("", 2.0)])];
    check(&mut block, &first, &[("m{a}", Some(1.0)), ("n{}", Some(2.0))]);
    let grown = [family("m", &[("b", 3.0), ("a", 1.0)]), family("n", &[("", 2.0)])];
    check(&mut block, &grown, &[("m{b}", Some(3.0)), ("m{a}", Some(1.0)), ("n{}", Some(2.0))]);
}

#[test]
fn a_source_that_is_gone_ends_all_and_keeps_the_slots() {
    let mut block = Block::default();
    let families = [family("m", &[("a", 1.0), ("b", 2.0)])];
    check(&mut block, &families, &[("m{a}", Some(1.0)), ("m{b}", Some(2.0))]);
    let before = block.changes();
    block.end_all();
    assert_eq!(told(&mut block), [("m{a}".to_owned(), None), ("m{b}".to_owned(), None)]);
    assert_eq!(told(&mut block), []);
    check(&mut block, &families, &[("m{a}", Some(1.0)), ("m{b}", Some(2.0))]);
    // It went and came.
    assert_eq!(block.changes(), before + 2);
}

#[test]
fn a_window_keeps_what_it_was_given() {
    let mut block = Block::default();
    let mut pool = Pool::new(2);
    let mut close = |block: &mut Block| {
        pool.close(|window| {
            window.begin(0, true);
            window.take(Source::Node, block);
        })
        .expect("two are enough for one reader")
    };
    block.read([&family("m", &[("a", 1.0)])].into_iter());
    let first = close(&mut block);
    block.read([&family("n", &[("b", 2.0), ("c", 3.0)])].into_iter());
    let second = close(&mut block);
    let names = |window: &Window| -> Vec<String> {
        let view = window.views().next().expect("one block");
        families(view.layout, view.values, view.times).iter().map(|f| f.name.to_string()).collect()
    };
    assert_eq!((names(&first), names(&second)), (vec!["m".to_owned()], vec!["n".to_owned()]));
}

#[test]
fn text_of_series_that_are_gone_is_let_go() {
    let mut block = Block::default();
    let slot = |block: &mut Block, n: usize| {
        let family = block.family("m", Kind::Gauge, "", "");
        block.add(family, Suffix::None, &format!("{n:0>200}")).expect("a short block")
    };
    let kept = slot(&mut block, 0);
    block.set(kept, 7.0);
    for n in 1..20_000 {
        let slot = slot(&mut block, n);
        block.set(slot, 1.0);
        block.remove(slot);
        block.told();
    }
    assert!(block.memory().1 < 4 * CHUNK, "{:?}", block.memory());
    assert_eq!(told(&mut block), [(format!("m{{{:0>200}}}", 0), Some(7.0))]);
}

#[test]
fn families_without_series_are_let_go() {
    let mut block = Block::default();
    for n in 0..1_000 {
        let family = block.family(&format!("m{n}"), Kind::Gauge, "", "");
        let slot = block.add(family, Suffix::None, "").expect("a short block");
        block.told();
        block.remove(slot);
        block.told();
    }
    assert!(block.layout().heads.len() <= 65, "{}", block.layout().heads.len());
}

#[test]
fn a_label_block_that_fits_no_chunk_is_refused() {
    let mut block = Block::default();
    let family = block.family("m", Kind::Gauge, "", "");
    assert_eq!(block.add(family, Suffix::None, &"x".repeat(CHUNK)), None);
    assert!(block.add(family, Suffix::None, &"x".repeat(CHUNK - 1)).is_some());
}

#[test]
fn times_are_kept_where_there_are_any() {
    let mut block = Block::default();
    let mut with_time = family("m", &[("a", 1.0), ("b", 2.0)]);
    block.read([&with_time].into_iter());
    assert!(block.times().is_empty());
    with_time.samples[1].timestamp_ms = Some(5);
    block.read([&with_time].into_iter());
    assert_eq!(families(block.layout(), block.values(), block.times()), [with_time]);
}

#[test]
fn what_is_being_written_stays_as_the_window_before_had_it() {
    let (mut block, mut other) = (Block::default(), Block::default());
    let gauge = |value| family("a", &[("", value)]);
    block.read([&gauge(1.0)].into_iter());
    other.read([&gauge(2.0)].into_iter());
    let mut before = Window::default();
    before.begin(1000, true);
    before.take(Source::Node, &mut other);
    before.take(Source::Scrape, &mut block);
    before.hide(1, &[0]);

    block.read([&gauge(3.0)].into_iter());
    let mut window = Window::default();
    window.begin(2000, true);
    assert!(window.keep(block.id(), &before));
    assert!(!window.keep(u64::MAX, &before));
    let kept = window.view(0);
    assert_eq!((kept.source, kept.fresh, kept.values), (Source::Scrape, false, &[1.0][..]));

    let mut next = Window::default();
    next.begin(3000, true);
    next.take(Source::Scrape, &mut block);
    assert_eq!((next.view(0).fresh, next.view(0).values), (true, &[3.0][..]));
    next.begin(4000, true);
    assert!(next.keep(block.id(), &window));
    assert_eq!((next.blocks(), next.view(0).values), (1, &[1.0][..]));
}

#[test]
fn a_native_histogram_is_told_as_long_as_its_series_lives() {
    let native = |count| Native { count, sum: 2.0 * count, ..Native::default() };
    let family = |count: f64| {
        let mut family = family("h", &[("x=\"1\"", count)]);
        family.samples[0].suffix = Suffix::Native;
        family.samples[0].native = Some(Box::new(native(count)));
        family
    };
    let (mut block, mut pool) = (Block::default(), Pool::new(2));
    let mut told = |families: &[Family]| {
        block.read(families.iter());
        let window = pool.close(|window| {
            window.begin(0, true);
            window.take(Source::Kernel, &mut block);
        });
        let window = window.expect("nobody holds one");
        let view = window.views().next().expect("one block");
        let slot = view.layout.order().first();
        slot.map(|slot| (is_stale(view.values[*slot as usize]), view.native(*slot).cloned()))
    };
    assert_eq!(told(&[family(3.0)]), Some((false, Some(native(3.0)))));
    assert_eq!(told(&[family(4.0)]), Some((false, Some(native(4.0)))));
    assert_eq!(told(&[]), Some((true, Some(native(4.0)))));
    assert_eq!(told(&[]), None);
}

#[test]
fn text_that_windows_were_reading_is_put_together_again() {
    let mut block = Block::default();
    let family = block.family("f", Kind::Gauge, "", "");
    let mut before = Arc::clone(block.layout());
    for nth in 0..500 {
        let slot = block.add(family, Suffix::None, &format!("n=\"{nth}\"")).expect("a slot");
        block.set(slot, f64::from(nth));
        block.settle();
        // As a window does: what it has stays as it is.
        let seen = std::mem::replace(&mut before, Arc::clone(block.layout()));
        block.told();
        assert!(block.layout().texts.chunks() <= PIECES + 1, "{nth}");
        assert_eq!(seen.len(), usize::try_from(nth).unwrap());
    }
    let labels: Vec<String> =
        block.layout().order().iter().map(|slot| block.layout().labels(*slot).to_string()).collect();
    assert_eq!(labels, (0..500).map(|nth| format!("n=\"{nth}\"")).collect::<Vec<_>>());
}

#[test]
fn a_window_has_the_exemplars_of_its_time() {
    let (mut block, mut pool) = (Block::default(), Pool::new(3));
    let family = block.family("m", Kind::Counter, "", "");
    let slot = block.add(family, Suffix::Total, "").expect("a slot");
    let mut close = |block: &mut Block| {
        pool.close(|window| {
            window.begin(0, true);
            window.take(Source::Scrape, block);
        })
        .expect("one is free")
    };
    let of = |window: &Window| {
        let exemplars = window.views().next().expect("one block").exemplars;
        exemplars.of(slot).iter().map(|of| (exemplars.labels(of).to_owned(), of.value)).collect::<Vec<_>>()
    };
    block.set_exemplar(slot, "t=\"a\"", 1.0, None);
    let first = close(&mut block);
    block.set_exemplar(slot, "t=\"b\"", 2.0, None);
    let second = close(&mut block);
    assert!(block.has_exemplar(slot));
    block.remove(slot);
    assert!(!block.has_exemplar(slot));
    assert_eq!((of(&first), of(&second)), (vec![("t=\"a\"".into(), 1.0)], vec![("t=\"b\"".into(), 2.0)]));
    drop(first);
    assert_eq!(of(&close(&mut block)), []);
}

#[test]
fn text_of_many_series_stays_right_while_some_come_and_go() {
    let mut block = Block::default();
    let family = block.family("f", Kind::Gauge, "", "");
    let text = |n: u32| format!("n=\"{n}\",{}", "x".repeat(n as usize % 90));
    let mut slots: Vec<(u32, u32)> =
        (0..3000).map(|n| (block.add(family, Suffix::None, &text(n)).expect("a slot"), n)).collect();
    let mut held = Vec::new();
    for round in 0..400 {
        for nth in 0..20 {
            let (slot, n) = &mut slots[(round * 7 + nth * 131) % 3000];
            block.remove(*slot);
            *n += 10_000;
            *slot = block.add(family, Suffix::None, &text(*n)).expect("a slot");
            block.set(*slot, 1.0);
        }
        block.settle();
        held.push(Arc::clone(block.layout()));
        held.drain(..held.len().saturating_sub(3));
        block.told();
        let live: usize = slots.iter().map(|(_, n)| text(*n).len()).sum();
        let held = block.layout().texts.memory_bytes();
        assert!(held < 2 * live, "round {round}: {held} bytes for {live}");
        assert!(block.layout().texts.chunks() <= PIECES + 2 * live / SHORT, "round {round}");
    }
    for (slot, n) in slots {
        assert_eq!(block.layout().labels(slot).to_string(), text(n));
    }
}

#[test]
fn a_block_that_is_arranged_keeps_what_it_needs() {
    let mut block = Block::default();
    let family = block.family("f", Kind::Gauge, "", "");
    let slots: Vec<u32> = (0..20)
        .map(|n| block.add(family, Suffix::None, &format!("n=\"{n}\",job=\"j\"")).expect("a slot"))
        .collect();
    block.arrange(slots.into_iter());
    let (_, reserved) = block.memory();
    assert!(reserved < 2048, "{reserved} bytes for 20 series");
}
