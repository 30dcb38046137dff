//! Regular expressions as Go reads them, matched against the whole of a text.

use std::fmt;

use regex_automata::{meta::Regex, util::primitives::NonMaxUsize};

/// An expression that matches the whole or nothing.
#[derive(Clone)]
pub(super) struct Pattern {
    source: String,
    regex: Regex,
}

/// Where the groups of the last match are. Serves every pattern.
pub(super) type Slots = Vec<Option<NonMaxUsize>>;

/// Text with places for groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Pattern {
    pub(super) fn new(source: &str) -> Result<Self, String> {
        let anchored = format!("^(?s:{})$", translate(source));
        let regex = Regex::new(&anchored).map_err(|error| {
            let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
            // The lines before the last draw where in our own spelling of it the fault is.
            let last = text.lines().next_back().unwrap_or_default();
            format!("`{source}` is no regular expression: {}", last.trim_start_matches("error: "))
        })?;
        Ok(Self { source: source.to_owned(), regex })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Notes where the groups are, if it matches.
    pub(super) fn captures(&self, text: &str, slots: &mut Slots) -> bool {
        slots.clear();
        slots.resize(2 * self.regex.captures_len(), None);
        self.regex.search_slots(&text.into(), slots).is_some()
    }

    fn group(&self, name: &str) -> Option<usize> {
        let digits = name.bytes().all(|b| b.is_ascii_digit());
        if digits && (name.len() == 1 || !name.starts_with('0')) {
            return name.parse().ok().filter(|group| *group < self.regex.captures_len());
        }
        self.regex.group_info().to_index(regex_automata::PatternID::ZERO, name)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl Template {
    /// `$name` takes as many letters, digits and underscores as follow, `${name}` what stands in the braces, `$$` is a `$`;
    /// a group that the pattern does not have is empty.
    /// <https://pkg.go.dev/regexp#Regexp.Expand>
    pub(super) fn new(text: &str, pattern: &Pattern) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
            } else if let Some((name, after)) = reference(after) {
                if let Some(group) = pattern.group(name) {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                    parts.push(Part::Group(group));
                }
                rest = after;
            } else {
                literal.push('$');
                rest = after;
            }
        }
        literal.push_str(rest);
        parts.push(Part::Text(literal));
        Self(parts)
    }

    /// Appends the text with the groups of the match in `matched`.
    pub(super) fn expand(&self, matched: &str, slots: &Slots, out: &mut String) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(group) => {
                    if let (Some(start), Some(end)) = (slots[2 * group], slots[2 * group + 1]) {
                        out.push_str(&matched[start.get()..end.get()]);
                    }
                }
            }
        }
    }
}

/// The name behind a `$`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (inside, braced) = match text.strip_prefix('{') {
        Some(inside) => (inside, true),
        None => (text, false),
    };
    let end = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, rest) = inside.split_at(end);
    let rest = if braced { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

/// The expression as the engine writes what Go means: classes are ASCII, a brace that repeats nothing is itself, and
/// brackets have no set operations.
/// <https://github.com/google/re2/wiki/Syntax>
fn translate(go: &str) -> String {
    let mut out = String::new();
    let mut rest = go;
    // Where the items of an open bracket begin.
    let mut class = None;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '\\' => taken = escape(rest, class.is_some(), &mut out),
            '[' if class.is_none() => {
                taken = if rest.starts_with("[^") { 2 } else { 1 };
                out.push_str(&rest[..taken]);
                class = Some(out.len());
            }
            '[' if rest.starts_with("[:") && rest.contains(":]") => {
                taken = rest.find(":]").map_or(taken, |end| end + 2);
                out.push_str(&rest[..taken]);
            }
            '[' | '&' | '~' if class.is_some() => out.extend(['\\', c]),
            ']' => {
                // The first in a bracket is itself.
                class = class.filter(|start| *start == out.len());
                out.push(c);
            }
            '{' if class.is_none() && !repeats(rest) => out.push_str("\\{"),
            _ => out.push(c),
        }
        rest = &rest[taken..];
    }
    out
}

/// Writes what the backslash at the begin of `rest` starts, and gives how many bytes that were.
fn escape(rest: &str, in_class: bool, out: &mut String) -> usize {
    let Some(c) = rest[1..].chars().next() else {
        out.push('\\');
        return 1;
    };
    let mut taken = 1 + c.len_utf8();
    match c {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str("[\\t\\n\\f\\r ]"),
        'S' => out.push_str("[^\\t\\n\\f\\r ]"),
        'b' | 'B' if !in_class => out.push_str(if c == 'b' { "(?-u:\\b)" } else { "(?-u:\\B)" }),
        'Q' if !in_class => {
            let quoted = &rest[2..];
            let end = quoted.find("\\E").unwrap_or(quoted.len());
            for c in quoted[..end].chars() {
                if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
                    out.push('\\');
                }
                out.push(c);
            }
            taken = (2 + end + 2).min(rest.len());
        }
        // Word boundaries of the engine; only themselves in Go.
        '<' | '>' => out.push(c),
        _ => out.push_str(&rest[..taken]),
    }
    taken
}

/// Whether the brace at the begin says how often something repeats.
fn repeats(rest: &str) -> bool {
    let Some((inside, _)) = rest[1..].split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = Pattern::new(pattern).unwrap();
        for text in matching {
            assert!(pattern.is_match(text), "{pattern:?} does not match {text:?}");
        }
        for text in others {
            assert!(!pattern.is_match(text), "{pattern:?} matches {text:?}");
        }
    }

    #[test]
    fn the_whole_is_matched() {
        check("a|b", &["a", "b"], &["ab", "xa", "bx", ""]);
        check("", &[""], &["a"]);
        check("(.*)", &["", "a", "a\nb"], &[]);
        check("a$", &["a"], &["a\n", "ab"]);
        check("(?m)a$", &["a"], &["a\nb"]);
    }

    #[test]
    fn classes_are_ascii_as_in_go() {
        check("\\d+", &["12"], &["١", ""]);
        check("\\D", &["١", "a"], &["1"]);
        check("\\w+", &["aZ_9"], &["é", "-"]);
        check("[\\w.-]+", &["a.b-c_1"], &["é", "/"]);
        check("[^\\W]", &["a"], &["é", "."]);
        check("\\s\\S", &[" x", "\t."], &["\u{a0}x", "\u{b}x"]);
        check("é\\b.", &[], &["é-"]);
        check("a\\b.", &["a-", "aé"], &["ab"]);
        check("a\\B.", &["ab"], &["a-"]);
        check("[[:alpha:]_]+", &["aB_"], &["é", "1", ":"]);
        check("\\pL+", &["aé"], &["1"]);
        check("(?i)straße", &["STRAßE", "straße"], &["strasse"]);
    }

    #[test]
    fn brackets_have_no_set_operations() {
        check("[a[b]", &["a", "[", "b"], &["c", "]"]);
        check("[a&&b]", &["a", "&", "b"], &["c"]);
        check("[a~~b]", &["a", "~", "b"], &["c"]);
        check("[]a]", &["]", "a"], &["b"]);
        check("[^]a]", &["b"], &["]", "a"]);
        check("[a\\]b]+", &["a]b"], &["\\"]);
    }

    #[test]
    fn what_repeats_nothing_is_itself() {
        check("{a}", &["{a}"], &["a"]);
        check("a{,2}", &["a{,2}"], &["aa"]);
        check("a{2}b{1,}c{0,1}", &["aab", "aabbc"], &["ab", "aac"]);
        check("a{", &["a{"], &["a"]);
        check("\\{\\<\\>\\_\\-\\/\\ \\}", &["{<>_-/ }"], &[]);
        check("\\Qa.b\\E.", &["a.bc"], &["axbc"]);
        check("\\Qa<+b", &["a<+b"], &["aab"]);
    }

    #[test]
    fn what_is_no_expression_is_an_error_of_one_line() {
        assert_eq!(Pattern::new("a(b").unwrap_err(), "`a(b` is no regular expression: unclosed group");
        for text in ["(", "[a", "*", "\\", "(?<x", "\\8", "a{2000000}{2000000}"] {
            let error = Pattern::new(text).unwrap_err();
            assert!(!error.contains('\n') && error.len() > text.len() + 30, "{text}: {error}");
        }
    }

    #[test]
    fn whatever_is_written_is_an_expression_or_an_error() {
        const PIECES: [&str; 24] = [
            "\\",
            "Q",
            "E",
            "[",
            "]",
            "^",
            "{",
            "}",
            "1",
            ",",
            "a",
            "é",
            "(",
            ")",
            "|",
            "*",
            "+",
            "?",
            ":",
            "-",
            "&",
            "d",
            "[:alpha:]",
            "<",
        ];
        let mut seed = 1_u64;
        let mut good = 0;
        for _ in 0..2000 {
            let mut text = String::new();
            for _ in 0..6 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(PIECES[usize::try_from(seed >> 33).unwrap() % PIECES.len()]);
            }
            good += u32::from(Pattern::new(&text).is_ok());
        }
        assert!(good > 100, "{good}");
    }

    #[track_caller]
    fn expands(pattern: &str, text: &str, template: &str, expected: &str) {
        let pattern = Pattern::new(pattern).unwrap();
        let (mut slots, mut out) = (Slots::new(), String::new());
        assert!(pattern.captures(text, &mut slots));
        Template::new(template, &pattern).expand(text, &slots, &mut out);
        assert_eq!(out, expected, "{template}");
    }

    #[test]
    fn templates_are_expanded_as_in_go() {
        for (template, expected) in [
            ("$1-$2", "a-b"),
            ("${1}x${2}", "axb"),
            // The longest name counts: there is no group `1x`.
            ("$1x", ""),
            ("$0", "a.b"),
            ("$3|${x}|$01", "||"),
            ("$$1", "$1"),
            ("$", "$"),
            ("a$", "a$"),
            ("$-1", "$-1"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("${1-}", "${1-}"),
            ("$12é", ""),
            ("$first/${first}", "a/a"),
        ] {
            expands("(?P<first>.)\\.(.)", "a.b", template, expected);
        }
        expands("(a)|(b)", "b", "$1$2", "b");
    }
}
