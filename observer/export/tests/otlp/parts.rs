//! Requests cut in parts.

use std::collections::HashSet;

use observer_aggregate::{
    family::{Kind, Suffix},
    window::Source,
};
use observer_export::{
    Encode as _,
    otlp::{Encoder, Options, each_series, part},
};
use prost::Message as _;

use crate::{
    points::points,
    schema::Request,
    windows::{Origin, close},
};

const T0: i64 = 1_700_000_000_000;

#[test]
fn a_request_can_be_cut_until_it_has_one_point() {
    let mut origin = Origin::new(Source::Scrape);
    for n in 0..9 {
        let labels = format!("instance=\"{}\",job=\"j\",n=\"{n}\"", n / 4);
        let slot = origin.set(("c", Kind::Counter), Suffix::Total, &labels, f64::from(n));
        origin.block.set_exemplar(slot, "t=\"1\"", f64::from(n), None);
        origin.histogram("h", &labels, &[("1", 1), ("+Inf", 3)], 1.0);
    }
    let mut encoder = Encoder::new(Options::default());
    let mut waiting = Vec::new();
    encoder.window(&close(1, T0, &mut [&mut origin]), &mut |batch| waiting.push(batch.body.to_vec()));
    let whole = points(&Request::decode(&*waiting[0]).unwrap());
    let mut parts = Vec::new();
    while let Some(body) = waiting.pop() {
        let request = Request::decode(&*body).unwrap();
        let mut all = HashSet::new();
        each_series(&body, |series| assert!(all.insert(format!("{series:?}")), "each is another"));
        match part(&body, |index| index < all.len() / 2) {
            Some(halves) => {
                let sizes = halves.each_ref().map(|half| half.samples + half.histograms);
                assert_eq!(sizes.iter().sum::<u32>() as usize, points(&request).len());
                assert!(sizes[0].abs_diff(sizes[1]) <= 1);
                for half in &halves {
                    let said = points(&Request::decode(&*half.body).unwrap());
                    let with = said.iter().filter(|point| point.contains("exemplars: [Exemplar")).count();
                    assert_eq!(half.exemplars as usize, with);
                }
                waiting.extend(halves.map(|half| half.body));
            }
            None => parts.extend(points(&request)),
        }
    }
    parts.sort();
    assert_eq!((parts.len(), parts), (18, whole));
    assert_eq!(part(b"no request", |_| true), None);
}

/// Whatever stands where in a request, its parts have what they were to have, and the series are told apart in them as in the whole.
#[test]
fn a_request_can_be_parted_anyhow() {
    let (mut origin, mut encoder) = (Origin::new(Source::Scrape), Encoder::new(Options::default()));
    for n in 0..9 {
        let labels = format!("instance=\"{}\",job=\"j\",n=\"{n}\"", n % 4);
        origin.set(("c", Kind::Counter), Suffix::Total, &labels, f64::from(n));
        origin.histogram("h", &labels, &[("1", 1), ("+Inf", 3)], 1.0);
    }
    let mut body = Vec::new();
    encoder.window(&close(1, T0, &mut [&mut origin]), &mut |batch| body = batch.body.to_vec());
    let series = |body: &[u8]| {
        let mut all = Vec::new();
        each_series(body, |series| all.push(format!("{series:?}")));
        all
    };
    let whole = series(&body);
    for by in [2, 3, 7] {
        let parts = part(&body, |index| index % by == 0).expect("two parts");
        let mut found = Vec::new();
        for (part, first) in parts.iter().zip([true, false]) {
            let expected = whole.iter().enumerate().filter(|(at, _)| (at % by == 0) == first);
            assert!(series(&part.body).iter().eq(expected.map(|(_, series)| series)), "{by}");
            found.extend(points(&Request::decode(&*part.body).unwrap()));
        }
        found.sort();
        assert_eq!(found, points(&Request::decode(&*body).unwrap()));
    }
}
