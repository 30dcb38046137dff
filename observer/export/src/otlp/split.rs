//! Requests cut in two, for receivers that refuse the whole.

use super::{
    body::{Body, Counts, Limits, Path, Stamp},
    composite::HISTOGRAM,
    exemplars::{OF_EXPONENTIAL, OF_HISTOGRAM, OF_NUMBER},
    native::EXPONENTIAL_HISTOGRAM,
    number::{GAUGE, SUM},
    read::{Field, fields, message},
};
use crate::{Batch, Piece};

/// Cuts a request's points in two halves. `None` if it has a single one.
#[must_use]
pub fn split(request: &[u8]) -> Option<[Piece; 2]> {
    let mut points = 0;
    each_point(request, &mut |_, _, _| points += 1);
    if points < 2 {
        return None;
    }
    let mut body = Body::new(0);
    let mut pieces = Vec::with_capacity(2);
    let limits = Limits { points: u32::MAX, bytes: usize::MAX };
    let stamp = Stamp { end_ms: 0, serial: 0 };
    let mut take = |batch: Batch<'_>| {
        let Batch { body, samples, histograms, exemplars, .. } = batch;
        pieces.push(Piece { body: body.to_vec(), samples, histograms, exemplars });
    };
    let (mut at, mut place) = (0, 0);
    each_point(request, &mut |metric, path, point| {
        if at == points / 2 {
            body.hand_out(stamp, false, &mut take);
        } else if metric != place {
            // The metrics of a resource need not stay together.
            body.end_group();
        }
        let (counts, field) = match path.data {
            HISTOGRAM => (Counts::Histogram, Some(OF_HISTOGRAM)),
            EXPONENTIAL_HISTOGRAM => (Counts::Histogram, Some(OF_EXPONENTIAL)),
            GAUGE | SUM => (Counts::Sample, Some(OF_NUMBER)),
            _ => (Counts::Sample, None),
        };
        let exemplars = fields(point).filter(|of| Some(of.number) == field).count() as u32;
        body.point(path, (point.len(), counts), limits, stamp, &mut take).extend_from_slice(point);
        body.count_exemplars(exemplars);
        (at, place) = (at + 1, metric);
    });
    body.hand_out(stamp, true, &mut take);
    pieces.try_into().ok()
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
