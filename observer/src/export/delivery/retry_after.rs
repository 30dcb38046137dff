//! The header by which a receiver says how long it wants to be left alone.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};

/// The longest that a receiver is obeyed: what asks for more is more likely broken than patient.
const MOST: Duration = Duration::from_secs(3600);

/// Reads seconds or a date. <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>
pub(crate) fn retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    let text = text.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date: Timestamp = DateTimeParser::new().parse_timestamp(text).ok()?;
            Duration::from_millis(u64::try_from(date.as_millisecond().saturating_sub(now_ms)).unwrap_or(0))
        }
    };
    Some(asked.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<u64>) {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of the RFC.
        let now_ms = 784_111_777_000;
        assert_eq!(retry_after(text, now_ms), millis.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn seconds_and_dates_are_read() {
        check("0", Some(0));
        check(" 120 ", Some(120_000));
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000));
        check("Sun, 06 Nov 1994 08:49:07 GMT", Some(0));
    }

    #[test]
    fn what_asks_for_too_much_gets_an_hour() {
        check("86400", Some(3_600_000));
        check("Mon, 07 Nov 1994 08:49:37 GMT", Some(3_600_000));
    }

    #[test]
    fn what_is_neither_says_nothing() {
        for text in ["", "-1", "1.5", "soon", "1994-11-06"] {
            check(text, None);
        }
    }
}
