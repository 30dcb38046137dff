//! Trying again what the disk has failed at, in three steps, so that it is waited for without the queue's lock.

use std::{io, sync::Arc};

use crate::{
    Options, Recovered,
    door::Door,
    store::{Failure, Probe, Store},
};

/// A try whether the disk works again. Nothing else is asked of it meanwhile.
#[derive(Debug)]
pub(crate) enum Trial {
    Open(Arc<dyn Door>, Options),
    Probe(Probe),
}

/// How that went.
#[derive(Debug)]
pub(crate) enum Tried {
    Opened(Arc<dyn Door>, Box<Result<(Store, Recovered), Failure>>),
    Probed(io::Result<()>),
}

impl Trial {
    /// Waits for the disk.
    pub(crate) fn run(self) -> Tried {
        match self {
            Self::Open(door, options) => {
                let opened = Store::open(&door, &options);
                Tried::Opened(door, Box::new(opened))
            }
            Self::Probe(probe) => Tried::Probed(probe.run()),
        }
    }
}
