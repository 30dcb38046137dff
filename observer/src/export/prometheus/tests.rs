use std::sync::Arc;

use observer_aggregate::{
    family::{Family, Kind, Sample, Suffix},
    series::Block,
    window::{Source, Window},
};
use observer_exposition as exposition;

use super::*;
use crate::window::window_of;

pub(super) fn family(name: &'static str, kind: Kind, samples: &[(Suffix, &str, f64)]) -> Family {
    let samples = samples
        .iter()
        .map(|&(suffix, labels, value)| Sample {
            suffix,
            labels: Arc::from(labels),
            value,
            timestamp_ms: None,
            native: None,
        })
        .collect();
    Family { name: name.into(), kind, help: "Help.".into(), unit: "".into(), samples }
}

fn written(families: &[Family], format: Format) -> (String, Dropped) {
    let each: Vec<_> = families.iter().map(|family| (Source::Node, vec![family.clone()])).collect();
    let window = window_of(0, each);
    let views: Vec<_> = window.views().collect();
    let (mut plan, mut out) = (Plan::default(), Vec::new());
    let dropped = write(&mut plan, &views, &mut out, Form::Lines(format, Names::Underscores), &[]);
    let failed = match format {
        Format::Text => exposition::text(&out).find_map(Result::err),
        Format::OpenMetrics => exposition::openmetrics(&out).find_map(Result::err),
    };
    let text = String::from_utf8(out).unwrap();
    assert_eq!(failed, None, "{text}");
    (text, dropped)
}

#[track_caller]
fn check(families: &[Family], text: &str, openmetrics: &str, dropped: Dropped) {
    assert_eq!(written(families, Format::Text), (text.to_owned(), dropped));
    assert_eq!(written(families, Format::OpenMetrics), (openmetrics.to_owned(), dropped));
}

const NONE: Dropped = Dropped { duplicate: 0, conflict: 0, native: 0 };

#[test]
fn families_of_one_name_stand_together() {
    check(
        &[
            family("a", Kind::Gauge, &[(Suffix::None, "i=\"1\"", 1.0)]),
            family("b", Kind::Counter, &[(Suffix::Total, "", 2.0)]),
            family("a", Kind::Gauge, &[(Suffix::None, "i=\"2\"", 3.0)]),
        ],
        "# HELP a Help.\n# TYPE a gauge\na{i=\"1\"} 1\na{i=\"2\"} 3\n# HELP b_total Help.\n# TYPE b_total counter\nb_total 2\n",
        "# HELP a Help.\n# TYPE a gauge\na{i=\"1\"} 1\na{i=\"2\"} 3\n# HELP b Help.\n# TYPE b counter\nb_total 2\n# EOF\n",
        NONE,
    );
}

#[test]
fn the_first_type_holds_for_samples_of_the_same_name() {
    let families = [
        family("a", Kind::Counter, &[(Suffix::Total, "i=\"1\"", 1.0)]),
        family("a_total", Kind::Unknown, &[(Suffix::None, "i=\"2\"", 2.0)]),
    ];
    check(
        &families,
        "# HELP a_total Help.\n# TYPE a_total counter\na_total{i=\"1\"} 1\na_total{i=\"2\"} 2\n",
        "# HELP a Help.\n# TYPE a counter\na_total{i=\"1\"} 1\na_total{i=\"2\"} 2\n# EOF\n",
        NONE,
    );
    let [one, other] = families;
    check(
        &[other, one],
        "# HELP a_total Help.\n# TYPE a_total untyped\na_total{i=\"2\"} 2\na_total{i=\"1\"} 1\n",
        "# HELP a_total Help.\n# TYPE a_total unknown\na_total{i=\"2\"} 2\na_total{i=\"1\"} 1\n# EOF\n",
        NONE,
    );
}

#[test]
fn a_counter_and_a_gauge_of_one_stem_are_two_families() {
    let families = [
        family("a", Kind::Counter, &[(Suffix::Total, "", 1.0)]),
        family("a", Kind::Gauge, &[(Suffix::None, "", 2.0)]),
    ];
    check(
        &families,
        "# HELP a_total Help.\n# TYPE a_total counter\na_total 1\n# HELP a Help.\n# TYPE a gauge\na 2\n",
        "# HELP a_total Help.\n# TYPE a_total unknown\na_total 1\n# HELP a Help.\n# TYPE a gauge\na 2\n# EOF\n",
        NONE,
    );
}

#[test]
fn a_histogram_under_a_taken_name_is_taken_apart() {
    let histogram =
        family("a", Kind::Histogram, &[(Suffix::Bucket, "le=\"+Inf\"", 1.0), (Suffix::Count, "", 1.0)]);
    let gauge = family("a", Kind::Gauge, &[(Suffix::None, "", 2.0)]);
    check(
        &[gauge.clone(), histogram.clone()],
        "# HELP a Help.\n# TYPE a gauge\na 2\n# TYPE a_bucket untyped\na_bucket{le=\"+Inf\"} 1\n# TYPE a_count untyped\na_count 1\n",
        "# HELP a Help.\n# TYPE a gauge\na 2\n# TYPE a_bucket unknown\na_bucket{le=\"+Inf\"} 1\n# TYPE a_count unknown\na_count 1\n# EOF\n",
        NONE,
    );
    // A histogram has no sample of its bare name, and no second family may have that name.
    let (text, dropped) = written(&[histogram, gauge], Format::Text);
    assert!(!text.contains("a 2"), "{text}");
    assert_eq!(dropped, Dropped { conflict: 1, ..NONE });
}

#[test]
fn a_series_stands_once() {
    let families = [
        family("a", Kind::Gauge, &[(Suffix::None, "x=\"1\"", 1.0), (Suffix::None, "x=\"1\"", 2.0)]),
        family("a", Kind::Gauge, &[(Suffix::None, "x=\"1\"", 3.0), (Suffix::None, "", 4.0)]),
    ];
    let (text, dropped) = written(&families, Format::Text);
    assert_eq!(text, "# HELP a Help.\n# TYPE a gauge\na{x=\"1\"} 1\na 4\n");
    assert_eq!(dropped, Dropped { duplicate: 2, ..NONE });
}

#[test]
fn what_the_text_format_does_not_know_becomes_a_gauge() {
    check(
        &[
            family("a", Kind::Counter, &[(Suffix::Total, "", 1.0), (Suffix::Created, "", 5.0)]),
            family(
                "g",
                Kind::GaugeHistogram,
                &[(Suffix::Bucket, "le=\"+Inf\"", 1.0), (Suffix::GCount, "", 1.0)],
            ),
            family("i", Kind::Info, &[(Suffix::Info, "v=\"1\"", 1.0)]),
        ],
        "# HELP a_total Help.\n# TYPE a_total counter\na_total 1\n# HELP g Help.\n# TYPE g histogram\n\
         g_bucket{le=\"+Inf\"} 1\n# HELP i_info Help.\n# TYPE i_info gauge\ni_info{v=\"1\"} 1\n\
         # TYPE a_created gauge\na_created 5\n# TYPE g_gcount gauge\ng_gcount 1\n",
        "# HELP a Help.\n# TYPE a counter\na_total 1\na_created 5\n# HELP g Help.\n# TYPE g gaugehistogram\n\
         g_bucket{le=\"+Inf\"} 1\ng_gcount 1\n# HELP i Help.\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n",
        NONE,
    );
}

#[test]
fn a_family_without_samples_leaves_no_trace() {
    check(&[family("a", Kind::Histogram, &[]), family("a", Kind::Gauge, &[])], "", "# EOF\n", NONE);
}

#[test]
fn external_labels_fill_what_is_free() {
    let families =
        [family("a", Kind::Gauge, &[(Suffix::None, "", 1.0), (Suffix::None, "zone=\"own\"", 2.0)])];
    let mut out = Vec::new();
    let external = [("cluster".to_owned(), "c\"1".to_owned()), ("zone".to_owned(), "z".to_owned())];
    let window = window_of(0, vec![(Source::Node, families.to_vec())]);
    let views: Vec<_> = window.views().collect();
    let form = Form::Lines(Format::Text, Names::Underscores);
    write(&mut Plan::default(), &views, &mut out, form, &external);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "# HELP a Help.\n# TYPE a gauge\na{cluster=\"c\\\"1\",zone=\"z\"} 1\na{zone=\"own\",cluster=\"c\\\"1\"} 2\n"
    );
}

/// Lines of the page behind the heads, in the order of the page.
fn lines(plan: &mut Plan, blocks: &mut [Block]) -> (Vec<String>, Dropped) {
    let mut window = Window::default();
    window.begin(0, true);
    for block in blocks {
        block.touch();
        window.take(Source::Scrape, block);
    }
    let views: Vec<_> = window.views().collect();
    let mut out = Vec::new();
    let dropped = write(plan, &views, &mut out, Form::Lines(Format::Text, Names::Underscores), &[]);
    let text = String::from_utf8(out).unwrap();
    (text.lines().filter(|line| !line.starts_with("# HELP")).map(str::to_owned).collect(), dropped)
}

fn block(family: &Family) -> Block {
    let mut block = Block::default();
    block.read([family].into_iter());
    block
}

#[test]
fn a_plan_follows_series_and_values() {
    let mut plan = Plan::default();
    let one = family("a", Kind::Gauge, &[(Suffix::None, "x=\"1\"", 1.0)]);
    let two = family("a", Kind::Gauge, &[(Suffix::None, "x=\"1\"", 2.0), (Suffix::None, "x=\"2\"", 3.0)]);
    let mut blocks = [block(&one), block(&two)];
    let page = ["# TYPE a gauge", "a{x=\"1\"} 1", "a{x=\"2\"} 3"].map(str::to_owned);
    assert_eq!(lines(&mut plan, &mut blocks), (page.to_vec(), Dropped { duplicate: 1, ..NONE }));
    // The one that came first is gone for now: the other is no repetition.
    blocks[0].end_all();
    let page = ["# TYPE a gauge", "a{x=\"1\"} 2", "a{x=\"2\"} 3"].map(str::to_owned);
    assert_eq!(lines(&mut plan, &mut blocks), (page.to_vec(), NONE));
    // A series more, of a block that is back.
    blocks[0].read([&two, &family("b", Kind::Gauge, &[(Suffix::None, "", 4.0)])].into_iter());
    blocks[1].end_all();
    let page = ["# TYPE a gauge", "a{x=\"1\"} 2", "a{x=\"2\"} 3", "# TYPE b gauge", "b 4"].map(str::to_owned);
    assert_eq!(lines(&mut plan, &mut blocks), (page.to_vec(), NONE));
}

#[test]
fn a_type_that_nothing_has_for_now_takes_no_name() {
    let mut plan = Plan::default();
    let histogram = family("a", Kind::Histogram, &[(Suffix::Count, "", 1.0)]);
    let gauge = family("a", Kind::Gauge, &[(Suffix::None, "", 2.0)]);
    let mut blocks = [block(&histogram), block(&gauge)];
    let as_histogram = ["# TYPE a histogram", "a_count 1"].map(str::to_owned).to_vec();
    let as_gauge = ["# TYPE a gauge", "a 2"].map(str::to_owned).to_vec();
    for _ in 0..2 {
        blocks[0].read([&histogram].into_iter());
        let conflict = Dropped { conflict: 1, ..NONE };
        assert_eq!(lines(&mut plan, &mut blocks), (as_histogram.clone(), conflict));
        assert_eq!(lines(&mut plan, &mut blocks), (as_histogram.clone(), conflict));
        blocks[0].end_all();
        assert_eq!(lines(&mut plan, &mut blocks), (as_gauge.clone(), NONE));
    }
}

#[test]
fn a_page_of_text_says_how_many_native_histograms_it_cannot_show() {
    let native = (Suffix::Native, "x=\"1\"", 1.0);
    let classic = (Suffix::Count, "x=\"1\"", 1.0);
    for (samples, native) in [(&[native][..], 1), (&[classic, native], 0)] {
        let (_, dropped) = written(&[family("a", Kind::Histogram, samples)], Format::Text);
        assert_eq!(dropped, Dropped { native, ..NONE });
    }
}

/// A page of one block whose series have exemplars.
fn page_with_exemplars(form: Form) -> Vec<u8> {
    let mut block = Block::default();
    let mut add = |name: &str, kind, suffix: Suffix, labels: &str, exemplar: &str, time| {
        let family = block.family(name, kind, "", "");
        let slot = block.add(family, suffix, labels).unwrap();
        block.set(slot, 3.0);
        block.set_exemplar(slot, exemplar, 0.5, time);
        slot
    };
    add("c", Kind::Counter, Suffix::Total, "", "trace_id=\"a\\\"b\",\"x.y\"=\"1\"", Some(-1_500));
    add("d", Kind::Counter, Suffix::None, "", "t=\"1\"", None);
    add("h", Kind::Histogram, Suffix::Bucket, "le=\"+Inf\"", "", Some(1_700_000_000_123));
    add("h", Kind::Histogram, Suffix::Count, "", "t=\"1\"", None);
    add("g", Kind::Gauge, Suffix::None, "", "t=\"1\"", None);
    let gone = add("c", Kind::Counter, Suffix::Total, "x=\"1\"", "t=\"1\"", None);
    let mut window = Window::default();
    // A target that is down keeps its exemplars, and none of its series is there.
    block.set(gone, observer_aggregate::series::STALE);
    window.begin(0, true);
    window.take(Source::Scrape, &mut block);
    let views: Vec<_> = window.views().collect();
    let mut out = Vec::new();
    write(&mut Plan::default(), &views, &mut out, form, &[("zone".to_owned(), "z".to_owned())]);
    out
}

#[test]
fn exemplars_stand_behind_counters_and_buckets_of_openmetrics() {
    let page = |format, names| String::from_utf8(page_with_exemplars(Form::Lines(format, names))).unwrap();
    let expected = "\
# TYPE c counter
c_total{zone=\"z\"} 3 # {trace_id=\"a\\\"b\",x_y=\"1\"} 0.5 -1.500
# TYPE d unknown
d{zone=\"z\"} 3
# TYPE h histogram
h_bucket{le=\"+Inf\",zone=\"z\"} 3 # {} 0.5 1700000000.123
h_count{zone=\"z\"} 3
# TYPE g gauge
g{zone=\"z\"} 3
# EOF
";
    let written = page(Format::OpenMetrics, Names::Underscores);
    assert_eq!(written, expected);
    assert_eq!(exposition::openmetrics(written.as_bytes()).find_map(Result::err), None);
    assert_eq!(page(Format::OpenMetrics, Names::Quoted), expected.replace("x_y=", "\"x.y\"="));
    assert!(!page(Format::Text, Names::Underscores).contains("} 0.5"));
}

#[test]
fn exemplars_of_a_protobuf_page_are_those_that_were_scraped() {
    let page = page_with_exemplars(Form::Protobuf);
    let mut told = Vec::new();
    for family in exposition::protobuf(&page) {
        let family = family.unwrap();
        for metric in family.metrics() {
            let of = match metric.unwrap().value {
                exposition::protobuf::Value::Counter { exemplar, .. } => exemplar,
                exposition::protobuf::Value::Histogram(histogram) => {
                    histogram.buckets().find_map(|bucket| bucket.exemplar)
                }
                _ => None,
            };
            let labels = |of: exposition::protobuf::Exemplar<'_>| {
                of.labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect::<Vec<_>>()
            };
            told.push((family.name.to_owned(), of.map(|of| (labels(of), of.value, of.timestamp_ms))));
        }
    }
    let labels = |all: &[&str]| all.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
    let expected = [
        ("c_total", Some((labels(&["trace_id=a\"b", "x_y=1"]), 0.5, Some(-1_500)))),
        ("d", Some((labels(&["t=1"]), 0.5, None))),
        ("h", Some((labels(&[]), 0.5, Some(1_700_000_000_123)))),
        ("g", None),
    ];
    assert_eq!(told, expected.map(|(name, of)| (name.to_owned(), of)));
}
