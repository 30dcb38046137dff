//! Native histograms written into real stores: each is there with its buckets, its count and its sum.

use std::collections::{BTreeMap, BTreeSet};

use observer_tests::{
    clock,
    config::Config,
    exporter,
    observer::Agent,
    privileges::Privileges,
    store::{Bucket, Histograms, Kind, Native, Store},
    written::Written,
};

/// A histogram as an exporter tells it in protobuf, of schema, zero bucket, and spans with the counts in them.
struct Told {
    schema: i32,
    zero_threshold: f64,
    zero: u64,
    /// Offset to the span before, and counts.
    negative: Vec<(i32, Vec<u64>)>,
    positive: Vec<(i32, Vec<u64>)>,
    sum: f64,
}

impl Told {
    fn count(&self) -> u64 {
        let of = |spans: &[(i32, Vec<u64>)]| spans.iter().flat_map(|(_, counts)| counts).sum::<u64>();
        self.zero + of(&self.negative) + of(&self.positive)
    }

    /// The message `Histogram` of <https://github.com/prometheus/client_model/blob/v0.6.2/io/prometheus/client/metrics.proto>.
    fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        varint_field(&mut message, 1, self.count());
        fixed_field(&mut message, 2, self.sum);
        varint_field(&mut message, 5, zigzag(self.schema.into()));
        fixed_field(&mut message, 6, self.zero_threshold);
        varint_field(&mut message, 7, self.zero);
        for (span_field, delta_field, spans) in [(9, 10, &self.negative), (12, 13, &self.positive)] {
            let mut before = 0;
            for (offset, counts) in spans {
                let mut span = Vec::new();
                varint_field(&mut span, 1, zigzag((*offset).into()));
                varint_field(&mut span, 2, counts.len() as u64);
                bytes_field(&mut message, span_field, &span);
            }
            for count in spans.iter().flat_map(|(_, counts)| counts) {
                let delta = i64::try_from(*count).expect("small") - before;
                varint_field(&mut message, delta_field, zigzag(delta));
                before += delta;
            }
        }
        message
    }

    /// The buckets that have any, lowest first.
    fn buckets(&self) -> Vec<Bucket> {
        let bound = |index: i32| 2_f64.powf(f64::from(index) * 2_f64.powi(-self.schema));
        let side = |spans: &[(i32, Vec<u64>)]| {
            let (mut next, mut buckets) = (0, Vec::new());
            for (offset, counts) in spans {
                next += offset;
                for count in counts {
                    buckets.push(Bucket { low: bound(next - 1), high: bound(next), count: *count as f64 });
                    next += 1;
                }
            }
            buckets.retain(|bucket| bucket.count > 0.0);
            buckets
        };
        let negative = side(&self.negative).into_iter().rev();
        let negative = negative.map(|Bucket { low, high, count }| Bucket { low: -high, high: -low, count });
        let edge = self.zero_threshold;
        let zero = (self.zero > 0).then_some(Bucket { low: -edge, high: edge, count: self.zero as f64 });
        negative.chain(zero).chain(side(&self.positive)).collect()
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn varint_field(to: &mut Vec<u8>, number: u64, value: u64) {
    varint(to, number << 3);
    varint(to, value);
}

fn fixed_field(to: &mut Vec<u8>, number: u64, value: f64) {
    varint(to, number << 3 | 1);
    to.extend_from_slice(&value.to_le_bytes());
}

fn bytes_field(to: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(to, number << 3 | 2);
    varint(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// The families of the exporter's nth answer. The count of each tells which answer it is of.
fn told(number: u64) -> [(&'static str, Told); 2] {
    let both_sides = Told {
        schema: 3,
        zero_threshold: 1e-6,
        zero: number,
        negative: vec![(-2, vec![number, 0, 2])],
        positive: vec![(-5, vec![number, 2 * number, 1]), (4, vec![number + 3, 5])],
        sum: 0.1 * number as f64 - 3.0,
    };
    let coarse = Told {
        schema: -2,
        zero_threshold: 2_f64.powi(-128),
        zero: 0,
        negative: Vec::new(),
        positive: vec![(0, vec![7, 3 * number])],
        sum: 1e300 * number as f64,
    };
    [("both_sides", both_sides), ("coarse", coarse)]
}

fn page(number: u64) -> Vec<u8> {
    const HISTOGRAM: u64 = 4;
    let mut page = Vec::new();
    for (name, told) in told(number) {
        let (mut family, mut metric) = (Vec::new(), Vec::new());
        bytes_field(&mut metric, 7, &told.message());
        bytes_field(&mut family, 1, name.as_bytes());
        bytes_field(&mut family, 2, b"Of all kinds.");
        varint_field(&mut family, 3, HISTOGRAM);
        bytes_field(&mut family, 4, &metric);
        varint(&mut page, family.len() as u64);
        page.extend_from_slice(&family);
    }
    page
}

/// Equal but for the last digits of the bounds, of which some stores keep few.
fn is_same(one: &[Bucket], other: &[Bucket], digits: f64) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= digits * a.abs();
    let same = |(one, other): (&Bucket, &Bucket)| {
        near(one.low, other.low) && near(one.high, other.high) && one.count == other.count
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// What the exporter told arrives: a histogram a second, each one that it has told, and later ones later.
#[track_caller]
fn check_scraped(histograms: &Histograms, digits: f64) {
    let now = clock::since_1970().as_millis() as i64;
    for (at, name) in ["both_sides", "coarse"].into_iter().enumerate() {
        let mut of = histograms.iter().filter(|(labels, _)| labels["__name__"] == name);
        let (labels, samples) = of.next().unwrap_or_else(|| panic!("no `{name}`: {:?}", histograms.keys()));
        assert!(of.next().is_none() && labels["job"] == "j", "{labels:?}");
        assert!(samples.len() >= 4, "{samples:?}");
        let mut before = 0;
        for (time, native) in samples {
            assert!((now - 60_000..=now).contains(time), "{time}");
            let number = (1..100).find(|number| told(*number)[at].1.count() as f64 == native.count);
            let number = number.unwrap_or_else(|| panic!("`{name}` was never so: {native:?}"));
            let (_, told) = &told(number)[at];
            assert!(
                (native.sum - told.sum).abs() <= 1e-14 * told.sum.abs(),
                "{name} {number}: {}",
                native.sum
            );
            let expected = told.buckets();
            assert!(is_same(&native.buckets, &expected, digits), "{name} {number}: {native:?}, {expected:?}");
            assert!(number >= before, "{number} after {before}");
            before = number;
        }
        assert!(before >= 4, "{samples:?}");
    }
}

type Labels = BTreeMap<String, String>;

/// The labels of a series without those that the two forms differ in.
fn common(labels: &Labels) -> Labels {
    let mut common = labels.clone();
    common.retain(|name, _| name != "form" && name != "le" && name != "__name__");
    common
}

/// The agent's own histograms were written in both forms: those of a window say the same.
#[track_caller]
fn check_own(histograms: &Histograms, classic: &Written) {
    let mut compared = 0;
    let mut families = BTreeSet::new();
    for (labels, samples) in
        histograms.iter().filter(|(labels, _)| labels["__name__"].starts_with("observer_"))
    {
        let (name, own) = (&labels["__name__"], common(labels));
        let series = |suffix: &str| {
            let name = format!("{name}_{suffix}");
            let of = classic.iter().filter(move |(labels, _)| labels["__name__"] == name);
            of.filter(|(labels, _)| common(labels) == own).collect::<Vec<_>>()
        };
        let (sums, counts, buckets) = (series("sum"), series("count"), series("bucket"));
        assert!(sums.len() == 1 && counts.len() == 1 && buckets.len() > 5, "{labels:?}");
        let at = |samples: &[(i64, u64)], time: i64| {
            let found = samples.binary_search_by_key(&time, |(time, _)| *time).ok()?;
            Some(f64::from_bits(samples[found].1))
        };
        for (time, native) in samples {
            // What one endpoint was sent at the end the other may not have been.
            let Some(sum) = at(sums[0].1, *time) else { continue };
            assert_eq!((at(counts[0].1, *time), sum), (Some(native.count), native.sum), "{labels:?}");
            for (bucket, samples) in &buckets {
                let bound: f64 = bucket["le"].replace("Inf", "inf").parse().expect("a bound");
                let below = native.buckets.iter().filter(|bucket| bucket.high <= bound * 1.000_001);
                let count: f64 = below.map(|bucket| bucket.count).sum();
                assert_eq!(at(samples, *time), Some(count), "{bucket:?} at {time}: {native:?}");
            }
            compared += 1;
        }
        families.insert(name);
    }
    assert!(compared > 20 && families.len() >= 3, "{compared} of {families:?}");
}

/// Writes into a store until there are some windows, each endpoint in its form.
#[track_caller]
fn write(store: &Store, message: &str) {
    let kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let exporter = exporter::scripted(kind, page);
    let endpoint = |form: &str, native: bool| {
        format!(
            "{{name: {form}, url: '{}', protobuf_message: {message}, send_native_histograms: {native}, \
             write_relabel_configs: [{{target_label: form, replacement: {form}}}]}}",
            store.url()
        )
    };
    let config = Config::new(&format!(
        "remote_write: [{}, {}]\n\
         scrape_configs: [{{job_name: j, scrape_interval: 1s, scrape_native_histograms: true, \
         static_configs: [{{targets: ['{exporter}']}}]}}]\n",
        endpoint("native", true),
        endpoint("classic", false),
    ));
    let agent = Agent::start(Privileges::Root, &["--config", config.path(), "--no-tcp", "--no-node"]);
    let delivered = |kind| [("endpoint", "native"), ("kind", kind)];
    let page = agent.page_with(|page| {
        page.sum("observer_windows_total", &[]) >= 6.0
            && page.sum("observer_export_delivered_samples_total", &delivered("histogram")) > 0.0
    });
    assert_eq!(page.sum("observer_export_dropped_samples_total", &[]), 0.0, "{}", page.text);
    let (code, said) = agent.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[track_caller]
fn check(message: &str) {
    let Some(store) = Store::start(Kind::Prometheus) else { return };
    write(&store, message);
    let histograms = store.histograms();
    assert!(histograms.keys().all(|labels| labels["form"] == "native"), "{:?}", histograms.keys());
    // The bounds are computed here and there.
    check_scraped(&histograms, 1e-12);
    check_own(&histograms, &store.samples());
}

#[test]
fn prometheus_has_what_was_written_in_version_1() {
    check("prometheus.WriteRequest");
}

#[test]
fn prometheus_has_what_was_written_in_version_2() {
    check("io.prometheus.write.v2.Request");
}

/// VictoriaMetrics has a series for each bucket that has any, named by its bounds in four digits. Put together again.
fn of_ranges(written: &Written) -> Histograms {
    let mut all: BTreeMap<Labels, BTreeMap<i64, Native>> = BTreeMap::new();
    for (labels, samples) in written {
        let mut labels = labels.clone();
        let name = labels.remove("__name__").expect("a name");
        let range = labels.remove("vmrange").map(|range| {
            let (low, high) = range.split_once("...").expect("two bounds");
            (low.parse().expect("a bound"), high.parse().expect("a bound"))
        });
        let Some((name, part)) = name.rsplit_once('_') else { continue };
        labels.insert("__name__".to_owned(), name.to_owned());
        if labels["form"] != "native" || range.is_some() != (part == "bucket") {
            continue;
        }
        let of = all.entry(labels).or_default();
        for (time, bits) in samples {
            let value = f64::from_bits(*bits);
            let native = of.entry(*time).or_insert(Native { count: 0.0, sum: 0.0, buckets: Vec::new() });
            match (part, range) {
                ("sum", _) => native.sum = value,
                ("count", _) => native.count = value,
                (_, Some((low, high))) => native.buckets.push(Bucket { low, high, count: value }),
                _ => {}
            }
        }
    }
    for native in all.values_mut().flat_map(BTreeMap::values_mut) {
        native.buckets.sort_by(|one, other| one.low.total_cmp(&other.low));
    }
    all.into_iter().map(|(labels, samples)| (labels, samples.into_iter().collect())).collect()
}

#[test]
fn victoria_metrics_has_what_was_written_in_version_1() {
    let Some(store) = Store::start(Kind::Victoria) else { return };
    write(&store, "prometheus.WriteRequest");
    let complete = || Some(of_ranges(&store.samples())).filter(|all| all.values().any(|of| of.len() >= 4));
    check_scraped(&clock::wait_for("what it has", complete), 1e-3);
}
