//! Aggregation rules over windows: which series of which block is whose member, and where the rules' outputs stand.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use crate::{
    family::{Kind, Suffix},
    series::{Block, Head, Layout, NO_TIME, is_present, is_stale},
    stream::{Engine, Joined, Membership, OutputSeries, RuleStats, Sink, Stats},
    window::{Source, View, Window},
};

/// The rules and what they know of every block.
#[derive(Debug)]
pub struct Rules {
    engine: Engine,
    blocks: HashMap<u64, Members>,
    out: Outputs,
    /// Counts closes, to find blocks that are gone.
    round: u64,
}

/// The members of a block.
#[derive(Debug, Default)]
struct Members {
    layout: Arc<Layout>,
    slots: Vec<Member>,
    /// Slots that are exported only through a rule.
    hidden: Vec<u32>,
    /// Slots that a rule observes.
    observed: Vec<u32>,
    round: u64,
}

/// The series of a slot.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// Which of the series that had the slot; 0 for none.
    birth: u32,
    joined: Joined,
    /// The time of the last sample, if it had one of its own.
    time: i64,
}

const NOBODY: Member =
    Member { birth: 0, joined: Joined { membership: Membership::NONE, keep_input: true }, time: NO_TIME };

/// The rules' outputs, as a block like any other.
#[derive(Debug, Default)]
struct Outputs {
    block: Block,
    /// By the output's number.
    slots: Vec<Option<u32>>,
}

impl Rules {
    /// Starts with rules that are ready.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, blocks: HashMap::new(), out: Outputs::default(), round: 0 }
    }

    /// Observes what is new in the window, hides what is exported only through a rule, ends the interval of every rule whose time
    /// has come, and adds the outputs to the window. `number` counts windows since any fixed time.
    ///
    /// Allocates only where series have come or gone.
    pub fn close(&mut self, window: &mut Window, number: u64) {
        let Self { engine, blocks, out, round } = self;
        *round += 1;
        for at in 0..window.blocks() {
            let View { block, layout, values, times, fresh, .. } = window.view(at);
            let members = blocks.entry(block).or_default();
            members.round = *round;
            members.follow(layout, engine);
            if fresh {
                for &slot in &members.observed {
                    let (value, member) = (values[slot as usize], &mut members.slots[slot as usize]);
                    let time = times.get(slot as usize).copied().unwrap_or(NO_TIME);
                    // A sample that says its time is the same one as long as it says the same.
                    let again = is_present(value) && time != NO_TIME && time == member.time;
                    if !again && (is_present(value) || is_stale(value)) {
                        member.time = time;
                        engine.observe(member.joined.membership, value, is_stale(value));
                    }
                }
            }
            window.hide(at, &members.hidden);
        }
        blocks.retain(|_, members| {
            let stays = members.round == *round;
            if !stays {
                members.leave(engine);
            }
            stays
        });
        engine.close(number, out);
        out.block.touch();
        window.take(Source::Aggregate, &mut out.block);
    }

    /// Windows have passed that were never closed.
    pub fn skip(&mut self, windows: u64) {
        self.engine.skip(windows);
    }

    /// What was left out and noticed so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// How full the rules are, in their order.
    pub fn rules(&self) -> impl Iterator<Item = RuleStats<'_>> {
        self.engine.rules()
    }
}

impl Members {
    /// Takes in what has come to a block and lets go of what is gone.
    fn follow(&mut self, layout: &Arc<Layout>, engine: &mut Engine) {
        if Arc::ptr_eq(&self.layout, layout) {
            return;
        }
        self.slots.resize(self.slots.len().max(layout.slots()), NOBODY);
        let mut there = vec![false; self.slots.len()];
        let mut buffer = String::new();
        for (head, slots) in layout.families() {
            // A native histogram has no number that an output could be made of.
            for &slot in slots.iter().filter(|slot| layout.suffix(**slot) != Suffix::Native) {
                let (at, birth) = (slot as usize, layout.birth(slot));
                there[at] = true;
                if self.slots[at].birth != birth {
                    engine.leave(self.slots[at].joined.membership);
                    let labels = layout.labels(slot).read(&mut buffer);
                    let joined = join(engine, head, layout.suffix(slot), labels);
                    self.slots[at] = Member { birth, joined, time: NO_TIME };
                }
            }
        }
        self.hidden.clear();
        self.observed.clear();
        for ((slot, member), there) in (0..).zip(&mut self.slots).zip(there) {
            if !there {
                engine.leave(std::mem::replace(member, NOBODY).joined.membership);
            }
            if member.joined.membership.is_some() {
                self.observed.push(slot);
            }
            if !member.joined.keep_input {
                self.hidden.push(slot);
            }
        }
        self.layout = Arc::clone(layout);
    }

    fn leave(&mut self, engine: &mut Engine) {
        for member in self.slots.drain(..) {
            engine.leave(member.joined.membership);
        }
    }
}

fn join(engine: &mut Engine, head: &Head, suffix: Suffix, block: &str) -> Joined {
    let name = format!("{}{}", head.name, suffix.as_str());
    let labels = split(block);
    let labels: Vec<_> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    engine.join(&name, &labels, head.kind)
}

/// The labels of a block, as they are.
fn split(block: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let mut labels = Vec::new();
    let mut rest = block;
    while let Some((name, value, behind)) = first_label(rest) {
        labels.push((name, value));
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    labels
}

fn first_label(block: &str) -> Option<(Cow<'_, str>, Cow<'_, str>, &str)> {
    let (name, rest) = match block.strip_prefix('"') {
        Some(quoted) => quoted_text(quoted)?,
        None => block.split_at_checked(block.find('=')?).map(|(name, rest)| (Cow::Borrowed(name), rest))?,
    };
    let (value, rest) = quoted_text(rest.strip_prefix("=\"")?)?;
    Some((name, value, rest))
}

/// Text up to the closing quote, without its escapes, and what follows.
fn quoted_text(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    let (inner, rest) = (&text[..end], &text[end + 1..]);
    if !inner.contains('\\') {
        return Some((Cow::Borrowed(inner), rest));
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match (char, if char == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some(other)) => out.push(other),
            (char, _) => out.push(char),
        }
    }
    Some((Cow::Owned(out), rest))
}

impl Sink for Outputs {
    fn value(&mut self, series: OutputSeries<'_>, value: f64) {
        let OutputSeries { id, family, suffix, labels, kind } = series;
        let at = id as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, None);
        }
        let slot = self.slots[at].or_else(|| self.add(family, suffix, labels, kind));
        self.slots[at] = slot;
        if let Some(slot) = slot {
            self.block.set(slot, value);
        }
    }

    fn gone(&mut self, id: u32) {
        if let Some(slot) = self.slots.get_mut(id as usize).and_then(Option::take) {
            self.block.remove(slot);
        }
    }
}

impl Outputs {
    fn add(&mut self, family: &str, suffix: Suffix, labels: &str, kind: Kind) -> Option<u32> {
        let head = self.block.family(family, kind, "", "");
        self.block.add(head, suffix, labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        family::{Family, Sample},
        series::families,
        stream::{Grouping, Output, Rule},
    };

    fn rules(outputs: Vec<Output>, by: &[&str], keep_input: bool) -> Rules {
        let by = Grouping::By(by.iter().map(|label| (*label).to_owned()).collect());
        let rule = Rule { grouping: by, keep_input, ..Rule::new("r".to_owned(), 1, outputs) };
        Rules::new(Engine::new(vec![rule]).expect("a rule that can be used"))
    }

    fn counter(samples: &[(&str, f64)]) -> Family {
        let sample = |(labels, value): &(&str, f64)| Sample {
            suffix: Suffix::Total,
            labels: (*labels).into(),
            value: *value,
            timestamp_ms: None,
            native: None,
        };
        Family {
            name: "m".into(),
            kind: Kind::Counter,
            samples: samples.iter().map(sample).collect(),
            ..Family::default()
        }
    }

    /// What a window of these blocks shows, as `name{labels} value`.
    fn shown(rules: &mut Rules, blocks: &mut [Block], number: u64) -> Vec<String> {
        let mut window = Window::default();
        window.begin(0, true);
        for block in blocks {
            window.take(Source::Scrape, block);
        }
        rules.close(&mut window, number);
        let mut lines = Vec::new();
        for view in window.views() {
            for family in families(view.layout, view.values, view.times) {
                for sample in &family.samples {
                    let suffix = sample.suffix.as_str();
                    lines.push(format!("{}{suffix}{{{}}} {}", family.name, sample.labels, sample.value));
                }
            }
        }
        lines
    }

    #[test]
    fn series_of_several_blocks_are_one_group_and_the_input_is_hidden() {
        let mut rules = rules(vec![Output::Sum], &["job"], false);
        let mut blocks = [Block::default(), Block::default()];
        blocks[0].read([&counter(&[(r#"job="a",x="1""#, 1.0), (r#"job="b",x="\"q\"""#, 2.0)])].into_iter());
        blocks[1].read([&counter(&[(r#"job="a",x="2""#, 5.0)])].into_iter());
        let expected = ["m_total:1s_by_job_sum{job=\"a\"} 6", "m_total:1s_by_job_sum{job=\"b\"} 2"];
        assert_eq!(shown(&mut rules, &mut blocks, 1), expected);
        // Nothing new: no samples, no sums.
        assert_eq!(shown(&mut rules, &mut blocks, 2), [""; 0]);
    }

    #[test]
    fn a_series_in_a_slot_that_was_anothers_is_another() {
        let mut rules = rules(vec![Output::Increase], &["x"], true);
        let mut blocks = [Block::default()];
        for (number, labels, value) in [(1, r#"x="1""#, 10.0), (2, r#"x="1""#, 13.0), (3, r#"x="2""#, 100.0)]
        {
            blocks[0].read([&counter(&[(labels, value)])].into_iter());
            let shown = shown(&mut rules, &mut blocks, number);
            let increases: Vec<_> = shown.iter().filter(|line| line.contains("increase")).collect();
            match number {
                2 => assert_eq!(increases, ["m_total:1s_by_x_increase{x=\"1\"} 3"]),
                // A first sample is only what the next is compared with.
                _ => assert!(
                    !shown.iter().any(|line| line.contains("100") && line.contains("increase")),
                    "{shown:?}"
                ),
            }
        }
    }

    #[test]
    fn a_sample_that_comes_again_with_its_time_is_observed_once() {
        let mut rules = rules(vec![Output::Count, Output::Sum], &[], true);
        let mut blocks = [Block::default()];
        let head = blocks[0].family("m", Kind::Gauge, "", "");
        let slot = blocks[0].add(head, Suffix::None, "x=\"1\"").expect("short labels");
        let mut observed = |number, value, time| {
            blocks[0].set_at(slot, value, time);
            blocks[0].touch();
            let shown = shown(&mut rules, &mut blocks, number);
            shown.iter().filter(|line| line.contains(":1s_")).cloned().collect::<Vec<_>>()
        };
        let once = ["m:1s_count{} 1", "m:1s_sum{} 5"];
        assert_eq!(observed(1, 5.0, Some(1000)), once);
        assert_eq!(observed(2, 5.0, Some(1000)), [""; 0]);
        assert_eq!(observed(3, 5.0, Some(2000)), once);
        assert_eq!(observed(4, 5.0, None), once);
        assert_eq!(observed(5, 5.0, None), once);
    }

    #[test]
    fn blocks_that_are_gone_leave() {
        let mut rules = rules(vec![Output::Count], &[], true);
        let mut one = [Block::default()];
        one[0].read([&counter(&[("", 1.0)])].into_iter());
        shown(&mut rules, &mut one, 1);
        assert_eq!(rules.blocks.len(), 1);
        shown(&mut rules, &mut [], 2);
        assert!(rules.blocks.is_empty());
    }

    #[test]
    fn blocks_are_split_at_their_labels() {
        let of = |block| split(block).iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>();
        assert_eq!(of(""), [""; 0]);
        assert_eq!(of(r#"a="b",c="d,e""#), ["a=b", "c=d,e"]);
        assert_eq!(of(r#"a="q\"\\n\n","d.o"="x""#), ["a=q\"\\n\n", "d.o=x"]);
    }
}
