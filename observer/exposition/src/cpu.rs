//! The one door to instructions of a certain processor, each beside the same in portable code.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the compiler does not know what the processor has")
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64 as arch;

use crate::delta::{
    Dialect, Sink, Stats,
    layout::Layout,
    walk::{self, Walked},
};

/// [`walk::walk`], with 32-byte vectors where the processor has them.
pub(crate) fn walk<S: Sink>(
    dialect: Dialect,
    layout: &mut Layout,
    body: &[u8],
    sink: &mut S,
    stats: &mut Stats,
) -> Walked {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
    {
        // SAFETY: the processor has what the function is compiled for; it is safe code otherwise.
        return unsafe { walk_avx2(dialect, layout, body, sink, stats) };
    }
    walk::walk(dialect, layout, body, sink, stats)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn walk_avx2<S: Sink>(
    dialect: Dialect,
    layout: &mut Layout,
    body: &[u8],
    sink: &mut S,
    stats: &mut Stats,
) -> Walked {
    walk::walk(dialect, layout, body, sink, stats)
}

/// A bit for each byte that is one of the three, the first byte's the lowest.
#[inline(always)]
pub(crate) fn any_of(chunk: &[u8; 16], bytes: [u8; 3]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 belongs to every processor of the architecture.
    return unsafe { any_of_sse2(chunk, bytes) };
    #[cfg(not(target_arch = "x86_64"))]
    bits(chunk, |byte| bytes.contains(&byte))
}

/// A bit for each byte that is neither a letter, nor `_`, nor from `0` to `last`.
#[inline(always)]
pub(crate) fn no_word(chunk: &[u8; 16], last: u8) -> u32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 belongs to every processor of the architecture.
    return unsafe { no_word_sse2(chunk, last) };
    #[cfg(not(target_arch = "x86_64"))]
    bits(chunk, |byte| !(byte.is_ascii_alphabetic() || byte == b'_' || (b'0'..=last).contains(&byte)))
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn bits(chunk: &[u8; 16], is_in: impl Fn(u8) -> bool) -> u32 {
    (0..16).fold(0, |bits, at| bits | u32::from(is_in(chunk[at])) << at)
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn load(chunk: &[u8; 16]) -> arch::__m128i {
    // SAFETY: the chunk has the sixteen bytes, and this load needs no alignment.
    unsafe { arch::_mm_loadu_si128(chunk.as_ptr().cast()) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn any_of_sse2(chunk: &[u8; 16], [a, b, c]: [u8; 3]) -> u32 {
    let lanes = load(chunk);
    let is = |byte: u8| arch::_mm_cmpeq_epi8(lanes, arch::_mm_set1_epi8(byte.cast_signed()));
    arch::_mm_movemask_epi8(arch::_mm_or_si128(is(a), arch::_mm_or_si128(is(b), is(c)))).cast_unsigned()
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn no_word_sse2(chunk: &[u8; 16], last: u8) -> u32 {
    let lanes = load(chunk);
    let all = |byte: u8| arch::_mm_set1_epi8(byte.cast_signed());
    // Less or equal, unsigned: the smaller of both is the byte itself.
    let within = |lanes, first: u8, last: u8| {
        let from = arch::_mm_sub_epi8(lanes, all(first));
        arch::_mm_cmpeq_epi8(arch::_mm_min_epu8(from, all(last - first)), from)
    };
    let letter = within(arch::_mm_or_si128(lanes, all(0x20)), b'a', b'z');
    let digit = within(lanes, b'0', last);
    let underscore = arch::_mm_cmpeq_epi8(lanes, all(b'_'));
    let word = arch::_mm_or_si128(letter, arch::_mm_or_si128(digit, underscore));
    !arch::_mm_movemask_epi8(word).cast_unsigned() & 0xFFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_say_what_the_portable_code_says() {
        for byte in 0..=u8::MAX {
            for at in 0..16 {
                let mut chunk = *b"a_Z09:xyzAab8bc9";
                chunk[at] = byte;
                let other = bits(&chunk, |byte| [b'x', b'8', 0xC3].contains(&byte));
                assert_eq!(any_of(&chunk, [b'x', b'8', 0xC3]), other);
                for last in [b'9', b':'] {
                    let is_word = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (b'0'..=last).contains(&b);
                    assert_eq!(no_word(&chunk, last), bits(&chunk, |byte| !is_word(byte)));
                }
            }
        }
    }
}
