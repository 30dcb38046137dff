//! Which entries are done, and which gaps were told, as it is kept on disk.

use crate::record::{PREAMBLE, Preamble, preamble, read_preamble};

/// Every entry before `high` is done, but those in `open`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) high: u64,
    /// In order.
    pub(crate) open: Vec<u64>,
    /// The newest end of an entry that was ever queued.
    pub(crate) newest_end_ms: Option<i64>,
    /// The places that were counted as [missing](crate::Damage::missing) or as a [gap](crate::Damage::gaps) and are there still, by
    /// the file's number and where in it.
    pub(crate) told: Vec<(u64, u64)>,
}

/// The room for one state in its file. The file has two, written in turn, so that one is whole at any time.
pub(crate) const SLOT: usize = 4096;

/// What the file is called.
pub(crate) const NAME: &str = "done";

const MAGIC: [u8; 8] = *b"obsvdone";
const VERSION: u32 = 1;

/// Generation, `high`, newest end, number of open entries.
const FIXED: usize = PREAMBLE + 8 + 8 + 8 + 8;

/// So many open entries fit, with the checksum behind them, and are read.
const OPEN: usize = (SLOT - FIXED - 4) / 8;

/// So many are written: behind them stands what was told, with a checksum of its own. Versions that do not know of it do not look there.
const OPEN_WRITTEN: usize = OPEN - (8 + TOLD * 16 + 4) / 8 - 1;

/// So many places are remembered. More are told again with the next start.
const TOLD: usize = 64;

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
        let Self { high, open, newest_end_ms, told } = self;
        let (open, high) = match open.get(OPEN_WRITTEN) {
            Some(beyond) => (&open[..OPEN_WRITTEN], beyond),
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
        // Also if there are none: something may stand there.
        let from = bytes.len();
        let told = &told[..told.len().min(TOLD)];
        bytes.extend_from_slice(&(told.len() as u64).to_le_bytes());
        for (file, at) in told {
            bytes.extend_from_slice(&file.to_le_bytes());
            bytes.extend_from_slice(&at.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[from..]);
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
    let (crc, rest) = rest.split_first_chunk()?;
    let crc = u32::from_le_bytes(*crc);
    // Without it places are told again.
    let told = told(rest).unwrap_or_default();
    let done = Done { high, open, newest_end_ms: (newest != i64::MIN).then_some(newest), told };
    (crc == crc32fast::hash(covered)).then_some(Slot::State { generation, done })
}

fn told(bytes: &[u8]) -> Option<Vec<(u64, u64)>> {
    let number = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let count = usize::try_from(number(0)?).ok().filter(|count| *count <= TOLD)?;
    let places = (0..count).map(|index| Some((number(8 + index * 16)?, number(16 + index * 16)?)));
    let places: Vec<_> = places.collect::<Option<_>>()?;
    let (covered, rest) = bytes.split_at_checked(8 + count * 16)?;
    let crc = u32::from_le_bytes(*rest.first_chunk()?);
    (crc == crc32fast::hash(covered)).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let done = Done { high: 12, open: vec![3, 9], newest_end_ms: Some(-5), told: vec![(7, 16), (8, 0)] };
        let bytes = done.write(7);
        assert_eq!(read(&bytes), Slot::State { generation: 7, done: done.clone() });
        assert!(done.contains(2) && !done.contains(3) && !done.contains(12));
    }

    #[test]
    fn no_flipped_bit_and_no_missing_byte_is_believed() {
        let done = Done { high: 12, open: vec![3], newest_end_ms: None, told: vec![(1, 2)] };
        let bytes = done.write(1);
        // What was told has a checksum of its own: it may be lost alone.
        let forgotten = Slot::State { generation: 1, done: Done { told: Vec::new(), ..done } };
        let checked = FIXED + 8 + 4;
        let expected = |at| if at < checked { &Slot::Damaged } else { &forgotten };
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bytes), *expected(bit / 8), "bit {bit}");
        }
        (1..bytes.len()).for_each(|len| assert_eq!(read(&bytes[..len]), *expected(len), "{len} bytes"));
    }

    #[test]
    fn more_open_entries_than_fit_are_all_open() {
        let open: Vec<u64> = (0..2 * OPEN as u64).collect();
        let told = (0..2 * TOLD as u64).map(|n| (n, n)).collect();
        let bytes = Done { high: 10_000, open, newest_end_ms: None, told }.write(1);
        assert!(bytes.len() <= SLOT);
        let Slot::State { done, .. } = read(&bytes) else { panic!("not read") };
        assert_eq!((done.high, done.open.len()), (OPEN_WRITTEN as u64, OPEN_WRITTEN));
        assert_eq!(done.told.len(), TOLD);
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(read(&preamble(MAGIC, 2)), Slot::Unknown(2));
    }
}
