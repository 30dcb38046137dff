//! Lines of JSON as another reader sees them, and as the documentation shows them.

#[path = "../../../aggregate/tests/support/allocations.rs"]
mod allocations;
#[path = "../otlp/windows.rs"]
mod windows;

use observer_aggregate::{
    family::{Kind, Suffix},
    native::{CUSTOM_BUCKETS, Native},
    series::STALE,
    stream::{Conditions, Matcher, Op},
    window::Source,
};
use observer_export::ndjson::{Encoder, Options, Written, lost};
use serde_json::{Value, json};

use windows::{Origin, close};

const T0: i64 = 1_700_000_000_000;

/// Every line, read; each ends in a line feed.
fn read(out: &[u8]) -> Vec<Value> {
    assert_eq!(out.last(), Some(&b'\n'));
    let text = std::str::from_utf8(out).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn encode(encoder: &mut Encoder, serial: u64, origins: &mut [&mut Origin]) -> Vec<Value> {
    let mut out = Vec::new();
    let window = close(serial, T0 + 1_000 * serial as i64, origins);
    let written = encoder.window(&window, &mut |lines| out.extend_from_slice(lines));
    let lines = read(&out);
    assert_eq!(lines.len() as u64, written.samples + written.histograms + 1);
    lines
}

fn example() -> Native {
    let mut native = Native { schema: 2, count: 4.0, sum: 0.75, ..Native::default() };
    native.zero_threshold = 0.000_000_953_674_316_406_25;
    native.zero_count = 1.0;
    native.positive.push(-8, 2.0);
    native.positive.push(-5, 1.0);
    native
}

#[test]
fn the_documentation_shows_what_is_written() {
    let mut kernel = Origin::new(Source::Kernel);
    let labels = "role=\"client\",peer=\"10.0.0.7\",port=\"5432\"";
    let family = ("observer_tcp_connects", Kind::Counter);
    kernel.set(family, Suffix::Total, &format!("{labels},outcome=\"refused\""), 3.0);
    kernel.native("observer_tcp_response_seconds", labels, &example());
    let mut target = Origin::new(Source::Scrape);
    let target_labels = "instance=\"127.0.0.1:9187\",job=\"postgres\"";
    target.set(("pg_up", Kind::Gauge), Suffix::None, target_labels, 1.0);
    target.set(("pg_ratio", Kind::Unknown), Suffix::None, target_labels, f64::NAN);
    let queries = target.set(("pg_queries", Kind::Counter), Suffix::Total, target_labels, 7.0);
    let trace = "trace_id=\"0af7651916cd43dd8448eb211c80319c\"";
    target.block.set_exemplar(queries, trace, 0.067, Some(T0 - 250));
    let mut encoder = Encoder::default();
    let mut out = Vec::new();
    encoder
        .window(&close(41, T0, &mut [&mut kernel, &mut target]), &mut |lines| out.extend_from_slice(lines));
    lost(&mut out, 42, 44, "no_reader");
    target.end("pg_ratio", Suffix::None, target_labels);
    target.block.end_all();
    encoder.window(&close(45, T0 + 4_000, &mut [&mut target]), &mut |lines| out.extend_from_slice(lines));

    let page = include_str!("../../../../docs/ndjson.md");
    let shown = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    assert_eq!(std::str::from_utf8(&out).unwrap(), shown);
    // Each key of a line is explained in a row of its own.
    for line in read(&out) {
        let of = line["exemplars"][0].as_object();
        for key in line.as_object().expect("an object").keys().chain(of.into_iter().flat_map(|of| of.keys()))
        {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
    }
    for key in example_keys() {
        assert!(page.contains(&format!("| `{key}` |")), "{key}");
    }
}

fn example_keys() -> Vec<String> {
    let mut origin = Origin::new(Source::Kernel);
    let mut native = Native { bounds: vec![1.0], schema: CUSTOM_BUCKETS, ..example() };
    native.negative.push(1, 1.0);
    origin.native("h", "", &native);
    let lines = encode(&mut Encoder::default(), 1, &mut [&mut origin]);
    lines[0]["histogram"].as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn any_text_and_any_number_reads_back() {
    let mut origin = Origin::new(Source::Scrape);
    let labels = "a=\"quote \\\" back \\\\ feed \\n tab \t bell \u{7} ünï\"";
    let values = [
        0.0,
        -0.0,
        1.0,
        -17.0,
        999_999_999_999_999.0,
        1e15,
        0.1,
        1e300,
        -2.5e-300,
        5e-324,
        f64::MAX,
        123_456_789.125,
        1e-6,
        1e17,
    ];
    let mut encoder = Encoder::default();
    for (serial, value) in (1..).zip(values) {
        origin.set(("m", Kind::Gauge), Suffix::None, labels, value);
        let lines = encode(&mut encoder, serial, &mut [&mut origin]);
        assert_eq!(lines[0]["value"].as_f64().map(f64::to_bits), Some(value.to_bits()), "{value}");
        assert_eq!(lines[0]["labels"]["a"], "quote \" back \\ feed \n tab \t bell \u{7} ünï");
    }
    for (serial, value, word) in
        [(30, f64::NAN, "NaN"), (31, f64::INFINITY, "+Inf"), (32, f64::NEG_INFINITY, "-Inf")]
    {
        origin.set(("m", Kind::Gauge), Suffix::None, labels, value);
        assert_eq!(encode(&mut encoder, serial, &mut [&mut origin])[0]["value"], word);
    }
}

#[test]
fn native_histograms_have_all_their_buckets() {
    let mut origin = Origin::new(Source::Kernel);
    origin.native("h", "", &example());
    let lines = encode(&mut Encoder::default(), 1, &mut [&mut origin]);
    let expected = json!({"schema": 2, "gauge": false, "count": 4, "sum": 0.75, "zero_threshold": 9.5367431640625e-7,
        "zero_count": 1, "positive": [[-8, 2], [-5, 1]], "negative": []});
    assert_eq!(lines[0]["histogram"], expected);
    assert_eq!(lines[0].get("value"), None);
}

#[test]
fn selectors_choose_series() {
    let matcher =
        |name: &str, op, value: &str| Matcher { name: name.to_owned(), op, value: value.to_owned() };
    let select = vec![
        Conditions::compile(vec![matcher("__name__", Op::Equal, "a_total")]).unwrap(),
        Conditions::compile(vec![matcher("x", Op::Regex, "1|\"")]).unwrap(),
    ];
    let mut encoder = Encoder::new(Options { select, ..Options::default() });
    let mut origin = Origin::new(Source::Scrape);
    for x in ["1", "2", "\\\""] {
        let labels = format!("x=\"{x}\"");
        origin.set(("a", Kind::Counter), Suffix::Total, &labels, 1.0);
        origin.set(("b", Kind::Gauge), Suffix::None, &labels, 1.0);
    }
    let lines = encode(&mut encoder, 1, &mut [&mut origin]);
    let series: Vec<_> =
        lines[..5].iter().map(|line| format!("{} {}", line["name"], line["labels"]["x"])).collect();
    assert_eq!(
        series,
        [r#""a_total" "1""#, r#""a_total" "2""#, r#""a_total" "\"""#, r#""b" "1""#, r#""b" "\"""#]
    );
    assert_eq!(lines[5]["samples"], 5);
}

#[test]
fn what_did_not_change_can_be_left_out() {
    let mut encoder = Encoder::new(Options { changed_only: true, ..Options::default() });
    let mut origin = Origin::new(Source::Scrape);
    let mut kinds = Vec::new();
    for (serial, value) in [(1, 1.0), (2, 1.0), (3, 2.0), (4, f64::NAN), (5, f64::NAN)] {
        origin.set(("m", Kind::Gauge), Suffix::None, "", value);
        kinds.push(encode(&mut encoder, serial, &mut [&mut origin]).len());
    }
    assert_eq!(kinds, [2, 1, 2, 2, 1]);
    origin.block.touch();
    encoder.forget_values();
    assert_eq!(encode(&mut encoder, 6, &mut [&mut origin]).len(), 2);
}

#[test]
fn windows_tell_what_they_have() {
    let mut origin = Origin::new(Source::Scrape);
    origin.set(("m", Kind::Gauge), Suffix::None, "", 1.0);
    origin.native("h", "", &example());
    // The classic form stands beside the native one: its bucket, sum and count.
    origin.histogram("h", "", &[("+Inf", 4)], 0.75);
    let mut encoder = Encoder::default();
    let mut out = Vec::new();
    let written =
        encoder.window(&close(7, T0, &mut [&mut origin]), &mut |lines| out.extend_from_slice(lines));
    assert_eq!(written, Written { samples: 4, histograms: 1, exemplars_untold: 0 });
    let window = json!({"v": 1, "kind": "window", "window": 7, "end_ms": T0, "complete": true, "samples": 4, "histograms": 1});
    assert_eq!(read(&out).last(), Some(&window));
    // No news: the window is told all the same.
    let lines = encode(&mut encoder, 8, &mut [&mut origin]);
    assert_eq!((lines.len(), &lines[0]["samples"]), (1, &json!(0)));
}

#[test]
fn chunks_have_whole_lines() {
    let mut origin = Origin::new(Source::Scrape);
    for n in 0..5_000 {
        origin.set(("m", Kind::Gauge), Suffix::None, &format!("n=\"{n}\""), 1.0);
    }
    let (mut chunks, mut lines) = (0, 0);
    Encoder::default().window(&close(1, T0, &mut [&mut origin]), &mut |chunk| {
        (chunks, lines) = (chunks + 1, lines + read(chunk).len());
    });
    assert_eq!((chunks > 1, lines), (true, 5_001));
}

#[test]
fn warm_windows_allocate_nothing() {
    for changed_only in [false, true] {
        let mut encoder = Encoder::new(Options { changed_only, ..Options::default() });
        let mut origin = Origin::new(Source::Scrape);
        let (mut allocated, mut bytes) = (0, 0);
        for serial in 1..=20 {
            let value = serial as f64;
            for n in 0..2_000 {
                let labels = format!("instance=\"i\",n=\"{n}\"");
                let slot = origin.set(("c", Kind::Counter), Suffix::Total, &labels, value);
                if n % 10 == 0 {
                    origin.block.set_exemplar(slot, &format!("trace_id=\"{serial:08}\""), value + 0.5, None);
                }
                // Of three lengths and shapes, and the same ones in each three windows.
                let gauge = [0.1, -17.0, 1.5e-9][serial as usize % 3];
                origin.set(("g", Kind::Gauge), Suffix::None, &labels, gauge);
            }
            origin.native("n", "a=\"b\"", &example());
            let window = close(serial, T0 + 1_000 * serial as i64, &mut [&mut origin]);
            let before = allocations::count();
            encoder.window(&window, &mut |lines| bytes += lines.len());
            if serial > 10 {
                allocated += allocations::count() - before;
            }
        }
        assert_eq!(allocated, 0, "changed_only: {changed_only}");
        assert!(bytes > 20 * 4_000 * 100, "{bytes}");
    }
}

#[test]
fn exemplars_are_written_once_and_again_where_nothing_was_written() {
    for changed_only in [false, true] {
        let mut encoder = Encoder::new(Options { changed_only, ..Options::default() });
        let mut origin = Origin::new(Source::Scrape);
        let slot = origin.set(("m", Kind::Counter), Suffix::Total, "", 1.0);
        let native = origin.native("h", "", &example());
        let exemplars = |serial, origin: &mut Origin, encoder: &mut Encoder| {
            origin.block.touch();
            let lines = encode(encoder, serial, &mut [origin]);
            lines.iter().filter_map(|line| line.get("exemplars").cloned()).collect::<Vec<_>>()
        };
        let none: [Value; 0] = [];
        assert_eq!(exemplars(1, &mut origin, &mut encoder), none);
        origin.block.set_exemplar(slot, "a=\"\\\"\",b=\"\"", f64::NAN, None);
        origin.block.add_exemplar(native, "t=\"1\"", 1.0, Some(7));
        origin.block.add_exemplar(native, "t=\"2\"", 0.5, Some(8));
        let of_counter = json!([{"labels": {"a": "\"", "b": ""}, "value": "NaN"}]);
        let of_native = json!([{"labels": {"t": "1"}, "value": 1, "time_ms": 7}, {"labels": {"t": "2"}, "value": 0.5, "time_ms": 8}]);
        // The counter's value is the same, and has a line for its exemplar.
        assert_eq!(exemplars(2, &mut origin, &mut encoder), [of_counter.clone(), of_native.clone()]);
        assert_eq!(exemplars(3, &mut origin, &mut encoder), none);
        encoder.forget_values();
        assert_eq!(exemplars(4, &mut origin, &mut encoder), [of_counter, of_native]);
        origin.block.add_exemplar(native, "t=\"3\"", 0.5, Some(9));
        let third = json!([{"labels": {"t": "3"}, "value": 0.5, "time_ms": 9}]);
        assert_eq!(exemplars(5, &mut origin, &mut encoder), [third]);
    }
}

#[test]
fn an_exemplar_of_a_series_that_ends_with_it_is_counted() {
    let mut origin = Origin::new(Source::Scrape);
    let slot = origin.set(("c", Kind::Counter), Suffix::Total, "", 1.0);
    let mut encoder = Encoder::default();
    let mut untold = |serial: u64, origin: &mut Origin| {
        origin.block.touch();
        let window = close(serial, T0 + 1_000 * i64::try_from(serial).unwrap(), &mut [origin]);
        encoder.window(&window, &mut |_| ()).exemplars_untold
    };
    assert_eq!(untold(1, &mut origin), 0);
    origin.block.set_exemplar(slot, "t=\"1\"", 0.5, None);
    origin.block.set(slot, STALE);
    assert_eq!((untold(2, &mut origin), untold(3, &mut origin)), (1, 0));
}
