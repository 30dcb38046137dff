//! Label blocks of output series, as the text formats write them: `a="b",c="d"`.

use std::{fmt::Write as _, sync::Arc};

/// The value that stands for everything folded together.
pub(super) const OTHER: &str = "(other)";

/// The block of some labels, sorted by name. Empty values are as good as absent, and left out.
pub(super) fn block(labels: &mut Vec<(&str, &str)>) -> Arc<str> {
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort_unstable();
    let mut block = String::new();
    for (name, value) in labels {
        if !block.is_empty() {
            block.push(',');
        }
        if is_plain(name) {
            block.push_str(name);
        } else {
            quote(&mut block, name);
        }
        block.push('=');
        quote(&mut block, value);
    }
    block.into()
}

/// A number as a label value, with a fraction or an exponent of at least two digits as in OpenMetrics.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |digits| ("-", digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

fn quote(block: &mut String, text: &str) {
    block.push('"');
    for c in text.chars() {
        match c {
            '"' => block.push_str("\\\""),
            '\\' => block.push_str("\\\\"),
            '\n' => block.push_str("\\n"),
            c => block.push(c),
        }
    }
    block.push('"');
}

/// Whether a label name stands without quotes.
fn is_plain(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `90` is `1m30s`.
pub(super) fn interval(windows: u32) -> String {
    let mut text = String::new();
    let mut rest = windows;
    for (unit, seconds) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= seconds {
            let _infallible = write!(text, "{}{unit}", rest / seconds);
            rest %= seconds;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_sorted_escaped_and_without_empty_values() {
        let mut labels = vec![("b", "x\"\\\n"), ("a.b", "é"), ("empty", ""), ("a", "1")];
        assert_eq!(&*block(&mut labels), r#"a="1","a.b"="é",b="x\"\\\n""#);
        assert_eq!(&*block(&mut Vec::new()), "");
    }

    #[test]
    fn numbers_have_a_fraction_or_an_exponent() {
        for (value, text) in
            [(1.0, "1.0"), (0.25, "0.25"), (1e-5, "1e-05"), (1.5e-7, "1.5e-07"), (1e16, "1e+16")]
        {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn intervals_are_written_in_the_largest_units() {
        for (windows, text) in [(1, "1s"), (60, "1m"), (90, "1m30s"), (3_600, "1h"), (86_461, "1d1m1s")] {
            assert_eq!(interval(windows), text);
        }
    }
}
