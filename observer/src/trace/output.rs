//! The ways a trace is written.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{
    row::{FIELDS, Row},
    summary::Summary,
    table,
};

/// `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One document at the end.
    Json,
    /// An object a line, as it happens.
    Ndjson,
    /// A header and a line an event.
    Csv,
}

/// Writes rows as they come and the summary at the end.
pub(crate) struct Output<W: Write> {
    format: Format,
    out: W,
    colour: bool,
    rows: usize,
}

impl<W: Write> Output<W> {
    pub(crate) fn new(format: Format, out: W, colour: bool) -> io::Result<Self> {
        let mut output = Self { format, out, colour, rows: 0 };
        match format {
            Format::Table => table::header(&mut output.out)?,
            Format::Json => output.out.write_all(b"{\"events\":[")?,
            Format::Ndjson => {}
            Format::Csv => writeln!(output.out, "{}", FIELDS.join(","))?,
        }
        Ok(output)
    }

    pub(crate) fn row(&mut self, row: &Row) -> io::Result<()> {
        match self.format {
            Format::Table => table::row(&mut self.out, row, self.colour)?,
            Format::Json => {
                self.out.write_all(if self.rows == 0 { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut self.out, row)?;
            }
            Format::Ndjson => {
                serde_json::to_writer(&mut self.out, row)?;
                self.out.write_all(b"\n")?;
            }
            Format::Csv => {
                let line: Vec<_> = FIELDS.iter().map(|f| row.cell(f).map_or(String::new(), csv)).collect();
                writeln!(self.out, "{}", line.join(","))?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Makes what was written visible.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends the output. Where a format has no place for the summary, it goes to `aside`.
    pub(crate) fn finish(mut self, summary: &Summary, aside: &mut impl Write) -> io::Result<()> {
        match self.format {
            Format::Table => {
                writeln!(self.out)?;
                table::summary(&mut self.out, summary)?;
            }
            Format::Json => {
                self.out.write_all(b"],\n\"summary\":")?;
                serde_json::to_writer(&mut self.out, &summary.to_json())?;
                self.out.write_all(b"}\n")?;
            }
            Format::Ndjson => {
                let mut object = json!({"event": "summary"});
                if let (Value::Object(object), Value::Object(summary)) = (&mut object, summary.to_json()) {
                    object.extend(summary);
                }
                serde_json::to_writer(&mut self.out, &object)?;
                self.out.write_all(b"\n")?;
            }
            Format::Csv => table::summary(aside, summary)?,
        }
        self.out.flush()
    }
}

/// A cell, quoted where RFC 4180 asks for it.
fn csv(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use observer_abi::record::{Connect, Identity};

    use super::*;

    fn row() -> Row {
        let mut id = Identity { role: 1, pid: 9, peer_port: 80, ..Identity::default() };
        id.comm[..4].copy_from_slice(b"a,\"b");
        Row::connect(&Connect { outcome: 1, error: 111, id, ..Connect::default() }, 0).unwrap()
    }

    fn write(format: Format) -> String {
        let mut bytes = Vec::new();
        let mut output = Output::new(format, &mut bytes, false).unwrap();
        output.row(&row()).unwrap();
        output.row(&row()).unwrap();
        output.finish(&Summary::default(), &mut Vec::new()).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_document() {
        let document: Value = serde_json::from_str(&write(Format::Json)).unwrap();
        assert_eq!(document["events"].as_array().unwrap().len(), 2);
        assert_eq!(document["events"][1]["error"], "ECONNREFUSED");
        assert!(document["summary"].is_object());
    }
    #[test]
    fn ndjson_ends_in_the_summary() {
        let text = write(Format::Ndjson);
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[0]["event"], &lines[2]["event"]), (&json!("connect"), &json!("summary")));
    }
    #[test]
    fn csv_quotes_what_needs_it() {
        let text = write(Format::Csv);
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().nth(1).unwrap().contains("9,\"a,\"\"b\","), "{text}");
    }
}
