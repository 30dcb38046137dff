//! What tells a server who asks: headers, whose values may be in files.

use std::{io, path::Path};

use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::{
    client::ClientKeys,
    content::Content,
    section::{At, Secret, Section as _},
    yaml::{Fault, Node},
};

/// Headers that go with each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Login(Vec<Header>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    name: HeaderName,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Plain(Content),
    Basic { username: Content, password: Content },
    Authorization { kind: String, credentials: Content },
}

impl Login {
    /// The ways to say it; relative paths start at `base`.
    pub(super) fn new(keys: ClientKeys<'_>, base: &Path) -> Result<Self, Fault> {
        let ClientKeys {
            basic_auth: basic,
            authorization,
            bearer_token,
            bearer_token_file,
            http_headers: headers,
            tls_config: _,
            enable_http2: _,
            follow_redirects: _,
        } = keys;
        let ways = [
            basic.as_ref().map(|at| ("basic_auth", at.node)),
            authorization.as_ref().map(|at| ("authorization", at.node)),
            bearer_token.as_ref().map(|at| ("bearer_token", at.node)),
            bearer_token_file.as_ref().map(|at| ("bearer_token_file", at.node)),
        ];
        if let [(one, _), (other, node), ..] = ways.into_iter().flatten().collect::<Vec<_>>()[..] {
            return Err(node.fault(format!("`{other}` together with `{one}`")));
        }
        let mut all = Vec::new();
        if let Some(At { node, value: keys }) = basic {
            let username = Content::either("username", keys.username, keys.username_file, base)?;
            let username = needed(node, "username", username)?;
            let password = Content::either("password", keys.password, keys.password_file, base)?;
            let password = password.unwrap_or_else(|| Content::Text(Secret(String::new())));
            let value = Value::Basic { username, password };
            all.push(Header { name: AUTHORIZATION, value });
        }
        if let Some(At { node, value: keys }) = authorization {
            let kind = keys.kind.map_or_else(|| BEARER.to_owned(), |at| at.value);
            if kind.eq_ignore_ascii_case("basic") {
                return Err(node.fault("`type: Basic` is what `basic_auth` is for"));
            }
            let credentials = Content::either("credentials", keys.credentials, keys.credentials_file, base)?;
            let credentials = needed(node, "credentials", credentials)?;
            all.push(Header { name: AUTHORIZATION, value: Value::Authorization { kind, credentials } });
        }
        if let Some(credentials) = Content::either("bearer_token", bearer_token, bearer_token_file, base)? {
            let value = Value::Authorization { kind: BEARER.to_owned(), credentials };
            all.push(Header { name: AUTHORIZATION, value });
        }
        for (name, keys) in headers.into_iter().flat_map(|at| at.value.0) {
            let node = keys.place();
            let parsed: HeaderName =
                name.parse().map_err(|_| node.fault(format!("`{name}` is not the name of a header")))?;
            if RESERVED.contains(&parsed.as_str()) {
                return Err(node.fault(format!("header `{name}` is the agent's own")));
            }
            let values =
                keys.values.into_iter().flat_map(|at| at.value).map(|text| Content::Text(Secret(text)));
            let secrets = keys.secrets.into_iter().flat_map(|at| at.value).map(Content::Text);
            let files =
                keys.files.into_iter().flat_map(|at| at.value).map(|path| Content::File(base.join(path)));
            for content in values.chain(secrets).chain(files) {
                all.push(Header { name: parsed.clone(), value: Value::Plain(content) });
            }
        }
        Ok(Self(all))
    }

    /// Whether the headers may be others at each use.
    pub(crate) fn has_files(&self) -> bool {
        self.0.iter().any(|header| match &header.value {
            Value::Plain(content) | Value::Authorization { credentials: content, .. } => content.is_file(),
            Value::Basic { username, password } => username.is_file() || password.is_file(),
        })
    }

    /// The headers, with the files as they are now. Blocks on reading them.
    pub(crate) fn headers(&self) -> io::Result<Vec<(HeaderName, HeaderValue)>> {
        let read = |header: &Header| {
            let text = match &header.value {
                Value::Plain(content) => content.read()?,
                Value::Basic { username, password } => {
                    format!("Basic {}", base64(&format!("{}:{}", username.read()?, password.read()?)))
                }
                Value::Authorization { kind, credentials } => format!("{kind} {}", credentials.read()?),
            };
            let unfit = |_| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the value of header `{}` has characters that HTTP cannot send", header.name),
                )
            };
            let mut value = HeaderValue::from_str(&text).map_err(unfit)?;
            value.set_sensitive(true);
            Ok((header.name.clone(), value))
        };
        self.0.iter().map(read).collect()
    }
}

/// What `authorization` is unless it says another `type`.
const BEARER: &str = "Bearer";

/// Headers that a request has anyway.
const RESERVED: [&str; 11] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "accept",
    "accept-encoding",
    "transfer-encoding",
    "x-prometheus-scrape-timeout-seconds",
];

fn needed(node: Node<'_>, what: &str, content: Option<Content>) -> Result<Content, Fault> {
    content.ok_or_else(|| node.fault(format!("neither `{what}` nor `{what}_file`")))
}

/// <https://www.rfc-editor.org/rfc/rfc4648#section-4>
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for digit in 0..4 {
            let shown = digit <= chunk.len();
            out.push(if shown { char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            ("~~?", "fn4/"),
        ] {
            assert_eq!(base64(text), expected);
        }
    }

    fn login(lines: &str) -> Login {
        let text = format!("scrape_configs: [{{job_name: j, {lines}}}]");
        crate::config::parse("a.yml", &text, &crate::config::Environment::default())
            .unwrap()
            .0
            .jobs
            .remove(0)
            .client
            .login
    }

    #[track_caller]
    fn check(lines: &str, expected: &[(&str, &str)]) {
        let login = login(lines);
        let headers = login.headers().unwrap();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(headers, expected, "{lines}");
    }

    #[test]
    fn who_asks_is_told_by_headers() {
        check("", &[]);
        check("basic_auth: {username: a, password: 'b c'}", &[("authorization", "Basic YTpiIGM=")]);
        check("basic_auth: {username: a}", &[("authorization", "Basic YTo=")]);
        check("authorization: {credentials: abc}", &[("authorization", "Bearer abc")]);
        check("authorization: {type: Token, credentials: abc}", &[("authorization", "Token abc")]);
        check("bearer_token: abc", &[("authorization", "Bearer abc")]);
        check(
            "http_headers: {X-A: {values: [b, c], secrets: [d]}, x-e: {values: [f]}}",
            &[("x-a", "b"), ("x-a", "c"), ("x-a", "d"), ("x-e", "f")],
        );
    }

    #[test]
    fn a_file_is_read_at_every_use() {
        let path = std::env::temp_dir().join(format!("observer-login-{}", std::process::id()));
        let login = login(&format!("authorization: {{credentials_file: {}}}", path.display()));
        assert!(login.has_files() && !self::login("basic_auth: {username: a}").has_files());
        let error = login.headers().unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot read `{}`", path.display())), "{error}");
        fs::write(&path, "abc\n").unwrap();
        assert_eq!(login.headers().unwrap()[0].1, "Bearer abc");
        fs::write(&path, "a\nb").unwrap();
        assert!(login.headers().unwrap_err().to_string().contains("header `authorization`"));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn nobody_sees_a_secret() {
        let shown = format!("{:?}", login("basic_auth: {username: a, password: hidden}"));
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
