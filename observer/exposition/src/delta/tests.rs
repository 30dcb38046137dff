use super::*;

/// Gives every series it is asked for the next number, and keeps what it is told.
#[derive(Default)]
struct Log {
    asked: Vec<String>,
    told: Vec<(u32, f64, Option<i64>)>,
}

impl Sink for Log {
    fn resolve(&mut self, family: &FamilyInfo<'_>, sample: &Sample<'_>) -> Option<u32> {
        self.asked.push(format!("{}+{} {:?} {}", family.name, family.suffix, family.kind, sample.series));
        (!sample.name.starts_with("drop")).then(|| u32::try_from(self.asked.len() - 1).unwrap())
    }

    fn value(&mut self, slot: u32, value: f64, timestamp_ms: Option<i64>) {
        self.told.push((slot, value, timestamp_ms));
    }
}

/// Reads bodies one after the other and gives what the last one did.
#[track_caller]
fn read(bodies: &[&str]) -> (Log, Stats, Vec<u32>) {
    let (mut delta, mut log) = (Delta::new(Dialect::Text), Log::default());
    let mut stats = Stats::default();
    for body in bodies {
        log = Log { asked: log.asked, told: Vec::new() };
        stats = delta.decode(body.as_bytes(), &mut log).unwrap();
    }
    (log, stats, delta.gone().to_vec())
}

const BODY: &str = "# TYPE a counter\na 1\nb{x=\"1\"} 2\nb{x=\"2\"} 3\nc 4\n";

#[test]
fn the_same_body_is_not_parsed() {
    let (log, stats, gone) = read(&[BODY, BODY]);
    assert_eq!(log.asked.len(), 4);
    assert_eq!(log.told, [(0, 1.0, None), (1, 2.0, None), (2, 3.0, None), (3, 4.0, None)]);
    assert_eq!(stats, Stats { samples: 4, unchanged: 4, ..Stats::default() });
    assert!(gone.is_empty());
}

#[test]
fn a_value_may_grow_and_shrink() {
    let bodies = ["a 10\nb 1\n", "a 1000\nb 1\n", "a 9\nb 1\n", "a 10\nb 1\n", "a 10\nb 1\n"];
    for (count, value, unchanged) in [(2, 1000.0, 1), (3, 9.0, 1), (4, 10.0, 1), (5, 10.0, 2)] {
        let (log, stats, _) = read(&bodies[..count]);
        assert_eq!(log.told, [(0, value, None), (1, 1.0, None)]);
        assert_eq!((stats.unchanged, stats.repaired), (unchanged, 0));
    }
}

#[test]
fn a_last_line_without_its_end_may_go_on() {
    let bodies = ["a 1", "a 2", "a 2", "a 21\n", "a 21\n"];
    for (count, value) in [(3, 2.0), (4, 21.0), (5, 21.0)] {
        assert_eq!(read(&bodies[..count]).0.told, [(0, value, None)]);
    }
}

#[test]
fn a_line_that_comes_is_asked_for() {
    let (log, stats, gone) = read(&[BODY, &BODY.replace("c 4", "bb 7\nc 4")]);
    assert_eq!(log.asked[4..], ["bb+ Unknown bb"]);
    assert_eq!(log.told[3..], [(4, 7.0, None), (3, 4.0, None)]);
    assert!(stats.layout_changed && gone.is_empty());
}

#[test]
fn a_line_that_goes_is_told() {
    let (log, stats, gone) = read(&[BODY, &BODY.replace("b{x=\"1\"} 2\n", "")]);
    assert_eq!((log.asked.len(), log.told.len()), (4, 3));
    assert!(stats.layout_changed);
    assert_eq!(gone, [1]);
}

#[test]
fn another_order_is_no_other_layout() {
    let (log, stats, gone) = read(&["a 1\nb 2\nc 3\n", "c 3\na 1\nb 2\n"]);
    assert_eq!(log.told, [(2, 3.0, None), (0, 1.0, None), (1, 2.0, None)]);
    assert!(!stats.layout_changed && gone.is_empty());
}

#[test]
fn another_type_is_another_series() {
    let (log, stats, gone) = read(&[BODY, &BODY.replace("counter", "gauge")]);
    assert_eq!(log.asked[4..], ["a+ Gauge a"]);
    assert!(stats.layout_changed);
    assert_eq!(gone, [0]);
}

#[test]
fn what_is_not_kept_is_asked_for_once() {
    let (log, stats, _) = read(&["drop 1\na 2\n", "drop 5\na 2\n", "drop 5\na 2\n"]);
    assert_eq!((log.asked.len(), log.told), (2, vec![(1, 2.0, None)]));
    assert_eq!((stats.samples, stats.unchanged), (2, 2));
}

#[test]
fn the_second_of_two_equal_lines_is_counted() {
    let (log, stats, _) = read(&["a 1\na 2\nb 3\n", "a 1\na 3\nb 3\n"]);
    assert_eq!(log.told, [(0, 1.0, None), (1, 3.0, None)]);
    assert_eq!((stats.samples, stats.duplicates), (3, 1));
    // The first one goes, and the second is the only one.
    let (log, stats, gone) = read(&["b 1\na 1\na 2\n", "a 2\n"]);
    assert_eq!((log.told, stats.duplicates, gone), (vec![(1, 2.0, None)], 0, vec![0]));
}

#[test]
fn timestamps_are_told_changed_or_not() {
    let told = |bodies: &[&str]| read(bodies).0.told;
    assert_eq!(told(&["a 1 5\n", "a 1 5\n"]), [(0, 1.0, Some(5))]);
    assert_eq!(told(&["a 1 5\n", "a 1 6\n"]), [(0, 1.0, Some(6))]);
    assert_eq!(told(&["a 1 5\n", "a 1\n", "a 1\n"]), [(0, 1.0, None)]);
    assert_eq!(told(&["a 1\n", "a 1 -7\n", "a 1 -7\n"]), [(0, 1.0, Some(-7))]);
}

#[test]
fn a_broken_body_leaves_what_is_known() {
    let (mut delta, mut log) = (Delta::new(Dialect::Text), Log::default());
    delta.decode(BODY.as_bytes(), &mut log).unwrap();
    let error = delta.decode(BODY.replace("c 4", "new 5\nc x").as_bytes(), &mut log).unwrap_err();
    assert_eq!(error, Error { line: 6, column: 3, reason: Reason::Value });
    assert_eq!((log.asked.len(), delta.gone()), (5, &[][..]));
    // The slot that the broken body was given is no longer in use.
    let stats = delta.decode(BODY.as_bytes(), &mut log).unwrap();
    assert_eq!((log.asked.len(), delta.gone(), stats.layout_changed), (5, &[4][..], true));
}

#[test]
fn openmetrics_keeps_to_the_types() {
    let mut delta = Delta::new(Dialect::OpenMetrics);
    let body = "# TYPE a counter\na_total 1 # {t=\"x\"} 1\n# TYPE s stateset\ns{s=\"x\"} 1\n# EOF\n";
    let mut log = Log::default();
    delta.decode(body.as_bytes(), &mut log).unwrap();
    assert_eq!(log.asked, ["a+_total Counter a_total", "s+ StateSet s{s=\"x\"}"]);
    let mut refuses = |from, to, reason| {
        let error = delta.decode(body.replace(from, to).as_bytes(), &mut log).unwrap_err();
        assert_eq!(error.reason, reason);
    };
    refuses("_total 1", "_total -1", Reason::TypeValue);
    refuses("} 1\n# EOF", "} 2\n# EOF", Reason::TypeValue);
    refuses("} 1\n# EOF", "} 1 # {} 1\n# EOF", Reason::Exemplar);
    refuses("# EOF\n", "", Reason::NoEof);
    refuses("# EOF\n", "# EOF\n\n", Reason::AfterEof);
    // A line with an exemplar is told again behind a broken body.
    assert_eq!(delta.decode(body.as_bytes(), &mut log).unwrap().unchanged, 1);
}

#[test]
fn memory_is_the_text_and_a_little() {
    let body: String = (0..1000).map(|i| format!("a{{x=\"{i:080}\"}} {i:012}\n")).collect();
    let mut delta = Delta::new(Dialect::Text);
    delta.decode(body.as_bytes(), &mut Log::default()).unwrap();
    assert!(delta.memory_bytes() <= body.len() + 1000 * 33 + 100, "{}", delta.memory_bytes());
    delta.clear();
    assert_eq!(delta.memory_bytes(), 0);
}

#[test]
fn another_order_of_many_commented_lines_is_no_other_layout() {
    let lines: Vec<String> = (0..500).map(|i| format!("# {i}\na{{x=\"{i}\"}} {i}\n")).collect();
    let moved: String = (0..500).map(|i| lines[i * 7 % 500].as_str()).collect();
    let (log, stats, gone) = read(&[&lines.concat(), &moved, &lines.concat()]);
    let told: Vec<_> = (0..500).map(|i| (i, f64::from(i), None)).collect();
    assert_eq!((log.asked.len(), log.told), (500, told));
    assert!(!stats.layout_changed && gone.is_empty());
}
