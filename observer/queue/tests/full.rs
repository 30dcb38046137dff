//! Real file systems that are full, and that can no longer be written to.

#[path = "support/clocks.rs"]
mod clocks;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clocks::Hand;
use observer_queue::{Cause, Entry, Options, Queue, State};

/// How the process with the small file system knows that it is.
const DIR: &str = "OBSERVER_QUEUE_TEST_MOUNT";

const RETRY: Duration = Duration::from_secs(10);

fn entry(end_ms: i64) -> Entry {
    Entry {
        seq: 0,
        kind: 1,
        lane: 0,
        end_ms,
        last: true,
        samples: 1000,
        histograms: 0,
        exemplars: 0,
        body: Bytes::from(vec![u8::try_from(end_ms % 251).unwrap(); 60_000]),
    }
}

fn options(dir: PathBuf) -> (Hand, Options) {
    let clock = Hand::at(1000);
    let options = Options {
        dir: Some(dir),
        max_bytes: 64 << 20,
        memory_bytes: 600_000,
        spill_after: Duration::ZERO,
        retry_after: RETRY,
        ..Options::new(Arc::new(clock.clone()))
    };
    (clock, options)
}

fn deliver(queue: &Queue, count: usize) -> Vec<i64> {
    let taken = std::iter::from_fn(|| queue.take()).take(count);
    let delivered = taken.map(|entry| {
        queue.ack(entry.seq);
        entry.end_ms
    });
    delivered.collect()
}

/// What the outer process starts where the file system has 2 MiB.
#[test]
fn process() {
    let Some(mount) = env::var_os(DIR) else { return };
    let mount = Path::new(&mount);
    full(&mount.join("full"));
    read_only(mount);
}

fn full(dir: &Path) {
    let (clock, options) = options(dir.to_owned());
    // Files of 128 KiB, so that room comes back as they are delivered.
    let (queue, _) = Queue::open(Options { max_bytes: 4 << 20, ..options.clone() }).unwrap();
    (1..=60).for_each(|end| _ = queue.push(entry(end)));
    let stats = queue.stats();
    assert_eq!(stats.state, State::DiskFailing);
    let says = stats.error.clone().unwrap();
    assert!(says.contains(dir.to_str().unwrap()) && says.contains("No space left on device"), "{says}");
    assert!((25..=34).contains(&stats.disk.entries) && stats.memory.entries == 10, "{stats:?}");
    let dropped = stats.dropped(Cause::MemoryFull).entries;
    assert_eq!(stats.disk.entries + stats.memory.entries + dropped, 60);

    let mut delivered = deliver(&queue, 15);
    clock.advance(RETRY);
    queue.tick();
    let stats = queue.stats();
    assert_eq!((stats.state, stats.error, stats.memory.entries), (State::Disk, None, 0));
    clock.advance(RETRY);
    queue.tick();
    assert_eq!(queue.stats().durable_end_ms, Some(60));
    // Full again: what is delivered is written down all the same.
    (61..=90).for_each(|end| _ = queue.push(entry(end)));
    assert_eq!(queue.stats().state, State::DiskFailing);
    delivered.extend(deliver(&queue, 1));
    let before = queue.stats();
    let dropped = before.dropped(Cause::MemoryFull).entries;
    drop(queue);
    let (queue, recovered) = Queue::open(options).unwrap();
    assert_eq!(recovered.totals, before.disk);
    assert_eq!(recovered.damage.gaps, 0, "{recovered:?}");
    delivered.extend(deliver(&queue, 100));
    assert!(delivered.is_sorted_by(|before, after| before < after), "{delivered:?}");
    assert_eq!(delivered.len() as u64 + dropped + before.memory.entries, 90, "{delivered:?}");
}

fn read_only(mount: &Path) {
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", how]).arg(mount).status().unwrap();
        assert!(done.success());
    };
    let (clock, options) = options(mount.join("read-only"));
    let (queue, _) = Queue::open(options.clone()).unwrap();
    queue.push(entry(1));
    clock.advance(RETRY);
    queue.tick();
    // The kernel refuses that as long as a file is open for writing.
    drop(queue);
    remount("remount,ro");
    let (queue, _) = Queue::open(options.clone()).unwrap();
    let says = queue.stats().error.unwrap();
    assert!(says.contains("Read-only file system"), "{says}");
    queue.push(entry(2));
    assert_eq!(deliver(&queue, 1), [2], "in memory");
    queue.push(entry(3));
    remount("remount,rw");
    clock.advance(RETRY);
    queue.tick();
    assert_eq!(queue.stats().error, None);
    assert_eq!(deliver(&queue, 9), [1, 3]);
}

#[test]
fn a_disk_that_is_full_or_read_only_is_lived_with() {
    if env::var_os(DIR).is_some() {
        return;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command
    };
    if !unshare().arg("true").output().is_ok_and(|done| done.status.success()) {
        assert!(env::var_os("CI").is_none(), "a mount namespace of its own needs root");
        eprintln!("skipped: a mount namespace of its own needs root");
        return;
    }
    let dir = env::temp_dir().join(format!("observer-queue-full-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    // The mount goes with the namespace, the namespace with the process.
    let script = "mount -t tmpfs -o size=2m tmpfs \"$1\" && exec \"$2\" --exact process --nocapture";
    let child = unshare()
        .args(["sh", "-c", script, "sh"])
        .arg(&dir)
        .arg(env::current_exe().unwrap())
        .env(DIR, &dir)
        .output();
    fs::remove_dir_all(&dir).unwrap();
    let child = child.unwrap();
    let says = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{}{says}", String::from_utf8_lossy(&child.stdout));
}
