//! Who the agent is when it starts.

use std::io;

use crate::sys::check;

/// What a process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// Everything the tests may.
    Root,
    /// uid 65534 with CAP_BPF and CAP_PERFMON and nothing else.
    Least,
    /// uid 65534 with nothing.
    None,
}

const NOBODY: libc::uid_t = 65534;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

impl Privileges {
    /// Takes these privileges for the calling process. Only system calls: it runs between fork and exec.
    pub(crate) fn take(self) -> io::Result<()> {
        let capabilities: &[u32] = match self {
            Self::Root => return Ok(()),
            Self::Least => &[CAP_PERFMON, CAP_BPF],
            Self::None => &[],
        };
        prctl(libc::PR_SET_KEEPCAPS, 1, 0)?;
        // SAFETY: an empty list may be null.
        check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
        // SAFETY: takes values only.
        check(unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) })?;
        // SAFETY: takes values only.
        check(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) })?;
        // Both are above 31, so they are in the second word.
        let high = capabilities.iter().fold(0, |bits, capability| bits | 1 << (capability - 32));
        let none = CapabilityData { effective: 0, permitted: 0, inheritable: 0 };
        let data = [none, CapabilityData { effective: high, permitted: high, inheritable: high }];
        const VERSION_3: u32 = 0x2008_0522;
        let header = CapabilityHeader { version: VERSION_3, pid: 0 };
        // SAFETY: a header and two words of data, as version 3 has them.
        let set = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
        check(i32::try_from(set).unwrap_or(-1))?;
        for capability in capabilities {
            prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE.cast_unsigned().into(),
                (*capability).into(),
            )?;
        }
        Ok(())
    }
}

fn prctl(option: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> io::Result<()> {
    const NONE: libc::c_ulong = 0;
    // SAFETY: these options take values only; the unused arguments are zero.
    check(unsafe { libc::prctl(option, first, second, NONE, NONE) }).map(drop)
}
