//! Which servers are trusted.

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};

use super::TlsFault;

/// The system's certificates, once somebody has needed them. They are read anew when the agent starts.
static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// Trusts those it knows, or whoever answers where it knows nobody; always asks for the proof that it has its certificate's key.
#[derive(Debug)]
struct Trust {
    known: Option<Known>,
    provider: Arc<CryptoProvider>,
}

/// Trusts a chain that leads to a known certificate, and a known certificate itself: a server that has signed its own is
/// trusted by naming just that one.
#[derive(Debug)]
struct Known {
    chains: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
}

/// Trusts those whose chain leads to one of the certificates in `pem`, or to one of the system's if there is none.
/// `place` is where the text is from.
pub(super) fn by(
    pem: Option<(&str, String)>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsFault> {
    let roots = match pem {
        Some((pem, place)) => named(pem, &place)?,
        None => system()?,
    };
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
        .build()
        .map_err(|error| TlsFault(error.to_string()))?;
    Ok(Arc::new(Trust { known: Some(Known { chains, roots }), provider: Arc::clone(provider) }))
}

/// Trusts all.
pub(super) fn anybody(provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Trust { known: None, provider: Arc::clone(provider) })
}

/// The certificates in a text, of which there must be one.
pub(super) fn certificates(pem: &str, place: &str) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if all.is_empty() => Err(TlsFault(format!("no certificate in {place}"))),
        Ok(all) => Ok(all),
        Err(error) => Err(TlsFault(format!("{place} is no PEM: {error}"))),
    }
}

fn named(pem: &str, place: &str) -> Result<Arc<RootCertStore>, TlsFault> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates(pem, place)?.into_iter().enumerate() {
        let wrong = |error| TlsFault(format!("certificate {} of {place} is not to be used: {error}", at + 1));
        roots.add(certificate).map_err(wrong)?;
    }
    Ok(Arc::new(roots))
}

fn system() -> Result<Arc<RootCertStore>, TlsFault> {
    if let Some(roots) = SYSTEM.get() {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some are too old to be read; the others do.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(TlsFault(format!(
            "this system has no certificates to trust servers by{why}; name some in `ca_file`, or in `SSL_CERT_FILE`"
        )));
    }
    Ok(Arc::clone(SYSTEM.get_or_init(|| Arc::new(roots))))
}

impl Known {
    /// Whether a certificate has the name and the key of a trusted one, with which others could be signed too.
    fn knows(&self, certificate: &CertificateDer<'_>) -> bool {
        webpki::anchor_from_trusted_cert(certificate).is_ok_and(|anchor| self.roots.roots.contains(&anchor))
    }

    /// As [`ServerCertVerifier::verify_server_cert`].
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // `openssl req -x509` makes certificates that say they may sign others, and exporters are told to serve them.
            // Its time has been looked at before.
            Err(Error::InvalidCertificate(CertificateError::Other(error)))
                if is_signer(&error) && self.knows(end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.known {
            Some(known) => known.verify(end_entity, intermediates, server_name, ocsp_response, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether all that is wrong with a certificate is that it may sign others.
pub(super) fn is_signer(OtherError(error): &OtherError) -> bool {
    matches!(error.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
}
