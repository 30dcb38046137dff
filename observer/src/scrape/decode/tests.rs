use observer_aggregate::{
    exemplars,
    rules::Rules as AllRules,
    series::{NO_TIME, is_stale},
    stream::{Engine, Grouping, Output, Rule},
    window::{Pool, Source, Window},
};
use tokio::sync::watch;

use super::*;
use crate::{
    allocations,
    config::Settings,
    relabel::{Action, RelabelConfig, Rules},
};

fn core(settings: Settings) -> Core {
    core_with(Job { settings, ..Job::default() }, Arc::new(Budget::new(100, 100, usize::MAX)))
}

fn core_with(job: Job, budget: Arc<Budget>) -> Core {
    let labels = vec![("job".to_owned(), "j".to_owned())];
    let target = Target { url: "http://127.0.0.1/".parse().unwrap(), labels };
    Core::new(&target, &Arc::new(job), budget)
}

/// Every family in a short form.
#[track_caller]
fn check(dialect: Dialect, body: &str, expected: &[&str]) {
    let mut core = core(Settings::default());
    core.decode(body.as_bytes(), dialect).unwrap();
    let families: Vec<_> = core
        .families()
        .iter()
        .map(|f| {
            let samples: Vec<_> = f
                .samples
                .iter()
                .map(|s| format!("{:?} {} {}", s.suffix, s.labels.replace("job=\"j\"", "J"), s.value))
                .collect();
            format!("{} {:?} {}: {}", f.name, f.kind, f.help, samples.join("; "))
        })
        .collect();
    assert_eq!(families, expected, "{body}");
}

#[test]
fn counters_of_both_formats_have_one_form() {
    check(
        Dialect::Text,
        "# HELP a_total H.\n# TYPE a_total counter\na_total 1\n",
        &["a Counter H.: Total J 1"],
    );
    check(Dialect::Text, "# TYPE a counter\na 1\n", &["a Counter : None J 1"]);
    check(
        Dialect::OpenMetrics,
        "# TYPE a counter\na_total 1\na_created 2\n# EOF\n",
        &["a Counter : Total J 1; Created J 2"],
    );
    check(Dialect::Text, "a_total 1\n", &["a_total Unknown : None J 1"]);
}

#[test]
fn histograms_and_summaries_keep_their_samples_together() {
    check(
        Dialect::Text,
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\n",
        &[
            "h Histogram : Bucket J,le=\"1\" 1; Bucket J,le=\"+Inf\" 2; Sum J 3; Count J 2",
            "s Summary : None J,quantile=\"0.5\" 1; Sum J 2; Count J 3",
        ],
    );
}

#[test]
fn every_openmetrics_type_is_taken() {
    check(
        Dialect::OpenMetrics,
        "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"a\"} 1\n# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 1\ng_gcount 1\ng_gsum 2\n# EOF\n",
        &[
            "i Info : Info J,v=\"1\" 1",
            "s StateSet : None J,s=\"a\" 1",
            "g GaugeHistogram : Bucket J,le=\"+Inf\" 1; GCount J 1; GSum J 2",
        ],
    );
}

#[test]
fn a_family_in_several_places_is_one() {
    check(
        Dialect::Text,
        "# TYPE h histogram\n# TYPE a gauge\na{x=\"1\"} 1\nh_sum 5\na{x=\"2\"} 2\nh_count 1\n",
        &["a Gauge : None J,x=\"1\" 1; None J,x=\"2\" 2", "h Histogram : Sum J 5; Count J 1"],
    );
}

#[test]
fn exact_metadata_wins_over_a_suffix() {
    check(
        Dialect::Text,
        "# TYPE h histogram\n# TYPE h_count gauge\nh_sum 5\nh_count 1\n",
        &["h Histogram : Sum J 5", "h_count Gauge : None J 1"],
    );
}

#[test]
fn a_sample_that_its_type_cannot_have_is_a_family_of_its_own() {
    check(
        Dialect::Text,
        "# TYPE h histogram\nh_sum 5\nh 1\nh{x=\"1\"} 2\n",
        &["h Histogram : Sum J 5", "h Unknown : None J 1; None J,x=\"1\" 2"],
    );
}

#[test]
fn series_are_counted_against_the_body_before() {
    let mut core = core(Settings::default());
    let mut counts = |body: &str| core.decode(body.as_bytes(), Dialect::Text).unwrap();
    let expected = |scraped, kept, added, duplicates| Counts {
        scraped,
        kept,
        added,
        duplicates,
        over_budget: 0,
        over_memory: 0,
        too_long: 0,
        out_of_order: 0,
        exemplars: Untaken::default(),
    };
    assert_eq!(counts("a 1\nb 1\na 2\n"), expected(3, 2, 2, 1));
    assert_eq!(counts("a 2\nc 1\n"), expected(2, 2, 1, 0));
}

/// The exemplars of a target, and the serial of the newest there was.
pub(super) fn exemplars(core: &Core) -> (Vec<String>, u64) {
    let (layout, exemplars) = (core.block.layout(), core.block.exemplars());
    let of = |slot: &u32| {
        let name = format!("{}{}", layout.head(*slot).name, layout.suffix(*slot).as_str());
        let time = |of: &exemplars::Exemplar| Some(of.time_ms).filter(|time| *time != NO_TIME);
        let told = |of| format!("{name} {{{}}} {} {:?}", exemplars.labels(of), of.value, time(of));
        exemplars.of(*slot).iter().map(told).collect::<Vec<_>>()
    };
    (layout.order().iter().flat_map(of).collect(), exemplars.newest())
}

fn with_exemplars(limit: usize) -> (Core, Arc<Budget>) {
    let budget = Arc::new(Budget::new(10_000, 10_000, usize::MAX).with_exemplars(limit));
    (core_with(Job::default(), Arc::clone(&budget)), budget)
}

#[test]
fn an_exemplar_is_new_once() {
    let (mut core, _) = with_exemplars(10);
    let mut check = |line: &str, expected: &[&str], newest: u64| {
        let body = format!("# TYPE a counter\na_total {line}\n# EOF\n");
        core.decode(body.as_bytes(), Dialect::OpenMetrics).unwrap();
        let (said, serial) = exemplars(&core);
        assert_eq!(
            (said.iter().map(String::as_str).collect(), serial),
            (expected.to_vec(), newest),
            "{line}"
        );
    };
    check("1", &[], 0);
    check("1 # {t=\"1\"} 0.5", &["a_total {t=\"1\"} 0.5 None"], 1);
    check("1 # {t=\"1\"} 0.5", &["a_total {t=\"1\"} 0.5 None"], 1);
    check("2 # {t=\"1\"} 0.5", &["a_total {t=\"1\"} 0.5 None"], 1);
    check("20 # {t=\"1\"} 0.5 7.25", &["a_total {t=\"1\"} 0.5 Some(7250)"], 2);
    check("3", &[], 2);
    check("3 # {} 1", &["a_total {} 1 None"], 3);
}

#[test]
fn a_broken_body_and_a_series_that_goes_end_exemplars() {
    let (mut core, budget) = with_exemplars(10);
    let body = "# TYPE a counter\na_total 1 # {t=\"1\"} 1\nb_total{x=\"1\"} 2\n# EOF\n";
    let mut read = |body: &str| {
        let result = core.decode(body.as_bytes(), Dialect::OpenMetrics);
        match result {
            Ok(_) => core.succeed(&Report { up: true, ..Report::default() }),
            Err(_) => core.fail(&Report::default()),
        }
        (exemplars(&core).0.len(), budget.exemplars_of().0)
    };
    assert_eq!(read(body), (1, 1));
    assert_eq!(read(&body.replace(" 2\n", " x\n")), (0, 0));
    assert_eq!(read(body), (1, 1));
    assert_eq!(read("# TYPE b counter\nb_total{x=\"1\"} 2\n# EOF\n"), (0, 0));
    assert_eq!(read(body), (1, 1));
    drop(core);
    assert_eq!(budget.exemplars_of(), (0, 10));
}

#[test]
fn exemplars_over_the_limit_are_counted_and_room_is_used_again() {
    let body = |a: &str, b: &str| {
        format!("# TYPE a counter\na_total{{x=\"1\"}} 1{a}\na_total{{x=\"2\"}} 2{b}\n# EOF\n")
    };
    for (limit, kept, untaken) in [(0, 0, 0), (1, 1, 1), (2, 2, 0)] {
        let (mut core, budget) = with_exemplars(limit);
        let mut read = |a: &str, b: &str| {
            let counts = core.decode(body(a, b).as_bytes(), Dialect::OpenMetrics).unwrap();
            core.succeed(&Report { up: true, ..Report::default() });
            (budget.exemplars_of().0, counts.exemplars.over_limit)
        };
        assert_eq!(read(" # {} 1", " # {} 2"), (kept, untaken), "{limit}");
        // The first one's place is free behind this body, and the second's is there already or was refused.
        assert_eq!(read("", " # {} 2"), (usize::from(limit == 2), 0), "{limit}");
        assert_eq!(read("", " # {} 3"), (limit.min(1), 0), "{limit}");
    }
}

#[test]
fn warm_bodies_leave_the_layout_alone() {
    let mut core = core(Settings::default());
    core.decode(b"a{x=\"1\"} 1\nb 2\n", Dialect::Text).unwrap();
    let layout = Arc::clone(core.block.layout());
    core.decode(b"a{x=\"1\"} 2\nb 2\n", Dialect::Text).unwrap();
    assert!(Arc::ptr_eq(&layout, core.block.layout()));
    assert_eq!(core.families()[0].samples[0].value, 2.0);
}

#[test]
fn the_page_follows_the_order_of_the_body() {
    let mut core = core(Settings::default());
    core.decode(b"# TYPE a gauge\na{x=\"1\"} 1\n# TYPE b gauge\nb 1\n", Dialect::Text).unwrap();
    core.decode(
        b"# TYPE n gauge\nn 1\n# TYPE a gauge\na{x=\"0\"} 1\na{x=\"1\"} 1\n# TYPE b gauge\nb 1\n",
        Dialect::Text,
    )
    .unwrap();
    let families = core.families();
    let lines: Vec<_> = families
        .iter()
        .flat_map(|f| f.samples.iter().map(|s| format!("{} {}", f.name, s.labels.replace(",x", "x"))))
        .collect();
    assert_eq!(lines, ["n job=\"j\"", "a job=\"j\"x=\"0\"", "a job=\"j\"x=\"1\"", "b job=\"j\""]);
}

#[test]
fn an_exporter_that_changes_its_format_ends_its_series_and_starts_anew() {
    let mut core = core(Settings::default());
    core.decode(b"# TYPE a counter\na_total 1\n", Dialect::Text).unwrap();
    let counts = core.decode(b"# TYPE a counter\na_total 2\n# EOF\n", Dialect::OpenMetrics).unwrap();
    assert_eq!(counts.added, 1);
    let families = core.families();
    assert_eq!((families.len(), families[0].samples.len(), families[0].samples[0].value), (1, 1, 2.0));
}

#[test]
fn timestamps_are_kept_if_honored() {
    for (honor_timestamps, expected) in [(true, Some(5)), (false, None)] {
        let mut core = core(Settings { honor_timestamps, ..Settings::default() });
        core.decode(b"a 1 5\n", Dialect::Text).unwrap();
        assert_eq!(core.families()[0].samples[0].timestamp_ms, expected);
    }
}

#[test]
fn the_sample_limit_is_the_most_that_is_taken() {
    let mut core = core(Settings { sample_limit: 2, ..Settings::default() });
    assert!(core.decode(b"a 1\nb 1\n", Dialect::Text).is_ok());
    let (error, counts) = core.decode(b"a 1\nb 1\nc 1\n", Dialect::Text).unwrap_err();
    assert_eq!((error, counts.kept), (DecodeError::SampleLimit(2), 3));
    assert!(core.decode(b"a 1\nc 1\n", Dialect::Text).is_ok());
}

#[test]
fn series_over_the_budget_are_refused_and_their_room_comes_back() {
    let budget = Arc::new(Budget::new(2, 100, usize::MAX));
    let mut core = core_with(Job::default(), Arc::clone(&budget));
    let counts = core.decode(b"a 1\nb 1\nc 1\n", Dialect::Text).unwrap();
    assert_eq!((counts.kept, counts.over_budget, budget.used_of()), (2, 1, (2, 2)));
    core.decode(b"b 1\n", Dialect::Text).unwrap();
    assert_eq!(budget.used_of(), (1, 2));
    core.decode(b"b 1\nd 1\n", Dialect::Text).unwrap();
    assert_eq!(budget.used_of(), (2, 2));
    drop(core);
    assert_eq!(budget.used_of(), (0, 2));
}

#[test]
fn an_error_comes_with_what_was_counted() {
    let (error, counts) = core(Settings::default()).decode(b"a 1\nb\n", Dialect::Text).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert_eq!(counts.scraped, 1);
}

fn relabelled(rules: &[RelabelConfig]) -> Job {
    Job { metric_relabel: Rules::compile(rules).unwrap(), ..Job::default() }
}

#[test]
fn a_target_may_hold_so_many_series_and_no_more() {
    let mut core = core_with(Job::default(), Arc::new(Budget::new(100, 1, usize::MAX)));
    let counts = core.decode(b"a 1\nb 1\n", Dialect::Text).unwrap();
    assert_eq!((counts.kept, counts.over_budget), (1, 1));
}

#[test]
fn a_sample_of_an_earlier_time_is_refused_and_the_later_one_stays() {
    let mut ordered = core(Settings::default());
    let mut read = |body: &str| {
        let counts = ordered.decode(body.as_bytes(), Dialect::Text).unwrap();
        let slot = ordered.block.layout().order().last().copied().unwrap() as usize;
        let time = ordered.block.times().get(slot).copied().filter(|time| *time != NO_TIME);
        (counts.kept, counts.out_of_order, ordered.block.values()[slot], time)
    };
    assert_eq!(read("a 1 2000\n"), (1, 0, 1.0, Some(2000)));
    assert_eq!(read("a 2 1999\n"), (0, 1, 1.0, Some(2000)));
    assert_eq!(read("a 3 2000\n"), (1, 0, 3.0, Some(2000)));
    assert_eq!(read("a 4 2001\n"), (1, 0, 4.0, Some(2001)));
    // Without a time it is of now, and whatever comes behind it is new.
    assert_eq!(read("a 5\n"), (1, 0, 5.0, None));
    assert_eq!(read("a 6 1\n"), (1, 0, 6.0, Some(1)));
    let mut core = core(Settings { honor_timestamps: false, ..Settings::default() });
    for body in ["a 1 2000\n", "a 2 1999\n"] {
        assert_eq!(core.decode(body.as_bytes(), Dialect::Text).unwrap().out_of_order, 0);
    }
}

#[test]
fn labels_that_are_too_long_are_counted() {
    let mut core = core(Settings::default());
    let body = format!("a{{x=\"{}\"}} 1\nb 1\n", "y".repeat(70_000));
    let counts = core.decode(body.as_bytes(), Dialect::Text).unwrap();
    assert_eq!((counts.scraped, counts.kept, counts.too_long), (2, 1, 1));
}

#[test]
fn relabelling_drops_renames_and_folds() {
    let rule = |action, source: &[&str], regex: &str, target: &str, replacement: &str| RelabelConfig {
        action,
        source_labels: source.iter().map(|label| (*label).to_owned()).collect(),
        regex: regex.to_owned(),
        target_label: target.to_owned(),
        replacement: replacement.to_owned(),
        ..RelabelConfig::default()
    };
    let rules = [
        rule(Action::Drop, &["__name__"], "gone", "", "$1"),
        rule(Action::Replace, &["__name__"], "h_(.*)", "__name__", "g_$1"),
        rule(Action::LabelDrop, &[], "x", "", "$1"),
    ];
    let mut core = core_with(relabelled(&rules), Arc::new(Budget::new(100, 100, usize::MAX)));
    let body =
        b"gone 1\n# TYPE h histogram\nh_sum 1\nh_count 2\n# TYPE a gauge\na{x=\"1\"} 3\na{x=\"2\"} 4\n";
    for scrape in 0..2 {
        let counts = core.decode(body, Dialect::Text).unwrap();
        assert_eq!((counts.scraped, counts.kept, counts.duplicates), (5, 3, 1), "scrape {scrape}");
        let families = core.families();
        let lines: Vec<_> = families
            .iter()
            .flat_map(|f| {
                f.samples.iter().map(move |s| format!("{} {:?} {:?} {}", f.name, f.kind, s.suffix, s.value))
            })
            .collect();
        assert_eq!(lines, ["g Histogram Sum 1", "g Histogram Count 2", "a Gauge None 4"]);
    }
    // The series that the first line made is the second's once the first is gone.
    core.decode(b"# TYPE a gauge\na{x=\"3\"} 5\n", Dialect::Text).unwrap();
    core.decode(b"# TYPE a gauge\na{x=\"3\"} 6\n", Dialect::Text).unwrap();
    assert_eq!(core.block.values().iter().filter(|value| **value == 6.0).count(), 1);
}

#[test]
fn labels_beyond_their_limits_cost_the_scrape() {
    for (settings, body, expected) in [
        (
            Settings { label_limit: 3, ..Settings::default() },
            "a{b=\"1\",c=\"2\"} 1\n",
            "`a` has 4 labels; the limit is 3",
        ),
        (
            Settings { label_name_length_limit: 8, ..Settings::default() },
            "a{bbbbbbbbb=\"1\"} 1\n",
            "`a` has a label name of 9 bytes, `bbbbbbbbb`; the limit is 8",
        ),
        (
            Settings { label_value_length_limit: 3, ..Settings::default() },
            "a{b=\"1234\"} 1\n",
            "`a` has a value of 4 bytes of label `b`; the limit is 3",
        ),
    ] {
        let mut core = core(settings);
        for _ in 0..2 {
            let (error, _) = core.decode(body.as_bytes(), Dialect::Text).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        core.decode(b"a 1\n", Dialect::Text).unwrap();
    }
}

#[test]
fn a_target_that_is_none_any_more_takes_nothing() {
    let mut core = core(Settings::default());
    core.decode(b"a 1\n", Dialect::Text).unwrap();
    core.end();
    core.decode(b"a 2\n", Dialect::Text).unwrap();
    core.succeed(&Report::default());
    assert!(core.families().is_empty());
}

/// From body bytes to closed windows, a minute long: nothing is allocated once the series are known.
#[track_caller]
fn warm(job: Job, rules: Option<Vec<Rule>>) {
    const BODIES: [&[u8]; 2] = [
        include_bytes!("../../../exposition/tests/bodies/node_exporter.txt"),
        include_bytes!("../../../exposition/tests/bodies/node_exporter_1s.txt"),
    ];
    let mut core = core_with(job, Arc::new(Budget::new(10_000, 10_000, usize::MAX)));
    let mut rules = rules.map(|rules| AllRules::new(Engine::new(rules).unwrap()));
    let mut pool = Pool::new(2);
    let (windows, _reader) = watch::channel(Arc::new(Window::default()));
    let mut before = 0;
    let mut aggregated = 0;
    for second in 0..70 {
        // The first seconds make room.
        if second == 10 {
            before = allocations::count();
        }
        let counts = core.decode(BODIES[second % 2], Dialect::Text).unwrap();
        core.succeed(&Report { up: true, kept: counts.kept, ..Report::default() });
        let closed = pool.close(|window| {
            window.begin(0, true);
            window.take(Source::Scrape, &mut core.block);
            if let Some(rules) = &mut rules {
                rules.close(window, second as u64);
            }
        });
        let closed = closed.expect("the reader holds one of two");
        aggregated +=
            closed.views().filter(|view| view.source == Source::Aggregate && !view.layout.is_empty()).count();
        windows.send_replace(closed);
    }
    assert_eq!(allocations::count() - before, 0);
    assert_eq!(aggregated > 0, rules.is_some());
}

#[test]
fn warm_windows_allocate_nothing() {
    warm(Job::default(), None);
}

#[test]
fn warm_windows_with_exemplars_allocate_nothing() {
    let body = |at: usize| {
        let line = |n: usize| match (n + at) % 3 {
            0 => format!("a_total{{n=\"{n}\"}} {at}\n"),
            _ => format!("a_total{{n=\"{n}\"}} {at} # {{trace_id=\"{:032x}\"}} 0.5\n", n * 1000 + at),
        };
        format!("# TYPE a counter\n{}# EOF\n", (0..50).map(line).collect::<String>())
    };
    let bodies: Vec<_> = (10..99).map(body).collect();
    let (mut core, _) = with_exemplars(1000);
    let mut pool = Pool::new(2);
    let (mut before, mut newest) = (0, 0);
    for (second, body) in bodies.iter().enumerate() {
        // Exemplars' text is put together now and then, at different lengths.
        if second == 50 {
            (before, newest) = (allocations::count(), core.block.exemplars().newest());
        }
        core.decode(body.as_bytes(), Dialect::OpenMetrics).unwrap();
        core.succeed(&Report { up: true, ..Report::default() });
        let window = pool.close(|window| {
            window.begin(0, true);
            window.take(Source::Scrape, &mut core.block);
        });
        assert_eq!(window.map(|window| window.view(0).exemplars.len()), Some(core.block.exemplars().len()));
    }
    assert_eq!(allocations::count() - before, 0);
    assert!(core.block.exemplars().newest() > newest + 1000);
}

#[test]
fn warm_windows_allocate_nothing_with_relabelling() {
    let drop = RelabelConfig {
        action: Action::Drop,
        source_labels: vec!["__name__".to_owned()],
        regex: "go_.*".to_owned(),
        ..RelabelConfig::default()
    };
    let label = RelabelConfig {
        source_labels: vec!["device".to_owned()],
        target_label: "disk".to_owned(),
        ..RelabelConfig::default()
    };
    warm(relabelled(&[drop, label]), None);
}

#[test]
fn warm_windows_allocate_nothing_with_rules() {
    let rule = |name: &str, interval, outputs| Rule {
        grouping: Grouping::Without(vec!["cpu".to_owned(), "device".to_owned()]),
        ..Rule::new(name.to_owned(), interval, outputs)
    };
    let rules = vec![
        rule("a", 1, vec![Output::Total, Output::Rate, Output::Sum, Output::Max]),
        rule(
            "b",
            5,
            vec![Output::Avg, Output::Quantiles(vec![0.5, 0.99]), Output::Histogram(vec![1.0, 10.0])],
        ),
    ];
    warm(Job::default(), Some(rules));
}

#[test]
fn memory_is_a_limit_and_what_is_told_is_what_there_is() {
    let budget = Arc::new(Budget::new(100, 100, 4096));
    let mut core = core_with(Job::default(), Arc::clone(&budget));
    let body = |labels: usize| (0..labels).map(|at| format!("a{{x=\"{at:0100}\"}} 1\n")).collect::<String>();
    let counts = core.decode(body(30).as_bytes(), Dialect::Text).unwrap();
    assert!(counts.kept > 5 && counts.over_memory == 30 - counts.kept, "{counts:?}");
    assert_eq!(core.refused(), counts.over_memory);
    core.succeed(&Report::default());
    let (Memory { used, reserved }, limit) = budget.memory_of();
    assert!(used > counts.kept * 100 && reserved >= used && limit == 4096, "{used} {reserved}");
    drop(core);
    assert_eq!(budget.memory_of().0, Memory::default());
}

#[test]
fn a_refused_series_is_asked_about_again_when_there_is_room() {
    let budget = Arc::new(Budget::new(2, 100, usize::MAX));
    let other = {
        let mut other = core_with(Job::default(), Arc::clone(&budget));
        other.decode(b"o 1\n", Dialect::Text).unwrap();
        other
    };
    let text = &b"# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# EOF\n"[..];
    // Two families: a name, the type of a gauge, and a metric with the value 1.
    let family = |name| [14, 10, 1, name, 24, 1, 34, 11, 18, 9, 9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f];
    let protobuf = [family(b'a'), family(b'b')].map(|mut family| {
        family[0] = family.len() as u8 - 1;
        family
    });
    let protobuf = protobuf.concat();
    for (dialect, body) in
        [(Dialect::Text, text), (Dialect::OpenMetrics, text), (Dialect::Protobuf, &protobuf)]
    {
        let mut core = core_with(Job::default(), Arc::clone(&budget));
        assert_eq!(core.decode(body, dialect).unwrap().kept, 1);
        for _ in 0..2 * PATIENCE {
            assert_eq!((core.decode(body, dialect).unwrap().kept, core.refused()), (1, 1));
        }
        budget.release(1);
        assert_eq!((core.decode(body, dialect).unwrap().kept, core.refused()), (2, 0));
        assert!(budget.take(0, 0).is_err());
        drop(core);
        budget.take(0, 0).unwrap();
    }
    drop(other);
}

/// What ends in the window that is closed now.
fn ended(core: &mut Core) -> Vec<(String, bool)> {
    let mut window = Window::default();
    window.begin(0, true);
    window.take(Source::Scrape, &mut core.block);
    let view = window.view(0);
    let marks = view.layout.families().flat_map(|(head, slots)| {
        let ended = slots.iter().filter(|slot| is_stale(view.values[**slot as usize]));
        let timed = |slot: &u32| view.times.get(*slot as usize).is_some_and(|time| *time != NO_TIME);
        ended.map(|slot| (head.name.to_string(), timed(slot))).collect::<Vec<_>>()
    });
    marks.filter(|(name, _)| name.len() == 1).collect()
}

#[test]
fn a_series_with_times_of_its_own_ends_with_a_mark_only_if_the_job_wants_one() {
    for (track_timestamps_staleness, expected) in [(false, &["b"][..]), (true, &["a", "b"])] {
        let expected: Vec<_> = expected.iter().map(|name| ((*name).to_owned(), false)).collect();
        let mut core = core(Settings { track_timestamps_staleness, ..Settings::default() });
        let body = b"a 1 5\nb 1\nc 1\n";
        core.decode(body, Dialect::Text).unwrap();
        core.succeed(&Report::default());
        assert!(ended(&mut core).is_empty());
        // Gone from the body.
        core.decode(b"c 1\n", Dialect::Text).unwrap();
        core.succeed(&Report::default());
        assert_eq!(ended(&mut core), expected);
        // The target gone.
        core.decode(body, Dialect::Text).unwrap();
        core.succeed(&Report::default());
        assert!(ended(&mut core).is_empty());
        core.end();
        let c = ("c".to_owned(), false);
        assert_eq!(ended(&mut core), [expected.clone(), vec![c]].concat());
    }
}
