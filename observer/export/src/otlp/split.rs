//! Requests cut in two, for receivers that refuse the whole.

use super::{
    body::{Body, Counts, Limits, Path, Stamp},
    composite::HISTOGRAM,
    exemplars::{OF_EXPONENTIAL, OF_HISTOGRAM, OF_NUMBER},
    native::EXPONENTIAL_HISTOGRAM,
    number::{GAUGE, SUM},
    plan::{EXPONENTIAL_ATTRIBUTES, HISTOGRAM_ATTRIBUTES, NUMBER_ATTRIBUTES, SUMMARY_ATTRIBUTES},
    read::{Field, fields, message},
};
use crate::{Batch, Piece};

/// What tells a point's series from others.
#[derive(Debug, Hash, PartialEq, Eq)]
pub struct Identity<'a> {
    resource: &'a [u8],
    scope: &'a [u8],
    /// Name, description, unit.
    metric: &'a [u8],
    attributes: Vec<&'a [u8]>,
}

/// Visits the series of a request's points, in their order.
pub fn each_series(request: &[u8], mut visit: impl FnMut(Identity<'_>)) {
    each_point(request, &mut |_, path, point| {
        let Path { resource, scope, metric, .. } = *path;
        let field = kind(path.data).attributes;
        let attributes = fields(point).filter_map(|of| of.bytes(field)).collect();
        visit(Identity { resource, scope, metric, attributes });
    });
}

/// Two requests, the first with the points that `is_first` takes by their index, in their order. Nothing if one of the two had none.
#[must_use]
pub fn part(request: &[u8], is_first: impl Fn(usize) -> bool) -> Option<[Piece; 2]> {
    let limits = Limits { points: u32::MAX, bytes: usize::MAX };
    let stamp = Stamp { end_ms: 0, serial: 0 };
    // Each with the metric it is at.
    let mut halves = [(Body::new(0), 0), (Body::new(0), 0)];
    let mut at = 0;
    each_point(request, &mut |metric, path, point| {
        let (body, place) = &mut halves[usize::from(!is_first(at))];
        if metric != *place {
            // The metrics of a resource need not stay together.
            body.end_group();
        }
        let Kind { counts, exemplars, attributes: _ } = kind(path.data);
        let exemplars = fields(point).filter(|of| Some(of.number) == exemplars).count() as u32;
        // There is no limit that it could be handed out at.
        body.point(path, (point.len(), counts), limits, stamp, &mut |_| ()).extend_from_slice(point);
        body.count_exemplars(exemplars);
        (at, *place) = (at + 1, metric);
    });
    if halves.iter().any(|(body, _)| body.is_empty()) {
        return None;
    }
    Some(halves.map(|(mut body, _)| {
        let mut piece = Piece::default();
        body.hand_out(stamp, true, &mut |batch| {
            let Batch { body, samples, histograms, exemplars, .. } = batch;
            piece = Piece { body: body.to_vec(), samples, histograms, exemplars };
        });
        piece
    }))
}

/// What is to be known of a kind of points.
struct Kind {
    counts: Counts,
    /// The fields of their exemplars and attributes.
    exemplars: Option<u32>,
    attributes: u32,
}

const fn kind(data: u32) -> Kind {
    match data {
        HISTOGRAM => Kind {
            counts: Counts::Histogram,
            exemplars: Some(OF_HISTOGRAM),
            attributes: HISTOGRAM_ATTRIBUTES,
        },
        EXPONENTIAL_HISTOGRAM => Kind {
            counts: Counts::Histogram,
            exemplars: Some(OF_EXPONENTIAL),
            attributes: EXPONENTIAL_ATTRIBUTES,
        },
        GAUGE | SUM => {
            Kind { counts: Counts::Sample, exemplars: Some(OF_NUMBER), attributes: NUMBER_ATTRIBUTES }
        }
        _ => Kind { counts: Counts::Sample, exemplars: None, attributes: SUMMARY_ATTRIBUTES },
    }
}

/// Visits the points of a request, each with the number of its metric and with what it stands in.
fn each_point(request: &[u8], visit: &mut dyn FnMut(usize, &Path<'_>, &[u8])) {
    let mut number = 0;
    let (mut head, mut how) = (Vec::new(), Vec::new());
    for of_resource in fields(request).filter_map(|field| field.bytes(1)) {
        let resource = message(fields(of_resource), 1).unwrap_or_default();
        for of_scope in fields(of_resource).filter_map(|field| field.bytes(2)) {
            let scope = message(fields(of_scope), 1).unwrap_or_default();
            for metric in fields(of_scope).filter_map(|field| field.bytes(2)) {
                number += 1;
                let is_data = |field: &Field<'_>| (5..=11).contains(&field.number);
                let Some(data) = fields(metric).find(is_data) else { continue };
                let points = data.bytes(data.number).unwrap_or_default();
                head.clear();
                fields(metric).filter(|field| !is_data(field)).for_each(|field| head.extend(field.raw));
                how.clear();
                fields(points).filter(|field| field.number != 1).for_each(|field| how.extend(field.raw));
                let path = Path { resource, scope, metric: &head, data: data.number, how: &how };
                for point in fields(points).filter_map(|field| field.bytes(1)) {
                    visit(number, &path, point);
                }
            }
        }
    }
}
