//! Exemplars of points, read by another implementation.

use observer_aggregate::{
    family::{Kind, Suffix},
    native::{CUSTOM_BUCKETS, Native},
    window::Source,
};
use observer_export::{
    Encode as _,
    otlp::{Encoder, Options, Temporality},
};
use prost::Message as _;

use crate::{
    schema::{Data, Exemplar, Request, pairs},
    windows::{Origin, close},
};

const T0: i64 = 1_700_000_000_000;

/// The exemplars of a window by the name of their metric, and how many the requests say that they have.
fn sent(encoder: &mut Encoder, serial: u64, origin: &mut Origin) -> (Vec<(String, Exemplar)>, u32) {
    let (mut all, mut said) = (Vec::new(), 0);
    let window = close(serial, T0 + 1_000 * i64::try_from(serial).unwrap(), &mut [origin]);
    encoder.window(&window, &mut |batch| {
        said += batch.exemplars;
        let request = Request::decode(batch.body).expect("a request");
        for metric in request.metrics().into_values().flatten() {
            let exemplars: Vec<Exemplar> = match metric.data.expect("data") {
                Data::Gauge(data) => data.points.into_iter().flat_map(|point| point.exemplars).collect(),
                Data::Sum(data) => data.points.into_iter().flat_map(|point| point.exemplars).collect(),
                Data::Histogram(data) => data.points.into_iter().flat_map(|point| point.exemplars).collect(),
                Data::Exponential(data) => {
                    data.points.into_iter().flat_map(|point| point.exemplars).collect()
                }
                Data::Summary(_) => Vec::new(),
            };
            all.extend(exemplars.into_iter().map(|of| (metric.name.clone(), of)));
        }
    });
    (all, said)
}

/// What an exemplar says: its metric, time in ms, value, trace, span, attributes.
fn short((name, of): &(String, Exemplar)) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let Exemplar { time, value, span_id, trace_id, attributes } = of;
    let (time, value) = (time / 1_000_000, value.expect("a value"));
    format!("{name} {time} {value} {}/{} {:?}", hex(trace_id), hex(span_id), pairs(attributes))
}

#[test]
fn every_kind_of_point_has_those_that_are_new() {
    let mut origin = Origin::new(Source::Scrape);
    let trace = "trace_id=\"000000000000000000000000000ABC01\",span_id=\"00000000000000ff\",user=\"a\\\"b\"";
    let counter = origin.set(("c", Kind::Counter), Suffix::Total, "", 3.0);
    origin.block.set_exemplar(counter, trace, 0.5, Some(T0));
    let gauge = origin.set(("g", Kind::Gauge), Suffix::None, "", 3.0);
    origin.block.set_exemplar(gauge, "t=\"no place\"", 0.5, None);
    origin.histogram("h", "", &[("1", 2), ("+Inf", 1)], 3.0);
    let bucket = origin.set(("h", Kind::Histogram), Suffix::Bucket, "le=\"1\"", 2.0);
    origin.block.set_exemplar(bucket, "trace_id=\"abc\",span_id=\"0000000000000000\"", 0.25, None);
    let mut native = Native { schema: 2, count: 2.0, sum: 2.0, ..Native::default() };
    native.positive.push(1, 2.0);
    let exponential = origin.native("n", "", &native);
    origin.block.add_exemplar(exponential, "t=\"1\"", 1.0, Some(T0));
    origin.block.add_exemplar(exponential, "t=\"2\"", 2.0, Some(T0 + 1));
    native.schema = CUSTOM_BUCKETS;
    native.positive.clear();
    native.positive.push(0, 2.0);
    native.bounds.push(7.0);
    let custom = origin.native("b", "x=\"1\"", &native);
    origin.block.add_exemplar(custom, "t=\"3\"", 1.0, Some(T0));

    let mut encoder = Encoder::new(Options::default());
    let (mut all, said) = sent(&mut encoder, 100, &mut origin);
    all.sort_by(|a, b| (&a.0, a.1.time).cmp(&(&b.0, b.1.time)));
    let (t0, end) = (T0, T0 + 100_000);
    let expected = [
        format!("b {t0} 1 / [(\"t\", \"3\")]"),
        format!(
            "c_total {t0} 0.5 000000000000000000000000000abc01/00000000000000ff [(\"user\", \"a\\\"b\")]"
        ),
        format!("h {end} 0.25 / [(\"trace_id\", \"abc\"), (\"span_id\", \"0000000000000000\")]"),
        format!("n {t0} 1 / [(\"t\", \"1\")]"),
        format!("n {} 2 / [(\"t\", \"2\")]", t0 + 1),
    ];
    assert_eq!((all.iter().map(short).collect::<Vec<_>>(), said), (expected.to_vec(), 5));

    // The second time only what is another.
    origin.block.set_exemplar(counter, "t=\"4\"", 4.0, Some(T0));
    origin.block.touch();
    let (all, said) = sent(&mut encoder, 101, &mut origin);
    let expected = format!("c_total {t0} 4 / [(\"t\", \"4\")]");
    assert_eq!((all.iter().map(short).collect::<Vec<_>>(), said), (vec![expected], 1));
    let stats = encoder.stats();
    assert_eq!((stats.exemplars, stats.exemplars_untold), (6, 1), "gauges have none");
}

#[test]
fn an_exemplar_of_a_window_that_was_passed_over_goes_with_the_next() {
    let mut origin = Origin::new(Source::Scrape);
    let mut encoder = Encoder::new(Options::default());
    let slot = origin.set(("c", Kind::Counter), Suffix::Total, "", 3.0);
    assert_eq!(sent(&mut encoder, 100, &mut origin).1, 0);
    origin.block.set_exemplar(slot, "", 0.5, None);
    origin.block.touch();
    encoder.skip(&close(101, T0 + 101_000, &mut [&mut origin]));
    let (all, said) = sent(&mut encoder, 102, &mut origin);
    assert_eq!(
        (all.iter().map(short).collect::<Vec<_>>(), said),
        (vec![format!("c_total {} 0.5 / []", T0 + 102_000)], 1)
    );
}

#[test]
fn an_exemplar_of_deltas_that_are_withheld_is_counted() {
    let mut origin = Origin::new(Source::Scrape);
    let mut encoder = Encoder::new(Options { temporality: Temporality::Delta, ..Options::default() });
    let counter = origin.set(("c", Kind::Counter), Suffix::Total, "", 3.0);
    origin.block.set_exemplar(counter, "t=\"1\"", 0.5, None);
    origin.histogram("h", "", &[("1", 2), ("+Inf", 1)], 3.0);
    let bucket = origin.set(("h", Kind::Histogram), Suffix::Bucket, "le=\"1\"", 2.0);
    origin.block.set_exemplar(bucket, "t=\"2\"", 0.25, None);
    let told = |encoder: &Encoder| (encoder.stats().exemplars, encoder.stats().exemplars_untold);
    assert_eq!((sent(&mut encoder, 100, &mut origin).1, told(&encoder)), (0, (0, 2)));
    origin.block.set_exemplar(counter, "t=\"3\"", 0.5, None);
    origin.block.touch();
    assert_eq!((sent(&mut encoder, 101, &mut origin).1, told(&encoder)), (1, (1, 2)));
}
