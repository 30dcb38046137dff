//! Numbers as the formats write them.

use std::io::Write as _;

use crate::Reason;

/// Reads a value. Decimal only: no hexadecimal, no digit separators.
pub(crate) fn value(token: &str) -> Result<f64, Reason> {
    match leading(token.as_bytes()) {
        Some((value, length)) if length == token.len() => return Ok(value),
        _ => {}
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

/// Reads the number that the bytes start with, and how many bytes it takes, if it has one of the common shapes and one
/// rounding makes it exact; what follows is not looked at. `None` says nothing about the number: [`value`] knows.
#[inline(always)]
pub(crate) fn leading(bytes: &[u8]) -> Option<(f64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let (mut mantissa, whole) = digits(&bytes[at..])?;
    at += whole;
    let mut count = whole;
    let mut exponent = 0_i32;
    if bytes.get(at) == Some(&b'.') {
        let (part, length) = digits(&bytes[at + 1..])?;
        at += 1 + length;
        count += length;
        mantissa = mantissa.wrapping_mul(POWERS_U64[length]).wrapping_add(part);
        exponent = -(length as i32);
    }
    // Nineteen digits fit an integer of 64 bits, whatever they are.
    if count == 0 || count > 19 {
        return None;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = bytes.get(at + 1)?;
        let signed = usize::from(matches!(sign, b'+' | b'-'));
        let (part, length) = digits(&bytes[at + 1 + signed..])?;
        if length == 0 || length > 3 {
            return None;
        }
        at += 1 + signed + length;
        exponent += if *sign == b'-' { -(part as i32) } else { part as i32 };
    }
    // Both operands are exact, so the result is rounded once: Clinger's fast path.
    // https://dl.acm.org/doi/10.1145/93542.93557
    if mantissa > 1 << f64::MANTISSA_DIGITS {
        return None;
    }
    let power = POWERS.get(exponent.unsigned_abs() as usize)?;
    let magnitude = if exponent < 0 { mantissa as f64 / power } else { mantissa as f64 * power };
    Some((if negative { -magnitude } else { magnitude }, at))
}

/// As [`leading`] for the text format's timestamp, in milliseconds.
#[inline(always)]
pub(crate) fn leading_millis(bytes: &[u8]) -> Option<(i64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let at = usize::from(negative);
    let (value, length) = digits(&bytes[at..])?;
    if length == 0 || length > 18 {
        return None;
    }
    let value = value as i64;
    Some((if negative { -value } else { value }, at + length))
}

/// The decimal digits that the bytes start with, as an integer, and how many; none of it if there are more than 19.
#[inline(always)]
fn digits(bytes: &[u8]) -> Option<(u64, usize)> {
    let Some(chunk) = bytes.first_chunk() else { return few_digits(bytes) };
    let (mut value, mut length) = eight(*chunk);
    if length == 8 {
        let mut rest = &bytes[8..];
        loop {
            let (part, more) = match rest.first_chunk() {
                Some(chunk) => eight(*chunk),
                None => few_digits(rest)?,
            };
            length += more;
            if length > 19 {
                return None;
            }
            value = value * POWERS_U64[more] + part;
            if more < 8 {
                break;
            }
            rest = &rest[8..];
        }
    }
    Some((value, length))
}

/// As [`digits`] for the end of a body.
fn few_digits(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut chunk = [0; 8];
    chunk.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(eight(chunk))
}

/// The digits that eight bytes start with, all at once.
#[inline(always)]
fn eight(chunk: [u8; 8]) -> (u64, usize) {
    // A digit becomes 0 to 9, which 0x76 does not lift to the high bit; a carry only reaches bytes behind a non-digit.
    let lanes = u64::from_le_bytes(chunk) ^ 0x3030_3030_3030_3030;
    let others = (lanes.wrapping_add(0x7676_7676_7676_7676) | lanes) & 0x8080_8080_8080_8080;
    let length = others.trailing_zeros() / 8;
    if length == 0 {
        return (0, 0);
    }
    // Zeros in front, then neighbours are joined three times.
    let lanes = lanes << (64 - 8 * length);
    let pairs = lanes.wrapping_mul(10).wrapping_add(lanes >> 8);
    let high = (pairs & 0xFF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let low = ((pairs >> 16) & 0xFF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    (high.wrapping_add(low) >> 32, length as usize)
}

/// Powers of ten that a float holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Powers of ten that an integer holds.
const POWERS_U64: [u64; 20] = {
    let mut powers = [1_u64; 20];
    let mut n = 1;
    while n < 20 {
        powers[n] = powers[n - 1] * 10;
        n += 1;
    }
    powers
};

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
    let written = if write_whole(out, value) {
        Ok(())
    } else if value == 0.0 {
        out.write_all(b"-0")
    } else if value.is_nan() {
        out.write_all(b"NaN")
    } else if value.is_infinite() {
        out.write_all(if value > 0.0 { b"+Inf" } else { b"-Inf" })
    } else if (1e-5..1e21).contains(&magnitude) {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    };
    written.expect("a Vec takes every write");
}

/// Appends a value if it is a whole number of at most fifteen digits, and says whether it is one. Zero with a sign is none.
pub fn write_whole(out: &mut Vec<u8>, value: f64) -> bool {
    let is_whole = value.fract() == 0.0 && value.abs() < 1e15 && value.to_bits() != (-0.0_f64).to_bits();
    if is_whole {
        write_integer(out, value as i64);
    }
    is_whole
}

/// Appends a whole number in decimal digits.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    // The digits of 2^64, from the last to the first.
    let (mut digits, mut from) = ([0; 20], 20);
    let mut rest = value.unsigned_abs();
    loop {
        from -= 1;
        digits[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
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
    fn the_short_way_gives_what_the_long_way_gives() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut taken = 0;
        for round in 0..200_000_u32 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let number = f64::from_bits(state);
            let token = match round % 5 {
                0 => format!("{}", state >> (state % 64)),
                1 => format!("{}.{}", state % 100_000, (state >> 20) % 1_000_000),
                2 => format!("{:e}", (state >> 11) as f64 / 1e6),
                3 => format!("-{:.3}", (state % 1_000_000) as f64 / 7.0),
                _ => format!("{number:e}"),
            };
            // What follows must not matter.
            for behind in ["", "\n", " 17\n", "\nnode_load1 0.5\n"] {
                let Some((value, length)) = leading(format!("{token}{behind}").as_bytes()) else { continue };
                taken += 1;
                let exact: f64 = token[..length].parse().unwrap();
                assert_eq!((value.to_bits(), length), (exact.to_bits(), token.len()), "{token}");
            }
        }
        assert!(taken > 300_000, "the short way is hardly taken: {taken}");
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
    fn a_whole_number_is_written_as_the_library_does() {
        for value in [0, 1, -1, 9, 10, -1_700_000_000_000, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_integer(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
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
