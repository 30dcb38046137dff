//! What Prometheus' documentation says of each action, case by case.

use super::*;
use crate::allocations;

type Labels<'a> = &'a [(&'a str, &'a str)];

/// Rules in the spelling of a configuration: `key=value` words, sources divided by commas.
fn rule(text: &str) -> RelabelConfig {
    let mut config = RelabelConfig::default();
    for (key, value) in text.split_whitespace().map(|word| word.split_once('=').unwrap()) {
        match key {
            "action" => config.action = Action::parse(value).unwrap(),
            "source" => config.source_labels = value.split(',').map(str::to_owned).collect(),
            "separator" => config.separator = value.to_owned(),
            "regex" => config.regex = value.to_owned(),
            "modulus" => config.modulus = value.parse().unwrap(),
            "target" => config.target_label = value.to_owned(),
            "replacement" => config.replacement = value.to_owned(),
            _ => panic!("{key}"),
        }
    }
    config
}

#[track_caller]
fn check(rules: &[&str], labels: Labels<'_>, expected: Option<Labels<'_>>) {
    let rules = Rules::compile(&rules.iter().map(|text| rule(text)).collect::<Vec<_>>()).unwrap();
    let (mut set, mut scratch) = (labels.iter().copied().collect::<LabelSet>(), Scratch::default());
    let kept = rules.apply(&mut set, &mut scratch);
    assert_eq!(kept.then(|| set.iter().collect::<Vec<_>>()).as_deref(), expected);
}

const ABC: Labels<'_> = &[("a", "foo"), ("b", "bar"), ("c", "baz")];

#[test]
fn replace_writes_where_the_whole_matches() {
    let set = |d| Some([ABC, &[("d", d)]].concat());
    for (text, d) in [
        ("source=a target=d regex=f(.*) replacement=ch${1}-ch${1}", Some("choo-choo")),
        ("source=a,b target=d regex=f(.*);(.*)r replacement=b${1}${2}m", Some("boobam")),
        ("source=a,b separator=/ target=d", Some("foo/bar")),
        ("source=a,none,b target=d", Some("foo;;bar")),
        ("source=a target=d regex=o", None),
        ("source=a target=d regex=o.* replacement=x", None),
        ("target=d replacement=fixed", Some("fixed")),
        ("source=a target=d regex=.*(b).* replacement=$1", None),
    ] {
        match d {
            Some(d) => check(&[text], ABC, set(d).as_deref()),
            None => check(&[text], ABC, Some(ABC)),
        }
    }
    check(
        &["source=a target=b regex=(.*) replacement=x$1"],
        ABC,
        Some(&[("a", "foo"), ("b", "xfoo"), ("c", "baz")]),
    );
}

#[test]
fn replace_with_nothing_takes_the_label_out() {
    check(&["source=a target=a regex=f(.*) replacement="], ABC, Some(&ABC[1..]));
    check(&["source=none target=a"], ABC, Some(&ABC[1..]));
    check(&["source=a target=new replacement="], ABC, Some(ABC));
}

#[test]
fn the_target_of_replace_may_have_groups() {
    let labels = &[("a", "some-name-value")][..];
    let with = |name, value| Some(vec![("a", "some-name-value"), (name, value)]);
    let text = "source=a regex=some-([^-]+)-([^,]+)";
    check(&[&format!("{text} replacement=${{2}} target=${{1}}")], labels, with("name", "value").as_deref());
    check(&[&format!("{text} replacement=${{2}} target=x_$1")], labels, with("x_name", "value").as_deref());
    // A target that comes out empty is no label, and nothing happens.
    check(&[&format!("{text} replacement=${{2}} target=${{3}}")], labels, Some(labels));
    // Any text is a name since Prometheus 3.
    check(
        &["source=a regex=(.*)-v.* target=$1.é replacement=1"],
        labels,
        with("some-name.é", "1").as_deref(),
    );
}

#[test]
fn rules_see_what_those_before_have_done() {
    check(
        &["source=a target=b replacement=${1}1", "source=b target=b replacement=${1}2", "source=b target=c"],
        &[("a", "x")],
        Some(&[("a", "x"), ("b", "x12"), ("c", "x12")]),
    );
    check(&["action=drop source=a", "target=b replacement=unseen"], ABC, None);
}

#[test]
fn keep_and_drop_look_at_the_whole_value() {
    check(&["action=drop source=a regex=.*o.*"], ABC, None);
    check(&["action=drop source=a regex=o"], ABC, Some(ABC));
    check(&["action=keep source=a regex=o"], ABC, None);
    check(&["action=keep source=a regex=fo+"], ABC, Some(ABC));
    check(&["action=keep source=a,b regex=foo;bar"], ABC, Some(ABC));
    check(&["action=keep source=none regex="], ABC, Some(ABC));
    check(&["action=drop source=none regex=.+"], ABC, Some(ABC));
}

#[test]
fn equal_values_keep_and_drop() {
    let same = &[("a", "main"), ("b", "main"), ("c", "other")][..];
    check(&["action=dropequal source=a target=b"], same, None);
    check(&["action=dropequal source=a target=c"], same, Some(same));
    check(&["action=keepequal source=a target=b"], same, Some(same));
    check(&["action=keepequal source=a target=c"], same, None);
    // Both are empty.
    check(&["action=keepequal source=x target=y"], same, Some(same));
    check(&["action=dropequal source=a target=y"], same, Some(same));
}

#[test]
fn hashmod_is_that_of_prometheus() {
    check(&["action=hashmod source=c target=d modulus=1000"], ABC, Some(&[ABC, &[("d", "976")]].concat()));
    let lines = &[("a", "foo\nbar")][..];
    check(
        &["action=hashmod source=a target=b modulus=1000"],
        lines,
        Some(&[lines, &[("b", "734")]].concat()),
    );
    check(
        &["action=hashmod source=none target=b modulus=1000"],
        lines,
        Some(&[lines, &[("b", "958")]].concat()),
    );
    check(
        &["action=hashmod source=a,b target=s modulus=8"],
        &[("a", "a"), ("b", "b")],
        Some(&[("a", "a"), ("b", "b"), ("s", "2")]),
    );
}

#[test]
fn labelmap_copies_by_name() {
    let labels = &[("__meta_a", "1"), ("__meta_b", "2"), ("c", "3")][..];
    let mapped = &[("__meta_a", "1"), ("__meta_b", "2"), ("a", "1"), ("b", "2"), ("c", "3")][..];
    check(&["action=labelmap regex=__meta_(.+)"], labels, Some(mapped));
    check(
        &["action=labelmap regex=__meta_(.+) replacement=c"],
        &[("__meta_a", "1"), ("c", "3")],
        Some(&[("__meta_a", "1"), ("c", "1")]),
    );
    check(&["action=labelmap regex=c(.*)"], &[("c", "3")], Some(&[("c", "3")]));
    // What was copied is not copied again.
    check(&["action=labelmap regex=(.*) replacement=x_$1"], &[("a", "1")], Some(&[("a", "1"), ("x_a", "1")]));
}

#[test]
fn labels_go_and_stay_by_name() {
    check(&["action=labeldrop regex=b|c"], ABC, Some(&ABC[..1]));
    check(&["action=labelkeep regex=b|c"], ABC, Some(&ABC[1..]));
    check(&["action=labeldrop regex=.*"], ABC, Some(&[]));
    check(&["action=labelkeep regex=.*"], ABC, Some(ABC));
}

#[test]
fn case_changes_a_character_at_a_time_as_in_go() {
    check(
        &["action=lowercase source=a target=b"],
        &[("a", "HÉllo İ")],
        Some(&[("a", "HÉllo İ"), ("b", "héllo i")]),
    );
    check(
        &["action=uppercase source=a,a target=b"],
        &[("a", "straße")],
        Some(&[("a", "straße"), ("b", "STRAßE;STRAßE")]),
    );
    check(
        &["action=uppercase source=a target=a"],
        &[("a", "\u{1f80}\u{1fb3}")],
        Some(&[("a", "\u{1f88}\u{1fbc}")]),
    );
    check(&["action=lowercase source=none target=a"], ABC, Some(&ABC[1..]));
}

#[test]
fn no_rules_keep_all_as_it_is() {
    assert!(Rules::default().is_empty());
    check(&[], ABC, Some(ABC));
}

#[track_caller]
fn fails(text: &str, key: &str, message: &str) {
    let error = Rules::compile(&[rule("target=ok"), rule(text)]).unwrap_err();
    assert_eq!((error.rule, error.key, &*error.message), (1, key, message), "{text}");
}

#[test]
fn a_rule_without_meaning_is_named_with_its_key() {
    fails("source=a", "target_label", "action `replace` needs a `target_label`");
    fails("action=hashmod target=a", "modulus", "action `hashmod` needs a `modulus` above 0");
    fails("action=hashmod modulus=2", "target_label", "action `hashmod` needs a `target_label`");
    fails("action=keepequal source=a", "target_label", "action `keepequal` needs a `target_label`");
    fails(
        "action=labelmap replacement=",
        "replacement",
        "action `labelmap` needs a `replacement` that is a label name",
    );
    fails(
        "action=uppercase target=a replacement=b",
        "replacement",
        "action `uppercase` takes no `replacement`",
    );
    fails(
        "action=dropequal target=a regex=b",
        "regex",
        "action `dropequal` takes only `source_labels` and `target_label`",
    );
    fails(
        "action=keepequal target=a separator=,",
        "separator",
        "action `keepequal` takes only `source_labels` and `target_label`",
    );
    fails("action=labeldrop source=a", "source_labels", "action `labeldrop` takes only `regex`");
    fails("action=labelkeep target=a", "target_label", "action `labelkeep` takes only `regex`");
    fails("action=keep regex=(", "regex", "`(` is no regular expression: unclosed group");
}

#[test]
fn every_action_is_known_in_any_case() {
    for (name, action) in Action::NAMES {
        assert_eq!((Action::parse(name), Action::parse(&name.to_uppercase())), (Some(action), Some(action)));
        assert_eq!(action.name(), name);
    }
    assert_eq!(Action::parse("labelmove"), None);
}

#[test]
fn a_set_is_sorted_and_has_each_name_once() {
    let mut set: LabelSet = [("b", "1"), ("a", "2"), ("b", "3"), ("c", "")].into_iter().collect();
    assert_eq!(set.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
    assert_eq!((set.get("b"), set.get("c"), set.len()), ("3", "", 2));
    set.set("a", "");
    set.remove("none");
    assert_eq!(set.iter().collect::<Vec<_>>(), [("b", "3")]);
    set.clear();
    set.set("x", "y");
    assert_eq!(set, [("x", "y")].into_iter().collect());
}

#[test]
fn warm_rules_allocate_nothing() {
    let rules = [
        "source=a,b regex=(f.*);(.*) target=x_$1 replacement=${2}-$1",
        "action=keep source=a regex=f.+|\\d{3}",
        "action=drop source=b regex=(x|y)+z",
        "action=keepequal source=a target=a",
        "action=dropequal source=a target=b",
        "action=hashmod source=a,c target=shard modulus=16",
        "action=labelmap regex=(a|b) replacement=mapped_$1",
        "action=lowercase source=upper target=upper",
        "action=uppercase source=b target=b",
        "action=labeldrop regex=c|mapped_b",
        "action=labelkeep regex=.*",
    ];
    let rules = Rules::compile(&rules.map(rule)).unwrap();
    let (mut set, mut scratch) = (LabelSet::default(), Scratch::default());
    let mut kept = 0;
    let mut before = 0;
    for window in 0..61 {
        // What was allocated by then is for the first.
        if window == 1 {
            before = allocations::count();
        }
        for labels in [ABC, &[("a", "fx"), ("upper", "ÄÖ"), ("b", "xyz")], &[("a", "123"), ("c", "y")]] {
            set.clear();
            for (name, value) in labels {
                set.set(name, value);
            }
            kept += usize::from(rules.apply(&mut set, &mut scratch));
        }
    }
    assert_eq!((kept, allocations::count() - before), (61 * 2, 0));
}
