//! Our own decoder, held against the other, and what is made of requests.

use std::collections::BTreeSet;

use observer_aggregate::{
    family::{Kind, Suffix},
    native::Native,
    series::Block,
};
use observer_export::{
    Batch, Piece, Protocol,
    remote_write::{
        Options, Version,
        decode::{DecodeError, Request},
    },
};

use prost::Message as _;

use crate::{
    proto,
    random::Random,
    receiver::{Point, Received, key},
    source::{BOTH, Pipe},
};

const LIMIT: usize = 1 << 24;

/// A body with samples, histograms, metadata and a time of creation.
fn body(version: Version) -> Vec<u8> {
    let mut block = Block::default();
    let family = block.family("requests", Kind::Counter, "How many.", "");
    for n in 0..9 {
        let slot = block.add(family, Suffix::Total, &format!("n=\"{n}\"")).expect("a slot");
        block.set(slot, f64::from(n));
        block.set_exemplar(slot, &format!("trace=\"{n}\""), 1.0, Some(9));
    }
    let slot = block.add(family, Suffix::Created, "n=\"3\"").expect("a slot");
    block.set(slot, 0.25);
    let family = block.family("seconds", Kind::Histogram, "", "seconds");
    for n in 0..3 {
        let slot = block.add(family, Suffix::Native, &format!("n=\"{n}\"")).expect("a slot");
        let Native { positive, negative, count, float, .. } = block.set_native(slot, 9.0);
        (-3..3).for_each(|index| positive.push(2 * index, f64::from(n)));
        negative.push(1, 3.0);
        (*count, *float) = (9.0, n == 1);
    }
    block.touch();
    let mut pipe = Pipe::new(Options { send_native: true, send_exemplars: true, ..Options::new(version) });
    let window = pipe.close(7000, &mut [&mut block]);
    pipe.bodies(&window).concat_first()
}

trait First {
    fn concat_first(self) -> Vec<u8>;
}

impl First for Vec<Vec<u8>> {
    /// The first body, which has the samples.
    fn concat_first(self) -> Vec<u8> {
        self.into_iter().next().expect("a body")
    }
}

/// What somebody else's decoder finds.
fn received(version: Version, piece: &Piece) -> Received {
    let protocol = match version {
        Version::V1 => Protocol::RemoteWrite1,
        Version::V2 => Protocol::RemoteWrite2,
    };
    let mut received = Received::default();
    let Piece { body, samples, histograms, exemplars, .. } = piece;
    let (samples, histograms, exemplars) = (*samples, *histograms, *exemplars);
    received.take(&Batch {
        protocol,
        lane: 0,
        end_ms: 0,
        serial: 0,
        last: true,
        samples,
        histograms,
        exemplars,
        body,
    });
    received
}

fn halves(request: &Request) -> Option<[Piece; 2]> {
    let all = request.series().len();
    request.part(|index| index < all / 2)
}

#[test]
fn both_decoders_find_the_same() {
    for version in BOTH {
        let request = Request::read(version, &body(version), LIMIT).expect("a request");
        let received = received(version, &request.whole());
        let series = request.series();
        assert_eq!((series.len(), received.series.len()), (13, 13));
        for series in series {
            let key = key(&series.labels);
            let points: &Vec<(i64, Point)> = &received.series[&key];
            for ((time, point), sample) in points.iter().zip(&series.samples) {
                assert_eq!(
                    (*time, point),
                    (sample.time_ms, &Point::Value(sample.value.to_bits(), sample.start_ms))
                );
            }
            for ((time, point), sample) in points.iter().zip(&series.histograms) {
                let Point::Native(native) = point else { panic!("{point:?}") };
                assert_eq!(*time, sample.time_ms);
                assert_eq!(sample.value.positive.spans.len(), native.positive_spans.len());
                let counts = native.positive_deltas.iter().scan(0, |sum, delta| {
                    *sum += delta;
                    Some(*sum as f64)
                });
                let counts: Vec<f64> = counts.chain(native.positive_counts.iter().copied()).collect();
                assert_eq!(sample.value.positive.counts, counts);
                assert_eq!(sample.value.count, 9.0);
            }
            assert_eq!(points.len(), series.samples.len() + series.histograms.len());
        }
    }
}

#[test]
fn halves_have_every_series_once() {
    for version in BOTH {
        let whole = Request::read(version, &body(version), LIMIT).expect("a request");
        let mut open = vec![whole.clone()];
        let mut single = Vec::new();
        while let Some(request) = open.pop() {
            match halves(&request) {
                Some([first, second]) => {
                    let halves = [second, first]
                        .map(|half| Request::read(version, &half.body, LIMIT).expect("a request"));
                    let series: usize = halves.iter().map(|half| half.series().len()).sum();
                    assert_eq!(series, request.series().len());
                    open.extend(halves);
                }
                None => single.push(request),
            }
        }
        let found: Vec<_> = single.iter().flat_map(Request::series).collect();
        assert_eq!(found, whole.series());
        assert!(single.iter().all(|request| request.series().len() == 1));
        if version == Version::V2 {
            for request in single {
                let series = &request.series()[0];
                let labels = series.labels.iter().chain(series.exemplars.iter().flat_map(|of| &of.labels));
                let mut used: BTreeSet<&str> = labels.flat_map(|(name, value)| [*name, *value]).collect();
                used.extend(series.metadata.iter().flat_map(|of| [of.help, of.unit]));
                used.insert("");
                let symbols = proto::Request::decode(request.raw()).expect("a request").symbols;
                assert_eq!((&*symbols[0], symbols.len()), ("", used.len()), "no other, and none twice");
                assert_eq!(symbols.iter().map(|symbol| &**symbol).collect::<BTreeSet<_>>(), used);
            }
        }
    }
}

#[test]
fn zstd_is_read_halved_and_becomes_snappy() {
    let raw = snap::raw::Decoder::new().decompress_vec(&body(Version::V1)).expect("snappy");
    let packed = zstd::bulk::compress(&raw, 1).expect("zstd");
    let read = |body: &[u8], limit| {
        Request::of(Protocol::RemoteWrite1Zstd, body, limit).expect("a protocol of remote write")
    };
    let request = read(&packed, LIMIT).expect("a request");
    assert_eq!(request.raw(), raw);
    let halves = halves(&request).expect("halves");
    let halves = halves.map(|half| read(&half.body, LIMIT).expect("half of a request"));
    let found: Vec<_> = halves.iter().flat_map(Request::series).collect();
    assert_eq!(found, request.series());
    let snappy = request.to_version_1().expect("a request");
    assert_eq!(
        Request::read(Version::V1, &snappy.body, LIMIT).expect("a request").series(),
        request.series()
    );
    assert_eq!(read(&packed, raw.len() - 1), Err(DecodeError::Zstd));
    assert_eq!(read(&snappy.body, LIMIT), Err(DecodeError::Zstd));
    assert_eq!(read(&packed[..packed.len() - 1], LIMIT), Err(DecodeError::Zstd));
    assert_eq!(Request::of(Protocol::Otlp, &packed, LIMIT), None);
}

#[test]
fn version_2_becomes_version_1() {
    let request = Request::read(Version::V2, &body(Version::V2), LIMIT).expect("a request");
    let (from, to) = (received(Version::V2, &request.whole()), request.to_version_1().expect("a request"));
    let to = received(Version::V1, &to);
    let without_start = |point: &Point| match point {
        Point::Value(bits, _) => Point::Value(*bits, 0),
        native => native.clone(),
    };
    for (key, points) in &from.series {
        let expected: Vec<_> = points.iter().map(|(time, point)| (*time, without_start(point))).collect();
        assert_eq!(to.series[key], expected);
    }
    assert_eq!(to.series.len(), from.series.len());
}

#[test]
fn any_bytes_give_a_request_or_an_error() {
    let mut random = Random::new(7);
    let mut errors = 0;
    for round in 0..4_000 {
        let version = BOTH[round % 2];
        let mut raw = snap::raw::Decoder::new().decompress_vec(&body_once(version)).expect("snappy");
        for _ in 0..=random.below(4) {
            let at = random.below(raw.len() as u64) as usize;
            match random.below(4) {
                0 => raw.truncate(at),
                1 => raw[at] = random.below(256) as u8,
                2 => raw[at] ^= 1 << random.below(8),
                _ => raw.insert(at, random.below(256) as u8),
            }
            if raw.is_empty() {
                break;
            }
        }
        let packed = snap::raw::Encoder::new().compress_vec(&raw).expect("snappy");
        match Request::read(version, &packed, LIMIT) {
            Ok(request) => {
                assert!(request.series().len() + request.metadata().len() <= raw.len());
                request.to_version_1().expect("what was read can be told");
                if let Some([first, second]) = halves(&request) {
                    for half in [first, second] {
                        Request::read(version, &half.body, LIMIT).expect("half of a request");
                    }
                }
            }
            Err(_) => errors += 1,
        }
        assert!(Request::read(version, &raw, LIMIT).is_err() || raw.len() < 3, "no snappy");
    }
    assert!(errors > 200, "{errors}");
}

fn body_once(version: Version) -> Vec<u8> {
    thread_local!(static BODIES: [Vec<u8>; 2] = BOTH.map(body));
    BODIES.with(|bodies| bodies[version as usize].clone())
}

#[test]
fn a_body_over_the_limit_is_not_decompressed() {
    let body = snap::raw::Encoder::new().compress_vec(&vec![0; 1 << 20]).expect("snappy");
    let error = Request::read(Version::V1, &body, 1 << 19);
    assert_eq!(error, Err(DecodeError::TooLarge { bytes: 1 << 20, limit: 1 << 19 }));
}

#[test]
fn a_reference_to_nothing_is_an_error() {
    let raw = b"\x22\0\x2a\x14\x0a\x02\0\x07\x12\x0e\x09\0\0\0\0\0\0\xf0\x3f\x10\x80\x80\x80\x02";
    let body = snap::raw::Encoder::new().compress_vec(raw).expect("snappy");
    assert_eq!(Request::read(Version::V2, &body, LIMIT), Err(DecodeError::Symbol(7)));
}
