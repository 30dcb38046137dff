//! Sections: what keys there are, declared once, and what a text makes of them.

use std::{fmt, marker::PhantomData, net::SocketAddr, path::PathBuf, time::Duration};

use super::protocol::ScrapeProtocol;
use super::{
    duration,
    queue::Syncing,
    remote_write::{Compressing, Message},
    tls,
    yaml::{Fault, Node},
};
use crate::relabel::Action;

/// A key of a section.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What its value is, for people.
    pub(super) kind: fn() -> String,
    /// The value if nothing is said, in the language of the file; empty if there is none.
    pub(super) default: &'static str,
    /// A sentence.
    pub(super) help: &'static str,
}

/// The keys of a section.
#[derive(Debug)]
pub(super) struct Table {
    /// Where the section stands.
    pub(super) title: &'static str,
    /// The keys that are read.
    pub(super) keys: &'static [Key],
    /// Those of them that nothing obeys yet.
    pub(super) idle: &'static [&'static str],
    /// Keys of Prometheus that are left out with a warning.
    pub(super) unsupported: &'static [&'static str],
    /// Keys of Prometheus for which there is no need here, and why; with a warning too.
    pub(super) needless: &'static [(&'static str, &'static str)],
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<'n, T> {
    pub(super) node: Node<'n>,
    pub(super) value: T,
}

/// What a key can have.
pub(super) trait Value<'n>: Sized {
    fn kind() -> String;

    fn read(node: Node<'n>, warnings: &mut Vec<Fault>) -> Result<Self, Fault>;
}

/// A section, made by [`sections`].
pub(super) trait Section<'n>: Sized {
    const TABLE: Table;

    /// Where the section stands.
    fn place(&self) -> Node<'n>;

    /// Reads the entries; of two with one name the later counts.
    fn from_entries(
        node: Option<Node<'n>>,
        entries: Vec<(&'n str, Node<'n>)>,
        warnings: &mut Vec<Fault>,
    ) -> Result<Self, Fault>;
}

impl<'n, S: Section<'n>> Value<'n> for S {
    fn kind() -> String {
        "section".to_owned()
    }

    fn read(node: Node<'n>, warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
        Self::from_entries(Some(node), node.section(&Self::TABLE, warnings)?, warnings)
    }
}

/// Declares sections: a struct with a field for each key, and the table of the keys.
macro_rules! sections {
    ($(
        $(#[$doc:meta])+
        $name:ident<$n:lifetime> $title:literal {
            $($key:literal => $field:ident: $kind:ty = $default:literal, $help:literal;)*
            $(idle: $($idle:literal),+;)?
            $(unsupported: $($other:literal),+;)?
            $(needless: $($without:literal => $why:literal),+;)?
        }
    )+) => { $(
        $(#[$doc])+
        #[derive(Clone, Debug, Default)]
        pub(super) struct $name<$n> {
            /// Where the section stands, if it does.
            node: Option<Node<$n>>,
            $(pub(super) $field: Option<At<$n, $kind>>,)*
        }

        impl<$n> Section<$n> for $name<$n> {
            const TABLE: Table = Table {
                title: $title,
                keys: &[$(Key { name: $key, kind: <$kind as Value<'_>>::kind, default: $default, help: $help },)*],
                idle: &[$($($idle),+)?],
                unsupported: &[$($($other),+)?],
                needless: &[$($(($without, $why)),+)?],
            };

            fn place(&self) -> Node<$n> {
                self.node.expect("asked only of sections that were read from a node")
            }

            fn from_entries(
                node: Option<Node<$n>>,
                entries: Vec<(&$n str, Node<$n>)>,
                warnings: &mut Vec<Fault>,
            ) -> Result<Self, Fault> {
                let mut section = Self { node, ..Self::default() };
                for (key, node) in entries {
                    match key {
                        $($key => {
                            section.$field = Some(At { node, value: <$kind as Value<$n>>::read(node, warnings)? });
                        })*
                        _ => unreachable!("`{key}` is in the table"),
                    }
                }
                Ok(section)
            }
        }
    )+

        /// Every section, in the order of the documentation.
        pub(super) const TABLES: &[Table] = &[$(<$name<'static> as Section<'static>>::TABLE),+];
    };
}
pub(super) use sections;

impl<'n, T: Value<'n>> Value<'n> for Vec<T> {
    fn kind() -> String {
        format!("list of {}", T::kind())
    }

    fn read(node: Node<'n>, warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
        let item = |node: Node<'n>| {
            // Text that is empty is text.
            if node.is_null() && T::kind() != "text" {
                return Err(node.fault(format!("expected a {}, and there is nothing", T::kind())));
            }
            T::read(node, warnings)
        };
        node.list()?.into_iter().map(item).collect()
    }
}

/// Keeps the place of each item.
impl<'n, T: Value<'n>> Value<'n> for At<'n, T> {
    fn kind() -> String {
        T::kind()
    }

    fn read(node: Node<'n>, warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
        Ok(Self { node, value: T::read(node, warnings)? })
    }
}

/// A section that is read later, by the place that is kept beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread<S>(PhantomData<S>);

impl<'n, S: Section<'n>> Value<'n> for Unread<S> {
    fn kind() -> String {
        S::kind()
    }

    fn read(_node: Node<'n>, _warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
        Ok(Self(PhantomData))
    }
}

/// A size in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) usize);

/// A duration that may be 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delay(pub(super) Duration);

/// Labels, sorted by name, each with its value.
#[derive(Clone, Debug)]
pub(super) struct Labels(pub(super) Vec<(String, String)>);

/// Names, each with its values.
#[derive(Clone, Debug)]
pub(super) struct Params(pub(super) Vec<(String, Vec<String>)>);

/// Names, each with a section.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(pub(super) Vec<(String, T)>);

/// Text that is shown to nobody.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Secret(pub(crate) String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Declares a value that is a single text.
macro_rules! scalars {
    ($($type:ty, $kind:literal, $expected:expr, $read:expr;)+) => { $(
        impl<'n> Value<'n> for $type {
            fn kind() -> String {
                $kind.to_owned()
            }

            fn read(node: Node<'n>, _warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
                node.read($expected, $read)
            }
        }
    )+ };
}

scalars! {
    Duration, "duration", "a duration such as `1s`, more than 0", |text| duration::parse(text).filter(|d| !d.is_zero());
    Delay, "duration", "a duration such as `1s`", |text| duration::parse(text).map(Delay);
    Size, "size", "a size such as `10MB`", |text| duration::size(text).map(Size);
    usize, "number", "a whole number", |text| text.parse().ok();
    u64, "number", "a whole number", |text| text.parse().ok();
    bool, "`true` or `false`", "`true` or `false`", |text| text.parse().ok();
    SocketAddr, "address", "an address such as `127.0.0.1:9435`", |text| text.parse().ok();
    PathBuf, "path", "a path", |text| (!text.is_empty()).then(|| text.into());
    f64, "number", "a number of at least 0", |text| text.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0);
    ScrapeProtocol, "format", &expected_protocol(), ScrapeProtocol::parse;
    tls::Named, "version", "one of TLS10, TLS11, TLS12, TLS13", tls::Named::parse;
    Action, "action", &expected_action(), Action::parse;
    Message, "message", "`prometheus.WriteRequest` or `io.prometheus.write.v2.Request`", Message::parse;
    Compressing, "`snappy`, `zstd` or `auto`", "`snappy`, `zstd` or `auto`", Compressing::parse;
    Syncing, "`always`, `never` or a duration", "`always`, `never` or a duration such as `1s`", Syncing::parse;
}

fn expected_protocol() -> String {
    format!("one of {}", ScrapeProtocol::NAMES.map(|(name, _)| name).join(", "))
}

fn expected_action() -> String {
    format!("one of {}", Action::NAMES.map(|(name, _)| name).join(", "))
}

impl<'n> Value<'n> for String {
    fn kind() -> String {
        "text".to_owned()
    }

    fn read(node: Node<'n>, _warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
        node.text().map(str::to_owned)
    }
}

impl<'n> Value<'n> for Secret {
    fn kind() -> String {
        "secret".to_owned()
    }

    fn read(node: Node<'n>, _warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
        node.text().map(|text| Self(text.to_owned()))
    }
}

impl<'n> Value<'n> for Labels {
    fn kind() -> String {
        "labels".to_owned()
    }

    fn read(node: Node<'n>, _warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
        let mut labels = Vec::new();
        for (key, value) in node.entries()? {
            let name = key.read("a label name", |text| (!text.is_empty()).then(|| text.to_owned()))?;
            labels.push((name, value.text()?.to_owned()));
        }
        labels.sort();
        Ok(Self(labels))
    }
}

impl<'n> Value<'n> for Params {
    fn kind() -> String {
        "names with lists of text".to_owned()
    }

    fn read(node: Node<'n>, warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
        let mut params = Vec::new();
        for (key, values) in node.entries()? {
            params.push((key.text()?.to_owned(), Vec::read(values, warnings)?));
        }
        params.sort();
        Ok(Self(params))
    }
}

impl<'n, T: Value<'n>> Value<'n> for Named<T> {
    fn kind() -> String {
        format!("names with a {} each", T::kind())
    }

    fn read(node: Node<'n>, warnings: &mut Vec<Fault>) -> Result<Self, Fault> {
        let mut named = Vec::new();
        for (key, value) in node.entries()? {
            named.push((key.text()?.to_owned(), T::read(value, warnings)?));
        }
        Ok(Self(named))
    }
}
