//! What goes wrong between a client and a server, in words that say who has to mend it.

use std::{error::Error as StdError, io, time::Duration};

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::trust;
use crate::config::write_duration;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Nobody answers there, or nobody knows the name.
    #[error("cannot connect to `{host}` port {port}: {source}")]
    Tcp {
        /// The host of the URL.
        host: String,
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// Somebody answers, and one side does not want the other.
    #[error("TLS with `{host}` port {port} failed: {reason}")]
    Tls {
        /// The host of the URL.
        host: String,
        /// The port.
        port: u16,
        /// Why, and where that is mended.
        reason: String,
    },
    /// Our own side of TLS is not fit to be used.
    #[error(transparent)]
    Own(#[from] TlsFault),
}

/// What is wrong with our own certificates and keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot set up TLS: {0}")]
pub(crate) struct TlsFault(pub(super) String);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    /// A name, password or token cannot be read or sent.
    #[error("cannot log in: {0}")]
    Login(io::Error),
    /// There is no connection; the server has seen nothing.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server ended TLS behind the handshake, as those do that want another certificate of ours.
    #[error("TLS with `{host}` failed: {reason}")]
    Tls {
        /// The host of the URL.
        host: String,
        /// Why, and where that is mended.
        reason: String,
    },
    /// Nothing, or not all, came in time. The server may have taken the request.
    #[error("no answer within {}", write_duration(*.0))]
    Timeout(Duration),
    /// The connection ended before an answer began. The server may have taken the request.
    #[error("connection ended before an answer came: {0}")]
    Unanswered(String),
    /// The connection ended within an answer.
    #[error("connection ended within the answer: {0}")]
    Cut(String),
    /// The answer leads somewhere, and from there elsewhere.
    #[error("{0}")]
    Elsewhere(String),
    /// The server agrees to no HTTP/2, and the protocol of the request needs it.
    #[error("`{0}` does not agree to HTTP/2, which this protocol needs")]
    NoHttp2(String),
}

/// What TLS says about an error, if TLS is where it comes from.
pub(crate) fn refusal(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<Error>() {
            return Some(reason(error));
        }
        // An I/O error says as its source what the error inside has as one, and leaves that itself out.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

/// An error with all its sources, for those whose own text is "connection error".
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        next = error.source();
    }
    text
}

/// What to say about an error of the handshake.
pub(super) fn handshake(error: &io::Error) -> String {
    match refusal(error) {
        Some(reason) => reason,
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection within the handshake".to_owned()
        }
        None => error.to_string(),
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => received(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what answers does not speak TLS; is the scheme `http`?".to_owned()
        }
        Error::PeerIncompatible(what) => {
            format!("the server speaks no TLS that we do, from `min_version` to `max_version`: {what:?}")
        }
        other => other.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "the server's certificate is from an issuer that is not trusted; `ca_file` names those that are"
                .to_owned()
        }
        CertificateError::Other(error) if trust::is_signer(error) => {
            "the server's certificate is one that signs others, such as itself; it is trusted when it is itself in `ca_file`"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "the server's certificate is not signed by who it says, of whom `ca_file` has another key"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the server's certificate has expired: {error}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the server's certificate is not valid yet: {error}")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "the server's certificate has another name; `server_name` says which one it may have: {error}"
            )
        }
        other => format!("the server's certificate is not accepted: {other}"),
    }
}

fn received(alert: AlertDescription) -> String {
    let said = match alert {
        AlertDescription::CertificateRequired => {
            "the server asks for a certificate of ours: `cert_file` and `key_file`"
        }
        // The second is also what older servers say where no certificate is shown.
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::DecryptError
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => {
            "the server does not accept our certificate, or that there is none: `cert_file` and `key_file`"
        }
        AlertDescription::ProtocolVersion => {
            "the server speaks no version of TLS from `min_version` to `max_version`"
        }
        AlertDescription::UnrecognisedName => {
            "the server does not know the name that we ask for; `server_name` is another"
        }
        AlertDescription::NoApplicationProtocol => {
            "the server speaks none of the versions of HTTP that we offer"
        }
        AlertDescription::HandshakeFailure => {
            "the server refuses the handshake; it may want a certificate of ours, or ciphers that nobody should use"
        }
        _ => return format!("the server refuses: {alert:?}"),
    };
    format!("{said} ({alert:?})")
}
