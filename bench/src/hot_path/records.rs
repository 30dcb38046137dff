//! From the bytes of ring records to the table of groups.

use std::hint::black_box;

use observer_abi::record::{Activity, Connect, FLAG_ESTABLISHED, Identity, RecordKind, Role, SLOTS, Slot};
use observer_aggregate::tcp::Table as Groups;

use super::Table;
use crate::{
    Result,
    decode::{self, Record},
    sys,
};

/// Groups that the records belong to, in turn.
const GROUPS: usize = 1000;
/// Records of a round: what a busy node has in a tenth of a second.
const RECORDS: usize = 10_000;

pub(super) fn measure(table: &mut Table) -> Result<()> {
    for groups in [1, GROUPS] {
        let connects: Vec<Vec<u8>> = (0..groups).map(|nth| sys::bytes_of(&connect(nth)).to_vec()).collect();
        let reports: Vec<u8> = (0..groups).flat_map(|nth| sys::bytes_of(&report(nth)).to_vec()).collect();
        let mut into = Groups::new(2 * GROUPS);
        let (mut refused, mut late) = (0_u64, 0_u64);
        table.row(&format!("ring: connect, {groups} groups"), RECORDS, || {
            let mut oldest = None;
            for bytes in connects.iter().cycle().take(RECORDS) {
                match decode::record(black_box(bytes)) {
                    Some(record) => {
                        // As the shard looks at each.
                        let time = record.time_ns();
                        late += u64::from(time.is_some_and(|time| time < 5));
                        oldest = oldest.into_iter().chain(time).min();
                        take(&mut into, &record);
                    }
                    None => refused += 1,
                }
            }
            black_box(oldest);
        })?;
        table.row(&format!("sweep: report, {groups} groups"), groups * (RECORDS / groups), || {
            for _ in 0..RECORDS / groups {
                decode::reports(black_box(&reports), |record| match record {
                    Some(record) => take(&mut into, &record),
                    None => refused += 1,
                });
            }
        })?;
        black_box(late);
        if refused > 0 || into.len() != groups {
            return Err(format!("{refused} records refused, {} groups", into.len()).into());
        }
    }
    Ok(())
}

fn take(groups: &mut Groups, record: &Record) {
    match record {
        Record::Connect(r) => groups.connect(r),
        Record::Accept(r) => groups.accept(r),
        Record::Close(r) => groups.close(r),
        Record::Activity(r) => groups.activity(r),
        Record::Spill(r) => groups.spill(r),
        Record::Listen(_) => {}
    }
}

fn identity(nth: usize) -> Identity {
    let [low, high, ..] = nth.to_le_bytes();
    Identity {
        role: Role::Client as u8,
        flags: FLAG_ESTABLISHED,
        family: 2,
        peer: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, high, low],
        peer_port: 443,
        local_port: 40_000,
        comm: *b"program\0\0\0\0\0\0\0\0\0",
        ..Identity::default()
    }
}

fn connect(nth: usize) -> Connect {
    Connect {
        kind: RecordKind::Connect as u8,
        latency_ns: 1_000_000 + nth as u64,
        time_ns: 10 + nth as u64,
        id: identity(nth),
        ..Connect::default()
    }
}

fn report(nth: usize) -> Activity {
    let mut report = Activity {
        kind: RecordKind::Activity as u8,
        srtt_us: 100,
        min_rtt_us: 90,
        sent_bytes: 10,
        received_bytes: 20,
        id: identity(nth),
        ..Activity::default()
    };
    report.turn.slots[SLOTS / 2] = Slot::new((SLOTS / 2) as u8, 3);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written_as_the_decoder_reads_them() {
        let (connect, report) = (connect(3), report(3));
        assert_eq!(sys::bytes_of(&connect), decode::bytes(&connect));
        assert_eq!(sys::bytes_of(&report), decode::bytes(&report));
        assert_eq!(decode::record(sys::bytes_of(&report)), Some(Record::Activity(report)));
    }
}
