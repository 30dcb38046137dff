//! The targets of each job, from the lists it has.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use crate::config::{Group, Job, Resolution, Resolver, ScrapeTarget, Target, write_duration};

/// All targets.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// In the order of the configuration. What has not changed since the last time is the same allocation.
    pub(crate) jobs: Vec<Arc<JobTargets>>,
}

/// The targets of a job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JobTargets {
    /// The job.
    pub(crate) job: Arc<Job>,
    /// What is scraped, each once.
    pub(crate) active: Vec<Arc<ScrapeTarget>>,
    /// The labels, before relabelling, of some of those that relabelling dropped: `keep_dropped` at most.
    pub(crate) dropped: Vec<Vec<(String, String)>>,
    /// How many relabelling dropped.
    pub(crate) dropped_count: usize,
    /// How many cannot be scraped, such as those without an address.
    pub(crate) refused: usize,
    /// How many are left out because there are more than the job or the agent may have.
    pub(crate) over_limit: usize,
}

impl Targets {
    /// Those that need no discovery.
    #[cfg(test)]
    pub(crate) fn fixed(jobs: Vec<Arc<Job>>) -> Self {
        Found::new(jobs, usize::MAX).targets()
    }

    /// How many there are, by what became of them.
    pub(super) fn states(&self) -> [(&'static str, usize); 4] {
        let sum = |count: fn(&JobTargets) -> usize| self.jobs.iter().map(|job| count(job)).sum();
        [
            ("active", sum(|job| job.active.len())),
            ("dropped", sum(|job| job.dropped_count)),
            ("refused", sum(|job| job.refused)),
            ("over_limit", sum(|job| job.over_limit)),
        ]
    }
}

/// What the lists have, and what that comes to.
#[derive(Debug)]
pub(super) struct Found {
    jobs: Vec<State>,
    /// The most targets over all jobs.
    limit: usize,
    /// How many the log last said are beyond it.
    told: usize,
    resolver: Resolver,
}

#[derive(Debug)]
struct State {
    job: Arc<Job>,
    /// What each list has, in the order of the configuration.
    lists: Vec<Vec<Group>>,
    resolved: Arc<JobTargets>,
}

impl Found {
    pub(super) fn new(jobs: Vec<Arc<Job>>, limit: usize) -> Self {
        let mut resolver = Resolver::default();
        let state = |job: Arc<Job>| {
            let lists = vec![Vec::new(); job.files.len() + job.servers.len()];
            let resolved = Arc::new(resolve(&job, &lists, &mut resolver, None));
            State { job, lists, resolved }
        };
        Self { jobs: jobs.into_iter().map(state).collect(), limit, told: 0, resolver }
    }

    /// A list of a job has changed.
    pub(super) fn update(&mut self, job: usize, list: usize, groups: Vec<Group>) {
        let State { job, lists, resolved } = &mut self.jobs[job];
        lists[list] = groups;
        let new = resolve(job, lists, &mut self.resolver, Some(resolved));
        if new != **resolved {
            if new.over_limit > 0 && new.over_limit != resolved.over_limit {
                log::warn!(
                    "job `{}` is not scraped: it has {} targets, and its `target_limit` is {}",
                    job.name,
                    new.over_limit,
                    job.settings.target_limit
                );
            }
            *resolved = Arc::new(new);
        }
    }

    /// All of them, within the limit: the last go first.
    pub(super) fn targets(&mut self) -> Targets {
        let mut room = self.limit;
        let over =
            self.jobs.iter().map(|state| state.resolved.active.len()).sum::<usize>().saturating_sub(room);
        if over > 0 && over != self.told {
            log::warn!("{over} targets are not scraped: `targets` of `limits` is {room}");
        }
        self.told = over;
        let within = |state: &State| {
            let resolved = &state.resolved;
            let kept = resolved.active.len().min(room);
            room -= kept;
            if kept == resolved.active.len() { Arc::clone(resolved) } else { Arc::new(resolved.cut(kept)) }
        };
        Targets { jobs: self.jobs.iter().map(within).collect() }
    }
}

impl JobTargets {
    fn cut(&self, kept: usize) -> Self {
        let Self { job, active, dropped, dropped_count, refused, over_limit } = self;
        Self {
            job: Arc::clone(job),
            active: active[..kept].to_vec(),
            dropped: dropped.clone(),
            dropped_count: *dropped_count,
            refused: *refused,
            over_limit: over_limit + active.len() - kept,
        }
    }
}

fn resolve(
    job: &Arc<Job>,
    lists: &[Vec<Group>],
    resolver: &mut Resolver,
    before: Option<&JobTargets>,
) -> JobTargets {
    let known: HashMap<u64, &Arc<ScrapeTarget>> =
        before.iter().flat_map(|before| &before.active).map(|target| (target.identity, target)).collect();
    let mut seen = HashMap::new();
    let mut found = JobTargets {
        job: Arc::clone(job),
        active: Vec::new(),
        dropped: Vec::new(),
        dropped_count: 0,
        refused: 0,
        over_limit: 0,
    };
    let mut first_refused = None;
    let mut add = |found: &mut JobTargets, target: ScrapeTarget| {
        let Entry::Vacant(entry) = seen.entry(target.identity) else { return };
        entry.insert(());
        found.active.push(match known.get(&target.identity) {
            Some(same) if ***same == target => Arc::clone(same),
            _ => Arc::new(target),
        });
    };
    for group in job.groups.iter().chain(lists.iter().flatten()) {
        for address in &group.targets {
            let (discovered, resolution) = resolver.resolve(job, &group.labels, address);
            match resolution {
                Resolution::Target { target, interval, timeout } => {
                    add(&mut found, ScrapeTarget::new(job, target, discovered, interval, timeout));
                }
                Resolution::Dropped => {
                    found.dropped_count += 1;
                    if found.dropped.len() < job.settings.keep_dropped {
                        found.dropped.push(discovered);
                    }
                }
                Resolution::Refused(fault) => {
                    found.refused += 1;
                    log::debug!("job `{}`: target `{address}` is not scraped: {fault}", job.name);
                    first_refused.get_or_insert_with(|| format!("`{address}`: {fault}"));
                }
            }
        }
    }
    for target in &job.fixed {
        let (interval, timeout) = (job.settings.interval, job.settings.timeout);
        add(&mut found, ScrapeTarget::new(job, target.clone(), fixed(job, target), interval, timeout));
    }
    if job.settings.target_limit > 0 && found.active.len() > job.settings.target_limit {
        found.over_limit = found.active.len();
        found.active.clear();
    }
    if before.is_none_or(|before| before.refused != found.refused)
        && let Some(first) = first_refused
    {
        log::warn!(
            "targets of job `{}` that cannot be scraped: {}, the first {first}",
            job.name,
            found.refused
        );
    }
    found
}

impl ScrapeTarget {
    fn new(
        job: &Arc<Job>,
        target: Target,
        discovered: Vec<(String, String)>,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        let mut hasher = DefaultHasher::new();
        (&job.name, target.url.to_string(), &target.labels, interval, timeout).hash(&mut hasher);
        let identity = hasher.finish();
        Self { job: Arc::clone(job), target: Arc::new(target), discovered, interval, timeout, identity }
    }
}

/// What would have been discovered of a target from the command line.
fn fixed(job: &Job, target: &Target) -> Vec<(String, String)> {
    let address = target.url.authority().map_or("", |authority| authority.as_str());
    [
        ("__address__", address),
        ("__metrics_path__", target.url.path()),
        ("__scheme__", target.url.scheme_str().unwrap_or("http")),
        ("__scrape_interval__", &write_duration(job.settings.interval)),
        ("__scrape_timeout__", &write_duration(job.settings.timeout)),
        ("job", &job.name),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}
