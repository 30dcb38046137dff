//! Rules that reduce series before they are exported, as the core takes them.

use std::{fmt::Display, str::FromStr, time::Duration};

use observer_aggregate::stream::{Engine, Grouping, Output, Rule, Top};

use super::{
    keys::AggregateKeys,
    section::{At, Section as _},
    selector,
    yaml::Fault,
};

/// One entry of `aggregate`, the `number`th.
pub(super) fn rule(keys: AggregateKeys<'_>, number: usize) -> Result<Rule, Fault> {
    let node = keys.place();
    let needed = |key: &str| node.fault(format!("a rule without `{key}`"));
    let name = keys.name.map_or_else(|| number.to_string(), |at| at.value);
    let interval = seconds(&keys.interval.ok_or_else(|| needed("interval"))?)?;
    let outputs = keys.outputs.ok_or_else(|| needed("outputs"))?.value;
    let outputs = outputs.iter().map(word::<Output>).collect::<Result<_, _>>()?;
    let mut rule = Rule::new(name, interval, outputs);
    if let Some(At { node, value }) = keys.selector {
        rule.matchers = selector::parse(&value).map_err(|message| node.fault(message))?;
    }
    rule.grouping = match (keys.by, keys.without) {
        (Some(_), Some(without)) => return Err(without.node.fault("`without` together with `by`")),
        (Some(by), None) => Grouping::By(by.value),
        (None, without) => Grouping::Without(without.map(|at| at.value).unwrap_or_default()),
    };
    rule.output_name = keys.output_name.map(|at| at.value);
    rule.keep_input = keys.keep_input.map_or(rule.keep_input, |at| at.value);
    if let Some(staleness) = keys.staleness {
        rule.staleness_windows = seconds(&staleness)?;
    }
    rule.ignore_first = keys.ignore_first.map_or(rule.ignore_first, |at| at.value);
    rule.max_groups = keys.max_groups.map_or(rule.max_groups, |at| at.value);
    if let Some(At { node, value: top }) = keys.topk {
        let k = top.k.ok_or_else(|| node.fault("`topk` without `k`"))?.value;
        let by = word(&top.by.ok_or_else(|| node.fault("`topk` without `by`"))?)?;
        rule.top = Some(Top { k, by });
    }
    // The core knows what it can use.
    match Engine::new(vec![rule.clone()]) {
        Ok(_) => Ok(rule),
        Err(error) => Err(node.fault(error.to_string())),
    }
}

fn word<T: FromStr<Err: Display>>(At { node, value }: &At<'_, String>) -> Result<T, Fault> {
    value.parse().map_err(|error: T::Err| node.fault(error.to_string()))
}

/// A number of windows, which are a second each.
fn seconds(At { node, value }: &At<'_, Duration>) -> Result<u32, Fault> {
    match (u32::try_from(value.as_secs()), value.subsec_nanos()) {
        (Ok(seconds), 0) => Ok(seconds),
        _ => Err(node.fault("expected whole seconds, at most 136 years of them")),
    }
}
