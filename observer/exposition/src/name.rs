//! Names: the legacy alphabet, and anything else in quotes.

/// Whether the name can stand without quotes as a metric name: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[must_use]
pub fn is_legacy_name(name: &str) -> bool {
    matches!(name.as_bytes(), [first, rest @ ..] if name_start(*first) && rest.iter().all(|&b| name_part(b)))
}

/// Whether the name can stand without quotes as a label name: `[a-zA-Z_][a-zA-Z0-9_]*`.
#[must_use]
pub fn is_legacy_label(name: &str) -> bool {
    is_legacy_name(name) && !name.contains(':')
}

pub(crate) const fn name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':'
}

pub(crate) const fn name_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

pub(crate) const fn label_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

pub(crate) const fn label_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
