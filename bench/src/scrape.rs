//! Pages of real exporters, in this process: read against the one before, and by the full parser.

mod copies;
mod exporters;

use std::{hint::black_box, rc::Rc};

use crate::{
    Result,
    hot_path::{Table, delta, full_parser, print_head},
    machine,
};

/// Pages that follow each other, a second apart.
const SECONDS: usize = 4;

/// The sizes that pages are brought to, in series.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

pub(crate) fn run() -> Result<()> {
    println!("{}", machine::describe());
    let mut table = Table::new();
    for (name, pages) in exporters::pages(SECONDS)? {
        let series = copies::samples(&pages[0]).count();
        if series == 0 {
            return Err(format!("{name} has no samples").into());
        }
        let moved = copies::changed(&pages[0], &pages[1]);
        println!(
            "\n{name}: {series} series, {:.1} bytes a sample, {:.0} % of the lines change in a second\n",
            pages[0].len() as f64 / series as f64,
            moved as f64 * 100.0 / series as f64
        );
        print_head();
        for size in SIZES {
            let times = size.div_ceil(series);
            let bodies: Vec<Rc<Vec<u8>>> =
                pages.iter().map(|page| Rc::new(copies::of(page, times).into_bytes())).collect();
            let samples = series * times;
            let name = |what: &str| format!("{samples} series: {what}");
            delta(&mut table, &name("the same page"), samples, &bodies[..1])?;
            delta(&mut table, &name("pages a second apart"), samples, &bodies)?;
            full_parser(&mut table, &name("full parser"), samples, &bodies)?;
            let mut copy = bodies[0].to_vec();
            table.row(&name("memcpy"), samples, || {
                black_box(&mut copy[..]).copy_from_slice(black_box(&bodies[0]));
            })?;
        }
    }
    println!("\nafter: load average {}", machine::load_average());
    Ok(())
}
