//! A receiver that keeps everything, and refuses what the specifications forbid.

use std::collections::{BTreeMap, HashMap};

use observer_export::{Batch, Protocol};
use prost::Message as _;

use crate::proto::{
    Exemplar1, Exemplar2, Histogram, Label, Metadata, MetricMetadata, Request, Sample, TimeSeries1,
    WriteRequest,
};

/// Labels as they came, sorted.
pub(crate) type Key = Vec<(String, String)>;

/// A sample of any kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Point {
    /// Bits of the value, so that all NaN are told apart; when the series was created.
    Value(u64, i64),
    Native(Box<Histogram>),
}

/// Labels as a receiver has them.
pub(crate) fn key(labels: &[(&str, &str)]) -> Key {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A sample without a time of creation.
pub(crate) fn value(value: f64) -> Point {
    Point::Value(value.to_bits(), 0)
}

/// Labels of an exemplar as they came, the bits of its value, its time.
pub(crate) type Told = (Key, u64, i64);

/// What has arrived.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) series: BTreeMap<Key, Vec<(i64, Point)>>,
    pub(crate) exemplars: BTreeMap<Key, Vec<Told>>,
    /// Type, help and unit by series.
    pub(crate) metadata: BTreeMap<Key, (i32, String, String)>,
    /// Metadata of version 1, as often as they came.
    pub(crate) families: Vec<MetricMetadata>,
    pub(crate) requests: Vec<(u16, u32, usize)>,
    lanes: HashMap<Key, u16>,
    /// A window is over.
    done: bool,
}

impl Received {
    /// Takes in a request as a strict receiver does.
    pub(crate) fn take(&mut self, batch: &Batch<'_>) {
        let raw = match batch.protocol {
            Protocol::RemoteWrite1Zstd => zstd::bulk::decompress(batch.body, 1 << 28).expect("zstd"),
            _ => snap::raw::Decoder::new().decompress_vec(batch.body).expect("snappy"),
        };
        self.requests.push((batch.lane, batch.samples, raw.len()));
        self.done = batch.last;
        let (mut samples, mut histograms, mut exemplars) = (0, 0, 0);
        match batch.protocol {
            Protocol::RemoteWrite1 | Protocol::RemoteWrite1Zstd => {
                let request = WriteRequest::decode(&*raw).expect("protobuf");
                self.families.extend(request.metadata);
                for TimeSeries1 { labels, samples: values, histograms: natives, exemplars: examples } in
                    request.timeseries
                {
                    let pairs = |labels: Vec<Label>| -> Key {
                        labels.into_iter().map(|label| (label.name, label.value)).collect()
                    };
                    assert!(values.iter().all(|sample| sample.start_timestamp == 0), "no field of version 1");
                    samples += values.len();
                    histograms += natives.len();
                    exemplars += examples.len();
                    let key = pairs(labels);
                    let told = |of: Exemplar1| (pairs(of.labels), of.value.to_bits(), of.timestamp);
                    self.told(&key, examples.into_iter().map(told));
                    self.points(batch.lane, &key, values, natives);
                }
            }
            Protocol::RemoteWrite2 => {
                let request = Request::decode(&*raw).expect("protobuf");
                assert_eq!(request.symbols.first().map(String::as_str), Some(""), "the first symbol");
                let mut symbols = request.symbols.clone();
                symbols.sort_unstable();
                assert!(symbols.windows(2).all(|pair| pair[0] != pair[1]), "a symbol twice");
                let symbol = |number: u32| request.symbols[number as usize].clone();
                for series in request.timeseries {
                    samples += series.samples.len();
                    histograms += series.histograms.len();
                    exemplars += series.exemplars.len();
                    let pairs = |references: &[u32]| -> Key {
                        let (pairs, rest) = references.as_chunks::<2>();
                        assert!(rest.is_empty(), "a name without a value");
                        pairs.iter().map(|[name, value]| (symbol(*name), symbol(*value))).collect()
                    };
                    let key = pairs(&series.labels_refs);
                    let told = |of: Exemplar2| (pairs(&of.labels_refs), of.value.to_bits(), of.timestamp);
                    self.told(&key, series.exemplars.into_iter().map(told));
                    let Metadata { kind, help_ref, unit_ref } = series.metadata.expect("metadata");
                    self.metadata.insert(key.clone(), (kind, symbol(help_ref), symbol(unit_ref)));
                    self.points(batch.lane, &key, series.samples, series.histograms);
                }
            }
            Protocol::Otlp => panic!("not remote write"),
        }
        let counted = [batch.samples, batch.histograms, batch.exemplars].map(|n| n as usize);
        assert_eq!(counted, [samples, histograms, exemplars]);
    }

    fn told(&mut self, key: &Key, exemplars: impl Iterator<Item = Told>) {
        let mut exemplars = exemplars.peekable();
        if exemplars.peek().is_some() {
            self.exemplars.entry(key.clone()).or_default().extend(exemplars);
        }
    }

    fn points(&mut self, lane: u16, key: &Key, samples: Vec<Sample>, histograms: Vec<Histogram>) {
        assert!(key.windows(2).all(|pair| pair[0].0 < pair[1].0), "labels that are not sorted: {key:?}");
        assert!(key.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()), "empty: {key:?}");
        assert!(key.iter().any(|(name, _)| name == "__name__"), "no name: {key:?}");
        assert!(samples.is_empty() != histograms.is_empty(), "either samples or histograms: {key:?}");
        assert_eq!(*self.lanes.entry(key.clone()).or_insert(lane), lane, "{key:?} changes its lane");
        let points = self.series.entry(key.clone()).or_default();
        let values = samples.into_iter().map(|Sample { value, timestamp, start_timestamp }| {
            (timestamp, Point::Value(value.to_bits(), start_timestamp))
        });
        let natives =
            histograms.into_iter().map(|native| (native.timestamp, Point::Native(Box::new(native))));
        for (time, point) in values.chain(natives) {
            assert!(
                points.last().is_none_or(|last| last.0 < time),
                "{key:?} goes back to {time}: {points:?}"
            );
            points.push((time, point));
        }
    }

    /// Whether the last request said that it was the last of its window.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }
}
