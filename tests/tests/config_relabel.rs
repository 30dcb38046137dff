//! Relabelling beside Prometheus' own: the same rules on the same targets, drawn at random, give the same labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    process::{self, Child, Command, Stdio},
};

use observer_tests::{daemon::tool, observer};
use serde_json::{Value, json};

/// How many jobs are drawn, each with rules of its own.
const JOBS: u32 = 60;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % n
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

const LABELS: [&str; 7] = ["a", "b", "c", "job", "instance", "__meta_m", "none"];
const TARGETS: [&str; 5] = ["a", "b", "new", "job", "instance"];
/// Without line feeds, which a dot takes only since Prometheus 3.
const VALUES: [&str; 11] =
    ["foo", "bar", "foo-bar", "Foo Bar", "123", "a", "b", "ÄÖ ß", "x{", "foo;bar", "x-y-z"];
const REGEXES: [&str; 24] = [
    "(.*)",
    "f(.*)",
    "(.+)-(.+)",
    "(.+?)-(.+)",
    "",
    "foo|bar",
    "[a-z]+",
    "\\d+",
    "(?i)FOO.*",
    "(a)|(b)",
    "[^0-9]*",
    ".{3}",
    "x{",
    "\\w+\\s\\w+",
    "(?P<name>f)oo(.*)",
    "foo.bar",
    "(.*);(.*)",
    "[[:alpha:]]+",
    "[a&&b-]+",
    "\\W+",
    "(?s:.)*",
    "foo\\b.*",
    "\\QFoo Bar\\E",
    "[\\w ]+",
];
const REPLACEMENTS: [&str; 10] =
    ["$1", "${1}-$2", "", "fixed", "$0x", "${0}", "$$1", "$10", "${name}-${2}", "é$1$"];
const ACTIONS: [&str; 11] = [
    "replace",
    "keep",
    "drop",
    "keepequal",
    "dropequal",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
];

fn rule(random: &mut Random) -> Value {
    let action = match random.below(2) {
        0 => "replace",
        _ => random.of(&ACTIONS),
    };
    let sources: Vec<_> = (0..=random.below(2)).map(|_| random.of(&LABELS)).collect();
    let (target, regex) = (random.of(&TARGETS), random.of(&REGEXES));
    match action {
        "replace" => json!({
            "source_labels": sources, "regex": regex, "target_label": target,
            "replacement": random.of(&REPLACEMENTS), "separator": random.of(&[";", "", "-"]),
        }),
        "keep" | "drop" => json!({"action": action, "source_labels": sources, "regex": regex}),
        "hashmod" => {
            json!({"action": action, "source_labels": sources, "target_label": target, "modulus": 1 + random.below(1000)})
        }
        "labelmap" => {
            json!({"action": action, "regex": random.of(&["__meta_(.+)", "(a|b)", "job", "n.*"]), "replacement": random.of(&["m_$1", "c", "${1}_m"])})
        }
        // Names that every job needs stay.
        "labeldrop" => json!({"action": action, "regex": random.of(&["a", "a|b", "n.*", "m_.*"])}),
        "labelkeep" => json!({"action": action, "regex": random.of(&["__.*|job", "__.*|[ab]"])}),
        _ => json!({"action": action, "source_labels": sources, "target_label": target}),
    }
}

fn job(number: u32, random: &mut Random) -> Value {
    let groups: Vec<_> = (0..8)
        .map(|at| {
            let mut labels = BTreeMap::new();
            for name in ["a", "b", "c", "__meta_m"] {
                if random.below(4) > 0 {
                    labels.insert(name, random.of(&VALUES));
                }
            }
            json!({"targets": [format!("h{at}:1")], "labels": labels})
        })
        .collect();
    let rules: Vec<_> = (0..1 + random.below(4)).map(|_| rule(random)).collect();
    json!({"job_name": format!("j{number}"), "static_configs": groups, "relabel_configs": rules})
}

type Targets = BTreeSet<BTreeMap<String, String>>;

/// The labels that the series of a target get.
fn labels(labels: &Value) -> BTreeMap<String, String> {
    let all: BTreeMap<String, String> = serde_json::from_value(labels.clone()).expect("names and values");
    all.into_iter().filter(|(name, _)| !name.starts_with("__")).collect()
}

/// Asks promtool, which takes the whole of its time whatever it finds: all of them run at once.
fn ask(promtool: &Path, file: &str, job: &str) -> Child {
    Command::new(promtool)
        .args(["check", "service-discovery", "--timeout=5s", file, job])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool can be started")
}

fn theirs(promtool: Child) -> Targets {
    let output = promtool.wait_with_output().expect("it ends by itself");
    let targets: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let kept =
        targets.iter().map(|target| &target["labels"]).filter(|labels| labels["__address__"].is_string());
    kept.map(labels).collect()
}

#[test]
fn prometheus_gives_the_same_labels() {
    let Some(promtool) = tool("promtool") else { return };
    let mut random = Random(1);
    let jobs: Vec<Value> = (0..JOBS).map(|number| job(number, &mut random)).collect();
    let path = env::temp_dir().join(format!("observer-relabel-{}.yml", process::id()));
    // JSON is YAML.
    let text = json!({"scrape_configs": jobs}).to_string();
    fs::write(&path, text).expect("the folder for temporary files can be written");
    let file = path.display().to_string();
    let output = Command::new(observer::binary())
        .args(["config", "check", "-o", "json", &file])
        .output()
        .expect("the agent can be started");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["valid"], true, "{report}");
    let own = report["jobs"].as_array().expect("a list");
    let asked: Vec<Child> =
        own.iter().map(|own| ask(&promtool, &file, own["name"].as_str().expect("text"))).collect();
    let mut kept = 0;
    for ((job, own), asked) in jobs.iter().zip(own).zip(asked) {
        let ours: Targets = own["targets"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|target| labels(&target["labels"]))
            .collect();
        assert_eq!(ours, theirs(asked), "{job:#}");
        kept += ours.len();
    }
    fs::remove_file(&path).expect("it is there");
    // Rules that drop everything would show nothing.
    assert!(kept > 100, "{kept}");
}
