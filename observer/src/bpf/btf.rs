//! The kernel's type information, as far as offsets need it: structs by name, their members, tracepoints.
//!
//! One pass over the blob that notes where each type is, and no copy of any. Format: `Documentation/bpf/btf.rst` and
//! `include/uapi/linux/btf.h` of the kernel. aya parses the same file for attaching, but shows no members.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_TYPEDEF: u32 = 8;

/// A parsed BTF blob.
pub(super) struct Types {
    blob: Vec<u8>,
    strings: usize,
    /// Where each type is, by its id; 0 is `void`.
    places: Vec<usize>,
    /// Structs and unions that have a name.
    structs: HashMap<Vec<u8>, Vec<usize>>,
    /// Tracepoints that a BTF-typed program can hang on.
    tracepoints: Vec<Vec<u8>>,
}

/// A struct or union.
#[derive(Clone, Copy)]
pub(super) struct Struct(usize);

/// A member of a struct or union.
pub(super) struct Member<'a> {
    pub(super) name: &'a [u8],
    /// Where it begins, in bytes; for a bit field the byte its first bit is in.
    pub(super) offset: u32,
    type_id: u32,
}

/// The blob is no BTF, or of a kind this reader does not know.
#[derive(Debug, thiserror::Error)]
#[error("the kernel's type information is not understood at byte {0}")]
pub(crate) struct Malformed(usize);

impl Types {
    /// Notes where everything is.
    pub(super) fn parse(blob: Vec<u8>) -> Result<Self, Malformed> {
        let word = |at| word(&blob, at).ok_or(Malformed(at));
        let magic = blob.first_chunk().map(|b| u16::from_ne_bytes(*b));
        if magic != Some(MAGIC) {
            return Err(Malformed(0));
        }
        let header = word(4)?;
        let (types, end) = (header + word(8)?, header + word(8)? + word(12)?);
        let strings = header + word(16)?;
        if header < HEADER || end > blob.len() || strings > blob.len() {
            return Err(Malformed(4));
        }
        let mut places = vec![0];
        let mut structs: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        let mut tracepoints = Vec::new();
        let mut at = types;
        while at < end {
            let info = word(at + 4)?;
            let (kind, count) = (kind(info), info & 0xffff);
            places.push(at);
            let name = text(&blob, strings, word(at)?);
            match kind {
                KIND_STRUCT | KIND_UNION if !name.is_empty() => {
                    structs.entry(name.to_vec()).or_default().push(at);
                }
                KIND_TYPEDEF => {
                    if let Some(tracepoint) = name.strip_prefix(b"btf_trace_") {
                        tracepoints.push(tracepoint.to_vec());
                    }
                }
                _ => {}
            }
            at += 12
                + match kind {
                    1 | 14 | 17 => 4,
                    3 => 12,
                    KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * count,
                    6 | 13 => 8 * count,
                    2 | 7..=12 | 16 | 18 => 0,
                    _ => return Err(Malformed(at)),
                };
        }
        Ok(Self { strings, places, structs, tracepoints, blob })
    }

    /// The structs and unions of a name; a name may belong to several.
    pub(super) fn structs(&self, name: &str) -> impl Iterator<Item = Struct> {
        self.structs.get(name.as_bytes()).into_iter().flatten().map(|at| Struct(*at))
    }

    /// Whether the kernel has a tracepoint of this name.
    pub(super) fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoints.iter().any(|t| t == name.as_bytes())
    }

    /// The members of a struct or union, in their order.
    pub(super) fn members(&self, of: Struct) -> impl Iterator<Item = Member<'_>> {
        let info = word(&self.blob, of.0 + 4).unwrap_or(0);
        let bit_fields = info >> 31 != 0;
        (0..info & 0xffff).filter_map(move |i| {
            let at = of.0 + 12 + 12 * i;
            let bits = word(&self.blob, at + 8)?;
            // With bit fields the upper eight bits are a member's width.
            let bits = if bit_fields { bits & 0xff_ffff } else { bits };
            Some(Member {
                name: text(&self.blob, self.strings, word(&self.blob, at)?),
                offset: u32::try_from(bits / 8).ok()?,
                type_id: u32::try_from(word(&self.blob, at + 4)?).ok()?,
            })
        })
    }

    /// The struct or union a member is, if it is one itself.
    pub(super) fn inner(&self, member: &Member<'_>) -> Option<Struct> {
        let at = *self.places.get(usize::try_from(member.type_id).ok()?)?;
        let kind = kind(word(&self.blob, at + 4)?);
        matches!(kind, KIND_STRUCT | KIND_UNION).then_some(Struct(at))
    }
}

fn kind(info: usize) -> u32 {
    // Five bits.
    u32::try_from(info >> 24 & 0x1f).unwrap_or(0)
}

/// The 32-bit word at a place.
fn word(blob: &[u8], at: usize) -> Option<usize> {
    let bytes = blob.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_ne_bytes(*bytes)).ok()
}

/// The text at a place in the strings, without its zero.
fn text(blob: &[u8], strings: usize, at: usize) -> &[u8] {
    let text = blob.get(strings + at..).unwrap_or(&[]);
    text.split(|b| *b == 0).next().unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_and_foreign_blobs_are_refused() {
        let blob = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        assert!(Types::parse(Vec::new()).is_err());
        assert!(Types::parse(vec![0; 100]).is_err());
        assert!(Types::parse(blob[..blob.len() / 2].to_vec()).is_err());
    }

    #[test]
    fn any_byte_may_be_wrong_without_a_panic() {
        let mut blob = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
        blob.truncate(4096);
        for at in 0..256 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut blob = blob.clone();
                blob[at] = value;
                drop(Types::parse(blob));
            }
        }
    }
}
