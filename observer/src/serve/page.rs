//! The page, written once a window for each way in which clients ask for it.

use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use observer_aggregate::window::{Source, Window};
use observer_exposition::{Format, Names};
use tokio::{
    sync::OnceCell,
    task::{JoinError, spawn_blocking},
};

use super::State;
use crate::export::prometheus::Page;

/// A way to ask for the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    pub(super) format: Format,
    pub(super) names: Names,
    pub(super) gzip: bool,
    /// Which sources, in the order of [`Source::ALL`].
    pub(super) sources: [bool; Source::ALL.len()],
}

/// The pages of one window. There are at most as many as ways to ask.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<Written>);

#[derive(Debug, Default)]
struct Written {
    /// The window's number.
    window: u64,
    pages: HashMap<Ask, Arc<OnceCell<Bytes>>>,
}

impl Pages {
    /// The cell for a page, empty if nobody has asked for it in this window.
    fn cell(&self, window: &Arc<Window>, ask: Ask) -> Arc<OnceCell<Bytes>> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.window != window.serial {
            *written = Written { window: window.serial, pages: HashMap::new() };
        }
        Arc::clone(written.pages.entry(ask).or_default())
    }
}

/// The page of the current window. Whoever asks while it is being written waits for that.
pub(super) async fn page(state: &Arc<State>, ask: Ask) -> Result<Bytes, JoinError> {
    let window = Arc::clone(&state.windows.borrow());
    let cell = state.pages.cell(&window, ask);
    let written = cell.get_or_try_init(|| {
        let state = Arc::clone(state);
        spawn_blocking(move || write(&state, &window, ask))
    });
    written.await.cloned()
}

fn write(state: &State, window: &Window, ask: Ask) -> Bytes {
    let Ask { format, names, gzip, sources } = ask;
    let wanted =
        |source: Source| Source::ALL.iter().zip(sources).any(|(each, wanted)| *each == source && wanted);
    let page = Page::merge(window.views().filter(|view| wanted(view.source)));
    // The page of all sources is the one that is counted; a part of it has fewer of each.
    if sources.iter().all(|wanted| *wanted) {
        let count = |cause, dropped| {
            let gauge = state.telemetry.page_samples_dropped.with([cause]);
            gauge.set(i64::try_from(dropped).unwrap_or(i64::MAX));
        };
        count("duplicate", page.dropped.duplicate);
        count("conflict", page.dropped.conflict);
    }
    let mut text = Vec::new();
    page.write(&mut text, format, names, &state.external_labels);
    if !gzip {
        return text.into();
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    let compressed = encoder.write_all(&text).and_then(|()| encoder.finish());
    compressed.expect("a Vec takes every write").into()
}
