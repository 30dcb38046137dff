//! A body that many targets serve: rendered once a second, whatever their number.

use std::{io::Write as _, mem, rc::Rc};

use super::families::{FAMILIES, Family, Value};

/// What moves from one second to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Change {
    /// About a fifth of the values, as on a real node.
    Real,
    /// Every value.
    All,
    /// As `real`, and series are replaced by others.
    Churn,
}

impl Change {
    /// As it is written on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::All => "all",
            Self::Churn => "churn",
        }
    }
}

struct Series {
    /// What stands for `~` in the labels.
    number: usize,
    labels: &'static str,
    value: f64,
    /// Where its line starts in the text, and how long it is; 0 if it is not there yet.
    start: usize,
    len: usize,
    /// Bytes of name and labels, with the space after them.
    key: usize,
}

/// The series of one family stand together.
struct Block {
    family: &'static Family,
    series: Vec<Series>,
}

/// The series of a target, and their text.
pub(crate) struct Body {
    blocks: Vec<Block>,
    text: Rc<Vec<u8>>,
    /// An earlier text that nobody reads any more.
    spare: Vec<u8>,
    /// The same in OpenMetrics, if anybody may ask for it.
    openmetrics: Option<Rc<Vec<u8>>>,
    random: Random,
    change: Change,
    replaced_a_second: f64,
    /// Series due to be replaced; less than one is kept for the next second.
    due: f64,
    /// The next number that no series has had.
    next: usize,
    replaced: u64,
    changed: u64,
}

impl Body {
    /// `churn` is the share of series that [`Change::Churn`] replaces a minute. Bodies of one `seed` are the same.
    pub(crate) fn new(series: usize, change: Change, churn: f64, openmetrics: bool, seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let all: usize = FAMILIES.iter().map(|family| family.weight).sum();
        let mut weight = 0;
        let blocks = FAMILIES.iter().map(|family| {
            let before = series * weight / all;
            weight += family.weight;
            let numbers = 0..series * weight / all - before;
            Block { family, series: numbers.map(|nth| Series::new(family, nth, &mut random)).collect() }
        });
        let mut body = Self {
            blocks: blocks.filter(|block| !block.series.is_empty()).collect(),
            text: Rc::default(),
            spare: Vec::new(),
            openmetrics: openmetrics.then(Rc::default),
            random,
            change,
            replaced_a_second: if change == Change::Churn { series as f64 * churn / 60.0 } else { 0.0 },
            due: 0.0,
            next: series,
            replaced: 0,
            changed: 0,
        };
        body.render();
        body.changed = 0;
        body
    }

    pub(crate) fn text(&self) -> &Rc<Vec<u8>> {
        &self.text
    }

    /// The same in OpenMetrics, if [`Body::new`] was told to keep it.
    pub(crate) fn openmetrics(&self) -> Option<&Rc<Vec<u8>>> {
        self.openmetrics.as_ref()
    }

    /// Values that have changed, in all seconds so far.
    pub(crate) fn changed(&self) -> u64 {
        self.changed
    }

    /// Series that were replaced, in all seconds so far.
    pub(crate) fn replaced(&self) -> u64 {
        self.replaced
    }

    /// A second passes.
    pub(crate) fn step(&mut self) {
        self.due += self.replaced_a_second;
        while self.due >= 1.0 {
            self.due -= 1.0;
            self.replaced += 1;
            let block = self.random.below(self.blocks.len());
            let series = &mut self.blocks[block].series;
            let nth = self.random.below(series.len());
            (series[nth].number, series[nth].len) = (self.next, 0);
            self.next += 1;
        }
        self.render();
    }

    fn render(&mut self) {
        let Self { blocks, text, random, change, changed, .. } = self;
        let old: &[u8] = text;
        let mut new = mem::take(&mut self.spare);
        new.clear();
        new.reserve(old.len() + old.len() / 64);
        for Block { family, series } in blocks {
            comments(family.name, family, &mut new);
            for series in series {
                let start = new.len();
                let moved = family.value.step(&mut series.value, *change, random);
                *changed += u64::from(moved);
                if moved || series.len == 0 {
                    if series.len == 0 {
                        series.write_key(family, &mut new);
                        series.key = new.len() - start;
                    } else {
                        new.extend_from_slice(&old[series.start..series.start + series.key]);
                    }
                    write_number(family.value.shown(series.value), &mut new);
                    new.push(b'\n');
                    series.len = new.len() - start;
                } else {
                    new.extend_from_slice(&old[series.start..series.start + series.len]);
                }
                series.start = start;
            }
        }
        let old = mem::replace(text, Rc::new(new));
        self.spare = Rc::try_unwrap(old).unwrap_or_default();
        if let Some(openmetrics) = &mut self.openmetrics {
            *openmetrics = Rc::new(in_openmetrics(&self.blocks, &self.text));
        }
    }
}

fn in_openmetrics(blocks: &[Block], text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for Block { family, series } in blocks {
        comments(family.name.trim_end_matches("_total"), family, &mut out);
        if let (Some(first), Some(last)) = (series.first(), series.last()) {
            out.extend_from_slice(&text[first.start..last.start + last.len]);
        }
    }
    out.extend_from_slice(b"# EOF\n");
    out
}

fn comments(name: &str, family: &Family, out: &mut Vec<u8>) {
    out.extend_from_slice(
        format!("# HELP {name} {}\n# TYPE {name} {}\n", family.help, family.kind).as_bytes(),
    );
}

impl Series {
    fn new(family: &Family, nth: usize, random: &mut Random) -> Self {
        let labels = family.labels[nth % family.labels.len()];
        let value = family.value.first(random);
        Self { number: nth / family.labels.len(), labels, value, start: 0, len: 0, key: 0 }
    }

    fn write_key(&self, family: &Family, out: &mut Vec<u8>) {
        out.extend_from_slice(family.name.as_bytes());
        out.push(b'{');
        let labels = self.labels.replace('~', &self.number.to_string());
        out.extend_from_slice(labels.as_bytes());
        out.extend_from_slice(b"} ");
    }
}

impl Value {
    fn first(self, random: &mut Random) -> f64 {
        let up_to = |limit, random: &mut Random| random.below(limit) as f64;
        match self {
            Self::Zero => 0.0,
            Self::One => 1.0,
            Self::Still => 1500.0 + 4096.0 * up_to(1000, random),
            Self::Events => up_to(1_000_000_000, random),
            Self::RareEvents => up_to(5_000, random),
            Self::Seconds | Self::RareSeconds => up_to(10_000_000, random),
            Self::Bytes => up_to(10_000_000, random),
            Self::Duration => up_to(1_000_000, random),
        }
    }

    /// Whether it has moved.
    fn step(self, value: &mut f64, change: Change, random: &mut Random) -> bool {
        let (percent, step) = match self {
            Self::Zero | Self::One | Self::Still => (0, 1),
            Self::Events => (100, 50_000),
            Self::RareEvents => (10, 3),
            Self::Seconds => (40, 100),
            Self::RareSeconds => (10, 10),
            Self::Bytes | Self::Duration => (100, 1_000_000),
        };
        if change != Change::All && random.below(100) >= percent {
            return false;
        }
        let by = 1.0 + random.below(step) as f64;
        match self {
            // Gauges go up and down.
            Self::Bytes | Self::Duration => *value = (*value + by) % 1e6,
            _ => *value += by,
        }
        true
    }

    /// The number that stands in the body.
    fn shown(self, value: f64) -> f64 {
        match self {
            Self::Seconds | Self::RareSeconds => value / 100.0,
            Self::Bytes => value * 4096.0,
            Self::Duration => value / 1e9,
            _ => value,
        }
    }
}

/// As Go's `strconv` writes the shortest form of `g`, which is what most exporters do.
fn write_number(value: f64, out: &mut Vec<u8>) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let written = match exponent.parse::<i32>() {
        Ok(exponent @ (..-4 | 6..)) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(out, "{digits}e{sign}{:02}", exponent.abs())
        }
        _ => write!(out, "{value}"),
    };
    written.unwrap_or_else(|_| unreachable!("a vector takes everything"));
}

/// Xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn values(body: &Body) -> HashMap<String, String> {
        let text = str::from_utf8(body.text()).expect("text");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').expect("a value")).map(|(k, v)| (k.into(), v.into())).collect()
    }

    #[test]
    fn every_series_is_there_once() {
        for series in [1, 19, 20, 1000, 12_345] {
            assert_eq!(values(&Body::new(series, Change::Real, 0.0, false, 1)).len(), series);
        }
    }

    #[test]
    fn the_mix_is_a_nodes() {
        let mut body = Body::new(1000, Change::Real, 0.0, false, 7);
        let per_sample = body.text().len() as f64 / 1000.0;
        assert!((90.0..120.0).contains(&per_sample), "{per_sample} bytes");
        let values = values(&body);
        let zeros = values.values().filter(|value| *value == "0").count();
        assert!((300..500).contains(&zeros), "{zeros} zeros");
        (0..60).for_each(|_| body.step());
        let changed = body.changed() as f64 / 60_000.0;
        assert!((0.15..0.25).contains(&changed), "{changed} change a second");
    }

    #[test]
    fn what_changed_is_counted() {
        let mut body = Body::new(1000, Change::Real, 0.0, false, 3);
        let before = values(&body);
        body.step();
        let now = values(&body);
        let differ = now.iter().filter(|(key, value)| before.get(*key) != Some(*value)).count();
        assert_eq!(differ as u64, body.changed());
    }

    #[test]
    fn all_means_every_value() {
        let mut body = Body::new(1000, Change::All, 0.0, false, 3);
        let before = values(&body);
        body.step();
        assert!(values(&body).iter().all(|(key, value)| before[key] != *value));
    }

    #[test]
    fn a_percent_is_replaced_in_a_minute() {
        let mut body = Body::new(1000, Change::Churn, 0.01, false, 3);
        let before = values(&body);
        // One more, as the sixths of a second's share add up to a little less.
        (0..61).for_each(|_| body.step());
        let now = values(&body);
        assert_eq!((now.len(), body.replaced()), (1000, 10));
        let gone = before.keys().filter(|key| !now.contains_key(*key)).count();
        assert!((9..=10).contains(&gone), "{gone} of them have gone");
    }

    #[test]
    fn openmetrics_names_families_without_their_suffix() {
        let body = Body::new(100, Change::Real, 0.0, true, 3);
        let text = String::from_utf8(body.openmetrics().expect("asked for").to_vec()).expect("text");
        assert!(text.ends_with("} 0\n# EOF\n"), "{text}");
        assert!(text.contains("# TYPE node_cpu_seconds counter\nnode_cpu_seconds_total{"), "{text}");
    }

    #[test]
    fn numbers_look_like_gos() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (123_456.78, "123456.78"),
            (1_234_567.0, "1.234567e+06"),
            (2.5e10, "2.5e+10"),
            (0.000_123, "0.000123"),
            (0.000_012_3, "1.23e-05"),
        ] {
            let mut out = Vec::new();
            write_number(value, &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
    }
}
