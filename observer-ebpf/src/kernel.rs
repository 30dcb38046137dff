//! The kernel as the programs see it: helpers and struct fields. The only unsafe reads.
//!
//! Field offsets are globals that the agent fills from the running kernel's BTF before it loads the programs. The verifier sees
//! them as constants, so that a load is a direct one from a BTF-typed pointer, without `bpf_probe_read_kernel`.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    Global,
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, seq_file},
    helpers::generated::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_get_socket_cookie,
        bpf_ktime_get_ns, bpf_probe_read_kernel, bpf_seq_write, bpf_sk_storage_delete, bpf_sk_storage_get,
        bpf_skc_to_tcp_sock, bpf_sock_from_file,
    },
};
use observer_abi::record::Identity;

use crate::words::put_16;

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* #[unsafe(no_mangle)] static $name: Global<u32> = Global::new(u32::MAX);)+
    };
}

offsets! {
    SK_FAMILY, SK_STATE, SK_DADDR, SK_RCV_SADDR, SK_DPORT, SK_NUM, SK_V6_DADDR, SK_V6_RCV_SADDR, SK_NET, SK_PROTOCOL, SK_ERR,
    SK_SHUTDOWN, SK_FLAGS, SK_COOKIE, SK_ACK_BACKLOG, SK_MAX_ACK_BACKLOG, SK_DROPS, NET_INUM, ICSK_CA_STATE, TP_SRTT_US, TP_RTT_MIN,
    TP_TOTAL_RETRANS, TP_BYTES_SENT, TP_BYTES_RETRANS, TP_BYTES_RECEIVED, TP_CLOCK_CACHE, TP_FIRST_TX, TP_COPIED_SEQ,
    TP_RCVQ_TIME, TASK_GROUP_LEADER, TASK_COMM, TASK_TGID, TASK_CGROUPS, CSS_SET_CGROUP, CGROUP_KN, KERNFS_ID, TASK_FILES, FILES_FDT, FDT_FD, FDT_MAX_FDS, FILE_PRIVATE, SOCKET_SK, SOCKET_STATE,
}

/// A socket pointer the verifier knows the type of: a tracepoint's or an iterator's argument.
#[derive(Clone, Copy)]
pub(crate) struct Sk(*mut c_void);

/// A socket known to be TCP, for the fields of `struct tcp_sock`.
#[derive(Clone, Copy)]
pub(crate) struct TcpSk(*const u8);

/// A kernel address that only `bpf_probe_read_kernel` may follow.
#[derive(Clone, Copy)]
pub(crate) struct Untrusted(u64);

#[inline(always)]
fn load<T: Copy>(base: *const u8, offset: &Global<u32>) -> T {
    // SAFETY: `base` is a pointer the verifier has typed, and `offset` a constant to it, taken from the kernel's own BTF. The
    // verifier refuses a load outside the type, and a fault reads as zero.
    unsafe { base.wrapping_add(offset.load() as usize).cast::<T>().read_volatile() }
}

impl Sk {
    /// Takes a tracepoint's or iterator's `struct sock` argument.
    #[inline(always)]
    pub(crate) fn new(sk: *mut c_void) -> Self {
        Self(sk)
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The socket's address, as a key that outlives no socket.
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    fn field<T: Copy>(self, offset: &Global<u32>) -> T {
        load(self.0.cast_const().cast(), offset)
    }

    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        const IPPROTO_TCP: u16 = 6;
        const AF_INET: u16 = 2;
        const AF_INET6: u16 = 10;
        self.field::<u16>(&SK_PROTOCOL) == IPPROTO_TCP && matches!(self.family(), AF_INET | AF_INET6)
    }

    #[inline(always)]
    pub(crate) fn family(self) -> u16 {
        self.field(&SK_FAMILY)
    }

    #[inline(always)]
    pub(crate) fn state(self) -> u8 {
        self.field(&SK_STATE)
    }

    /// `sk_err`, 0 for none.
    #[inline(always)]
    pub(crate) fn error(self) -> u16 {
        self.field::<u32>(&SK_ERR) as u16
    }

    #[inline(always)]
    pub(crate) fn shutdown(self) -> u8 {
        self.field(&SK_SHUTDOWN)
    }

    /// Whether the peer's FIN was received: it counts as one byte in `bytes_received`.
    #[inline(always)]
    fn fin_received(self) -> bool {
        // SOCK_DONE is bit 1 of sk_flags and set by tcp_fin() (include/net/sock.h, net/ipv4/tcp_input.c).
        self.field::<u64>(&SK_FLAGS) & 2 != 0
    }

    #[inline(always)]
    pub(crate) fn listen_queue(self) -> (u32, u32, u32) {
        let drops = if SK_DROPS.load() == u32::MAX { 0 } else { self.field(&SK_DROPS) };
        (self.field(&SK_ACK_BACKLOG), self.field(&SK_MAX_ACK_BACKLOG), drops)
    }

    /// `icsk_ca_state`: the low five bits of its byte.
    #[inline(always)]
    pub(crate) fn congestion_state(self) -> u8 {
        match self.tcp() {
            Some(tcp) => load::<u8>(tcp.0, &ICSK_CA_STATE) & 0x1f,
            None => 0,
        }
    }

    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let net: *const u8 = self.field(&SK_NET);
        load(net, &NET_INUM)
    }

    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        self.field(&SK_NUM)
    }

    /// Fills in both ends as they are now.
    #[inline(always)]
    pub(crate) fn read_ends(self, id: &mut Identity) {
        const AF_INET6: u16 = 10;
        id.family = self.family();
        id.peer_port = u16::from_be(self.field(&SK_DPORT));
        id.local_port = self.local_port();
        if id.family == AF_INET6 {
            put_16(&mut id.peer, self.field(&SK_V6_DADDR));
            put_16(&mut id.local, self.field(&SK_V6_RCV_SADDR));
        } else {
            put_16(&mut id.peer, mapped(self.field(&SK_DADDR)));
            put_16(&mut id.local, mapped(self.field(&SK_RCV_SADDR)));
        }
    }

    #[inline(always)]
    pub(crate) fn cookie(self) -> u64 {
        // SAFETY: the helper takes any socket the verifier knows the type of.
        unsafe { bpf_get_socket_cookie(self.0) }
    }

    /// The socket's cookie if it has one already, else 0.
    #[inline(always)]
    pub(crate) fn known_cookie(self) -> u64 {
        self.field(&SK_COOKIE)
    }

    /// The socket behind a `struct file`, if it is one.
    #[inline(always)]
    pub(crate) fn of_file(file: *mut c_void) -> Option<Self> {
        if file.is_null() {
            return None;
        }
        // SAFETY: the helper checks the file and answers null for any other kind.
        let socket = unsafe { bpf_sock_from_file(file.cast()) };
        if socket.is_null() {
            return None;
        }
        let sk: *mut c_void = load(socket.cast_const().cast(), &SOCKET_SK);
        if sk.is_null() { None } else { Some(Self(sk)) }
    }

    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<TcpSk> {
        // SAFETY: the helper checks the socket and answers null for any other kind.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0) };
        if tcp.is_null() { None } else { Some(TcpSk(tcp.cast_const().cast())) }
    }

    /// The socket's value in a socket storage map, if there is one.
    #[inline(always)]
    pub(crate) fn storage<T, const F: usize>(self, map: &SocketStorage<T, F>) -> Option<&'static mut T> {
        self.storage_with(map, 0)
    }

    /// The socket's value in a socket storage map, made of zeros if there was none.
    #[inline(always)]
    pub(crate) fn storage_or_new<T, const F: usize>(
        self,
        map: &SocketStorage<T, F>,
    ) -> Option<&'static mut T> {
        self.storage_with(map, BPF_SK_STORAGE_GET_F_CREATE.into())
    }

    #[inline(always)]
    fn storage_with<T, const F: usize>(
        self,
        map: &SocketStorage<T, F>,
        flags: u64,
    ) -> Option<&'static mut T> {
        // SAFETY: the helper takes any socket the verifier knows the type of. Its value is null or a `T`, all of whose bit
        // patterns are valid, that lives while the program runs. Two CPUs may hold it at once: what both write goes through `add`, and the rest tolerates a torn view.
        let value = unsafe {
            bpf_sk_storage_get(ptr::from_ref(map).cast_mut().cast(), self.0, ptr::null_mut(), flags)
        };
        // SAFETY: see above.
        unsafe { value.cast::<T>().as_mut() }
    }

    #[inline(always)]
    pub(crate) fn storage_delete<T, const F: usize>(self, map: &SocketStorage<T, F>) {
        // SAFETY: the helper takes any full socket; without a value it does nothing.
        unsafe { bpf_sk_storage_delete(ptr::from_ref(map).cast_mut().cast(), self.0) };
    }
}

/// An IPv4 address (network byte order, as it lies in memory) as the halves of an IPv4-mapped IPv6 one.
#[inline(always)]
fn mapped(v4: u32) -> [u64; 2] {
    let shift = if cfg!(target_endian = "little") { 32 } else { 0 };
    [0, u64::from_ne_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]) | u64::from(v4) << shift]
}

impl TcpSk {
    /// Smoothed RTT in microseconds: `srtt_us` holds eighths.
    #[inline(always)]
    pub(crate) fn srtt_us(self) -> u32 {
        load::<u32>(self.0, &TP_SRTT_US) >> 3
    }

    /// The windowed minimum RTT in microseconds (`rtt_min.s[0].v`).
    #[inline(always)]
    pub(crate) fn min_rtt_us(self) -> u32 {
        load(self.0, &TP_RTT_MIN)
    }

    #[inline(always)]
    pub(crate) fn total_retrans(self) -> u32 {
        load(self.0, &TP_TOTAL_RETRANS)
    }

    /// Payload bytes sent for the first time. Unlike `bytes_acked`, SYN and FIN are not in it.
    #[inline(always)]
    pub(crate) fn sent(self) -> u64 {
        load::<u64>(self.0, &TP_BYTES_SENT).wrapping_sub(load(self.0, &TP_BYTES_RETRANS))
    }

    /// Payload bytes received, without the FIN.
    #[inline(always)]
    pub(crate) fn received(self, sk: Sk) -> u64 {
        load::<u64>(self.0, &TP_BYTES_RECEIVED).saturating_sub(u64::from(sk.fin_received()))
    }

    /// The clock as the stack last read it for this socket, nanoseconds of `CLOCK_MONOTONIC`.
    #[inline(always)]
    pub(crate) fn clock_ns(self) -> u64 {
        load(self.0, &TP_CLOCK_CACHE)
    }

    /// Send time of the segment acknowledged last, or of the first one in flight, in nanoseconds (kept in microseconds).
    #[inline(always)]
    pub(crate) fn first_tx_ns(self) -> u64 {
        load::<u64>(self.0, &TP_FIRST_TX).wrapping_mul(1000)
    }

    /// How far the program has read.
    #[inline(always)]
    pub(crate) fn copied_seq(self) -> u32 {
        load(self.0, &TP_COPIED_SEQ)
    }
}

impl Untrusted {
    /// The socket behind a file descriptor of the current task, if it is one, and its `enum socket_state`.
    #[inline(always)]
    pub(crate) fn socket_of_fd(fd: u32) -> Option<(Self, u32)> {
        // SAFETY: the helper has no precondition.
        let task = Self(unsafe { bpf_get_current_task_btf() } as u64);
        let fdt = task.follow(&TASK_FILES)?.follow(&FILES_FDT)?;
        if fd >= fdt.read::<u32>(&FDT_MAX_FDS)? {
            return None;
        }
        let file = Self(fdt.read::<u64>(&FDT_FD)? + u64::from(fd) * 8).deref()?;
        // A file that is no socket has other private data: what is read of it then fails the caller's checks.
        file.follow(&FILE_PRIVATE)?.of_socket()
    }

    /// The `struct sock` of a `struct socket`, and its `enum socket_state`.
    #[inline(always)]
    pub(crate) fn socket(socket: u64) -> Option<(Self, u32)> {
        Self::new(socket)?.of_socket()
    }

    /// An address to be followed with care.
    #[inline(always)]
    pub(crate) fn new(address: u64) -> Option<Self> {
        if address == 0 { None } else { Some(Self(address)) }
    }

    #[inline(always)]
    fn of_socket(self) -> Option<(Self, u32)> {
        Some((self.follow(&SOCKET_SK)?, self.read(&SOCKET_STATE)?))
    }

    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn deref(self) -> Option<Self> {
        let mut value = 0u64;
        read_kernel(&mut value, self.0).then_some(Self(value)).filter(|p| p.0 != 0)
    }

    #[inline(always)]
    fn follow(self, offset: &Global<u32>) -> Option<Self> {
        Self(self.0 + u64::from(offset.load())).deref()
    }

    #[inline(always)]
    fn read<T: Copy + Default>(self, offset: &Global<u32>) -> Option<T> {
        let mut value = T::default();
        read_kernel(&mut value, self.0 + u64::from(offset.load())).then_some(value)
    }

    /// `(protocol, family, local port, network namespace)`.
    #[inline(always)]
    pub(crate) fn ends(self) -> Option<(u16, u16, u16, u32)> {
        let net = self.follow(&SK_NET)?;
        Some((self.read(&SK_PROTOCOL)?, self.read(&SK_FAMILY)?, self.read(&SK_NUM)?, net.read(&NET_INUM)?))
    }

    /// When the connection was established, nanoseconds, as long as the program has not read from it: the receive queue's first
    /// measurement starts in `tcp_init_transfer` (`rcvq_space.time`, microseconds).
    #[inline(always)]
    pub(crate) fn established_ns(self) -> Option<u64> {
        self.read::<u64>(&TP_RCVQ_TIME).map(|us| us.wrapping_mul(1000))
    }
}

#[inline(always)]
pub(crate) fn read_kernel<T>(into: &mut T, address: u64) -> bool {
    // SAFETY: `into` is valid for its size, and the helper checks the source.
    unsafe {
        bpf_probe_read_kernel(ptr::from_mut(into).cast(), size_of::<T>() as u32, address as *const c_void)
            == 0
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_ktime_get_ns() }
}

/// The current task's thread group id.
#[inline(always)]
pub(crate) fn current_pid() -> u32 {
    // SAFETY: the helper has no precondition.
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// Fills in the owner from the current task: only in the context of the process that uses the socket.
#[inline(always)]
pub(crate) fn read_owner(id: &mut Identity) {
    id.pid = current_pid();
    // SAFETY: the helper has no precondition.
    id.cgroup = unsafe { bpf_get_current_cgroup_id() };
    // SAFETY: the helper has no precondition.
    Task(unsafe { bpf_get_current_task_btf() }.cast_const().cast()).read_name(id);
}

/// A task that the verifier knows the type of.
#[derive(Clone, Copy)]
pub(crate) struct Task(*const u8);

impl Task {
    /// Takes an iterator's `struct task_struct`.
    #[inline(always)]
    pub(crate) fn new(task: *mut c_void) -> Option<Self> {
        if task.is_null() { None } else { Some(Self(task.cast_const().cast())) }
    }

    /// The leader's name is the program's; a thread's own name is often that of a pool.
    #[inline(always)]
    fn read_name(self, id: &mut Identity) {
        let leader: *const u8 = load(self.0, &TASK_GROUP_LEADER);
        put_16(&mut id.comm, load(leader, &TASK_COMM));
    }

    /// Fills in the owner, of a task that is not the current one.
    #[inline(always)]
    pub(crate) fn read(self, id: &mut Identity) {
        id.pid = load(self.0, &TASK_TGID);
        self.read_name(id);
        let cgroups: *const u8 = load(self.0, &TASK_CGROUPS);
        let cgroup: *const u8 = load(cgroups, &CSS_SET_CGROUP);
        let node: *const u8 = load(cgroup, &CGROUP_KN);
        id.cgroup = load(node, &KERNFS_ID);
    }
}

/// A socket storage map. aya's own type has no way to ask for `BPF_F_CLONE`, by which a connection inherits its listener's value.
#[repr(C)]
pub(crate) struct SocketStorage<T, const FLAGS: usize> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

/// Writes to an iterator's own file. False if it had no room: the kernel then hands what is there to the reader, and visits the
/// same socket again.
#[inline(always)]
pub(crate) fn write_report<T>(seq: *mut seq_file, report: &T) -> bool {
    // SAFETY: `seq` is the iterator's own file, and the report is as long as said.
    unsafe { bpf_seq_write(seq, ptr::from_ref(report).cast(), size_of::<T>() as u32) == 0 }
}

const BPF_MAP_TYPE_SK_STORAGE: usize = 24;

/// `BPF_F_NO_PREALLOC`, which socket storage asks for.
pub(crate) const PLAIN: usize = 1;
/// `BPF_F_NO_PREALLOC | BPF_F_CLONE`.
pub(crate) const CLONED: usize = 1 | 1 << 9;

// SAFETY: the fields are placeholders that the loader reads from BTF; nothing dereferences them.
unsafe impl<T, const FLAGS: usize> Sync for SocketStorage<T, FLAGS> {}

impl<T, const FLAGS: usize> SocketStorage<T, FLAGS> {
    pub(crate) const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }
}
