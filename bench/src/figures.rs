//! Many rounds in a few figures.

use std::fmt;

/// A median with its quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        Some(Self { low: values[last / 4], median: values[last / 2], high: values[last - last / 4] })
    }
}

/// `median (low to high)`, with as many places as the caller asks for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(3);
        let Self { low, median, high } = self;
        write!(f, "{median:.places$} ({low:.places$} to {high:.places$})")
    }
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_spread() {
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_order_of_rounds_does_not_matter() {
        let expected = Some(Spread { low: 2.0, median: 3.0, high: 4.0 });
        assert_eq!(Spread::of([5.0, 1.0, 4.0, 2.0, 3.0]), expected);
    }
}
