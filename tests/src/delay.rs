//! A slower path: holds the packets of an NFQUEUE and then accepts them.
//!
//! `netem` would do the same, where the kernel has it. This needs only NFQUEUE and raw netlink.
//! Message layouts: `include/uapi/linux/netfilter/nfnetlink_queue.h`.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    clock,
    netns::Netns,
    sys::{check_fd, check_len, setns},
};

const NFNL_SUBSYS_QUEUE: u16 = 3;
const NFQNL_MSG_PACKET: u16 = 0;
const NFQNL_MSG_VERDICT: u16 = 1;
const NFQNL_MSG_CONFIG: u16 = 2;
const NFQA_PACKET_HDR: u16 = 1;
const NFQA_VERDICT_HDR: u16 = 2;
const NF_ACCEPT: u32 = 1;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;

/// A running delayer; the queue goes away with it.
pub(crate) struct Delay {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Delay {
    /// Takes the queue of that namespace over and holds each packet for `milliseconds`.
    #[track_caller]
    pub(crate) fn start(namespace: &Netns, queue: u16, milliseconds: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (started, starts) = mpsc::sync_channel(1);
        let (inside, stopped) = (namespace.handle(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let bound = setns(inside.as_fd(), libc::CLONE_NEWNET).and_then(|()| bind(queue));
            let socket = bound.as_ref().ok().and_then(|socket| socket.try_clone().ok());
            if started.send(bound.map(drop)).is_ok()
                && let Some(socket) = socket
            {
                hold(&socket, queue, Duration::from_millis(milliseconds), &stopped);
            }
        });
        if let Err(error) = starts.recv().expect("the thread reports") {
            panic!("cannot take NFQUEUE {queue}, which delays packets: {error}");
        }
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; the test fails for want of packets.
            let _ = thread.join();
        }
    }
}

fn bind(queue: u16) -> io::Result<OwnedFd> {
    const NETLINK_NETFILTER: libc::c_int = 12;
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes values only.
    let socket = check_fd(unsafe { libc::socket(libc::AF_NETLINK, kind, NETLINK_NETFILTER) }.into())?;
    // NFQA_CFG_CMD bind; NFQA_CFG_PARAMS copy no payload; NFQA_CFG_QUEUE_MAXLEN; NFQA_CFG_MASK and FLAGS: fail open, GSO.
    let flags: [u8; 4] = 5u32.to_be_bytes();
    for attributes in [
        vec![(1, vec![1, 0, 0, 0])],
        vec![(2, vec![0, 0, 0, 0, 1])],
        vec![(3, 65_536u32.to_be_bytes().to_vec())],
        vec![(4, flags.to_vec()), (5, flags.to_vec())],
    ] {
        send(&socket, &message(NFQNL_MSG_CONFIG, queue, NLM_F_REQUEST | NLM_F_ACK, &attributes))?;
        let mut reply = [0; 4096];
        let length = receive(&socket, &mut reply)?;
        let code = reply.get(16..20).filter(|_| length >= 20).and_then(|bytes| bytes.try_into().ok());
        match code.map(i32::from_ne_bytes) {
            Some(0) => {}
            Some(code) => return Err(io::Error::from_raw_os_error(-code)),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    Ok(socket)
}

fn hold(socket: &OwnedFd, queue: u16, delay: Duration, stop: &AtomicBool) {
    // The delay is one for all, so packets leave in the order in which they came.
    let mut held: VecDeque<(Instant, u32)> = VecDeque::new();
    let mut buffer = vec![0; 1 << 17];
    while !stop.load(Relaxed) {
        let now = clock::now();
        while let Some((_, packet)) = held.pop_front_if(|(due, _)| *due <= now) {
            let verdict = [NF_ACCEPT.to_be_bytes(), packet.to_be_bytes()].concat();
            // The packet may be gone with its socket; there is nothing to do about that.
            let _ = send(
                socket,
                &message(NFQNL_MSG_VERDICT, queue, NLM_F_REQUEST, &[(NFQA_VERDICT_HDR, verdict)]),
            );
        }
        let idle = Duration::from_millis(50);
        let pause = held.front().map_or(idle, |(due, _)| due.saturating_duration_since(now).min(idle));
        if !readable(socket, pause) {
            continue;
        }
        if let Ok(length) = receive(socket, &mut buffer) {
            let due = clock::now() + delay;
            held.extend(packets(&buffer[..length]).map(|packet| (due, packet)));
        }
    }
}

fn readable(socket: &OwnedFd, limit: Duration) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = libc::timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
    // SAFETY: one initialised `pollfd`, a time limit, no signal mask.
    unsafe { libc::ppoll(&raw mut poll, 1, &raw const limit, std::ptr::null()) == 1 }
}

/// One netlink message with an `nfgenmsg` head.
fn message(kind: u16, queue: u16, flags: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    bytes.extend([0, 0]);
    bytes.extend(queue.to_be_bytes());
    for (attribute, value) in attributes {
        bytes.extend(u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_ne_bytes());
        bytes.extend(attribute.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&(NFNL_SUBSYS_QUEUE << 8 | kind).to_ne_bytes());
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

/// The packet numbers in a batch of messages.
fn packets(mut bytes: &[u8]) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        loop {
            let (length, kind) = (u32_at(bytes, 0)? as usize, u16_at(bytes, 4)?);
            let one = bytes.get(20..length)?;
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
            if kind == NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET
                && let Some(packet) = packet_number(one)
            {
                return Some(packet);
            }
        }
    })
}

fn packet_number(mut attributes: &[u8]) -> Option<u32> {
    loop {
        let (length, kind) = (usize::from(u16_at(attributes, 0)?), u16_at(attributes, 2)? & 0x7fff);
        if kind == NFQA_PACKET_HDR {
            return Some(u32::from_be(u32_at(attributes, 4)?));
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length are those of a live slice.
    check_len(unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) }).map(drop)
}

fn receive(socket: &OwnedFd, bytes: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of a live, writable slice.
    check_len(unsafe { libc::recv(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) })
}
