use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use observer_aggregate::{family::Kind, family::Suffix, series::Block, window::Source};

use super::*;
use crate::config::Rotation;

/// A folder of the test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("observer-ndjson-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn window(serial: u64, series: usize) -> Arc<Window> {
    let mut block = Block::default();
    let family = block.family("m", Kind::Gauge, "", "");
    for n in 0..series {
        let slot = block.add(family, Suffix::None, &format!("n=\"{n}\"")).unwrap();
        block.set(slot, serial as f64);
    }
    block.touch();
    let mut window = Window::default();
    window.begin(1_700_000_000_000 + 1_000 * serial as i64, true);
    window.serial = serial;
    window.take(Source::Node, &mut block);
    Arc::new(window)
}

fn file(path: &Path, rotation: Rotation) -> Ndjson {
    Ndjson { rotation, ..Ndjson::to(Place::File(path.to_owned())) }
}

fn writer(config: &Ndjson, telemetry: &Telemetry) -> Writer {
    let sink: Box<dyn Sink> = match &config.place {
        Place::Socket(path) => Box::new(Socket::new(path.clone())),
        Place::File(path) => Box::new(Rotating::new(path.clone(), config.rotation)),
        Place::Stdout => Box::new(Stdout::default()),
    };
    Writer {
        encoder: Encoder::default(),
        sink,
        counters: Counters::new(&config.name, telemetry),
        place: config.place.to_string(),
        expected: None,
        failing: None,
    }
}

/// The lines of a text, each of them whole.
fn lines(text: &str) -> Vec<serde_json::Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "half a line: {:?}", text.lines().last());
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Numbers of the windows that are there, in order.
fn windows(path: &Path) -> Vec<u64> {
    let of_window = |line: &serde_json::Value| line["window"].as_u64();
    lines(&fs::read_to_string(path).unwrap()).iter().filter_map(of_window).collect()
}

fn lost_windows(telemetry: &Telemetry, config: &Ndjson, cause: &str) -> u64 {
    telemetry.export_windows_lost.with([&*config.name, cause]).get()
}

#[test]
fn files_begin_anew_and_keep_every_line_whole() {
    let folder = Folder::new("rotation");
    let path = folder.0.join("out");
    let telemetry = Telemetry::new();
    let config = file(&path, Rotation { bytes: 10_000, age: None, files: 3 });
    let mut writer = writer(&config, &telemetry);
    for serial in 1..=40 {
        writer.window(&window(serial, 20));
    }
    let mut there: Vec<u64> = ["out.3", "out.2", "out.1", "out"]
        .iter()
        .flat_map(|name| {
            let windows = windows(&folder.0.join(name));
            assert!(!windows.is_empty(), "{name}");
            windows
        })
        .collect();
    assert!(!folder.0.join("out.4").exists());
    // Nothing is missing but what was in files that are no longer kept.
    let first = there.remove(0);
    assert_eq!(there, (first + 1..=40).collect::<Vec<_>>());
    assert!(fs::metadata(folder.0.join("out.1")).unwrap().len() >= 10_000);
}

#[test]
fn old_files_begin_anew() {
    let folder = Folder::new("age");
    let path = folder.0.join("out");
    let telemetry = Telemetry::new();
    let age = Some(Duration::from_secs(10));
    let mut writer = writer(&file(&path, Rotation { bytes: 0, age, files: 9 }), &telemetry);
    (1..=25).for_each(|serial| writer.window(&window(serial, 1)));
    assert_eq!(windows(&folder.0.join("out.2")), (1..=10).collect::<Vec<_>>());
    assert_eq!(windows(&folder.0.join("out.1")), (11..=20).collect::<Vec<_>>());
    assert_eq!(windows(&path), (21..=25).collect::<Vec<_>>());
}

#[test]
fn a_file_that_was_taken_away_is_made_again() {
    let folder = Folder::new("moved");
    let (path, moved) = (folder.0.join("out"), folder.0.join("moved"));
    let telemetry = Telemetry::new();
    let mut writer = writer(&file(&path, Rotation::default()), &telemetry);
    writer.window(&window(1, 1));
    fs::rename(&path, &moved).unwrap();
    writer.window(&window(2, 1));
    fs::remove_file(&path).unwrap();
    writer.window(&window(3, 1));
    // Another program's way: copied, and cut to nothing.
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    writer.window(&window(4, 1));
    assert_eq!((windows(&moved), windows(&path)), (vec![1], vec![4]));
}

#[test]
fn what_could_not_be_written_is_counted_and_told() {
    let folder = Folder::new("failing");
    let path = folder.0.join("not yet").join("out");
    let telemetry = Telemetry::new();
    let config = file(&path, Rotation::default());
    let mut writer = writer(&config, &telemetry);
    for serial in 7..=9 {
        writer.window(&window(serial, 1));
    }
    assert_eq!(lost_windows(&telemetry, &config, "write_error"), 3);
    fs::create_dir(folder.0.join("not yet")).unwrap();
    writer.window(&window(10, 1));
    // The reader of windows missed some, too.
    writer.window(&window(13, 1));
    let all = lines(&fs::read_to_string(&path).unwrap());
    let lost: Vec<_> = all.iter().filter(|line| line["kind"] == "lost").collect();
    assert_eq!(
        (&lost[0]["windows"], &lost[0]["first"], &lost[0]["cause"]),
        (&3.into(), &7.into(), &"write_error".into())
    );
    assert_eq!(
        (&lost[1]["windows"], &lost[1]["last"], &lost[1]["cause"]),
        (&2.into(), &12.into(), &"behind".into())
    );
    assert_eq!(windows(&path), [10, 13]);
}

#[test]
fn a_reader_may_go_and_come_back() {
    let folder = Folder::new("socket");
    let path = folder.0.join("socket");
    let telemetry = Telemetry::new();
    let config = Ndjson::to(Place::Socket(path.clone()));
    let mut writer = writer(&config, &telemetry);
    writer.window(&window(1, 1));
    assert_eq!(lost_windows(&telemetry, &config, "no_reader"), 1);
    let listener = UnixListener::bind(&path).unwrap();
    writer.window(&window(2, 1));
    let (first, _) = listener.accept().unwrap();
    let mut first = BufReader::new(first);
    let mut line = String::new();
    first.read_line(&mut line).unwrap();
    assert_eq!(lines(&line)[0]["kind"], "lost");
    drop(first);
    // The kernel tells the writer at its next line.
    writer.window(&window(3, 1));
    writer.window(&window(4, 1));
    drop(writer);
    let (mut second, _) = listener.accept().unwrap();
    let mut text = String::new();
    second.read_to_string(&mut text).unwrap();
    let all = lines(&text);
    assert_eq!((&all[0]["kind"], &all[0]["first"], &all[0]["last"]), (&"lost".into(), &3.into(), &3.into()));
    assert_eq!(all[2]["window"], 4);
}

#[test]
fn a_reader_that_does_not_read_costs_windows_and_nothing_else() {
    let folder = Folder::new("slow");
    let path = folder.0.join("socket");
    let telemetry = Telemetry::new();
    let config = Ndjson::to(Place::Socket(path.clone()));
    let listener = UnixListener::bind(&path).unwrap();
    let mut feed = Feed::default();
    let writing = Writing::start(&config, &mut feed, &telemetry).unwrap();
    // Far more than a socket's buffers have.
    let offered = 64;
    for serial in 1..=offered {
        feed.offer(&window(serial, 5_000));
    }
    let lost = lost_windows(&telemetry, &config, "encoder_behind");
    assert!(lost > 0 && lost < offered, "{lost}");
    drop(feed);
    let (mut reader, _) = listener.accept().unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let written = lines(&text).iter().filter(|line| line["kind"] == "window").count() as u64;
    assert_eq!(written + lost, offered);
    writing.thread.join().unwrap();
}

/// A line, half of one that is taken back, and another line.
fn write_with_a_half_line(sink: &mut Rotating) {
    for (lines, whole) in [("{}\n", true), ("{\"half\":", false), ("[]\n", true)] {
        sink.begin(0).unwrap();
        sink.write(lines.as_bytes()).unwrap();
        if !whole {
            sink.undo();
        }
    }
}

#[test]
fn a_full_disk_costs_windows_and_leaves_no_half_line() {
    let telemetry = Telemetry::new();
    // Every write to it finds no room.
    let config = file(Path::new("/dev/full"), Rotation::default());
    let mut writer = writer(&config, &telemetry);
    writer.window(&window(1, 1));
    writer.window(&window(2, 1));
    assert_eq!(lost_windows(&telemetry, &config, "disk_full"), 2);

    let folder = Folder::new("full");
    let path = folder.0.join("out");
    let mut sink = Rotating::new(path.clone(), Rotation::default());
    write_with_a_half_line(&mut sink);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n[]\n");
}

#[test]
fn a_line_that_cannot_be_taken_back_is_ended_and_the_next_is_whole() {
    let folder = Folder::new("pipe");
    let path = folder.0.join("pipe");
    let made = process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let mut reader = fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut sink = Rotating::new(path.clone(), Rotation::default());
    write_with_a_half_line(&mut sink);
    let mut text = [0; 13];
    reader.read_exact(&mut text).unwrap();
    assert_eq!(str::from_utf8(&text).unwrap(), "{}\n{\"half\":\n[]\n".get(..13).unwrap());
}

#[test]
fn a_file_that_cannot_begin_anew_takes_no_more_than_its_bound() {
    let folder = Folder::new("stuck");
    let path = folder.0.join("out");
    // A folder that is not empty is no place for a file.
    fs::create_dir_all(folder.0.join("out.1").join("in the way")).unwrap();
    let telemetry = Telemetry::new();
    let config = file(&path, Rotation { bytes: 1, age: None, files: 1 });
    let mut writer = writer(&config, &telemetry);
    (1..=5).for_each(|serial| writer.window(&window(serial, 1)));
    assert_eq!(windows(&path), [1]);
    assert_eq!(lost_windows(&telemetry, &config, "write_error"), 4);
    fs::remove_dir_all(folder.0.join("out.1")).unwrap();
    writer.window(&window(6, 1));
    assert_eq!((windows(&folder.0.join("out.1")), windows(&path)), (vec![1], vec![6]));
    let told = lines(&fs::read_to_string(&path).unwrap());
    assert_eq!((&told[0]["first"], &told[0]["last"]), (&2.into(), &5.into()));
}
