//! Groups of targets, as `static_configs` and the files and servers that name targets write them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    Problem,
    keys::StaticKeys,
    section::Value as _,
    yaml::{self, Document, Fault},
};

/// Targets with what they have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Group {
    /// `host` or `host:port`.
    #[serde(deserialize_with = "targets")]
    pub(crate) targets: Vec<String>,
    /// Labels of all of them.
    #[serde(deserialize_with = "labels")]
    pub(crate) labels: Vec<(String, String)>,
}

/// Reads a list of groups; as JSON if the name of the file says so, else as YAML.
pub(crate) fn read_groups(file: &str, text: &str) -> Result<Vec<Group>, Problem> {
    if file.to_ascii_lowercase().ends_with(".json") {
        parse_json_groups(file, text)
    } else {
        yaml(text).map_err(|fault| fault.within(file))
    }
}

/// Reads a list of groups in JSON.
pub(crate) fn parse_json_groups(file: &str, text: &str) -> Result<Vec<Group>, Problem> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        // It ends with the place, which a problem says first.
        let message =
            message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message).to_owned();
        Problem { file: file.to_owned(), line, column, message }
    })
}

fn yaml(text: &str) -> Result<Vec<Group>, Fault> {
    let document = yaml::root(text)?;
    let Some(node) = document.as_ref().map(Document::node) else { return Ok(Vec::new()) };
    let groups: Vec<StaticKeys<'_>> = Vec::read(node, &mut Vec::new())?;
    Ok(groups.into_iter().map(|keys| Group::new(&keys)).collect())
}

impl Group {
    pub(super) fn new(keys: &StaticKeys<'_>) -> Self {
        let targets =
            keys.targets.iter().flat_map(|at| &at.value).map(|target| target.value.clone()).collect();
        let labels = keys.labels.as_ref().map(|at| at.value.0.clone()).unwrap_or_default();
        Self { targets, labels }
    }

    /// Sets a label of all targets.
    pub(crate) fn set_label(&mut self, name: &str, value: &str) {
        self.labels.retain(|(other, _)| other != name);
        self.labels.push((name.to_owned(), value.to_owned()));
    }
}

/// Servers in Go write `null` for an empty list or map.
fn targets<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(list)?.unwrap_or_default())
}

/// A map, each name once, sorted.
fn labels<'de, D: Deserializer<'de>>(map: D) -> Result<Vec<(String, String)>, D::Error> {
    let map = Option::<BTreeMap<String, String>>::deserialize(map)?.unwrap_or_default();
    match map.contains_key("") {
        true => Err(D::Error::custom("a label without a name")),
        false => Ok(map.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_give_the_same() {
        let expected = vec![
            Group { targets: vec!["a:1".into(), "b".into()], labels: vec![("x".into(), "1.10".into())] },
            Group { targets: vec!["c".into()], labels: Vec::new() },
        ];
        let yaml = "- targets: ['a:1', b]\n  labels: {x: 1.10}\n- targets: [c]\n";
        let json = r#"[{"targets": ["a:1", "b"], "labels": {"x": "1.10"}}, {"targets": ["c"]}]"#;
        assert_eq!(read_groups("a.yml", yaml).unwrap(), expected);
        assert_eq!(read_groups("a.json", json).unwrap(), expected);
        let null = r#"[{"targets": null, "labels": null}]"#;
        assert_eq!(read_groups("a.json", null).unwrap(), [Group::default()]);
        assert_eq!(read_groups("empty.yml", "").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (file, text, expected) in [
            ("a.yml", "- target: [x]\n", "a.yml:1:3: unknown key `target`; did you mean `targets`?"),
            ("a.yml", "targets: [x]\n", "a.yml:1:1: expected a list"),
            ("a.json", "[{\"targets\": [1]}]", "a.json:1:15: invalid type: integer `1`, expected a string"),
            ("a.json", "[\n{\"labels\": {\"\": \"x\"}}]", "a.json:2:21: a label without a name"),
        ] {
            assert_eq!(read_groups(file, text).unwrap_err().to_string(), expected);
        }
        assert_eq!((read_groups("a.json", "[{\"other\": []}]").unwrap_err().line, 1), (1, 1));
    }
}
