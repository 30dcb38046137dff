//! Which series a rule is about.

use regex_automata::meta::{BuildError, Regex};

use super::{
    error::Reason,
    rule::{Matcher, Op},
};

/// The label that stands for the metric's name.
pub(super) const NAME: &str = "__name__";

/// The most memory that an expression may take before it matches anything: repetitions of repetitions multiply.
const MAX_BYTES: usize = 10 << 20;

/// The conditions of a selector, those on the name first: they decide most series.
#[derive(Debug)]
pub struct Conditions(Vec<Condition>);

#[derive(Debug)]
struct Condition {
    label: String,
    test: Test,
    /// Whether the series is taken when the test holds.
    holds: bool,
}

#[derive(Debug)]
enum Test {
    Equal(String),
    Regex(Regex),
}

impl Conditions {
    /// Prepares the matchers of one selector.
    ///
    /// # Errors
    /// When a regular expression is none, or too large.
    pub fn compile(matchers: Vec<Matcher>) -> Result<Self, Reason> {
        let mut conditions = matchers.into_iter().map(Condition::compile).collect::<Result<Vec<_>, _>>()?;
        conditions
            .sort_by_key(|condition| (condition.label != NAME, matches!(condition.test, Test::Regex(_))));
        Ok(Self(conditions))
    }

    /// Whether a series of that name with those labels, values unescaped, meets all of them.
    #[must_use]
    pub fn hold(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.0.iter().all(|condition| {
            let value = if condition.label == NAME {
                name
            } else {
                labels.iter().find(|(label, _)| *label == condition.label).map_or("", |(_, value)| value)
            };
            condition.holds
                == match &condition.test {
                    Test::Equal(expected) => value == expected,
                    Test::Regex(regex) => regex.is_match(value),
                }
        })
    }
}

impl Condition {
    fn compile(matcher: Matcher) -> Result<Self, Reason> {
        let Matcher { name: label, op, value } = matcher;
        let test = match op {
            Op::Equal | Op::NotEqual => Test::Equal(value),
            // As in Prometheus, the whole value must match and a dot also takes a line feed. By itself the expression must be
            // one too: `a)|(b` is none.
            Op::Regex | Op::NotRegex => {
                let value = ascii_classes(&value);
                let compile = |text: &str| {
                    let config = Regex::config().nfa_size_limit(Some(MAX_BYTES));
                    Regex::builder()
                        .configure(config)
                        .build(text)
                        .map_err(|e| Reason::Regex { label: label.clone(), error: explain(&e) })
                };
                compile(&value)?;
                Test::Regex(compile(&format!("^(?s:{value})$"))?)
            }
        };
        Ok(Self { label, test, holds: matches!(op, Op::Equal | Op::Regex) })
    }
}

/// The expression with its classes spelt out, which in Prometheus are of ASCII letters only.
fn ascii_classes(expression: &str) -> String {
    let mut spelt = String::with_capacity(expression.len());
    let mut chars = expression.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            spelt.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => spelt.push_str("[0-9]"),
            Some('D') => spelt.push_str("[^0-9]"),
            Some('w') => spelt.push_str("[0-9A-Za-z_]"),
            Some('W') => spelt.push_str("[^0-9A-Za-z_]"),
            Some('s') => spelt.push_str("[\\t\\n\\f\\r ]"),
            Some('S') => spelt.push_str("[^\\t\\n\\f\\r ]"),
            Some('b') => spelt.push_str("(?-u:\\b)"),
            Some('B') => spelt.push_str("(?-u:\\B)"),
            escaped => {
                spelt.push('\\');
                spelt.extend(escaped);
            }
        }
    }
    spelt
}

fn explain(error: &BuildError) -> String {
    if error.size_limit().is_some() {
        return format!("it takes more than {} MiB: repeat less", MAX_BYTES >> 20);
    }
    let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(matchers: &[(&str, Op, &str)], expected: bool) {
        let matcher = |&(name, op, value): &(&str, Op, &str)| Matcher {
            name: name.to_owned(),
            op,
            value: value.to_owned(),
        };
        let conditions = Conditions::compile(matchers.iter().map(matcher).collect()).unwrap();
        assert_eq!(conditions.hold("up", &[("job", "node"), ("note", "a\nb")]), expected, "{matchers:?}");
    }

    #[test]
    fn all_conditions_must_hold() {
        check(&[], true);
        check(&[("job", Op::Equal, "node"), (NAME, Op::Equal, "up")], true);
        check(&[("job", Op::Equal, "node"), (NAME, Op::Equal, "down")], false);
    }

    #[test]
    fn each_way_to_compare() {
        check(&[("job", Op::NotEqual, "node")], false);
        check(&[("job", Op::NotEqual, "other")], true);
        check(&[("job", Op::Regex, "n.de|x")], true);
        check(&[("job", Op::NotRegex, "n.de|x")], false);
    }

    #[test]
    fn expressions_match_the_whole_value() {
        check(&[("job", Op::Regex, "nod")], false);
        check(&[("job", Op::Regex, "ode|x")], false);
        check(&[("note", Op::Regex, "a.b")], true);
    }

    #[test]
    fn classes_are_of_ascii_letters() {
        let matches = |value: &str, text: &str| {
            let matcher = Matcher { name: "a".to_owned(), op: Op::Regex, value: value.to_owned() };
            Conditions::compile(vec![matcher]).unwrap().hold("up", &[("a", text)])
        };
        assert!(matches(r"\d+[\d.]", "12."));
        assert!(!matches(r"\d", "\u{663}"));
        assert!(matches(r"[^\s]\S\W\w\\d", r"ab-cd".replace("cd", r"c\d").as_str()));
        assert!(matches(r"\bx\b.+", "x é"));
        assert!(matches(r"\pL+", "é"));
    }

    #[test]
    fn a_missing_label_is_empty() {
        check(&[("pod", Op::Equal, "")], true);
        check(&[("pod", Op::Regex, ".*")], true);
        check(&[("pod", Op::Regex, ".+")], false);
        check(&[("pod", Op::NotEqual, "")], false);
    }

    #[test]
    fn a_broken_expression_is_refused_with_its_reason() {
        for value in ["(", "a)|(b"] {
            let matcher = Matcher { name: "job".to_owned(), op: Op::Regex, value: value.to_owned() };
            let Err(Reason::Regex { label, error }) = Conditions::compile(vec![matcher]) else {
                panic!("`{value}` is accepted");
            };
            assert_eq!(label, "job");
            assert!(error.contains("group"), "{error}");
        }
    }

    #[test]
    fn an_expression_that_takes_too_much_memory_is_refused() {
        let matcher =
            Matcher { name: "job".to_owned(), op: Op::Regex, value: "((a{99}){99}){99}".to_owned() };
        let Err(Reason::Regex { error, .. }) = Conditions::compile(vec![matcher]) else {
            panic!("it is accepted");
        };
        assert!(error.contains("more than 10 MiB"), "{error}");
    }
}
