//! Blocks, windows, an encoder and a receiver behind it.

use std::sync::Arc;

use observer_aggregate::{
    series::Block,
    window::{Pool, Source, Window},
};
use observer_export::{
    Encode as _,
    labels::{Labels, Relabel},
    remote_write::{Encoder, Options, Version},
};

use crate::receiver::Received;

pub(crate) const BOTH: [Version; 2] = [Version::V1, Version::V2];

/// Windows go in, and what a receiver has stands at the other end.
pub(crate) struct Pipe {
    pub(crate) encoder: Encoder,
    pool: Pool,
    received: Received,
}

impl Pipe {
    pub(crate) fn new(options: Options) -> Self {
        Self { encoder: Encoder::new(options), pool: Pool::new(2), received: Received::default() }
    }

    /// Closes a window over the blocks and sends it.
    pub(crate) fn window(&mut self, end_ms: i64, blocks: &mut [&mut Block]) {
        let window = self.close(end_ms, blocks);
        self.send(&window);
    }

    /// Sends a window that another one has closed.
    pub(crate) fn send(&mut self, window: &Window) {
        self.encoder.window(window, &mut |batch| self.received.take(&batch));
    }

    /// Closes a window, which the encoder does not see.
    pub(crate) fn close(&mut self, end_ms: i64, blocks: &mut [&mut Block]) -> Arc<Window> {
        let fill = |window: &mut Window| {
            window.begin(end_ms, true);
            for block in blocks {
                window.take(Source::Scrape, block);
            }
        };
        self.pool.close(fill).expect("nobody holds a window")
    }

    /// The bodies of a window without their compression.
    pub(crate) fn raw(&mut self, window: &Window) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        self.encoder.window(window, &mut |batch| {
            bodies.push(snap::raw::Decoder::new().decompress_vec(batch.body).expect("snappy"));
        });
        bodies
    }

    /// The bodies of a window as they are sent.
    pub(crate) fn bodies(&mut self, window: &Window) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        self.encoder.window(window, &mut |batch| bodies.push(batch.body.to_vec()));
        bodies
    }

    pub(crate) fn received(&self) -> &Received {
        &self.received
    }
}

/// Drops what has the label `drop`, gives what has the label `rename` that name, and takes both and `unseen` away.
pub(crate) struct Rename;

impl Relabel for Rename {
    fn relabel(&mut self, labels: &mut Labels) -> bool {
        let name = labels.get("rename").to_owned();
        if !name.is_empty() {
            labels.set("__name__", &name);
        }
        let dropped = !labels.get("drop").is_empty();
        ["drop", "rename", "unseen"].iter().for_each(|name| labels.remove(name));
        !dropped
    }
}
