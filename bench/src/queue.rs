//! What it costs to hand a unit of work to another thread, by several bounded queues.

use std::{hint, sync::mpsc, thread, time::Duration};

use crossbeam_channel as crossbeam;
use tokio::sync::mpsc as tokio_mpsc;

use crate::{Result, clock::Started, figures::Spread, machine, targets::Latencies};

/// A unit of work as shards take it: what and whose it is, its bytes by pointer, when it came. 64 bytes.
type Unit = [u64; 8];

const CAPACITY: usize = 1024;
const UNITS: u64 = 300_000;
/// Units a second when the delay is measured: twice what 10,000 targets hand over.
const PACE: u64 = 20_000;
const PACED: u64 = 10_000;
const ROUNDS: usize = 9;

type Send = Box<dyn FnMut(Unit) + std::marker::Send>;
type Receive = Box<dyn FnMut() -> Unit + std::marker::Send>;

/// Both ends of a new queue.
type Make = fn() -> (Send, Receive);

/// A queue, and how its reader waits.
const QUEUES: [(&str, Make); 7] = [
    ("std sync_channel, sleeping", std_sleeping),
    ("std sync_channel, spinning", std_spinning),
    ("tokio mpsc, sleeping", tokio_sleeping),
    ("tokio mpsc, spinning", tokio_spinning),
    ("crossbeam bounded, sleeping", crossbeam_sleeping),
    ("crossbeam bounded, spinning", crossbeam_spinning),
    ("rtrb, spinning", rtrb_spinning),
];

pub(crate) fn run() -> Result<()> {
    println!("{}", machine::describe());
    println!(
        "{} bytes a unit, {CAPACITY} places, {ROUNDS} rounds; delay at {PACE} units/s\n",
        size_of::<Unit>()
    );
    println!(
        "| queue, reader | million/s | delay P50, us | delay P99, us | P99 of the best round |\n|---|---|---|---|---|"
    );
    let mut rates = QUEUES.map(|_| Vec::new());
    let mut delays = QUEUES.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (nth, (_, queue)) in QUEUES.iter().enumerate() {
            rates[nth].push(throughput(queue())?);
            delays[nth].push(delay(queue())?);
        }
    }
    for (nth, (name, _)) in QUEUES.iter().enumerate() {
        let rate = Spread::of(rates[nth].iter().copied()).ok_or("no round")?;
        let p50 = Spread::of(delays[nth].iter().map(|delay| delay.0)).ok_or("no round")?;
        let p99 = Spread::of(delays[nth].iter().map(|delay| delay.1)).ok_or("no round")?;
        // Whoever else wants a CPU takes it for milliseconds; the best round shows the queue.
        let best = delays[nth].iter().map(|delay| delay.1).fold(f64::INFINITY, f64::min);
        println!("| {name} | {rate:.1} | {p50:.1} | {p99:.1} | {best:.1} |");
    }
    println!("\nafter: load average {}", machine::load_average());
    Ok(())
}

/// Millions of units a second when the writer never pauses.
fn throughput((mut send, mut receive): (Send, Receive)) -> Result<f64> {
    let started = Started::now();
    let reader = thread::spawn(move || (0..UNITS).fold(0, |sum: u64, _| sum.wrapping_add(receive()[0])));
    (0..UNITS).for_each(|nth| send([nth; 8]));
    let sum = reader.join().map_err(|_| "the reader panicked")?;
    let took = started.elapsed().as_secs_f64();
    if sum != UNITS * (UNITS - 1) / 2 {
        return Err("a queue has lost units".into());
    }
    Ok(UNITS as f64 / 1e6 / took)
}

/// Microseconds from one thread to the other, P50 and P99, when there is time between units.
fn delay((mut send, mut receive): (Send, Receive)) -> Result<(f64, f64)> {
    let started = Started::now();
    let nanos = move || u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let reader = thread::spawn(move || {
        let mut delays = Latencies::default();
        for _ in 0..PACED {
            let [sent, ..] = receive();
            delays.add(nanos().saturating_sub(sent));
        }
        delays
    });
    let between = Duration::from_secs(1) / u32::try_from(PACE)?;
    for nth in 0..u32::try_from(PACED)? {
        while started.elapsed() < between * nth {
            hint::spin_loop();
        }
        send([nanos(); 8]);
    }
    let delays = reader.join().map_err(|_| "the reader panicked")?.percentiles();
    // Nanoseconds went in, and it makes thousands of units of them.
    Ok((delays.p50, delays.p99))
}

/// Tries until it works.
fn spin<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        hint::spin_loop();
    }
}

const GONE: &str = "both ends live as long as the round";

fn std_sleeping() -> (Send, Receive) {
    let (tx, rx) = mpsc::sync_channel(CAPACITY);
    (Box::new(move |unit| tx.send(unit).expect(GONE)), Box::new(move || rx.recv().expect(GONE)))
}

fn std_spinning() -> (Send, Receive) {
    let (tx, rx) = mpsc::sync_channel(CAPACITY);
    (Box::new(move |unit| spin(|| tx.try_send(unit).ok())), Box::new(move || spin(|| rx.try_recv().ok())))
}

fn tokio_sleeping() -> (Send, Receive) {
    let (tx, mut rx) = tokio_mpsc::channel(CAPACITY);
    (
        Box::new(move |unit| tx.blocking_send(unit).expect(GONE)),
        Box::new(move || rx.blocking_recv().expect(GONE)),
    )
}

fn tokio_spinning() -> (Send, Receive) {
    let (tx, mut rx) = tokio_mpsc::channel(CAPACITY);
    (Box::new(move |unit| spin(|| tx.try_send(unit).ok())), Box::new(move || spin(|| rx.try_recv().ok())))
}

fn crossbeam_sleeping() -> (Send, Receive) {
    let (tx, rx) = crossbeam::bounded(CAPACITY);
    (Box::new(move |unit| tx.send(unit).expect(GONE)), Box::new(move || rx.recv().expect(GONE)))
}

fn crossbeam_spinning() -> (Send, Receive) {
    let (tx, rx) = crossbeam::bounded(CAPACITY);
    (Box::new(move |unit| spin(|| tx.try_send(unit).ok())), Box::new(move || spin(|| rx.try_recv().ok())))
}

fn rtrb_spinning() -> (Send, Receive) {
    let (mut tx, mut rx) = rtrb::RingBuffer::new(CAPACITY);
    (Box::new(move |unit| spin(|| tx.push(unit).ok())), Box::new(move || spin(|| rx.pop().ok())))
}
