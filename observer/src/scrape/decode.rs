//! From a body to the target's block.

use std::sync::Arc;

use observer_aggregate::{
    family::{self, Suffix},
    series::Block,
};
use observer_exposition::{Delta, Dialect, Error, FamilyInfo, Kind, Sample, Sink, Stats};

use super::{
    budget::Budget,
    labels::TargetLabels,
    synthetic::{Report, Synthetic},
};
use crate::config::Settings;

/// What a target has: its series, and the reader that knows which line of a body is which.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) block: Block,
    reader: Option<(Dialect, Delta)>,
    synthetic: Synthetic,
    keeper: Keeper,
}

/// Decides what becomes of a series that is new.
#[derive(Debug)]
struct Keeper {
    labels: TargetLabels,
    honor_labels: bool,
    honor_timestamps: bool,
    sample_limit: usize,
    budget: Arc<Budget>,
    /// Series of the body that count against the budget.
    held: usize,
}

/// What a body has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Sample lines.
    pub(super) scraped: usize,
    /// Those that became samples.
    pub(super) kept: usize,
    /// Series that the body before did not have.
    pub(super) added: usize,
    /// Lines of a series that stood there before.
    pub(super) duplicates: usize,
    /// Series for which there was no room.
    pub(super) over_budget: usize,
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("cannot parse the body: {0}")]
    Parse(Error),
    #[error("more samples than the limit of {0}")]
    SampleLimit(usize),
}

impl Core {
    pub(super) fn new(labels: &[(String, String)], settings: &Settings, budget: Arc<Budget>) -> Self {
        let Settings { honor_labels, honor_timestamps, sample_limit, .. } = *settings;
        let labels = TargetLabels::new(labels);
        let mut block = Block::default();
        let synthetic = Synthetic::new(&mut block, &labels.block());
        let keeper = Keeper { labels, honor_labels, honor_timestamps, sample_limit, budget, held: 0 };
        Self { block, reader: None, synthetic, keeper }
    }

    /// Reads a body into the block; an error comes with what was counted up to it, and leaves values of which [`Self::fail`]
    /// makes an end.
    pub(super) fn decode(&mut self, body: &[u8], dialect: Dialect) -> Result<Counts, (DecodeError, Counts)> {
        let Self { block, reader, synthetic, keeper } = self;
        // An exporter that changes its format starts anew: its lines are others.
        if reader.as_ref().is_some_and(|(known, _)| *known != dialect) {
            forget(block, reader, keeper);
        }
        let (_, reader) = reader.get_or_insert_with(|| (dialect, Delta::new(dialect)));
        let limit = keeper.sample_limit;
        let mut fill = Fill { block, keeper, counts: Counts::default() };
        let decoded = reader.decode(body, &mut fill);
        let mut counts = fill.counts;
        for slot in reader.gone() {
            block.remove(*slot);
        }
        keeper.release(reader.gone().len());
        match decoded {
            Ok(Stats { samples, duplicates, layout_changed, .. }) => {
                (counts.scraped, counts.duplicates) = (count(samples), count(duplicates));
                if layout_changed {
                    block.arrange(synthetic.slots().chain(reader.slots()));
                }
                if limit != 0 && counts.kept > limit {
                    return Err((DecodeError::SampleLimit(limit), counts));
                }
                Ok(counts)
            }
            Err(error) => Err((DecodeError::Parse(error), Counts { scraped: counts.kept, ..counts })),
        }
    }

    /// Ends a scrape that went well.
    pub(super) fn succeed(&mut self, report: &Report) {
        self.synthetic.write(report, &mut self.block);
        self.block.touch();
    }

    /// Ends a scrape that failed: the target's series end, but for those about the scrape itself.
    pub(super) fn fail(&mut self, report: &Report) {
        // Touched before: what comes is no series of the target's, and it stays gone.
        self.block.end_all();
        self.synthetic.write(report, &mut self.block);
    }

    /// What there is to show.
    #[cfg(test)]
    pub(super) fn families(&self) -> Vec<family::Family> {
        observer_aggregate::series::families(self.block.layout(), self.block.values(), self.block.times())
    }

    /// Heap memory of the series and of the reader, in bytes: used, and reserved.
    pub(super) fn memory(&self) -> (usize, usize) {
        let (used, reserved) = self.block.memory();
        let reader = self.reader.as_ref().map_or(0, |(_, reader)| reader.memory_bytes());
        (used + reader, reserved + reader)
    }
}

/// Ends every series of the bodies so far.
fn forget(block: &mut Block, reader: &mut Option<(Dialect, Delta)>, keeper: &mut Keeper) {
    if let Some((_, reader)) = reader.take() {
        for slot in reader.slots() {
            block.remove(slot);
        }
    }
    keeper.release(keeper.held);
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.release(self.held);
    }
}

impl Keeper {
    /// Gives so many series back to the budget.
    fn release(&mut self, series: usize) {
        let series = series.min(self.held);
        self.held -= series;
        self.budget.release(series);
    }
}

/// Takes the samples of one body.
struct Fill<'a> {
    block: &'a mut Block,
    keeper: &'a mut Keeper,
    counts: Counts,
}

impl Sink for Fill<'_> {
    fn resolve(&mut self, family: &FamilyInfo<'_>, sample: &Sample<'_>) -> Option<u32> {
        let Self { block, keeper, counts } = self;
        // The body will be refused: its series need no room.
        if keeper.sample_limit != 0 && counts.kept >= keeper.sample_limit {
            counts.kept += 1;
            return None;
        }
        if !keeper.budget.take() {
            counts.over_budget += 1;
            return None;
        }
        keeper.held += 1;
        let labels = keeper.labels.join(sample.labels, keeper.honor_labels);
        let head = block.family(family.name, family_kind(family.kind), family.help, family.unit);
        let slot = block.add(head, suffix(family.suffix), &labels);
        match slot {
            Some(_) => counts.added += 1,
            None => keeper.release(1),
        }
        slot
    }

    #[inline]
    fn value(&mut self, slot: u32, value: f64, timestamp_ms: Option<i64>) {
        self.counts.kept += 1;
        match timestamp_ms {
            Some(_) => self.block.set_at(slot, value, timestamp_ms.filter(|_| self.keeper.honor_timestamps)),
            None if self.block.times().is_empty() => self.block.set(slot, value),
            None => self.block.set_at(slot, value, None),
        }
    }

    #[inline]
    fn unchanged(&mut self, slots: &[u32], values: &[f64]) {
        self.counts.kept += slots.len();
        for (&slot, &value) in slots.iter().zip(values) {
            self.block.set(slot, value);
        }
    }
}

/// What stands behind a family's name.
fn suffix(written: &str) -> Suffix {
    const ALL: [Suffix; 9] = [
        Suffix::None,
        Suffix::Total,
        Suffix::Bucket,
        Suffix::Sum,
        Suffix::Count,
        Suffix::Created,
        Suffix::Info,
        Suffix::GSum,
        Suffix::GCount,
    ];
    ALL.into_iter().find(|suffix| suffix.as_str() == written).unwrap_or(Suffix::None)
}

const fn family_kind(kind: Kind) -> family::Kind {
    match kind {
        Kind::Unknown => family::Kind::Unknown,
        Kind::Counter => family::Kind::Counter,
        Kind::Gauge => family::Kind::Gauge,
        Kind::Histogram => family::Kind::Histogram,
        Kind::GaugeHistogram => family::Kind::GaugeHistogram,
        Kind::Summary => family::Kind::Summary,
        Kind::Info => family::Kind::Info,
        Kind::StateSet => family::Kind::StateSet,
    }
}

#[cfg(test)]
mod tests;
