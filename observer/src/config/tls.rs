//! `tls_config`: whom a client trusts, and what it shows of itself.
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#tls_config>

use std::path::Path;

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};

use super::{
    content::Content,
    keys::TlsKeys,
    section::{At, Secret, Section as _},
    yaml::Fault,
};

/// One `tls_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TlsConfig {
    /// Certificates, as PEM, that servers are trusted by; those of the system if nothing is said.
    pub(crate) ca: Option<Content>,
    /// Our certificates and their key, as PEM.
    pub(crate) identity: Option<Identity>,
    /// The name that a server's certificate has to have, in place of the URL's host.
    pub(crate) server_name: Option<String>,
    /// Trust whoever answers.
    pub(crate) insecure_skip_verify: bool,
    /// The oldest version that is spoken.
    pub(crate) min: TlsVersion,
    /// The newest version that is spoken.
    pub(crate) max: Newest,
}

/// What a client shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// The certificate and those between it and one that servers know.
    pub(crate) cert: Content,
    /// The key of the certificate.
    pub(crate) key: Content,
}

/// A version of TLS that is spoken here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TlsVersion {
    /// TLS 1.2
    #[default]
    V12,
    /// TLS 1.3
    V13,
}

/// A [`TlsVersion`] that is the newest unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Newest(pub(crate) TlsVersion);

impl Default for Newest {
    fn default() -> Self {
        Self(TlsVersion::V13)
    }
}

/// A version as it is written, in the order of age. The first two are nowhere spoken any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    V10,
    V11,
    V12,
    V13,
}

impl Named {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "TLS10" => Some(Self::V10),
            "TLS11" => Some(Self::V11),
            "TLS12" => Some(Self::V12),
            "TLS13" => Some(Self::V13),
            _ => None,
        }
    }
}

/// What a text has to have.
#[derive(Clone, Copy, Debug)]
enum Pem {
    Certificates,
    Key,
}

impl Pem {
    /// What is wrong with a text.
    fn fault(self, text: &str) -> Option<String> {
        let (what, read) = match self {
            Self::Certificates => {
                let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
                ("certificate", all.map(|all| !all.is_empty()))
            }
            Self::Key => ("key", PrivateKeyDer::from_pem_slice(text.as_bytes()).map(|_| true)),
        };
        match read {
            Ok(true) => None,
            Ok(false) | Err(pem::Error::NoItemsFound) => Some(format!("no {what} in PEM")),
            Err(error) => Some(format!("no {what} in PEM: {error}")),
        }
    }
}

impl TlsConfig {
    pub(super) fn new(keys: TlsKeys<'_>, base: &Path) -> Result<Self, Fault> {
        let node = keys.place();
        let places = [
            keys.ca.as_ref().map(|at| at.node),
            keys.cert.as_ref().map(|at| at.node),
            keys.key.as_ref().map(|at| at.node),
        ];
        let ca = Content::either("ca", keys.ca, keys.ca_file, base)?;
        let cert = Content::either("cert", keys.cert, keys.cert_file, base)?;
        let key = Content::either("key", keys.key, keys.key_file, base)?;
        for (place, content, kind) in [
            (places[0], &ca, Pem::Certificates),
            (places[1], &cert, Pem::Certificates),
            (places[2], &key, Pem::Key),
        ] {
            if let (Some(node), Some(Content::Text(Secret(text)))) = (place, content)
                && let Some(wrong) = kind.fault(text)
            {
                return Err(node.fault(wrong));
            }
        }
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some(Identity { cert, key }),
            (None, None) => None,
            (Some(_), None) => return Err(node.fault("a certificate without `key` or `key_file`")),
            (None, Some(_)) => return Err(node.fault("a key without `cert` or `cert_file`")),
        };
        if let (Some(min), Some(max)) = (&keys.min_version, &keys.max_version)
            && min.value > max.value
        {
            return Err(max.node.fault("`max_version` is older than `min_version`"));
        }
        let max = match keys.max_version {
            Some(At { node, value: Named::V10 | Named::V11 }) => {
                return Err(node.fault("TLS 1.2 and 1.3 are spoken, and nothing older"));
            }
            Some(At { value: Named::V12, .. }) => TlsVersion::V12,
            Some(At { value: Named::V13, .. }) | None => TlsVersion::V13,
        };
        let min = match keys.min_version {
            Some(At { value: Named::V13, .. }) => TlsVersion::V13,
            _ => TlsVersion::V12,
        };
        Ok(Self {
            ca,
            identity,
            server_name: keys.server_name.map(|at| at.value).filter(|name| !name.is_empty()),
            insecure_skip_verify: keys.insecure_skip_verify.is_some_and(|at| at.value),
            min,
            max: Newest(max),
        })
    }

    /// What is wrong with its files as they are now. Blocks on reading them.
    pub(super) fn problems(&self) -> Vec<String> {
        let identity = self.identity.as_ref();
        let files = [
            (self.ca.as_ref(), Pem::Certificates),
            (identity.map(|both| &both.cert), Pem::Certificates),
            (identity.map(|both| &both.key), Pem::Key),
        ];
        let problem = |(content, kind): (Option<&Content>, Pem)| {
            let content = content.filter(|content| content.is_file())?;
            match content.read() {
                Ok(text) => kind.fault(&text).map(|wrong| format!("{}: {wrong}", content.place(""))),
                Err(error) => Some(error.to_string()),
            }
        };
        files.into_iter().filter_map(problem).collect()
    }

    /// Whether what it comes to may be another at each use.
    pub(crate) fn has_files(&self) -> bool {
        let identity = self.identity.as_ref().is_some_and(|both| both.cert.is_file() || both.key.is_file());
        identity || self.ca.as_ref().is_some_and(Content::is_file)
    }
}
