//! One page of many sources: families of one name merged, so that each stands in one place under one type.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use observer_aggregate::{
    family::{Kind, Suffix},
    series::{Head, NO_TIME, is_present},
    window::View,
};
use observer_exposition::{self as exposition, Format, Header, Labels, Names, Writer, escape};

/// Families ready to write.
#[derive(Debug, Default)]
pub(crate) struct Page<'a> {
    families: Vec<Merged<'a>>,
    /// Where a family stands, by the name it has in the text format.
    places: HashMap<Cow<'a, str>, usize>,
    seen: HashSet<(usize, Suffix, &'a str)>,
    /// What is left out.
    pub(crate) dropped: Dropped,
}

/// Samples that are not on the page, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// The series is there already.
    pub(crate) duplicate: u64,
    /// The name is there already for a family that cannot have such a sample.
    pub(crate) conflict: u64,
}

/// A family of the page.
#[derive(Debug)]
struct Merged<'a> {
    name: Cow<'a, str>,
    /// What stands behind the name of every sample, for families whose samples all have one name.
    suffix: Suffix,
    kind: Kind,
    help: &'a str,
    unit: &'a str,
    lines: Vec<Line<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    suffix: Suffix,
    labels: &'a str,
    value: f64,
    timestamp_ms: Option<i64>,
}

impl<'a> Page<'a> {
    /// Merges families in their order. The first of a name decides type and help text.
    pub(crate) fn merge(views: impl IntoIterator<Item = View<'a>>) -> Self {
        let mut page = Self::default();
        for View { layout, values, times, .. } in views {
            for (head, slots) in layout.families() {
                let present = slots.iter().filter(|slot| {
                    layout.suffix(**slot) != Suffix::Native && is_present(values[**slot as usize])
                });
                page.add(
                    head,
                    present.map(|slot| Line {
                        suffix: layout.suffix(*slot),
                        labels: layout.labels(*slot),
                        value: values[*slot as usize],
                        timestamp_ms: times.get(*slot as usize).copied().filter(|time| *time != NO_TIME),
                    }),
                );
            }
        }
        page
    }

    /// Writes the page. Every series without a label of that name gets the external labels.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        format: Format,
        names: Names,
        external_labels: &[(String, String)],
    ) {
        let external: Vec<_> = external_labels
            .iter()
            .map(|(name, value)| (&**name, format!("{name}=\"{}\"", escape(value))))
            .collect();
        let mut writer = Writer::new(out, format, names);
        let mut block = String::new();
        let mut extras = match format {
            Format::Text => self.foreign_to_text(),
            Format::OpenMetrics => BTreeMap::new(),
        };
        for family in &self.families {
            self.head(family, format, &mut writer);
            for line in &family.lines {
                if format == Format::OpenMetrics || !is_foreign_to_text(line.suffix) {
                    write_line(&mut writer, family, line, &external, &mut block);
                }
            }
            for (other, line) in extras.remove(&full_name(&family.name, family.suffix)).unwrap_or_default() {
                write_line(&mut writer, other, line, &external, &mut block);
            }
        }
        for (name, lines) in extras {
            writer.family(&Header {
                name: &name,
                suffix: "",
                kind: exposition::Kind::Gauge,
                help: "",
                unit: "",
            });
            for (family, line) in lines {
                write_line(&mut writer, family, line, &external, &mut block);
            }
        }
        writer.finish();
    }

    /// The samples that the text format knows only as gauges of their own, by the name of that gauge.
    fn foreign_to_text(&self) -> BTreeMap<Cow<'_, str>, Vec<(&Merged<'a>, &Line<'a>)>> {
        let mut extras = BTreeMap::<_, Vec<_>>::new();
        for family in &self.families {
            for line in family.lines.iter().filter(|line| is_foreign_to_text(line.suffix)) {
                extras.entry(full_name(&family.name, line.suffix)).or_default().push((family, line));
            }
        }
        extras
    }

    fn head(&self, family: &Merged<'_>, format: Format, writer: &mut Writer<'_>) {
        let Merged { name, suffix, kind, help, unit, lines: _ } = family;
        let suffix = suffix.as_str();
        // OpenMetrics calls a counter by its short name, which another family may have as its only one.
        if format == Format::OpenMetrics && !suffix.is_empty() && self.places.contains_key(name) {
            let name = format!("{name}{suffix}");
            let kind = exposition::Kind::Unknown;
            writer.family(&Header { name: &name, suffix: "", kind, help, unit: "" });
        } else {
            writer.family(&Header { name, suffix, kind: exposition_kind(*kind), help, unit });
        }
    }

    fn add(&mut self, head: &'a Head, lines: impl Iterator<Item = Line<'a>> + Clone) {
        let Head { name, kind, help, unit } = head;
        if lines.clone().next().is_none() {
            return;
        }
        let several = has_several_names(*kind);
        let suffix = match kind {
            Kind::Counter if lines.clone().any(|line| line.suffix == Suffix::Total) => Suffix::Total,
            Kind::Info if lines.clone().any(|line| line.suffix == Suffix::Info) => Suffix::Info,
            _ => Suffix::None,
        };
        let at = *self.places.entry(full_name(name, suffix)).or_insert_with(|| {
            self.families.push(Merged {
                name: Cow::Borrowed(name),
                suffix,
                kind: *kind,
                help,
                unit,
                lines: Vec::new(),
            });
            self.families.len() - 1
        });
        let first = &self.families[at];
        let fits = first.kind == *kind || (!several && !has_several_names(first.kind));
        let (first_kind, first_suffix) = (first.kind, first.suffix);
        for line in lines {
            if !fits {
                self.add_alone(name, line);
            } else if !several && line.suffix == suffix {
                self.push(at, Line { suffix: first_suffix, ..line });
            } else if several || (first_kind == *kind && line.suffix == Suffix::Created) {
                self.push(at, line);
            } else {
                self.add_alone(name, line);
            }
        }
    }

    /// Adds a sample as a family of its own, of unknown type.
    fn add_alone(&mut self, name: &'a str, line: Line<'a>) {
        let at = *self.places.entry(full_name(name, line.suffix)).or_insert_with_key(|key| {
            self.families.push(Merged {
                name: key.clone(),
                suffix: Suffix::None,
                kind: Kind::Unknown,
                help: "",
                unit: "",
                lines: Vec::new(),
            });
            self.families.len() - 1
        });
        let Merged { kind, suffix, .. } = self.families[at];
        if has_several_names(kind) {
            self.dropped.conflict += 1;
        } else {
            self.push(at, Line { suffix, ..line });
        }
    }

    fn push(&mut self, at: usize, line: Line<'a>) {
        if self.seen.insert((at, line.suffix, line.labels)) {
            self.families[at].lines.push(line);
        } else {
            self.dropped.duplicate += 1;
        }
    }
}

/// `external` are label names with the label as it is written; `block` is scratch.
fn write_line(
    writer: &mut Writer<'_>,
    family: &Merged<'_>,
    line: &Line<'_>,
    external: &[(&str, String)],
    block: &mut String,
) {
    let Line { suffix, labels, value, timestamp_ms } = *line;
    let mut labels = labels;
    if !external.is_empty() {
        block.clear();
        block.push_str(labels);
        for (name, written) in external {
            if Labels::unchecked(line.labels).value(name).is_none() {
                if !block.is_empty() {
                    block.push(',');
                }
                block.push_str(written);
            }
        }
        labels = block;
    }
    writer.sample(&family.name, suffix.as_str(), labels, value, timestamp_ms);
}

/// Whether samples of the type differ in their names.
const fn has_several_names(kind: Kind) -> bool {
    matches!(kind, Kind::Histogram | Kind::GaugeHistogram | Kind::Summary)
}

/// Whether the text format has no such sample in any family.
const fn is_foreign_to_text(suffix: Suffix) -> bool {
    matches!(suffix, Suffix::Created | Suffix::GSum | Suffix::GCount)
}

fn full_name(name: &str, suffix: Suffix) -> Cow<'_, str> {
    match suffix {
        Suffix::None | Suffix::Native => Cow::Borrowed(name),
        _ => Cow::Owned(format!("{name}{}", suffix.as_str())),
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

#[cfg(test)]
mod tests;
