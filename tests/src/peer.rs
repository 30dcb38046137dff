//! Other people's programs beside the agent: started, told apart by their names, and never left behind.

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{clock, netns::Netns, sys};

/// A running program, killed when dropped. What it says is kept for the message of a test that fails.
pub struct Peer {
    name: String,
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Peer {
    /// Starts it.
    #[track_caller]
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let program = Path::new(command.get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{name}`, which the tests need: {error}"));
        let said = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let readers = vec![listen(out, Arc::clone(&said)), listen(err, Arc::clone(&said))];
        Self { name, child, said, readers }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written until now, to wherever.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().expect("no panic while it is held").clone()
    }

    /// Waits until it has written a line that has this in it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        let found = clock::wait(|| {
            let there = self.said().lines().any(|line| line.contains(text));
            // One that has ended says nothing more.
            (there || self.child.try_wait().ok().flatten().is_some()).then_some(there)
        });
        assert!(found == Some(true), "`{}` does not say `{text}` but:\n{}", self.name, self.said());
    }

    /// Waits until somebody listens there.
    #[track_caller]
    pub fn wait_for_port(&self, namespace: Option<&Netns>, address: SocketAddr) {
        let connects = || TcpStream::connect_timeout(&address, clock::PATIENCE).is_ok();
        let listens = || namespace.map_or_else(connects, |namespace| namespace.run(connects));
        let found = clock::wait(|| listens().then_some(()));
        assert!(found.is_some(), "`{}` does not listen on {address} but says:\n{}", self.name, self.said());
    }

    /// Waits for its good end.
    #[track_caller]
    pub fn end(&mut self) {
        let status = clock::wait(|| self.child.try_wait().ok().flatten());
        let Some(status) = status else { panic!("`{}` does not end but says:\n{}", self.name, self.said()) };
        for reader in self.readers.drain(..) {
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        assert!(status.success(), "`{}` ended with {status}:\n{}", self.name, self.said());
    }

    /// Stops it again and again for a while, as a host does that has too little time for it.
    #[must_use]
    pub fn starve(&self, stopped: Duration, running: Duration) -> Starved {
        let (release, released) = sync_channel(1);
        let pid = self.pid();
        let thread = thread::spawn(move || {
            // Long enough for any test, and still not for ever.
            for _ in 0..ROUNDS {
                let ended = [(libc::SIGSTOP, stopped), (libc::SIGCONT, running)].into_iter().any(
                    |(signal, pause)| {
                        sys::kill(pid, signal).is_err()
                            || released.recv_timeout(pause) != Err(RecvTimeoutError::Timeout)
                    },
                );
                if ended {
                    break;
                }
            }
            // It may have ended meanwhile.
            let _ = sys::kill(pid, libc::SIGCONT);
        });
        Starved { release: Some(release), thread: Some(thread) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const ROUNDS: u32 = 1000;

/// A program that is starved; it runs freely again when this is dropped.
pub struct Starved {
    release: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Starved {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

/// A port of this host that nobody listens on now.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    listener.local_addr().expect("it is bound").port()
}

fn listen(from: impl Read + Send + 'static, said: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        // Whatever was read before an error is what there is to show.
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut said = said.lock().expect("no panic while it is held");
            said.push_str(&line);
            said.push('\n');
        }
    })
}
