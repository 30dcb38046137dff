//! The readers take any bytes, and take what the writer writes.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/disturb.rs"]
mod disturb;
#[path = "support/random.rs"]
mod random;

use observer_exposition::{Event, Format, Header, Kind, Names, Writer, escape, openmetrics, text, unescape};

/// A small generator of the same bytes in every run.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[usize::try_from(self.next() % from.len() as u64).expect("an index")]
    }
}

/// Reads a body in both formats to the end and checks what holds for every body.
fn read(body: &[u8]) -> (usize, usize) {
    let lines = body.split(|&b| b == b'\n').count();
    let mut good = 0;
    let mut bad = 0;
    let events = text(body).map(|e| (e, 0)).chain(openmetrics(body).map(|e| (e, 1)));
    for (event, eof_lines) in events {
        match event {
            Ok(Event::Sample(sample)) => {
                good += 1;
                for label in sample.labels.iter() {
                    assert!(!label.name.is_empty());
                    let value = unescape(label.value);
                    assert_eq!(unescape(&escape(&value)), value);
                }
            }
            Ok(_) => {}
            Err(error) => {
                bad += 1;
                assert!((1..=lines + eof_lines).contains(&error.line), "{error} in {body:?}");
                assert!(error.column >= 1);
            }
        }
    }
    (good, bad)
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut bytes = Bytes(0x9E37_79B9_7F4A_7C15);
    for _ in 0..20_000 {
        let len = bytes.next() % 64;
        let body: Vec<u8> = (0..len).map(|_| bytes.next().to_le_bytes()[0]).collect();
        read(&body);
    }
}

/// Reads kept bodies with something done to them; how many were sound in either format, and how many in neither.
fn campaign(bodies: &[Vec<u8>], rounds: usize, seed: u64) -> (usize, usize) {
    let mut random = random::Random::new(seed);
    let (mut sound, mut broken) = (0, 0);
    for _ in 0..rounds {
        let mut body = bodies[random.below(bodies.len())].clone();
        disturb::disturb(&mut body, &mut random);
        // Each reader ends behind its first error.
        let (_, errors) = read(&body);
        sound += usize::from(errors < 2);
        broken += usize::from(errors == 2);
    }
    (sound, broken)
}

fn kept() -> Vec<Vec<u8>> {
    [corpus::files("text"), corpus::files("openmetrics")].concat()
}

#[test]
fn kept_bodies_with_changes_are_read_or_refused() {
    let (sound, broken) = campaign(&kept(), 5_000, 1);
    assert!(sound > 500 && broken > 500, "{sound} {broken}");
}

#[test]
#[ignore = "takes as long as it is told: `cargo xtask fuzz SECONDS`"]
fn for_as_long_as_told() {
    let mut bodies = kept();
    bodies.push(include_bytes!("bodies/node_exporter.txt")[..4000].to_vec());
    corpus::as_long_as_told(|seed| {
        campaign(&bodies, 5_000, seed);
    });
}

#[test]
fn pieces_of_the_formats_in_any_order_never_panic() {
    const PIECES: &[&str] = &[
        "a",
        "b_total",
        "b",
        "# TYPE ",
        "# HELP ",
        "# UNIT ",
        "# EOF",
        "\n",
        " ",
        "{",
        "}",
        "\"",
        "\\",
        ",",
        "=",
        "x",
        "le",
        "1",
        "-1.5",
        "NaN",
        "+Inf",
        " # ",
        "counter",
        "gauge",
        "histogram",
        "é",
        "a_bucket",
        "\t",
        "{x=\"1\"}",
        "_seconds",
        "seconds",
        "\0",
        "# ",
        "a 1\n",
        "\\n",
        "\\\"",
        "# TYPE b counter\n",
    ];
    let mut bytes = Bytes(42);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..50_000 {
        let body: String = (0..bytes.next() % 24).map(|_| bytes.pick(PIECES)).collect();
        let (g, b) = read(body.as_bytes());
        good += g;
        bad += b;
        // Cut anywhere, also within a character.
        let cut = usize::try_from(bytes.next()).unwrap_or(0) % (body.len() + 1);
        read(&body.as_bytes()[..cut]);
    }
    assert!(good > 1000 && bad > 1000, "the pieces no longer make both kinds of lines: {good} {bad}");
}

#[test]
fn what_is_written_reads_back() {
    let mut bytes = Bytes(7);
    for _ in 0..500 {
        for (format, names) in [
            (Format::Text, Names::Underscores),
            (Format::OpenMetrics, Names::Underscores),
            (Format::Text, Names::Quoted),
            (Format::OpenMetrics, Names::Quoted),
        ] {
            round_trip(&mut bytes, format, names);
        }
    }
}

/// What ends a sample line with more than its value takes the long way through the parser; the events are the same.
#[test]
fn the_short_way_gives_what_the_long_way_gives() {
    let longer = |body: &str, end: &str| -> String {
        let lines = body.lines().map(|line| match line.starts_with('#') || line.is_empty() {
            true => format!("{line}\n"),
            false => format!("{line}{end}\n"),
        });
        lines.collect()
    };
    let real = [include_str!("bodies/node_exporter.txt"), include_str!("bodies/prometheus.txt")];
    let mut bytes = Bytes(11);
    let mut samples = 0;
    for round in 0..30_000 {
        let body = match real.get(round) {
            Some(body) => (*body).to_owned(),
            None => {
                let value =
                    ["1", "2.5", "-1e9", "0.1", "123456789012345678", "NaN", "1e-7", "12345678", "1.0e5"];
                let name = bytes.pick(&["a", "a_b:c9_long_enough_for_two", "A", "_", "a\u{e9}"]);
                let labels: Vec<String> = (0..bytes.next() % 4)
                    .map(|_| {
                        format!(
                            "{}=\"{}\"",
                            bytes.pick(&["x", "le", "a_long_label_name_it_is"]),
                            bytes.pick(&["", "1", "\u{e9}", "a long value, of many bytes", "\\n", "}", "{"])
                        )
                    })
                    .collect();
                format!("{name}{{{}}} {}\n", labels.join(","), bytes.pick(&value))
            }
        };
        let read = |body: &str| text(body.as_bytes()).map(|event| format!("{event:?}")).collect::<Vec<_>>();
        let short = read(&body);
        assert_eq!(short, read(&longer(&body, " ")), "{body:?}");
        samples += short.iter().filter(|event| event.starts_with("Ok(Sample")).count();
        // OpenMetrics has no blank there, but a timestamp.
        let read = |body: &str| {
            let events = openmetrics(body.as_bytes()).map(|event| match event {
                Ok(Event::Sample(sample)) => {
                    format!("{:?}", observer_exposition::Sample { timestamp_ms: None, ..sample })
                }
                event => format!("{event:?}"),
            });
            events.collect::<Vec<_>>()
        };
        assert_eq!(read(&body), read(&longer(&body, " 5")), "{body:?}");
    }
    assert!(samples > 15_000, "{samples}");
}

fn round_trip(bytes: &mut Bytes, format: Format, names: Names) {
    let name = if names == Names::Quoted { "io.\"bytes" } else { "io_bytes" };
    let help: String =
        (0..bytes.next() % 6).map(|_| bytes.pick(&["a", "\\", "\"", "\n", "é", " "])).collect();
    // Blanks before the text belong to the line, not to the text.
    let help = help.trim_start_matches(' ');
    let value: String =
        (0..bytes.next() % 6).map(|_| bytes.pick(&["a", "\\", "\"", "\n", "é", ",", "}"])).collect();
    let number = f64::from_bits(bytes.next());
    let number = if number.is_nan() { 0.25 } else { number.abs() };
    let time = i64::try_from(bytes.next() % 4_000_000_000_000).expect("in range");

    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, format, names);
    writer.family(&Header { name, suffix: "_total", kind: Kind::Counter, help, unit: "" });
    writer.sample(name, "_total", &format!("x=\"{}\"", escape(&value)), number, Some(time));
    writer.finish();

    let events: Vec<_> = match format {
        Format::Text => text(&out).collect(),
        Format::OpenMetrics => openmetrics(&out).collect(),
    };
    let shown = String::from_utf8_lossy(&out).into_owned();
    let events: Vec<_> = events.into_iter().map(|e| e.unwrap_or_else(|e| panic!("{e}: {shown}"))).collect();
    let total = format!("{name}_total");
    let head = if format == Format::Text { &*total } else { name };
    let mut rest = &events[..];
    if !help.is_empty() {
        assert!(matches!(&rest[0], Event::Help { name, text } if name == head && text == help), "{shown}");
        rest = &rest[1..];
    }
    assert!(matches!(&rest[0], Event::Type { name, kind: Kind::Counter } if name == head), "{shown}");
    let Event::Sample(sample) = &rest[1] else { panic!("no sample: {shown}") };
    assert_eq!(sample.name, total);
    assert_eq!(sample.value.to_bits(), number.to_bits(), "{shown}");
    assert_eq!(sample.timestamp_ms, Some(time), "{shown}");
    assert_eq!(sample.labels.value("x").map(unescape).as_deref(), Some(&*value), "{shown}");
    assert_eq!(rest.get(2), (format == Format::OpenMetrics).then_some(&Event::Eof));
}
