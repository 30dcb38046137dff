//! Numbers as the formats write them.

use std::io::Write as _;

use crate::Reason;

/// Reads a value. Decimal only: no hexadecimal, no digit separators.
pub(crate) fn value(token: &str) -> Result<f64, Reason> {
    if let Some(integer) = short_integer(token.as_bytes()) {
        return Ok(integer);
    }
    let value: f64 = token.parse().map_err(|_| Reason::Value)?;
    let unsigned = token.trim_start_matches(['+', '-']);
    match value {
        // `NaN` has no sign in either format, though Rust reads one.
        value if value.is_nan() && unsigned.len() != token.len() => Err(Reason::Value),
        value if value.is_infinite() && !unsigned.starts_with(['i', 'I']) => Err(Reason::Range),
        value => Ok(value),
    }
}

/// Most values: up to fifteen digits are exact in a float.
fn short_integer(token: &[u8]) -> Option<f64> {
    if token.is_empty() || token.len() > 15 {
        return None;
    }
    let mut value = 0_u64;
    for byte in token {
        value = value * 10 + u64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    Some(value as f64)
}

/// Reads the text format's timestamp: whole milliseconds.
pub(crate) fn millis(token: &str) -> Result<i64, Reason> {
    token.parse().map_err(|_| Reason::Timestamp)
}

/// Reads OpenMetrics' timestamp: seconds with a fraction.
pub(crate) fn seconds(token: &str) -> Result<i64, Reason> {
    let millis = value(token).map_err(|_| Reason::Timestamp)? * 1000.0;
    // The range in which every whole number is exact.
    if millis.abs() < 9_007_199_254_740_992.0 { Ok(millis.round() as i64) } else { Err(Reason::Timestamp) }
}

/// Writes a value in the fewest digits that read back as the same float.
pub(crate) fn write_value(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    let written = if value.is_nan() {
        out.write_all(b"NaN")
    } else if value.is_infinite() {
        out.write_all(if value > 0.0 { b"+Inf" } else { b"-Inf" })
    } else if value.fract() == 0.0 && magnitude < 1e15 {
        // Negative zero keeps its sign only as a float.
        if value == 0.0 && value.is_sign_negative() {
            write!(out, "-0")
        } else {
            write!(out, "{}", value as i64)
        }
    } else if (1e-5..1e21).contains(&magnitude) {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    };
    written.expect("a Vec takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(token: &str, expected: Result<f64, Reason>) {
        match (value(token), expected) {
            (Ok(a), Ok(b)) => assert!(a == b || (a.is_nan() && b.is_nan()), "{token}: {a} != {b}"),
            (a, b) => assert_eq!(a, b, "{token}"),
        }
    }

    #[test]
    fn every_spelling_of_a_float_is_read() {
        reads("1", Ok(1.0));
        reads("-1", Ok(-1.0));
        reads("+1.5e3", Ok(1500.0));
        reads(".5", Ok(0.5));
        reads("5.", Ok(5.0));
        reads("123456789012345", Ok(123_456_789_012_345.0));
        reads("18446744073709551615", Ok(18_446_744_073_709_551_615.0));
        reads("NaN", Ok(f64::NAN));
        reads("nan", Ok(f64::NAN));
        reads("+Inf", Ok(f64::INFINITY));
        reads("-Inf", Ok(f64::NEG_INFINITY));
        reads("infinity", Ok(f64::INFINITY));
    }

    #[test]
    fn what_is_no_decimal_float_is_refused() {
        for token in ["", "x", "0x1p3", "0xff", "1_000", "1e", "--1", "+NaN", "1,5", "٣", "Infinit"] {
            reads(token, Err(Reason::Value));
        }
    }

    #[test]
    fn a_number_too_large_is_refused_rather_than_infinite() {
        reads("1e999", Err(Reason::Range));
        reads("-1e999", Err(Reason::Range));
    }

    #[test]
    fn timestamps_keep_their_milliseconds() {
        assert_eq!(millis("1395066363000"), Ok(1_395_066_363_000));
        assert_eq!(millis("-1"), Ok(-1));
        assert_eq!(millis("1.5"), Err(Reason::Timestamp));
        assert_eq!(seconds("1395066363.123"), Ok(1_395_066_363_123));
        assert_eq!(seconds("NaN"), Err(Reason::Timestamp));
        assert_eq!(seconds("1e300"), Err(Reason::Timestamp));
    }

    #[test]
    fn a_written_value_reads_back() {
        for expected in [
            0.0,
            -0.0,
            1.0,
            -17.0,
            0.1,
            1e-9,
            1.5e-300,
            1e15,
            1e22,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::INFINITY,
        ] {
            let mut out = Vec::new();
            write_value(&mut out, expected);
            let token = String::from_utf8(out).unwrap();
            assert_eq!(value(&token).unwrap().to_bits(), expected.to_bits(), "{token}");
        }
    }
}
