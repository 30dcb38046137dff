//! What the agent says about itself: attributes of OpenTelemetry's conventions.
//! <https://opentelemetry.io/docs/specs/semconv/resource/>

use std::{fs, path::Path};

/// Variables of the environment that a pod's specification can fill, and the attributes they become.
const VARIABLES: [(&str, &str); 8] = [
    ("NODE_NAME", "k8s.node.name"),
    ("K8S_NODE_NAME", "k8s.node.name"),
    ("POD_NAME", "k8s.pod.name"),
    ("K8S_POD_NAME", "k8s.pod.name"),
    ("POD_NAMESPACE", "k8s.namespace.name"),
    ("K8S_NAMESPACE_NAME", "k8s.namespace.name"),
    ("POD_UID", "k8s.pod.uid"),
    ("K8S_CLUSTER_NAME", "k8s.cluster.name"),
];

/// Attributes of the agent's resource; of several with one name the first counts.
pub(crate) fn attributes() -> Vec<(String, String)> {
    of(&|name| std::env::var(name).ok(), Path::new("/"))
}

fn of(variable: &dyn Fn(&str) -> Option<String>, root: &Path) -> Vec<(String, String)> {
    let read = |path: &str| {
        let text = fs::read_to_string(root.join(path)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let mut all = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            all.push((name.to_owned(), value));
        }
    };
    let node = variable("NODE_NAME").or_else(|| variable("K8S_NODE_NAME"));
    // In a pod the kernel's name is the pod's.
    let host = node.or_else(|| read("proc/sys/kernel/hostname"));
    let machine = read("etc/machine-id");
    add("service.name", variable("OTEL_SERVICE_NAME"));
    let listed = variable("OTEL_RESOURCE_ATTRIBUTES").and_then(|text| listed(&text));
    for (name, value) in listed.unwrap_or_default() {
        add(&name, Some(value));
    }
    add("service.name", Some("observer".to_owned()));
    add("service.version", Some(env!("CARGO_PKG_VERSION").to_owned()));
    add("service.instance.id", host.clone().or_else(|| machine.clone()));
    add("host.name", host);
    add("host.id", machine);
    add("host.arch", Some(arch().to_owned()));
    add("os.type", Some("linux".to_owned()));
    for (name, attribute) in VARIABLES {
        add(attribute, variable(name));
    }
    all
}

/// `key=value,key=value`, each percent-encoded where it has to be; nothing if one of them is no pair
/// (<https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable>).
pub(crate) fn listed(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        let key = super::frame::unpercent(key.trim());
        (!key.is_empty()).then(|| (key, super::frame::unpercent(value.trim())))
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

/// The processor in OpenTelemetry's words.
const fn arch() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        std::env::consts::ARCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(all: &'a [(String, String)], name: &str) -> Option<&'a str> {
        all.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    #[test]
    fn the_environment_says_more_than_the_host() {
        let variables = [
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod, service.name=other,a=b%2Cc,"),
            ("OTEL_SERVICE_NAME", "mine"),
            ("NODE_NAME", "node-7"),
            ("POD_NAME", ""),
        ];
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        let all = of(&variable, Path::new("/nowhere"));
        for (name, expected) in [
            ("service.name", Some("mine")),
            ("deployment.environment.name", Some("prod")),
            ("a", Some("b,c")),
            ("service.instance.id", Some("node-7")),
            ("k8s.node.name", Some("node-7")),
            ("k8s.pod.name", None),
            ("host.id", None),
            ("os.type", Some("linux")),
        ] {
            assert_eq!(value(&all, name), expected, "{name}");
        }
    }

    #[test]
    fn a_list_is_taken_whole_or_not_at_all() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(listed(" a = b , c=d=e,"), Some(vec![pair("a", "b"), pair("c", "d=e")]));
        for broken in ["a", "a=b,c", "=b"] {
            assert_eq!(listed(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_host_without_an_environment_says_its_name() {
        let all = of(&|_| None, Path::new("/"));
        assert_eq!(value(&all, "service.name"), Some("observer"));
        assert!(value(&all, "host.name").is_some_and(|name| !name.contains('\n')));
    }
}
