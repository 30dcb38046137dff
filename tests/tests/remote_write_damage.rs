//! Queue files that are not what they were: what is whole is delivered once and in order, what is not is counted and named.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use observer_tests::{
    clock,
    config::{Config, Directory},
    observer::Agent,
    page::Page,
    parallel,
    privileges::Privileges,
    receiver::{Receiver, Reply},
    written::{self, STALE},
};

/// A record of a queue's file, read by what `record.rs` says of the format.
#[derive(Clone, Debug)]
struct Record {
    bytes: Range<usize>,
    end_ms: i64,
    samples: u32,
}

const PREAMBLE: usize = 16;
const HEAD: usize = 48;

#[track_caller]
fn records(file: &[u8]) -> Vec<Record> {
    let mut at = PREAMBLE;
    let mut records = Vec::new();
    while at < file.len() {
        let field = |from: usize| *file[at + from..].first_chunk().expect("a whole record");
        let end = at + HEAD + u32::from_le_bytes(field(4)) as usize;
        let (end_ms, samples) = (i64::from_le_bytes(long(file, at + 16)), u32::from_le_bytes(field(28)));
        records.push(Record { bytes: at..end, end_ms, samples });
        at = end;
    }
    assert_eq!(at, file.len());
    records
}

fn long(file: &[u8], at: usize) -> [u8; 8] {
    *file[at..].first_chunk().expect("a whole record")
}

/// A queue's directory as a killed agent has left it: its files by their names, in order.
type Files = Vec<(String, Vec<u8>)>;

fn read(directory: &Path) -> Files {
    let entries = fs::read_dir(directory).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let mut files: Files =
        names.map(|name| (name.clone(), fs::read(directory.join(name)).expect("a file"))).collect();
    files.sort();
    files
}

fn queue_of(directory: &Directory) -> PathBuf {
    Path::new(directory.path()).join("remote_write/e")
}

/// Three windows fill a file.
fn config(receiver: &Receiver, queue: &Directory) -> Config {
    Config::new(&format!(
        "remote_write: [{{name: e, url: '{}', queue_config: {{spill_after: 0s, max_disk: 512KB}}}}]\n\
         export: {{queue_dir: '{}'}}\n",
        receiver.url(),
        queue.path()
    ))
}

#[track_caller]
fn start(config: &Config) -> Agent {
    Agent::start(Privileges::Root, &["--config", config.path(), "--no-tcp", "--no-node"])
}

/// What an agent leaves that is killed while its receiver is away: three files, the first two of at least three records.
fn left() -> Files {
    let queue = Directory::new();
    let receiver = Receiver::start(|_, _| Reply::Take);
    receiver.close();
    let config = config(&receiver, &queue);
    let mut agent = start(&config);
    clock::wait_for("three files", || {
        let files = fs::read_dir(queue_of(&queue)).ok()?.flatten();
        let third = files.filter(|file| file.file_name().to_string_lossy().ends_with("3.queue")).count();
        let page = agent.page();
        let is_written = page.sum("observer_export_queue_samples", &[("place", "memory")]) == 0.0;
        (third == 1 && is_written).then_some(())
    });
    agent.signal(libc::SIGKILL);
    let _ = agent.end();
    let files = read(&queue_of(&queue));
    let names: Vec<&str> = files.iter().map(|(name, _)| &**name).collect();
    let expected = [1, 2, 3].map(|number| format!("{number:020}.queue"));
    assert_eq!(names[..3], expected);
    assert_eq!(names[3..], ["done", "lock"]);
    files
}

/// What a damage costs.
struct Cost {
    /// The file as it is now.
    file: Vec<u8>,
    /// The records that are gone.
    records: Vec<Record>,
    /// The cause of the one place that is told.
    cause: &'static str,
    /// How its line in the log goes on behind the path.
    says: String,
    /// Whether it is known how many samples are gone.
    known: bool,
}

/// An agent finds files that somebody has damaged. All other windows come, once and in order, before those of its own.
#[track_caller]
fn check(left: &Files, at: usize, damage: &Damage) {
    let mut files = left.clone();
    let all: Vec<Record> = left[..3].iter().flat_map(|(_, file)| records(file)).collect();
    let (name, file) = &mut files[at];
    let of = if at < 3 { records(file) } else { Vec::new() };
    let Cost { file: now, records: gone, cause, says, known } = damage(std::mem::take(file), &of);
    *file = now;
    let queue = Directory::new();
    let directory = queue_of(&queue);
    let path = directory.join(&*name);
    fs::create_dir_all(&directory).expect("a temporary directory can be made");
    for (name, file) in files.iter().filter(|(_, file)| cause != "missing" || !file.is_empty()) {
        fs::write(directory.join(name), file).expect("a temporary file can be written");
    }
    let receiver = Receiver::start(|_, _| Reply::Take);
    let agent = start(&config(&receiver, &queue));
    let page = agent.page_with(|page| {
        page.sum("observer_windows_total", &[]) >= 2.0
            && page.sum("observer_export_queue_samples", &[]) == 0.0
            && page.sum("observer_export_disk_damaged_total", &[]) > 0.0
    });
    let damaged = |labels: &[(&str, &str)]| page.sum("observer_export_disk_damaged_total", labels);
    assert_eq!((damaged(&[]), damaged(&[("cause", cause)])), (1.0, 1.0), "{cause}: {}", page.text);
    let dropped = |page: &Page| page.sum("observer_export_dropped_samples_total", &[("cause", "damaged")]);
    let samples: u32 = gone.iter().filter(|_| known).map(|record| record.samples).sum();
    assert_eq!(dropped(&page), f64::from(samples), "{cause}: {}", page.text);
    let (code, said) = agent.stop();
    assert_eq!(code, Some(0), "{said}");
    let line = format!("export `e`: `{}` {says}", path.display());
    assert!(said.contains(&line), "{line} is not in\n{said}");

    let mut ends: Vec<i64> = Vec::new();
    for request in receiver.requests().iter().filter(|request| request.taken) {
        let windows = written::only(&request.written, "observer_windows_total").iter();
        ends.extend(windows.filter(|(_, bits)| *bits != STALE).map(|(time, _)| *time));
    }
    assert!(ends.is_sorted_by(|before, after| before < after), "{cause}: {ends:?}");
    let whole: Vec<i64> = all.iter().map(|record| record.end_ms).collect();
    let newest = whole.last().copied();
    let old: Vec<i64> = ends.iter().copied().filter(|end| Some(*end) <= newest).collect();
    let is_gone = |end: &i64| gone.iter().any(|record| record.end_ms == *end);
    let expected: Vec<i64> = whole.into_iter().filter(|end| !is_gone(end)).collect();
    assert_eq!(old, expected, "{cause}");
    assert!(ends.len() >= expected.len() + 2, "{cause}: {ends:?}");
}

type Damage = fn(Vec<u8>, &[Record]) -> Cost;

/// The file that is hit, and how.
const CASES: [(usize, Damage); 8] = [
    (1, flipped_in_a_body),
    (1, flipped_in_a_head),
    (2, cut_short),
    (1, cut_short),
    (2, body_never_written),
    (1, all_but_one_never_written),
    (1, removed),
    (3, list_of_what_is_delivered),
];

#[test]
fn each_damage_costs_what_it_hit_and_is_told() {
    let left = left();
    parallel::map(&CASES, |(at, damage)| check(&left, *at, damage));
}

fn flipped_in_a_body(mut file: Vec<u8>, records: &[Record]) -> Cost {
    let hit = records[1].clone();
    file[hit.bytes.start + HEAD + 100] ^= 4;
    let (at, bytes) = (hit.bytes.start, hit.bytes.len());
    let says = format!("has a damaged record at {at} (bytes: {bytes}, samples: {})", hit.samples);
    Cost { file, records: vec![hit], cause: "body", says, known: true }
}

/// The next record is searched for.
fn flipped_in_a_head(mut file: Vec<u8>, records: &[Record]) -> Cost {
    let hit = records[1].clone();
    file[hit.bytes.start + 9] ^= 1;
    let says = format!("has at {} what is no record (bytes: {})", hit.bytes.start, hit.bytes.len());
    Cost { file, records: vec![hit], cause: "gap", says, known: false }
}

fn cut_short(mut file: Vec<u8>, records: &[Record]) -> Cost {
    let hit = records[records.len() - 1].clone();
    file.truncate(hit.bytes.end - 10);
    let rest = hit.bytes.len() - 10;
    let says = format!("ends at {} in what is no whole record (bytes: {rest}", hit.bytes.start);
    Cost { file, records: vec![hit], cause: "torn", says, known: false }
}

/// As a power failure leaves it.
fn body_never_written(mut file: Vec<u8>, records: &[Record]) -> Cost {
    let hit = records[records.len() - 1].clone();
    file[hit.bytes.start + HEAD + 10..].fill(0);
    let (at, bytes) = (hit.bytes.start, hit.bytes.len());
    let says = format!(
        "ends at {at} in what is no whole record (bytes: {bytes}, samples: at least {})",
        hit.samples
    );
    Cost { file, records: vec![hit], cause: "torn", says, known: true }
}

fn all_but_one_never_written(mut file: Vec<u8>, records: &[Record]) -> Cost {
    let at = records[0].bytes.end;
    file[at..].fill(0);
    let says = format!("ends at {at} in what is no whole record (bytes: {}", file.len() - at);
    Cost { file, records: records[1..].to_vec(), cause: "torn", says, known: false }
}

fn removed(mut file: Vec<u8>, records: &[Record]) -> Cost {
    file.clear();
    let says = "is missing, and nothing says that it was delivered".to_owned();
    Cost { file, records: records.to_vec(), cause: "missing", says, known: false }
}

/// Nothing was.
fn list_of_what_is_delivered(mut file: Vec<u8>, _: &[Record]) -> Cost {
    file[..100].fill(0xaa);
    let says = "is damaged at 0: what was delivered may come again".to_owned();
    Cost { file, records: Vec::new(), cause: "state", says, known: false }
}
