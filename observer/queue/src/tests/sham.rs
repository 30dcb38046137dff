//! A disk that fails, fills up and loses power when told to.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::Random;
use crate::door::{Door, File};

/// The disk. What was not synced is lost with the power, at random.
#[derive(Debug, Default)]
pub(super) struct Sham(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    files: Vec<Content>,
    calls: u64,
    fault: Option<Fault>,
    /// How files fail to be synced.
    sync_error: Option<i32>,
    /// How many bytes there is room for.
    room: Option<usize>,
    gate: Arc<Gate>,
    /// Whether who takes the directory waits at the gate too.
    opening: bool,
    locked: bool,
}

/// Where writes wait as long as it is closed.
#[derive(Debug, Default)]
struct Gate {
    /// Whether it is, and how many wait.
    closed: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.1 += 1;
        self.changed.notify_all();
        let mut closed =
            self.changed.wait_while(closed, |closed| closed.0).unwrap_or_else(PoisonError::into_inner);
        closed.1 -= 1;
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// What was written since, oldest first.
    writes: Vec<(usize, Vec<u8>)>,
}

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// The first that does, counted from the disk's first call.
    pub(super) from: u64,
    /// The first that does not any more.
    pub(super) to: u64,
    pub(super) error: i32,
}

#[derive(Debug)]
struct Open {
    disk: Arc<Mutex<Disk>>,
    file: usize,
}

impl Sham {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// Lets calls fail from now on.
    pub(super) fn fail(&self, fault: Option<Fault>) {
        self.disk().fault = fault;
    }

    /// Lets every call fail from now on.
    pub(super) fn fail_all(&self, error: i32) {
        self.fail(Some(Fault { from: 0, to: u64::MAX, error }));
    }

    /// Lets every write wait from now on, or go on.
    pub(super) fn hold_writes(&self, closed: bool) {
        let gate = Arc::clone(&self.disk().gate);
        gate.closed.lock().unwrap_or_else(PoisonError::into_inner).0 = closed;
        gate.changed.notify_all();
    }

    /// Lets everybody who takes the directory wait from now on, or go on.
    pub(super) fn hold_opening(&self, closed: bool) {
        self.disk().opening = closed;
        self.hold_writes(closed);
    }

    /// Waits until a write waits.
    pub(super) fn wait_for_write(&self) {
        let gate = Arc::clone(&self.disk().gate);
        let closed = gate.closed.lock().unwrap_or_else(PoisonError::into_inner);
        drop(gate.changed.wait_while(closed, |closed| closed.1 == 0).unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets no file be synced from now on.
    pub(super) fn fail_syncs(&self, error: Option<i32>) {
        self.disk().sync_error = error;
    }

    /// Leaves room for that many bytes in all.
    pub(super) fn limit(&self, room: Option<usize>) {
        self.disk().room = room;
    }

    /// The process is gone; the kernel is not.
    pub(super) fn kill(&self) {
        self.disk().locked = false;
    }

    /// The power is gone.
    pub(super) fn power_loss(&self, random: &mut Random) {
        let mut disk = self.disk();
        disk.locked = false;
        disk.fault = None;
        for content in &mut disk.files {
            let mut after = content.durable.clone();
            for (at, bytes) in content.writes.drain(..) {
                let some = match random.below(3) {
                    0 => 0,
                    1 => bytes.len(),
                    _ => usize::try_from(random.below(bytes.len() as u64 + 1)).unwrap(),
                };
                // The length may come without the bytes.
                let len = if random.once_in(2) { at + bytes.len() } else { at + some };
                if some > 0 || random.once_in(2) {
                    after.resize(after.len().max(len), 0);
                    after[at..at + some].copy_from_slice(&bytes[..some]);
                }
            }
            content.live.clone_from(&after);
            content.durable = after;
        }
        let (now, mut after) = (disk.names.clone(), disk.durable_names.clone());
        for (name, file) in &now {
            if random.once_in(2) {
                after.insert(name.clone(), *file);
            }
        }
        after.retain(|name, _file| now.contains_key(name) || random.once_in(2));
        disk.names.clone_from(&after);
        disk.durable_names = after;
    }

    /// The files with their bytes.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = self.disk();
        disk.names.iter().map(|(name, file)| (name.clone(), disk.files[*file].live.clone())).collect()
    }

    /// A disk with these files, that nobody has locked.
    pub(super) fn with(files: &BTreeMap<String, Vec<u8>>) -> Arc<Self> {
        let sham = Self::default();
        for (name, bytes) in files {
            let mut disk = sham.disk();
            let file = disk.files.len();
            disk.files.push(Content { live: bytes.clone(), durable: bytes.clone(), writes: Vec::new() });
            disk.names.insert(name.clone(), file);
            disk.durable_names.insert(name.clone(), file);
        }
        Arc::new(sham)
    }

    /// Somebody removes everything.
    pub(super) fn clear(&self) {
        let mut disk = self.disk();
        disk.names.clear();
        disk.locked = false;
    }
}

impl Disk {
    fn call(&mut self) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some(Fault { from, to, error }) if (from..to).contains(&call) => {
                Err(io::Error::from_raw_os_error(error))
            }
            _ => Ok(()),
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|file| self.files[*file].live.len()).sum()
    }
}

impl Door for Sham {
    fn prepare(&self) -> io::Result<()> {
        let gate = Some(&*self.disk()).filter(|disk| disk.opening).map(|disk| Arc::clone(&disk.gate));
        if let Some(gate) = gate {
            gate.pass();
        }
        self.disk().call()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut disk = self.disk();
        disk.call()?;
        Ok(disk.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        disk.call()?;
        let new = disk.files.len();
        let file = *disk.names.entry(name.to_owned()).or_insert(new);
        if file == new {
            disk.files.push(Content::default());
        }
        Ok(Arc::new(Open { disk: Arc::clone(&self.0), file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.call()?;
        disk.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.call()?;
        let file = disk.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.call()?;
        disk.durable_names = disk.names.clone();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("sham").join(name)
    }
}

impl Open {
    fn call(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        disk.call()?;
        Ok(disk)
    }
}

impl File for Open {
    fn size(&self) -> io::Result<u64> {
        Ok(self.call()?.files[self.file].live.len() as u64)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let disk = self.call()?;
        let at = usize::try_from(at).unwrap();
        let from = disk.files[self.file].live.get(at..at + bytes.len());
        bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let gate = Arc::clone(&self.disk.lock().unwrap_or_else(PoisonError::into_inner).gate);
        gate.pass();
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = disk.call();
        let at = usize::try_from(at).unwrap();
        let end = at + bytes.len();
        let more = end.saturating_sub(disk.files[self.file].live.len());
        let missing = disk.room.map_or(0, |room| (disk.used() + more).saturating_sub(room).min(more));
        // A write that fails has written a part, or all of it.
        let some = if fault.is_err() && disk.calls.is_multiple_of(2) {
            bytes.len() / 2
        } else {
            bytes.len() - missing
        };
        let content = &mut disk.files[self.file];
        content.live.resize(content.live.len().max(at + some), 0);
        content.live[at..at + some].copy_from_slice(&bytes[..some]);
        content.writes.push((at, bytes[..some].to_vec()));
        fault?;
        if missing > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        let mut disk = self.call()?;
        let content = &mut disk.files[self.file];
        let size = usize::try_from(size).unwrap();
        content.live.resize(size, 0);
        // As a journal would have it: before whatever is written next.
        content.durable.truncate(size);
        content.writes.retain_mut(|(at, bytes)| {
            bytes.truncate(size.saturating_sub(*at));
            !bytes.is_empty()
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        let fault =
            disk.call().and(disk.sync_error.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error))));
        let content = &mut disk.files[self.file];
        content.writes.clear();
        if fault.is_ok() {
            content.durable = content.live.clone();
        }
        // After a failure the kernel forgets what it could not write.
        fault
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.call()?.names.values().any(|file| *file == self.file))
    }
}
