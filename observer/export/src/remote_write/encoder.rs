//! Windows in, requests out.

use observer_aggregate::{
    series::{ABSENT, NO_TIME, STALE},
    window::{View, Window},
};

use super::{
    Options, Refusal, Version,
    build::Shared,
    exemplars::With,
    metadata::Metadata,
    output::{Out, Output, Stamp, Target},
    store::{Bin, Entry, LIVE, NATIVE, NEW, Part, Rare, SENT, Store},
    template::{Element, Template},
};
use crate::{Batch, Encode, pending::Pending};

/// Makes the requests of one endpoint.
pub struct Encoder {
    version: Version,
    store: Store,
    output: Output,
    metadata: Metadata,
    totals: Totals,
    serial: u64,
    pending: Pending,
    sends_exemplars: bool,
}

/// What an encoder has done so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Bytes of their bodies, compressed.
    pub bytes: u64,
    /// Samples with one number, stale markers among them.
    pub samples: u64,
    /// Samples that are native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Exemplars of series that are sent that no sample was there for: the series has ended, or its time is not a later one.
    pub exemplars_untold: u64,
    /// Stale markers of series whose end no window has told.
    pub ends_made_up: u64,
    /// Samples with a time of their own that is not after the last one of their series.
    pub not_newer: u64,
    /// Series that are sent now.
    pub series: usize,
    /// Bytes reserved.
    pub memory_bytes: usize,
    /// Series refused so far, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
}

impl Encoder {
    /// An encoder that knows no series.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        Self {
            version: options.version,
            store: Store::new(&mut options),
            output: Output::new(&options),
            metadata: Metadata::new(match options.version {
                Version::V1 => options.metadata_interval_windows,
                Version::V2 => 0,
            }),
            totals: Totals::default(),
            serial: 0,
            pending: Pending::default(),
            sends_exemplars: options.send_exemplars,
        }
    }

    /// What was done so far, and what is held now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            series: self.store.series(),
            memory_bytes: self.store.memory_bytes()
                + self.output.memory_bytes()
                + self.metadata.memory_bytes(),
            refused: self.store.refused,
            ..self.totals
        }
    }

    fn encode<const V2: bool>(&mut self, window: &Window, gap: bool, out: &mut Out<'_>) {
        let Self { store, output, totals, pending, sends_exemplars, .. } = self;
        let mut writer =
            Writer::<V2> { output, totals, stamp: Stamp::new(window.end_ms, 0), end_ms: window.end_ms };
        let Store { bins, parts, ending, .. } = store;
        // All ends go first: the same series may be here again, in another request of its lane.
        if std::mem::take(ending) {
            for bin in bins.iter_mut() {
                let Bin { lane, parts: of, shared, symbols, .. } = bin;
                let mut target = Target { lane: *lane, shared, symbols };
                of.iter().for_each(|part| writer.ended(&mut parts[*part], &mut target, out));
                writer.output.finish(target.lane, out);
            }
        }
        for bin in bins {
            let Bin { lane, parts: of, shared, symbols, .. } = bin;
            let mut target = Target { lane: *lane, shared, symbols };
            for part in &*of {
                let part = &mut parts[*part];
                if part.gone {
                    continue;
                }
                let view = window.view(part.view);
                if pending.is_fresh(&view) {
                    if *sends_exemplars && view.exemplars.newest() > part.told {
                        writer.exemplified(part, &view, &mut target, out);
                        part.told = view.exemplars.newest();
                    } else {
                        writer.part(part, &view, &mut target, out);
                    }
                } else if gap {
                    writer.silent(part, &view, &mut target, out);
                }
            }
            writer.output.finish(target.lane, out);
        }
    }
}

impl Encode for Encoder {
    fn window(&mut self, window: &Window, out: &mut dyn FnMut(Batch<'_>)) {
        let gap = self.serial != 0 && window.serial != self.serial.wrapping_add(1);
        self.serial = window.serial;
        self.store.learn(window);
        self.output.window(window.end_ms, window.serial);
        let mut counted = Totals::default();
        let mut count = |batch: Batch<'_>| {
            counted.requests += 1;
            counted.bytes += batch.body.len() as u64;
            counted.samples += u64::from(batch.samples);
            counted.histograms += u64::from(batch.histograms);
            counted.exemplars += u64::from(batch.exemplars);
            out(batch);
        };
        match self.version {
            Version::V1 => self.encode::<false>(window, gap, &mut count),
            Version::V2 => self.encode::<true>(window, gap, &mut count),
        }
        if self.metadata.is_due() {
            let mut target = Target { lane: 0, shared: &Shared::default(), symbols: &mut None };
            self.metadata.write(window, &mut self.output, &mut target, &mut count);
            self.output.finish(0, &mut count);
        }
        self.output.hand_out(true, &mut count);
        self.store.forget();
        self.pending.clear();
        self.totals.requests += counted.requests;
        self.totals.bytes += counted.bytes;
        self.totals.samples += counted.samples;
        self.totals.histograms += counted.histograms;
        self.totals.exemplars += counted.exemplars;
    }

    fn skip(&mut self, window: &Window) {
        self.pending.note(window);
    }

    /// Does nothing: no batch waits longer than its window.
    fn flush(&mut self, _: &mut dyn FnMut(Batch<'_>)) {}
}

/// Writes the series of a window.
struct Writer<'e, const V2: bool> {
    output: &'e mut Output,
    totals: &'e mut Totals,
    /// The end of the window, for samples without a time of their own.
    stamp: Stamp,
    end_ms: i64,
}

impl<const V2: bool> Writer<'_, V2> {
    /// The samples of a part.
    fn part(&mut self, part: &mut Part, view: &View<'_>, target: &mut Target<'_>, out: &mut Out<'_>) {
        if !view.times.is_empty() || part.rare.is_some() {
            return self.timed(part, view, target, out);
        }
        if !V2 && part.template.is_some() && self.output.takes_templates() {
            return self.chained(part, view, target, out);
        }
        let Part { entries, bytes, first, .. } = part;
        let stamp = self.stamp;
        for ((slot, entry), value) in
            (*first as u32..).zip(entries).zip(view.values.get(*first..).unwrap_or_default())
        {
            if entry.flags & SENT != 0 {
                self.value(view, slot, entry, bytes, value.to_bits(), &stamp, target, out);
            }
        }
    }

    /// As [`Self::part`], where the elements of the compressed form are known.
    fn chained(&mut self, part: &mut Part, view: &View<'_>, target: &mut Target<'_>, out: &mut Out<'_>) {
        let Part { entries, bytes, first, template, .. } = part;
        let Some(template) = template else { return };
        let mut elements = template.elements();
        self.output.break_chain();
        for ((slot, entry), value) in
            (*first as u32..).zip(entries).zip(view.values.get(*first..).unwrap_or_default())
        {
            let element = elements.next();
            if entry.flags & (SENT | NATIVE) == SENT {
                self.link(entry, bytes, value.to_bits(), element, target, out);
                continue;
            }
            if entry.flags & SENT != 0 {
                let stamp = self.stamp;
                self.value(view, slot, entry, bytes, value.to_bits(), &stamp, target, out);
            }
            self.output.break_chain();
        }
    }

    /// One series that goes behind the last one of its part.
    #[inline(always)]
    fn link(
        &mut self,
        entry: &mut Entry,
        bytes: &[u8],
        mut bits: u64,
        element: Option<Element<'_>>,
        target: &mut Target<'_>,
        out: &mut Out<'_>,
    ) {
        let element = element.filter(|_| entry.flags & NEW == 0);
        if bits == ABSENT.to_bits() || bits == STALE.to_bits() {
            if entry.flags & LIVE == 0 {
                return self.output.break_chain();
            }
            self.totals.ends_made_up += u64::from(bits == ABSENT.to_bits());
            entry.flags &= !LIVE;
            bits = STALE.to_bits();
        } else {
            entry.flags |= LIVE;
        }
        self.output.chained(target, bytes, entry, bits, element.as_ref().unwrap_or(&Element::NONE), out);
        if element.is_none() {
            self.output.break_chain();
        }
    }

    /// As [`Self::part`], where samples or series have times of their own.
    fn timed(&mut self, part: &mut Part, view: &View<'_>, target: &mut Target<'_>, out: &mut Out<'_>) {
        let Part { entries, bytes, first, rare, .. } = part;
        let rare = rare_of(rare, view, entries.len());
        for (index, entry) in entries.iter_mut().enumerate().filter(|(_, entry)| entry.flags & SENT != 0) {
            let slot = *first + index;
            let bits = view.values.get(slot).map_or(ABSENT.to_bits(), |value| value.to_bits());
            if let Some(stamp) = self.stamp(rare, index, slot, entry.flags, bits, view) {
                self.value(view, slot as u32, entry, bytes, bits, &stamp, target, out);
            }
        }
    }

    /// When a sample is of. Nothing if it is not to be sent.
    fn stamp(
        &mut self,
        Rare { times, created }: &mut Rare,
        index: usize,
        slot: usize,
        flags: u8,
        bits: u64,
        view: &View<'_>,
    ) -> Option<Stamp> {
        let is_end = bits == STALE.to_bits() || bits == ABSENT.to_bits();
        if is_end && flags & LIVE == 0 {
            return None;
        }
        let own = view.times.get(slot).copied().filter(|time| *time != NO_TIME);
        let mut time = own.unwrap_or(self.end_ms);
        if let Some(last) = times.get_mut(index) {
            if is_end {
                // The last sample's time is not the time of the end, which has to be behind it.
                time = self.end_ms.max(last.saturating_add(1));
            } else if time <= *last {
                self.totals.not_newer += 1;
                return None;
            }
            *last = time;
        }
        let start = match created.get(index) {
            Some(created) if V2 => start_ms(view, *created),
            _ => 0,
        };
        Some(Stamp::new(time, start))
    }

    /// As [`Self::part`], where exemplars go with some of the samples. Apart from the others, which are faster for it.
    #[inline(never)]
    fn exemplified(&mut self, part: &mut Part, view: &View<'_>, target: &mut Target<'_>, out: &mut Out<'_>) {
        let Part { entries, bytes, first, rare, template, told, .. } = part;
        let is_timed = !view.times.is_empty() || rare.is_some();
        let mut rare = is_timed.then(|| rare_of(rare, view, entries.len()));
        let chains = !V2 && !is_timed && self.output.takes_templates();
        let mut elements = template.as_ref().filter(|_| chains).map(Template::elements);
        let slots = *first as u32..(*first + entries.len()) as u32;
        let mut new = view.exemplars.newer(*told, slots).peekable();
        self.output.break_chain();
        for (index, entry) in entries.iter_mut().enumerate() {
            let slot = *first + index;
            let element = elements.as_mut().map(Iterator::next);
            let of = new.next_if(|of| of[0].slot as usize == slot);
            let bits = view.values.get(slot).map_or(ABSENT.to_bits(), |value| value.to_bits());
            match (element, of) {
                _ if entry.flags & SENT == 0 => self.output.break_chain(),
                (Some(element), None) if entry.flags & NATIVE == 0 => {
                    self.link(entry, bytes, bits, element, target, out);
                }
                (_, of) => {
                    let stamp = match &mut rare {
                        Some(rare) => self.stamp(rare, index, slot, entry.flags, bits, view),
                        None => Some(self.stamp),
                    };
                    let is_value = bits != ABSENT.to_bits() && bits != STALE.to_bits();
                    if let Some(of) = of
                        && !(is_value && stamp.is_some())
                    {
                        self.totals.exemplars_untold +=
                            of.iter().filter(|exemplar| exemplar.serial > *told).count() as u64;
                    }
                    let Some(stamp) = stamp else { continue };
                    let with = of.map(|of| With { all: view.exemplars, of, told: *told });
                    self.value_with(view, slot as u32, entry, bytes, bits, &stamp, with, target, out);
                }
            }
        }
    }

    /// As [`Self::value`], with exemplars if there are any.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "as those of `value`")]
    fn value_with(
        &mut self,
        view: &View<'_>,
        slot: u32,
        entry: &mut Entry,
        records: &[u8],
        bits: u64,
        stamp: &Stamp,
        with: Option<With<'_>>,
        target: &mut Target<'_>,
        out: &mut Out<'_>,
    ) {
        if bits == ABSENT.to_bits() || bits == STALE.to_bits() {
            return self.no_value(entry, records, bits, stamp, target, out);
        }
        entry.flags |= LIVE;
        match with {
            _ if entry.flags & NATIVE != 0 => {
                if let Some(native) = view.native(slot) {
                    self.output.histogram::<V2>(target, records, entry, Ok(native), stamp, with, out);
                }
            }
            Some(with) => self.output.exemplified::<V2>(target, records, entry, bits, stamp, with, out),
            None => self.output.sample::<V2>(target, records, entry, bits, stamp, out),
        }
    }

    /// One value of one series.
    #[expect(
        clippy::too_many_arguments,
        reason = "the hot path, inlined: a struct would be taken apart at once"
    )]
    #[inline]
    fn value(
        &mut self,
        view: &View<'_>,
        slot: u32,
        entry: &mut Entry,
        records: &[u8],
        bits: u64,
        stamp: &Stamp,
        target: &mut Target<'_>,
        out: &mut Out<'_>,
    ) {
        if bits == ABSENT.to_bits() || bits == STALE.to_bits() {
            return self.no_value(entry, records, bits, stamp, target, out);
        }
        entry.flags |= LIVE;
        if entry.flags & NATIVE == 0 {
            return self.output.sample::<V2>(target, records, entry, bits, stamp, out);
        }
        if let Some(native) = view.native(slot) {
            self.output.histogram::<V2>(target, records, entry, Ok(native), stamp, None, out);
        }
    }

    /// A series that has ended, or has no value in this window.
    #[cold]
    fn no_value(
        &mut self,
        entry: &mut Entry,
        records: &[u8],
        bits: u64,
        stamp: &Stamp,
        target: &mut Target<'_>,
        out: &mut Out<'_>,
    ) {
        if entry.flags & LIVE == 0 {
            return;
        }
        // Its end was told in a window that has been missed, or it is hidden from now on.
        self.totals.ends_made_up += u64::from(bits == ABSENT.to_bits());
        entry.flags &= !LIVE;
        self.end(entry, records, stamp, target, out);
    }

    fn end(
        &mut self,
        entry: &Entry,
        records: &[u8],
        stamp: &Stamp,
        target: &mut Target<'_>,
        out: &mut Out<'_>,
    ) {
        if entry.flags & NATIVE == 0 {
            self.output.sample::<V2>(target, records, entry, STALE.to_bits(), stamp, out);
        } else {
            self.output.histogram::<V2>(target, records, entry, Err(STALE), stamp, None, out);
        }
    }

    /// A part whose values are those of an earlier window: only what has ended since is told.
    fn silent(&mut self, part: &mut Part, view: &View<'_>, target: &mut Target<'_>, out: &mut Out<'_>) {
        let Part { entries, bytes, first, .. } = part;
        let stamp = self.stamp;
        for (entry, value) in entries.iter_mut().zip(view.values.get(*first..).unwrap_or_default()) {
            let is_end = value.to_bits() == STALE.to_bits() || value.to_bits() == ABSENT.to_bits();
            if entry.flags & LIVE != 0 && is_end {
                self.no_value(entry, bytes, value.to_bits(), &stamp, target, out);
            }
        }
    }

    /// Ends what has gone without having been ended.
    fn ended(&mut self, part: &mut Part, target: &mut Target<'_>, out: &mut Out<'_>) {
        // The same series may be here again under another number, with a sample of this window.
        let stamp = Stamp::new(self.end_ms - 1, 0);
        if part.gone {
            let Part { entries, ended, .. } = part;
            ended.extend(entries.iter().filter(|entry| entry.flags & LIVE != 0));
        }
        if part.ended.is_empty() {
            return;
        }
        for entry in &part.ended {
            self.totals.ends_made_up += 1;
            self.end(entry, &part.bytes, &stamp, target, out);
        }
        part.ended = Vec::new();
    }
}

/// What few parts have, with room for the times of a view that has some.
fn rare_of<'r>(rare: &'r mut Option<Box<Rare>>, view: &View<'_>, entries: usize) -> &'r mut Rare {
    let rare = &mut **rare.get_or_insert_default();
    if !view.times.is_empty() || !rare.times.is_empty() {
        rare.times.resize(entries, i64::MIN);
    }
    rare
}

/// When a series was created, as the slot that tells it says.
fn start_ms(view: &View<'_>, slot: u32) -> i64 {
    let seconds = view.values.get(slot as usize).copied().filter(|seconds| seconds.is_finite());
    seconds.map_or(0, |seconds| (seconds * 1000.0).round() as i64)
}
