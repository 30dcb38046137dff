//! From a body to the target's block.

mod exemplars;
mod protobuf;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use observer_aggregate::{
    family::{self, Suffix},
    series::{Block, Head, is_present},
};
use observer_exposition::{
    self as exposition, Delta, Exemplar, FamilyInfo, Kind, Labels, Sample, Sink, Stats, unescape,
};

pub(super) use self::exemplars::Untaken;
use super::{
    budget::{Budget, Memory, Refused},
    labels::{self, TargetLabels},
    shown::Mask,
    status::Status,
    synthetic::{Report, Synthetic},
};
use crate::{
    config::{Dialect, Job, Target},
    relabel::{LabelSet, Scratch},
};

/// What a target has: its series, and the reader that knows which line of a body is which.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) block: Block,
    reader: Option<(Dialect, Reader)>,
    synthetic: Synthetic,
    keeper: Keeper,
    /// How its last scrape ended.
    pub(super) status: Status,
    /// Bodies since lines that were refused were asked about again.
    patience: u32,
    /// The block's changes when `mask` was made.
    changes: u64,
    /// The target is none any more: what its last scrape still brings is not wanted.
    ended: bool,
}

/// Knows which sample of a body is which.
#[derive(Debug)]
enum Reader {
    Lines(Box<Delta>),
    Protobuf(protobuf::Reader),
}

/// What a reader says of a body.
struct Read {
    samples: u64,
    duplicates: u64,
    /// Series that are no samples of the body.
    beside: usize,
    /// Series came, went, or changed places.
    layout_changed: bool,
}

/// How many bodies pass before lines that were refused are asked about again, if there is room: it costs a whole parse.
const PATIENCE: u32 = 10;

/// Memory of a new series beside its labels: its place in the layout, its values, what is known of its line.
const SERIES_BYTES: usize = 150;

/// Decides what becomes of a series that is new.
#[derive(Debug)]
struct Keeper {
    labels: TargetLabels,
    job: Arc<Job>,
    budget: Arc<Budget>,
    /// Series that count against the budget.
    held: usize,
    /// Lines that found no room.
    refused: usize,
    /// What the budget knows of this target's memory.
    memory: Memory,
    /// What the budget knows of its exemplars.
    exemplars: usize,
    mask: Mask,
    /// With rules, different lines may become one series: the slots, by what they are.
    made: HashMap<u64, u32>,
    set: LabelSet,
    scratch: Scratch,
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
    /// Series for which there was no memory.
    pub(super) over_memory: usize,
    /// Series whose labels are longer than any may have.
    pub(super) too_long: usize,
    /// Samples with a time of their own that is before the last one's.
    pub(super) out_of_order: usize,
    /// Exemplars that are not kept.
    pub(super) exemplars: Untaken,
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("cannot parse the body: {0}")]
    Parse(exposition::Error),
    #[error("cannot parse the body: {0}")]
    Protobuf(exposition::protobuf::Error),
    #[error("a native histogram has more than {0} buckets at any resolution")]
    BucketLimit(usize),
    #[error("more samples than the limit of {0}")]
    SampleLimit(usize),
    #[error("{0}")]
    LabelLimit(String),
}

impl Core {
    pub(super) fn new(target: &Target, job: &Arc<Job>, budget: Arc<Budget>) -> Self {
        let labels = TargetLabels::new(&target.labels);
        let mut block = Block::default();
        block.track_times(job.settings.track_timestamps_staleness);
        let synthetic = Synthetic::new(&mut block, &labels.block());
        // What was needed to add them is let go: thousands of targets may begin before the first window takes them.
        block.arrange(synthetic.slots());
        let keeper = Keeper {
            labels,
            job: Arc::clone(job),
            budget,
            held: 0,
            refused: 0,
            memory: Memory::default(),
            exemplars: 0,
            mask: Mask::default(),
            made: HashMap::new(),
            set: LabelSet::default(),
            scratch: Scratch::default(),
        };
        let status = Status::default();
        Self { block, reader: None, synthetic, keeper, status, patience: 0, changes: 0, ended: false }
    }

    /// Reads a body into the block; an error comes with what was counted up to it, and leaves values of which [`Self::fail`]
    /// makes an end.
    pub(super) fn decode(&mut self, body: &[u8], dialect: Dialect) -> Result<Counts, (DecodeError, Counts)> {
        let Self { block, reader, synthetic, keeper, ended, status: _, patience, changes: _ } = self;
        if *ended {
            return Ok(Counts::default());
        }
        // An exporter that changes its format starts anew: its lines are others.
        if reader.as_ref().is_some_and(|(known, _)| *known != dialect) {
            forget(block, reader, keeper);
        }
        let (_, reader) = reader.get_or_insert_with(|| (dialect, Reader::new(dialect)));
        *patience = patience.saturating_add(1);
        if keeper.refused > 0 && *patience >= PATIENCE && keeper.budget.has_room(keeper.held) {
            (keeper.refused, *patience) = (0, 0);
            reader.ask_again();
        }
        let limit = keeper.job.settings.sample_limit;
        let mut fill = Fill { block, keeper, counts: Counts::default(), refusal: None };
        let decoded = reader.decode(body, &mut fill);
        let Fill { mut counts, refusal, .. } = fill;
        for slot in reader.gone() {
            keeper.forget(block, *slot);
            block.remove(*slot);
        }
        keeper.release(reader.gone().len());
        match decoded {
            Ok(Read { samples, duplicates, beside, layout_changed }) => {
                (counts.scraped, counts.duplicates) = (count(samples), count(duplicates));
                if !keeper.job.metric_relabel.is_empty() {
                    // Lines that became one series: the last has its value.
                    let made = keeper.made.len().saturating_sub(beside);
                    counts.duplicates += counts.kept.saturating_sub(made);
                    counts.kept = counts.kept.min(made);
                }
                if layout_changed {
                    keeper.refused = keeper.refused.min(reader.refused());
                    block.arrange(synthetic.slots().chain(reader.slots()));
                }
                if let Some(refusal) = refusal {
                    // The lines that broke the limit are to be asked about again.
                    forget(block, &mut self.reader, keeper);
                    return Err((refusal, counts));
                }
                if limit != 0 && counts.kept > limit {
                    return Err((DecodeError::SampleLimit(limit), counts));
                }
                Ok(counts)
            }
            Err(error) => {
                if matches!(error, DecodeError::Parse(_)) {
                    // The reader tells all of them again.
                    block.clear_exemplars();
                }
                Err((error, Counts { scraped: counts.kept, ..counts }))
            }
        }
    }

    /// Ends a scrape that went well.
    pub(super) fn succeed(&mut self, report: &Report) {
        if !self.ended {
            self.synthetic.write(report, &mut self.block);
            self.block.touch();
            self.account();
        }
    }

    /// Ends a scrape that failed: the target's series end, but for those about the scrape itself.
    pub(super) fn fail(&mut self, report: &Report) {
        // Not touched: what is written are no series of the target's, and it stays gone.
        if !self.ended {
            self.block.end_all();
            self.synthetic.write(report, &mut self.block);
            self.account();
        }
    }

    /// Ends everything: the target is no target any more.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.block.end_all();
        self.account();
    }

    /// Series of the last body for which there was no room.
    pub(super) fn refused(&self) -> usize {
        self.keeper.refused
    }

    /// Tells the budget what the target has and shows by now.
    fn account(&mut self) {
        let (used, reserved) = self.memory();
        let Keeper { budget, memory, exemplars, mask, .. } = &mut self.keeper;
        let now = Memory { used, reserved };
        budget.account(std::mem::replace(memory, now), now);
        let now = self.block.exemplars().len();
        budget.release_exemplars(std::mem::replace(exemplars, now).saturating_sub(now));
        if self.changes != self.block.changes() {
            self.changes = self.block.changes();
            let now = Mask::of(&self.block);
            budget.shown.change(std::mem::replace(mask, now), now);
        }
    }

    /// What there is to show.
    #[cfg(test)]
    pub(super) fn families(&self) -> Vec<family::Family> {
        observer_aggregate::series::families(self.block.layout(), self.block.values(), self.block.times())
    }

    /// Heap memory of the series and of the reader, in bytes: used, and reserved.
    fn memory(&self) -> (usize, usize) {
        let (used, reserved) = self.block.memory();
        let reader = self.reader.as_ref().map_or(0, |(_, reader)| reader.memory_bytes());
        (used + reader, reserved + reader)
    }
}

impl Reader {
    fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Text => Self::Lines(Box::new(Delta::new(exposition::Dialect::Text))),
            Dialect::OpenMetrics => Self::Lines(Box::new(Delta::new(exposition::Dialect::OpenMetrics))),
            Dialect::Protobuf => Self::Protobuf(protobuf::Reader::default()),
        }
    }

    fn decode(&mut self, body: &[u8], fill: &mut Fill<'_>) -> Result<Read, DecodeError> {
        match self {
            Self::Lines(delta) => {
                let Stats { samples, duplicates, layout_changed, .. } =
                    delta.decode(body, fill).map_err(DecodeError::Parse)?;
                Ok(Read { samples, duplicates, beside: 0, layout_changed })
            }
            Self::Protobuf(reader) => reader.decode(body, fill),
        }
    }

    /// The slots that the last body does not have any more.
    fn gone(&self) -> &[u32] {
        match self {
            Self::Lines(delta) => delta.gone(),
            Self::Protobuf(reader) => reader.gone(),
        }
    }

    /// The slots in the order of the last body.
    fn slots(&self) -> impl Iterator<Item = u32> {
        let (lines, protobuf) = match self {
            Self::Lines(delta) => (Some(delta.slots()), None),
            Self::Protobuf(reader) => (None, Some(reader.slots())),
        };
        lines.into_iter().flatten().chain(protobuf.into_iter().flatten())
    }

    /// Samples of the last body that are not kept.
    fn refused(&self) -> usize {
        match self {
            Self::Lines(delta) => delta.refused(),
            Self::Protobuf(reader) => reader.refused(),
        }
    }

    /// Has the next body ask about them again.
    fn ask_again(&mut self) {
        match self {
            Self::Lines(delta) => delta.ask_again(),
            Self::Protobuf(reader) => reader.ask_again(),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Lines(delta) => delta.memory_bytes(),
            Self::Protobuf(reader) => reader.memory_bytes(),
        }
    }
}

/// Ends every series of the bodies so far.
fn forget(block: &mut Block, reader: &mut Option<(Dialect, Reader)>, keeper: &mut Keeper) {
    if let Some((_, reader)) = reader.take() {
        for slot in reader.slots() {
            block.remove(slot);
        }
    }
    keeper.made.clear();
    keeper.refused = 0;
    keeper.release(keeper.held);
}

fn identity_of(name: &str, suffix: Suffix, labels: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, suffix, labels).hash(&mut hasher);
    hasher.finish()
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.release(self.held);
        self.budget.account(self.memory, Memory::default());
        self.budget.release_exemplars(self.exemplars);
        self.budget.shown.change(self.mask, Mask::default());
    }
}

impl Keeper {
    /// Whether labels are looked at one by one.
    fn looks_at_labels(&self) -> bool {
        let settings = &self.job.settings;
        let limits =
            [settings.label_limit, settings.label_name_length_limit, settings.label_value_length_limit];
        !self.job.metric_relabel.is_empty() || limits.iter().any(|limit| *limit != 0)
    }

    /// Leaves in `set` what the rules make of a series. False if they drop it.
    fn relabel(&mut self, name: &str, labels: &str) -> Result<bool, DecodeError> {
        let Self { job, set, scratch, .. } = self;
        set.clear();
        for label in Labels::unchecked(labels).iter() {
            set.set(&label.name, &unescape(label.value));
        }
        set.set("__name__", name);
        if !job.metric_relabel.apply(set, scratch) || set.is_empty() {
            return Ok(false);
        }
        let settings = &job.settings;
        let refuse = |what: String, limit: usize| {
            Err(DecodeError::LabelLimit(format!("`{name}` has {what}; the limit is {limit}")))
        };
        if set.get("__name__").is_empty() {
            return Err(DecodeError::LabelLimit(format!("relabelling leaves `{name}` without a name")));
        }
        if settings.label_limit != 0 && set.len() > settings.label_limit {
            return refuse(format!("{} labels", set.len()), settings.label_limit);
        }
        for (label, value) in set.iter() {
            let (name_limit, value_limit) =
                (settings.label_name_length_limit, settings.label_value_length_limit);
            if name_limit != 0 && label.len() > name_limit {
                return refuse(format!("a label name of {} bytes, `{label}`", label.len()), name_limit);
            }
            if value_limit != 0 && value.len() > value_limit {
                return refuse(format!("a value of {} bytes of label `{label}`", value.len()), value_limit);
            }
        }
        Ok(true)
    }

    /// Gives a series a slot, if there is room.
    fn keep(
        &mut self,
        block: &mut Block,
        counts: &mut Counts,
        text: usize,
        describe: impl FnOnce(&mut Block) -> (u32, Suffix, String),
    ) -> Option<u32> {
        let bytes = SERIES_BYTES + text;
        if let Err(refused) = self.budget.take(self.held, bytes) {
            self.refused += 1;
            match refused {
                Refused::Series => counts.over_budget += 1,
                Refused::Memory => counts.over_memory += 1,
            }
            return None;
        }
        self.memory.reserved += bytes;
        self.held += 1;
        let (head, suffix, labels) = describe(block);
        let rules = !self.job.metric_relabel.is_empty();
        let identity = identity_of(block.name(head), suffix, &labels);
        // Whether the line that made it is still there is known at the end of the body.
        if rules && let Some(slot) = self.made.get(&identity).copied() {
            self.release(1);
            return Some(slot);
        }
        let Some(slot) = block.add(head, suffix, &labels) else {
            counts.too_long += 1;
            self.release(1);
            return None;
        };
        if rules {
            self.made.insert(identity, slot);
        }
        counts.added += 1;
        Some(slot)
    }

    /// A series is gone: another line may become it.
    fn forget(&mut self, block: &Block, slot: u32) {
        if !self.made.is_empty() {
            let layout = block.layout();
            let Head { name, .. } = layout.head(slot);
            let mut buffer = String::new();
            let labels = layout.labels(slot).read(&mut buffer);
            self.made.remove(&identity_of(name, layout.suffix(slot), labels));
        }
    }

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
    /// Why the body is refused although it can be read.
    refusal: Option<DecodeError>,
}

impl Fill<'_> {
    /// Gives a series a slot, if it is to be kept. `name` is that of its samples, and `labels` are the exporter's.
    fn admit(
        &mut self,
        family: &FamilyInfo<'_>,
        suffix: Suffix,
        name: &str,
        labels: Labels<'_>,
    ) -> Option<u32> {
        let Self { block, keeper, counts, refusal } = self;
        let limit = keeper.job.settings.sample_limit;
        // The body will be refused: its series need no room.
        if refusal.is_some() || (limit != 0 && counts.kept >= limit) {
            counts.kept += usize::from(refusal.is_none());
            return None;
        }
        let labels = keeper.labels.join(labels, keeper.job.settings.honor_labels);
        let kind = family_kind(family.kind);
        if !keeper.looks_at_labels() {
            return keeper.keep(block, counts, labels.len(), |block| {
                let head = block.family(family.name, kind, family.help, family.unit);
                (head, suffix, labels)
            });
        }
        match keeper.relabel(name, &labels) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                *refusal = Some(error);
                return None;
            }
        }
        let set = &keeper.set;
        let renamed = *set.get("__name__") != *name;
        let name = set.get("__name__");
        let written = labels::write_set(set);
        // A family that is renamed as a whole keeps what is known of it.
        let stem = name.strip_suffix(suffix.as_str()).filter(|stem| !stem.is_empty());
        let (stem, suffix, kind, help, unit) = match stem {
            Some(stem) if renamed => (stem, suffix, kind, family.help, ""),
            Some(_) => (family.name, suffix, kind, family.help, family.unit),
            None => (name, Suffix::None, family::Kind::Unknown, "", ""),
        };
        let stem = stem.to_owned();
        keeper.keep(block, counts, written.len(), |block| {
            (block.family(&stem, kind, help, unit), suffix, written)
        })
    }

    /// Whether the series has a sample of a later time.
    fn is_behind(&self, slot: u32, time: i64) -> bool {
        // No time at all is before every time.
        self.block.times().get(slot as usize).is_some_and(|last| time < *last)
            && is_present(self.block.values()[slot as usize])
    }

    /// The value of a series.
    #[inline]
    fn put(&mut self, slot: u32, value: f64, timestamp_ms: Option<i64>) {
        let own = timestamp_ms.filter(|_| self.keeper.job.settings.honor_timestamps);
        if own.is_some_and(|time| self.is_behind(slot, time)) {
            // The series keeps what it has, which is newer.
            self.counts.out_of_order += 1;
            return;
        }
        self.counts.kept += 1;
        match own {
            None if self.block.times().is_empty() => self.block.set(slot, value),
            _ => self.block.set_at(slot, value, own),
        }
    }
}

impl Sink for Fill<'_> {
    fn resolve(&mut self, family: &FamilyInfo<'_>, sample: &Sample<'_>) -> Option<u32> {
        self.admit(family, suffix(family.suffix), &sample.name, sample.labels)
    }

    #[inline]
    fn value(&mut self, slot: u32, value: f64, timestamp_ms: Option<i64>) {
        self.put(slot, value, timestamp_ms);
    }

    fn exemplar(&mut self, slot: u32, exemplar: Option<&Exemplar<'_>>) {
        match exemplar {
            Some(Exemplar { labels, value, timestamp_ms }) if self.keeper.budget.keeps_exemplars() => {
                self.put_exemplar(slot, labels.block(), *value, *timestamp_ms);
            }
            _ => self.block.end_exemplars(slot),
        }
    }

    #[inline]
    fn unchanged(&mut self, slots: &[u32], values: &[f64]) {
        self.counts.kept += slots.len();
        self.block.set_each(slots, values);
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
