//! Many agents into one receiver: what a fleet does to its storage each second, and when the storage comes back after an outage.

mod receiver;

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{Result, agent, clock::Started, figures::mib, machine, peers, sys};
use receiver::{Kind, Receiver, Taken};

/// How often the receiver's own counters are read.
const STEP: Duration = Duration::from_millis(250);

/// How many, how long, into what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FanInArgs {
    /// Agents, each a process of its own with its own identity. Each sends what it says about itself, every second.
    #[arg(long, default_value_t = 1000)]
    agents: u32,
    /// Seconds before the outage that are counted.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Seconds without the receiver.
    #[arg(long, default_value_t = 60)]
    outage: u64,
    /// The longest it may take until everything has arrived afterwards, in seconds.
    #[arg(long, default_value_t = 180)]
    patience: u64,
    /// The receiver: victoria-metrics or prometheus.
    #[arg(long, default_value = "victoria-metrics")]
    receiver: Kind,
}

pub(crate) fn run(args: &FanInArgs) -> Result<()> {
    println!("{}", machine::describe());
    sys::raise_open_files()?;
    let dir = peers::scratch()?;
    let result = measure(args, &dir);
    let _gone = fs::remove_dir_all(&dir);
    result
}

fn measure(args: &FanInArgs, dir: &std::path::Path) -> Result<()> {
    let mut receiver = Receiver::new(args.receiver, &dir.join("receiver"))?;
    receiver.start()?;
    println!("{} agents into {}", args.agents, receiver.version()?);
    let mut fleet = Fleet::start(args.agents, dir, &receiver.write_url())?;
    fleet.wait(&receiver, args.agents)?;

    let cpu = fleet.cpu_seconds()?;
    let steady = watch(&receiver, Duration::from_secs(args.seconds), |_| false)?;
    let cpu = (fleet.cpu_seconds()? - cpu) / args.seconds as f64;
    println!("\nall agents {:.2} cores, {:.1} MiB each\n", cpu, fleet.mib_each()?);
    println!(
        "| | requests/s, peak in 250 ms | samples/s, peak in 250 ms | receiver, cores |\n|---|---|---|---|"
    );
    line("steady", &steady);

    receiver.stop();
    thread::sleep(Duration::from_secs(args.outage));
    receiver.start()?;
    let rate = mean(&steady, |taken| taken.samples);
    let owed = rate * args.outage as f64;
    let patience = Duration::from_secs(args.patience);
    // What was missed has come when as much as that has come on top of what came anew.
    let after = watch(&receiver, patience, |steps| {
        let arrived: f64 = steps.iter().map(|taken| taken.samples).sum();
        arrived >= owed + rate * STEP.as_secs_f64() * (steps.len() as f64 - 4.0)
    })?;
    for (nth, second) in after.chunks(4).enumerate().take(15) {
        line(&format!("second {} after {} s without", nth + 1, args.outage), second);
    }
    line(&format!("all {:.1} s until caught up", after.len() as f64 * STEP.as_secs_f64()), &after);
    thread::sleep(Duration::from_secs(3));
    fleet.stop();
    thread::sleep(Duration::from_secs(2));
    let (agents, missing) = receiver.missing()?;
    println!("\nwindows missing at the receiver: {missing} of {agents} agents' together");
    Ok(())
}

/// What the receiver took in each step, until `done` or the time is up.
fn watch(receiver: &Receiver, limit: Duration, done: impl Fn(&[Taken]) -> bool) -> Result<Vec<Taken>> {
    let mut steps = Vec::new();
    let started = Started::now();
    let mut before = receiver.total()?;
    while started.elapsed() < limit && !done(&steps) {
        let next = STEP * (u32::try_from(steps.len())? + 1);
        thread::sleep(next.saturating_sub(started.elapsed()));
        let now = receiver.total()?;
        steps.push(now.since(&before));
        before = now;
    }
    Ok(steps)
}

fn mean(steps: &[Taken], of: impl Fn(&Taken) -> f64) -> f64 {
    steps.iter().map(of).sum::<f64>() / (steps.len() as f64 * STEP.as_secs_f64())
}

fn line(name: &str, steps: &[Taken]) {
    let peak = |of: fn(&Taken) -> f64| steps.iter().map(of).fold(0.0, f64::max) / STEP.as_secs_f64();
    println!(
        "| {name} | {:.0}, {:.0} | {:.0}, {:.0} | {:.2} |",
        mean(steps, |taken| taken.requests),
        peak(|taken| taken.requests),
        mean(steps, |taken| taken.samples),
        peak(|taken| taken.samples),
        mean(steps, |taken| taken.cpu),
    );
}

/// The agents. They end when this is dropped.
struct Fleet(Vec<Child>);

impl Fleet {
    fn start(agents: u32, dir: &std::path::Path, url: &str) -> Result<Self> {
        let mut fleet = Self(Vec::new());
        let binary = agent::binary()?;
        let log = File::create(dir.join("agents.log"))?;
        for nth in 0..agents {
            let config = dir.join(format!("agent-{nth}.yml"));
            fs::write(
                &config,
                format!("global:\n  external_labels:\n    agent: \"{nth}\"\nremote_write:\n- url: {url}\n"),
            )?;
            let mut command = Command::new(&binary);
            command.args(["run", "--no-tcp", "--no-node", "--listen", "127.0.0.1:0", "--config"]);
            command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.try_clone()?);
            fleet.0.push(sys::die_with_parent(&mut command).spawn()?);
        }
        Ok(fleet)
    }

    /// Until the receiver knows all of them.
    fn wait(&mut self, receiver: &Receiver, agents: u32) -> Result<()> {
        let started = Started::now();
        loop {
            let known = receiver.agents()?;
            if known >= f64::from(agents) {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(120) {
                return Err(format!("the receiver knows {known} of {agents} agents").into());
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn cpu_seconds(&self) -> Result<f64> {
        let each = self.0.iter().map(|child| sys::cpu_seconds(child.id()));
        Ok(each.sum::<std::io::Result<f64>>()?)
    }

    fn mib_each(&self) -> Result<f64> {
        let each = self.0.iter().map(|child| machine::process_memory(child.id(), "VmRSS"));
        Ok(mib(each.sum::<Result<u64>>()?) / self.0.len() as f64)
    }

    /// As users end them; by force when it takes too long.
    fn stop(&mut self) {
        for child in &self.0 {
            let _asked = sys::interrupt(child);
        }
        let asked = Started::now();
        for child in &mut self.0 {
            while let Ok(None) = child.try_wait() {
                if asked.elapsed() > Duration::from_secs(30) {
                    let _gone = child.kill();
                    let _gone = child.wait();
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        self.0.clear();
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop();
    }
}
