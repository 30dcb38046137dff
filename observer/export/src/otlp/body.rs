//! The request that is being written: messages in messages, closed and begun again where the request is full.

use crate::{
    Batch, Protocol,
    wire::{self, Open},
};

/// Fields of `ExportMetricsServiceRequest`, `ResourceMetrics` and `ScopeMetrics`.
const RESOURCE_METRICS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_METRICS: u32 = 2;
const SCOPE: u32 = 1;
const METRICS: u32 = 2;
/// The same field in `Gauge`, `Sum`, `Histogram`, `ExponentialHistogram` and `Summary`.
const DATA_POINTS: u32 = 1;

/// The messages a data point stands in, encoded but for what comes behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    /// Fields of the resource.
    pub(super) resource: &'a [u8],
    /// Fields of the scope.
    pub(super) scope: &'a [u8],
    /// Fields of the metric: name, description, unit, metadata.
    pub(super) metric: &'a [u8],
    /// The field of the metric that has the data.
    pub(super) data: u32,
    /// Fields of the data beside the points: temporality, monotonicity.
    pub(super) how: &'a [u8],
}

/// What a request may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) points: u32,
    pub(super) bytes: usize,
}

/// Which window is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) end_ms: i64,
    pub(super) serial: u64,
}

/// The request of one lane.
#[derive(Debug)]
pub(super) struct Body {
    lane: u16,
    bytes: Vec<u8>,
    samples: u32,
    histograms: u32,
    exemplars: u32,
    group: Option<(Open, Open)>,
    metric: Option<(Open, Open)>,
}

/// What a point counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    Sample,
    Histogram,
}

impl Body {
    pub(super) const fn new(lane: u16) -> Self {
        Self { lane, bytes: Vec::new(), samples: 0, histograms: 0, exemplars: 0, group: None, metric: None }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.samples + self.histograms == 0
    }

    pub(super) const fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Room for a point of `len` bytes: its tag and length are written, its fields have to follow.
    #[inline]
    pub(super) fn point(
        &mut self,
        path: &Path<'_>,
        (len, counts): (usize, Counts),
        limits: Limits,
        stamp: Stamp,
        out: &mut dyn FnMut(Batch<'_>),
    ) -> &mut Vec<u8> {
        let full = self.samples + self.histograms >= limits.points || self.bytes.len() + len > limits.bytes;
        if full && !self.is_empty() {
            self.hand_out(stamp, false, out);
        }
        if self.metric.is_none() {
            self.enter(path);
        }
        match counts {
            Counts::Sample => self.samples += 1,
            Counts::Histogram => self.histograms += 1,
        }
        wire::tag(&mut self.bytes, DATA_POINTS, wire::BYTES);
        wire::varint(&mut self.bytes, len as u64);
        &mut self.bytes
    }

    /// The point has so many exemplars.
    pub(super) fn count_exemplars(&mut self, exemplars: u32) {
        self.exemplars += exemplars;
    }

    fn enter(&mut self, path: &Path<'_>) {
        let Self { bytes, group, metric, .. } = self;
        if group.is_none() {
            let resource_metrics = wire::open(bytes, RESOURCE_METRICS);
            wire::bytes(bytes, RESOURCE, path.resource);
            let scope_metrics = wire::open(bytes, SCOPE_METRICS);
            wire::bytes(bytes, SCOPE, path.scope);
            *group = Some((resource_metrics, scope_metrics));
        }
        let message = wire::open(bytes, METRICS);
        bytes.extend_from_slice(path.metric);
        let data = wire::open(bytes, path.data);
        bytes.extend_from_slice(path.how);
        *metric = Some((message, data));
    }

    /// What follows belongs to another metric.
    pub(super) fn end_metric(&mut self) {
        if let Some((message, data)) = self.metric.take() {
            wire::close(&mut self.bytes, data);
            wire::close(&mut self.bytes, message);
        }
    }

    /// What follows belongs to another resource or scope.
    pub(super) fn end_group(&mut self) {
        self.end_metric();
        if let Some((resource, scope)) = self.group.take() {
            wire::close(&mut self.bytes, scope);
            wire::close(&mut self.bytes, resource);
        }
    }

    /// Ends the request and begins another.
    pub(super) fn hand_out(&mut self, stamp: Stamp, last: bool, out: &mut dyn FnMut(Batch<'_>)) {
        self.end_group();
        out(Batch {
            protocol: Protocol::Otlp,
            lane: self.lane,
            end_ms: stamp.end_ms,
            serial: stamp.serial,
            last,
            samples: self.samples,
            histograms: self.histograms,
            exemplars: self.exemplars,
            body: &self.bytes,
        });
        self.bytes.clear();
        (self.samples, self.histograms, self.exemplars) = (0, 0, 0);
    }
}
