//! A large page: readers share it, and those that are too slow hold up no window.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use observer_tests::{
    clock,
    config::Config,
    exporter, http,
    observer::Agent,
    page::Page,
    parallel,
    privileges::Privileges,
    receiver::{Receiver, Reply},
    written::windows,
};

const SERIES: usize = 1000;

/// What a target says, of which a part changes.
fn body(number: u64) -> Vec<u8> {
    let mut text = String::new();
    for family in 0..10 {
        writeln!(text, "# HELP large_{family}_total Some of many.\n# TYPE large_{family}_total counter")
            .expect("a string takes it");
        for series in 0..SERIES / 10 {
            let value = if series % 5 == 0 { number } else { series as u64 };
            writeln!(
                text,
                "large_{family}_total{{path=\"/api/v1/things/{series:04}\",method=\"GET\"}} {value}"
            )
            .expect("a string takes it");
        }
    }
    text.into_bytes()
}

/// Its targets differ in a label; what it writes is the number of its windows alone.
fn config(receiver: &Receiver, targets: usize) -> Config {
    let exporter = exporter::scripted("text/plain; version=0.0.4", body);
    let mut text = format!(
        "remote_write: [{{name: e, url: '{}', write_relabel_configs: \
         [{{source_labels: [__name__], regex: observer_windows_total, action: keep}}]}}]\n\
         scrape_configs:\n- job_name: j\n  scrape_interval: 5s\n  static_configs:\n",
        receiver.url()
    );
    for target in 0..targets {
        writeln!(text, "  - {{targets: ['{exporter}'], labels: {{target: 't{target}'}}}}")
            .expect("a string takes it");
    }
    Config::new(&text)
}

/// The agent's own series, which are a page of their own.
fn own(agent: &Agent) -> Page {
    Page::parse(&http::get_unix(agent.socket(), "/metrics?collect[]=self").text())
}

#[track_caller]
fn wait_for(agent: &Agent, what: &str, ready: impl Fn(&Page) -> bool) -> Page {
    clock::wait_for(what, || Some(own(agent)).filter(&ready))
}

/// Asks for the page.
fn ask(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: observer\r\nConnection: close\r\n\r\n")
        .expect("it reads");
    stream
}

/// Reads so many kilobytes a second, and the rest in a hurry when it is told to. How much came until the connection ended.
fn read_slowly(mut stream: TcpStream, kilobytes: usize, hurry: &AtomicBool) -> usize {
    let mut bytes = vec![0; 100 * kilobytes];
    let mut came = 0;
    loop {
        if hurry.load(Relaxed) {
            bytes.resize(64 << 10, 0);
        } else {
            clock::pause(Duration::from_millis(100));
            if kilobytes == 0 {
                continue;
            }
        }
        match stream.read(&mut bytes) {
            Ok(0) => return came,
            Ok(some) => came += some,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return came,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn slow_readers_of_20_000_series_hold_up_nobody() {
    check(20);
}

/// Minutes, for an agent that is not optimised. `cargo xtask delivery` runs it.
#[test]
#[ignore = "takes minutes"]
fn slow_readers_of_200_000_series_hold_up_nobody() {
    clock::with_patience(Duration::from_secs(300), || check(200));
}

#[track_caller]
fn check(targets: usize) {
    let receiver = Receiver::start(|_, _| Reply::Take);
    let config = config(&receiver, targets);
    let agent = Agent::start(Privileges::Root, &["--config", config.path(), "--no-tcp", "--no-node"]);
    let series = targets * SERIES;
    let all = |page: &Page| page.sum("observer_series", &[]) >= series as f64;
    let before = wait_for(&agent, "all series", all);

    // Who asks at the same time gets the same page.
    let pages = parallel::map(&[(); 6], |()| http::get(agent.address(), "/metrics", &[]));
    let length = pages.iter().map(|page| page.body.len()).max().expect("six pages");
    for page in &pages {
        let lines = page.body.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"large_"));
        assert_eq!((page.status, lines.count()), (200, series));
    }
    drop(pages);
    let handed = |page: &Page, how| page.sum("observer_pages_total", &[("how", how)]);
    // They may have come on both sides of the end of a window.
    let _page =
        wait_for(&agent, "shared pages", |page| handed(page, "shared") - handed(&before, "shared") >= 3.0);

    // Each holds another window's page: some read nothing, some too slowly.
    let hurry = AtomicBool::new(false);
    let slow = thread::scope(|scope| {
        let mut slow = Vec::new();
        for reader in 0..6 {
            let closed = own(&agent).sum("observer_windows_total", &[]);
            let _next = wait_for(&agent, "a window", |page| page.sum("observer_windows_total", &[]) > closed);
            let stream = ask(agent.address());
            let hurry = &hurry;
            slow.push(scope.spawn(move || read_slowly(stream, reader % 2 * 10, hurry)));
        }
        let cut = |page: &Page| page.sum("observer_http_connections_cut_total", &[]);
        let mut most = (0.0_f64, 0.0_f64);
        clock::wait_for("the end of slow connections", || {
            let page = own(&agent);
            let (held, limit) =
                (page.sum("observer_page_held_bytes", &[]), page.sum("observer_page_held_limit_bytes", &[]));
            assert!(held <= limit, "{}", page.text);
            most = (most.0.max(held), most.1.max(page.sum("process_resident_memory_bytes", &[])));
            (cut(&page) >= 6.0).then_some(())
        });
        let (held, resident) = most;
        assert!(held >= 3.0 * length as f64, "each of them holds a page of {length}: {held}");
        let resident_before = before.sum("process_resident_memory_bytes", &[]);
        assert!(
            resident <= resident_before + held + f64::from(64 << 20),
            "{resident_before} {held} {resident}"
        );
        hurry.store(true, Relaxed);
        slow.into_iter().map(|reader| reader.join().expect("it read")).collect::<Vec<_>>()
    });
    assert!(slow.iter().all(|came| *came < length), "{slow:?} of {length}");
    // Others got their pages meanwhile, and the memory is free again.
    assert_eq!(http::get(agent.address(), "/metrics", &[]).status, 200);
    let page =
        wait_for(&agent, "memory", |page| page.sum("observer_page_held_bytes", &[]) <= length as f64 * 1.1);

    for none in ["observer_pool_misses_total", "observer_export_windows_lost_total"] {
        assert_eq!(page.sum(none, &[]), 0.0, "{}", page.text);
    }
    assert_eq!(handed(&page, "refused"), 0.0, "{}", page.text);
    let closed = page.sum("observer_windows_total", &[]);
    let (code, said) = agent.stop();
    assert_eq!(code, Some(0), "{said}");
    let runs = windows(&receiver.taken());
    assert!(runs.len() == 1 && runs[0].len() as f64 >= closed, "{closed} {runs:?}");
}
