//! Rows of `observer trace -o ndjson`, as `docs/trace.md` promises them.

use serde_json::Value;

/// One row.
#[derive(Clone, Debug)]
pub struct Row(pub Value);

impl Row {
    /// Reads a line.
    #[track_caller]
    pub(crate) fn parse(line: &str) -> Self {
        let row = serde_json::from_str(line).unwrap_or_else(|error| panic!("`{line}` is not JSON: {error}"));
        Self(row)
    }

    /// A text field, empty when it is absent.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// A whole number.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<u64> {
        self.0[field].as_u64()
    }

    /// A duration in seconds.
    #[must_use]
    pub fn seconds(&self, field: &str) -> Option<f64> {
        self.0[field].as_f64()
    }

    /// Whether it is of this kind and role.
    #[must_use]
    pub fn is(&self, event: &str, role: &str) -> bool {
        self.text("event") == event && self.text("role") == role
    }

    /// `OUTCOME[ ERROR]`
    #[must_use]
    pub fn outcome(&self) -> String {
        format!("{} {}", self.text("outcome"), self.text("error")).trim_end().to_owned()
    }
}

/// A few fields of many rows, for a person to read.
#[must_use]
pub fn show(rows: &[&Row]) -> String {
    let lines = rows.iter().map(|row| format!("      {}", row.0));
    lines.collect::<Vec<_>>().join("\n")
}
