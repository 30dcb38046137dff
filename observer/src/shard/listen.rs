//! Listening ports: queues at the last sweep, drops and accept waits since the start.

use std::{collections::HashMap, sync::Arc};

use observer_abi::record::{Listen, PORT_BUCKETS, Port};
use observer_aggregate::{
    histogram::{ClassicLabels, Histogram},
    tcp::{escape, name},
};

use crate::{metrics::tcp, shard::kernel::Families};

/// Listening ports that keep figures of their own; the rest share `(other)`.
const PORTS: usize = 4096;

/// All listening ports of the node.
#[derive(Default)]
pub(crate) struct Listeners {
    ports: HashMap<(u16, [u8; 16]), Figures>,
    /// A socket's drops when it was last seen, and in which sweep that was.
    drops: HashMap<u64, (u64, u64)>,
    /// A port's accept waits when they were last read.
    waits: HashMap<(u32, u16), Port>,
    sweep: u64,
}

struct Figures {
    queue: u64,
    limit: u64,
    /// The sweep the queue was seen in.
    seen: u64,
    drops: u64,
    wait: Histogram,
    labels: Arc<str>,
    classic: ClassicLabels,
}

impl Listeners {
    /// A sweep begins: what it does not find does not listen any more.
    pub(crate) fn begin_sweep(&mut self) {
        self.sweep += 1;
    }

    /// A listening socket was found.
    pub(crate) fn found(&mut self, r: &Listen) {
        let sweep = self.sweep;
        let (before, _) = self.drops.insert(r.id.cookie, (r.drops, sweep)).unwrap_or_default();
        let figures = self.figures(r.id.local_port, r.id.comm);
        if figures.seen != sweep {
            (figures.queue, figures.limit, figures.seen) = (0, 0, sweep);
        }
        figures.queue += u64::from(r.queue);
        figures.limit += u64::from(r.limit);
        figures.drops += r.drops.saturating_sub(before);
    }

    /// The sweep has ended.
    pub(crate) fn end_sweep(&mut self) {
        let sweep = self.sweep;
        self.drops.retain(|_, (_, seen)| *seen == sweep);
    }

    /// A port's accept waits were read.
    pub(crate) fn waited(&mut self, netns: u32, port: u16, now: &Port) {
        let before = self.waits.insert((netns, port), *now);
        // An entry that went away and came back starts at zero.
        let before = before.filter(|b| b.wait_sum_ns <= now.wait_sum_ns);
        if now.wait_sum_ns == 0 {
            return;
        }
        let (sum, counts) = before.map_or((0, [0; PORT_BUCKETS]), |b| (b.wait_sum_ns, b.wait));
        let figures = self.figures(port, now.comm);
        figures.wait.add_sum(now.wait_sum_ns - sum);
        for (bucket, (now, before)) in now.wait.iter().zip(counts).enumerate() {
            // The places beyond the last bucket are never counted in.
            let _within = figures.wait.add(bucket, now.saturating_sub(before));
        }
    }

    /// Forgets a port nobody listens on; its cumulative figures stay.
    pub(crate) fn gone(&mut self, netns: u32, port: u16) {
        self.waits.remove(&(netns, port));
    }

    fn figures(&mut self, port: u16, comm: [u8; 16]) -> &mut Figures {
        let mut key = (port, comm);
        if self.ports.len() >= PORTS && !self.ports.contains_key(&key) {
            key = (0, [0; 16]);
        }
        self.ports.entry(key).or_insert_with(|| {
            let labels: Arc<str> =
                if key.0 == 0 { block("(other)", "(other)") } else { block(&port.to_string(), &name(&comm)) };
            Figures {
                queue: 0,
                limit: 0,
                seen: 0,
                drops: 0,
                wait: Histogram::default(),
                classic: ClassicLabels::new(Arc::clone(&labels)),
                labels,
            }
        })
    }

    /// Appends the families' samples.
    pub(crate) fn write(&self, out: &mut Families) {
        for figures in self.ports.values() {
            let Figures { queue, limit, seen, drops, wait, labels, classic } = figures;
            if *seen == self.sweep {
                out.plain(&tcp::LISTEN_QUEUE, labels, *queue);
                out.plain(&tcp::LISTEN_QUEUE_LIMIT, labels, *limit);
            }
            out.plain(&tcp::LISTEN_OVERFLOWS, labels, *drops);
            if wait.count() > 0 {
                out.histogram(&tcp::ACCEPT_WAIT, classic, wait);
            }
        }
    }
}

fn block(port: &str, comm: &str) -> Arc<str> {
    let mut block = format!("port=\"{port}\",comm=\"");
    escape(comm, &mut block);
    block.push('"');
    block.into()
}

#[cfg(test)]
mod tests {
    use observer_abi::record::Identity;

    use super::*;

    fn listen(cookie: u64, queue: u32, drops: u64) -> Listen {
        Listen {
            queue,
            limit: 10,
            drops,
            id: Identity { cookie, local_port: 80, ..Identity::default() },
            ..Listen::default()
        }
    }

    fn value(listeners: &Listeners, metric: &crate::metrics::Metric) -> Option<f64> {
        let mut out = Families::new();
        listeners.write(&mut out);
        out.finish().find(|family| family.name == metric.name).map(|family| family.samples[0].value)
    }

    #[test]
    fn sockets_that_share_a_port_add_up() {
        let mut listeners = Listeners::default();
        listeners.begin_sweep();
        listeners.found(&listen(1, 2, 5));
        listeners.found(&listen(2, 3, 0));
        listeners.end_sweep();
        assert_eq!(value(&listeners, &tcp::LISTEN_QUEUE), Some(5.0));
        assert_eq!(value(&listeners, &tcp::LISTEN_QUEUE_LIMIT), Some(20.0));
    }
    #[test]
    fn drops_stay_when_their_socket_goes() {
        let mut listeners = Listeners::default();
        for drops in [5, 7] {
            listeners.begin_sweep();
            listeners.found(&listen(1, 0, drops));
            listeners.end_sweep();
        }
        listeners.begin_sweep();
        listeners.end_sweep();
        assert_eq!(value(&listeners, &tcp::LISTEN_QUEUE), None);
        assert_eq!(value(&listeners, &tcp::LISTEN_OVERFLOWS), Some(7.0));
    }
    #[test]
    fn accept_waits_survive_a_port_that_is_listened_on_again() {
        let mut listeners = Listeners::default();
        let mut port =
            Port { listeners: 1, pid: 0, comm: [0; 16], wait_sum_ns: 2_000, wait: [0; PORT_BUCKETS] };
        port.wait[5] = 2;
        listeners.waited(1, 80, &port);
        listeners.gone(1, 80);
        port.wait_sum_ns = 1_000;
        port.wait[5] = 1;
        listeners.waited(1, 80, &port);
        let mut out = Families::new();
        listeners.write(&mut out);
        let family = out.finish().find(|family| family.name == tcp::ACCEPT_WAIT.name);
        assert_eq!(family.and_then(|family| family.samples.last()).map(|s| s.value), Some(3.0));
    }
}
