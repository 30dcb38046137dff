use std::sync::Arc;

use observer_aggregate::{
    family::Kind,
    native::CUSTOM_BUCKETS,
    series::{Block, is_present},
    window::{Pool, Source, Window},
};
use observer_export::wire;

use super::*;
use crate::{
    allocations,
    config::{Dialect, Job, Settings, Target},
    export::prometheus::{self, Form, Plan},
    relabel::{Action, RelabelConfig, Rules},
    scrape::{
        budget::Budget,
        decode::{Core, Counts, Untaken, tests::exemplars},
    },
};

/// A message of a list of fields.
fn message(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn label(name: &str, value: &str) -> Vec<u8> {
    message(|out| {
        wire::bytes(out, 1, name.as_bytes());
        wire::bytes(out, 2, value.as_bytes());
    })
}

/// A metric with one label `x`, and its value in the field of its type.
fn metric(x: &str, field: u32, value: &[u8]) -> Vec<u8> {
    message(|out| {
        wire::bytes(out, 1, &label("x", x));
        wire::bytes(out, field, value);
    })
}

/// A family behind its length.
fn family(name: &str, kind: u64, metrics: &[Vec<u8>]) -> Vec<u8> {
    let family = message(|out| {
        wire::bytes(out, 1, name.as_bytes());
        wire::number(out, 3, kind);
        for metric in metrics {
            wire::bytes(out, 4, metric);
        }
    });
    message(|out| {
        wire::varint(out, family.len() as u64);
        out.extend(family);
    })
}

fn gauge(x: &str, value: f64) -> Vec<u8> {
    metric(x, 2, &message(|out| wire::double(out, 1, value)))
}

fn counter(x: &str, value: f64) -> Vec<u8> {
    let created = message(|out| wire::number(out, 1, 7));
    let counter = message(|out| {
        wire::double(out, 1, value);
        wire::bytes(out, 3, &created);
    });
    metric(x, 3, &counter)
}

/// Schema 1, buckets 1 to 4 with 1, 2, 0 and `last` observations, and two classic ones.
fn histogram(last: u64) -> Vec<u8> {
    let bucket = |count, bound: f64| {
        message(|out| {
            wire::number(out, 1, count);
            wire::double(out, 2, bound);
        })
    };
    let span = message(|out| {
        wire::number(out, 1, wire::zigzag(1));
        wire::number(out, 2, 4);
    });
    let deltas = [1, 1, -2, last.cast_signed()];
    message(|out| {
        wire::number(out, 1, 4 + last);
        wire::double(out, 2, 9.5);
        wire::bytes(out, 3, &bucket(2, 1.0));
        wire::bytes(out, 3, &bucket(3, 2.5));
        wire::number(out, 5, wire::zigzag(1));
        wire::double(out, 6, 0.001);
        wire::number(out, 7, 1);
        wire::bytes(out, 12, &span);
        wire::bytes(
            out,
            13,
            &message(|out| deltas.iter().for_each(|delta| wire::varint(out, wire::zigzag(*delta)))),
        );
    })
}

fn core(settings: Settings, metric_relabel: Rules) -> Core {
    let job = Job { settings, metric_relabel, ..Job::default() };
    let target = Target { url: "http://127.0.0.1/".parse().unwrap(), labels: Vec::new() };
    Core::new(&target, &Arc::new(job), Arc::new(Budget::new(1_000, 1_000, usize::MAX).with_exemplars(100)))
}

fn native() -> Settings {
    Settings { native_histograms: true, ..Settings::default() }
}

fn decode(core: &mut Core, body: &[u8]) -> Counts {
    let counts = core.decode(body, Dialect::Protobuf).unwrap();
    core.block.touch();
    counts
}

/// What the block has of the body, and ends the window.
fn shown(core: &mut Core) -> Vec<String> {
    let mut window = Window::default();
    window.begin(0, true);
    window.take(Source::Scrape, &mut core.block);
    let view = window.views().next().unwrap();
    let mut lines = Vec::new();
    for (head, slots) in view.layout.families() {
        for slot in slots.iter().filter(|slot| is_present(view.values[**slot as usize])) {
            let (suffix, labels) = (view.layout.suffix(*slot), view.layout.labels(*slot));
            let native = view.native(*slot).map_or(String::new(), |n| format!(" {:?}", n.positive.counts));
            let value = view.values[*slot as usize];
            if !head.name.starts_with("scrape_") && &*head.name != "up" {
                lines.push(format!("{} {:?} {suffix:?} {labels} {value}{native}", head.name, head.kind));
            }
        }
    }
    lines
}

#[track_caller]
fn check(settings: Settings, body: &[u8], expected: &[&str]) {
    let mut core = core(settings, Rules::default());
    decode(&mut core, body);
    assert_eq!(shown(&mut core), expected);
}

#[test]
fn a_body_has_the_series_that_it_has_as_text() {
    let quantile = message(|out| {
        wire::double(out, 1, 0.5);
        wire::double(out, 2, 2.0);
    });
    let summary = message(|out| {
        wire::number(out, 1, 3);
        wire::double(out, 2, 4.0);
        wire::bytes(out, 3, &quantile);
    });
    let body = [
        family("c_total", 0, &[counter("a\"", 1.0)]),
        family("g", 1, &[gauge("1", 2.0), gauge("2", 3.0)]),
        family("s", 2, &[metric("1", 4, &summary)]),
    ];
    check(
        Settings::default(),
        &body.concat(),
        &[
            "c Counter Total x=\"a\\\"\" 1",
            "c Counter Created x=\"a\\\"\" 7",
            "g Gauge None x=\"1\" 2",
            "g Gauge None x=\"2\" 3",
            "s Summary None quantile=\"0.5\",x=\"1\" 2",
            "s Summary Sum x=\"1\" 4",
            "s Summary Count x=\"1\" 3",
        ],
    );
}

#[test]
fn a_histogram_is_taken_in_the_form_that_is_wanted() {
    let body = family("h", 4, &[metric("1", 7, &histogram(5))]);
    let classic = [
        "h Histogram Bucket le=\"1.0\",x=\"1\" 2",
        "h Histogram Bucket le=\"2.5\",x=\"1\" 3",
        "h Histogram Bucket le=\"+Inf\",x=\"1\" 9",
        "h Histogram Sum x=\"1\" 9.5",
        "h Histogram Count x=\"1\" 9",
    ];
    let fine = "h Histogram Native x=\"1\" 9 [1.0, 2.0, 0.0, 5.0]";
    check(Settings::default(), &body, &classic);
    check(native(), &body, &[fine]);
    let both = Settings { classic_histograms: true, ..native() };
    check(both, &body, &classic.into_iter().chain([fine]).collect::<Vec<_>>());
}

#[test]
fn resolution_falls_until_a_histogram_is_within_its_bounds() {
    let body = family("h", 4, &[metric("1", 7, &histogram(5))]);
    let limited = |bucket_limit| Settings { bucket_limit, ..native() };
    check(limited(4), &body, &["h Histogram Native x=\"1\" 9 [1.0, 2.0, 0.0, 5.0]"]);
    check(limited(3), &body, &["h Histogram Native x=\"1\" 9 [3.0, 5.0]"]);
    check(limited(1), &body, &["h Histogram Native x=\"1\" 9 [8.0]"]);
    let coarse = Settings { max_schema: 0, ..native() };
    check(coarse, &body, &["h Histogram Native x=\"1\" 9 [3.0, 5.0]"]);
    let mut far = Native { schema: COARSEST, ..Native::default() };
    far.positive.push(1, 1.0);
    far.positive.push(5, 1.0);
    assert_eq!(fit(&mut far, 8, 1), Err(DecodeError::BucketLimit(1)));
    let mut custom = Native { schema: CUSTOM_BUCKETS, ..Native::default() };
    custom.positive.push(0, 1.0);
    custom.positive.push(1, 1.0);
    assert_eq!(fit(&mut custom, 0, 1), Err(DecodeError::BucketLimit(1)));
}

/// An exemplar, and the second it is of if it is not 0.
fn exemplar(trace: &str, second: u64) -> Vec<u8> {
    message(|out| {
        wire::bytes(out, 1, &label("trace_id", trace));
        wire::double(out, 2, 0.5);
        if second > 0 {
            wire::bytes(out, 3, &message(|out| wire::number(out, 1, second)));
        }
    })
}

#[test]
fn exemplars_of_counters_and_buckets_are_new_once() {
    let counter = |of: Option<Vec<u8>>| {
        let value = message(|out| {
            wire::double(out, 1, 1.0);
            of.iter().for_each(|of| wire::bytes(out, 2, of));
        });
        family("c_total", 0, &[metric("1", 3, &value)])
    };
    let buckets = |of: Vec<u8>| {
        let bucket = message(|out| {
            wire::number(out, 1, 1);
            wire::double(out, 2, 1.0);
            wire::bytes(out, 3, &of);
        });
        family("h", 4, &[metric("1", 7, &message(|out| wire::bytes(out, 3, &bucket)))])
    };
    let mut core = core(Settings::default(), Rules::default());
    let mut check = |body: &[u8], expected: &[&str], newest: u64, too_long: usize| {
        let counts = decode(&mut core, body);
        let (said, serial) = exemplars(&core);
        assert_eq!((said.iter().map(String::as_str).collect(), serial), (expected.to_vec(), newest));
        assert_eq!(counts.exemplars, Untaken { too_long, ..Untaken::default() });
    };
    let both = ["c_total {trace_id=\"a\"} 0.5 None", "h_bucket {trace_id=\"b\"} 0.5 Some(7000)"];
    check(&[counter(Some(exemplar("a", 0))), buckets(exemplar("b", 7))].concat(), &both, 2, 0);
    check(&[counter(Some(exemplar("a", 0))), buckets(exemplar("b", 7))].concat(), &both, 2, 0);
    check(&[counter(None), buckets(exemplar("b", 7))].concat(), &both[1..], 2, 0);
    let long = "x".repeat(121);
    check(&[counter(Some(exemplar(&long, 0))), buckets(exemplar("b", 7))].concat(), &both[1..], 2, 1);
    let most = counter(Some(exemplar(&long[1..], 0)));
    let said = format!("c_total {{trace_id=\"{}\"}} 0.5 None", &long[1..]);
    check(&[most, buckets(exemplar("b", 7))].concat(), &[&said, both[1]], 3, 0);
}

#[test]
fn exemplars_of_native_histograms_need_a_time() {
    let body = |own: &[Vec<u8>], of_bucket: &[u8]| {
        let bucket = message(|out| wire::bytes(out, 3, of_bucket));
        let more = message(|out| {
            own.iter().for_each(|own| wire::bytes(out, 16, own));
            wire::bytes(out, 3, &bucket);
        });
        family("h", 4, &[metric("1", 7, &[histogram(5), more].concat())])
    };
    let mut core = core(native(), Rules::default());
    let mut check = |body: &[u8], expected: &[&str], newest: u64, untimed: usize| {
        let counts = decode(&mut core, body);
        let (said, serial) = exemplars(&core);
        assert_eq!((said.iter().map(String::as_str).collect(), serial), (expected.to_vec(), newest));
        assert_eq!(counts.exemplars, Untaken { untimed, ..Untaken::default() });
    };
    let told = |trace, second| format!("h {{trace_id=\"{trace}\"}} 0.5 Some({second}000)");
    let (a, b, c) = (told("a", 9), told("b", 7), told("c", 8));
    let all = [exemplar("a", 9), exemplar("b", 7), exemplar("x", 0)];
    check(&body(&all, &exemplar("c", 8)), &[&b, &a], 2, 1);
    check(&body(&[exemplar("c", 8), exemplar("a", 9)], &exemplar("y", 1)), &[&c, &a], 3, 0);
    // Without own ones those of the buckets stand for them.
    check(&body(&[], &exemplar("c", 8)), &[&c], 3, 0);
    check(&body(&[], &exemplar("c", 0)), &[], 3, 1);
}

#[test]
fn series_come_go_and_change_places() {
    let mut core = core(Settings::default(), Rules::default());
    let body = |gauges: &[(&str, f64)]| {
        let metrics: Vec<_> = gauges.iter().map(|(x, value)| gauge(x, *value)).collect();
        family("g", 1, &metrics)
    };
    let counts = decode(&mut core, &body(&[("1", 1.0), ("2", 2.0), ("3", 3.0)]));
    assert_eq!((counts.scraped, counts.kept, counts.added), (3, 3, 3));
    assert_eq!(shown(&mut core).len(), 3);
    let counts = decode(&mut core, &body(&[("3", 4.0), ("1", 5.0), ("4", 6.0), ("4", 7.0)]));
    assert_eq!((counts.scraped, counts.added, counts.duplicates), (4, 1, 1));
    assert_eq!(
        shown(&mut core),
        ["g Gauge None x=\"3\" 4", "g Gauge None x=\"1\" 5", "g Gauge None x=\"4\" 6"]
    );
    // The end of a body is missing.
    let counts = decode(&mut core, &body(&[("3", 8.0)]));
    assert_eq!((counts.scraped, counts.added), (1, 0));
    assert_eq!(shown(&mut core), ["g Gauge None x=\"3\" 8"]);
}

#[test]
fn a_broken_body_says_where_and_the_next_is_read() {
    let mut core = core(Settings::default(), Rules::default());
    let whole = family("g", 1, &[gauge("1", 1.0), gauge("2", 2.0)]);
    let other = [family("n", 1, &[gauge("1", 1.0)]), vec![9, 1]].concat();
    decode(&mut core, &whole);
    let (error, _) = core.decode(&other, Dialect::Protobuf).unwrap_err();
    assert!(error.to_string().starts_with("cannot parse the body: byte "), "{error}");
    let counts = decode(&mut core, &whole);
    assert_eq!((counts.scraped, counts.added), (2, 0));
    assert_eq!(shown(&mut core), ["g Gauge None x=\"1\" 1", "g Gauge None x=\"2\" 2"]);
}

#[test]
fn rules_and_limits_hold() {
    let rule = RelabelConfig {
        action: Action::Drop,
        source_labels: vec!["__name__".to_owned()],
        regex: "h|g".to_owned(),
        ..RelabelConfig::default()
    };
    let mut with_rules = core(native(), Rules::compile(&[rule]).unwrap());
    let body = [
        family("h", 4, &[metric("1", 7, &histogram(5))]),
        family("g", 1, &[gauge("1", 1.0)]),
        family("c_total", 0, &[counter("1", 1.0), counter("2", 1.0)]),
    ]
    .concat();
    let counts = decode(&mut with_rules, &body);
    assert_eq!((counts.scraped, counts.kept, counts.duplicates), (4, 2, 0));
    assert_eq!(shown(&mut with_rules).len(), 4);
    let limited = |sample_limit| core(Settings { sample_limit, ..native() }, Rules::default());
    decode(&mut limited(4), &body);
    let (error, _) = limited(3).decode(&body, Dialect::Protobuf).unwrap_err();
    assert_eq!(error, DecodeError::SampleLimit(3));
}

#[test]
fn bounds_are_written_as_floats() {
    for (value, expected) in [
        (1.0, "1.0"),
        (0.0, "0.0"),
        (-1.0, "-1.0"),
        (0.005, "0.005"),
        (1e6, "1000000.0"),
        (1.5e-5, "1.5e-05"),
        (1e22, "1e+22"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(written(value), expected);
    }
}

#[test]
fn warm_bodies_allocate_nothing() {
    let exemplified = |at: u64| {
        let own = |n: u64| exemplar(&format!("{:032}", n + at), 7 + n);
        [histogram(at + 1), message(|out| (0..5).for_each(|n| wire::bytes(out, 16, &own(n))))].concat()
    };
    let body = |at: u64| {
        [
            family("c_total", 0, &[counter("1", at as f64)]),
            family("g", 1, &[gauge("1", at as f64)]),
            family("h", 4, &[metric("1", 7, &exemplified(at))]),
        ]
        .concat()
    };
    let bodies = [body(1), body(2)];
    let mut core = core(Settings { classic_histograms: true, ..native() }, Rules::default());
    let mut pool = Pool::new(2);
    let mut before = 0;
    for second in 0..90 {
        // Exemplars' text is put together now and then.
        if second == 40 {
            before = allocations::count();
        }
        decode(&mut core, &bodies[second % 2]);
        let window = pool.close(|window| {
            window.begin(0, true);
            window.take(Source::Scrape, &mut core.block);
        });
        assert_eq!(window.map(|window| window.len()), Some(9 + 6));
    }
    assert_eq!(allocations::count() - before, 0);
}

/// What a page says is what is read of it.
#[test]
fn native_histograms_of_a_page_are_those_that_were_written() {
    let mut fine = Native { schema: 3, count: 10.0, sum: 4.5, zero_threshold: 0.001, ..Native::default() };
    fine.zero_count = 1.0;
    fine.positive.push(-7, 4.0);
    fine.positive.push(2, 3.0);
    fine.negative.push(1, 2.0);
    for (kind, gauge, float) in [(Kind::Histogram, false, false), (Kind::GaugeHistogram, true, true)] {
        let wanted = Native { gauge, float, ..fine.clone() };
        let mut block = Block::default();
        let family = block.family("h", kind, "", "");
        let slot = block.add(family, Suffix::Native, "x=\"1\"").unwrap();
        block.set_native(slot, 10.0).clone_from(&wanted);
        block.add_exemplar(slot, "trace_id=\"a\"", 0.5, Some(7_000));
        block.add_exemplar(slot, "trace_id=\"b\"", 0.5, Some(8_125));
        let mut window = Window::default();
        window.begin(0, true);
        window.take(Source::Kernel, &mut block);
        let views: Vec<_> = window.views().collect();
        let mut page = Vec::new();
        prometheus::write(&mut Plan::default(), &views, &mut page, Form::Protobuf, &[]);
        let mut core = core(native(), Rules::default());
        decode(&mut core, &page);
        assert_eq!(core.block.natives().map(|(_, native)| native).collect::<Vec<_>>(), [&wanted]);
        let told = |trace, ms| format!("h {{trace_id=\"{trace}\"}} 0.5 Some({ms})");
        assert_eq!(exemplars(&core).0, [told("a", 7000), told("b", 8125)]);
    }
}
