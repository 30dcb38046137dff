//! Remote write: windows as requests of version 1.0 and 2.0.
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/>,
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>
//!
//! What is sent of a series with each sample is made once, when the series comes: in version 2 its references to symbols and to
//! its metadata, in version 1 references to whole label fields. The strings belong to a bin, the series that go into one
//! request together. So a sample costs copies of a few short strings, and the series of a node cost little memory.

mod beside;
mod body;
mod build;
pub mod decode;
mod encoder;
mod exemplars;
mod histogram;
mod metadata;
mod output;
mod store;
mod table;
mod template;
mod wire;

pub use self::{
    build::Refusal,
    encoder::{Encoder, Totals},
};
use crate::labels::Relabel;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// How requests of version 1 are compressed; those of version 2 are snappy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// What the specification asks for.
    #[default]
    Snappy,
    /// Fewer bytes for more work; VictoriaMetrics takes it.
    Zstd,
}

/// What an endpoint wants.
pub struct Options {
    /// The version its requests are written in.
    pub version: Version,
    /// How they are compressed.
    pub compression: Compression,
    /// Labels of every series that does not have a label of that name.
    pub external_labels: Vec<(String, String)>,
    /// Rules for what is sent.
    pub relabel: Option<Box<dyn Relabel>>,
    /// Samples of a request at most.
    pub max_samples: usize,
    /// Bytes of a request at most, before they are compressed. A larger series goes alone. Where the symbols of version 2 take more
    /// than half of it, the series beside them may take the other half nevertheless.
    pub max_bytes: usize,
    /// How many lanes there are.
    pub lanes: u16,
    /// Whether native histograms are sent.
    pub send_native: bool,
    /// Whether exemplars are sent, each once.
    pub send_exemplars: bool,
    /// Whether classic histograms are sent that have a native one beside them.
    pub classic_beside_native: bool,
    /// Whether names are sent as they are. Otherwise every character outside the legacy alphabet becomes `_`.
    pub utf8_names: bool,
    /// Version 1: every so many windows types, help and units are sent; 0 for never. Version 2 has them in each series.
    pub metadata_interval_windows: u64,
}

impl Options {
    /// How requests are compressed.
    fn compression(&self) -> Compression {
        match self.version {
            Version::V1 => self.compression,
            Version::V2 => Compression::Snappy,
        }
    }

    /// What suits most receivers.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            compression: Compression::Snappy,
            external_labels: Vec::new(),
            relabel: None,
            max_samples: 10_000,
            max_bytes: 8 << 20,
            lanes: 1,
            send_native: version == Version::V2,
            send_exemplars: false,
            classic_beside_native: false,
            // Version 1.0 asks for the legacy alphabet, 2.0 takes any UTF-8.
            utf8_names: version == Version::V2,
            metadata_interval_windows: 60,
        }
    }
}
