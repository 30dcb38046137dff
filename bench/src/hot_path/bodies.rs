//! From bodies to slots, and from slots to a closed window.

use std::{hint::black_box, rc::Rc};

use observer_aggregate::{
    family::{Kind, Suffix},
    rules::Rules,
    series::Block,
    stream::{Engine, Grouping, Output, Rule},
    window::{Pool, Source},
};
use observer_exposition::{Delta, Dialect, Event, FamilyInfo, Sample, Sink, text};

use super::Table;
use crate::{
    Result,
    targets::{Body, Change},
};

/// Bodies that follow each other.
const SECONDS: usize = 6;
/// Blocks that a window is made of, as many as there are series a body.
const BLOCKS: usize = 20;

/// A target's series, without relabelling and limits.
#[derive(Default)]
struct Fill(Block);

impl Sink for Fill {
    fn resolve(&mut self, family: &FamilyInfo<'_>, sample: &Sample<'_>) -> Option<u32> {
        let head = self.0.family(family.name, Kind::Unknown, family.help, family.unit);
        self.0.add(head, Suffix::None, sample.labels.block())
    }

    fn value(&mut self, slot: u32, value: f64, _: Option<i64>) {
        self.0.set(slot, value);
    }

    fn unchanged(&mut self, slots: &[u32], values: &[f64]) {
        self.0.set_each(slots, values);
    }
}

pub(super) fn measure(table: &mut Table, series: usize) -> Result<()> {
    let real = seconds(series, Change::Real);
    let all = seconds(series, Change::All);
    let samples = real[0].iter().filter(|byte| **byte == b'\n').count() - comments(&real[0]);
    let name = |what: &str| format!("{samples} series: {what}");
    delta(table, &name("the same body"), samples, &real[..1])?;
    delta(table, &name("a body of a second later"), samples, &real)?;
    delta(table, &name("every value changed"), samples, &all)?;
    full_parser(table, &name("full parser"), samples, &real)?;
    let mut copy = real[0].to_vec();
    table.row(&name("memcpy of the body"), samples, || {
        black_box(&mut copy[..]).copy_from_slice(black_box(&real[0]));
    })?;
    window(table, &name("close of a window"), samples, None)?;
    let rule = Rule {
        grouping: Grouping::By(Vec::new()),
        ..Rule::new("r".to_owned(), 1, vec![Output::Sum, Output::Rate])
    };
    window(table, &name("close, with a rule over all"), samples, Some(Rules::new(Engine::new(vec![rule])?)))
}

fn seconds(series: usize, change: Change) -> Vec<Rc<Vec<u8>>> {
    let mut body = Body::new(series, change, 0.0, false, 1);
    let mut next = || {
        body.step();
        Rc::clone(body.text())
    };
    (0..SECONDS).map(|_| next()).collect()
}

fn comments(body: &[u8]) -> usize {
    body.split(|byte| *byte == b'\n').filter(|line| line.first() == Some(&b'#')).count()
}

/// The whole text, without any memory of the body before.
pub(crate) fn full_parser(
    table: &mut Table,
    what: &str,
    samples: usize,
    bodies: &[Rc<Vec<u8>>],
) -> Result<()> {
    let mut next = bodies.iter().cycle();
    let mut refused = 0;
    table.row(what, samples, || {
        let body = next.next().map_or(&[][..], |body| body);
        let values = text(black_box(body)).filter_map(|event| match event {
            Ok(Event::Sample(sample)) => Some(sample.value),
            Ok(_) => None,
            Err(_) => {
                refused += 1;
                None
            }
        });
        black_box(values.sum::<f64>());
    })?;
    if refused == 0 { Ok(()) } else { Err("a body was refused".into()) }
}

/// Each body against the one before it, into slots of which a window then takes the values.
pub(crate) fn delta(table: &mut Table, what: &str, samples: usize, bodies: &[Rc<Vec<u8>>]) -> Result<()> {
    let (mut delta, mut fill, mut pool) = (Delta::new(Dialect::Text), Fill::default(), Pool::new(2));
    let mut next = bodies.iter().cycle();
    let mut sound = true;
    table.row(what, samples, || {
        let body = next.next().map_or(&[][..], |body| body);
        sound &= delta.decode(black_box(body), &mut fill).is_ok();
        fill.0.touch();
        // As every second: a window has the values, so that they are copied before they are written.
        pool.close(|window| {
            window.begin(0, true);
            window.take(Source::Scrape, &mut fill.0);
        });
    })?;
    if sound { Ok(()) } else { Err("a body was refused".into()) }
}

/// Closes windows of blocks each of which was written since the last.
fn window(table: &mut Table, what: &str, samples: usize, mut rules: Option<Rules>) -> Result<()> {
    let mut blocks: Vec<Block> = (0..BLOCKS).map(|_| Block::default()).collect();
    for (nth, block) in blocks.iter_mut().enumerate() {
        let family = block.family("m", Kind::Gauge, "", "");
        for series in 0..samples / BLOCKS {
            let slot = block.add(family, Suffix::None, &format!("block=\"{nth}\",series=\"{series}\""));
            block.set(slot.ok_or("labels too long")?, 1.0);
        }
    }
    let mut pool = Pool::new(2);
    let mut number = 0;
    table.row(what, samples, || {
        for block in &mut blocks {
            block.set(0, number as f64);
            block.touch();
        }
        number += 1;
        pool.close(|window| {
            window.begin(0, true);
            for block in &mut blocks {
                window.take(Source::Scrape, block);
            }
            if let Some(rules) = &mut rules {
                rules.close(window, number);
            }
        });
    })
}
