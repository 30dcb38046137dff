//! Writing both formats.

use std::{borrow::Cow, io::Write as _};

use crate::{Exemplar, Kind, Label, Labels, labels, name, number};

/// A format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// The Prometheus text format.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// How names outside the legacy alphabet are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Names {
    /// Every character that does not fit becomes `_`: every reader understands it.
    Underscores,
    /// In quotes, for readers that ask for `escaping=allow-utf-8`.
    Quoted,
}

/// The head of a family.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The OpenMetrics name, without a suffix.
    pub name: &'a str,
    /// What the name of a counter's or an info's samples has behind it: `_total` or `_info`, or nothing where the
    /// source does not follow OpenMetrics. Empty for other types.
    pub suffix: &'a str,
    /// The type.
    pub kind: Kind,
    /// The help text, unescaped; empty for none.
    pub help: &'a str,
    /// The unit; empty for none. Left out where it does not fit name or type.
    pub unit: &'a str,
}

/// What stands before the labels in every line of samples that have one name.
#[derive(Debug, Default)]
pub struct Prefix {
    text: Vec<u8>,
    /// The name stands in the braces, so these are open.
    quoted: bool,
}

/// Writes families one behind the other into a buffer.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
    format: Format,
    names: Names,
}

impl Format {
    /// The value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self, names: Names) -> &'static str {
        match (self, names) {
            (Self::Text, Names::Underscores) => "text/plain; version=0.0.4; charset=utf-8",
            (Self::Text, Names::Quoted) => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            (Self::OpenMetrics, Names::Underscores) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
            (Self::OpenMetrics, Names::Quoted) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
            }
        }
    }
}

impl<'b> Writer<'b> {
    /// A writer that appends to `out`.
    #[must_use]
    pub const fn new(out: &'b mut Vec<u8>, format: Format, names: Names) -> Self {
        Self { out, format, names }
    }

    /// Writes the head of a family. Its samples follow.
    pub fn family(&mut self, header: &Header<'_>) {
        let Header { name, suffix, kind, help, unit } = *header;
        let (suffix, kind, unit) = match self.format {
            // In the text format a counter's family is called like its samples.
            Format::Text => (suffix, text_kind(kind), ""),
            Format::OpenMetrics => match kind {
                // OpenMetrics knows such samples under no other type.
                Kind::Counter if suffix != "_total" => (suffix, "unknown", unit),
                Kind::Info if suffix != "_info" => (suffix, "unknown", unit),
                Kind::Info | Kind::StateSet => ("", openmetrics_kind(kind), ""),
                _ => ("", openmetrics_kind(kind), unit),
            },
        };
        if !help.is_empty() {
            self.metadata("HELP", name, suffix);
            self.help(help);
            self.out.push(b'\n');
        }
        self.metadata("TYPE", name, suffix);
        self.out.extend_from_slice(kind.as_bytes());
        self.out.push(b'\n');
        if !unit.is_empty()
            && suffix.is_empty()
            && name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'))
        {
            self.metadata("UNIT", name, suffix);
            self.out.extend_from_slice(unit.as_bytes());
            self.out.push(b'\n');
        }
    }

    /// Writes a sample. `labels` is a block without braces with its values escaped, empty for none.
    pub fn sample(&mut self, name: &str, suffix: &str, labels: &str, value: f64, timestamp_ms: Option<i64>) {
        self.line(&self.prefix(name, suffix), labels, value, timestamp_ms);
    }

    /// What the lines of many samples of one name begin with, for [`Self::line`].
    #[must_use]
    pub fn prefix(&self, name: &str, suffix: &str) -> Prefix {
        let mut prefix = Prefix::default();
        let mut writer = Writer { out: &mut prefix.text, format: self.format, names: self.names };
        let legacy = name::is_legacy_name(name);
        if legacy || self.names == Names::Underscores {
            writer.plain_name(name, legacy);
            writer.out.extend_from_slice(suffix.as_bytes());
        } else {
            writer.out.push(b'{');
            writer.quoted_name(name, suffix);
            prefix.quoted = true;
        }
        prefix
    }

    /// As [`Self::sample`], for samples whose name is known.
    #[inline]
    pub fn line(&mut self, prefix: &Prefix, labels: &str, value: f64, timestamp_ms: Option<i64>) {
        self.start(prefix, labels, value, timestamp_ms);
        self.out.push(b'\n');
    }

    /// As [`Self::line`], for a block with some label and without names in quotes, which `labels` appends.
    #[inline]
    pub fn line_of(
        &mut self,
        prefix: &Prefix,
        labels: impl FnOnce(&mut Vec<u8>),
        value: f64,
        timestamp_ms: Option<i64>,
    ) {
        self.out.extend_from_slice(&prefix.text);
        self.out.push(if prefix.quoted { b',' } else { b'{' });
        labels(self.out);
        self.out.push(b'}');
        self.value(value, timestamp_ms);
        self.out.push(b'\n');
    }

    /// As [`Self::line`], with an exemplar if the format has them. In OpenMetrics only a counter's `_total` and a bucket may have one.
    pub fn line_with(
        &mut self,
        prefix: &Prefix,
        labels: &str,
        value: f64,
        timestamp_ms: Option<i64>,
        exemplar: &Exemplar<'_>,
    ) {
        self.start(prefix, labels, value, timestamp_ms);
        if self.format == Format::OpenMetrics {
            let Exemplar { labels, value, timestamp_ms } = exemplar;
            self.out.extend_from_slice(b" # {");
            self.labels(labels.block());
            self.out.extend_from_slice(b"} ");
            number::write_value(self.out, *value);
            if let Some(millis) = timestamp_ms {
                self.timestamp(*millis);
            }
        }
        self.out.push(b'\n');
    }

    /// A line up to its exemplar.
    #[inline]
    fn start(&mut self, prefix: &Prefix, labels: &str, value: f64, timestamp_ms: Option<i64>) {
        self.out.extend_from_slice(&prefix.text);
        if !labels.is_empty() {
            self.out.push(if prefix.quoted { b',' } else { b'{' });
            self.labels(labels);
        }
        if prefix.quoted || !labels.is_empty() {
            self.out.push(b'}');
        }
        self.value(value, timestamp_ms);
    }

    #[inline]
    fn value(&mut self, value: f64, timestamp_ms: Option<i64>) {
        self.out.push(b' ');
        number::write_value(self.out, value);
        if let Some(millis) = timestamp_ms {
            self.timestamp(millis);
        }
    }

    /// Ends the body, which nothing may follow.
    pub fn finish(self) {
        if self.format == Format::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
    }

    fn metadata(&mut self, keyword: &str, name: &str, suffix: &str) {
        self.out.extend_from_slice(b"# ");
        self.out.extend_from_slice(keyword.as_bytes());
        self.out.push(b' ');
        let legacy = name::is_legacy_name(name);
        if legacy || self.names == Names::Underscores {
            self.plain_name(name, legacy);
            self.out.extend_from_slice(suffix.as_bytes());
        } else {
            self.quoted_name(name, suffix);
        }
        self.out.push(b' ');
    }

    fn plain_name(&mut self, name: &str, legacy: bool) {
        if legacy {
            self.out.extend_from_slice(name.as_bytes());
        } else {
            underscores(self.out, name, name::name_part);
        }
    }

    fn quoted_name(&mut self, name: &str, suffix: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(labels::escape(name).as_bytes());
        self.out.extend_from_slice(suffix.as_bytes());
        self.out.push(b'"');
    }

    /// A quote needs an escape in OpenMetrics' help text and has none in the text format's.
    fn help(&mut self, help: &str) {
        let escaped = match self.format {
            Format::OpenMetrics => labels::escape(help),
            Format::Text if help.contains(['\\', '\n']) => {
                Cow::Owned(help.replace('\\', "\\\\").replace('\n', "\\n"))
            }
            Format::Text => Cow::Borrowed(help),
        };
        self.out.extend_from_slice(escaped.as_bytes());
    }

    /// The block as it is, unless it has a name in quotes that the reader would not understand.
    fn labels(&mut self, block: &str) {
        let labels = Labels::unchecked(block);
        if self.names == Names::Quoted || !labels.may_need_quotes() {
            self.out.extend_from_slice(block.as_bytes());
            return;
        }
        for (i, (name, value)) in legacy_labels(&labels).into_iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            let _written = write!(self.out, "{name}=\"{value}\"");
        }
    }

    fn timestamp(&mut self, millis: i64) {
        let written = match self.format {
            Format::Text => write!(self.out, " {millis}"),
            Format::OpenMetrics => {
                let sign = if millis < 0 { "-" } else { "" };
                let millis = millis.unsigned_abs();
                write!(self.out, " {sign}{}.{:03}", millis / 1000, millis % 1000)
            }
        };
        written.expect("a Vec takes every write");
    }
}

/// A metric's name as every reader understands it: each character outside the legacy alphabet becomes `_`.
#[must_use]
pub fn legacy_name(name: &str) -> Cow<'_, str> {
    if name::is_legacy_name(name) { Cow::Borrowed(name) } else { Cow::Owned(replaced(name, name::name_part)) }
}

/// A label's name as every reader understands it.
#[must_use]
pub fn legacy_label(name: &str) -> Cow<'_, str> {
    if name::is_legacy_label(name) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(replaced(name, name::label_part))
    }
}

/// The labels with names that every reader understands, and their values as they stand between their quotes. Of several that get one
/// name the last is left: in sorted labels a name that needs no change stands behind those that become it.
#[must_use]
pub fn legacy_labels<'a>(labels: &Labels<'a>) -> Vec<(Cow<'a, str>, &'a str)> {
    let mut legacy: Vec<(Cow<'a, str>, &'a str)> = Vec::new();
    for Label { name, value } in labels.iter() {
        let name = match name {
            Cow::Borrowed(name) => legacy_label(name),
            Cow::Owned(name) => Cow::Owned(legacy_label(&name).into_owned()),
        };
        match legacy.iter_mut().find(|(other, _)| *other == name) {
            Some((_, other)) => *other = value,
            None => legacy.push((name, value)),
        }
    }
    legacy
}

fn replaced(name: &str, part: fn(u8) -> bool) -> String {
    let mut out = Vec::with_capacity(name.len());
    underscores(&mut out, name, part);
    // Only characters of the alphabet are left.
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes the name with `_` in the place of each character that may not stand there, as Prometheus does
/// (`prometheus/common`, `model.EscapeName`).
fn underscores(out: &mut Vec<u8>, name: &str, part: fn(u8) -> bool) {
    out.extend(name.chars().enumerate().map(|(at, c)| match u8::try_from(c) {
        Ok(byte) if part(byte) && !(at == 0 && byte.is_ascii_digit()) => byte,
        _ => b'_',
    }));
}

const fn text_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unknown => "untyped",
        Kind::Counter => "counter",
        Kind::Gauge | Kind::Info | Kind::StateSet => "gauge",
        Kind::Histogram | Kind::GaugeHistogram => "histogram",
        Kind::Summary => "summary",
    }
}

const fn openmetrics_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unknown => "unknown",
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Info => "info",
        Kind::StateSet => "stateset",
        Kind::Histogram => "histogram",
        Kind::GaugeHistogram => "gaugehistogram",
        Kind::Summary => "summary",
    }
}

#[cfg(test)]
mod tests;
