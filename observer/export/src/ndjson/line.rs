//! Single lines.

use std::io::Write as _;

use observer_aggregate::{
    exemplars::{self, Exemplar},
    native::{Buckets, Native},
    series::{Head, Layout, NO_TIME, is_stale},
    stream::Conditions,
    window::{Source, Window},
};
use observer_exposition::{Labels, unescape, write_integer, write_whole};

use super::Written;

/// The version of the schema, at the begin of each line.
const BEGIN: &[u8] = b"{\"v\":1,\"kind\":\"";

/// The line of a window, behind those of its samples.
pub(super) fn window(out: &mut Vec<u8>, window: &Window, written: &Written) {
    let Window { end_ms, complete, serial, .. } = window;
    let Written { samples, histograms, exemplars_untold: _ } = written;
    out.extend_from_slice(BEGIN);
    put(
        out,
        format_args!(
            "window\",\"window\":{serial},\"end_ms\":{end_ms},\"complete\":{complete},\"samples\":{samples},\"histograms\":{histograms}}}\n"
        ),
    );
}

/// The line that stands for windows that are missing.
pub(super) fn lost(out: &mut Vec<u8>, first: u64, last: u64, cause: &str) {
    out.extend_from_slice(BEGIN);
    let windows = last.saturating_sub(first) + 1;
    put(
        out,
        format_args!(
            "lost\",\"windows\":{windows},\"first\":{first},\"last\":{last},\"cause\":\"{cause}\"}}\n"
        ),
    );
}

/// Whether the series is selected.
pub(super) fn wanted(layout: &Layout, slot: u32, select: &[Conditions]) -> bool {
    if select.is_empty() {
        return true;
    }
    let mut buffer = String::new();
    let labels: Vec<_> = Labels::unchecked(layout.labels(slot).read(&mut buffer))
        .iter()
        .map(|label| (label.name, unescape(label.value)))
        .collect();
    let labels: Vec<_> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    let name = format!("{}{}", layout.head(slot).name, layout.suffix(slot).as_str());
    select.iter().any(|conditions| conditions.hold(&name, &labels))
}

/// What of a sample's line does not change.
pub(super) fn series(out: &mut Vec<u8>, source: Source, layout: &Layout, slot: u32) {
    let Head { name, kind, unit, help: _ } = layout.head(slot);
    out.extend_from_slice(BEGIN);
    out.extend_from_slice(b"sample\",\"source\":");
    text(out, source.as_str());
    out.extend_from_slice(b",\"family\":");
    text(out, name);
    out.extend_from_slice(b",\"type\":");
    text(out, kind.as_str());
    if !unit.is_empty() {
        out.extend_from_slice(b",\"unit\":");
        text(out, unit);
    }
    out.extend_from_slice(b",\"name\":");
    text(out, &format!("{name}{}", layout.suffix(slot).as_str()));
    out.extend_from_slice(b",\"labels\":{");
    labels(out, layout.labels(slot).read(&mut String::new()));
    out.push(b'}');
}

/// The line of a sample.
pub(super) fn sample(
    out: &mut Vec<u8>,
    series: &[u8],
    time_ms: i64,
    value: f64,
    native: Option<&Native>,
    exemplars: Exemplars<'_>,
) {
    out.extend_from_slice(series);
    out.extend_from_slice(b",\"time_ms\":");
    write_integer(out, time_ms);
    match native {
        _ if is_stale(value) => out.extend_from_slice(b",\"ended\":true"),
        Some(native) => {
            out.extend_from_slice(b",\"histogram\":");
            histogram(out, native);
        }
        None => {
            out.extend_from_slice(b",\"value\":");
            number(out, value);
        }
    }
    exemplars.write(out);
    out.extend_from_slice(b"}\n");
}

/// The exemplars that go with a sample.
#[derive(Clone, Copy)]
pub(super) struct Exemplars<'w> {
    /// All of the block.
    pub(super) all: &'w exemplars::Exemplars,
    /// Those of the slot.
    pub(super) of: &'w [Exemplar],
    /// Those up to this serial were written before.
    pub(super) told: u64,
}

impl<'w> Exemplars<'w> {
    pub(super) fn is_empty(self) -> bool {
        self.untold().next().is_none()
    }

    fn untold(self) -> impl Iterator<Item = &'w Exemplar> {
        self.of.iter().filter(move |exemplar| exemplar.serial > self.told)
    }

    fn write(self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        for (at, exemplar) in self.untold().enumerate() {
            out.extend_from_slice(if at == 0 { b",\"exemplars\":[{\"labels\":{" } else { b",{\"labels\":{" });
            labels(out, self.all.labels(exemplar));
            out.extend_from_slice(b"},\"value\":");
            number(out, exemplar.value);
            if exemplar.time_ms != NO_TIME {
                put(out, format_args!(",\"time_ms\":{}", exemplar.time_ms));
            }
            out.push(b'}');
        }
        out.push(b']');
    }
}

/// A label block as members of an object.
fn labels(out: &mut Vec<u8>, block: &str) {
    for (at, label) in Labels::unchecked(block).iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text(out, &label.name);
        out.push(b':');
        text(out, &unescape(label.value));
    }
}

fn histogram(out: &mut Vec<u8>, native: &Native) {
    let Native {
        schema,
        gauge,
        float: _,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive,
        negative,
        bounds,
    } = native;
    put(out, format_args!("{{\"schema\":{schema},\"gauge\":{gauge}"));
    let numbers: [(&[u8], &f64); 4] = [
        (b",\"count\":", count),
        (b",\"sum\":", sum),
        (b",\"zero_threshold\":", zero_threshold),
        (b",\"zero_count\":", zero_count),
    ];
    for (key, value) in numbers {
        out.extend_from_slice(key);
        number(out, *value);
    }
    let signs: [(&[u8], &Buckets); 2] = [(b",\"positive\":[", positive), (b",\"negative\":[", negative)];
    for (key, buckets) in signs {
        out.extend_from_slice(key);
        for (at, (index, count)) in buckets.iter().enumerate() {
            put(out, format_args!("{}[{index},", if at > 0 { "," } else { "" }));
            number(out, count);
            out.push(b']');
        }
        out.push(b']');
    }
    if !bounds.is_empty() {
        out.extend_from_slice(b",\"bounds\":[");
        for (at, bound) in bounds.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            number(out, *bound);
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// A number, or a text for those that JSON does not have.
fn number(out: &mut Vec<u8>, value: f64) {
    if write_whole(out, value) {
        return;
    }
    let size = value.abs();
    match value {
        _ if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
        f64::INFINITY => out.extend_from_slice(b"\"+Inf\""),
        f64::NEG_INFINITY => out.extend_from_slice(b"\"-Inf\""),
        // The shortest digits that read back to the same number, also where there are many zeros.
        _ if size >= 1e17 || (size < 1e-6 && size > 0.0) => put(out, format_args!("{value:e}")),
        _ => put(out, format_args!("{value}")),
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for char in text.chars() {
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\0'..='\x1f' => put(out, format_args!("\\u{:04x}", u32::from(char))),
            _ => {
                let mut bytes = [0; 4];
                out.extend_from_slice(char.encode_utf8(&mut bytes).as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes what it is given.
    let _written = out.write_fmt(text);
}
