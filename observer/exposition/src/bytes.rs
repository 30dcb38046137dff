//! Where runs of bytes end.

use crate::cpu;

/// Where the first byte is that ends a quoted text or needs a second look: a quote, a backslash or a line feed; the
/// length if there is none.
#[inline(always)]
pub(crate) fn quote_end(bytes: &[u8]) -> usize {
    first(bytes, |chunk| cpu::any_of(chunk, [b'"', b'\\', b'\n']))
}

/// Where the first backslash or line feed is, the length if there is none.
#[inline(always)]
pub(crate) fn text_end(bytes: &[u8]) -> usize {
    first(bytes, |chunk| cpu::any_of(chunk, [b'\\', b'\n', b'\n']))
}

/// Where the first byte is that no metric name has without quotes, the length if there is none. A digit may come first.
#[inline(always)]
pub(crate) fn name_end(bytes: &[u8]) -> usize {
    // The colon is behind the nine.
    first(bytes, |chunk| cpu::no_word(chunk, b':'))
}

/// As [`name_end`] for a label's name.
#[inline(always)]
pub(crate) fn label_end(bytes: &[u8]) -> usize {
    first(bytes, |chunk| cpu::no_word(chunk, b'9'))
}

/// Where the first blank or tab is, the length if there is none.
#[inline(always)]
pub(crate) fn blank(bytes: &[u8]) -> usize {
    first(bytes, |chunk| cpu::any_of(chunk, [b' ', b'\t', b' ']))
}

/// Where `byte` is first.
#[inline(always)]
pub(crate) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    let at = first(bytes, |chunk| cpu::any_of(chunk, [byte; 3]));
    (at < bytes.len()).then_some(at)
}

/// Where `byte` is last.
pub(crate) fn rfind(bytes: &[u8], byte: u8) -> Option<usize> {
    let (rest, chunks) = bytes.as_rchunks::<16>();
    for (index, chunk) in chunks.iter().enumerate().rev() {
        if let Some(at) = cpu::any_of(chunk, [byte; 3]).checked_ilog2() {
            return Some(rest.len() + index * 16 + at as usize);
        }
    }
    rest.iter().rposition(|&other| other == byte)
}

/// How often `byte` is there.
pub(crate) fn count(bytes: &[u8], byte: u8) -> usize {
    // So few at a time that a byte can count them, in vectors.
    bytes
        .chunks(128)
        .map(|chunk| usize::from(chunk.iter().map(|&other| u8::from(other == byte)).sum::<u8>()))
        .sum()
}

/// Where `matches` has its first bit, the length if nowhere.
#[inline(always)]
fn first(bytes: &[u8], matches: impl Fn(&[u8; 16]) -> u32) -> usize {
    let (chunks, rest) = bytes.as_chunks::<16>();
    for (index, chunk) in chunks.iter().enumerate() {
        let found = matches(chunk);
        if found != 0 {
            return index * 16 + found.trailing_zeros() as usize;
        }
    }
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    bytes.len() - rest.len() + rest.len().min(matches(&last).trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name;

    /// Every byte at every place of texts of every length.
    #[track_caller]
    fn check(fill: u8, run: fn(&[u8]) -> usize, is_part: fn(u8) -> bool) {
        for length in 0..40 {
            let mut text = vec![fill; length];
            assert_eq!(run(&text), length);
            for at in 0..length {
                for byte in 0..=255 {
                    text[at] = byte;
                    assert_eq!(
                        run(&text),
                        if is_part(byte) { length } else { at },
                        "{byte} at {at} of {length}"
                    );
                }
                text[at] = fill;
            }
        }
    }

    #[test]
    fn the_last_is_found_and_all_are_counted() {
        for length in 0..300 {
            let mut text = vec![b'x'; length];
            assert_eq!((rfind(&text, b'\n'), count(&text, b'x')), (None, length));
            for at in 0..length {
                text[at] = b'\n';
                assert_eq!((rfind(&text, b'\n'), count(&text, b'\n')), (Some(at), at + 1));
            }
        }
    }

    #[test]
    fn runs_end_where_their_alphabet_does() {
        check(b'a', name_end, name::name_part);
        check(b'Z', label_end, name::label_part);
        check(b'\xC3', quote_end, |byte| !matches!(byte, b'"' | b'\\' | b'\n'));
        check(b'x', text_end, |byte| !matches!(byte, b'\\' | b'\n'));
        check(b'x', blank, |byte| !matches!(byte, b' ' | b'\t'));
        check(b'\x8A', |bytes| find(bytes, b'\n').unwrap_or(bytes.len()), |byte| byte != b'\n');
    }
}
