//! Histograms over OTLP: drawn at random, read by another implementation, compared with what they were.

use std::collections::BTreeMap;

use observer_aggregate::{
    family::{Kind, Suffix},
    native::{CUSTOM_BUCKETS, Native},
    window::{Source, Window},
};
use observer_export::{
    Encode as _,
    otlp::{Encoder, Histograms, Options, Temporality},
};
use prost::Message as _;

use crate::{
    random::Random,
    schema::{Buckets, Data, ExponentialPoint, HistogramPoint, Request, pairs},
    windows::{Origin, close},
};

const T0: i64 = 1_700_000_000_000;

fn encode(encoder: &mut Encoder, window: &Window) -> Request {
    let mut all = Request::default();
    encoder.window(window, &mut |batch| {
        all.resource_metrics.extend(Request::decode(batch.body).expect("a request").resource_metrics);
    });
    all
}

fn explicit(request: &Request) -> Vec<HistogramPoint> {
    let of = |data| if let Some(Data::Histogram(data)) = data { data.points } else { Vec::new() };
    request.metrics().into_values().flatten().flat_map(|metric| of(metric.data)).collect()
}

fn exponential(request: &Request) -> Vec<ExponentialPoint> {
    let of = |data| if let Some(Data::Exponential(data)) = data { data.points } else { Vec::new() };
    request.metrics().into_values().flatten().flat_map(|metric| of(metric.data)).collect()
}

/// A native histogram that grows, and sometimes begins anew.
struct Growing {
    native: Native,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
}

impl Growing {
    fn new(schema: i32) -> Self {
        let native = Native { schema, zero_threshold: 1e-9, ..Native::default() };
        Self { native, positive: BTreeMap::new(), negative: BTreeMap::new() }
    }

    fn grow(&mut self, random: &mut Random, span: u64) {
        for _ in 0..random.below(20) {
            let index = random.below(span) as i32 - span as i32 / 2;
            let buckets = if random.once_in(3) { &mut self.negative } else { &mut self.positive };
            *buckets.entry(index).or_default() += random.below(5);
        }
        self.native.zero_count += random.below(3) as f64;
        self.native.sum += random.below(1_000) as f64 / 8.0;
        self.fill();
    }

    fn begin_anew(&mut self) {
        self.positive.clear();
        self.negative.clear();
        (self.native.zero_count, self.native.sum) = (0.0, 0.0);
        self.fill();
    }

    fn fill(&mut self) {
        let Self { native, positive, negative } = self;
        native.count = native.zero_count;
        for (to, from) in [(&mut native.positive, positive), (&mut native.negative, negative)] {
            to.clear();
            for (index, count) in from {
                to.push(*index, *count as f64);
                native.count += *count as f64;
            }
        }
    }
}

/// Counts by index as Prometheus has them, those of 0 left out.
fn read(buckets: Option<&Buckets>) -> BTreeMap<i32, u64> {
    let all = buckets.into_iter().flat_map(|b| b.counts.iter().zip(b.offset + 1..));
    all.filter(|(count, _)| **count > 0).map(|(count, index)| (index, *count)).collect()
}

fn is_consistent(point: &ExponentialPoint) {
    let sum = |buckets: &Option<Buckets>| buckets.iter().flat_map(|b| &b.counts).sum::<u64>();
    assert_eq!(point.count, point.zero_count + sum(&point.positive) + sum(&point.negative));
    assert!(point.start <= point.time);
}

fn without_zeros(buckets: &BTreeMap<i32, u64>) -> BTreeMap<i32, u64> {
    buckets.iter().filter(|(_, count)| **count > 0).map(|(index, count)| (*index, *count)).collect()
}

#[test]
fn exponential_buckets_are_the_native_ones() {
    let mut random = Random::new(7);
    let mut encoder = Encoder::new(Options::default());
    let mut origin = Origin::new(Source::Kernel);
    for round in 0..200 {
        let mut growing = Growing::new(random.below(13) as i32 - 4);
        growing.grow(&mut random, 300);
        origin.native("h", "a=\"b\"", &growing.native);
        let window = close(round + 1, T0 + 1_000 * round as i64, &mut [&mut origin]);
        let points = exponential(&encode(&mut encoder, &window));
        let point = &points[0];
        is_consistent(point);
        assert_eq!((point.scale, point.zero_threshold), (growing.native.schema, 1e-9));
        assert_eq!((point.sum, point.count as f64), (Some(growing.native.sum), growing.native.count));
        assert_eq!(read(point.positive.as_ref()), without_zeros(&growing.positive));
        assert_eq!(read(point.negative.as_ref()), without_zeros(&growing.negative));
        assert_eq!(pairs(&point.attributes), [("a", "b")]);
    }
}

#[test]
fn a_coarser_scale_keeps_counts_and_bounds() {
    let mut growing = Growing::new(3);
    growing.positive = [(-800, 1), (-1, 2), (0, 4), (1, 8), (900, 16)].into();
    growing.fill();
    let mut origin = Origin::new(Source::Kernel);
    origin.native("h", "", &growing.native);
    let mut encoder = Encoder::new(Options { max_buckets: 256, ..Options::default() });
    let point = exponential(&encode(&mut encoder, &close(1, T0, &mut [&mut origin]))).remove(0);
    is_consistent(&point);
    let buckets = point.positive.unwrap();
    assert_eq!((point.scale, buckets.counts.len() <= 256, encoder.stats().coarsened), (0, true, 1));
    let counts = read(Some(&buckets));
    // Prometheus' bucket i ends at 2^(i / 2^schema): eight of them make one.
    let wanted = [(-100, 1), (0, 2 + 4), (1, 8), (113, 16)];
    assert_eq!(counts, BTreeMap::from(wanted));
}

#[test]
fn deltas_of_native_histograms_add_up() {
    let mut random = Random::new(11);
    let options = Options { temporality: Temporality::Delta, max_buckets: 64, ..Options::default() };
    let mut encoder = Encoder::new(options);
    let mut origin = Origin::new(Source::Kernel);
    let mut growing = Growing::new(2);
    let (mut count, mut sum) = (0, 0.0);
    let mut positive = BTreeMap::<i32, u64>::new();
    let mut last_time = 0;
    for round in 0..500 {
        if random.once_in(40) {
            growing.begin_anew();
            (count, sum) = (0, 0.0);
            positive.clear();
        }
        growing.grow(&mut random, 40);
        origin.native("h", "", &growing.native);
        let window = close(round + 1, T0 + 1_000 * round as i64, &mut [&mut origin]);
        let point = exponential(&encode(&mut encoder, &window)).remove(0);
        is_consistent(&point);
        assert!(last_time == 0 || point.start == last_time, "{round}");
        last_time = point.time;
        // A begin that no count betrays looks like growth; what is told is then the difference all the same.
        count += point.count;
        sum += point.sum.unwrap();
        for (index, n) in read(point.positive.as_ref()) {
            *positive.entry(index).or_default() += n;
        }
        assert_eq!((count as f64, sum), (growing.native.count, growing.native.sum), "{round}");
        assert_eq!(positive, without_zeros(&growing.positive), "{round}");
    }
}

#[test]
fn a_coarser_schema_goes_on_and_a_finer_one_waits() {
    let mut encoder = Encoder::new(Options { temporality: Temporality::Delta, ..Options::default() });
    let mut origin = Origin::new(Source::Kernel);
    let mut window = |serial: u64, schema: i32, positive: &[(i32, u64)]| {
        let mut growing = Growing::new(schema);
        growing.positive = positive.iter().copied().collect();
        growing.fill();
        origin.native("h", "", &growing.native);
        exponential(&encode(&mut encoder, &close(serial, T0 + 1_000 * serial as i64, &mut [&mut origin])))
    };
    assert_eq!(window(1, 1, &[(1, 1), (2, 2), (3, 3)])[0].count, 6);
    // 1 and 2 are 1 now, 3 and 4 are 2.
    let points = window(2, 0, &[(1, 4), (2, 5)]);
    assert_eq!(read(points[0].positive.as_ref()), [(1, 1), (2, 2)].into());
    assert_eq!(window(3, 2, &[(4, 10)]), []);
    let points = window(4, 2, &[(4, 11)]);
    assert_eq!(read(points[0].positive.as_ref()), [(4, 1)].into());
}

#[test]
fn bounds_of_their_own_stay() {
    let mut native = Native { schema: CUSTOM_BUCKETS, count: 6.0, sum: 2.5, ..Native::default() };
    native.bounds = vec![0.1, 1.0];
    native.positive.push(0, 1.0);
    native.positive.push(2, 5.0);
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let mut encoder = Encoder::new(Options { temporality, ..Options::default() });
        let mut origin = Origin::new(Source::Kernel);
        origin.native("h", "a=\"b\",c=\"d\"", &native);
        let point = explicit(&encode(&mut encoder, &close(1, T0, &mut [&mut origin]))).remove(0);
        assert_eq!((&*point.bucket_counts, &*point.explicit_bounds), (&[1, 0, 5][..], &[0.1, 1.0][..]));
        assert_eq!((point.count, point.sum), (6, Some(2.5)));
        assert_eq!(pairs(&point.attributes), [("a", "b"), ("c", "d")]);
        if temporality == Temporality::Cumulative {
            // So does the end, whether it was seen or not.
            let mut unseen = Encoder::new(Options { temporality, ..Options::default() });
            origin.native("h", "a=\"b\",c=\"d\"", &native);
            encode(&mut unseen, &close(1, T0, &mut [&mut origin]));
            origin.end("h", Suffix::Native, "a=\"b\",c=\"d\"");
            let told = encode(&mut encoder, &close(2, T0 + 1_000, &mut [&mut origin]));
            let late = encode(&mut unseen, &close(3, T0 + 2_000, &mut []));
            for request in [told, late] {
                let point = explicit(&request).remove(0);
                assert_eq!((point.flags, pairs(&point.attributes)), (1, vec![("a", "b"), ("c", "d")]));
            }
        }
    }
}

#[test]
fn the_native_form_stands_for_the_classic_one() {
    let mut origin = Origin::new(Source::Kernel);
    let mut growing = Growing::new(2);
    growing.positive = [(1, 3)].into();
    growing.fill();
    origin.native("h", "a=\"1\"", &growing.native);
    origin.histogram("h", "a=\"1\"", &[("1", 1), ("+Inf", 2)], 1.0);
    origin.histogram("h", "a=\"2\"", &[("1", 1), ("+Inf", 5)], 1.0);
    for (histograms, natives, classics) in
        [(Histograms::Exponential, vec![3], vec![6]), (Histograms::Explicit, vec![], vec![3, 6])]
    {
        let mut encoder = Encoder::new(Options { histograms, ..Options::default() });
        let request = encode(&mut encoder, &close(1, T0, &mut [&mut origin]));
        assert_eq!(exponential(&request).iter().map(|point| point.count).collect::<Vec<_>>(), natives);
        assert_eq!(explicit(&request).iter().map(|point| point.count).collect::<Vec<_>>(), classics);
        origin.block.touch();
    }
}

#[test]
fn what_counts_in_fractions_or_may_fall_is_refused() {
    let mut encoder = Encoder::new(Options::default());
    for (serial, gauge, count) in [(1, true, 2.0), (2, false, 2.5)] {
        let mut origin = Origin::new(Source::Kernel);
        let mut native = Native { schema: 2, gauge, count, ..Native::default() };
        native.positive.push(1, count);
        origin.native("h", "", &native);
        assert_eq!(encode(&mut encoder, &close(serial, T0, &mut [&mut origin])), Request::default());
        assert_eq!(encoder.stats().malformed, serial);
    }
}

#[test]
fn classic_buckets_add_up_to_their_count() {
    let mut random = Random::new(3);
    let mut cumulative = Encoder::new(Options::default());
    let mut delta = Encoder::new(Options { temporality: Temporality::Delta, ..Options::default() });
    let mut origin = Origin::new(Source::Scrape);
    let bounds = ["0.1", "0.5", "1", "10", "+Inf"];
    let mut counts = [0; 5];
    let mut before = vec![0; 5];
    for round in 0..300_u64 {
        let anew = random.once_in(25);
        if anew {
            counts = [0; 5];
        }
        counts.iter_mut().for_each(|count| *count += random.below(6));
        let buckets: Vec<_> = bounds.iter().copied().zip(counts).collect();
        origin.histogram("h", "job=\"j\"", &buckets, counts[0] as f64);
        // The exporter's own order is not that of the bounds.
        let window = close(round + 100, T0 + 1_000 * round as i64, &mut [&mut origin]);
        let point = explicit(&encode(&mut cumulative, &window)).remove(0);
        assert_eq!(point.explicit_bounds, [0.1, 0.5, 1.0, 10.0]);
        assert_eq!((&*point.bucket_counts, point.count), (&counts[..], counts.iter().sum()));
        let told = explicit(&encode(&mut delta, &window));
        let so_far = |all: &[u64]| -> Vec<u64> {
            all.iter()
                .scan(0, |sum, n| {
                    *sum += n;
                    Some(*sum)
                })
                .collect()
        };
        let fell = so_far(&counts).iter().zip(so_far(&before)).any(|(now, before)| *now < before);
        match told.as_slice() {
            [] => assert_eq!(round, 0),
            [point] => {
                assert_eq!(point.count, point.bucket_counts.iter().sum());
                let wanted: Vec<_> = if fell {
                    counts.to_vec()
                } else {
                    // Differences of what is cumulative over the bounds never fall either, as told.
                    let mut top = 0;
                    let rising = so_far(&counts)
                        .iter()
                        .zip(so_far(&before))
                        .map(|(now, before)| {
                            top = top.max(now - before);
                            top
                        })
                        .collect::<Vec<_>>();
                    std::iter::once(rising[0])
                        .chain(rising.windows(2).map(|pair| pair[1] - pair[0]))
                        .collect()
                };
                assert_eq!(point.bucket_counts, wanted, "{round}");
            }
            _ => panic!("{told:?}"),
        }
        before = counts.to_vec();
    }
}

#[test]
fn parts_without_a_whole_are_refused() {
    let mut origin = Origin::new(Source::Scrape);
    origin.set(("h", Kind::Histogram), Suffix::Bucket, "le=\"1\"", 1.0);
    origin.set(("h", Kind::Histogram), Suffix::Sum, "", 1.0);
    origin.set(("s", Kind::Summary), Suffix::None, "quantile=\"0.5\"", 1.0);
    // Without buckets there still are count and sum.
    origin.set(("n", Kind::Histogram), Suffix::Count, "", 4.0);
    let mut encoder = Encoder::new(Options::default());
    let request = encode(&mut encoder, &close(1, T0, &mut [&mut origin]));
    let points = explicit(&request);
    assert_eq!((points.len(), points[0].count, points[0].bucket_counts.len()), (1, 4, 0));
    assert_eq!(encoder.stats().unsupported, 3);
}
