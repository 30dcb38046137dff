//! The configuration file: YAML, with the keys of a Prometheus configuration, which mean what they mean there.

mod duration;
mod prometheus;
mod target;
mod yaml;

use std::{fs, io, path::Path, time::Duration};

pub(crate) use self::{
    duration::write as write_duration,
    target::{Flag, Target},
};

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Config {
    /// What holds for all.
    pub(crate) global: Global,
    /// What is scraped.
    pub(crate) jobs: Vec<Job>,
}

/// The `global` section.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Global {
    /// How a job is scraped that says nothing else.
    pub(crate) settings: Settings,
    /// Labels that every exported series gets unless it has a label of that name. Sorted by name.
    pub(crate) external_labels: Vec<(String, String)>,
}

/// One entry of `scrape_configs`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Job {
    /// `job_name`
    pub(crate) name: String,
    /// How its targets are scraped.
    pub(crate) settings: Settings,
    /// The targets, each once.
    pub(crate) targets: Vec<Target>,
}

/// How targets are scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// From the begin of one scrape to the begin of the next.
    pub(crate) interval: Duration,
    /// The longest a scrape may take, at most the interval.
    pub(crate) timeout: Duration,
    /// A scraped label wins over the target's of the same name, which otherwise renames it to `exported_…`.
    pub(crate) honor_labels: bool,
    /// A scraped timestamp is kept.
    pub(crate) honor_timestamps: bool,
    /// The most samples a scrape may have; 0 for any number.
    pub(crate) sample_limit: usize,
    /// The largest body in bytes; 0 for any size.
    pub(crate) body_size_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            honor_labels: false,
            honor_timestamps: true,
            sample_limit: 0,
            // Some hundred thousand samples: more than one exporter has, less than what hurts a node.
            body_size_limit: 64 << 20,
        }
    }
}

/// Something in a file that is understood and not supported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub(crate) struct Problem {
    /// The file as it was named.
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) message: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file as it was named.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file says something that has no meaning.
    #[error(transparent)]
    Content(Problem),
}

/// Reads a file. The problems are what it says that this version leaves out.
pub(crate) fn load(path: &Path) -> Result<(Config, Vec<Problem>), Error> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => parse(&name, &text).map_err(Error::Content),
        Err(source) => Err(Error::Read { path: name, source }),
    }
}

/// Reads a text; `file` is the name for messages.
pub(crate) fn parse(file: &str, text: &str) -> Result<(Config, Vec<Problem>), Problem> {
    let mut warnings = Vec::new();
    let config = yaml::root(text).and_then(|root| prometheus::config(root.as_ref(), &mut warnings));
    let config = config.map_err(|fault| fault.within(file))?;
    Ok((config, warnings.into_iter().map(|fault| fault.within(file)).collect()))
}

impl Config {
    /// Adds a target from the command line, to the job of its name if there is one.
    pub(crate) fn add(&mut self, flag: Flag) {
        let Flag { job: name, target } = flag;
        let job = match self.jobs.iter().position(|job| job.name == name) {
            Some(at) => &mut self.jobs[at],
            None => {
                self.jobs.push(Job { name, settings: self.global.settings, targets: Vec::new() });
                self.jobs.last_mut().expect("just pushed")
            }
        };
        let target = target.with_job(&job.name);
        if !job.targets.contains(&target) {
            job.targets.push(target);
        }
    }
}

#[cfg(test)]
mod tests;
