//! A load, a collector and a sink: sets them up and reads what passes.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{
    Result,
    clock::Started,
    collectors::{Collector, Running, Work},
    http, machine,
    sink::Arrived,
    sys,
    targets::{Served, TargetsArgs},
};

/// Longest until each target was scraped once.
const START: Duration = Duration::from_secs(30);

/// This program once more, as one end of the load. It ends with its standard input, so with us in any case.
struct End {
    child: Child,
    port: u16,
}

impl End {
    fn start(arguments: &[String]) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(arguments).args(["--port", "0", "--seconds", "86400"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut end = Self { child: command.spawn()?, port: 0 };
        let mut said = BufReader::new(end.child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let port = line.trim_end().strip_prefix("listening ").ok_or("an end of the load did not start")?;
        end.port = port.parse()?;
        // What it says at its end is asked for earlier, but a full pipe would stop it.
        thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Ok(end)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _gone = self.child.wait();
    }
}

/// Targets and a sink, that collectors come and go between.
pub(crate) struct Rig {
    args: TargetsArgs,
    targets: End,
    sink: End,
    ours: Vec<String>,
}

/// What passed in some seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) served: Served,
    pub(crate) arrived: Arrived,
    /// CPU seconds.
    pub(crate) collector_cpu: f64,
    pub(crate) targets_cpu: f64,
    pub(crate) sink_cpu: f64,
    /// Bytes.
    pub(crate) rss: u64,
    pub(crate) anonymous: u64,
}

impl Reading {
    /// CPU seconds for a million samples.
    pub(crate) fn cpu_a_million(&self) -> f64 {
        self.collector_cpu / self.millions()
    }

    /// Samples that left the targets.
    pub(crate) fn millions(&self) -> f64 {
        (self.served.samples as f64 / 1e6).max(f64::MIN_POSITIVE)
    }

    /// Every scrape came whole, once in its second.
    pub(crate) fn is_on_time(&self) -> bool {
        let Served { missed, extra, cut, reached, targets, .. } = &self.served;
        [missed, extra, cut] == [&0; 3] && reached == targets
    }
}

impl Rig {
    pub(crate) fn new(args: &TargetsArgs, ours: &[String]) -> Result<Self> {
        let mut arguments = vec!["targets".to_owned()];
        arguments.extend(args.as_arguments());
        Ok(Self {
            args: args.clone(),
            targets: End::start(&arguments)?,
            sink: End::start(&["sink".to_owned()])?,
            ours: ours.to_vec(),
        })
    }

    pub(crate) fn served(&self) -> Result<Served> {
        http::get_json(self.targets.port, "/-/report")
    }

    fn reset(&self) -> Result<()> {
        http::get(self.targets.port, "/-/reset")?;
        http::get(self.sink.port, "/-/reset")?;
        Ok(())
    }

    /// Starts a collector and waits until it has been everywhere, or has had its time, and `warm` more.
    pub(crate) fn start(&self, collector: &Collector, warm: Duration) -> Result<Running> {
        self.reset()?;
        let work = Work {
            targets: &self.args,
            targets_port: self.targets.port,
            sink_port: self.sink.port,
            ours: &self.ours,
        };
        let mut running = collector.start(work)?;
        let started = Started::now();
        loop {
            running.check()?;
            let Served { reached, targets, .. } = self.served()?;
            if reached == targets {
                break;
            }
            if started.elapsed() > START {
                let found = format!("{collector} has reached {reached} of {targets} targets");
                if reached == 0 {
                    return Err(format!("{found}:\n{}", running.said()).into());
                }
                // One that cannot keep up is measured at what it does.
                eprintln!("{found}");
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        thread::sleep(warm);
        Ok(running)
    }

    /// Counts for so many seconds.
    pub(crate) fn read(&self, running: &mut Running, seconds: Duration) -> Result<Reading> {
        let cpu = || -> Result<[f64; 3]> {
            let pids = [running.pid(), self.targets.child.id(), self.sink.child.id()];
            let [a, b, c] = pids.map(sys::cpu_seconds);
            Ok([a?, b?, c?])
        };
        self.reset()?;
        let before = cpu()?;
        thread::sleep(seconds);
        let after = cpu()?;
        let [collector_cpu, targets_cpu, sink_cpu] = [0, 1, 2].map(|nth| after[nth] - before[nth]);
        let reading = Reading {
            served: self.served()?,
            arrived: http::get_json(self.sink.port, "/-/report")?,
            collector_cpu,
            targets_cpu,
            sink_cpu,
            rss: machine::process_memory(running.pid(), "VmRSS")?,
            anonymous: machine::process_memory(running.pid(), "RssAnon")?,
        };
        running.check()?;
        Ok(reading)
    }
}
