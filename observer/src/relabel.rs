//! Relabelling: rules that rewrite a set of labels or drop what carries it, with Prometheus' meaning.
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config>

mod apply;
mod pattern;

pub(crate) use observer_export::labels::Labels as LabelSet;

pub(crate) use self::apply::Scratch;
use self::pattern::{Pattern, Template};

/// One entry of `relabel_configs` or `metric_relabel_configs`, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelabelConfig {
    /// `action`
    pub(crate) action: Action,
    /// `source_labels`: their values, joined, are what the other keys look at.
    pub(crate) source_labels: Vec<String>,
    /// `separator`: what stands between the values.
    pub(crate) separator: String,
    /// `regex`: always matched against the whole.
    pub(crate) regex: String,
    /// `modulus`: what `hashmod` divides by.
    pub(crate) modulus: u64,
    /// `target_label`
    pub(crate) target_label: String,
    /// `replacement`: what `replace` writes, and the new name of `labelmap`; `$1` and `${name}` are groups of the expression.
    pub(crate) replacement: String,
}

impl Default for RelabelConfig {
    fn default() -> Self {
        Self {
            action: Action::Replace,
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            regex: "(.*)".to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: "$1".to_owned(),
        }
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Where the expression matches, the target label becomes the replacement.
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops that whose joined values are not the target label's.
    KeepEqual,
    /// Drops that whose joined values are the target label's.
    DropEqual,
    /// The target label becomes the hash of the joined values, modulo.
    HashMod,
    /// Labels whose name matches are copied to the name that the replacement makes.
    LabelMap,
    /// Labels whose name matches go.
    LabelDrop,
    /// Labels whose name does not match go.
    LabelKeep,
    /// The target label becomes the joined values in lower case.
    Lowercase,
    /// The target label becomes the joined values in upper case.
    Uppercase,
}

impl Action {
    /// Every action, by the name that a configuration has for it.
    pub(crate) const NAMES: [(&str, Self); 11] = [
        ("replace", Self::Replace),
        ("keep", Self::Keep),
        ("drop", Self::Drop),
        ("keepequal", Self::KeepEqual),
        ("dropequal", Self::DropEqual),
        ("hashmod", Self::HashMod),
        ("labelmap", Self::LabelMap),
        ("labeldrop", Self::LabelDrop),
        ("labelkeep", Self::LabelKeep),
        ("lowercase", Self::Lowercase),
        ("uppercase", Self::Uppercase),
    ];

    /// Prometheus does not mind the case of an action.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find_map(|(known, action)| known.eq_ignore_ascii_case(name).then_some(action))
    }

    fn name(self) -> &'static str {
        Self::NAMES
            .into_iter()
            .find_map(|(name, action)| (action == self).then_some(name))
            .unwrap_or_default()
    }
}

/// Why a rule has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct RuleError {
    /// Which rule, from 0.
    pub(crate) rule: usize,
    /// The key that is wrong or missing.
    pub(crate) key: &'static str,
    /// What is wrong with it.
    pub(crate) message: String,
}

/// Rules that are applied one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    sources: Vec<String>,
    separator: String,
    does: Does,
}

/// An action with what it needs, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Does {
    Replace { pattern: Pattern, target: Template, replacement: Template },
    Filter { pattern: Pattern, keep: bool },
    Compare { target: String, keep: bool },
    HashMod { target: String, modulus: u64 },
    Case { target: String, upper: bool },
    Map { pattern: Pattern, replacement: Template },
    Names { pattern: Pattern, keep: bool },
}

impl Rules {
    /// Understands the rules, or says which is wrong where.
    pub(crate) fn compile(rules: &[RelabelConfig]) -> Result<Self, RuleError> {
        let located = |(rule, config): (usize, &RelabelConfig)| {
            compile(config).map_err(|(key, message)| RuleError { rule, key, message })
        };
        rules.iter().enumerate().map(located).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is no rule.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Rewrites the labels; false if what carries them is dropped, and then they are as far as the rules got.
    /// Allocates nothing once the set and the scratch have seen labels of this size.
    pub(crate) fn apply(&self, labels: &mut LabelSet, scratch: &mut Scratch) -> bool {
        self.0.iter().all(|rule| rule.apply(labels, scratch))
    }
}

/// Prometheus 3 takes any text for the name of a label.
fn is_label_name(name: &str) -> bool {
    !name.is_empty()
}

fn compile(config: &RelabelConfig) -> Result<Rule, (&'static str, String)> {
    check(config)?;
    let RelabelConfig { action, source_labels, separator, regex, modulus, target_label, replacement } =
        config;
    let pattern = || Pattern::new(regex).map_err(|error| ("regex", error));
    let target = target_label.clone();
    let does = match action {
        Action::Replace => {
            let pattern = pattern()?;
            Does::Replace {
                target: Template::new(target_label, &pattern),
                replacement: Template::new(replacement, &pattern),
                pattern,
            }
        }
        Action::Keep | Action::Drop => {
            Does::Filter { pattern: pattern()?, keep: matches!(action, Action::Keep) }
        }
        Action::KeepEqual | Action::DropEqual => {
            Does::Compare { target, keep: matches!(action, Action::KeepEqual) }
        }
        Action::HashMod => Does::HashMod { target, modulus: *modulus },
        Action::Lowercase | Action::Uppercase => {
            Does::Case { target, upper: matches!(action, Action::Uppercase) }
        }
        Action::LabelMap => {
            let pattern = pattern()?;
            Does::Map { replacement: Template::new(replacement, &pattern), pattern }
        }
        Action::LabelDrop | Action::LabelKeep => {
            Does::Names { pattern: pattern()?, keep: matches!(action, Action::LabelKeep) }
        }
    };
    Ok(Rule { sources: source_labels.clone(), separator: separator.clone(), does })
}

/// What Prometheus refuses, in its order.
fn check(config: &RelabelConfig) -> Result<(), (&'static str, String)> {
    use Action as A;
    let default = RelabelConfig::default();
    let action = config.action;
    let name = action.name();
    let changed = [
        ("source_labels", !config.source_labels.is_empty()),
        ("separator", config.separator != default.separator),
        ("regex", config.regex != default.regex),
        ("modulus", config.modulus != default.modulus),
        ("target_label", config.target_label != default.target_label),
        ("replacement", config.replacement != default.replacement),
    ];
    let only = |keys: &[&str]| match changed.into_iter().find(|(key, said)| *said && !keys.contains(key)) {
        Some((key, _)) => Err((key, format!("action `{name}` takes only {}", list(keys)))),
        None => Ok(()),
    };
    let needs_target = !matches!(action, A::Keep | A::Drop | A::LabelMap | A::LabelDrop | A::LabelKeep);
    if action == A::HashMod && config.modulus == 0 {
        return Err(("modulus", "action `hashmod` needs a `modulus` above 0".to_owned()));
    }
    if needs_target && !is_label_name(&config.target_label) {
        return Err(("target_label", format!("action `{name}` needs a `target_label`")));
    }
    if action == A::LabelMap && !is_label_name(&config.replacement) {
        return Err((
            "replacement",
            "action `labelmap` needs a `replacement` that is a label name".to_owned(),
        ));
    }
    match action {
        A::Lowercase | A::Uppercase if config.replacement != default.replacement => {
            Err(("replacement", format!("action `{name}` takes no `replacement`")))
        }
        A::KeepEqual | A::DropEqual => only(&["source_labels", "target_label"]),
        A::LabelDrop | A::LabelKeep => only(&["regex"]),
        _ => Ok(()),
    }
}

fn list(keys: &[&str]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests;
