use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use observer_aggregate::window::Window;
use observer_export::{Batch, Encode};

use super::*;
use crate::{clock, export::feed::Feed, telemetry::Telemetry};

/// A request for each lane of a window: the body is `lane serial`, and it has as many samples as the serial says.
struct Lanes(u16, Protocol);

impl Encode for Lanes {
    fn window(&mut self, window: &Window, out: &mut dyn FnMut(Batch<'_>)) {
        for lane in 0..self.0 {
            let body = format!("{lane} {}", window.serial);
            out(Batch {
                protocol: self.1,
                lane,
                end_ms: window.end_ms,
                serial: window.serial,
                last: lane + 1 == self.0,
                samples: 2,
                histograms: 0,
                exemplars: 0,
                body: body.as_bytes(),
            });
        }
    }

    fn skip(&mut self, _: &Window) {}

    fn flush(&mut self, _out: &mut dyn FnMut(Batch<'_>)) {}
}

/// Answers by what a test says, and keeps what was posted.
struct Script<F> {
    answer: F,
    posted: Arc<Mutex<Vec<Parcel>>>,
    wanted: Arc<Mutex<Option<Protocol>>>,
}

impl<F: Fn(&Parcel, usize) -> Answer + Send + Sync + 'static> Transport for Script<F> {
    async fn post(&self, parcel: &Parcel) -> Answer {
        let before = {
            let mut posted = self.posted.lock().unwrap();
            posted.push(parcel.clone());
            posted.len() - 1
        };
        // Others may come in between, as on a network.
        tokio::task::yield_now().await;
        (self.answer)(parcel, before)
    }

    fn halve(&self, parcel: &Parcel) -> Option<[Parcel; 2]> {
        let half = Contents { samples: parcel.contents.samples / 2, ..parcel.contents };
        let part = |side: &str| Parcel {
            body: [&parcel.body[..], side.as_bytes()].concat().into(),
            contents: half,
            ..parcel.clone()
        };
        (parcel.contents.samples > 1).then(|| [part("a"), part("b")])
    }

    fn wanted(&self) -> Option<Protocol> {
        *self.wanted.lock().unwrap()
    }
}

fn ok() -> Answer {
    Answer {
        code: Code::Status(204),
        verdict: Verdict::Delivered { refused: Contents::default(), message: String::new() },
    }
}

fn later() -> Answer {
    let verdict = Verdict::Later { message: "status 500".to_owned(), after: None };
    Answer { code: Code::Status(500), verdict }
}

fn refused(halve: bool) -> Answer {
    let verdict = Verdict::Refused { cause: "status_400", message: "bad".to_owned(), halve };
    Answer { code: Code::Status(400), verdict }
}

/// An endpoint that is fed by a test.
struct Rig {
    feed: Feed,
    endpoints: Endpoints,
    telemetry: Arc<Telemetry>,
    posted: Arc<Mutex<Vec<Parcel>>>,
    wanted: Arc<Mutex<Option<Protocol>>>,
}

impl Rig {
    fn new(
        lanes: u16,
        dir: Option<PathBuf>,
        answer: impl Fn(&Parcel, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::scheduled(Schedule::AT_ONCE, lanes, dir, answer)
    }

    fn scheduled(
        schedule: Schedule,
        lanes: u16,
        dir: Option<PathBuf>,
        answer: impl Fn(&Parcel, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let telemetry = Telemetry::new();
        let (posted, wanted) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<_>>::default());
        let transport = Script { answer, posted: Arc::clone(&posted), wanted: Arc::clone(&wanted) };
        let sending = Sending {
            name: "e".to_owned(),
            url: "http://e/".to_owned(),
            protocol: Protocol::RemoteWrite2,
            min_shards: 1,
            max_shards: 4,
            min_backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(4),
            schedule,
        };
        let mut feed = Feed::default();
        let windows = feed.add("e", &telemetry);
        let options = observer_queue::Options { dir, ..queue_options() };
        let factory = Box::new(move |protocol| Box::new(Lanes(lanes, protocol)) as Box<dyn Encode>);
        let endpoint = Endpoint::spawn(&sending, windows, factory, transport, options, &telemetry).unwrap();
        let mut endpoints = Endpoints::default();
        endpoints.push(endpoint);
        Self { feed, endpoints, telemetry, posted, wanted }
    }

    /// A window that ends that many milliseconds from now, once the encoder is free for it.
    fn window(&self, serial: u64, in_ms: i64) {
        let mut window = Window::default();
        window.serial = serial;
        window.begin(clock::wall_ms() + in_ms, true);
        let window = Arc::new(window);
        self.feed.offer(&window);
        self.until(|_| Arc::strong_count(&window) == 1);
    }

    fn windows(&self, count: u64) {
        for serial in 1..=count {
            self.window(serial, i64::try_from(serial).unwrap());
        }
    }

    fn until(&self, done: impl Fn(&Self) -> bool) {
        let began = clock::monotonic();
        while !done(self) {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", (self.endpoints.statuses())());
            std::thread::yield_now();
        }
    }

    fn delivered(&self) -> u64 {
        self.telemetry.export_delivered.with(["e", "sample"]).get()
    }

    fn dropped(&self, cause: &str) -> u64 {
        self.telemetry.export_dropped.with(["e", cause]).get()
    }

    /// Ends it and gives the bodies that were posted, by lane.
    fn finish(self, grace: Duration) -> BTreeMap<u16, Vec<String>> {
        let Self { feed, endpoints, telemetry: _, posted, wanted: _ } = self;
        drop(feed);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(endpoints.finish(grace, std::future::pending()));
        let mut lanes = BTreeMap::<u16, Vec<String>>::new();
        for parcel in posted.lock().unwrap().iter() {
            let text = String::from_utf8(parcel.body.to_vec()).unwrap();
            let (lane, rest) = text.split_once(' ').unwrap();
            lanes.entry(lane.parse().unwrap()).or_default().push(rest.to_owned());
        }
        lanes
    }
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn every_window_is_delivered_in_the_order_of_its_lane() {
    let rig = Rig::new(6, None, |_, _| ok());
    rig.windows(50);
    let lanes = rig.finish(LONG);
    let expected: Vec<String> = (1..=50).map(|n| n.to_string()).collect();
    assert_eq!(lanes, (0..6).map(|lane| (lane, expected.clone())).collect());
}

#[test]
fn what_fails_is_posted_again_before_what_follows_it() {
    // Two of three requests fail, whichever.
    let rig = Rig::new(3, None, |_, before| if before % 3 == 2 { ok() } else { later() });
    rig.windows(10);
    rig.until(|rig| rig.delivered() == 60);
    let telemetry = Arc::clone(&rig.telemetry);
    let posted = Arc::clone(&rig.posted);
    for (lane, bodies) in rig.finish(LONG) {
        let mut each = bodies.clone();
        each.dedup();
        let expected: Vec<String> = (1..=10).map(|n| n.to_string()).collect();
        assert_eq!(each, expected, "lane {lane}");
    }
    let tries = posted.lock().unwrap();
    assert_eq!(telemetry.export_retried.with(["e"]).get(), 2 * (tries.len() as u64 - 30));
    let again = tries.iter().filter(|parcel| parcel.attempt > 0).count();
    assert_eq!(again, tries.len() - 30, "each try knows how many there were");
}

#[test]
fn one_bad_sample_does_not_take_the_others_along() {
    // What ends in `b` is bad, and so is what contains it.
    let rig = Rig::new(1, None, |parcel, _| match &parcel.body[..] {
        body if body.ends_with(b"a") => ok(),
        _ => refused(true),
    });
    rig.windows(3);
    rig.until(|rig| rig.delivered() == 3 && rig.dropped("status_400") == 3);
    let status = (rig.endpoints.statuses())().remove(0);
    assert_eq!(status.last_refusal.unwrap().message, "bad");
    let lanes = rig.finish(LONG);
    assert_eq!(lanes[&0], ["1", "1a", "1b", "2", "2a", "2b", "3", "3a", "3b"]);
}

/// The first half arrives, the second has to wait: both come again, and each counts once.
#[test]
fn what_comes_again_is_counted_once() {
    let rig = Rig::new(1, None, |parcel, before| match (&parcel.body[..], before) {
        (body, 0..=2) if body.ends_with(b"b") => later(),
        (body, _) if body.ends_with(b"1") => refused(true),
        _ => ok(),
    });
    rig.windows(1);
    rig.until(|rig| rig.delivered() > 0);
    assert_eq!((rig.delivered(), rig.dropped("status_400")), (2, 0));
    assert_eq!(rig.finish(LONG)[&0], ["1", "1a", "1b", "1", "1a", "1b"]);
}

#[test]
fn what_is_refused_is_dropped_and_counted() {
    let rig = Rig::new(1, None, |_, before| if before == 0 { refused(false) } else { ok() });
    rig.windows(3);
    rig.until(|rig| rig.delivered() == 4);
    assert_eq!(rig.dropped("status_400"), 2);
    assert_eq!(rig.telemetry.export_requests.with(["e", "400"]).get(), 1);
    assert_eq!(rig.finish(LONG)[&0], ["1", "2", "3"]);
}

#[test]
fn a_receiver_that_speaks_another_protocol_gets_it() {
    let rig = Rig::new(2, None, |_, _| ok());
    rig.windows(2);
    rig.until(|rig| rig.delivered() == 8);
    *rig.wanted.lock().unwrap() = Some(Protocol::RemoteWrite1);
    rig.window(3, 100);
    rig.until(|rig| rig.delivered() == 12);
    let protocols: Vec<_> = rig.posted.lock().unwrap().iter().map(|parcel| parcel.protocol).collect();
    assert_eq!(protocols[..4], [Protocol::RemoteWrite2; 4]);
    assert_eq!(protocols[4..], [Protocol::RemoteWrite1; 2]);
    assert_eq!((rig.endpoints.statuses())()[0].protocol, Some(Protocol::RemoteWrite1));
    rig.finish(LONG);
}

#[test]
fn a_clock_that_is_set_back_is_waited_for_unless_it_is_far() {
    let rig = Rig::new(1, None, |_, _| ok());
    let lost = |rig: &Rig| rig.telemetry.export_windows_lost.with(["e", "clock"]).get();
    rig.window(1, 0);
    rig.window(2, -10_000);
    rig.window(3, -9000);
    rig.window(4, 1000);
    rig.until(|rig| lost(rig) == 2 && rig.delivered() == 4);
    // An hour back is no slip: this is the time now.
    rig.window(5, -3_600_000);
    rig.window(6, -3_599_000);
    assert_eq!(rig.finish(LONG)[&0], ["1", "4", "5", "6"]);
}

#[test]
fn a_shutdown_waits_no_longer_than_the_grace() {
    let rig = Rig::new(1, None, |_, _| later());
    rig.windows(2);
    let began = clock::monotonic();
    rig.finish(Duration::from_millis(50));
    assert!((Duration::from_millis(50)..LONG).contains(&began.elapsed()));
}

/// A directory that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("observer-delivery-{name}-{}", std::process::id())))
    }

    /// How many entries there are in the queue that was there.
    fn entries(&self) -> u64 {
        let options = observer_queue::Options { dir: Some(self.0.clone()), ..queue_options() };
        observer_queue::Queue::open(options).unwrap().1.totals.entries
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_receiver_that_is_away_is_not_waited_for_if_all_is_on_disk() {
    let folder = Folder::new("away");
    let rig = Rig::new(2, Some(folder.0.clone()), |_, _| later());
    rig.windows(3);
    rig.finish(Duration::from_hours(1));
    assert_eq!(folder.entries(), 6);
}

#[test]
fn a_receiver_that_is_back_gets_what_waits_before_the_end() {
    let folder = Folder::new("back");
    let rig = Rig::new(2, Some(folder.0.clone()), |_, before| if before < 2 { later() } else { ok() });
    rig.windows(3);
    let telemetry = Arc::clone(&rig.telemetry);
    rig.finish(LONG);
    assert_eq!(telemetry.export_delivered.with(["e", "sample"]).get(), 12);
    assert_eq!(folder.entries(), 0);
}

/// Which lane a series had is the other process' business.
#[test]
fn what_another_process_has_left_goes_first_and_one_by_one() {
    let folder = Folder::new("left");
    let dir = folder.0.clone();
    let first = Rig::new(3, Some(dir.clone()), |_, _| later());
    first.windows(4);
    first.finish(Duration::from_millis(20));
    let second = Rig::new(3, Some(dir), |_, _| ok());
    for serial in 11..=12 {
        second.window(serial, 1000 + i64::try_from(serial).unwrap());
    }
    second.until(|rig| rig.delivered() == 2 * 3 * 6);
    let posted = second.posted.lock().unwrap().clone();
    second.finish(LONG);
    let bodies: Vec<_> =
        posted.iter().map(|parcel| String::from_utf8_lossy(&parcel.body).into_owned()).collect();
    let expected: Vec<_> =
        (1..=4).flat_map(|serial| (0..3).map(move |lane| format!("{lane} {serial}"))).collect();
    assert_eq!(bodies[..12], expected);
    assert!(bodies[12..].iter().all(|body| body.contains(" 1")), "{bodies:?}");
}

#[test]
fn windows_between_two_that_are_due_are_passed_over_and_the_last_is_not() {
    let schedule = Schedule::new(Duration::from_secs(3), Duration::from_millis(900), 1 << 31);
    let rig = Rig::scheduled(schedule, 1, None, |_, _| ok());
    let base = (clock::wall_ms() / 3000 + 1) * 3000;
    for (serial, seconds) in [(1, 0), (2, 1), (3, 3), (4, 4)] {
        let mut window = Window::default();
        window.serial = serial;
        window.begin(base + seconds * 1000, true);
        rig.feed.offer(&Arc::new(window));
    }
    assert_eq!(rig.finish(LONG)[&0], ["1", "3", "4"]);
}
