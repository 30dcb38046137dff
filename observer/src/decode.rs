//! Record bytes to records. Total: any bytes give a record or a refusal, which the caller counts.

use observer_abi::{
    bucket::BUCKETS,
    record::{Accept, Activity, Close, Connect, Listen, RecordKind, Slot, Spill},
};

/// A record from the kernel. Reports are large and records small; both live on the stack for the length of one call.
#[expect(clippy::large_enum_variant, reason = "never stored: made, taken in, gone")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Connect(Connect),
    Accept(Accept),
    Close(Close),
    Activity(Activity),
    Spill(Spill),
    Listen(Listen),
}

impl Record {
    /// When it happened, if the record says: `CLOCK_MONOTONIC`, nanoseconds.
    pub(crate) fn time_ns(&self) -> Option<u64> {
        match self {
            Self::Connect(r) => Some(r.time_ns),
            Self::Accept(r) => Some(r.time_ns),
            Self::Close(r) => Some(r.time_ns),
            Self::Activity(r) => Some(r.time_ns),
            Self::Spill(_) | Self::Listen(_) => None,
        }
    }
}

/// Decodes one record that fills the bytes to the last.
pub(crate) fn record(bytes: &[u8]) -> Option<Record> {
    Some(match RecordKind::from_u8(*bytes.first()?)? {
        RecordKind::Connect => Record::Connect(copy(bytes)?),
        RecordKind::Accept => Record::Accept(copy(bytes)?),
        RecordKind::Close => Record::Close(copy(bytes)?),
        RecordKind::Activity => {
            let r: Activity = copy(bytes)?;
            let fits = |slot: &Slot| usize::from(slot.bucket()) < BUCKETS;
            (r.turn.slots.iter().all(fits) && r.wait.slots.iter().all(fits)).then_some(Record::Activity(r))?
        }
        RecordKind::Spill => {
            let r: Spill = copy(bytes)?;
            (usize::from(r.bucket) < BUCKETS).then_some(Record::Spill(r))?
        }
        RecordKind::Listen => Record::Listen(copy(bytes)?),
    })
}

/// Decodes what a sweep wrote: reports back to back. What is no whole report at the end is handed over as a refusal.
pub(crate) fn reports(mut bytes: &[u8], mut sink: impl FnMut(Option<Record>)) {
    while let Some(kind) = bytes.first() {
        let size = match RecordKind::from_u8(*kind) {
            Some(RecordKind::Listen) => size_of::<Listen>(),
            _ => size_of::<Activity>(),
        };
        let (report, rest) = bytes.split_at_checked(size).unwrap_or((bytes, &[]));
        sink(record(report));
        bytes = rest;
    }
}

/// A layout every bit pattern of which is a value.
#[expect(unsafe_code, reason = "the one place where bytes become a record")]
mod layout {
    use super::{Accept, Activity, Close, Connect, Listen, Spill};

    /// # Safety
    /// The type is `repr(C)`, made of integers, without padding: any bytes of its size are a value.
    pub(crate) unsafe trait Layout: Copy {}

    // SAFETY: see `observer_abi::record`, whose size assertions rule out padding.
    unsafe impl Layout for Connect {}
    // SAFETY: as above.
    unsafe impl Layout for Accept {}
    // SAFETY: as above.
    unsafe impl Layout for Close {}
    // SAFETY: as above.
    unsafe impl Layout for Activity {}
    // SAFETY: as above.
    unsafe impl Layout for Spill {}
    // SAFETY: as above.
    unsafe impl Layout for Listen {}

    /// The value the bytes are, if there are just as many as it has.
    pub(super) fn copy<T: Layout>(bytes: &[u8]) -> Option<T> {
        if bytes.len() != size_of::<T>() {
            return None;
        }
        // SAFETY: the length is right, any bytes are a `T`, and an unaligned read asks for no alignment.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    /// A record as the kernel writes it.
    #[cfg(test)]
    pub(crate) fn bytes<T: Layout>(record: &T) -> &[u8] {
        // SAFETY: the value is as long as its type, lives as long as the slice, and has no padding.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<T>()) }
    }
}
#[cfg(test)]
pub(crate) use layout::bytes;
use layout::copy;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(bytes: &[u8]) {
        assert_eq!(record(bytes), None);
    }

    #[test]
    fn no_bytes_are_refused() {
        refused(&[]);
    }
    #[test]
    fn an_unknown_kind_is_refused() {
        refused(&[0; size_of::<Connect>()]);
        refused(&[99; size_of::<Connect>()]);
    }
    #[test]
    fn a_short_record_is_refused() {
        refused(&[RecordKind::Connect as u8; size_of::<Connect>() - 1]);
    }
    #[test]
    fn a_long_record_is_refused() {
        refused(&[RecordKind::Connect as u8; size_of::<Connect>() + 1]);
    }
    #[test]
    fn bytes_of_the_right_length_are_a_record() {
        for kind in RecordKind::ALL {
            let size = match kind {
                RecordKind::Connect => size_of::<Connect>(),
                RecordKind::Accept => size_of::<Accept>(),
                RecordKind::Close => size_of::<Close>(),
                RecordKind::Activity => size_of::<Activity>(),
                RecordKind::Spill => size_of::<Spill>(),
                RecordKind::Listen => size_of::<Listen>(),
            };
            let mut bytes = vec![0; size];
            bytes[1..16].fill(0xff);
            bytes[2..4].fill(0);
            bytes[0] = kind as u8;
            assert!(record(&bytes).is_some(), "{kind:?}");
        }
    }
    #[test]
    fn a_bucket_that_does_not_exist_is_refused() {
        let mut bytes = vec![0; size_of::<Activity>()];
        bytes[0] = RecordKind::Activity as u8;
        bytes[40 + 24 + 16 + 3] = 0xff;
        refused(&bytes);
        let mut bytes = vec![0; size_of::<Spill>()];
        bytes[0] = RecordKind::Spill as u8;
        bytes[2] = 200;
        refused(&bytes);
    }
    #[test]
    fn fields_are_where_the_kernel_puts_them() {
        let mut bytes = vec![0; size_of::<Connect>()];
        bytes[0] = RecordKind::Connect as u8;
        bytes[1] = 1;
        bytes[2..4].copy_from_slice(&111u16.to_ne_bytes());
        bytes[16..24].copy_from_slice(&5u64.to_ne_bytes());
        let Some(Record::Connect(c)) = record(&bytes) else { panic!("no connect") };
        assert_eq!((c.outcome, c.error, c.latency_ns), (1, 111, 5));
    }
    #[test]
    fn a_torn_report_at_the_end_is_refused() {
        let mut bytes = vec![0; size_of::<Listen>() + size_of::<Activity>() + 7];
        bytes[0] = RecordKind::Listen as u8;
        bytes[size_of::<Listen>()] = RecordKind::Activity as u8;
        let mut seen = Vec::new();
        reports(&bytes, |r| seen.push(r.is_some()));
        assert_eq!(seen, [true, true, false]);
    }
}
