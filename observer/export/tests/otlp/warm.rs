//! Warm windows are encoded without an allocation.

use observer_aggregate::{
    family::{Kind, Suffix},
    native::Native,
    window::{Source, Window},
};
use observer_export::{
    Encode as _,
    otlp::{Encoder, Options, Temporality},
};

use crate::{
    allocations,
    windows::{Origin, close},
};

#[test]
fn warm_windows_allocate_nothing() {
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let options = Options { temporality, max_points: 500, lanes: 2, ..Options::default() };
        let mut encoder = Encoder::new(options);
        let mut origins =
            [Source::Kernel, Source::Scrape, Source::Node].map(|source| (Origin::new(source), 0.0));
        let mut warm = None;
        let mut bytes = 0;
        for serial in 1..=40 {
            for (origin, value) in &mut origins {
                *value += 1.0;
                fill(origin, *value);
            }
            let mut each: Vec<_> = origins.iter_mut().map(|(origin, _)| origin).collect();
            let window: Window = close(serial, 1_000_000 + 1_000 * serial as i64, &mut each);
            if serial == 20 {
                warm = Some(allocations::count());
            }
            let before = allocations::count();
            encoder.window(&window, &mut |batch| bytes += batch.body.len());
            if warm.is_some() {
                assert_eq!(allocations::count(), before, "window {serial}, {temporality:?}");
            }
        }
        assert!(bytes > 40 * 3 * 1_000 * 30, "{bytes}");
        let stats = encoder.stats();
        assert!(stats.exemplars >= 38 * 3 * 50, "{stats:?}");
        assert_eq!(stats.points + stats.withheld, 40 * 3 * 1_040);
        assert_eq!(stats.withheld > 0, temporality == Temporality::Delta);
    }
}

fn fill(origin: &mut Origin, value: f64) {
    for n in 0..500_u64 {
        let labels = format!("instance=\"i\",job=\"j\",n=\"{n}\"");
        let slot = origin.set(("c", Kind::Counter), Suffix::Total, &labels, value);
        if n % 10 == 0 {
            let trace = format!("trace_id=\"{:032x}\",n=\"{n}\"", n + 1000 * value as u64);
            origin.block.set_exemplar(slot, &trace, value, None);
        }
        origin.set(("g", Kind::Gauge), Suffix::None, &labels, value);
    }
    for n in 0..20 {
        let labels = format!("n=\"{n}\"");
        origin.histogram("h", &labels, &[("1", value as u64), ("+Inf", 1)], value);
        let mut native = Native { schema: 2, count: 2.0 * value, sum: value, ..Native::default() };
        native.positive.push(1, value);
        native.positive.push(9, value);
        origin.native("n", &labels, &native);
    }
}
