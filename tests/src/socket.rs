//! Sockets as the kernel offers them: the standard library hides what these tests are about.

use std::{
    io, mem,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use crate::sys::{check, check_fd, check_len};

/// An address in the kernel's form.
pub(crate) struct Address {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Address {
    fn of<T>(value: T) -> Self {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: all-zero bytes are a valid `sockaddr_storage`.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        // SAFETY: the destination is larger than `T` (asserted) and aligned for every kind of address.
        unsafe { (&raw mut storage).cast::<T>().write(value) };
        Self { storage, length: libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default() }
    }

    /// An abstract Unix address; `name` is at most 100 bytes.
    pub(crate) fn unix(name: &str) -> Self {
        let mut path = [0; 108];
        for (to, from) in path[1..].iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        Self::of(libc::sockaddr_un { sun_family: family(libc::AF_UNIX), sun_path: path })
    }

    /// The address that dissolves a socket's connection.
    pub(crate) fn unspecified() -> Self {
        Self::of(libc::sockaddr { sa_family: family(libc::AF_UNSPEC), sa_data: [0; 14] })
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(crate) fn len(&self) -> libc::socklen_t {
        self.length
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(four) => Self::of(libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: four.port().to_be(),
                sin_addr: libc::in_addr { s_addr: four.ip().to_bits().to_be() },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(six) => Self::of(libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: six.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: six.ip().octets() },
                sin6_scope_id: six.scope_id(),
            }),
        }
    }
}

fn family(value: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(value).unwrap_or_default()
}

/// The domain an address belongs to.
pub(crate) fn domain(address: IpAddr) -> libc::c_int {
    if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }
}

/// A socket that answers errors with `errno` and waits for no event longer than [`crate::clock::PATIENCE`].
pub(crate) struct Socket(OwnedFd);

impl Socket {
    pub(crate) fn new(domain: libc::c_int, kind: libc::c_int) -> io::Result<Self> {
        // SAFETY: takes values only.
        let socket = Self(check_fd(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) }.into())?);
        socket.set_timeout(libc::SO_RCVTIMEO, crate::clock::PATIENCE)?;
        Ok(socket)
    }

    /// Not a socket at all, to see what is made of it.
    pub(crate) fn file() -> io::Result<Self> {
        Ok(Self(std::fs::File::open("/dev/null")?.into()))
    }

    pub(crate) fn connect(&self, to: &Address) -> io::Result<()> {
        // SAFETY: the address is as long as it says.
        check(unsafe { libc::connect(self.raw(), to.as_ptr(), to.len()) }).map(drop)
    }

    pub(crate) fn bind(&self, to: &Address) -> io::Result<()> {
        // SAFETY: the address is as long as it says.
        check(unsafe { libc::bind(self.raw(), to.as_ptr(), to.len()) }).map(drop)
    }

    pub(crate) fn listen(&self, backlog: i32) -> io::Result<()> {
        // SAFETY: takes values only.
        check(unsafe { libc::listen(self.raw(), backlog) }).map(drop)
    }

    pub(crate) fn accept(&self) -> io::Result<Self> {
        let (none, flags) = (std::ptr::null_mut(), libc::SOCK_CLOEXEC);
        // SAFETY: the peer's address may be null, its length then too.
        let fd = unsafe { libc::accept4(self.raw(), none, none.cast(), flags) };
        let socket = Self(check_fd(fd.into())?);
        socket.set_timeout(libc::SO_RCVTIMEO, crate::clock::PATIENCE)?;
        Ok(socket)
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let (start, length) = (bytes.as_ptr().cast(), bytes.len());
        // SAFETY: pointer and length are those of a live slice.
        check_len(unsafe { libc::send(self.raw(), start, length, libc::MSG_NOSIGNAL) })
    }

    /// Connects and sends in one call (TCP fast open).
    pub(crate) fn send_first(&self, bytes: &[u8], to: &Address) -> io::Result<usize> {
        let (start, length) = (bytes.as_ptr().cast(), bytes.len());
        let flags = libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL;
        // SAFETY: pointer and length are those of a live slice, and of an address that is as long as it says.
        check_len(unsafe { libc::sendto(self.raw(), start, length, flags, to.as_ptr(), to.len()) })
    }

    pub(crate) fn receive(&self, bytes: &mut [u8]) -> io::Result<usize> {
        // SAFETY: pointer and length are those of a live, writable slice.
        check_len(unsafe { libc::recv(self.raw(), bytes.as_mut_ptr().cast(), bytes.len(), 0) })
    }

    /// Asks the kernel to note when data arrives.
    pub(crate) fn stamp_arrivals(&self) -> io::Result<()> {
        let flags = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags)
    }

    /// Receives, and says when the newest of the bytes reached this host, by the wall clock.
    pub(crate) fn receive_stamped(&self, bytes: &mut [u8]) -> io::Result<(usize, Duration)> {
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // Aligned as control messages must be.
        let mut control = [0u64; 32];
        // SAFETY: all-zero bytes are a valid `msghdr`.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: the message points to live, writable memory of the lengths it says.
        let length = check_len(unsafe { libc::recvmsg(self.raw(), &raw mut message, 0) })?;
        // SAFETY: the kernel has filled the control part of the message.
        let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: null, or a complete header within `control`.
        let stamped = unsafe { first.as_ref() }
            .filter(|head| (head.cmsg_level, head.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING))
            .ok_or_else(|| io::Error::other("the kernel did not say when the data arrived"));
        if length == 0 {
            return Ok((0, Duration::ZERO));
        }
        // SAFETY: a header of this type is followed by three `timespec`, the first by the software clock.
        let data = unsafe { libc::CMSG_DATA(stamped?) };
        // SAFETY: as above; possibly unaligned.
        let stamp = unsafe { data.cast::<libc::timespec>().read_unaligned() };
        let (seconds, nanoseconds) = (u64::try_from(stamp.tv_sec), u32::try_from(stamp.tv_nsec));
        Ok((length, Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())))
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        // SAFETY: takes values only.
        check(unsafe { libc::shutdown(self.raw(), libc::SHUT_WR) }).map(drop)
    }

    pub(crate) fn set_nonblocking(&self, yes: bool) -> io::Result<()> {
        let flag: libc::c_int = yes.into();
        // SAFETY: FIONBIO reads one integer.
        check(unsafe { libc::ioctl(self.raw(), libc::FIONBIO, &raw const flag) }).map(drop)
    }

    /// Sets an option whose value is a plain structure or integer.
    pub(crate) fn set<T: Copy>(&self, level: libc::c_int, name: libc::c_int, value: T) -> io::Result<()> {
        let length = libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default();
        // SAFETY: the kernel reads at most the length of `value`.
        check(unsafe { libc::setsockopt(self.raw(), level, name, (&raw const value).cast(), length) })
            .map(drop)
    }

    pub(crate) fn set_timeout(&self, name: libc::c_int, limit: Duration) -> io::Result<()> {
        let value = libc::timeval {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_usec: limit.subsec_micros().into(),
        };
        self.set(libc::SOL_SOCKET, name, value)
    }

    /// Makes `close` send a reset.
    pub(crate) fn reset_on_close(&self) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_LINGER, libc::linger { l_onoff: 1, l_linger: 0 })
    }

    /// The pending error, which is thereby consumed.
    pub(crate) fn take_error(&self) -> io::Result<()> {
        let mut code: libc::c_int = 0;
        let mut length = libc::socklen_t::try_from(size_of_val(&code)).unwrap_or_default();
        let place = (&raw mut code).cast();
        // SAFETY: `code` and `length` are writable and agree.
        check(unsafe {
            libc::getsockopt(self.raw(), libc::SOL_SOCKET, libc::SO_ERROR, place, &raw mut length)
        })?;
        if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
    }

    /// The kernel's smoothed and smallest round-trip times.
    pub(crate) fn rtt(&self) -> io::Result<(Duration, Duration)> {
        // Offsets from `struct tcp_info` in `include/uapi/linux/tcp.h`: `tcpi_rtt` and `tcpi_min_rtt`.
        let mut info = [0u8; 256];
        let mut length = libc::socklen_t::try_from(info.len()).unwrap_or_default();
        let place = info.as_mut_ptr().cast();
        // SAFETY: `info` and `length` are writable and agree.
        check(unsafe {
            libc::getsockopt(self.raw(), libc::SOL_TCP, libc::TCP_INFO, place, &raw mut length)
        })?;
        let at = |offset: usize| {
            let bytes = [info[offset], info[offset + 1], info[offset + 2], info[offset + 3]];
            Duration::from_micros(u32::from_ne_bytes(bytes).into())
        };
        Ok((at(68), at(148)))
    }

    pub(crate) fn local_port(&self) -> io::Result<u16> {
        self.port_by(libc::getsockname)
    }

    pub(crate) fn peer_port(&self) -> io::Result<u16> {
        self.port_by(libc::getpeername)
    }

    fn port_by(
        &self,
        ask: unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int,
    ) -> io::Result<u16> {
        // The port is the second field of both `sockaddr_in` and `sockaddr_in6`.
        let mut address = [0u8; size_of::<libc::sockaddr_in6>()];
        let mut length = libc::socklen_t::try_from(address.len()).unwrap_or_default();
        // SAFETY: `address` and `length` are writable and agree; the address is written bytewise.
        check(unsafe { ask(self.raw(), address.as_mut_ptr().cast(), &raw mut length) })?;
        Ok(u16::from_be_bytes([address[2], address[3]]))
    }

    /// Waits until an event; false when it does not come within `limit`.
    pub(crate) fn poll(&self, events: libc::c_short, limit: Duration) -> io::Result<bool> {
        let mut poll = libc::pollfd { fd: self.raw(), events, revents: 0 };
        let limit = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one initialised `pollfd`.
        Ok(check(unsafe { libc::poll(&raw mut poll, 1, limit) })? == 1)
    }

    fn raw(&self) -> libc::c_int {
        self.0.as_raw_fd()
    }
}

/// Waits for a socket with something to read or to accept.
pub(crate) fn first_readable(sockets: &[Socket], limit: Duration) -> io::Result<Option<&Socket>> {
    let poll = |socket: &Socket| libc::pollfd { fd: socket.raw(), events: libc::POLLIN, revents: 0 };
    let mut polls: Vec<_> = sockets.iter().map(poll).collect();
    let count = libc::nfds_t::try_from(polls.len()).unwrap_or_default();
    let limit = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `count` initialised structures.
    check(unsafe { libc::poll(polls.as_mut_ptr(), count, limit) })?;
    Ok(sockets.iter().zip(&polls).find_map(|(socket, poll)| (poll.revents != 0).then_some(socket)))
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
