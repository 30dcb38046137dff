//! How fast bodies are read: against the one before, by the full parser, and beside a copy of the same bytes.
//!
//! `cargo run --release -p observer-exposition --example decode_speed [--only PART] [BODY BODY...]`
//! The bodies are of one exporter, in their order; without any, two of node_exporter that are kept with the tests.
//!
//! With `--only` one row is measured, by its name, and once when warm: for callgrind, which counts the instructions in `pass` alone
//! with `--toggle-collect='*decode_speed::pass*'`; the row says by how many samples to divide them.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::{collections::HashSet, env, fs, hint::black_box, time::Instant};

use observer_exposition::{
    Delta, Dialect, Error, Event, FamilyInfo, Sample, Sink, openmetrics, protobuf, protobuf::Value, text,
};

/// Takes values as an aggregator would: the last one, and that there was one.
#[derive(Default)]
struct Slots {
    values: Vec<f64>,
    seen: Vec<u8>,
}

impl Sink for Slots {
    fn resolve(&mut self, _: &FamilyInfo<'_>, _: &Sample<'_>) -> Option<u32> {
        self.values.push(0.0);
        self.seen.push(0);
        u32::try_from(self.values.len() - 1).ok()
    }

    fn value(&mut self, slot: u32, value: f64, _: Option<i64>) {
        self.values[slot as usize] = value;
        self.seen[slot as usize] = 1;
    }

    fn unchanged(&mut self, slots: &[u32], _: &[f64]) {
        for &slot in slots {
            self.seen[slot as usize] = 1;
        }
    }
}

/// The name of the one row to measure.
type Only = Option<String>;

fn main() {
    let mut paths: Vec<String> = env::args().skip(1).collect();
    let only = paths.iter().position(|arg| arg == "--only").map(|at| {
        paths.remove(at);
        paths.remove(at)
    });
    let bodies: Vec<String> = if paths.is_empty() {
        [
            include_str!("../tests/bodies/node_exporter.txt"),
            include_str!("../tests/bodies/node_exporter_1s.txt"),
        ]
        .map(str::to_owned)
        .to_vec()
    } else {
        paths.iter().map(|path| fs::read_to_string(path).expect("a body")).collect()
    };
    let every: Vec<String> = (0..4).map(|round| change_every_value(&bodies[0], round)).collect();
    let large: Vec<String> = bodies.iter().map(|body| multiply(body, 40)).collect();
    let large_every: Vec<String> = every.iter().map(|body| multiply(body, 40)).collect();
    let churn: Vec<String> = (0..20).map(|round| replace_some(&large[0], round)).collect();

    println!("{:<42} {:>10} {:>8} {:>10}", "", "ns/sample", "GB/s", "M/s");
    delta(&only, "delta, as a second later", &bodies);
    delta(&only, "delta, every value changes", &every);
    delta(&only, "delta, 40 times the body", &large);
    delta(&only, "delta, 40 times, every value changes", &large_every);
    delta(&only, "delta, 40 times, 1 in 1,000 lines is new", &churn);
    parse(&only, "full parser", &bodies, |body| text(body.as_bytes()));
    let open: Vec<String> = bodies.iter().map(|body| as_openmetrics(body)).collect();
    parse(&only, "full parser, OpenMetrics", &open, |body| openmetrics(body.as_bytes()));
    let bytes: &[u8] = include_bytes!("../tests/bodies/prometheus.pb");
    read_protobuf(&only, "protobuf, series of Prometheus", &[bytes; 10]);
    let native: &[u8] = include_bytes!("../tests/corpus/protobuf/native.pb");
    read_protobuf(&only, "protobuf, native histograms", &[native; 1_000]);
    measure(&only, "prometheus-parse", &bodies, |body| {
        let lines = black_box(body).lines().map(|line| Ok(line.to_owned()));
        black_box(prometheus_parse::Scrape::parse(lines).expect("a sound body"));
    });
    measure(&only, "memcpy", &bodies, {
        let mut copy = vec![0_u8; bodies.iter().map(String::len).max().unwrap_or(0)];
        move |body| black_box(&mut copy[..body.len()]).copy_from_slice(black_box(body.as_bytes()))
    });
}

fn delta(only: &Only, name: &str, bodies: &[String]) {
    let (mut delta, mut slots) = (Delta::new(Dialect::Text), Slots::default());
    let mut unchanged = 0;
    measure(only, name, bodies, |body| {
        let stats = delta.decode(black_box(body.as_bytes()), &mut slots).expect("a sound body");
        unchanged = stats.unchanged * 100 / stats.samples;
    });
    if only.is_some() {
        return;
    }
    let samples = samples(&bodies[0]);
    println!("    {unchanged} % unchanged, {} bytes a sample remembered", delta.memory_bytes() / samples);
}

/// Reads bodies in the protobuf format: each value, label, and bucket. A sample is a line of the text format, or a native histogram.
fn read_protobuf(only: &Only, name: &str, bodies: &[&[u8]]) {
    let samples = bodies.iter().map(|body| read_families(body).0).sum();
    let bytes = bodies.iter().map(|body| body.len()).sum();
    measure_of(only, name, bodies, (samples, bytes), |body| {
        black_box(read_families(black_box(body)));
    });
}

/// The samples of a body and the sum of what they have.
fn read_families(body: &[u8]) -> (usize, f64) {
    let (mut samples, mut sum) = (0, 0.0);
    for family in protobuf(body) {
        for metric in family.expect("a sound body").metrics() {
            let metric = metric.expect("a sound body");
            sum += metric.labels.iter().map(|label| label.value.len() as f64).sum::<f64>();
            let mut take = |value: f64| {
                samples += 1;
                sum += value;
            };
            match metric.value {
                Value::Counter { value, .. } | Value::Gauge(value) | Value::Untyped(value) => take(value),
                Value::Summary(summary) => {
                    take(summary.count as f64);
                    take(summary.sum);
                    summary.quantiles().for_each(|quantile| take(quantile.value));
                }
                Value::Histogram(histogram) => {
                    if let Some(native) = &histogram.native {
                        take(histogram.count);
                        native.positive.for_each(|_, count| sum += count);
                    } else {
                        // The bucket of all is there without being said.
                        [histogram.count, histogram.count, histogram.sum].into_iter().for_each(&mut take);
                        histogram.buckets().for_each(|bucket| take(bucket.cumulative_count));
                    }
                }
            }
        }
    }
    (samples, sum)
}

fn parse<'a, I: Iterator<Item = Result<Event<'a>, Error>>>(
    only: &Only,
    name: &str,
    bodies: &'a [String],
    events: impl Fn(&'a str) -> I,
) {
    measure(only, name, bodies, |body| {
        let mut sum = 0.0;
        for event in events(black_box(body)) {
            if let Event::Sample(sample) = event.expect("a sound body") {
                sum += sample.value;
            }
        }
        black_box(sum);
    });
}

/// Prints the best of many rounds over all bodies.
fn measure<'a>(only: &Only, name: &str, bodies: &'a [String], work: impl FnMut(&'a str)) {
    let samples = bodies.iter().map(|body| samples(body)).sum();
    let bytes = bodies.iter().map(String::len).sum();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    measure_of(only, name, &bodies, (samples, bytes), work);
}

/// As [`measure`] for bodies of so many samples and bytes.
fn measure_of<B: Copy>(
    only: &Only,
    name: &str,
    bodies: &[B],
    (samples, bytes): (usize, usize),
    mut work: impl FnMut(B),
) {
    let passes = (5_000_000 / bytes).max(1);
    if let Some(only) = only {
        if name == only {
            bodies.iter().for_each(|body| work(*body));
            pass(bodies, &mut work);
            println!("{name}: {samples} samples, {bytes} bytes");
        }
        return;
    }
    let mut best = f64::INFINITY;
    for _ in 0..40 {
        let start = Instant::now();
        for _ in 0..passes {
            pass(bodies, &mut work);
        }
        best = best.min(start.elapsed().as_secs_f64() / passes as f64);
    }
    let samples = samples as f64;
    println!(
        "{name:<42} {:>10.2} {:>8.2} {:>10.1}",
        best * 1e9 / samples,
        bytes as f64 / best / 1e9,
        samples / best / 1e6
    );
}

/// What is measured, and nothing else.
#[inline(never)]
fn pass<B: Copy>(bodies: &[B], work: &mut impl FnMut(B)) {
    bodies.iter().for_each(|body| work(*body));
}

fn samples(body: &str) -> usize {
    body.lines().filter(|line| !line.starts_with('#')).count()
}

/// The body in OpenMetrics: counters lose their `_total` in the metadata, or their type if they have none.
fn as_openmetrics(body: &str) -> String {
    let counters: HashSet<&str> = body.lines().filter_map(|line| counter(line)).collect();
    let names: HashSet<&str> = body.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let line = |line: &str| match line.split(' ').nth(2).filter(|_| line.starts_with('#')) {
        Some(name) if counters.contains(name) => match name.strip_suffix("_total") {
            // A gauge has the name that the counter would get.
            Some(stem) if names.contains(stem) => line.replacen(" counter", " unknown", 1),
            Some(stem) => line.replacen(name, stem, 1),
            None => line.replacen(" counter", " unknown", 1),
        },
        Some(_) => line.replacen(" untyped", " unknown", 1),
        None => line.to_owned(),
    };
    body.lines().map(|text| line(text) + "\n").chain(["# EOF\n".to_owned()]).collect()
}

fn counter(line: &str) -> Option<&str> {
    line.strip_prefix("# TYPE ")?.strip_suffix(" counter")
}

/// The body under many names.
fn multiply(body: &str, times: usize) -> String {
    let copy = |n: usize| {
        body.lines().map(move |line| match line.split_once(' ') {
            Some(("#", rest)) => format!("# {}copy{n}_{}\n", &rest[..5], &rest[5..]),
            _ => format!("copy{n}_{line}\n"),
        })
    };
    (0..times).flat_map(copy).collect()
}

/// Other digits in every value, of the same number.
fn change_every_value(body: &str, round: usize) -> String {
    let change = |(number, line): (usize, &str)| match line.rsplit_once(' ') {
        Some((series, value)) if !line.starts_with('#') => {
            let mut at = number + round;
            let digit = |char: char| {
                at += 7;
                if char.is_ascii_digit() { char::from(b"123456789"[at % 9]) } else { char }
            };
            // An exponent stays.
            let (mantissa, exponent) = value.split_at(value.find('e').unwrap_or(value.len()));
            format!("{series} {}{exponent}\n", mantissa.chars().map(digit).collect::<String>())
        }
        _ => format!("{line}\n"),
    };
    body.lines().enumerate().map(change).collect()
}

/// Another label value in one of 1,000 lines.
fn replace_some(body: &str, round: usize) -> String {
    let replace = |(number, line): (usize, &str)| {
        if number % 1000 == round * 50 && !line.starts_with('#') {
            line.replacen('{', &format!("{{round=\"{round}\","), 1) + "\n"
        } else {
            format!("{line}\n")
        }
    };
    body.lines().enumerate().map(replace).collect()
}
