//! A cgroup of our own, and a BPF program on it that forbids connecting.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use crate::sys::check_fd;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A cgroup v2; it is removed when dropped.
pub struct Cgroup {
    directory: PathBuf,
    links: Vec<OwnedFd>,
}

impl Cgroup {
    /// Makes one.
    #[must_use]
    pub fn new() -> Self {
        let root = root().expect("a cgroup v2 hierarchy is mounted");
        remove_leftovers(&root);
        let name = format!("observer-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let directory = root.join(name);
        fs::create_dir(&directory)
            .unwrap_or_else(|error| panic!("cannot make `{}`: {error}", directory.display()));
        Self { directory, links: Vec::new() }
    }

    /// Its path below the mount point, with a slash in front.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/{}", self.directory.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Its id, as the kernel's BPF helpers tell it: the directory's inode number.
    #[must_use]
    pub fn id(&self) -> u64 {
        fs::metadata(&self.directory).expect("it exists").ino()
    }

    /// The file into which a process writes 0 to join.
    #[must_use]
    pub fn procs(&self) -> PathBuf {
        self.directory.join("cgroup.procs")
    }

    /// From now on connecting is answered with EPERM, for TCP and UDP, IPv4 and IPv6.
    pub fn forbid_connect(&mut self) {
        let cgroup = File::open(&self.directory).expect("it exists");
        for attach_type in [BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT] {
            let link = load(attach_type).and_then(|program| link(&program, &cgroup, attach_type));
            self.links.push(link.unwrap_or_else(|error| panic!("cannot attach a connect hook: {error}")));
        }
    }
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.links.clear();
        // It is busy until its last process has been reaped; the next `new` takes away what stays.
        let _ = crate::clock::wait(|| fs::remove_dir(&self.directory).ok());
    }
}

fn root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    mount.split(' ').nth(1).map(PathBuf::from)
}

fn remove_leftovers(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("observer-test-")?.split('-').next());
        if let Some(owner) = owner
            && !Path::new("/proc").join(owner).exists()
        {
            // Another test may have been faster.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const BPF_CGROUP_INET4_CONNECT: u32 = 10;
const BPF_CGROUP_INET6_CONNECT: u32 = 11;

/// The head of `union bpf_attr` for BPF_PROG_LOAD.
#[repr(C)]
struct LoadAttr {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
}

/// The head of `union bpf_attr` for BPF_LINK_CREATE.
#[repr(C)]
struct LinkAttr {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

fn load(attach_type: u32) -> io::Result<OwnedFd> {
    // r0 = 0 (forbidden); exit
    let instructions: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
    let attr = LoadAttr {
        program_type: BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
        instruction_count: 2,
        instructions: instructions.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
        name: [0; 16],
        ifindex: 0,
        attach_type,
    };
    // SAFETY: the attributes and what they point to outlive the call.
    check_fd(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attr, size_of_val(&attr)) })
}

fn link(program: &OwnedFd, cgroup: &File, attach_type: u32) -> io::Result<OwnedFd> {
    let attr = LinkAttr {
        program: program.as_raw_fd().cast_unsigned(),
        target: cgroup.as_raw_fd().cast_unsigned(),
        attach_type,
        flags: 0,
    };
    // SAFETY: the attributes outlive the call.
    check_fd(unsafe { libc::syscall(libc::SYS_bpf, BPF_LINK_CREATE, &raw const attr, size_of_val(&attr)) })
}
