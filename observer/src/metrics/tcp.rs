//! What the kernel programs see of TCP.

use super::{Group, rows};

pub(crate) const GROUP: Group = Group {
    title: "TCP, from the kernel",
    note: "`role` is this host's side, `client` or `server`; `peer` the other host's address or name; `port` the service's \
           port, never an ephemeral one; `comm` the owning process. What exceeds the budget of label groups is counted under \
           `peer=\"(other)\"`, what lost its detail under `peer=\"(lost)\"`: sums always match the totals. \
           Response and service time belong to a turn: the first receive after the last send, or the other way round. Where \
           requests are pipelined or multiplexed, a turn is not a request.",
    metrics: &[ROWS],
};

rows! { ROWS:
    CONNECTS = Counter "observer_tcp_connects", ["role", "peer", "port", "comm", "outcome", "error"],
        "Attempts to connect by outcome: success, refused, timeout, unreachable, reset, canceled, local_error. `error` is the errno's name, empty on success.";
    CONNECT_DURATION = Histogram "observer_tcp_connect_duration_seconds", ["role", "peer", "port", "comm", "outcome"],
        "From the attempt to connect to its outcome, failed ones too.";
    ACCEPTS = Counter "observer_tcp_accepts", ["role", "peer", "port", "comm"],
        "Connections established on a listening port.";
    ACCEPT_WAIT = Histogram "observer_tcp_accept_wait_seconds", ["port", "comm"],
        "From a connection's establishment to the program's accept.";
    LISTEN_QUEUE = Gauge "observer_tcp_listen_queue", ["port", "comm"],
        "Established connections the program has not accepted yet.";
    LISTEN_QUEUE_LIMIT = Gauge "observer_tcp_listen_queue_limit", ["port", "comm"],
        "How many may wait before the kernel drops new ones: the backlog of `listen`, at most `net.core.somaxconn`.";
    LISTEN_OVERFLOWS = Counter "observer_tcp_listen_overflows", ["port", "comm"],
        "Connection requests dropped because the queue was full. Their clients see a timeout or a slow connect.";
    RESPONSE = Histogram "observer_tcp_response_seconds", ["role", "peer", "port", "comm"],
        "Client side: from a request's send to the first byte of its response received. Network and remote server.";
    SERVICE = Histogram "observer_tcp_service_seconds", ["role", "peer", "port", "comm"],
        "Server side: from the first byte of a request received to the response's send. This host's program.";
    RECEIVE_WAIT = Histogram "observer_tcp_receive_wait_seconds", ["role", "peer", "port", "comm"],
        "From the arrival of data to the program's read. This host's program.";
    RTT = Histogram "observer_tcp_rtt_seconds", ["role", "peer", "port", "comm"],
        "Smoothed round trip time of each connection that was active in the window, sampled once a window.";
    MIN_RTT = Histogram "observer_tcp_min_rtt_seconds", ["role", "peer", "port", "comm"],
        "Smallest recent round trip time of each connection that was active in the window, sampled once a window.";
    SENT_BYTES = Counter "observer_tcp_sent_bytes", ["role", "peer", "port", "comm"],
        "Payload bytes sent, each byte once however often it had to be sent again.";
    RECEIVED_BYTES = Counter "observer_tcp_received_bytes", ["role", "peer", "port", "comm"],
        "Payload bytes received.";
    RETRANSMITS = Counter "observer_tcp_retransmits", ["role", "peer", "port", "comm", "kind"],
        "Segments sent again: syn while connecting, synack while accepting; later rto (the timer fired), fast (duplicate acknowledgements), probe (tail loss).";
    RESETS = Counter "observer_tcp_resets", ["role", "peer", "port", "comm", "direction"],
        "Resets by direction: sent, received.";
    CLOSES = Counter "observer_tcp_closes", ["role", "peer", "port", "comm", "outcome"],
        "Ends of established connections by outcome: closed, reset, timeout, unreachable, error.";
    CONNECTIONS = Gauge "observer_tcp_connections", ["state"],
        "Sockets now, by TCP state.";
}
