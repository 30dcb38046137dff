//! The labels of a scraped series: the exporter's and the target's, as Prometheus joins them.

use std::borrow::Cow;

use crate::relabel::LabelSet;

use observer_exposition::{Labels, escape, is_legacy_label, unescape};

/// The labels of a target, values escaped, sorted by name.
#[derive(Debug, Default)]
pub(super) struct TargetLabels(Vec<(String, String)>);

impl TargetLabels {
    pub(super) fn new(labels: &[(String, String)]) -> Self {
        let mut labels: Vec<_> =
            labels.iter().map(|(name, value)| (name.clone(), escape(value).into_owned())).collect();
        labels.sort();
        Self(labels)
    }

    /// The block of the target's labels alone.
    pub(super) fn block(&self) -> String {
        write(self.0.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// The block of a scraped series, sorted by name. With `honor` its labels win over the target's; otherwise
    /// those that the target has too are renamed to `exported_…`.
    pub(super) fn join(&self, scraped: Labels<'_>, honor: bool) -> String {
        let mut labels: Vec<(Cow<'_, str>, Cow<'_, str>)> = scraped
            .iter()
            // The name of the series is no label of it.
            .filter(|label| label.name != "__name__")
            .map(|label| (label.name, canonical(label.value)))
            .collect();
        let mut renamed = Vec::new();
        for (name, value) in &self.0 {
            match labels.iter().position(|(other, _)| other == name) {
                // An empty value is no label, yet it keeps the target's away.
                Some(_) if honor => {}
                Some(at) => {
                    let scraped = std::mem::replace(&mut labels[at].1, Cow::Borrowed(value));
                    if !scraped.is_empty() {
                        renamed.push((name, scraped));
                    }
                }
                None => labels.push((Cow::Borrowed(name), Cow::Borrowed(value))),
            }
        }
        renamed.sort_by_key(|(name, _)| name.len());
        for (name, value) in renamed {
            let mut name = format!("exported_{name}");
            while labels.iter().any(|(other, value)| *other == name && !value.is_empty()) {
                name.insert_str(0, "exported_");
            }
            labels.retain(|(other, _)| *other != name);
            labels.push((Cow::Owned(name), value));
        }
        labels.retain(|(_, value)| !value.is_empty());
        labels.sort();
        write(labels.iter().map(|(name, value)| (&**name, &**value)))
    }
}

/// The block of a set, without the name of its series.
pub(super) fn write_set(set: &LabelSet) -> String {
    let labels: Vec<_> = set.iter().map(|(name, value)| (name, escape(value))).collect();
    write(labels.iter().map(|(name, value)| (*name, &**value)).filter(|(name, _)| *name != "__name__"))
}

/// The value with the escapes that every format reads.
fn canonical(raw: &str) -> Cow<'_, str> {
    if raw.contains('\\') { Cow::Owned(escape(&unescape(raw)).into_owned()) } else { Cow::Borrowed(raw) }
}

fn write<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut block = String::new();
    for (name, value) in labels {
        if !block.is_empty() {
            block.push(',');
        }
        if is_legacy_label(name) {
            block.push_str(name);
        } else {
            block.push('"');
            block.push_str(&escape(name));
            block.push('"');
        }
        block.push_str("=\"");
        block.push_str(value);
        block.push('"');
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &[(&str, &str)], scraped: &str, honor: bool, expected: &str) {
        let target: Vec<_> = target.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(TargetLabels::new(&target).join(Labels::unchecked(scraped), honor), expected, "{scraped}");
    }

    const TARGET: &[(&str, &str)] = &[("job", "j"), ("instance", "h:1")];

    #[test]
    fn labels_are_joined_and_sorted() {
        check(TARGET, "", false, "instance=\"h:1\",job=\"j\"");
        check(TARGET, "z=\"1\",a=\"2\"", false, "a=\"2\",instance=\"h:1\",job=\"j\",z=\"1\"");
        check(&[("x", "a\"b\\c")], "", false, "x=\"a\\\"b\\\\c\"");
    }

    #[test]
    fn a_conflict_renames_the_scraped_label() {
        check(TARGET, "job=\"own\"", false, "exported_job=\"own\",instance=\"h:1\",job=\"j\"");
        check(
            TARGET,
            "job=\"own\",exported_job=\"x\"",
            false,
            "exported_exported_job=\"own\",exported_job=\"x\",instance=\"h:1\",job=\"j\"",
        );
        // As Prometheus: the shorter name is renamed first.
        check(
            &[("a", "1"), ("exported_a", "2")],
            "a=\"x\",exported_a=\"y\"",
            false,
            "a=\"1\",exported_a=\"2\",exported_exported_a=\"x\",exported_exported_exported_a=\"y\"",
        );
        check(TARGET, "job=\"\"", false, "instance=\"h:1\",job=\"j\"");
        check(
            TARGET,
            "job=\"own\",exported_job=\"\"",
            false,
            "exported_job=\"own\",instance=\"h:1\",job=\"j\"",
        );
    }

    #[test]
    fn honored_labels_win_even_empty() {
        check(TARGET, "job=\"own\"", true, "instance=\"h:1\",job=\"own\"");
        check(TARGET, "instance=\"\"", true, "job=\"j\"");
    }

    #[test]
    fn what_is_no_label_is_left_out() {
        check(&[], "a=\"\",__name__=\"b\",c=\"1\"", false, "c=\"1\"");
    }

    #[test]
    fn names_and_values_are_written_as_every_reader_wants() {
        check(&[], "\"a.b\"=\"C:\\dir\\\\x\\n\"", false, "\"a.b\"=\"C:\\\\dir\\\\x\\n\"");
    }
}
