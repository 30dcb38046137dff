//! What the hot paths cost, each by itself on one thread: nanoseconds, instructions, allocations.

mod bodies;
mod records;

use std::time::Duration;

pub(crate) use self::bodies::{delta, full_parser};
use crate::{
    Result, allocations,
    clock::{Started, timed},
    figures::Spread,
    machine,
    sys::Instructions,
};

/// How long each row is measured, and how often at most and at least.
const PATIENCE: Duration = Duration::from_millis(300);
const MOST: usize = 2000;
const LEAST: usize = 10;
/// Rounds before, in which memory is made.
const WARM: usize = 8;

pub(crate) fn run() -> Result<()> {
    println!("{}", machine::describe());
    println!("allocations are of a round: a body, a drained ring, or a window");
    let mut table = Table::new();
    print_head();
    for series in [1_000, 10_000, 100_000] {
        bodies::measure(&mut table, series)?;
    }
    records::measure(&mut table)?;
    println!("\nafter: load average {}", machine::load_average());
    Ok(())
}

/// Begins a table.
pub(crate) fn print_head() {
    println!(
        "\n| what | ns each: median (quartiles) | best | million/s | instructions each | allocations |\n\
         |---|---|---|---|---|---|"
    );
}

/// Where rows go.
pub(crate) struct Table {
    instructions: Option<Instructions>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let instructions = Instructions::open();
        if let Err(error) = &instructions {
            println!("instructions are not counted: {error}");
        }
        Self { instructions: instructions.ok() }
    }

    /// Measures rounds of so many units each.
    pub(crate) fn row(&mut self, what: &str, units: usize, mut work: impl FnMut()) -> Result<()> {
        for _ in 0..WARM {
            work();
        }
        let mut rounds = Vec::with_capacity(MOST);
        let count = || self.instructions.as_ref().and_then(Instructions::read);
        let (made, executed, began) = (allocations::count(), count(), Started::now());
        while rounds.len() < MOST && (rounds.len() < LEAST || began.elapsed() < PATIENCE) {
            let (took, ()) = timed(&mut work);
            rounds.push(took.as_secs_f64() * 1e9 / units as f64);
        }
        let (made, times) = (allocations::count() - made, rounds.len());
        let executed = count().zip(executed).map(|(after, before)| after - before);
        let best = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let spread = Spread::of(rounds).ok_or("no round")?;
        println!(
            "| {what} | {spread:.2} | {best:.2} | {:.1} | {} | {:.2} |",
            1e3 / spread.median,
            executed.map_or("-".to_owned(), |n| format!("{:.1}", n as f64 / (times * units) as f64)),
            made as f64 / times as f64
        );
        Ok(())
    }
}
