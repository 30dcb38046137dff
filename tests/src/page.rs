//! A small, strict reader of the Prometheus text format. Not the agent's own: it must not share its mistakes.

use std::collections::BTreeMap;

/// The samples of a page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In the order of the page.
    pub samples: Vec<Sample>,
    /// The whole text.
    pub text: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// When a line is not of the format.
    #[track_caller]
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let read = |line| sample(line).unwrap_or_else(|| panic!("not a sample: `{line}`"));
        Self { samples: lines.map(read).collect(), text: text.to_owned() }
    }

    /// The samples of this name that have these labels.
    pub fn of<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        let fits = move |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(*label).is_some_and(|has| has == value))
        };
        self.samples.iter().filter(fits)
    }

    /// The sum of the samples of this name that have these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // Not `sum`: the sum of nothing would be -0.
        self.of(name, labels).fold(0.0, |sum, sample| sum + sample.value)
    }

    /// A histogram: the cumulative counts by upper bound, over all series that have these labels.
    #[must_use]
    pub fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.of(&format!("{name}_bucket"), labels) {
            let bound = sample.labels["le"].parse().expect("a bound is a number");
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        buckets
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, value) = rest.split_once("=\"")?;
            let (value, after) = quoted(value)?;
            labels.insert(label.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let mut words = rest.split_whitespace();
    let value = words.next()?.parse().ok()?;
    // A time stamp may follow, nothing else.
    let is_time = |word: &str| word.parse::<i64>().is_ok();
    (words.next().is_none_or(is_time) && words.next().is_none()).then(|| Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, labels: &[(&str, &str)], value: Option<f64>) {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(sample(line), value.map(|value| Sample { name: "a".to_owned(), labels, value }));
    }

    #[test]
    fn labels_are_optional() {
        check("a 1", &[], Some(1.0));
        check("a{} 1", &[], Some(1.0));
    }

    #[test]
    fn labels_are_unescaped() {
        check(r#"a{b="c\"d\\e\nf",g=""} 2.5"#, &[("b", "c\"d\\e\nf"), ("g", "")], Some(2.5));
    }

    #[test]
    fn a_time_may_follow() {
        check("a 1 1700000000000", &[], Some(1.0));
        check("a 1 now", &[], None);
    }
}
