//! The only door to the disk, so that tests can stand in it.

use std::{
    fmt::Debug,
    fs, io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// One directory.
pub(crate) trait Door: Debug + Send + Sync {
    /// Makes the directory if it is not there, and locks it if it is not locked. Fails with `WouldBlock` if another process has it.
    fn prepare(&self) -> io::Result<()>;

    /// The names in it.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file to be read and written, and makes it if it is not there.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name.
    fn rename(&self, name: &str, to: &str) -> io::Result<()>;

    /// Makes the names durable.
    fn sync(&self) -> io::Result<()>;

    /// What to call that name in an error.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file.
pub(crate) trait File: Debug + Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills all of `bytes`.
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes all of `bytes`. When it fails, part of them may be there.
    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Cuts it to that length.
    fn cut(&self, size: u64) -> io::Result<()>;

    /// Makes its bytes durable.
    fn sync(&self) -> io::Result<()>;

    /// Whether its directory still has it.
    fn is_linked(&self) -> io::Result<bool>;
}

/// A directory of the file system.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    lock: Mutex<Option<fs::File>>,
}

/// The file whose lock is the directory's.
const LOCK: &str = "lock";

impl Directory {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, lock: Mutex::new(None) }
    }
}

impl Door for Directory {
    fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let file = open(&self.path.join(LOCK))?;
        let same = |held: &fs::File| -> io::Result<bool> {
            let (held, now) = (held.metadata()?, file.metadata()?);
            Ok((held.dev(), held.ino()) == (now.dev(), now.ino()))
        };
        if let Some(held) = &*held
            && same(held)?
        {
            return Ok(());
        }
        file.try_lock()?;
        *held = Some(file);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(io::Result::transpose).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(open(&self.path(name))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(name), self.path(to))
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl File for fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.metadata()?.nlink() > 0)
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    fs::File::options().create(true).truncate(false).read(true).write(true).open(path)
}
