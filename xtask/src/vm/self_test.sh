#!/bin/busybox sh
# Process 1 of the virtual machine: the agent sees a connect that succeeds, one that is refused and one that has no route, sees
# an exchange from both sides, and ends when told to. There is no tracefs: what needs it must come by another way or be named.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ip link set lo up
exec < /dev/null > /dev/ttyS1 2>&1

# Tries a command until it succeeds, for 30 seconds.
soon() {
    tries=0
    until "$@" > /dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { echo "not seen within 30 s: $*"; return 1; }
        sleep 0.1
    done
}

connected() {
    grep '"event":"connect"' /tmp/agent | grep "\"outcome\":\"$1\""
}

local_error() {
    connected local_error | grep '"error":"ENETUNREACH"'
}

# Says something to the echo once, and looks for closes with an exchange in them from both sides.
exchanged_over() {
    if [ ! -e /tmp/said ]; then
        echo hello | nc -w 1 127.0.0.1 "$1" || return 1
        : > /tmp/said
    fi
    closed client "$1" && closed server "$1"
}

closed() {
    grep '"event":"close"' /tmp/agent | grep "\"role\":\"$1\"" | grep "\"port\":$2," | grep -v '"exchanges":0'
}

self_test() {
    /observer trace -o ndjson > /tmp/agent 2>&1 &
    agent=$!
    soon grep "observer: ready" /tmp/agent || return 1
    nc -l -p 5555 -e true &
    soon nc -w 1 127.0.0.1 5555 || return 1
    soon connected success || return 1
    nc -w 1 127.0.0.1 1
    soon connected refused || return 1
    # No interface but loopback is up: this fails before anything is sent.
    nc -w 1 10.255.0.1 1
    soon local_error || return 1
    nc -l -p 5556 -e cat &
    soon exchanged_over 5556 || return 1
    kill -TERM $agent
    wait $agent
}

self_test
code=$?
cat /tmp/agent
echo "kernel $(uname -r): exit code $code"
poweroff -f
