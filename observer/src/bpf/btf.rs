//! The kernel's type information, as far as offsets need it: structs by name, their members, tracepoints.
//!
//! One pass over the blob that notes where each type is, and no copy of any. Format: `Documentation/bpf/btf.rst` and
//! `include/uapi/linux/btf.h` of the kernel. aya shows no members, and makes an object of every type: it gets an excerpt.

use std::ffi::CStr;

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_FORWARD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNCTION: u32 = 12;

/// What the name of a type begins with that a BTF-typed program hangs on: a tracepoint's.
const TRACEPOINT: &[u8] = b"btf_trace_";
/// The same for an iterator.
const ITERATOR: &[u8] = b"bpf_iter_";
/// Functions of the kernel that a program hangs on where trampolines are to be had.
const FUNCTIONS: [&CStr; 5] =
    [c"inet_stream_connect", c"inet_csk_accept", c"tcp_sendmsg", c"tcp_recvmsg", c"sock_def_readable"];

/// A parsed BTF blob.
pub(super) struct Types {
    blob: Vec<u8>,
    strings: usize,
    /// Where each type is, by its id; 0 is `void`.
    places: Vec<usize>,
    /// Structs and unions that have a name.
    structs: Vec<usize>,
    /// Tracepoints, iterators and functions that a BTF-typed program can hang on, by id.
    hooks: Vec<usize>,
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
        let (mut structs, mut hooks) = (Vec::new(), Vec::new());
        let mut at = types;
        while at < end {
            let info = word(at + 4)?;
            let (kind, count) = (kind(info), info & 0xffff);
            let name = word(at)?;
            let begins = |prefix| blob.get(strings + name..).is_some_and(|text| text.starts_with(prefix));
            match kind {
                KIND_STRUCT | KIND_UNION if name != 0 => structs.push(at),
                KIND_TYPEDEF if begins(TRACEPOINT) => hooks.push(places.len()),
                KIND_FUNCTION if begins(ITERATOR) => hooks.push(places.len()),
                KIND_FUNCTION if FUNCTIONS.iter().any(|f| begins(f.to_bytes_with_nul())) => {
                    hooks.push(places.len());
                }
                _ => {}
            }
            places.push(at);
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
        Ok(Self { strings, places, structs, hooks, blob })
    }

    /// The structs and unions of a name; a name may belong to several.
    pub(super) fn structs(&self, name: &str) -> impl Iterator<Item = Struct> {
        self.structs.iter().filter(move |at| self.is_named(**at, &[name.as_bytes()])).map(|at| Struct(*at))
    }

    /// Whether the kernel has a tracepoint of this name.
    pub(super) fn has_tracepoint(&self, name: &str) -> bool {
        self.hooks.iter().any(|id| self.is_named(self.places[*id], &[TRACEPOINT, name.as_bytes()]))
    }

    /// A blob in which tracepoints and iterators have the ids they have in this one, and nothing else has a name.
    pub(super) fn hooks_only(&self) -> Vec<u8> {
        let (mut types, mut strings) = (Vec::new(), vec![0]);
        let mut push = |words: [usize; 3]| {
            // Everything here came out of 32 bits, or is shorter than the blob that did.
            types.extend(words.into_iter().filter_map(|w| u32::try_from(w).ok()).flat_map(u32::to_ne_bytes));
        };
        let mut next = 1;
        for id in &self.hooks {
            (next..*id).for_each(|_| push([0, (KIND_FORWARD as usize) << 24, 0]));
            let at = self.places[*id];
            push([strings.len(), word(&self.blob, at + 4).unwrap_or(0), 0]);
            strings.extend(text(&self.blob, self.strings, word(&self.blob, at).unwrap_or(0)));
            strings.push(0);
            next = id + 1;
        }
        let mut blob = Vec::with_capacity(HEADER + types.len() + strings.len());
        blob.extend(MAGIC.to_ne_bytes());
        // Version, flags.
        blob.extend([1, 0]);
        for n in [HEADER, 0, types.len(), types.len(), strings.len()] {
            blob.extend(u32::try_from(n).unwrap_or(0).to_ne_bytes());
        }
        blob.extend(types);
        blob.extend(strings);
        blob
    }

    /// Whether the type at a place has this name, which is given in parts.
    fn is_named(&self, at: usize, parts: &[&[u8]]) -> bool {
        let text = word(&self.blob, at).and_then(|name| self.blob.get(self.strings + name..));
        let rest = parts.iter().try_fold(text.unwrap_or(&[]), |text, part| text.strip_prefix(*part));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// How many arguments one of [`FUNCTIONS`] has, if the kernel has it.
    pub(super) fn arguments(&self, function: &str) -> Option<usize> {
        let is_it = |id: &&usize| self.is_named(self.places[**id], &[function.as_bytes()]);
        let at = self.places[*self.hooks.iter().find(is_it)?];
        let prototype = self.places.get(word(&self.blob, at + 8)?)?;
        Some(word(&self.blob, prototype + 4)? & 0xffff)
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
    fn an_excerpt_keeps_the_ids_of_what_it_keeps() {
        let whole = Types::parse(std::fs::read("/sys/kernel/btf/vmlinux").unwrap()).unwrap();
        let blob = whole.hooks_only();
        let excerpt = Types::parse(blob.clone()).unwrap();
        assert_eq!(excerpt.hooks, whole.hooks);
        for hook in ["inet_sock_set_state", "sk_data_ready", "no_such_tracepoint", "sk_data_read"] {
            assert_eq!(excerpt.has_tracepoint(hook), whole.has_tracepoint(hook), "{hook}");
        }
        assert!(aya::Btf::parse(&blob, aya::Endianness::default()).is_ok());
    }

    #[test]
    fn functions_are_known_with_their_arguments() {
        let types = Types::parse(std::fs::read("/sys/kernel/btf/vmlinux").unwrap()).unwrap();
        assert_eq!(types.arguments("tcp_sendmsg"), Some(3));
        assert_eq!(types.arguments("no_such_function"), None);
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
