//! Series selectors, as in PromQL: `name{label="value", other=~"a|b"}`.
//! <https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors>

use observer_aggregate::stream::{Matcher, Op};

/// In an order in which none is the begin of a later one.
const OPERATORS: [(&str, Op); 4] =
    [("=~", Op::Regex), ("!=", Op::NotEqual), ("!~", Op::NotRegex), ("=", Op::Equal)];

/// Reads a selector; an error says what was expected, and at which byte.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, String> {
    let mut rest = text;
    selector(&mut rest).map_err(|expected| {
        format!(
            "expected {expected} at character {} of `{text}`",
            text[..text.len() - rest.len()].chars().count() + 1
        )
    })
}

fn selector(rest: &mut &str) -> Result<Vec<Matcher>, &'static str> {
    let mut matchers = Vec::new();
    trim(rest);
    let name = word(rest, ":");
    if !name.is_empty() {
        matchers.push(Matcher { name: "__name__".to_owned(), op: Op::Equal, value: name.to_owned() });
    }
    if take(rest, "{") {
        while !take(rest, "}") {
            trim(rest);
            let name = match rest.starts_with(['"', '\'', '`']) {
                true => quoted(rest)?,
                false => word(rest, "").to_owned(),
            };
            if name.is_empty() {
                return Err("a label name or `}`");
            }
            let operator =
                OPERATORS.into_iter().find(|(sign, _)| take(rest, sign)).map(|(_, operator)| operator);
            matchers.push(match operator {
                Some(op) => {
                    trim(rest);
                    Matcher { name, op, value: quoted(rest)? }
                }
                // A quoted text alone is the name of the metric.
                None => Matcher { name: "__name__".to_owned(), op: Op::Equal, value: name },
            });
            if !take(rest, ",") && !rest.trim_start().starts_with('}') {
                return Err("an operator, `,` or `}`");
            }
        }
    }
    trim(rest);
    match rest.is_empty() {
        true if matchers.is_empty() && name.is_empty() => Ok(matchers),
        true => Ok(matchers),
        false => Err("the end"),
    }
}

fn trim(rest: &mut &str) {
    *rest = rest.trim_start();
}

fn take(rest: &mut &str, sign: &str) -> bool {
    trim(rest);
    match rest.strip_prefix(sign) {
        Some(tail) => {
            *rest = tail;
            true
        }
        None => false,
    }
}

/// A name of letters, digits, `_` and `also`, not beginning with a digit.
fn word<'t>(rest: &mut &'t str, also: &str) -> &'t str {
    let end = rest
        .char_indices()
        .find(|(at, c)| {
            !(c.is_ascii_alphabetic() || *c == '_' || also.contains(*c) || *at > 0 && c.is_ascii_digit())
        })
        .map_or(rest.len(), |(at, _)| at);
    let (word, tail) = rest.split_at(end);
    *rest = tail;
    word
}

/// Text in quotes; in backticks as it is.
fn quoted(rest: &mut &str) -> Result<String, &'static str> {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')).ok_or("a text in quotes")?;
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => {
                *rest = &rest[at + 1..];
                return Ok(value);
            }
            '\\' if quote != '`' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, c @ ('\\' | '"' | '\''))) => value.push(c),
                _ => return Err("a text whose backslashes stand before n, t, r, a quote or a backslash"),
            },
            _ => value.push(c),
        }
    }
    Err("a text that ends in the quote it begins with")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(matchers: &[Matcher]) -> String {
        let sign = |operator| OPERATORS.into_iter().find(|(_, other)| *other == operator).unwrap().0;
        let all: Vec<_> = matchers.iter().map(|m| format!("{}{}{}", m.name, sign(m.op), m.value)).collect();
        all.join(" ")
    }

    #[test]
    fn selectors_are_those_of_promql() {
        for (text, expected) in [
            ("up", "__name__=up"),
            ("a:b", "__name__=a:b"),
            ("{}", ""),
            (" up { job = \"x\" , } ", "__name__=up job=x"),
            ("{a=\"1\",b!=\"2\",c=~'3|4',d!~`5\\d`}", "a=1 b!=2 c=~3|4 d!~5\\d"),
            ("{\"a.b\"=\"1\"}", "a.b=1"),
            ("{\"http.requests\", x=\"\"}", "__name__=http.requests x="),
            ("{a=\"q\\\"\\\\d\\n\"}", "a=q\"\\d\n"),
        ] {
            assert_eq!(show(&parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_named_with_its_place() {
        for (text, expected) in [
            ("up{", "expected a label name or `}` at character 4 of `up{`"),
            ("up{a}x", "expected the end at character 6 of `up{a}x`"),
            ("é", "expected the end at character 1 of `é`"),
            ("{a=b}", "expected a text in quotes at character 4 of `{a=b}`"),
            ("{a=\"b}", "expected a text that ends in the quote it begins with at character 4 of `{a=\"b}`"),
            ("{a=\"1\" b=\"2\"}", "expected an operator, `,` or `}` at character 8 of `{a=\"1\" b=\"2\"}`"),
        ] {
            assert_eq!(parse(text).map(|m| show(&m)).unwrap_err(), expected);
        }
    }
}
