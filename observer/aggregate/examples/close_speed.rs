//! What closing a window costs: `cargo run --release -p observer-aggregate --example close_speed`.
//!
//! Every block is written between two closes, as targets are that are scraped once a second.

use std::{hint::black_box, time::Instant};

use observer_aggregate::{
    family::{Kind, Suffix},
    series::Block,
    window::{Pool, Source},
};

const ROUNDS: usize = 30;

fn block(series: usize) -> (Block, Vec<u32>) {
    let mut block = Block::default();
    let family = block.family("m", Kind::Gauge, "", "");
    let slots = (0..series).filter_map(|at| block.add(family, Suffix::None, &format!("series=\"{at}\"")));
    let slots: Vec<u32> = slots.collect();
    (block, slots)
}

#[expect(clippy::disallowed_methods, reason = "an example may look at the clock")]
fn main() {
    println!("| blocks x series | fresh | close, ms | writing, ns a value |\n|---|---|---|---|");
    for (blocks, series) in [(200, 1_000), (10_000, 20), (2_000, 1_000), (4_000, 1_000)] {
        for fresh in [1, 10] {
            let mut all: Vec<_> = (0..blocks).map(|_| block(series)).collect();
            let mut pool = Pool::new(3);
            let (mut closing, mut writing) = (Vec::new(), Vec::new());
            let mut held = None;
            for round in 0..ROUNDS {
                let values = vec![round as f64; series];
                let began = Instant::now();
                for (block, slots) in all.iter_mut().skip(round % fresh).step_by(fresh) {
                    block.set_each(slots, &values);
                    block.touch();
                }
                let wrote = Instant::now();
                let window = pool.close(|window| {
                    window.begin(0, true);
                    for (block, _) in &mut all {
                        window.take(Source::Scrape, block);
                    }
                });
                closing.push(wrote.elapsed().as_secs_f64() * 1e3);
                writing.push((wrote - began).as_secs_f64() * 1e9 / (blocks * series / fresh) as f64);
                held = black_box(window);
            }
            drop(held);
            let median = |list: &mut Vec<f64>| {
                list.sort_by(f64::total_cmp);
                list[list.len() / 2]
            };
            println!(
                "| {blocks} x {series} | 1/{fresh} | {:.3} | {:.2} |",
                median(&mut closing),
                median(&mut writing)
            );
        }
    }
}
