//! A page as lines of text.

use observer_aggregate::{
    family::{Kind, Suffix},
    series::Text,
    window::View,
};
use observer_exposition::{self as exposition, Format, Header, Labels, Names, Prefix, Writer, escape};

use super::{
    Dropped, exemplar,
    plan::{Merged, Place, Plan, full_name, is_foreign_to_text},
    present, time,
};

/// A page that is being written.
struct Lines<'p, 'w> {
    plan: &'p Plan,
    views: &'p [View<'p>],
    writer: Writer<'w>,
    format: Format,
    external: External,
    dropped: &'p mut Dropped,
}

/// The labels that series get.
pub(super) struct External {
    /// The name as it begins in a block, the name, and the label as it is written.
    labels: Vec<(String, String, String)>,
    own: String,
    block: String,
}

/// What the lines of a family begin with, by suffix.
#[derive(Default)]
struct Prefixes(Vec<(Suffix, Prefix)>);

pub(super) fn write(
    plan: &Plan,
    views: &[View<'_>],
    out: &mut Vec<u8>,
    (format, names): (Format, Names),
    external_labels: &[(String, String)],
    dropped: &mut Dropped,
) {
    let (writer, external) = (Writer::new(out, format, names), External::new(external_labels));
    let mut lines = Lines { plan, views, writer, format, external, dropped };
    for family in &plan.families {
        lines.family(family);
    }
    if format == Format::Text {
        for (name, samples) in &plan.extras {
            let head = Header { name, suffix: "", kind: exposition::Kind::Gauge, help: "", unit: "" };
            let mut is_headed = false;
            lines.guests(samples, &mut |lines| {
                if !std::mem::replace(&mut is_headed, true) {
                    lines.writer.family(&head);
                }
            });
        }
    }
    lines.writer.finish();
}

impl Lines<'_, '_> {
    fn family(&mut self, family: &Merged) {
        let (plan, views) = (self.plan, self.views);
        let mut prefixes = Prefixes::default();
        let mut is_headed = false;
        let (mut natives, mut counts) = (0, 0);
        let exemplified = self.exemplified(family);
        for run in &family.runs {
            let view = &views[run.view as usize];
            for &slot in &view.layout.order()[run.from as usize..run.to as usize] {
                let Some(value) = present(view, slot) else { continue };
                if run.repeats && plan.is_repeated(views, (run.view, slot)) {
                    self.dropped.duplicate += 1;
                    continue;
                }
                let suffix = run.suffix.unwrap_or_else(|| view.layout.suffix(slot));
                match suffix {
                    Suffix::Native => {
                        natives += 1;
                        continue;
                    }
                    Suffix::Count | Suffix::GCount => counts += 1,
                    _ => {}
                }
                if self.format == Format::Text && is_foreign_to_text(suffix) {
                    continue;
                }
                if !is_headed {
                    self.head(family);
                    is_headed = true;
                }
                let prefix = prefixes.of(&self.writer, &family.name, suffix);
                let labels = view.layout.labels(slot);
                let may_have = exemplified == Some(suffix) && !view.exemplars.is_empty();
                let exemplar = may_have.then(|| exemplar(view, slot)).flatten();
                if exemplar.is_none()
                    && self.external.are_none()
                    && !labels.is_empty()
                    && !labels.may_be_quoted()
                {
                    self.writer.line_of(prefix, |out| labels.append(out), value, time(view, slot));
                    continue;
                }
                let labels = self.external.join(labels);
                match exemplar {
                    Some(of) => self.writer.line_with(prefix, labels, value, time(view, slot), &of),
                    None => self.writer.line(prefix, labels, value, time(view, slot)),
                }
            }
        }
        // Each native histogram that has a classic form has one count there.
        self.dropped.native += u64::saturating_sub(natives, counts);
        if self.format == Format::Text && !family.guests.is_empty() {
            self.guests(&family.guests, &mut |lines| {
                if !is_headed {
                    lines.head(family);
                    is_headed = true;
                }
            });
        }
    }

    /// Which samples of a family may have exemplars.
    fn exemplified(&self, family: &Merged) -> Option<Suffix> {
        match (self.format, family.kind) {
            // What is no counter to OpenMetrics stands there as unknown.
            (Format::OpenMetrics, Kind::Counter) => {
                Some(Suffix::Total).filter(|total| family.suffix == *total && !family.shadowed)
            }
            (Format::OpenMetrics, Kind::Histogram | Kind::GaugeHistogram) => Some(Suffix::Bucket),
            _ => None,
        }
    }

    /// Samples of other families; `head` comes before each of them.
    fn guests(&mut self, samples: &[(usize, Place)], head: &mut dyn FnMut(&mut Self)) {
        let (plan, views) = (self.plan, self.views);
        for &(family, (at, slot)) in samples {
            let view = &views[at as usize];
            let Some(value) = present(view, slot) else { continue };
            // Such a one has been counted in its own family.
            if plan.is_repeated(views, (at, slot)) {
                continue;
            }
            head(self);
            let labels = self.external.join(view.layout.labels(slot));
            let (name, suffix) = (&plan.families[family].name, view.layout.suffix(slot).as_str());
            self.writer.sample(name, suffix, labels, value, time(view, slot));
        }
    }

    fn head(&mut self, family: &Merged) {
        let Merged { name, suffix, kind, help, unit, shadowed, .. } = family;
        // OpenMetrics calls a counter by its short name, which another family may have as its only one.
        if self.format == Format::OpenMetrics && *shadowed {
            let name = &full_name(name, *suffix);
            let kind = exposition::Kind::Unknown;
            self.writer.family(&Header { name, suffix: "", kind, help, unit: "" });
        } else {
            let (suffix, kind) = (suffix.as_str(), exposition_kind(*kind));
            self.writer.family(&Header { name, suffix, kind, help, unit });
        }
    }
}

impl Prefixes {
    fn of(&mut self, writer: &Writer<'_>, name: &str, suffix: Suffix) -> &Prefix {
        let known = self.0.iter().position(|(known, _)| *known == suffix);
        let at = known.unwrap_or_else(|| {
            self.0.push((suffix, writer.prefix(name, suffix.as_str())));
            self.0.len() - 1
        });
        &self.0[at].1
    }
}

impl External {
    pub(super) fn new(labels: &[(String, String)]) -> Self {
        let label = |(name, value): &(String, String)| {
            (format!("{name}=\""), name.clone(), format!("{name}=\"{}\"", escape(value)))
        };
        Self { labels: labels.iter().map(label).collect(), own: String::new(), block: String::new() }
    }

    fn are_none(&self) -> bool {
        self.labels.is_empty()
    }

    /// A series' label block with those that it lacks.
    pub(super) fn join<'a>(&'a mut self, labels: Text<'a>) -> &'a str {
        let labels = labels.read(&mut self.own);
        if self.labels.is_empty() {
            return labels;
        }
        self.block.clear();
        self.block.push_str(labels);
        for (begin, name, written) in &self.labels {
            // What looks like the label may stand in the value of another.
            if labels.contains(&**begin) && Labels::unchecked(labels).value(name).is_some() {
                continue;
            }
            if !self.block.is_empty() {
                self.block.push(',');
            }
            self.block.push_str(written);
        }
        &self.block
    }
}

const fn exposition_kind(kind: Kind) -> exposition::Kind {
    match kind {
        Kind::Unknown => exposition::Kind::Unknown,
        Kind::Counter => exposition::Kind::Counter,
        Kind::Gauge => exposition::Kind::Gauge,
        Kind::Histogram => exposition::Kind::Histogram,
        Kind::GaugeHistogram => exposition::Kind::GaugeHistogram,
        Kind::Summary => exposition::Kind::Summary,
        Kind::Info => exposition::Kind::Info,
        Kind::StateSet => exposition::Kind::StateSet,
    }
}
