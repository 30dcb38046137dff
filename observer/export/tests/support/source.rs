//! Blocks, windows, an encoder and a receiver behind it.

use observer_aggregate::{
    series::Block,
    window::{Pool, Source},
};
use observer_export::{
    Encode as _,
    remote_write::{Encoder, Options},
};

use crate::receiver::Received;

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
        self.encoder.window(&window, &mut |batch| self.received.take(&batch));
    }

    /// Closes a window that the encoder never sees.
    pub(crate) fn close(
        &mut self,
        end_ms: i64,
        blocks: &mut [&mut Block],
    ) -> std::sync::Arc<observer_aggregate::window::Window> {
        let fill = |window: &mut observer_aggregate::window::Window| {
            window.begin(end_ms, true);
            for block in blocks {
                window.take(Source::Scrape, block);
            }
        };
        self.pool.close(fill).expect("nobody holds a window")
    }

    pub(crate) fn received(&self) -> &Received {
        &self.received
    }
}
