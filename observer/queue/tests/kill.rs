//! A process that is killed at any point has lost nothing that it knew to be durable.

#[path = "support/clocks.rs"]
mod clocks;

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clocks::Hand;
use observer_queue::{Damage, Entry, Error, Fsync, Options, Queue};

const ROUNDS: u64 = 50;

/// How the process that is to be killed knows that it is.
const DIR: &str = "OBSERVER_QUEUE_TEST_DIR";
const ROUND: &str = "OBSERVER_QUEUE_TEST_ROUND";
const FIRST: &str = "OBSERVER_QUEUE_TEST_FIRST";

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing else can be done about it here.
        _ = fs::remove_dir_all(&self.0);
    }
}

fn options(dir: &Path, round: u64) -> (Hand, Options) {
    let clock = Hand::at(1_000_000 + round * 10_000);
    let fsync = [Fsync::Always, Fsync::Interval(Duration::from_millis(20)), Fsync::Never];
    let options = Options {
        dir: Some(dir.to_owned()),
        max_bytes: 64 << 20,
        max_age: Duration::MAX,
        memory_bytes: 1 << 20,
        spill_after: Duration::from_millis(20 * (round % 2)),
        fsync: fsync[usize::try_from(round % 3).unwrap()],
        ..Options::new(Arc::new(clock.clone()))
    };
    (clock, options)
}

fn entry(end: u64) -> Entry {
    let len = usize::try_from(100 + end.wrapping_mul(7919) % 20_000).unwrap();
    Entry {
        seq: 0,
        kind: 1,
        lane: u16::try_from(end % 4).unwrap(),
        end_ms: end.cast_signed(),
        last: true,
        samples: u32::try_from(end).unwrap(),
        histograms: 0,
        exemplars: 0,
        body: Bytes::from(end.to_le_bytes().repeat(len / 8 + 1)),
    }
}

fn end(entry: &Entry) -> u64 {
    let end = entry.end_ms.cast_unsigned();
    assert_eq!(*entry, Entry { seq: entry.seq, ..self::entry(end) }, "as it was pushed");
    end
}

/// Pushes and delivers for ever, and tells what it does.
#[test]
fn process() {
    let (Some(dir), Ok(round), Ok(first)) = (env::var_os(DIR), env::var(ROUND), env::var(FIRST)) else {
        return;
    };
    let (clock, options) = options(Path::new(&dir), round.parse().unwrap());
    let (queue, _recovered) = Queue::open(options).unwrap();
    let tell = |what: &str, end: u64| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("\n{what} {end}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
    };
    for end in first.parse::<u64>().unwrap().. {
        tell("push", end);
        queue.push(entry(end));
        if end % 3 > 0
            && let Some(entry) = queue.take()
        {
            let taken = self::end(&entry);
            if end % 7 == 0 {
                queue.give_back(entry.seq);
            } else {
                tell("delivering", taken);
                queue.ack(entry.seq);
                tell("delivered", taken);
            }
        }
        clock.advance(Duration::from_millis(7));
        queue.tick();
        tell("durable", queue.stats().durable_end_ms.unwrap_or(0).cast_unsigned());
    }
}

#[test]
fn killed_at_any_point_it_keeps_what_was_durable() {
    if env::var_os(DIR).is_some() {
        return;
    }
    let dir = Directory(env::temp_dir().join(format!("observer-queue-kill-{}", std::process::id())));
    let (mut pushed, mut durable) = (0, 0);
    let (mut delivering, mut delivered, mut gone) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut random = 1_u64;
    for round in 0..ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "process", "--nocapture"])
            .envs([(ROUND, round.to_string()), (FIRST, (pushed + 1).to_string())])
            .env(DIR, &dir.0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut left = 1 + (random >> 33) % 150;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = Vec::new();
        let mut hear = |line: String| {
            let Some((what, Ok(end))) = line.split_once(' ').map(|(what, end)| (what, end.parse::<u64>()))
            else {
                return false;
            };
            match what {
                "push" => pushed = end,
                "delivering" => _ = delivering.insert(end),
                "delivered" => _ = delivered.insert(end),
                "durable" => durable = durable.max(end),
                _ => return false,
            }
            told.push(line);
            true
        };
        while left > 0 {
            left -= u64::from(hear(lines.next().expect("it goes on until it is killed").unwrap()));
        }
        let (_clock, options) = options(&dir.0, round);
        assert!(matches!(Queue::open(options.clone()), Err(Error::Locked { .. })), "it is alive");
        child.kill().unwrap();
        lines.map_while(Result::ok).for_each(|line| _ = hear(line));
        child.wait().unwrap();

        let (queue, recovered) = Queue::open(options).unwrap();
        let found: Vec<u64> = std::iter::from_fn(|| queue.take()).map(|entry| end(&entry)).collect();
        let says = format!("round {round}: {recovered:?}, found {found:?}, told {told:?}");
        assert!(found.is_sorted_by(|before, after| before < after), "{says}");
        assert_eq!(recovered.totals.entries, found.len() as u64);
        // A kill within a write leaves a record that is not whole, and nothing else.
        let damage = Damage { torn: 0, bytes: 0, ..recovered.damage };
        assert_eq!(damage, Damage::default(), "{says}");
        let found: BTreeSet<u64> = found.into_iter().collect();
        let lost = (1..=durable)
            .find(|end| !(found.contains(end) || delivering.contains(end) || gone.contains(end)));
        assert_eq!(lost, None, "durable up to {durable}, {says}");
        assert_eq!(found.intersection(&delivered).next(), None, "it was delivered before: {says}");
        assert!(found.iter().all(|end| *end <= pushed), "{says}");
        // What was in memory only is lost, and what was being delivered may be.
        gone.extend((1..=pushed).filter(|end| !found.contains(end)));
    }
    assert!(durable > 200 && delivered.len() > 100, "{durable}, {}", delivered.len());
}
