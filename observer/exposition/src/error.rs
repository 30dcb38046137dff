use std::fmt;

/// Why a body was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What a format does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Bytes that are not UTF-8.
    Utf8,
    /// Neither a metric name nor a block that starts with a quoted one.
    MetricName,
    /// Not a label name.
    LabelName,
    /// A label name a second time in its block.
    DuplicateLabel,
    /// Something else than `=` behind a label name.
    Equals,
    /// A label value that does not start with a double quote.
    Quote,
    /// The line ends within quotes.
    OpenQuote,
    /// The line ends within braces, or something else than `,` or `}` follows a label.
    OpenBlock,
    /// A backslash before a character that needs none.
    Escape,
    /// Not a floating-point number.
    Value,
    /// A number too large for a 64-bit float.
    Range,
    /// Not a timestamp of the format.
    Timestamp,
    /// Not a type of the format.
    Type,
    /// Something behind the end of what the line says.
    Trailing,
    /// No blank, or more than one, where the format wants exactly one.
    Space,
    /// A line without anything on it.
    Blank,
    /// A `#` line that is not metadata.
    Comment,
    /// Metadata of a kind its family already has.
    Repeated,
    /// Metadata behind the samples of its family.
    LateMetadata,
    /// A family whose samples already ended.
    Interleaved,
    /// A unit that the family's name does not end in, or a unit for a type without one.
    Unit,
    /// A sample whose name its family's type does not have.
    Suffix,
    /// A sample without the label that its type needs.
    MissingLabel,
    /// A bucket's `le` that is no number, or a `quantile` that is not from 0 to 1.
    LabelValue,
    /// A value that the type does not allow.
    TypeValue,
    /// An exemplar where there can be none.
    Exemplar,
    /// An exemplar's labels that are longer than 128 characters.
    ExemplarLength,
    /// No `# EOF`.
    NoEof,
    /// Something behind `# EOF`.
    AfterEof,
    /// A body of 4 GiB or more.
    TooLong,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "invalid UTF-8",
            Self::MetricName => "expected a metric name",
            Self::LabelName => "expected a label name",
            Self::DuplicateLabel => "duplicate label name",
            Self::Equals => "expected `=` after the label name",
            Self::Quote => "expected a quoted label value",
            Self::OpenQuote => "quote not closed on its line",
            Self::OpenBlock => "expected `,` or `}` after a label",
            Self::Escape => "invalid escape sequence",
            Self::Value => "expected a number",
            Self::Range => "number out of range",
            Self::Timestamp => "invalid timestamp",
            Self::Type => "unknown metric type",
            Self::Trailing => "unexpected text at the end of the line",
            Self::Space => "expected exactly one space",
            Self::Blank => "blank line",
            Self::Comment => "comment that is not HELP, TYPE, UNIT or EOF",
            Self::Repeated => "second metadata line of its kind for the family",
            Self::LateMetadata => "metadata after the family's samples",
            Self::Interleaved => "family continued after another one",
            Self::Unit => "unit that does not fit the family",
            Self::Suffix => "sample name that does not fit the family's type",
            Self::MissingLabel => "label that the type needs is missing",
            Self::LabelValue => "label value that the type does not allow",
            Self::TypeValue => "value that the type does not allow",
            Self::Exemplar => "exemplar on a sample that cannot have one",
            Self::ExemplarLength => "exemplar labels longer than 128 characters",
            Self::NoEof => "body without `# EOF`",
            Self::AfterEof => "text after `# EOF`",
            Self::TooLong => "body of 4 GiB or more",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, reason } = self;
        write!(f, "line {line}, column {column}: {reason}")
    }
}

impl std::error::Error for Error {}
