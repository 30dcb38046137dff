//! What the keys of all HTTP clients come to: those of jobs, of lists of targets and of exports.

use std::path::{Path, PathBuf};

use super::{
    Login, TlsConfig,
    keys::{AuthorizationKeys, BasicAuthKeys, HeaderKeys, TlsKeys},
    section::{At, Named, Secret},
    yaml::Fault,
};

/// How to speak to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientConfig {
    /// Headers that go with each request.
    pub(crate) login: Login,
    /// Whom to trust, and what to show.
    pub(crate) tls: TlsConfig,
    /// Speak HTTP/2 where the server agrees to it in TLS.
    pub(crate) http2: bool,
    /// Follow an answer that names another place.
    pub(crate) follow_redirects: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { login: Login::default(), tls: TlsConfig::default(), http2: true, follow_redirects: true }
    }
}

/// The keys, as a section has them: those that it has not are `None`.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientKeys<'n> {
    pub(super) basic_auth: Option<At<'n, BasicAuthKeys<'n>>>,
    pub(super) authorization: Option<At<'n, AuthorizationKeys<'n>>>,
    pub(super) bearer_token: Option<At<'n, Secret>>,
    pub(super) bearer_token_file: Option<At<'n, PathBuf>>,
    pub(super) http_headers: Option<At<'n, Named<HeaderKeys<'n>>>>,
    pub(super) tls_config: Option<At<'n, TlsKeys<'n>>>,
    pub(super) enable_http2: Option<At<'n, bool>>,
    pub(super) follow_redirects: Option<At<'n, bool>>,
}

/// Takes the keys of a client out of a section that has them all.
macro_rules! client_keys {
    ($section:expr) => {
        $crate::config::client::ClientKeys {
            basic_auth: $section.basic_auth.take(),
            authorization: $section.authorization.take(),
            bearer_token: $section.bearer_token.take(),
            bearer_token_file: $section.bearer_token_file.take(),
            http_headers: $section.http_headers.take(),
            tls_config: $section.tls_config.take(),
            enable_http2: $section.enable_http2.take(),
            follow_redirects: $section.follow_redirects.take(),
        }
    };
}
impl ClientConfig {
    /// Reads the keys; relative paths start at `base`.
    pub(super) fn new(keys: ClientKeys<'_>, base: &Path) -> Result<Self, Fault> {
        let default = Self::default();
        Ok(Self {
            tls: keys.tls_config.clone().map_or(Ok(default.tls), |at| TlsConfig::new(at.value, base))?,
            http2: keys.enable_http2.as_ref().map_or(default.http2, |at| at.value),
            follow_redirects: keys.follow_redirects.as_ref().map_or(default.follow_redirects, |at| at.value),
            login: Login::new(keys, base)?,
        })
    }

    /// What is wrong with its files as they are now. Blocks on reading them.
    pub(crate) fn problems(&self) -> Vec<String> {
        let login = self.login.headers().err().map(|error| error.to_string());
        self.tls.problems().into_iter().chain(login).collect()
    }
}
