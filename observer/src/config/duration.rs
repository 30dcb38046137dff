//! Durations and sizes as Prometheus writes them.

use std::time::Duration;

/// The units, which stand in this order and each at most once.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads `1m30s`, `500ms` or `0`; nothing if it is none.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let unit = &tail[..tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len())];
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = &tail[unit.len()..];
    }
    (!text.is_empty()).then_some(Duration::from_millis(millis))
}

/// Writes a duration in whole milliseconds as Prometheus does. Weeks and years only if nothing else remains.
pub(crate) fn write(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in UNITS {
        if rest >= factor && (!matches!(unit, "y" | "w") || rest.is_multiple_of(factor)) {
            text.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    text
}

/// Reads a size: digits with `B`, `KB`, `KiB` and so on, all powers of 1024; or `0`.
pub(super) fn size(text: &str) -> Option<usize> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let power = match unit {
        "" if number == "0" => 0,
        "B" => 0,
        "KB" | "KiB" => 10,
        "MB" | "MiB" => 20,
        "GB" | "GiB" => 30,
        "TB" | "TiB" => 40,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(1 << power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<u64>) {
        assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn units_stand_from_large_to_small() {
        check("0", Some(0));
        check("0s", Some(0));
        check("1s", Some(1000));
        check("500ms", Some(500));
        check("1m30s", Some(90_000));
        check("1h1ms", Some(3_600_001));
        check("1y2w3d", Some((365 + 14 + 3) * 24 * 3_600_000));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "1", "s", "1.5s", "-1s", "1s1m", "1s1s", "1 s", "1S", "1us", "99999999999999999y", "1sm"]
        {
            check(text, None);
        }
    }

    #[test]
    fn durations_are_written_as_prometheus_does() {
        for text in ["0s", "1s", "500ms", "1m30s", "1h", "1d", "1w", "1h1ms", "8d"] {
            assert_eq!(write(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("0"), Some(0));
        assert_eq!(size("10MB"), Some(10 << 20));
        assert_eq!(size("1KiB"), Some(1024));
        assert_eq!(size("7B"), Some(7));
        for text in ["", "7", "MB", "1.5MB", "1mb", "-1B", "999999999999999999TB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
