//! [`Delta`] gives what the full parser gives, whatever happens to a body.

#[path = "support/bodies.rs"]
mod bodies;
#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bodies::{NODE_0, NODE_1, PROMETHEUS};
use observer_exposition::{
    Delta, Dialect, Error, Event, Exemplar, FamilyInfo, Format, Header, Kind, Names, Sample, Sink, Writer,
    openmetrics, text,
};
use random::Random;

/// A sample as it is reported: everything known of it, the value's bits and the timestamp.
type Reported = (String, u64, Option<i64>);

fn describe(family: &FamilyInfo<'_>, series: &str) -> String {
    let FamilyInfo { name, kind, help, unit, suffix } = family;
    format!("{name}|{kind:?}|{help}|{unit}|{suffix}|{series}")
}

/// Some series are not kept.
fn is_refused(series: &str) -> bool {
    series.len().is_multiple_of(11)
}

/// Remembers what it is told, and gives every description a slot of its own.
#[derive(Default)]
struct Recorder {
    by_description: HashMap<String, u32>,
    descriptions: Vec<String>,
    values: Vec<f64>,
    reported: Vec<Reported>,
    /// The exemplars as they are now, and how many were told.
    exemplars: BTreeMap<u32, String>,
    told: usize,
    asked: usize,
    in_bulk: u64,
    /// Whether the last body was sound.
    was_sound: bool,
}

impl Sink for Recorder {
    fn resolve(&mut self, family: &FamilyInfo<'_>, sample: &Sample<'_>) -> Option<u32> {
        self.asked += 1;
        if is_refused(sample.series) {
            return None;
        }
        let description = describe(family, sample.series);
        let Self { by_description, descriptions, values, .. } = self;
        Some(*by_description.entry(description).or_insert_with_key(|description| {
            descriptions.push(description.clone());
            values.push(f64::NAN);
            u32::try_from(descriptions.len() - 1).unwrap()
        }))
    }

    fn value(&mut self, slot: u32, value: f64, timestamp_ms: Option<i64>) {
        self.values[slot as usize] = value;
        self.reported.push((self.descriptions[slot as usize].clone(), value.to_bits(), timestamp_ms));
    }

    fn exemplar(&mut self, slot: u32, exemplar: Option<&Exemplar<'_>>) {
        assert_eq!(self.reported.last().map(|last| &last.0), Some(&self.descriptions[slot as usize]));
        self.told += 1;
        match exemplar {
            Some(exemplar) => self.exemplars.insert(slot, format!("{exemplar:?}")),
            None => self.exemplars.remove(&slot),
        };
    }

    fn unchanged(&mut self, slots: &[u32], values: &[f64]) {
        assert_eq!(slots.len(), values.len());
        self.in_bulk += slots.len() as u64;
        for (&slot, &value) in slots.iter().zip(values) {
            if self.was_sound {
                assert_eq!(self.values[slot as usize].to_bits(), value.to_bits(), "not as last reported");
            }
            self.value(slot, value, None);
        }
    }
}

#[derive(Default)]
struct Expected {
    reported: Vec<Reported>,
    /// By description.
    exemplars: BTreeMap<String, String>,
    samples: u64,
    duplicates: u64,
}

/// The samples of a body by the full parser and the plainest book-keeping.
fn expected(dialect: Dialect, body: &[u8]) -> Result<Expected, Error> {
    let events: Vec<_> = match dialect {
        Dialect::Text => text(body).collect::<Result<_, _>>()?,
        Dialect::OpenMetrics => openmetrics(body).collect::<Result<_, _>>()?,
    };
    let mut families: HashMap<String, (Kind, String, String)> = HashMap::new();
    let mut present = String::new();
    let mut seen = HashSet::new();
    let mut all = Expected::default();
    for event in events {
        match event {
            Event::Help { name, text } => {
                present = name.clone().into_owned();
                families.entry(name.into_owned()).or_default().1 = text.into_owned();
            }
            Event::Type { name, kind } => {
                present = name.clone().into_owned();
                families.entry(name.into_owned()).or_default().0 = kind;
            }
            Event::Unit { name, unit } => {
                present = name.clone().into_owned();
                families.entry(name.into_owned()).or_default().2 = unit.to_owned();
            }
            Event::Sample(sample) => {
                all.samples += 1;
                let name = &*sample.name;
                let stem = name.rsplit_once('_').map_or("", |(stem, _)| stem);
                let candidates = match dialect {
                    Dialect::Text => vec![name, stem],
                    // A family is in one place.
                    Dialect::OpenMetrics => vec![&*present],
                };
                let found = candidates.into_iter().find_map(|candidate| {
                    let (kind, help, unit) = families.get(candidate)?;
                    let suffix = name.strip_prefix(candidate)?;
                    suffixes(dialect, *kind)
                        .contains(&suffix)
                        .then_some((candidate, kind, help, unit, suffix))
                });
                let description = match found {
                    Some((family, kind, help, unit, suffix)) => {
                        let total = dialect == Dialect::Text && *kind == Kind::Counter;
                        let stem = family.strip_suffix("_total").filter(|stem| total && !stem.is_empty());
                        let (name, suffix) = stem.map_or((family, suffix), |stem| (stem, "_total"));
                        describe(&FamilyInfo { name, kind: *kind, help, unit, suffix }, sample.series)
                    }
                    None => {
                        present = name.to_owned();
                        describe(&FamilyInfo { name, ..FamilyInfo::default() }, sample.series)
                    }
                };
                if !seen.insert(sample.series.to_owned()) {
                    all.duplicates += 1;
                } else if !is_refused(sample.series) {
                    if let Some(exemplar) = &sample.exemplar {
                        all.exemplars.insert(description.clone(), format!("{exemplar:?}"));
                    }
                    all.reported.push((description, sample.value.to_bits(), sample.timestamp_ms));
                }
            }
            Event::Eof => {}
        }
    }
    Ok(all)
}

fn suffixes(dialect: Dialect, kind: Kind) -> &'static [&'static str] {
    match (dialect, kind) {
        (Dialect::Text, Kind::Histogram) => &["_bucket", "_sum", "_count"],
        (Dialect::Text, Kind::Summary) => &["", "_sum", "_count"],
        (Dialect::Text, _) | (_, Kind::Unknown | Kind::Gauge | Kind::StateSet) => &[""],
        (_, Kind::Counter) => &["_total", "_created"],
        (_, Kind::Histogram) => &["_bucket", "_sum", "_count", "_created"],
        (_, Kind::GaugeHistogram) => &["_bucket", "_gsum", "_gcount"],
        (_, Kind::Summary) => &["", "_sum", "_count", "_created"],
        (_, Kind::Info) => &["_info"],
    }
}

/// A reader, what it reported, and the slots it holds.
struct Subject {
    dialect: Dialect,
    delta: Delta,
    recorder: Recorder,
    held: BTreeSet<u32>,
}

impl Subject {
    fn new(dialect: Dialect) -> Self {
        let (delta, recorder) = (Delta::new(dialect), Recorder::default());
        Self { dialect, delta, recorder, held: BTreeSet::new() }
    }

    /// Reads a body and checks everything that is said about it.
    #[track_caller]
    fn read(&mut self, body: &[u8]) -> bool {
        let Self { dialect, delta, recorder, held } = self;
        let shown = || String::from_utf8_lossy(body).into_owned();
        recorder.reported.clear();
        let (asked, in_bulk) = (recorder.asked, recorder.in_bulk);
        let slots = recorder.descriptions.len();
        let result = delta.decode(body, recorder);
        let asked = recorder.asked - asked;
        // What was asked for, even in a broken body, is held until it is told to be gone.
        held.extend(slots as u32..recorder.descriptions.len() as u32);
        let expected = match (result, expected(*dialect, body)) {
            (Ok(stats), Ok(expected)) => {
                assert_eq!(
                    (stats.samples, stats.duplicates),
                    (expected.samples, expected.duplicates),
                    "{}",
                    shown()
                );
                assert!(stats.unchanged + stats.repaired <= stats.samples, "{stats:?}");
                assert!(recorder.in_bulk - in_bulk <= stats.unchanged, "{stats:?}");
                assert!(stats.layout_changed || (asked == 0 && delta.gone().is_empty()), "{stats:?}");
                expected
            }
            (Err(error), Err(expected)) => {
                assert_eq!(error, expected, "{}", shown());
                recorder.was_sound = false;
                recorder.exemplars.clear();
                return false;
            }
            (result, expected) => {
                panic!("{result:?}, but the full parser: {:?}\n{}", expected.map(|e| e.samples), shown())
            }
        };
        if recorder.reported != expected.reported {
            for (got, wanted) in recorder.reported.iter().zip(&expected.reported) {
                assert_eq!(got, wanted, "{}", shown());
            }
            assert_eq!(recorder.reported.len(), expected.reported.len(), "{}", shown());
        }
        // Slots of before that came up again in this body are held as well.
        let present: BTreeSet<u32> =
            expected.reported.iter().map(|(description, ..)| recorder.by_description[description]).collect();
        held.extend(&present);
        for slot in delta.gone() {
            assert!(held.remove(slot), "slot {slot} is gone and was not there");
            // A description that comes back gets a new slot.
            recorder.by_description.remove(&recorder.descriptions[*slot as usize]);
            recorder.exemplars.remove(slot);
        }
        let kept = recorder.exemplars.iter();
        let kept =
            kept.map(|(slot, exemplar)| (recorder.descriptions[*slot as usize].clone(), exemplar.clone()));
        assert_eq!(kept.collect::<BTreeMap<_, _>>(), expected.exemplars, "{}", shown());
        assert_eq!(*held, present, "{}", shown());
        recorder.was_sound = true;
        true
    }
}

/// The text body as OpenMetrics.
fn to_openmetrics(body: &str) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Format::OpenMetrics, Names::Quoted);
    let mut help = String::new();
    let mut names = HashSet::new();
    for event in text(body.as_bytes()) {
        match event.unwrap() {
            Event::Help { text, .. } => help = text.into_owned(),
            Event::Type { name, kind } => {
                let (name, suffix) = match name.strip_suffix("_total") {
                    // A gauge may have a counter's name without its suffix; OpenMetrics has no place for both.
                    Some(stem) if kind == Kind::Counter && !names.contains(stem) => (stem, "_total"),
                    _ => (&*name, ""),
                };
                names.insert(name.to_owned());
                writer.family(&Header { name, suffix, kind, help: &help, unit: "" });
            }
            Event::Sample(s) => writer.sample(&s.name, "", s.labels.block(), s.value, s.timestamp_ms),
            Event::Unit { .. } | Event::Eof => unreachable!("not in the text format"),
        }
    }
    writer.finish();
    String::from_utf8(out).unwrap()
}

/// Lines to put in somewhere; some are not allowed everywhere, some nowhere.
const LINES: &[&str] = &[
    "bare 1",
    "bare{x=\"1\"} 17.5",
    "bare 1 1700000000000",
    "bare 1 1700000000",
    "h_count 3",
    "h_sum 3.5",
    "h 3",
    "node_load1 9",
    "node_load1{} 9",
    "# TYPE node_load1 counter",
    "# TYPE node_load1 gauge",
    "# TYPE h histogram",
    "# TYPE h_count gauge",
    "# TYPE bare counter",
    "# HELP bare Is bare.",
    "# HELP node_load1 another",
    "# HELP h_count x",
    "# a comment",
    "",
    "\t spaced \t{ a = \"1\" , }  5\t 7 ",
    "{\"quoted.name\",x=\"1\"} 4",
    "# TYPE \"quoted.name\" counter",
    "broken",
    "broken{x=\"1} 5",
    "broken 5 5 5",
    "x{a=\"1\",a=\"2\"} 1",
    "é 1",
    "cpu_seconds_total -1",
    "state{state=\"a\"} 0.5",
    "bare 1 # {} 1",
    "# TYPE with counter",
    "with_total 1 # {t=\"a\"} 1",
    "with_total{x=\"1\"} 1 5.5 # {t=\"# {\"} 1 7.25",
    "# EOF",
    "carriage 1\r",
];

/// Values that few exporters write, and some that are none.
const ODD: &[&str] = &["NaN", "+Inf", "-Inf", "-0", "1e400", "+7", ".5", "5.", "1_0", "1e", ""];

/// Does something to one place of a body.
fn mutate(random: &mut Random, body: &mut Vec<u8>) {
    if random.below(12) == 0 {
        match random.below(4) {
            0 => body.truncate(random.below(body.len() + 1)),
            1 if body.last() == Some(&b'\n') => drop(body.pop()),
            2 if !body.is_empty() => {
                let at = random.below(body.len());
                body[at] = random.next().to_le_bytes()[0];
            }
            _ => body.push(b'\n'),
        }
        return;
    }
    let ends_with_line_feed = body.ends_with(b"\n");
    let mut lines: Vec<Vec<u8>> = body.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    if ends_with_line_feed {
        lines.pop();
    }
    let (at, other) = (random.below(lines.len().max(1)), random.below(lines.len().max(1)));
    match random.below(10) {
        _ if lines.is_empty() => lines.push(b"bare 2".to_vec()),
        0 => lines.swap(at, other),
        1 => drop(lines.remove(at)),
        2 => drop(lines.drain(at..(at + random.below(20)).min(lines.len()))),
        3 => lines.insert(at, LINES[random.below(LINES.len())].as_bytes().to_vec()),
        4 => {
            let line = lines[other].clone();
            lines.insert(at, line);
        }
        5 => {
            let end = (at + 2 + random.below(12)).min(lines.len());
            lines[at..end].rotate_left(1);
        }
        6 => {
            // A label or a help text grows.
            let place = random.below(lines[at].len() + 1);
            lines[at].insert(place, b"a0 _\"\\"[random.below(6)]);
        }
        _ => {
            for _ in 0..random.below(20) {
                let at = random.below(lines.len());
                match lines[at].starts_with(b"#") || random.below(4) != 0 {
                    true => change_value(random, &mut lines[at]),
                    false => change_exemplar(random, &mut lines[at]),
                }
            }
        }
    }
    *body = lines.join(&b'\n');
    if ends_with_line_feed {
        body.push(b'\n');
    }
}

/// Gives a sample line another value, if it looks like one.
fn change_value(random: &mut Random, line: &mut Vec<u8>) {
    if line.starts_with(b"#") {
        return;
    }
    let Some(at) = line.iter().rposition(|&byte| byte == b' ') else { return };
    line.truncate(at + 1);
    let number = random.next();
    let value = match random.below(9) {
        0 => "1".to_owned(),
        1 => "0".to_owned(),
        2 => format!("{}", number % 100),
        3 => format!("{number}"),
        4 => format!("{:e}", f64::from_bits(number >> 2)),
        5 => format!("{}.{}", number % 1000, number % 89),
        6 => ODD[random.below(ODD.len())].to_owned(),
        7 => format!("{} {}", number % 50, number % 2_000_000_000_000),
        _ => format!("{} {}.5", number % 50, number % 2_000_000_000),
    };
    line.extend_from_slice(value.as_bytes());
}

/// Gives a line another exemplar, or none; its value may change too.
fn change_exemplar(random: &mut Random, line: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(line).into_owned();
    let (stem, _) = text.split_once(" # ").unwrap_or((&text, ""));
    line.truncate(stem.len());
    if random.below(2) == 0 {
        change_value(random, line);
    }
    if random.below(4) != 0 {
        let exemplar = EXEMPLARS[random.below(EXEMPLARS.len())];
        line.extend_from_slice(exemplar.as_bytes());
    }
}

/// What may stand behind a counter or a bucket.
const EXEMPLARS: &[&str] = &[
    " # {} 1",
    " # {t=\"a\"} 1",
    " # {t=\"b\"} 1 1700000000.5",
    " # {t=\"# {} 1\"} 1",
    " # {t=\"\\\"# {t=\\\"a\"} 1",
    " # {t=\"a\"} broken",
];

/// Reads a body again and again, each time with something done to it.
fn campaign(dialect: Dialect, bodies: &[&str], rounds: usize, seed: u64) -> usize {
    let mut random = Random::new(seed);
    let mut subject = Subject::new(dialect);
    for body in bodies {
        assert!(expected(dialect, body.as_bytes()).map(|e| e.samples).unwrap() > 0 || body.is_empty());
    }
    let mut good = 0;
    let mut body = Vec::new();
    for round in 0..rounds {
        if round % 40 == 0 || (!subject.recorder.was_sound && random.below(2) == 0) {
            body = bodies[random.below(bodies.len())].as_bytes().to_vec();
        }
        for _ in 0..random.below(4) {
            mutate(&mut random, &mut body);
        }
        good += usize::from(subject.read(&body));
        if random.below(300) == 0 {
            subject.delta.clear();
            subject.held.clear();
            subject.recorder = Recorder::default();
        }
    }
    good
}

/// A campaign in which both kinds of bodies come up.
#[track_caller]
fn check(dialect: Dialect, bodies: &[&str], rounds: usize, seed: u64) {
    let good = campaign(dialect, bodies, rounds, seed);
    assert!(good > rounds / 5 && good < rounds, "{good} of {rounds} bodies were sound");
}

fn texts_of(folder: &str) -> Vec<String> {
    corpus::files(folder).into_iter().map(|body| String::from_utf8(body).expect("a text")).collect()
}

/// The first families of a body, for many rounds in little time.
fn start(body: &str, lines: usize) -> String {
    body.split_inclusive('\n').take(lines).collect()
}

#[test]
fn changed_real_bodies_in_text() {
    check(Dialect::Text, &[NODE_0, NODE_1, PROMETHEUS], 300, 1);
    let short: Vec<String> = [NODE_0, NODE_1, PROMETHEUS].map(|body| start(body, 60)).to_vec();
    check(Dialect::Text, &short.iter().map(String::as_str).collect::<Vec<_>>(), 5_000, 2);
}

#[test]
fn changed_real_bodies_in_openmetrics() {
    let bodies = [NODE_0, NODE_1, PROMETHEUS].map(to_openmetrics);
    check(Dialect::OpenMetrics, &bodies.each_ref().map(String::as_str), 300, 3);
    let short = [NODE_0, NODE_1, PROMETHEUS].map(|body| to_openmetrics(&start(body, 60)));
    check(Dialect::OpenMetrics, &short.each_ref().map(String::as_str), 3_000, 4);
}

/// Every counter and bucket of a body with an exemplar.
fn with_exemplars(body: &str) -> String {
    let mut kind = "";
    let line = |line: &'_ str| {
        kind = match line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            Some((_, "counter")) => "_total",
            Some((_, "histogram")) => "_bucket",
            Some(_) => "",
            None => kind,
        };
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        match !kind.is_empty() && name.ends_with(kind) {
            true => format!("{line} # {{trace_id=\"{}\"}} 0.5 1700000000\n", line.len()),
            false => format!("{line}\n"),
        }
    };
    body.lines().map(line).collect()
}

#[test]
fn changed_exemplars() {
    const BODY: &str = "# TYPE a counter\na_total 1\na_total{x=\"1\"} 2\n# TYPE h histogram\n\
        h_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\n# TYPE b counter\nb_total 3\n# EOF\n";
    let real = [NODE_0, PROMETHEUS].map(|body| with_exemplars(&to_openmetrics(&start(body, 80))));
    check(Dialect::OpenMetrics, &[BODY, &with_exemplars(BODY), &real[0], &real[1]], 8_000, 8);
}

#[test]
fn an_exemplar_that_stays_is_not_told_again() {
    let mut subject = Subject::new(Dialect::OpenMetrics);
    let body = with_exemplars("# TYPE a counter\na_total 1\na_total{x=\"1\"} 2\nb 5\n# EOF\n");
    let mut told = |body: &str| {
        let before = subject.recorder.told;
        subject.read(body.as_bytes());
        subject.recorder.told - before
    };
    assert_eq!(told(&body), 2);
    assert_eq!(told(&body), 0);
    let grown = body.replace("_total 1", "_total 7");
    assert_eq!(told(&grown), 0);
    assert_eq!(told(&grown.replacen(" 0.5", " 1.5", 1)), 1);
    assert_eq!(told(&grown.replacen(" # {trace_id=\"9\"} 0.5 1700000000", "", 1)), 1);
    // A broken body ends them all.
    assert_eq!(told(&grown.replace("b 5", "b x")), 1);
    assert_eq!(told(&grown), 2);
    assert_eq!(told(&grown), 0);
}

#[test]
fn small_bodies() {
    const BODIES: &[&str] = &["", "a 1", "a 1\nb 2\n", "a{x=\"1\"} 1\na{x=\"1\"} 2\n a  3\na 4\n"];
    check(Dialect::Text, BODIES, 5_000, 5);
    for (dialect, folder, seed) in [(Dialect::Text, "text", 6), (Dialect::OpenMetrics, "openmetrics", 7)] {
        let kept = texts_of(folder);
        check(dialect, &kept.iter().map(String::as_str).collect::<Vec<_>>(), 6_000, seed);
    }
}

#[test]
#[ignore = "takes as long as it is told: `cargo xtask fuzz SECONDS`"]
fn for_as_long_as_told() {
    let real = [NODE_0, NODE_1, PROMETHEUS].map(|body| start(body, 80));
    let mut texts = texts_of("text");
    let mut openmetrics = texts_of("openmetrics");
    openmetrics.extend(real.iter().map(|body| to_openmetrics(body)));
    texts.extend(real);
    corpus::as_long_as_told(|seed| {
        campaign(Dialect::Text, &texts.iter().map(String::as_str).collect::<Vec<_>>(), 1_000, seed);
        campaign(
            Dialect::OpenMetrics,
            &openmetrics.iter().map(String::as_str).collect::<Vec<_>>(),
            1_000,
            seed,
        );
    });
}

#[test]
fn a_real_body_a_second_later_is_not_parsed() {
    let mut subject = Subject::new(Dialect::Text);
    subject.read(NODE_0.as_bytes());
    let stats = subject.delta.decode(NODE_1.as_bytes(), &mut subject.recorder).unwrap();
    assert_eq!((stats.samples, stats.repaired, stats.layout_changed), (507, 0, false));
    assert!((350..507).contains(&stats.unchanged), "{stats:?}");
    let stats = subject.delta.decode(NODE_1.as_bytes(), &mut subject.recorder).unwrap();
    assert!(stats.unchanged > 450, "only lines whose value has grown or shrunk are parsed: {stats:?}");
}
