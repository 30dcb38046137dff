//! observer's kernel programs. Entry points only: each takes its arguments and hands them on.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![expect(clippy::needless_pass_by_value, reason = "the entry points' macros hand the context over by value")]

mod call;
mod connect;
mod emit;
mod exchange;
mod filter;
mod kernel;
mod listen;
mod place;
mod socket;
mod sweep;
mod words;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, TracePointContext},
};
use core::ffi::c_void;

use kernel::{Sk, Task};

/// A TCP socket changes its state (`include/trace/events/sock.h`).
#[btf_tracepoint(function = "inet_sock_set_state")]
fn state(ctx: BtfTracePointContext) {
    connect::state_changed(Sk::new(ctx.arg(0)), ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
}

/// As [`state`], behind it: for the changes during which that one was busy.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn state_nested(ctx: BtfTracePointContext) {
    connect::state_changed_nested(
        &ctx,
        Sk::new(ctx.arg(0)),
        ctx.arg::<i32>(1) as u8,
        ctx.arg::<i32>(2) as u8,
    );
}

/// A program has sent.
#[btf_tracepoint(function = "sock_send_length")]
fn send(ctx: BtfTracePointContext) {
    exchange::sent(Sk::new(ctx.arg(0)), ctx.arg(1));
}

/// A program has received.
#[btf_tracepoint(function = "sock_recv_length")]
fn receive(ctx: BtfTracePointContext) {
    exchange::received(Sk::new(ctx.arg(0)), ctx.arg(1), ctx.arg(2));
}

/// Data has reached a socket.
#[btf_tracepoint(function = "sk_data_ready")]
fn data_ready(ctx: BtfTracePointContext) {
    exchange::ready(Sk::new(ctx.arg(0)));
}

/// A segment is sent again.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn retransmit(ctx: BtfTracePointContext) {
    exchange::retransmitted(Sk::new(ctx.arg(0)));
}

/// A SYN-ACK is sent again.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
fn retransmit_synack(_: BtfTracePointContext) {
    exchange::syn_ack_retransmitted();
}

/// A reset is sent.
#[btf_tracepoint(function = "tcp_send_reset")]
fn reset_sent(ctx: BtfTracePointContext) {
    let sk = Sk::new(ctx.arg(0));
    exchange::reset((!sk.is_null()).then_some(sk), 0);
}

/// A reset is received.
#[btf_tracepoint(function = "tcp_receive_reset")]
fn reset_received(ctx: BtfTracePointContext) {
    exchange::reset(Some(Sk::new(ctx.arg(0))), 1);
}

/// `connect` is entered: `(fd, address, length)` at 16, 24, 32 of the tracepoint's record.
#[tracepoint]
fn connect_enter(ctx: TracePointContext) -> u32 {
    // SAFETY: the field lies within the record.
    let fd = unsafe { ctx.read_at::<u64>(16) };
    // SAFETY: as above.
    let address = unsafe { ctx.read_at::<u64>(24) };
    if let (Ok(fd), Ok(address)) = (fd, address) {
        call::enter(fd, address);
    }
    0
}

/// `connect` returns: the result at 16 of the tracepoint's record.
#[tracepoint]
fn connect_exit(ctx: TracePointContext) -> u32 {
    // SAFETY: the field lies within the record.
    if let Ok(result) = unsafe { ctx.read_at::<i64>(16) } {
        call::exit(result);
    }
    0
}

/// `accept` or `accept4` returns: the result at 16 of the tracepoint's record.
#[tracepoint]
fn accept_exit(ctx: TracePointContext) -> u32 {
    // SAFETY: the field lies within the record.
    if let Ok(fd) = unsafe { ctx.read_at::<i64>(16) } {
        call::accepted(fd);
    }
    0
}

/// As [`connect_enter`], on the stack's own function: `(socket, address, …)`.
#[fentry(function = "inet_stream_connect")]
fn connect_fentry(ctx: FEntryContext) {
    call::enter_socket(ctx.arg(0), ctx.arg(1));
}

/// As [`connect_exit`].
#[fexit(function = "inet_stream_connect")]
fn connect_fexit(ctx: FExitContext) {
    if let Ok(result) = ctx.ret::<i32>() {
        call::exit(i64::from(result));
    }
}

/// As [`accept_exit`]: the new socket is the result.
#[fexit(function = "inet_csk_accept")]
fn accept_fexit(ctx: FExitContext) {
    if let Ok(sk) = ctx.ret::<u64>() {
        call::accepted_socket(sk);
    }
}

/// As [`send`], where the tracepoint is missing.
#[fexit(function = "tcp_sendmsg")]
fn send_fexit(ctx: FExitContext) {
    if let Ok(result) = ctx.ret() {
        exchange::sent(Sk::new(ctx.arg(0)), result);
    }
}

/// As [`receive`], where the tracepoint is missing: `(sk, msg, len, flags, addr_len)`.
#[fexit(function = "tcp_recvmsg")]
fn receive_fexit(ctx: FExitContext) {
    if let Ok(result) = ctx.ret() {
        exchange::received(Sk::new(ctx.arg(0)), result, ctx.arg(3));
    }
}

/// As [`receive_fexit`], before 5.19: `(sk, msg, len, nonblock, flags, addr_len)`.
#[fexit(function = "tcp_recvmsg")]
fn receive_fexit_nonblock(ctx: FExitContext) {
    if let Ok(result) = ctx.ret() {
        exchange::received(Sk::new(ctx.arg(0)), result, ctx.arg(4));
    }
}

/// As [`data_ready`], where the tracepoint is missing.
#[fentry(function = "sock_def_readable")]
fn data_ready_fentry(ctx: FEntryContext) {
    exchange::ready(Sk::new(ctx.arg(0)));
}

/// The iterators' contexts: pointers, eight bytes each (`DEFINE_BPF_ITER_FUNC`).
struct IterContext(*mut c_void);

impl IterContext {
    #[inline(always)]
    fn word(&self, n: usize) -> *mut c_void {
        let word = self.0.cast::<*mut c_void>().wrapping_add(n);
        // SAFETY: every iterator used here has that many words.
        unsafe { *word }
    }

    /// `meta->seq`, the first word of the context's first word.
    #[inline(always)]
    fn seq(&self) -> *mut aya_ebpf::bindings::seq_file {
        // SAFETY: `meta` is never null.
        unsafe { *self.word(0).cast() }
    }
}

/// The sweep over active sockets: `{meta, map, sk, value}`.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn sweep_sockets(ctx: *mut c_void) -> i32 {
    let ctx = IterContext(ctx);
    let sk = Sk::new(ctx.word(2));
    if !sk.is_null() {
        sweep::visit(sk, ctx.seq());
    }
    0
}

/// The sweep over listening sockets.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
extern "C" fn sweep_listeners(ctx: *mut c_void) -> i32 {
    let ctx = IterContext(ctx);
    let sk = Sk::new(ctx.word(2));
    if !sk.is_null() {
        listen::report(sk, ctx.seq());
    }
    0
}

/// Finds the sockets that are there already, and whose they are: `{meta, task, fd, file}`.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn seed(ctx: *mut c_void) -> i32 {
    let ctx = IterContext(ctx);
    if let (Some(task), Some(sk)) = (Task::new(ctx.word(1)), Sk::of_file(ctx.word(3))) {
        listen::seed(sk, task);
    }
    0
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// What the kernel asks for before it lends its GPL-only helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(target_arch = "bpf"))]
fn main() {}
