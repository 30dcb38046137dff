//! The environment: `OBSERVER_SECTION__KEY` decides over the same key of the file.

use std::collections::BTreeMap;

use super::{
    section::Section,
    yaml::{Document, Fault, Node},
};

/// What all our variables begin with.
const PREFIX: &str = "OBSERVER_";

/// The sections whose keys may be in the environment.
const SECTIONS: [&str; 4] = ["global", "limits", "server", "export"];

/// Keys of the file that the environment decides over.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    variables: Vec<Variable>,
    /// Names that look like ours and are not.
    strangers: Vec<String>,
    /// Everything, for text that names a variable.
    all: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Variable {
    /// For messages.
    from: String,
    section: String,
    key: String,
    value: Document<'static>,
}

/// Whether Kubernetes makes such a variable for a service of our name.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_of_kubernetes(rest: &str) -> bool {
    rest == "PORT" || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|begin| rest.starts_with(begin))
}

impl Environment {
    /// Takes what is ours. `known` are the variables of flags, which the command line has read. An empty value says nothing.
    pub(crate) fn new(variables: impl IntoIterator<Item = (String, String)>, known: &[String]) -> Self {
        let mut this = Self { all: variables.into_iter().collect(), ..Self::default() };
        for (name, value) in &this.all {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            if value.is_empty() || known.contains(name) || is_of_kubernetes(rest) {
                continue;
            }
            match rest.to_ascii_lowercase().split_once("__") {
                Some((section, key)) if SECTIONS.contains(&section) => this.variables.push(Variable {
                    from: format!("environment variable `{name}`"),
                    section: section.to_owned(),
                    key: key.to_owned(),
                    value: Document::text(value),
                }),
                _ => this.strangers.push(name.clone()),
            }
        }
        this
    }

    /// Any variable's value.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.all.get(name).map(String::as_str)
    }

    /// Warnings about names that mean nothing.
    pub(super) fn strangers(&self) -> Vec<Fault> {
        let warning = |name: &String| {
            Fault::of(
                &format!("environment variable `{name}`"),
                format!(
                    "has no meaning; keys are `{PREFIX}SECTION__KEY` with a section of {}",
                    SECTIONS.join(", ")
                ),
            )
        };
        self.strangers.iter().map(warning).collect()
    }

    /// Puts variables in place of `$NAME` and `${NAME}`, nothing in place of those that there are not; `$$` is a `$`.
    /// <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#configuration-file>
    pub(super) fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let braced = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let (name, tail) = braced.unwrap_or_else(|| after.split_at(end));
            rest = match after.strip_prefix('$') {
                Some(escaped) => {
                    out.push('$');
                    escaped
                }
                None if name.is_empty() && braced.is_none() => {
                    out.push('$');
                    tail
                }
                None => {
                    out.push_str(self.all.get(name).map_or("", String::as_str));
                    tail
                }
            };
        }
        out.push_str(rest);
        out
    }

    /// Reads a section of the file, if it is there, and what the environment says over it.
    pub(super) fn section<'n, S: Section<'n>>(
        &'n self,
        name: &str,
        node: Option<Node<'n>>,
        warnings: &mut Vec<Fault>,
    ) -> Result<S, Fault> {
        let mut entries = match node {
            Some(node) => node.section(&S::TABLE, warnings)?,
            None => Vec::new(),
        };
        for variable in self.variables.iter().filter(|variable| variable.section == name) {
            let node = variable.value.node_from(&variable.from);
            if S::TABLE.keys.iter().any(|key| key.name == variable.key) {
                entries.push((&variable.key, node));
            } else {
                warnings.push(node.fault(S::TABLE.unknown(&variable.key)));
            }
        }
        S::from_entries(node, entries, warnings)
    }
}
