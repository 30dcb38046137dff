//! A second system on this kernel: systemd as process 1 in a container of its own.

use std::{
    env, fs,
    io::{Error, Result},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{self, Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// The root tree that `cargo xtask setup --tests` builds.
pub fn root_tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/rootfs")
}

/// A booted system. It is halted when this is dropped, and what it changed in its root tree is forgotten.
pub struct Machine {
    nspawn: Child,
    init: String,
    dir: PathBuf,
}

impl Machine {
    /// Boots the root tree with these files of ours in it, `(here, there)`. Has a network of its own.
    pub fn boot(files: &[(&Path, &str)]) -> Result<Self> {
        static BOOTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("observer-{}-{}", process::id(), BOOTED.fetch_add(1, Ordering::Relaxed));
        let dir = env::temp_dir().join(&name);
        fs::create_dir_all(&dir)?;
        // systemd-nspawn keeps its locks there, also on machines that run another init.
        fs::create_dir_all("/run/systemd")?;
        let ready = UnixDatagram::bind(dir.join("notify"))?;
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn
            .args([
                "--quiet",
                "--boot",
                "--register=no",
                "--keep-unit",
                "--private-network",
                "--console=pipe",
            ])
            .args(["--notify-ready=yes", "--volatile=overlay", "--capability=all"])
            .args(["--system-call-filter=bpf perf_event_open", "--bind-ro=/sys/kernel/btf"])
            .args(["--bind-ro=/sys/kernel/tracing", "--directory"])
            .arg(root_tree())
            .arg(format!("--machine={name}"))
            .args(files.iter().map(|(here, there)| format!("--bind-ro={}:{there}", here.display())))
            .env("NOTIFY_SOCKET", dir.join("notify"))
            .stdin(Stdio::null())
            .stdout(fs::File::create(dir.join("console"))?)
            .stderr(fs::File::create(dir.join("errors"))?);
        let nspawn = nspawn.spawn()?;
        // From here on dropping it cleans up.
        let mut machine = Self { nspawn, init: String::new(), dir };
        match machine.init(&ready) {
            Ok(init) => machine.init = init,
            Err(error) => {
                return Err(Error::other(format!("the machine does not boot: {error}\n{}", machine.said())));
            }
        }
        Ok(machine)
    }

    /// Runs shell commands in there.
    pub fn sh(&self, script: &str) -> Result<Output> {
        Command::new("nsenter")
            .args(["--target", &self.init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"])
            .args(["bash", "-euc", script])
            .stdin(Stdio::null())
            .output()
    }

    /// Waits until systemd is up; gives its process id.
    fn init(&self, ready: &UnixDatagram) -> Result<String> {
        const LEADER: &str = "X_NSPAWN_LEADER_PID=";
        ready.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut leader = None;
        let mut message = [0; 4096];
        loop {
            let length = ready.recv(&mut message)?;
            let text = String::from_utf8_lossy(&message[..length]);
            if let Some(pid) = text.lines().find_map(|line| line.strip_prefix(LEADER)) {
                leader = Some(pid.to_owned());
            }
            if text.lines().any(|line| line == "READY=1")
                && let Some(leader) = leader.take()
            {
                return Ok(leader);
            }
        }
    }

    fn said(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        read("errors") + &read("console")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What systemd takes as a request to halt at once. nspawn ends with it.
        let halted = !self.init.is_empty()
            && Command::new("kill")
                .args(["-s", "RTMIN+4", &self.init])
                .status()
                .is_ok_and(|status| status.success());
        let ended =
            if halted { self.nspawn.wait() } else { self.nspawn.kill().and_then(|()| self.nspawn.wait()) };
        if let Err(error) = ended.and_then(|_| fs::remove_dir_all(&self.dir)) {
            eprintln!("the machine is not gone: {error}");
        }
    }
}
