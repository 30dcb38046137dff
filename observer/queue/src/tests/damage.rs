//! Files that are not what they were.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{Hand, entry, open, options, sham::Sham};
use crate::{Cause, Damage, Entry, Options};

/// The files of three times two entries, and their bodies.
fn files(options: &Options) -> (BTreeMap<String, Vec<u8>>, Vec<Bytes>) {
    let sham = Arc::new(Sham::default());
    let (queue, _) = open(&sham, options);
    let body = |end: u8| Bytes::from(vec![end; 30]);
    let bodies: Vec<Bytes> = (1..=6).map(body).collect();
    for (body, end) in bodies.iter().zip(1..) {
        queue.push(Entry { body: body.clone(), ..entry(0, end) });
    }
    let mut files = sham.files();
    assert!(files.remove("done").is_some_and(|state| state == [0; 8192]), "nothing is");
    (files, bodies)
}

fn setup() -> (Options, BTreeMap<String, Vec<u8>>, Vec<Bytes>) {
    let small = options(&Arc::new(Hand::default()));
    let small = Options { max_bytes: 32 * 100, ..small };
    let (files, bodies) = files(&small);
    assert_eq!(files.len(), 3, "{:?}", files.keys());
    (small, files, bodies)
}

/// What comes out of files, what was said about them, and how many entries were dropped.
fn read(options: &Options, files: &BTreeMap<String, Vec<u8>>) -> (Vec<Bytes>, Damage, u64) {
    let sham = Sham::with(files);
    let (queue, _) = open(&sham, options);
    let bodies: Vec<Bytes> = std::iter::from_fn(|| queue.take()).map(|entry| entry.body).collect();
    let stats = queue.stats();
    assert_eq!(stats.disk.entries, bodies.len() as u64);
    assert_eq!(stats.disk_errors, 0, "{:?}", stats.error);
    // What comes later works as ever.
    let seq = queue.push(entry(0, 100));
    assert_eq!(queue.take().unwrap().seq, seq);
    let Damage { torn, gaps, bodies: damaged, missing, states, foreign, bytes: _ } = stats.damage;
    let told = queue.damaged();
    assert_eq!(told.len() as u64, torn + gaps + damaged + missing + states + foreign, "{told:?}");
    (bodies, stats.damage, stats.dropped(Cause::Damaged).entries)
}

#[test]
fn a_file_of_any_length_gives_what_is_whole() {
    let (options, files, bodies) = setup();
    for (name, number) in files.keys().zip(0..) {
        let whole = files[name].len();
        for len in 0..=whole {
            let mut files = files.clone();
            files.get_mut(name).unwrap().truncate(len);
            let (found, damage, dropped) = read(&options, &files);
            let kept = len.saturating_sub(16) / 78;
            let mut expected = bodies.clone();
            expected.drain(number * 2 + kept..number * 2 + 2);
            assert_eq!(found, expected, "{name}, {len} bytes");
            assert_eq!(dropped, 0);
            let torn = u64::from(!matches!(len, 0 | 16 | 94 | 172));
            assert_eq!(damage.torn, torn, "{name}, {len} bytes: {damage:?}");
        }
    }
}

#[test]
fn a_flipped_bit_costs_one_entry_at_most_or_puts_its_file_aside() {
    let (options, files, bodies) = setup();
    for name in files.keys() {
        for bit in 0..files[name].len() * 8 {
            let mut files = files.clone();
            files.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let (found, damage, dropped) = read(&options, &files);
            assert_eq!(damage.torn + damage.gaps + damage.bodies, 1, "{name}, bit {bit}: {damage:?}");
            // What a damaged head said is not known, and of a preamble nothing is needed.
            let is_body = bit / 8 >= 16 && (bit / 8 - 16) % 78 >= 48;
            assert_eq!(dropped, u64::from(is_body), "{name}, bit {bit}: {damage:?}");
            let expected = if bit / 8 < 16 { 6 } else { 5 };
            assert_eq!(found.len(), expected, "{name}, bit {bit}");
            let mut rest = bodies.iter();
            assert!(found.iter().all(|body| rest.any(|known| known == body)), "in order, and none made up");
        }
    }
}

#[test]
fn a_file_of_anything_gives_nothing_that_was_not_written() {
    let (options, files, bodies) = setup();
    let mut random = super::Random::new(1);
    for _ in 0..2000 {
        let mut files = files.clone();
        let name = files.keys().nth(usize::try_from(random.below(3)).unwrap()).unwrap().clone();
        let bytes = files.get_mut(&name).unwrap();
        for _ in 0..=random.below(4) {
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            let len = usize::try_from(random.below(60)).unwrap().min(bytes.len() - at);
            match random.below(4) {
                0 => _ = bytes.drain(at..at + len),
                1 => bytes[at..at + len].fill(0),
                2 => bytes.extend_from_within(at..at + len),
                _ => bytes[at..at + len]
                    .iter_mut()
                    .for_each(|byte| *byte = random.below(256).try_into().unwrap()),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let (found, _damage, _dropped) = read(&options, &files);
        let mut rest = bodies.iter();
        assert!(found.iter().all(|body| rest.any(|known| known == body)), "{name}: {found:?}");
        assert!(found.len() >= 4, "the other files are read");
    }
}

#[test]
fn without_the_list_of_what_is_done_entries_come_again() {
    let clock = Arc::new(Hand::default());
    let options = options(&clock);
    let sham = Arc::new(Sham::default());
    let (queue, _) = open(&sham, &options);
    (1..=3).for_each(|window| _ = queue.push(entry(0, window)));
    queue.ack(queue.take().unwrap().seq);
    queue.ack(queue.take().unwrap().seq);
    let files = sham.files();
    assert_eq!(read(&options, &files).0.len(), 1);
    let mut newest = files.clone();
    // The newest state is in the first slot, for it is the second written.
    newest.get_mut("done").unwrap()[20] ^= 1;
    let (found, damage, _) = read(&options, &newest);
    assert_eq!((found.len(), damage.states), (2, 1), "the state before it is used");
    let mut none = files.clone();
    none.get_mut("done").unwrap().fill(1);
    let (found, damage, _) = read(&options, &none);
    assert_eq!((found.len(), damage.states), (3, 2));
}

#[test]
fn a_file_that_is_gone_is_missed_unless_it_was_done() {
    let (options, files, bodies) = setup();
    for (name, number) in files.keys().zip(0..) {
        let mut files = files.clone();
        files.remove(name);
        let (found, damage, _) = read(&options, &files);
        let mut expected = bodies.clone();
        expected.drain(number * 2..number * 2 + 2);
        assert_eq!(found, expected);
        // What was done is removed from the front, and behind the last nothing is known.
        assert_eq!(damage, Damage { missing: u64::from(number == 1), ..Damage::default() }, "{name}");
    }
    // All but the first entry is delivered, so the file between is gone for a reason.
    let sham = Sham::with(&files);
    let (queue, _) = open(&sham, &options);
    let taken: Vec<u64> = std::iter::from_fn(|| queue.take()).map(|entry| entry.seq).collect();
    taken[1..5].iter().for_each(|seq| assert!(queue.ack(*seq)));
    sham.kill();
    assert_eq!(sham.files().len(), 3, "two of records, and what is done");
    let (found, damage, _) = read(&options, &sham.files());
    assert_eq!((found.len(), damage), (2, Damage::default()));
}

#[test]
fn a_gap_is_counted_once_however_often_the_queue_is_opened() {
    let (options, mut files, bodies) = setup();
    let names: Vec<_> = files.keys().cloned().collect();
    files.remove(&names[1]);
    // A head of the first file and one of the last.
    files.get_mut(&names[0]).unwrap()[20] ^= 1;
    files.get_mut(&names[2]).unwrap()[20] ^= 1;
    let sham = Sham::with(&files);
    for (gaps, missing) in [(2, 1), (0, 0), (0, 0)] {
        let (queue, recovered) = open(&sham, &options);
        assert_eq!(recovered.totals.entries, 2);
        let stats = queue.stats();
        assert_eq!((stats.damage.gaps, stats.damage.missing), (gaps, missing), "{:?}", stats.damage);
        queue.tick();
        sham.kill();
    }
    // Of another one only that is counted.
    let mut files = sham.files();
    files.get_mut(&names[2]).unwrap()[16 + 78 + 20] ^= 1;
    let sham = Sham::with(&files);
    let (queue, _) = open(&sham, &options);
    assert_eq!(queue.stats().damage.torn + queue.stats().damage.gaps, 1);
    let taken = queue.take().unwrap();
    assert_eq!(taken.body, bodies[1]);
    assert!(queue.ack(taken.seq));
}
