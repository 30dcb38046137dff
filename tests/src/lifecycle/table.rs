//! The table itself.

use super::{
    Fault::{FastOpen, Firewall, ForbidConnect, OnePort, OneRetry, Route, SlowPath},
    Lifecycle,
    Target::{Itself, Nobody, Nowhere, Server},
};
use crate::{
    lab::{BOTH, Family},
    serve::{Listen, Then},
};

const PLAIN: Lifecycle = Lifecycle {
    name: "",
    families: BOTH,
    faults: &[],
    target: Server,
    listen: None,
    client: "",
    connects: &[],
    closes: &[],
    accepts: 0,
    server_closes: &[],
    unsent: 0,
    embryonic: 0,
    proof: &[],
};

/// One connection that is made, used and closed.
const GOOD: Lifecycle = Lifecycle {
    listen: Some(Listen::once("recv:4 send:4 recv:1=EOF close")),
    client: "connect send:4 recv:4 close",
    connects: &["success"],
    closes: &["closed"],
    accepts: 1,
    server_closes: &["closed"],
    ..PLAIN
};

const LOST: Lifecycle = Lifecycle { faults: &[Firewall("-j DROP", "-j DROP")], ..PLAIN };

const V4: &[Family] = &[Family::V4];
const V6: &[Family] = &[Family::V6];

/// Every life.
pub static LIFECYCLES: &[Lifecycle] = &[
    Lifecycle { name: "blocking", ..GOOD },
    Lifecycle {
        name: "nonblocking",
        client: "nonblock connect=EINPROGRESS writable block send:4 recv:4 close",
        ..GOOD
    },
    // Asking again whether it is connected is no attempt.
    Lifecycle {
        name: "polled",
        faults: &[SlowPath(50)],
        client: "nonblock connect=EINPROGRESS connect=EALREADY connect=EALREADY writable connect connect=EISCONN \
                 block send:4 recv:4 close",
        ..GOOD
    },
    Lifecycle {
        name: "interrupted",
        faults: &[SlowPath(300)],
        client: "interrupt_after:50 connect=EINTR writable send:4 recv:4 close",
        ..GOOD
    },
    Lifecycle { name: "mapped", families: V4, client: "mapped connect send:4 recv:4 close", ..GOOD },
    Lifecycle { name: "thread", client: "thread connect send:4 recv:4 close", ..GOOD },
    Lifecycle { name: "forked", client: "connect fork send:4 recv:4 close", ..GOOD },
    Lifecycle { name: "uring", client: "uring_connect send:4 recv:4 close", ..GOOD },
    Lifecycle { name: "uring_worker", client: "uring_connect:async send:4 recv:4 close", ..GOOD },
    Lifecycle {
        name: "uring_refused",
        client: "uring_connect=ECONNREFUSED close",
        connects: &["refused ECONNREFUSED"],
        ..PLAIN
    },
    Lifecycle {
        name: "refused",
        client: "connect=ECONNREFUSED close",
        connects: &["refused ECONNREFUSED"],
        ..PLAIN
    },
    Lifecycle {
        name: "refused_later",
        client: "nonblock connect=EINPROGRESS writable=ECONNREFUSED close",
        connects: &["refused ECONNREFUSED"],
        ..PLAIN
    },
    Lifecycle {
        name: "second_try",
        client: "connect:closed=ECONNREFUSED connect send:4 recv:4 close",
        connects: &["refused ECONNREFUSED", "success"],
        ..GOOD
    },
    Lifecycle {
        name: "port_reject",
        faults: &[Firewall(
            "-j REJECT --reject-with icmp-port-unreachable",
            "-j REJECT --reject-with icmp6-port-unreachable",
        )],
        client: "connect=ECONNREFUSED close",
        connects: &["refused ECONNREFUSED"],
        ..PLAIN
    },
    Lifecycle {
        name: "timeout",
        faults: &[Firewall("-j DROP", "-j DROP"), OneRetry],
        client: "connect=ETIMEDOUT close",
        connects: &["timeout ETIMEDOUT"],
        ..PLAIN
    },
    Lifecycle {
        name: "user_timeout",
        client: "user_timeout:500 connect=ETIMEDOUT close",
        connects: &["timeout ETIMEDOUT"],
        ..LOST
    },
    Lifecycle {
        name: "canceled",
        client: "nonblock connect=EINPROGRESS give_up_after:100 close",
        connects: &["canceled"],
        ..LOST
    },
    Lifecycle {
        name: "sndtimeo",
        client: "sndtimeo:200 connect=EINPROGRESS close",
        connects: &["canceled"],
        ..LOST
    },
    Lifecycle { name: "killed", client: "kill_after:200 connect", connects: &["canceled"], ..LOST },
    // The answer finds no socket and is reset; the server never had more than a request.
    Lifecycle {
        name: "canceled_early",
        faults: &[SlowPath(200)],
        listen: Some(Listen { then: Then::Queue, ..Listen::once("") }),
        client: "nonblock connect=EINPROGRESS give_up_after:20 close",
        connects: &["canceled"],
        embryonic: 1,
        ..PLAIN
    },
    Lifecycle {
        name: "host_reject",
        faults: &[Firewall(
            "-j REJECT --reject-with icmp-host-unreachable",
            "-j REJECT --reject-with icmp6-addr-unreachable",
        )],
        client: "connect=EHOSTUNREACH close",
        connects: &["unreachable EHOSTUNREACH"],
        ..PLAIN
    },
    Lifecycle {
        name: "net_reject",
        faults: &[Firewall(
            "-j REJECT --reject-with icmp-net-unreachable",
            "-j REJECT --reject-with icmp6-no-route",
        )],
        client: "connect=ENETUNREACH close",
        connects: &["unreachable ENETUNREACH"],
        ..PLAIN
    },
    Lifecycle {
        name: "prohibited",
        families: V4,
        faults: &[Firewall("-j REJECT --reject-with icmp-admin-prohibited", "")],
        client: "connect=EHOSTUNREACH close",
        connects: &["unreachable EHOSTUNREACH"],
        ..PLAIN
    },
    Lifecycle {
        name: "prohibited",
        families: V6,
        faults: &[Firewall("", "-j REJECT --reject-with icmp6-adm-prohibited")],
        client: "connect=EACCES close",
        connects: &["unreachable EACCES"],
        ..PLAIN
    },
    Lifecycle {
        name: "nobody",
        target: Nobody,
        client: "connect=EHOSTUNREACH close",
        connects: &["unreachable EHOSTUNREACH"],
        ..PLAIN
    },
    Lifecycle {
        name: "no_route",
        target: Nowhere,
        client: "connect=ENETUNREACH close",
        connects: &["local_error ENETUNREACH"],
        ..PLAIN
    },
    Lifecycle {
        name: "dead_route",
        target: Nowhere,
        faults: &[Route("unreachable")],
        client: "connect=EHOSTUNREACH close",
        connects: &["local_error EHOSTUNREACH"],
        ..PLAIN
    },
    Lifecycle {
        name: "closed_route",
        target: Nowhere,
        faults: &[Route("prohibit")],
        client: "connect=EACCES close",
        connects: &["local_error EACCES"],
        ..PLAIN
    },
    Lifecycle {
        name: "no_port",
        faults: &[OnePort],
        client: "connect tcp connect=EADDRNOTAVAIL close send:4 recv:4 close",
        connects: &["success", "local_error EADDRNOTAVAIL"],
        ..GOOD
    },
    Lifecycle {
        name: "port_taken",
        client: "reuseaddr bind:42000 connect tcp reuseaddr bind:42000 connect=EADDRNOTAVAIL close send:4 recv:4 close",
        connects: &["success", "local_error EADDRNOTAVAIL"],
        ..GOOD
    },
    Lifecycle {
        name: "forbidden",
        faults: &[ForbidConnect],
        client: "connect=EPERM close",
        connects: &["local_error EPERM"],
        ..PLAIN
    },
    Lifecycle {
        name: "reset_at_once",
        listen: Some(Listen::once("linger0 close")),
        client: "connect=OK|ECONNRESET recv:1=ECONNRESET|ENOTCONN|EOF close",
        connects: &["success"],
        closes: &["reset ECONNRESET"],
        accepts: 1,
        server_closes: &["closed"],
        proof: &["client EstabResets", "server OutRsts"],
        ..PLAIN
    },
    Lifecycle {
        name: "reset_midway",
        listen: Some(Listen::once("recv:4 send:4 recv:1 linger0 close")),
        client: "connect send:4 recv:4 send:1 recv:1=ECONNRESET close",
        connects: &["success"],
        closes: &["reset ECONNRESET"],
        accepts: 1,
        server_closes: &["closed"],
        proof: &["client EstabResets", "server OutRsts"],
        ..PLAIN
    },
    Lifecycle {
        name: "half_close",
        listen: Some(Listen::once("recv:4 recv:1=EOF send:4 close")),
        client: "connect send:4 shutdown recv:4 recv:1=EOF close",
        ..GOOD
    },
    Lifecycle {
        name: "unread",
        listen: Some(Listen::once("send:4 recv:1=ECONNRESET close")),
        client: "connect readable close",
        server_closes: &["reset ECONNRESET"],
        proof: &["client TCPAbortOnClose", "server EstabResets"],
        ..GOOD
    },
    // A pooled connection that the server gave up while it lay idle.
    Lifecycle {
        name: "idle_pooled",
        listen: Some(Listen::once("recv:4 send:4 close")),
        client: "connect send:4 recv:4 readable close",
        ..GOOD
    },
    Lifecycle {
        name: "stale_pooled",
        listen: Some(Listen::once("recv:4 send:4 close")),
        client: "connect send:4 recv:4 readable send:4 recv:1=EOF send:4=EPIPE close",
        closes: &["reset EPIPE"],
        proof: &["client EstabResets"],
        ..GOOD
    },
    // The handshake gets through, long segments do not.
    Lifecycle {
        name: "silenced",
        faults: &[Firewall("-m length --length 300:65535 -j DROP", "-m length --length 300:65535 -j DROP")],
        listen: Some(Listen { then: Then::Queue, ..Listen::once("") }),
        client: "user_timeout:500 connect send:1000 recv:1=ETIMEDOUT close",
        closes: &["timeout ETIMEDOUT"],
        server_closes: &["closed"],
        proof: &["client TCPAbortOnTimeout"],
        ..GOOD
    },
    Lifecycle {
        name: "orphaned",
        listen: Some(Listen { then: Then::CloseListener, ..Listen::once("") }),
        client: "connect=OK|ECONNRESET recv:1=ECONNRESET|ENOTCONN|EOF close",
        closes: &["reset ECONNRESET"],
        server_closes: &["closed"],
        proof: &["client EstabResets", "server OutRsts"],
        ..GOOD
    },
    // A backlog of one takes two. The server ends them when it ends, perhaps before it acknowledged the client's FINs.
    Lifecycle {
        name: "overflow",
        faults: &[OneRetry],
        listen: Some(Listen { backlog: 1, then: Then::Queue, ..Listen::once("") }),
        client: "connect tcp connect tcp connect=ETIMEDOUT close close close",
        connects: &["success", "success", "timeout ETIMEDOUT"],
        closes: &["closed|reset ECONNRESET", "closed|reset ECONNRESET"],
        accepts: 2,
        server_closes: &["closed", "closed"],
        proof: &["server ListenOverflows"],
        ..PLAIN
    },
    // The first connection fetches the cookie, the second sends its data with the SYN.
    Lifecycle {
        name: "fastopen_send",
        faults: &[FastOpen],
        listen: Some(Listen {
            fastopen: 8,
            connections: 2,
            ..Listen::once("recv:4 send:4 recv:1=EOF close")
        }),
        client: "fastopen_send:4 recv:4 close tcp fastopen_send:4 recv:4 close",
        connects: &["success", "success"],
        closes: &["closed", "closed"],
        accepts: 2,
        server_closes: &["closed", "closed"],
        proof: &["client TCPFastOpenActive", "server TCPFastOpenPassive"],
        ..PLAIN
    },
    Lifecycle {
        name: "fastopen_late",
        faults: &[FastOpen],
        listen: Some(Listen {
            fastopen: 8,
            connections: 2,
            ..Listen::once("recv:4 send:4 recv:1=EOF close")
        }),
        client: "fastopen_connect connect send:4 recv:4 close tcp fastopen_connect connect send:4 recv:4 close",
        connects: &["success", "success"],
        closes: &["closed", "closed"],
        accepts: 2,
        server_closes: &["closed", "closed"],
        proof: &["client TCPFastOpenActive", "server TCPFastOpenPassive"],
        ..PLAIN
    },
    // With the cookie at hand the SYN waits for data that never come.
    Lifecycle {
        name: "fastopen_never",
        faults: &[FastOpen],
        listen: Some(Listen { fastopen: 8, ..Listen::once("recv:4 send:4 recv:1=EOF close") }),
        client: "fastopen_connect connect send:4 recv:4 close tcp fastopen_connect connect close",
        connects: &["success", "canceled"],
        unsent: 1,
        ..GOOD
    },
    // A simultaneous open with nobody else: no passive one.
    Lifecycle {
        name: "self",
        target: Itself,
        client: "reuseaddr bind_target connect send:4 recv:4 close",
        connects: &["success"],
        closes: &["closed"],
        ..PLAIN
    },
    Lifecycle {
        name: "reuseport",
        listen: Some(Listen {
            listeners: 2,
            connections: 4,
            ..Listen::once("recv:4 send:4 recv:1=EOF close")
        }),
        client: "connect send:4 recv:4 tcp connect send:4 recv:4 tcp connect send:4 recv:4 tcp connect send:4 recv:4 \
                 close close close close",
        connects: &["success", "success", "success", "success"],
        closes: &["closed", "closed", "closed", "closed"],
        accepts: 4,
        server_closes: &["closed", "closed", "closed", "closed"],
        ..PLAIN
    },
    // One socket, two connections: the first is dissolved by connecting to no address.
    Lifecycle {
        name: "dissolved",
        listen: Some(Listen { connections: 2, ..Listen::once("recv:4 send:4 recv:1=EOF|ECONNRESET close") }),
        client: "connect send:4 recv:4 disconnect connect send:4 recv:4 close",
        connects: &["success", "success"],
        closes: &["closed", "closed"],
        accepts: 2,
        server_closes: &["reset ECONNRESET", "closed"],
        ..PLAIN
    },
    Lifecycle { name: "udp", client: "udp connect send:4 close", ..PLAIN },
    Lifecycle { name: "udp_no_route", target: Nowhere, client: "udp connect=ENETUNREACH close", ..PLAIN },
    Lifecycle {
        name: "unix",
        families: V4,
        client: "unix listen_unix:observer-test unix connect_unix:observer-test close close \
                 unix connect_unix:observer-nobody=ECONNREFUSED close",
        ..PLAIN
    },
    Lifecycle { name: "not_a_socket", families: V4, client: "file connect=ENOTSOCK close", ..PLAIN },
];
