use std::fmt;

/// Why a body was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The byte of the body, from 0, at which the message or field starts that is wrong.
    pub offset: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What the format does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bytes end within a field, or a length leads behind the message's end.
    Truncated,
    /// A number of more than 64 bits.
    Varint,
    /// Field number 0, or one above 2^29 - 1.
    FieldNumber,
    /// A wire type that there is not, or another than the field has.
    WireType,
    /// A text that is not UTF-8.
    Utf8,
    /// A family without a name.
    Name,
    /// A label without a name, or with that of another label.
    Label,
    /// Not a type of the format.
    Type,
    /// A metric without the value that its family's type has.
    MissingValue,
    /// A native histogram whose schema is not from -4 to 8.
    Schema,
    /// Spans of another number of buckets than there are counts, or buckets out of the range of their indexes.
    Spans,
    /// A bucket with less than nothing in it.
    BucketCount,
    /// A point in time that milliseconds since the Unix epoch cannot tell.
    Timestamp,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "field longer than its message",
            Self::Varint => "number of more than 64 bits",
            Self::FieldNumber => "invalid field number",
            Self::WireType => "wire type that the field does not have",
            Self::Utf8 => "invalid UTF-8",
            Self::Name => "family without a name",
            Self::Label => "label without a name of its own",
            Self::Type => "unknown metric type",
            Self::MissingValue => "metric without a value of its type",
            Self::Schema => "histogram schema out of range",
            Self::Spans => "histogram spans that do not fit the buckets",
            Self::BucketCount => "histogram bucket with a negative count",
            Self::Timestamp => "timestamp out of range",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, reason } = self;
        write!(f, "byte {offset}: {reason}")
    }
}

impl std::error::Error for Error {}
