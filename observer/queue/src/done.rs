//! Which entries are done, as it is kept on disk.

use crate::record::{PREAMBLE, Preamble, preamble, read_preamble};

/// Every entry before `high` is done, but those in `open`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) high: u64,
    /// In order.
    pub(crate) open: Vec<u64>,
    /// The newest end of an entry that was ever queued.
    pub(crate) newest_end_ms: Option<i64>,
}

/// The room for one state in its file. The file has two, written in turn, so that one is whole at any time.
pub(crate) const SLOT: usize = 4096;

/// What the file is called.
pub(crate) const NAME: &str = "done";

const MAGIC: [u8; 8] = *b"obsvdone";
const VERSION: u32 = 1;

/// Generation, `high`, newest end, number of open entries.
const FIXED: usize = PREAMBLE + 8 + 8 + 8 + 8;

/// So many open entries fit, with the checksum behind them.
const OPEN: usize = (SLOT - FIXED - 4) / 8;

/// What a slot holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    State { generation: u64, done: Done },
    Empty,
    Damaged,
    Unknown(u32),
}

impl Done {
    pub(crate) fn contains(&self, seq: u64) -> bool {
        seq < self.high && self.open.binary_search(&seq).is_err()
    }

    /// The state's bytes. If there are more open entries than fit, all from the first that does not fit on count as open.
    pub(crate) fn write(&self, generation: u64) -> Vec<u8> {
        let Self { high, open, newest_end_ms } = self;
        let (open, high) = match open.get(OPEN) {
            Some(beyond) => (&open[..OPEN], beyond),
            None => (open.as_slice(), high),
        };
        let mut bytes = Vec::with_capacity(FIXED + open.len() * 8 + 4);
        bytes.extend_from_slice(&preamble(MAGIC, VERSION));
        bytes.extend_from_slice(&generation.to_le_bytes());
        bytes.extend_from_slice(&high.to_le_bytes());
        bytes.extend_from_slice(&newest_end_ms.unwrap_or(i64::MIN).to_le_bytes());
        bytes.extend_from_slice(&(open.len() as u64).to_le_bytes());
        open.iter().for_each(|seq| bytes.extend_from_slice(&seq.to_le_bytes()));
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Reads a slot, which may have something else behind the state.
pub(crate) fn read(bytes: &[u8]) -> Slot {
    if bytes.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    let Some(first) = bytes.first_chunk::<PREAMBLE>() else { return Slot::Damaged };
    match read_preamble(*first, MAGIC) {
        Preamble::Damaged => Slot::Damaged,
        Preamble::Version(VERSION) => state(bytes).unwrap_or(Slot::Damaged),
        Preamble::Version(version) => Slot::Unknown(version),
    }
}

fn state(bytes: &[u8]) -> Option<Slot> {
    let number = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let (generation, high) = (number(PREAMBLE)?, number(PREAMBLE + 8)?);
    let newest = number(PREAMBLE + 16)?.cast_signed();
    let count = usize::try_from(number(PREAMBLE + 24)?).ok().filter(|count| *count <= OPEN)?;
    let open: Vec<u64> = (0..count).map(|index| number(FIXED + index * 8)).collect::<Option<_>>()?;
    let (covered, rest) = bytes.split_at_checked(FIXED + count * 8)?;
    let crc = u32::from_le_bytes(*rest.first_chunk()?);
    let done = Done { high, open, newest_end_ms: (newest != i64::MIN).then_some(newest) };
    (crc == crc32fast::hash(covered)).then_some(Slot::State { generation, done })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let done = Done { high: 12, open: vec![3, 9], newest_end_ms: Some(-5) };
        let bytes = done.write(7);
        assert_eq!(read(&bytes), Slot::State { generation: 7, done: done.clone() });
        assert!(done.contains(2) && !done.contains(3) && !done.contains(12));
    }

    #[test]
    fn no_flipped_bit_and_no_missing_byte_is_believed() {
        let bytes = Done { high: 12, open: vec![3], newest_end_ms: None }.write(1);
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bytes), Slot::Damaged, "bit {bit}");
        }
        (1..bytes.len()).for_each(|len| assert_eq!(read(&bytes[..len]), Slot::Damaged, "{len} bytes"));
    }

    #[test]
    fn more_open_entries_than_fit_are_all_open() {
        let open: Vec<u64> = (0..2 * OPEN as u64).collect();
        let bytes = Done { high: 10_000, open, newest_end_ms: None }.write(1);
        assert!(bytes.len() <= SLOT);
        let Slot::State { done, .. } = read(&bytes) else { panic!("not read") };
        assert_eq!((done.high, done.open.len()), (OPEN as u64, OPEN));
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(read(&preamble(MAGIC, 2)), Slot::Unknown(2));
    }
}
