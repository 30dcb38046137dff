//! The ring buffer, from its reading end.

use std::{
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use super::RawRing;

/// Records that wait to be decoded.
pub(crate) struct Ring(RawRing);

impl Ring {
    pub(super) fn new(ring: RawRing) -> Self {
        Self(ring)
    }

    /// Waits until the ring is a good share full, but at most this long.
    #[expect(
        unsafe_code,
        reason = "a wait on one file descriptor, without a reactor between it and the ring"
    )]
    pub(crate) fn wait(&self, at_most: Duration) {
        let mut fd = libc::pollfd { fd: self.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // A fraction of a millisecond counts as one: zero would spin.
        let ms = at_most.as_micros().div_ceil(1000);
        // SAFETY: one `pollfd` of ours. An interrupted wait is a short one.
        unsafe { libc::poll(&raw mut fd, 1, libc::c_int::try_from(ms).unwrap_or(libc::c_int::MAX)) };
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
