#!/bin/busybox sh
# Process 1 of the virtual machine: the agent sees a connect that succeeds and one that is refused, and ends when told to.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tracefs tracefs /sys/kernel/tracing
ip link set lo up
exec < /dev/null > /dev/ttyS1 2>&1

page() {
    wget -q -O - "http://127.0.0.1:9435/$1"
}

# Tries a command until it succeeds, for 20 seconds.
soon() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "not seen within 20 s: $*"; return 1; }
        sleep 0.1
    done
}

ready() {
    page ready > /dev/null 2>&1
}

counted() {
    page metrics | grep "^observer_tcp_connects_total{" | grep "role=\"client\"" | grep "outcome=\"$1\"" | grep -v " 0$" > /dev/null
}

self_test() {
    /observer run > /tmp/agent 2>&1 &
    agent=$!
    soon ready || return 1
    nc -w 1 127.0.0.1 1
    soon counted success || return 1
    soon counted refused || return 1
    kill -TERM $agent
    wait $agent
}

self_test
code=$?
[ $code = 0 ] || cat /tmp/agent
echo "kernel $(uname -r): exit code $code"
poweroff -f
