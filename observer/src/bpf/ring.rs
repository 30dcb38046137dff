//! The ring buffer, from its reading end.

use std::os::fd::{AsRawFd, RawFd};

use super::RawRing;

/// Records that wait to be decoded.
pub(crate) struct Ring(RawRing);

impl Ring {
    pub(super) fn new(ring: RawRing) -> Self {
        Self(ring)
    }

    /// Hands over what is there now, at most `limit` records, and returns how many there were.
    pub(crate) fn drain(&mut self, limit: usize, mut sink: impl FnMut(&[u8])) -> usize {
        let mut n = 0;
        while n < limit {
            let Some(record) = self.0.next() else { break };
            sink(&record);
            n += 1;
        }
        n
    }
}

/// Becomes readable when the ring is a good share full.
impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
