use std::collections::BTreeMap;

use super::*;

/// What the exports would show: the series that are there, by name.
#[derive(Default)]
struct Page {
    series: BTreeMap<u32, (String, f64)>,
}

impl Sink for Page {
    fn value(&mut self, series: OutputSeries<'_>, value: f64) {
        let OutputSeries { id, family, suffix, labels, kind: _ } = series;
        let name = format!("{family}{}{{{labels}}}", suffix.as_str());
        if let Some((before, _)) = self.series.insert(id, (name.clone(), value)) {
            assert_eq!(before, name, "an id changed its series without going");
        }
    }

    fn gone(&mut self, id: u32) {
        assert!(self.series.remove(&id).is_some(), "{id} is gone twice");
    }
}

/// An engine, its page and the window that is open.
struct Fixture {
    engine: Engine,
    page: Page,
    window: u64,
}

impl Fixture {
    fn new(rule: Rule) -> Self {
        Self { engine: Engine::new(vec![rule]).unwrap(), page: Page::default(), window: 0 }
    }

    fn counter(&mut self, name: &str, labels: &[(&str, &str)]) -> Membership {
        self.engine.join(name, labels, Kind::Counter).membership
    }

    fn gauge(&mut self, name: &str, labels: &[(&str, &str)]) -> Membership {
        self.engine.join(name, labels, Kind::Gauge).membership
    }

    /// One window with these samples, in this order.
    fn window(&mut self, samples: &[(Membership, f64)]) {
        for &(series, value) in samples {
            self.engine.observe(series, value, false);
        }
        self.engine.close(self.window, &mut self.page);
        self.window += 1;
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, f64)]) {
        let mut found: Vec<(&str, f64)> =
            self.page.series.values().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut expected = expected.to_vec();
        found.sort_by(|a, b| a.0.cmp(b.0));
        expected.sort_by(|a, b| a.0.cmp(b.0));
        assert_eq!(found, expected);
    }
}

fn by(labels: &[&str]) -> Grouping {
    Grouping::By(labels.iter().map(|&label| label.to_owned()).collect())
}

fn rule(interval: u32, outputs: Vec<Output>) -> Rule {
    Rule { grouping: by(&["job"]), ..Rule::new("test", interval, outputs) }
}

const A: &[(&str, &str)] = &[("job", "a"), ("pod", "1")];
const A2: &[(&str, &str)] = &[("job", "a"), ("pod", "2")];
const B: &[(&str, &str)] = &[("job", "b"), ("pod", "3")];

#[test]
fn outputs_of_gauges_are_of_all_samples_of_the_interval() {
    let outputs =
        vec![Output::Sum, Output::Min, Output::Max, Output::Avg, Output::Count, Output::Last, Output::StdDev];
    let mut f = Fixture::new(rule(2, outputs));
    let (a, a2, b) = (f.gauge("x", A), f.gauge("x", A2), f.gauge("x", B));
    f.window(&[(a, 1.0), (a2, 5.0), (b, 7.0)]);
    f.check(&[]);
    f.window(&[(a, 3.0), (a, 3.0)]);
    f.check(&[
        (r#"x:2s_by_job_sum{job="a"}"#, 12.0),
        (r#"x:2s_by_job_min{job="a"}"#, 1.0),
        (r#"x:2s_by_job_max{job="a"}"#, 5.0),
        (r#"x:2s_by_job_avg{job="a"}"#, 3.0),
        (r#"x:2s_by_job_count{job="a"}"#, 4.0),
        (r#"x:2s_by_job_last{job="a"}"#, 3.0),
        (r#"x:2s_by_job_stddev{job="a"}"#, 2.0_f64.sqrt()),
        (r#"x:2s_by_job_sum{job="b"}"#, 7.0),
        (r#"x:2s_by_job_min{job="b"}"#, 7.0),
        (r#"x:2s_by_job_max{job="b"}"#, 7.0),
        (r#"x:2s_by_job_avg{job="b"}"#, 7.0),
        (r#"x:2s_by_job_count{job="b"}"#, 1.0),
        (r#"x:2s_by_job_last{job="b"}"#, 7.0),
        (r#"x:2s_by_job_stddev{job="b"}"#, 0.0),
    ]);
    f.window(&[(b, 1.0)]);
    f.window(&[]);
    assert_eq!(f.page.series.len(), 7, "a group without samples has no values");
}

#[test]
fn increases_add_up_over_series_and_windows() {
    let mut f = Fixture::new(rule(2, vec![Output::Total, Output::Increase, Output::Rate]));
    let (a, a2) = (f.counter("x", A), f.counter("x", A2));
    f.window(&[(a, 100.0), (a2, 1_000.0)]);
    f.window(&[(a, 110.0), (a2, 1_001.0)]);
    f.check(&[
        (r#"x:2s_by_job_total{job="a"}"#, 11.0),
        (r#"x:2s_by_job_increase{job="a"}"#, 11.0),
        (r#"x:2s_by_job_rate{job="a"}"#, 5.5),
    ]);
    f.window(&[(a, 110.0)]);
    f.window(&[(a2, 1_004.0), (a2, 1_005.0)]);
    f.check(&[
        (r#"x:2s_by_job_total{job="a"}"#, 15.0),
        (r#"x:2s_by_job_increase{job="a"}"#, 4.0),
        (r#"x:2s_by_job_rate{job="a"}"#, 2.0),
    ]);
}

#[test]
fn a_counter_that_fell_began_again_from_zero() {
    let mut f = Fixture::new(rule(1, vec![Output::Total]));
    let a = f.counter("x", A);
    f.window(&[(a, 100.0)]);
    f.window(&[(a, 4.0)]);
    f.window(&[(a, 5.0)]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 5.0)]);
    assert_eq!(f.engine.stats().resets, 1);
}

#[test]
fn first_samples_are_ignored_or_count_once_new_series_can_be_told_from_old_ones() {
    for (ignore_first, expected) in [(true, 0.0), (false, 40.0)] {
        let mut f = Fixture::new(Rule { ignore_first, staleness_windows: 3, ..rule(1, vec![Output::Total]) });
        let a = f.counter("x", A);
        for _ in 0..3 {
            f.window(&[(a, 100.0)]);
        }
        let late = f.counter("x", A2);
        f.window(&[(a, 100.0), (late, 40.0)]);
        f.check(&[(r#"x:1s_by_job_total{job="a"}"#, expected)]);
    }
}

#[test]
fn a_stale_marker_is_no_sample_and_breaks_nothing() {
    let mut f = Fixture::new(rule(1, vec![Output::Total, Output::Count]));
    let a = f.counter("x", A);
    f.window(&[(a, 100.0)]);
    f.engine.observe(a, f64::NAN, true);
    f.window(&[]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 0.0)]);
    f.window(&[(a, 107.0)]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 7.0), (r#"x:1s_by_job_count{job="a"}"#, 1.0)]);
    assert_eq!((f.engine.stats().stale, f.engine.stats().not_finite), (1, 0));
}

#[test]
fn values_that_are_no_numbers_are_left_out_and_counted() {
    let mut f = Fixture::new(rule(1, vec![Output::Sum, Output::Total]));
    let a = f.counter("x", A);
    f.window(&[(a, 5.0)]);
    f.window(&[(a, f64::NAN), (a, f64::INFINITY), (a, f64::NEG_INFINITY), (a, 6.0)]);
    f.check(&[(r#"x:1s_by_job_sum{job="a"}"#, 6.0), (r#"x:1s_by_job_total{job="a"}"#, 1.0)]);
    assert_eq!(f.engine.stats().not_finite, 3);
}

#[test]
fn a_gap_up_to_the_staleness_is_bridged_and_a_longer_one_is_not() {
    for (gap, expected) in [(3, 10.0), (4, 0.0)] {
        let mut f = Fixture::new(Rule { staleness_windows: 3, ..rule(1, vec![Output::Total]) });
        let (a, other) = (f.counter("x", A), f.counter("x", A2));
        f.window(&[(a, 100.0), (other, 1.0)]);
        for _ in 1..gap {
            f.window(&[(other, 1.0)]);
        }
        f.window(&[(a, 110.0)]);
        f.check(&[(r#"x:1s_by_job_total{job="a"}"#, expected)]);
    }
}

#[test]
fn windows_that_were_skipped_age_samples_too() {
    let mut f = Fixture::new(Rule { staleness_windows: 3, ..rule(1, vec![Output::Total]) });
    let a = f.counter("x", A);
    f.window(&[(a, 100.0)]);
    f.engine.skip(100);
    f.window += 100;
    f.window(&[(a, 110.0)]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 0.0)]);
}

#[test]
fn a_group_goes_when_nothing_came_for_longer_than_the_staleness_and_begins_anew() {
    let mut f = Fixture::new(Rule { staleness_windows: 2, ..rule(1, vec![Output::Total]) });
    let a = f.counter("x", A);
    f.window(&[(a, 1.0)]);
    f.window(&[(a, 5.0)]);
    f.window(&[]);
    f.window(&[]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 4.0)]);
    f.window(&[]);
    f.check(&[]);
    f.window(&[(a, 50.0)]);
    f.window(&[(a, 51.0)]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 1.0)]);
}

#[test]
fn what_a_series_added_stays_when_it_leaves() {
    let mut f = Fixture::new(rule(1, vec![Output::Total]));
    let (a, a2) = (f.counter("x", A), f.counter("x", A2));
    f.window(&[(a, 1.0), (a2, 1.0)]);
    f.window(&[(a, 4.0), (a2, 1.0)]);
    f.engine.leave(a);
    f.window(&[(a2, 2.0)]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 4.0)]);
    let back = f.counter("x", A);
    f.window(&[(a2, 2.0), (back, 500.0)]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 4.0)]);
}

#[test]
fn a_group_without_members_is_removed_and_its_slot_used_again() {
    let mut f = Fixture::new(Rule { staleness_windows: 1, ..rule(1, vec![Output::Total]) });
    for round in 0..50 {
        let (name, job) = (format!("x{}", round % 5), format!("job{round}"));
        let series = f.counter(&name, &[("job", &job)]);
        f.window(&[(series, 1.0)]);
        f.check(&[(&format!("{name}:1s_by_job_total{{job=\"{job}\"}}"), 0.0)]);
        f.engine.leave(series);
        f.window(&[]);
        f.window(&[]);
        f.check(&[]);
    }
    assert_eq!(f.engine.rules().next().unwrap().groups, 0);
    assert_eq!(f.engine.groups.cold.len(), 1);
}

#[test]
fn metrics_come_and_go_in_any_order() {
    let mut f = Fixture::new(Rule { staleness_windows: 1, ..rule(1, vec![Output::Count]) });
    let (x, y) = (f.gauge("x", A), f.gauge("y", A));
    f.window(&[(x, 1.0), (y, 1.0)]);
    f.engine.leave(x);
    f.engine.leave(y);
    (0..2).for_each(|_| f.window(&[]));
    // Now x has the place that y had, and another group of it goes.
    let (x, gone) = (f.gauge("x", A), f.gauge("x", B));
    f.window(&[(x, 1.0), (gone, 1.0)]);
    f.engine.leave(gone);
    (0..3).for_each(|_| f.window(&[(x, 1.0)]));
    let x2 = f.gauge("x", A2);
    f.window(&[(x, 1.0), (x2, 1.0)]);
    f.check(&[(r#"x:1s_by_job_count{job="a"}"#, 2.0)]);
}

#[test]
fn an_interval_that_began_before_the_engine_is_not_written_but_counts() {
    let mut f = Fixture::new(rule(10, vec![Output::Total, Output::Increase, Output::Sum]));
    f.window = 7;
    let a = f.counter("x", A);
    for n in 0..3_u8 {
        f.window(&[(a, f64::from(n))]);
    }
    f.check(&[]);
    for _ in 10..20 {
        f.check(&[]);
        f.window(&[(a, 3.0)]);
    }
    f.check(&[
        (r#"x:10s_by_job_total{job="a"}"#, 3.0),
        (r#"x:10s_by_job_increase{job="a"}"#, 1.0),
        (r#"x:10s_by_job_sum{job="a"}"#, 30.0),
    ]);
}

#[test]
fn an_interval_whose_end_was_skipped_ends_with_the_next_window() {
    let mut f = Fixture::new(rule(10, vec![Output::Increase, Output::Rate]));
    let a = f.counter("x", A);
    f.window(&[(a, 0.0)]);
    f.window = 14;
    f.window(&[(a, 30.0)]);
    f.check(&[(r#"x:10s_by_job_increase{job="a"}"#, 30.0), (r#"x:10s_by_job_rate{job="a"}"#, 2.0)]);
}

#[test]
fn a_clock_that_is_set_back_begins_an_interval() {
    let mut f = Fixture::new(rule(2, vec![Output::Increase]));
    let a = f.counter("x", A);
    f.window = 100;
    f.window(&[(a, 0.0)]);
    f.window = 10;
    f.window(&[(a, 1.0)]);
    f.window(&[(a, 2.0)]);
    f.check(&[(r#"x:2s_by_job_increase{job="a"}"#, 2.0)]);
}

#[test]
fn quantiles_and_buckets_have_their_own_labels() {
    let outputs = vec![Output::Quantiles(vec![0.5, 1.0]), Output::Histogram(vec![1.0, 2.5])];
    let mut f =
        Fixture::new(Rule { grouping: Grouping::Without(vec!["pod".to_owned()]), ..rule(1, outputs) });
    let labels: &[(&str, &str)] =
        &[("zone", "z\""), ("pod", "1"), ("le", "9"), ("quantile", "7"), ("job", "a")];
    let x = f.gauge("x", labels);
    for _ in 0..2 {
        f.window(&[(x, 0.5), (x, 1.0), (x, 2.0), (x, 3.0)]);
    }
    f.check(&[
        (r#"x:1s_without_pod_quantiles{job="a",quantile="0.5",zone="z\""}"#, 1.5),
        (r#"x:1s_without_pod_quantiles{job="a",quantile="1.0",zone="z\""}"#, 3.0),
        (r#"x:1s_without_pod_histogram_bucket{job="a",le="1.0",zone="z\""}"#, 4.0),
        (r#"x:1s_without_pod_histogram_bucket{job="a",le="2.5",zone="z\""}"#, 6.0),
        (r#"x:1s_without_pod_histogram_bucket{job="a",le="+Inf",zone="z\""}"#, 8.0),
        (r#"x:1s_without_pod_histogram_sum{job="a",zone="z\""}"#, 13.0),
        (r#"x:1s_without_pod_histogram_count{job="a",zone="z\""}"#, 8.0),
    ]);
}

#[test]
fn gauges_have_no_increase() {
    let mut f = Fixture::new(rule(1, vec![Output::Total, Output::Increase, Output::Rate, Output::Last]));
    let a = f.gauge("x", A);
    f.window(&[(a, 1.0)]);
    f.window(&[(a, 4.0)]);
    f.check(&[(r#"x:1s_by_job_last{job="a"}"#, 4.0)]);
}

#[test]
fn times_of_creation_and_quantiles_of_summaries_are_no_counters() {
    assert!(is_counter("x_sum", &[], Kind::Summary));
    assert!(!is_counter("x", &[("quantile", "0.5")], Kind::Summary));
    assert!(is_counter("x_bucket", &[("le", "1")], Kind::Histogram));
    assert!(!is_counter("x_created", &[], Kind::Counter));
    assert!(is_counter("x", &[], Kind::Unknown));
    assert!(!is_counter("x", &[], Kind::GaugeHistogram));
}

#[test]
fn groups_over_the_limit_share_one_and_nothing_is_missing() {
    let mut f = Fixture::new(Rule { max_groups: 1, ..rule(1, vec![Output::Sum]) });
    let jobs = ["a", "b", "c"];
    let series = jobs.map(|job| f.gauge("x", &[("job", job)]));
    f.window(&series.map(|series| (series, 2.0)));
    f.check(&[(r#"x:1s_by_job_sum{job="a"}"#, 2.0), (r#"x:1s_by_job_sum{job="(other)"}"#, 4.0)]);
    // There may be as many groups of this kind as of the other: no second metric gets one.
    let (y, z) = (f.gauge("y", A), f.engine.join("z", A, Kind::Gauge));
    assert!(!y.is_some() && !z.membership.is_some() && z.keep_input);
    let stats = f.engine.rules().next().unwrap();
    assert_eq!((stats.groups, stats.folded, stats.refused), (1, 2, 2));
}

#[test]
fn what_was_folded_before_goes_to_the_same_group() {
    let mut f = Fixture::new(Rule { max_groups: 2, ..rule(1, vec![Output::Sum]) });
    let series = ["(other)", "a", "b", "c"].map(|job| f.gauge("x", &[("job", job)]));
    f.window(&series.map(|series| (series, 1.0)));
    f.check(&[
        (r#"x:1s_by_job_sum{job="(other)"}"#, 2.0),
        (r#"x:1s_by_job_sum{job="a"}"#, 1.0),
        (r#"x:1s_by_job_sum{job="c"}"#, 1.0),
    ]);
}

#[test]
fn the_heaviest_keep_their_labels_and_each_increase_is_in_one_total() {
    let top = Some(Top { k: 1, by: Weight::Increase });
    let mut f = Fixture::new(Rule { top, ..rule(1, vec![Output::Total]) });
    let (a, b) = (f.counter("x", A), f.counter("x", B));
    f.window(&[(a, 0.0), (b, 0.0)]);
    f.window(&[(a, 10.0), (b, 1.0)]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 10.0), (r#"x:1s_by_job_total{job="(other)"}"#, 1.0)]);
    // b is heavier by far now, but not in the smoothed weight.
    f.window(&[(a, 11.0), (b, 8.0)]);
    f.check(&[(r#"x:1s_by_job_total{job="a"}"#, 11.0), (r#"x:1s_by_job_total{job="(other)"}"#, 8.0)]);
    f.window(&[(a, 12.0), (b, 108.0)]);
    f.check(&[(r#"x:1s_by_job_total{job="b"}"#, 100.0), (r#"x:1s_by_job_total{job="(other)"}"#, 9.0)]);
}

#[test]
fn a_group_that_takes_turns_does_not_flap() {
    let top = Some(Top { k: 1, by: Weight::Sum });
    let mut f = Fixture::new(Rule { top, ..rule(1, vec![Output::Sum]) });
    let (a, b) = (f.gauge("x", A), f.gauge("x", B));
    f.window(&[(a, 100.0), (b, 99.0)]);
    for turn in 0..50 {
        let (heavy, light) = if turn % 2 == 0 { (b, a) } else { (a, b) };
        f.window(&[(heavy, 110.0), (light, 90.0)]);
        assert!(f.page.series.values().any(|(name, _)| name.contains(r#"job="a""#)));
    }
}

#[test]
fn groups_that_are_read_at_different_times_are_compared_by_what_they_had() {
    let top = Some(Top { k: 1, by: Weight::Sum });
    let mut f = Fixture::new(Rule { top, ..rule(1, vec![Output::Total, Output::Sum]) });
    let (a, b) = (f.counter("x", A), f.counter("x", B));
    f.window(&[(a, 110.0), (b, 100.0)]);
    for _ in 0..20 {
        (0..4).for_each(|_| f.window(&[]));
        f.window(&[(b, 100.0)]);
        f.check(&[
            (r#"x:1s_by_job_total{job="a"}"#, 0.0),
            (r#"x:1s_by_job_total{job="(other)"}"#, 0.0),
            (r#"x:1s_by_job_sum{job="(other)"}"#, 100.0),
        ]);
        f.window(&[(a, 110.0)]);
    }
}

#[test]
fn a_group_of_the_rest_by_its_own_labels_is_the_rest() {
    let top = Some(Top { k: 1, by: Weight::Sum });
    let mut f = Fixture::new(Rule { top, ..rule(1, vec![Output::Sum]) });
    let [a, other, b] = ["a", "(other)", "b"].map(|job| f.gauge("x", &[("job", job)]));
    f.window(&[(a, 5.0), (other, 2.0), (b, 1.0)]);
    f.check(&[(r#"x:1s_by_job_sum{job="a"}"#, 5.0), (r#"x:1s_by_job_sum{job="(other)"}"#, 3.0)]);
    assert_eq!(f.engine.rules().next().unwrap().groups, 2, "a and b");
}

#[test]
fn interval_figures_of_the_rest_are_those_of_its_samples() {
    let outputs = vec![
        Output::Min,
        Output::Max,
        Output::Avg,
        Output::Count,
        Output::StdDev,
        Output::Quantiles(vec![0.5]),
        Output::Histogram(vec![3.0]),
    ];
    let mut f = Fixture::new(Rule { top: Some(Top { k: 1, by: Weight::Max }), ..rule(1, outputs) });
    let series = ["a", "b", "c"].map(|job| f.gauge("x", &[("job", job)]));
    let [a, b, c] = series;
    f.window(&[(a, 100.0), (b, 1.0), (b, 2.0), (c, 4.0), (c, 5.0)]);
    for (_, (name, value)) in f.page.series.iter().filter(|(_, (name, _))| name.contains("(other)")) {
        let output = name.trim_start_matches("x:1s_by_job_").split('{').next().unwrap();
        let expected = match output {
            "min" => 1.0,
            "max" => 5.0,
            "avg" | "quantiles" => 3.0,
            "count" | "histogram_count" => 4.0,
            "stddev" => 2.5_f64.sqrt(),
            "histogram_sum" => 12.0,
            "histogram_bucket" if name.contains("+Inf") => 4.0,
            "histogram_bucket" => 2.0,
            other => panic!("{other}"),
        };
        assert_eq!(*value, expected, "{name}");
    }
}

#[test]
fn the_last_sample_of_the_rest_is_that_of_the_group_sampled_last() {
    let top = Some(Top { k: 1, by: Weight::Max });
    let mut f = Fixture::new(Rule { top, ..rule(2, vec![Output::Last]) });
    let [a, b, c] = ["a", "b", "c"].map(|job| f.gauge("x", &[("job", job)]));
    f.window(&[(a, 100.0), (c, 3.0)]);
    f.window(&[(b, 2.0)]);
    f.check(&[(r#"x:2s_by_job_last{job="a"}"#, 100.0), (r#"x:2s_by_job_last{job="(other)"}"#, 2.0)]);
}

#[test]
fn input_is_kept_if_no_rule_takes_it_or_one_wants_it_kept() {
    let matchers =
        |value: &str| vec![Matcher { name: "__name__".to_owned(), op: Op::Regex, value: value.to_owned() }];
    let drops = Rule { matchers: matchers("x|y"), ..rule(1, vec![Output::Sum]) };
    let keeps = Rule { matchers: matchers("y|z"), keep_input: true, ..rule(60, vec![Output::Max]) };
    let mut engine = Engine::new(vec![drops, keeps]).unwrap();
    let kept = ["w", "x", "y", "z"].map(|name| engine.join(name, A, Kind::Gauge).keep_input);
    assert_eq!(kept, [true, false, true, true]);
}

#[test]
fn one_series_can_be_in_the_groups_of_several_rules() {
    let named = Rule {
        output_name: Some("all".to_owned()),
        grouping: by(&[]),
        ..rule(1, vec![Output::Sum, Output::Total])
    };
    let mut f = Fixture {
        engine: Engine::new(vec![rule(1, vec![Output::Increase]), named]).unwrap(),
        page: Page::default(),
        window: 0,
    };
    let (x, y) = (f.counter("x", A), f.counter("y", B));
    f.window(&[(x, 1.0), (y, 2.0)]);
    f.window(&[(x, 2.0), (y, 5.0)]);
    f.check(&[
        (r#"x:1s_by_job_increase{job="a"}"#, 1.0),
        (r#"y:1s_by_job_increase{job="b"}"#, 3.0),
        ("all_sum{}", 7.0),
        ("all_total{}", 4.0),
    ]);
}

#[test]
fn two_rules_never_write_the_same_series() {
    let only = |pod: &str| vec![Matcher { name: "pod".to_owned(), op: Op::NotEqual, value: pod.to_owned() }];
    let not_1 = Rule { matchers: only("1"), ..rule(1, vec![Output::Sum]) };
    let not_2 = Rule { matchers: only("2"), staleness_windows: 1, ..rule(1, vec![Output::Max, Output::Sum]) };
    let engine = Engine::new(vec![not_2, not_1]).unwrap();
    let mut f = Fixture { engine, page: Page::default(), window: 0 };
    let first = f.gauge("x", A);
    let refused = f.engine.join("x", A2, Kind::Gauge);
    assert!(!refused.membership.is_some() && refused.keep_input);
    let b = f.gauge("y", A2);
    f.window(&[(first, 1.0), (b, 2.0)]);
    f.check(&[
        (r#"x:1s_by_job_max{job="a"}"#, 1.0),
        (r#"x:1s_by_job_sum{job="a"}"#, 1.0),
        (r#"y:1s_by_job_sum{job="a"}"#, 2.0),
    ]);
    assert_eq!(f.engine.rules().map(|rule| rule.refused).collect::<Vec<_>>(), [0, 1]);
    f.engine.leave(first);
    (0..2).for_each(|_| f.window(&[]));
    assert!(f.gauge("x", A2).is_some(), "the name is free again");
}

#[test]
fn wrong_rules_are_refused_by_name() {
    let check = |rule: Rule, expected: &str| {
        let error = Engine::new(vec![Rule { name: "r".to_owned(), ..rule }]).unwrap_err().to_string();
        assert!(error.starts_with("rule `r`: "), "{error}");
        assert!(error.contains(expected), "{error}");
    };
    let sum = || vec![Output::Sum];
    check(rule(0, sum()), "`interval` of 0 s");
    check(Rule { staleness_windows: 9, ..rule(10, sum()) }, "`staleness` of 9 s");
    check(rule(1, vec![]), "`outputs` is empty");
    check(rule(1, vec![Output::Sum, Output::Sum]), "`sum` is there twice");
    check(rule(1, vec![Output::Quantiles(vec![])]), "`quantiles` is empty");
    check(rule(1, vec![Output::Quantiles(vec![1.5])]), "quantile 1.5");
    check(rule(1, vec![Output::Quantiles(vec![0.5, 0.5])]), "quantile 0.5");
    check(rule(1, vec![Output::Quantiles(vec![f64::NAN])]), "quantile NaN");
    check(rule(1, vec![Output::Histogram(vec![])]), "ascending");
    check(rule(1, vec![Output::Histogram(vec![1.0, 1.0])]), "ascending");
    check(rule(1, vec![Output::Histogram((0..300).map(f64::from).collect())]), "303 output series");
    check(Rule { max_groups: 0, ..rule(1, sum()) }, "`max_groups` of 0");
    check(Rule { top: Some(Top { k: 0, by: Weight::Sum }), ..rule(1, sum()) }, "`k` of `topk`");
    check(Rule { grouping: by(&["__name__"]), ..rule(1, sum()) }, "`__name__`");
    check(Rule { grouping: by(&["a", "a"]), ..rule(1, sum()) }, "label `a` is there twice");
    check(Rule { grouping: by(&["le"]), ..rule(1, vec![Output::Histogram(vec![1.0])]) }, "label `le`");
    let matchers = vec![Matcher { name: "job".to_owned(), op: Op::Regex, value: "(".to_owned() }];
    check(Rule { matchers, ..rule(1, sum()) }, "expression for label `job`");
    let many = (0..=MAX_RULES).map(|_| rule(1, sum())).collect();
    assert_eq!(Engine::new(many).unwrap_err().reason, Reason::TooManyRules);
}
