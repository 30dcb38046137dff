//! One rule on one set of labels.

use std::fmt::Write as _;

use super::{Does, LabelSet, Rule, is_label_name, pattern::Slots};

/// Memory for what a rule works on, used again by the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    joined: String,
    name: String,
    value: String,
    slots: Slots,
    /// Labels to be set once all have been looked at; the first of them count, the others are spare.
    copies: Vec<(String, String)>,
}

impl Rule {
    /// False if what carries the labels is dropped.
    pub(super) fn apply(&self, labels: &mut LabelSet, scratch: &mut Scratch) -> bool {
        let Scratch { joined, name, value, slots, copies } = scratch;
        joined.clear();
        for (i, source) in self.sources.iter().enumerate() {
            if i > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.get(source));
        }
        value.clear();
        match &self.does {
            Does::Filter { pattern, keep } => return pattern.is_match(joined) == *keep,
            Does::Compare { target, keep } => return (labels.get(target) == joined) == *keep,
            Does::Replace { pattern, target, replacement } => {
                if !pattern.captures(joined, slots) {
                    return true;
                }
                name.clear();
                target.expand(joined, slots, name);
                if is_label_name(name) {
                    replacement.expand(joined, slots, value);
                    labels.set(name, value);
                }
            }
            Does::HashMod { target, modulus } => {
                // Writing to a string cannot fail.
                let _ = write!(value, "{}", hash(joined) % modulus);
                labels.set(target, value);
            }
            Does::Case { target, upper } => {
                value.extend(joined.chars().map(if *upper { upper_case } else { lower_case }));
                labels.set(target, value);
            }
            Does::Map { pattern, replacement } => {
                let mut count = 0;
                for (label, content) in labels.iter() {
                    if !pattern.captures(label, slots) {
                        continue;
                    }
                    if count == copies.len() {
                        copies.push(Default::default());
                    }
                    let (name, value) = &mut copies[count];
                    name.clear();
                    replacement.expand(label, slots, name);
                    value.clear();
                    value.push_str(content);
                    // A group that took part in nothing may leave no name.
                    count += usize::from(is_label_name(name));
                }
                for (name, value) in &copies[..count] {
                    labels.set(name, value);
                }
            }
            Does::Names { pattern, keep } => labels.retain(|name| pattern.is_match(name) == *keep),
        }
        true
    }
}

/// The last half of the MD5 sum, as Prometheus has it.
/// <https://github.com/prometheus/prometheus/blob/v3.5.0/model/relabel/relabel.go>
fn hash(text: &str) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = md5::compute(text).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Go maps a character to one character, and leaves those that would become several.
fn lower_case(c: char) -> char {
    match c {
        'İ' => 'i',
        _ => only(c.to_lowercase()).unwrap_or(c),
    }
}

fn upper_case(c: char) -> char {
    match c {
        // Greek with a subscript iota: several characters as text, one as a title.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => plus(c, 8),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => plus(c, 9),
        _ => only(c.to_uppercase()).unwrap_or(c),
    }
}

fn plus(c: char, by: u32) -> char {
    char::from_u32(u32::from(c) + by).unwrap_or(c)
}

fn only(mut chars: impl ExactSizeIterator<Item = char>) -> Option<char> {
    if chars.len() == 1 { chars.next() } else { None }
}
