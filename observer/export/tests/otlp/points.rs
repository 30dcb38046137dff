//! Which point each series becomes, and when.

use observer_aggregate::{
    family::{Kind, Suffix},
    native::Native,
    series::STALE,
    window::Source,
};
use observer_export::{
    Batch, Encode as _,
    otlp::{Encoder, Histograms, Names, Options, Temporality},
};
use prost::Message as _;

use crate::{
    schema::{Data, Metric, Request, pairs},
    windows::{Origin, close},
};

const T0: i64 = 1_700_000_000_000;
const NS: u64 = 1_000_000;
const CUMULATIVE: i32 = 2;
const DELTA: i32 = 1;

/// An encoder and its windows, a second each.
struct Rig {
    encoder: Encoder,
    serial: u64,
    end_ms: i64,
}

impl Rig {
    fn new(options: Options) -> Self {
        // Not the agent's first window, so that nothing is known about what was before.
        Self { encoder: Encoder::new(options), serial: 100, end_ms: T0 }
    }

    fn batches(&mut self, origins: &mut [&mut Origin]) -> Vec<(Request, u32, bool, usize)> {
        self.serial += 1;
        self.end_ms += 1_000;
        let window = close(self.serial, self.end_ms, origins);
        let mut all = Vec::new();
        self.encoder.window(&window, &mut |batch: Batch<'_>| {
            assert_eq!((batch.serial, batch.end_ms), (window.serial, window.end_ms));
            let request = Request::decode(batch.body).expect("a request");
            all.push((request, batch.samples + batch.histograms, batch.last, batch.body.len()));
        });
        all
    }

    /// The one request of a window.
    fn window(&mut self, origins: &mut [&mut Origin]) -> Request {
        let mut all = self.batches(origins);
        assert!(all.len() <= 1);
        all.pop().map(|(request, ..)| request).unwrap_or_default()
    }
}

fn one<'a>(request: &'a Request, name: &str) -> &'a Metric {
    let metrics = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    let mut found = metrics.filter(|metric| metric.name == name);
    let metric = found.next().unwrap_or_else(|| panic!("no {name} in {request:#?}"));
    assert!(found.next().is_none(), "two of {name}");
    metric
}

/// Start (0 for none), time, value and flags of the only point of a gauge or sum.
fn number(request: &Request, name: &str) -> (u64, u64, Option<f64>, u32) {
    let points = match &one(request, name).data {
        Some(Data::Gauge(gauge)) => &gauge.points,
        Some(Data::Sum(sum)) => &sum.points,
        other => panic!("{name} is {other:?}"),
    };
    assert_eq!(points.len(), 1, "{name}");
    (points[0].start, points[0].time, points[0].value, points[0].flags)
}

/// Seconds behind the rig's first window as nanoseconds since the Unix epoch.
fn at(second: u64) -> u64 {
    (T0 as u64 + 1_000 * second) * NS
}

#[test]
fn each_type_has_its_kind_of_data() {
    let mut node = Origin::new(Source::Node);
    node.set(("requests", Kind::Counter), Suffix::Total, "code=\"200\"", 3.0);
    node.set(("temp", Kind::Gauge), Suffix::None, "a=\"x\\\"y\\\\z\\n\"", 21.5);
    node.set(("odd", Kind::Unknown), Suffix::None, "", 1.0);
    node.set(("build", Kind::Info), Suffix::Info, "version=\"1\"", 1.0);
    node.set(("state", Kind::StateSet), Suffix::None, "state=\"on\"", 1.0);
    node.histogram("latency", "", &[("0.1", 2), ("1", 3), ("+Inf", 1)], 4.5);
    for (quantile, value) in [("0.5", 1.0), ("0.99", 9.0)] {
        node.set(("size", Kind::Summary), Suffix::None, &format!("quantile=\"{quantile}\""), value);
    }
    node.set(("size", Kind::Summary), Suffix::Sum, "", 12.0);
    node.set(("size", Kind::Summary), Suffix::Count, "", 6.0);
    node.set(("queue", Kind::GaugeHistogram), Suffix::Bucket, "le=\"1\"", 6.0);

    let mut rig = Rig::new(Options::default());
    let request = rig.window(&mut [&mut node]);
    let Some(Data::Sum(sum)) = &one(&request, "requests_total").data else { panic!("{request:#?}") };
    assert_eq!((sum.monotonic, sum.temporality), (true, CUMULATIVE));
    assert_eq!(pairs(&sum.points[0].attributes), [("code", "200")]);
    assert_eq!(number(&request, "requests_total"), (at(1), at(1), Some(3.0), 0));
    assert_eq!(number(&request, "temp"), (0, at(1), Some(21.5), 0));
    let Some(Data::Gauge(gauge)) = &one(&request, "temp").data else { panic!("{request:#?}") };
    assert_eq!(pairs(&gauge.points[0].attributes), [("a", "x\"y\\z\n")]);
    assert!(matches!(one(&request, "odd").data, Some(Data::Gauge(_))));
    for name in ["build_info", "state"] {
        let Some(Data::Sum(sum)) = &one(&request, name).data else { panic!("{request:#?}") };
        assert_eq!((sum.monotonic, sum.temporality), (false, CUMULATIVE));
    }
    let Some(Data::Histogram(latency)) = &one(&request, "latency").data else { panic!("{request:#?}") };
    let point = &latency.points[0];
    assert_eq!((&*point.bucket_counts, &*point.explicit_bounds), (&[2, 3, 1][..], &[0.1, 1.0][..]));
    assert_eq!((point.count, point.sum, point.attributes.len()), (6, Some(4.5), 0));
    let Some(Data::Summary(size)) = &one(&request, "size").data else { panic!("{request:#?}") };
    let quantiles: Vec<_> = size.points[0].quantiles.iter().map(|q| (q.quantile, q.value)).collect();
    assert_eq!(
        (size.points[0].count, size.points[0].sum, quantiles),
        (6, 12.0, vec![(0.5, 1.0), (0.99, 9.0)])
    );
    assert_eq!(pairs(&one(&request, "odd").metadata), [("prometheus.type", "unknown")]);
    // The gauge histogram.
    assert_eq!(request.metrics().len(), 7);
    assert_eq!(rig.encoder.stats().unsupported, 1);
}

#[test]
fn names_keep_their_suffixes_and_units_are_short() {
    let mut node = Origin::new(Source::Node);
    let family = node.block.family("sent_bytes", Kind::Counter, "What was sent.", "bytes");
    let slot = node.block.add(family, Suffix::Total, "").unwrap();
    node.block.set(slot, 1.0);
    node.block.touch();
    let request = Rig::new(Options::default()).window(&mut [&mut node]);
    let metric = one(&request, "sent_bytes_total");
    assert_eq!((&*metric.unit, &*metric.description), ("By", "What was sent."));
}

#[test]
fn scraped_series_belong_to_their_target() {
    let agent =
        vec![("service.name".to_owned(), "observer".to_owned()), ("host.name".to_owned(), "n1".to_owned())];
    let targets = vec![("host.name".to_owned(), "n1".to_owned()), ("region".to_owned(), "west".to_owned())];
    let mut rig = Rig::new(Options { agent, targets, ..Options::default() });
    let mut kernel = Origin::new(Source::Kernel);
    kernel.set(("k", Kind::Gauge), Suffix::None, "job=\"kept\"", 1.0);
    let mut target = Origin::new(Source::Scrape);
    for (instance, value) in [("a:1", 1.0), ("b:1", 2.0)] {
        let labels = format!("instance=\"{instance}\",job=\"j\",x=\"y\"");
        target.set(("m", Kind::Gauge), Suffix::None, &labels, value);
    }
    target.set(
        ("target", Kind::Info),
        Suffix::Info,
        "instance=\"a:1\",job=\"j\",region=\"east\",tier=\"1\"",
        1.0,
    );
    let scoped = "instance=\"a:1\",job=\"j\",otel_scope_name=\"lib\",otel_scope_version=\"2\"";
    target.set(("s", Kind::Gauge), Suffix::None, scoped, 3.0);

    let request = rig.window(&mut [&mut kernel, &mut target]);
    let resources: Vec<_> =
        request.resource_metrics.iter().map(|r| pairs(&r.resource.as_ref().unwrap().attributes)).collect();
    let first = [
        ("service.name", "j"),
        ("service.instance.id", "a:1"),
        ("region", "east"),
        ("tier", "1"),
        ("host.name", "n1"),
    ];
    assert_eq!(resources[0], [("service.name", "observer"), ("host.name", "n1")]);
    assert_eq!(resources[1], first);
    assert_eq!(
        resources[2][..3],
        [("service.name", "j"), ("service.instance.id", "b:1"), ("host.name", "n1")]
    );
    assert_eq!(resources[3], first);
    let scope = |at: usize| request.resource_metrics[at].scope_metrics[0].scope.clone().unwrap();
    assert_eq!((&*scope(1).name, &*scope(3).name, &*scope(3).version), ("observer", "lib", "2"));
    let metrics = request.metrics();
    assert_eq!(metrics.keys().collect::<Vec<_>>(), ["k", "m", "s"]);
    let Some(Data::Gauge(gauge)) = &metrics["m"][0].data else { panic!("{request:#?}") };
    assert_eq!(pairs(&gauge.points[0].attributes), [("x", "y")]);
    let Some(Data::Gauge(gauge)) = &metrics["k"][0].data else { panic!("{request:#?}") };
    assert_eq!(pairs(&gauge.points[0].attributes), [("job", "kept")]);
}

#[test]
fn starts_are_kept_until_a_value_falls() {
    let mut target = Origin::new(Source::Scrape);
    let mut rig = Rig::new(Options::default());
    let mut told = Vec::new();
    for value in [5.0, 5.0, 7.0, 2.0, 3.0] {
        target.set(("c", Kind::Counter), Suffix::Total, "", value);
        let (start, time, value, _) = number(&rig.window(&mut [&mut target]), "c_total");
        told.push((start, time, value.unwrap()));
    }
    let expected = [
        (at(1), at(1), 5.0),
        (at(1), at(2), 5.0),
        (at(1), at(3), 7.0),
        (at(3), at(4), 2.0),
        (at(3), at(5), 3.0),
    ];
    assert_eq!(told, expected);
}

#[test]
fn starts_are_those_that_the_source_tells() {
    let mut target = Origin::new(Source::Scrape);
    let created = (T0 / 1_000 - 10) as f64 + 0.5;
    target.set(("c", Kind::Counter), Suffix::Total, "", 5.0);
    target.set(("c", Kind::Counter), Suffix::Created, "", created);
    target.set(("h", Kind::Histogram), Suffix::Created, "", created);
    target.histogram("h", "", &[("+Inf", 1)], 1.0);
    let request = Rig::new(Options::default()).window(&mut [&mut target]);
    let start = (T0 as u64 - 9_500) * NS;
    assert_eq!(number(&request, "c_total").0, start);
    let Some(Data::Histogram(h)) = &one(&request, "h").data else { panic!("{request:#?}") };
    assert_eq!(h.points[0].start, start);
    assert_eq!(request.metrics().len(), 2);
}

#[test]
fn what_the_agent_counts_itself_began_with_its_first_window() {
    let mut kernel = Origin::new(Source::Kernel);
    let options = Options { temporality: Temporality::Delta, ..Options::default() };
    let mut rig = Rig { encoder: Encoder::new(options), serial: 0, end_ms: T0 };
    kernel.set(("c", Kind::Counter), Suffix::Total, "a=\"1\"", 5.0);
    assert_eq!(number(&rig.window(&mut [&mut kernel]), "c_total"), (at(0), at(1), Some(5.0), 0));
    // A series that comes later began in the window that has it.
    kernel.set(("d", Kind::Counter), Suffix::Total, "", 2.0);
    assert_eq!(number(&rig.window(&mut [&mut kernel]), "d_total"), (at(1), at(2), Some(2.0), 0));
}

#[test]
fn deltas_tell_what_came_since() {
    let mut target = Origin::new(Source::Scrape);
    let mut rig = Rig::new(Options { temporality: Temporality::Delta, ..Options::default() });
    let mut window = |value: f64, buckets: &[(&str, u64)]| {
        target.set(("c", Kind::Counter), Suffix::Total, "", value);
        target.histogram("h", "", buckets, value);
        rig.window(&mut [&mut target])
    };
    assert_eq!(window(5.0, &[("1", 4), ("+Inf", 1)]), Request::default());
    let request = window(7.5, &[("1", 4), ("+Inf", 3)]);
    assert_eq!(number(&request, "c_total"), (at(1), at(2), Some(2.5), 0));
    let Some(Data::Histogram(h)) = &one(&request, "h").data else { panic!("{request:#?}") };
    let point = &h.points[0];
    assert_eq!(
        (h.temporality, &*point.bucket_counts, point.count, point.sum),
        (DELTA, &[0, 2][..], 2, Some(2.5))
    );
    assert_eq!((point.start, point.time), (at(1), at(2)));
    // Both begin anew.
    let request = window(1.0, &[("1", 1), ("+Inf", 0)]);
    assert_eq!(number(&request, "c_total"), (at(2), at(3), Some(1.0), 0));
    let Some(Data::Histogram(h)) = &one(&request, "h").data else { panic!("{request:#?}") };
    assert_eq!((&*h.points[0].bucket_counts, h.points[0].sum), (&[1, 0][..], Some(1.0)));
}

#[test]
fn a_clock_that_is_set_back_turns_no_start_around() {
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let mut target = Origin::new(Source::Scrape);
        let mut rig = Rig::new(Options { temporality, ..Options::default() });
        for value in 1..6 {
            target.set(("c", Kind::Counter), Suffix::Total, "", f64::from(value));
            if value == 4 {
                rig.end_ms -= 3_600_000;
            }
            let request = rig.window(&mut [&mut target]);
            if value > 1 {
                let (start, time, ..) = number(&request, "c_total");
                assert!(start < time, "{value}: {start} {time}");
            }
        }
    }
}

#[test]
fn an_end_is_a_point_without_a_value() {
    let mut target = Origin::new(Source::Scrape);
    let mut rig = Rig::new(Options::default());
    target.set(("g", Kind::Gauge), Suffix::None, "", 1.0);
    target.set(("c", Kind::Counter), Suffix::Total, "", 1.0);
    target.histogram("h", "a=\"b\"", &[("+Inf", 1)], 1.0);
    rig.window(&mut [&mut target]);
    target.block.end_all();
    let request = rig.window(&mut [&mut target]);
    assert_eq!(number(&request, "g"), (0, at(2), None, 1));
    assert_eq!(number(&request, "c_total"), (at(1), at(2), None, 1));
    let Some(Data::Histogram(h)) = &one(&request, "h").data else { panic!("{request:#?}") };
    assert_eq!((h.points[0].flags, h.points[0].count, h.points[0].time), (1, 0, at(2)));
    assert_eq!(pairs(&h.points[0].attributes), [("a", "b")]);
    // Told once.
    assert_eq!(rig.window(&mut [&mut target]), Request::default());
    // What was never told has no end; what is told ends alone, too.
    target.set(("g", Kind::Gauge), Suffix::None, "", 2.0);
    target.set(("n", Kind::Gauge), Suffix::None, "", STALE);
    assert!(!rig.window(&mut [&mut target]).metrics().contains_key("n"));
    target.end("g", Suffix::None, "");
    assert_eq!(number(&rig.window(&mut [&mut target]), "g"), (0, at(5), None, 1));
}

/// Windows that are closed and not seen.
fn missed(rig: &mut Rig, origins: &mut [&mut Origin]) {
    rig.serial += 1;
    rig.end_ms += 1_000;
    drop(close(rig.serial, rig.end_ms, origins));
}

/// Fills a source with a series of each kind.
fn all_kinds(target: &mut Origin) {
    target.set(("g", Kind::Gauge), Suffix::None, "", 1.0);
    target.set(("c", Kind::Counter), Suffix::Total, "", 1.0);
    target.histogram("h", "a=\"b\"", &[("+Inf", 1)], 1.0);
    target.set(("s", Kind::Summary), Suffix::Count, "", 1.0);
    let mut native = Native { schema: 2, count: 3.0, sum: 2.0, ..Native::default() };
    native.positive.push(1, 3.0);
    target.native("n", "a=\"b\"", &native);
}

/// The flags and times of all points, by the name of their metric.
fn flags(request: &Request) -> Vec<(String, u32, u64)> {
    let mut all = Vec::new();
    let mut add = |name: &str, flags: u32, time: u64| all.push((name.to_owned(), flags, time));
    let metrics = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    for Metric { name, data, .. } in metrics {
        match data.as_ref().expect("data") {
            Data::Gauge(data) => data.points.iter().for_each(|p| add(name, p.flags, p.time)),
            Data::Sum(data) => data.points.iter().for_each(|p| add(name, p.flags, p.time)),
            Data::Histogram(data) => data.points.iter().for_each(|p| add(name, p.flags, p.time)),
            Data::Exponential(data) => data.points.iter().for_each(|p| add(name, p.flags, p.time)),
            Data::Summary(data) => data.points.iter().for_each(|p| add(name, p.flags, p.time)),
        }
    }
    all.sort();
    all
}

fn ends(time_ns: u64) -> Vec<(String, u32, u64)> {
    ["c_total", "g", "h", "n", "s"].map(|name| (name.to_owned(), 1, time_ns)).to_vec()
}

/// The window that told the end was not seen; the next ones have no trace of the series, or only that it has no value.
#[test]
fn an_end_that_was_missed_is_told() {
    let mut target = Origin::new(Source::Scrape);
    let mut rig = Rig::new(Options::default());
    all_kinds(&mut target);
    target.set(("stays", Kind::Gauge), Suffix::None, "", 1.0);
    rig.window(&mut [&mut target]);
    for (name, suffix, labels) in [
        ("g", Suffix::None, ""),
        ("c", Suffix::Total, ""),
        ("h", Suffix::Bucket, "a=\"b\",le=\"+Inf\""),
        ("h", Suffix::Sum, "a=\"b\""),
        ("h", Suffix::Count, "a=\"b\""),
        ("s", Suffix::Count, ""),
    ] {
        target.end(name, suffix, labels);
    }
    target.end("n", Suffix::Native, "a=\"b\"");
    missed(&mut rig, &mut [&mut target]);
    // Not fresh, and there is nothing of the series but its slot.
    let request = rig.window(&mut [&mut target]);
    assert_eq!(flags(&request), ends(at(3) - NS));
    // Told once, also when others take the slots.
    target.set(("other", Kind::Gauge), Suffix::None, "", 1.0);
    let names: Vec<_> =
        flags(&rig.window(&mut [&mut target])).into_iter().map(|(name, flags, _)| (name, flags)).collect();
    assert_eq!(names, [("other".to_owned(), 0), ("stays".to_owned(), 0)]);
}

#[test]
fn an_end_that_was_missed_is_told_when_others_have_the_slots() {
    let mut target = Origin::new(Source::Scrape);
    let mut rig = Rig::new(Options::default());
    target.set(("c", Kind::Counter), Suffix::Total, "a=\"1\"", 9.0);
    rig.window(&mut [&mut target]);
    target.end("c", Suffix::Total, "a=\"1\"");
    missed(&mut rig, &mut [&mut target]);
    target.set(("c", Kind::Counter), Suffix::Total, "a=\"2\"", 3.0);
    let all = rig.batches(&mut [&mut target]);
    let sums = all[0].0.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    let mut points = Vec::new();
    for metric in sums {
        let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
        points.extend(
            sum.points.iter().map(|p| (pairs(&p.attributes)[0].1.to_owned(), p.value, p.flags, p.time)),
        );
    }
    assert_eq!(points, [("1".to_owned(), None, 1, at(3) - NS), ("2".to_owned(), Some(3.0), 0, at(3))]);
}

#[test]
fn a_source_that_went_unseen_is_ended() {
    for (temporality, expected) in [
        (Temporality::Cumulative, ends(at(3) - NS)),
        // Deltas only stop.
        (Temporality::Delta, vec![("g".to_owned(), 1, at(3) - NS), ("s".to_owned(), 1, at(3) - NS)]),
    ] {
        let mut target = Origin::new(Source::Scrape);
        let mut rig = Rig::new(Options { temporality, ..Options::default() });
        all_kinds(&mut target);
        rig.window(&mut [&mut target]);
        target.block.end_all();
        missed(&mut rig, &mut [&mut target]);
        assert_eq!(flags(&rig.window(&mut [])), expected);
        assert_eq!(rig.window(&mut []), Request::default());
    }
}

#[test]
fn a_slot_with_another_series_starts_anew() {
    let mut target = Origin::new(Source::Scrape);
    let mut rig = Rig::new(Options::default());
    target.set(("c", Kind::Counter), Suffix::Total, "a=\"1\"", 9.0);
    rig.window(&mut [&mut target]);
    target.end("c", Suffix::Total, "a=\"1\"");
    rig.window(&mut [&mut target]);
    target.set(("c", Kind::Counter), Suffix::Total, "a=\"2\"", 3.0);
    let request = rig.window(&mut [&mut target]);
    assert_eq!(number(&request, "c_total"), (at(3), at(3), Some(3.0), 0));
    let Some(Data::Sum(sum)) = &one(&request, "c_total").data else { panic!("{request:#?}") };
    assert_eq!(pairs(&sum.points[0].attributes), [("a", "2")]);
}

#[test]
fn sources_without_news_are_left_out() {
    let mut target = Origin::new(Source::Scrape);
    let mut rig = Rig::new(Options::default());
    target.set(("g", Kind::Gauge), Suffix::None, "", 1.0);
    assert_eq!(rig.window(&mut [&mut target]).metrics().len(), 1);
    assert_eq!(rig.batches(&mut [&mut target]).len(), 0);
    assert_eq!(rig.encoder.stats().points, 1);
}

#[test]
fn samples_keep_their_own_time() {
    let mut target = Origin::new(Source::Scrape);
    let slot = target.set(("g", Kind::Gauge), Suffix::None, "", 1.0);
    target.block.set_at(slot, 1.0, Some(T0 - 5_000));
    let request = Rig::new(Options::default()).window(&mut [&mut target]);
    assert_eq!(number(&request, "g").1, (T0 as u64 - 5_000) * NS);
}

#[test]
fn requests_keep_to_their_limits() {
    let mut whole = Rig::new(Options { histograms: Histograms::Explicit, ..Options::default() });
    let mut small = Rig::new(Options { max_points: 7, max_bytes: 2_000, lanes: 2, ..Options::default() });
    let mut origins: Vec<_> = (0..3)
        .map(|n| {
            let mut origin = Origin::new(if n == 0 { Source::Kernel } else { Source::Scrape });
            for series in 0..50 {
                let labels = format!("instance=\"{}\",job=\"j\",n=\"{series}\"", series % 3);
                origin.set((["a", "b"][series % 2], Kind::Gauge), Suffix::None, &labels, series as f64);
                origin.histogram("h", &labels, &[("1", 1), ("2", 2), ("+Inf", 3)], 1.0);
            }
            origin
        })
        .collect();
    let mut each: Vec<_> = origins.iter_mut().collect();
    let all = whole.batches(&mut each);
    assert_eq!((all.len(), all[0].1, all[0].2), (1, 300, true));
    each.iter_mut().for_each(|origin| origin.block.touch());
    let parts = small.batches(&mut each);
    assert!(parts.iter().all(|(_, points, _, bytes)| *points <= 7 && *bytes <= 2_500), "{}", parts.len());
    let lasts: Vec<_> = parts.iter().map(|(_, _, last, _)| *last).collect();
    assert_eq!(lasts.iter().position(|last| *last), Some(parts.len() - 1));
    let mut flat: Vec<_> = parts.iter().flat_map(|(request, ..)| points(request)).collect();
    flat.sort();
    assert_eq!(points(&all[0].0), flat);
}

#[test]
fn names_can_be_without_what_stands_beside_them() {
    let mut origin = Origin::new(Source::Kernel);
    let Origin { block, .. } = &mut origin;
    for (name, kind, suffix, unit) in [
        ("a_seconds", Kind::Counter, Suffix::Total, "seconds"),
        ("b_bytes", Kind::Gauge, Suffix::None, "bytes"),
        ("c_seconds", Kind::Summary, Suffix::Count, "seconds"),
        ("d_seconds", Kind::Histogram, Suffix::Count, "seconds"),
        ("e_seconds", Kind::Counter, Suffix::Total, ""),
    ] {
        let family = block.family(name, kind, "", unit);
        let slot = block.add(family, suffix, "").unwrap();
        block.set(slot, 1.0);
    }
    block.touch();
    for (names, expected) in [
        (
            Names::Prometheus,
            ["a_seconds_total s", "b_bytes By", "c_seconds s", "d_seconds s", "e_seconds_total "],
        ),
        (Names::Otel, ["a s", "b By", "c s", "d s", "e_seconds "]),
    ] {
        let mut encoder = Encoder::new(Options { names, ..Options::default() });
        let mut found = Vec::new();
        origin.block.touch();
        encoder.window(&close(1, T0, &mut [&mut origin]), &mut |batch| {
            let metrics = Request::decode(batch.body).unwrap().metrics();
            found.extend(metrics.into_values().flatten().map(|of| format!("{} {}", of.name, of.unit)));
        });
        found.sort();
        assert_eq!(found, expected);
    }
}

/// Each point with all that it stands in, as text, in order.
pub(crate) fn points(request: &Request) -> Vec<String> {
    let mut points = Vec::new();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            for metric in &scope.metrics {
                let place = format!(
                    "{:?} {:?} {} {:?}",
                    resource.resource, scope.scope, metric.name, metric.metadata
                );
                match metric.data.as_ref().unwrap() {
                    Data::Gauge(data) => points.extend(data.points.iter().map(|p| format!("{place} {p:?}"))),
                    Data::Sum(data) => {
                        let how = (data.temporality, data.monotonic);
                        points.extend(data.points.iter().map(|p| format!("{place} {how:?} {p:?}")));
                    }
                    Data::Histogram(data) => {
                        points.extend(
                            data.points.iter().map(|p| format!("{place} {} {p:?}", data.temporality)),
                        );
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    points.sort();
    points
}
