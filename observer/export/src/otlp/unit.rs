//! Units as OpenTelemetry writes them: UCUM's short forms. <https://ucum.org/ucum>

use std::borrow::Cow;

const UNITS: [(&str, &str); 36] = [
    ("days", "d"),
    ("hours", "h"),
    ("minutes", "min"),
    ("seconds", "s"),
    ("milliseconds", "ms"),
    ("microseconds", "us"),
    ("nanoseconds", "ns"),
    ("bytes", "By"),
    ("kibibytes", "KiBy"),
    ("mebibytes", "MiBy"),
    ("gibibytes", "GiBy"),
    ("tebibytes", "TiBy"),
    ("kilobytes", "kBy"),
    ("megabytes", "MBy"),
    ("gigabytes", "GBy"),
    ("terabytes", "TBy"),
    ("bits", "bit"),
    ("meters", "m"),
    ("volts", "V"),
    ("amperes", "A"),
    ("joules", "J"),
    ("watts", "W"),
    ("grams", "g"),
    ("kilograms", "kg"),
    ("celsius", "Cel"),
    ("hertz", "Hz"),
    ("ratio", "1"),
    ("percent", "%"),
    ("second", "s"),
    ("minute", "min"),
    ("hour", "h"),
    ("day", "d"),
    ("week", "wk"),
    ("month", "mo"),
    ("year", "a"),
    ("meter", "m"),
];

/// The unit of a family in OpenTelemetry's terms; one that is not known stays as it is.
pub(super) fn otel(unit: &str) -> Cow<'_, str> {
    match unit.split_once("_per_") {
        Some((left, right)) => Cow::Owned(format!("{}/{}", short(left), short(right))),
        None => Cow::Borrowed(short(unit)),
    }
}

fn short(word: &str) -> &str {
    UNITS.iter().find(|(long, _)| *long == word).map_or(word, |(_, short)| short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_symbols() {
        let units = ["seconds", "bytes", "ratio", "bytes_per_second", "widgets", ""];
        assert_eq!(units.map(otel), ["s", "By", "1", "By/s", "widgets", ""]);
    }
}
