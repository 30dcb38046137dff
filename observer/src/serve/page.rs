//! The page, written once a window for each way in which clients ask for it.

use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use observer_aggregate::window::{Source, View, Window};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{Mutex as TurnMutex, OnceCell, OwnedMutexGuard},
    task::{JoinError, spawn_blocking},
};

use super::State;
use crate::{
    clock,
    export::{
        negotiate::Encoding,
        prometheus::{self, Form, Plan},
    },
    telemetry::Telemetry,
};

/// How many selections of sources have a plan at a time.
const PLANS: usize = 4;

/// A way to ask for the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    pub(super) form: Form,
    pub(super) encoding: Encoding,
    /// Which sources, in the order of [`Source::ALL`].
    pub(super) sources: Sources,
}

type Sources = [bool; Source::ALL.len()];

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error("pages that are being read hold {held} bytes of the {limit} of `limits.page_bytes`; ask again")]
    Full { held: usize, limit: usize },
    #[error("the page could not be written: {0}")]
    Failed(#[from] JoinError),
}

/// The pages of one window, and what is kept to write the next.
#[derive(Debug)]
pub(super) struct Pages {
    written: Mutex<Written>,
    /// Whoever writes holds it: only one window at a time is kept from the pool for that.
    plans: Arc<TurnMutex<Plans>>,
    /// The most bytes that pages may hold, those of earlier windows that somebody still reads included.
    limit: usize,
}

#[derive(Debug, Default)]
struct Written {
    /// The window's number.
    window: u64,
    pages: HashMap<Ask, Arc<OnceCell<Bytes>>>,
    /// The longest page of the last window.
    longest: usize,
}

/// The plans used last, the newest first.
#[derive(Debug, Default)]
struct Plans(Vec<Planned>);

#[derive(Debug, Default)]
struct Planned {
    sources: Sources,
    plan: Plan,
    /// The length of the last page.
    length: usize,
}

/// A page that counts as held until its last reader has let go.
struct Held {
    page: Vec<u8>,
    bytes: Gauge,
}

impl Pages {
    pub(super) fn new(limit: usize, telemetry: &Telemetry) -> Self {
        telemetry.page_held_limit.set(signed(limit));
        Self { written: Mutex::default(), plans: Arc::default(), limit }
    }

    /// The cell for a page, empty if nobody has asked for it in this window; and whether it is the first of its window.
    fn cell(&self, window: u64, ask: Ask) -> (Arc<OnceCell<Bytes>>, bool) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = written.window != window;
        if is_first {
            written.forget();
            written.window = window;
        }
        (Arc::clone(written.pages.entry(ask).or_default()), is_first)
    }

    /// A page of this window that is there already.
    fn ready(&self, window: u64, ask: Ask) -> Option<Bytes> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.pages.get(&ask).filter(|_| written.window == window)?.get().cloned()
    }

    /// Gives the pages of a window back.
    fn forget(&self, window: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.window == window {
            written.forget();
        }
    }

    fn longest(&self) -> usize {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).longest
    }
}

impl Written {
    fn forget(&mut self) {
        let lengths = self.pages.values().filter_map(|cell| cell.get()).map(Bytes::len);
        self.longest = lengths.max().unwrap_or(self.longest);
        self.pages = HashMap::new();
    }
}

impl Plans {
    /// The plan for these sources, a new one if there is none.
    fn of(&mut self, sources: Sources) -> &mut Planned {
        let known = self.0.iter().position(|planned| planned.sources == sources);
        let planned = known.map_or_else(|| Planned { sources, ..Planned::default() }, |at| self.0.remove(at));
        self.0.truncate(PLANS - 1);
        self.0.insert(0, planned);
        &mut self.0[0]
    }
}

/// The page of the current window. Whoever asks while it is being written waits for that.
pub(super) async fn page(state: &Arc<State>, ask: Ask) -> Result<Bytes, PageError> {
    let window = state.windows.borrow().serial;
    let (cell, is_first) = state.pages.cell(window, ask);
    if is_first {
        give_back_later(state, window);
    }
    let mut is_shared = true;
    let make = || {
        is_shared = false;
        make(state, window, ask)
    };
    let page = cell.get_or_try_init(make).await.cloned();
    let how = match &page {
        Err(_) => "refused",
        Ok(_) if is_shared => "shared",
        Ok(_) => "written",
    };
    state.telemetry.pages.with([how]).inc();
    page
}

/// Gives the pages of a window back when the next one is there, even if nobody asks for that one's.
fn give_back_later(state: &Arc<State>, window: u64) {
    let mut windows = state.windows.clone();
    let state = Arc::downgrade(state);
    tokio::spawn(async move {
        // Behind the last window there is nothing to wait for.
        let _last = windows.wait_for(|current| current.serial != window).await;
        if let Some(state) = state.upgrade() {
            state.pages.forget(window);
        }
    });
}

async fn make(state: &Arc<State>, window: u64, ask: Ask) -> Result<Bytes, PageError> {
    let pages = &state.pages;
    let held = usize::try_from(state.telemetry.page_held.get()).unwrap_or(0);
    if held + pages.longest() > pages.limit {
        return Err(PageError::Full { held, limit: pages.limit });
    }
    let plain = Ask { encoding: Encoding::Identity, ..ask };
    let ready = if ask == plain { None } else { pages.ready(window, plain) };
    let page = match ready {
        Some(page) => compress_aside(state, page, ask.encoding).await?,
        None => {
            // It goes along, for a client that hangs up does not end the writing.
            let turn = Arc::clone(&pages.plans).lock_owned().await;
            let window = Arc::clone(&state.windows.borrow());
            let writing = Arc::clone(state);
            let text = spawn_blocking(move || write(&writing, &window, ask, turn)).await?;
            match ask.encoding {
                Encoding::Identity => text,
                encoding => compress_aside(state, Bytes::from(text), encoding).await?,
            }
        }
    };
    state.telemetry.page_bytes.with([ask.encoding.as_str()]).inc_by(page.len() as u64);
    let bytes = state.telemetry.page_held.clone();
    bytes.inc_by(signed(page.len()));
    Ok(Bytes::from_owner(Held { page, bytes }))
}

fn write(state: &State, window: &Window, ask: Ask, mut turn: OwnedMutexGuard<Plans>) -> Vec<u8> {
    let started = clock::monotonic();
    let Ask { form, sources, .. } = ask;
    let wanted =
        |source: Source| Source::ALL.iter().zip(sources).any(|(each, wanted)| *each == source && wanted);
    let views: Vec<View<'_>> = window.views().filter(|view| wanted(view.source)).collect();
    let Planned { plan, length, .. } = turn.of(sources);
    // A little more than the last one, so that it is not moved to grow.
    let mut text = Vec::with_capacity(*length + *length / 32);
    let dropped = prometheus::write(plan, &views, &mut text, form, &state.external_labels);
    *length = text.len();
    // The page of all sources is the one that is counted; a part of it has fewer of each.
    if sources.iter().all(|wanted| *wanted) {
        let count = |cause, dropped| state.telemetry.page_samples_dropped.with([cause]).set(signed(dropped));
        count("duplicate", dropped.duplicate);
        count("conflict", dropped.conflict);
        count("native", dropped.native);
    }
    observe(state, "write", started);
    text
}

async fn compress_aside(state: &Arc<State>, page: Bytes, encoding: Encoding) -> Result<Vec<u8>, JoinError> {
    let state = Arc::clone(state);
    spawn_blocking(move || {
        let started = clock::monotonic();
        let compressed = compress(&page, encoding);
        observe(&state, encoding.as_str(), started);
        compressed
    })
    .await
}

fn compress(page: &[u8], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Identity => page.to_vec(),
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
            let compressed = encoder.write_all(page).and_then(|()| encoder.finish());
            compressed.expect("a Vec takes every write")
        }
        Encoding::Zstd => zstd::bulk::compress(page, 1).expect("the room is that of the worst case"),
    }
}

fn observe(state: &State, step: &str, started: std::time::Instant) {
    let nanos = started.elapsed().as_nanos();
    state.telemetry.page_seconds.with([step]).observe(u64::try_from(nanos).unwrap_or(u64::MAX));
}

fn signed(n: impl TryInto<i64>) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.page
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bytes.dec_by(signed(self.page.len()));
    }
}
