use super::*;
use crate::protobuf;

/// A message that is being written.
#[derive(Clone, Default)]
struct Out(Vec<u8>);

impl Out {
    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn int(self, number: u64, value: u64) -> Self {
        self.varint(number << 3).varint(value)
    }

    fn sint(self, number: u64, value: i64) -> Self {
        self.int(number, zigzag(value))
    }

    fn double(self, number: u64, value: f64) -> Self {
        let mut out = self.varint(number << 3 | 1);
        out.0.extend(value.to_le_bytes());
        out
    }

    fn bytes(self, number: u64, bytes: &[u8]) -> Self {
        let mut out = self.varint(number << 3 | 2).varint(bytes.len() as u64);
        out.0.extend(bytes);
        out
    }

    fn text(self, number: u64, text: &str) -> Self {
        self.bytes(number, text.as_bytes())
    }

    fn message(self, number: u64, message: &Self) -> Self {
        self.bytes(number, &message.0)
    }

    fn packed(self, number: u64, values: &[i64]) -> Self {
        let packed = values.iter().fold(out(), |packed, &value| packed.varint(zigzag(value)));
        self.message(number, &packed)
    }

    /// The message behind its length: a body.
    fn body(&self) -> Vec<u8> {
        let mut body = out().varint(self.0.len() as u64).0;
        body.extend(&self.0);
        body
    }
}

fn out() -> Out {
    Out::default()
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn label(name: &str, value: &str) -> Out {
    out().text(1, name).text(2, value)
}

fn family(kind: u64, metric: &Out) -> Out {
    out().text(1, "a").text(2, "Help.").int(3, kind).message(4, metric)
}

/// The only metric of a body.
#[track_caller]
fn metric(body: &[u8]) -> Metric<'_> {
    let families: Vec<_> = protobuf(body).map(Result::unwrap).collect();
    let metrics: Vec<_> = families[0].metrics().map(Result::unwrap).collect();
    assert_eq!((families.len(), metrics.len()), (1, 1));
    metrics[0]
}

/// The first error of a body.
fn error(body: &[u8]) -> Option<Error> {
    protobuf(body).find_map(|family| match family {
        Ok(family) => family.metrics().find_map(Result::err),
        Err(error) => Some(error),
    })
}

#[track_caller]
fn refuses(body: &[u8], offset: usize, reason: Reason) {
    assert_eq!(error(body), Some(Error { offset, reason }));
}

#[test]
fn every_plain_type_is_read() {
    let value = |kind, number, value: &Out| {
        let body = family(kind, &out().message(1, &label("x", "1")).message(number, value).int(6, 5)).body();
        let metric = metric(&body);
        assert_eq!((metric.labels.value("x"), metric.timestamp_ms), (Some("1"), Some(5)));
        format!("{:?}", metric.value).split(", exemplar").next().unwrap().to_owned()
    };
    let created = out().int(1, 7).int(2, 250_000_000);
    let counter = out().double(1, 2.5).message(3, &created);
    assert_eq!(value(0, 3, &counter), "Counter { value: 2.5, created_ms: Some(7250)");
    assert_eq!(value(1, 2, &out().double(1, -1.0)), "Gauge(-1.0)");
    assert_eq!(value(3, 5, &out()), "Untyped(0.0)");
}

#[test]
fn a_summary_has_its_quantiles() {
    let summary = out().int(1, 3).double(2, 4.5).message(3, &out().double(1, 0.5).double(2, 1.25));
    let body = family(2, &out().message(4, &summary)).body();
    let Value::Summary(summary) = metric(&body).value else { panic!("no summary") };
    assert_eq!((summary.count, summary.sum, summary.created_ms), (3, 4.5, None));
    assert_eq!(summary.quantiles().collect::<Vec<_>>(), [Quantile { quantile: 0.5, value: 1.25 }]);
}

#[test]
fn exemplars_keep_labels_and_time() {
    let exemplar = out().message(1, &label("trace_id", "t")).double(2, 9.0).message(3, &out().int(1, 2));
    let body = family(0, &out().message(3, &out().double(1, 1.0).message(2, &exemplar))).body();
    let Value::Counter { exemplar: Some(exemplar), .. } = metric(&body).value else { panic!("no exemplar") };
    assert_eq!(exemplar.labels.value("trace_id"), Some("t"));
    assert_eq!((exemplar.value, exemplar.timestamp_ms), (9.0, Some(2000)));
}

#[test]
fn a_classic_histogram_is_not_native() {
    let bucket = out().int(1, 2).double(2, f64::INFINITY);
    let body = family(4, &out().message(7, &out().int(1, 2).double(2, 3.0).message(3, &bucket))).body();
    let Value::Histogram(histogram) = metric(&body).value else { panic!("no histogram") };
    assert_eq!((histogram.count, histogram.sum, histogram.native), (2.0, 3.0, None));
    let expected = Bucket { upper_bound: f64::INFINITY, cumulative_count: 2.0, exemplar: None };
    assert_eq!(histogram.buckets().collect::<Vec<_>>(), [expected]);
}

/// Two spans below and one above zero.
fn native() -> Out {
    out()
        .int(1, 12)
        .double(2, 18.4)
        .sint(5, 1)
        .double(6, 0.001)
        .int(7, 2)
        .message(9, &out().sint(1, -2).int(2, 2))
        .message(9, &out().sint(1, 3).int(2, 1))
        .packed(10, &[1, 1, -2])
        .message(12, &out().sint(1, 5).int(2, 3))
        .sint(13, 3)
        .sint(13, -1)
        .sint(13, 0)
}

#[test]
fn a_native_histogram_has_its_buckets() {
    let body = family(4, &out().message(7, &native())).body();
    let Value::Histogram(histogram) = metric(&body).value else { panic!("no histogram") };
    let native = histogram.native.unwrap();
    assert_eq!((native.schema, native.zero_threshold, native.zero_count), (1, 0.001, 2.0));
    let buckets = |buckets: Buckets<'_>| {
        let mut all = Vec::new();
        buckets.for_each(|index, count| all.push((index, count)));
        all
    };
    assert_eq!(buckets(native.negative), [(-2, 1.0), (-1, 2.0), (3, 0.0)]);
    assert_eq!(buckets(native.positive), [(5, 3.0), (6, 2.0), (7, 2.0)]);
    let spans = [Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }];
    assert_eq!(native.negative.spans().collect::<Vec<_>>(), spans);
    let mut deltas = Vec::new();
    native.positive.for_each_delta(|delta| deltas.push(delta));
    assert_eq!(deltas, [3, -1, 0]);
}

#[test]
fn a_native_histogram_of_floats_has_its_buckets() {
    let counts = [0.5_f64, 1.5].map(f64::to_le_bytes).concat();
    let histogram = out().double(4, 2.0).message(12, &out().int(2, 2)).bytes(14, &counts);
    let body = family(5, &out().message(7, &histogram)).body();
    let Value::Histogram(histogram) = metric(&body).value else { panic!("no histogram") };
    let mut all = Vec::new();
    histogram.native.unwrap().positive.for_each(|index, count| all.push((index, count)));
    assert_eq!((histogram.count, all), (2.0, vec![(0, 0.5), (1, 1.5)]));
}

#[test]
fn an_empty_span_makes_an_empty_native_histogram() {
    let body = family(4, &out().message(7, &out().message(12, &out()))).body();
    let Value::Histogram(histogram) = metric(&body).value else { panic!("no histogram") };
    assert!(histogram.native.is_some());
}

#[test]
fn a_native_histogram_that_contradicts_itself_is_refused() {
    let refuses = |histogram: Out, reason| {
        let body = family(4, &out().message(7, &histogram)).body();
        assert_eq!(error(&body).map(|error| error.reason), Some(reason));
    };
    refuses(native().sint(5, 9), Reason::Schema);
    refuses(native().sint(5, -5), Reason::Schema);
    refuses(native().sint(13, 1), Reason::Spans);
    refuses(native().message(12, &out().int(2, 1)), Reason::Spans);
    refuses(native().message(9, &out().sint(1, -1)), Reason::Spans);
    refuses(native().message(12, &out().sint(1, i64::from(i32::MAX))), Reason::Spans);
    refuses(native().message(12, &out().int(2, 1)).sint(13, -5), Reason::BucketCount);
    refuses(native().double(14, 1.0), Reason::Spans);
    refuses(native().sint(5, 1 << 40), Reason::Varint);
}

#[test]
fn metadata_may_stand_behind_the_metrics() {
    let body =
        out().message(4, &out().message(2, &out().double(1, 3.0))).int(3, 1).text(1, "a").text(5, "s").body();
    assert_eq!(metric(&body).value, Value::Gauge(3.0));
    let family = protobuf(&body).next().unwrap().unwrap();
    assert_eq!((family.name, family.unit, family.kind), ("a", "s", Kind::Gauge));
}

#[test]
fn unknown_fields_are_passed_over() {
    let gauge = out().double(1, 3.0).int(99, 1).text(98, "x").double(97, 0.0);
    let mut body = family(1, &out().message(2, &gauge).int(2000, 7));
    body = body.varint(96 << 3 | 5);
    body.0.extend([0; 4]);
    assert_eq!(metric(&body.body()).value, Value::Gauge(3.0));
}

#[test]
fn broken_wire_data_is_refused_where_it_is() {
    refuses(&[5, 10], 0, Reason::Truncated);
    refuses(&[2, 10, 5], 2, Reason::Truncated);
    refuses(&[1, 0x80], 1, Reason::Truncated);
    refuses(&[0x80], 0, Reason::Truncated);
    refuses(&[11, 24, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], 2, Reason::Varint);
    refuses(&[2, 0, 1], 1, Reason::FieldNumber);
    refuses(&[1, 11], 1, Reason::WireType);
    refuses(&[2, 8, 1], 1, Reason::WireType);
    refuses(&[3, 10, 1, 255], 1, Reason::Utf8);
    refuses(&[0], 1, Reason::Name);
    refuses(&[3, 25, 0, 0], 1, Reason::Truncated);
    refuses(&out().text(1, "a").int(3, 6).body(), 4, Reason::Type);
    refuses(&family(1, &out()).body(), 13, Reason::MissingValue);
    // The second family is broken, the first one is read.
    let good = family(1, &out().message(2, &out())).body();
    let both = [&good[..], &[1, 11]].concat();
    refuses(&both, good.len() + 1, Reason::WireType);
    assert_eq!(protobuf(&both).count(), 2);
}

#[test]
fn labels_have_names_of_their_own() {
    let refuses = |labels: &[(&str, &str)]| {
        let metric =
            labels.iter().fold(out(), |metric, (name, value)| metric.message(1, &label(name, value)));
        error(&family(1, &metric.message(2, &out())).body()).map(|error| error.reason)
    };
    assert_eq!(refuses(&[("", "1")]), Some(Reason::Label));
    assert_eq!(refuses(&[("a", "1"), ("a", "1")]), Some(Reason::Label));
    assert_eq!(refuses(&[("b", "1"), ("a", "1"), ("b", "1")]), Some(Reason::Label));
    assert_eq!(refuses(&[("b", "1"), ("a", ""), ("c.ü", "\n")]), None);
}

#[test]
fn a_time_out_of_range_is_refused() {
    let created = out().int(1, u64::MAX >> 1);
    let body = family(0, &out().message(3, &out().message(3, &created))).body();
    assert_eq!(error(&body).map(|error| error.reason), Some(Reason::Timestamp));
}
