//! What a client of TLS trusts and shows, read anew when its files change.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tokio::task::spawn_blocking;

use super::{TlsFault, Versions, trust};
use crate::{
    clock,
    config::{Content, TlsConfig, TlsVersion},
};

/// How often files are looked at, at most: as often as lists of targets are.
const LOOK: Duration = Duration::from_secs(1);

/// One `tls_config` in use.
#[derive(Debug)]
pub(super) struct Tls {
    config: TlsConfig,
    versions: Versions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the files were last looked at.
    looked: Option<Instant>,
    made: Option<Made>,
    /// What was last wrong with files that have been good before.
    told: Option<TlsFault>,
}

/// What the texts came to.
#[derive(Clone, Debug)]
pub(super) struct Made {
    texts: Arc<Texts>,
    pub(super) client: Arc<ClientConfig>,
    /// Rises with each change.
    pub(super) serial: u64,
}

/// What the keys or their files say.
#[derive(PartialEq, Eq)]
struct Texts {
    ca: Option<String>,
    identity: Option<(String, String)>,
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // One of them is a key.
        f.write_str("Texts")
    }
}

impl Tls {
    pub(super) fn new(config: TlsConfig, versions: Versions) -> Self {
        Self { config, versions, state: Mutex::default() }
    }

    pub(super) fn config(&self) -> &TlsConfig {
        &self.config
    }

    /// The client of now. Files are looked at again if that was not done a moment ago. Those that are not good any more are
    /// told in the log, and what they were before is used on: a certificate and its key are seldom replaced in one step.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Made, TlsFault> {
        let now = clock::monotonic();
        {
            let mut state = self.lock();
            let fresh = |looked: Instant| now.saturating_duration_since(looked) < LOOK;
            if let Some(made) = &state.made
                && (!self.config.has_files() || state.looked.is_some_and(fresh))
            {
                return Ok(made.clone());
            }
            // Whoever comes meanwhile uses what there is.
            if state.made.is_some() {
                state.looked = Some(now);
            }
        }
        let this = Arc::clone(self);
        let looked = spawn_blocking(move || this.look(now)).await;
        looked.unwrap_or_else(|error| Err(TlsFault(error.to_string())))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each field is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the texts, and makes a client if they are new.
    fn look(&self, now: Instant) -> Result<Made, TlsFault> {
        let result = Texts::read(&self.config).and_then(|texts| {
            let before = self.lock().made.clone();
            match before {
                Some(made) if *made.texts == texts => Ok(made),
                before => {
                    let serial = before.map_or(0, |made| made.serial + 1);
                    let client = Arc::new(self.client(&texts)?);
                    Ok(Made { texts: Arc::new(texts), client, serial })
                }
            }
        });
        let mut state = self.lock();
        state.looked = Some(now);
        match result {
            Ok(made) => {
                state.told = None;
                state.made = Some(made.clone());
                Ok(made)
            }
            Err(fault) => match state.made.clone() {
                Some(made) => {
                    if state.told.as_ref() != Some(&fault) {
                        log::warn!("{fault}; what was there before is used on");
                    }
                    state.told = Some(fault);
                    Ok(made)
                }
                None => Err(fault),
            },
        }
    }

    fn client(&self, texts: &Texts) -> Result<ClientConfig, TlsFault> {
        let TlsConfig { ca, identity, server_name: _, insecure_skip_verify, min, max } = &self.config;
        let provider = Arc::new(ring::default_provider());
        let verifier = if *insecure_skip_verify {
            trust::anybody(&provider)
        } else {
            let place = ca.as_ref().map(|ca| ca.place("ca")).unwrap_or_default();
            trust::by(texts.ca.as_deref().map(|pem| (pem, place)), &provider)?
        };
        let versions: &[&SupportedProtocolVersion] = match (min, max.0) {
            (TlsVersion::V12, TlsVersion::V12) => &[&TLS12],
            (TlsVersion::V12, TlsVersion::V13) => &[&TLS13, &TLS12],
            (TlsVersion::V13, _) => &[&TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| TlsFault(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut client = match (&texts.identity, identity) {
            (Some((cert, key)), Some(places)) => {
                let cert_place = places.cert.place("cert");
                let key_place = places.key.place("key");
                let chain = trust::certificates(cert, &cert_place)?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|error| TlsFault(format!("no key in {key_place}: {error}")))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    TlsFault(format!("{cert_place} and {key_place} do not go together: {error}"))
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        client.alpn_protocols = self.versions.offered().iter().map(|name| name.to_vec()).collect();
        Ok(client)
    }
}

impl Texts {
    fn read(config: &TlsConfig) -> Result<Self, TlsFault> {
        let read = |content: &Content| content.read().map_err(|error| TlsFault(error.to_string()));
        let identity = config.identity.as_ref();
        Ok(Self {
            // Whoever trusts all has no need of it.
            ca: config.ca.as_ref().filter(|_| !config.insecure_skip_verify).map(read).transpose()?,
            identity: identity.map(|both| Ok((read(&both.cert)?, read(&both.key)?))).transpose()?,
        })
    }
}
