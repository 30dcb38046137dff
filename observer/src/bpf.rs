//! The kernel side, from the agent: load, attach, control, read. The only code that names aya.

mod attach;
mod btf;
mod features;
mod offsets;
mod ring;
mod sys;
mod verify;

use std::{path::Path, thread};

use aya::{
    Btf, Ebpf, EbpfLoader, Endianness,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, ProgramArray, RingBuf},
    programs::Iter,
};
use observer_abi::{
    filter::{Control, Filter},
    record::Port,
    totals::Totals,
};

pub(crate) use attach::AttachError;
pub(crate) use features::{Feature, Level, chain, first_line};
pub(crate) use ring::Ring;
use sys::MapIterator;

const OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/observer-ebpf"));
/// Program, what it iterates over.
const ITERATORS: &[(&str, &str)] = &[
    ("seed", "task_file"),
    ("sweep_sockets", "bpf_sk_storage_map"),
    ("sweep_listeners", "bpf_sk_storage_map"),
];
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Places unless somebody says otherwise: 1.5 MiB of kernel memory.
pub(crate) const PLACES: u32 = 4096;
/// 384 MiB of kernel memory.
const MOST_PLACES: u32 = 1 << 20;

/// How the programs are to be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The ring buffer's size in bytes; rounded up to a power of two of at least a page.
    pub(crate) ring_bytes: u32,
    /// Sockets whose accumulators have a place of their own; rounded up to a power of two.
    pub(crate) places: u32,
    pub(crate) level: Level,
    /// What a trace wants to see; `None` for everything.
    pub(crate) filter: Option<Filter>,
    /// Whether the programs' own log lines are wanted.
    pub(crate) kernel_log: bool,
}

/// Why the programs are not in the kernel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Type information is missing.
    #[error("cannot find out how this kernel lays out its structures")]
    Offsets(#[from] offsets::OffsetsError),
    /// The kernel's BTF could not be read a second time, for attaching.
    #[error("cannot read the kernel's type information")]
    Btf(#[from] aya::BtfError),
    /// The `bpf` system call was refused.
    #[error(
        "the kernel refuses to load programs: observer needs the capabilities CAP_BPF and CAP_PERFMON \
         (run it as root, or `setcap cap_bpf,cap_perfmon+ep` on the binary)"
    )]
    NotPermitted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else while loading.
    #[error("cannot load the kernel programs")]
    Load(#[source] Box<aya::EbpfError>),
    /// The one program nothing works without.
    #[error("cannot watch connections")]
    Attach(#[source] AttachError),
    /// A map is missing or of another layout than this binary's: never in a build of one piece.
    #[error("the map `{name}` is not what this binary was built with")]
    Map {
        name: &'static str,
        #[source]
        source: aya::maps::MapError,
    },
    /// An iterator could not be had.
    #[error("cannot sweep the sockets")]
    Sweep(#[source] std::io::Error),
}

/// A value that the programs and the agent share.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Shared<T>(T);

#[expect(unsafe_code, reason = "aya asks for it to copy map values")]
// SAFETY: only used with observer-abi's layouts, which are `repr(C)` integers without padding.
unsafe impl<T: Copy + 'static> aya::Pod for Shared<T> {}

type ControlMap = Array<MapData, Shared<Control>>;

/// The loaded programs. Dropping them takes everything out of the kernel.
pub(crate) struct Programs {
    ebpf: Ebpf,
    features: Vec<Feature>,
    level: Level,
    /// Held so that the programs can be told something new.
    _control: ControlMap,
    /// Held so that the kernel keeps what is in it.
    _first: ProgramArray<MapData>,
    totals: PerCpuArray<MapData, Shared<Totals>>,
    places: u32,
    ports: HashMap<MapData, u64, Shared<Port>>,
    sockets: MapIterator,
    listeners: Option<MapIterator>,
    /// Of each per-exchange feature that is available, its program.
    exchange_programs: Vec<(&'static str, &'static str)>,
    exchange_links: Vec<attach::Link>,
}

impl Programs {
    /// Loads and attaches everything the kernel allows.
    ///
    /// # Errors
    /// When connections cannot be watched at all. Anything less is a [`Feature`] that is not available.
    pub(crate) fn load(options: &Options) -> Result<(Self, Ring), LoadError> {
        let loaded = Self::load_with_types(options);
        sys::release_freed_memory();
        loaded
    }

    fn load_with_types(options: &Options) -> Result<(Self, Ring), LoadError> {
        // aya's loader parses all of the kernel's types before it can be told not to: meanwhile they are read here too.
        let (types, mut loader) = thread::scope(|scope| {
            let types = scope.spawn(|| offsets::open(Path::new(BTF)));
            let loader = EbpfLoader::new();
            (types.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), loader)
        });
        let types = types?;
        let offsets = offsets::offsets(&types)?;
        let btf = Btf::parse(&types.hooks_only(), Endianness::default())?;
        let ring_bytes = ring_size(options.ring_bytes);
        let log_level: u8 = if options.kernel_log { u8::MAX } else { 0 };
        let places = options.places.clamp(1, MOST_PLACES).next_power_of_two();
        let place_mask = places - 1;
        loader.btf(Some(&btf)).map_max_entries("EVENTS", ring_bytes).map_max_entries("PLACE", places);
        loader.override_global("PLACE_MASK", &place_mask, true);
        loader.override_global("AYA_LOG_LEVEL", &log_level, true);
        for (name, offset) in &offsets.globals {
            loader.override_global(name, offset, true);
        }
        let mut ebpf = loader.load(OBJECT).map_err(refused)?;
        drop(loader);

        let mut features: Vec<_> =
            offsets.degraded.into_iter().map(|(name, reason)| Feature::missing(name, reason)).collect();
        let mut control: ControlMap = map(&mut ebpf, "CONTROL")?;
        let mut settings = Control {
            filter: options.filter.unwrap_or_default(),
            // A quarter full: the tick then comes too late for a burst that goes on.
            wake_bytes: ring_bytes / 4,
            ..Control::default()
        };
        let set = |control: &mut ControlMap, settings| {
            control.set(0, Shared(settings), 0).map_err(|source| LoadError::Map { name: "CONTROL", source })
        };
        set(&mut control, settings)?;
        verify::all(&mut ebpf, &btf, |name| {
            ITERATORS.iter().find(|(n, _)| *n == name).map(|(_, t)| *t).or_else(|| attach::hook(name))
        });
        // Before the first program is attached: a socket must not be counted both as found and as new.
        features.push(seed(&mut ebpf, &btf, &mut control));
        let mut first = map(&mut ebpf, "FIRST")?;
        attach::required(&mut ebpf, &btf, &mut first).map_err(unattached)?;
        features.extend(attach::optional(&mut ebpf, &btf, &types));
        let tells = features.iter().any(|f| f.name == features::CONNECT_EXIT && f.is_available());
        settings.connect_exit = u32::from(tells);
        set(&mut control, settings)?;
        let sockets = iterator(&mut ebpf, &btf, "sweep_sockets", "EXCHANGES").map_err(LoadError::Sweep)?;
        let listeners = match iterator(&mut ebpf, &btf, "sweep_listeners", "LISTENERS") {
            Ok(iterator) => Some(iterator),
            Err(error) => {
                features.push(Feature::missing("listen_queue", error.to_string()));
                None
            }
        };
        let mut programs = Self {
            _control: control,
            _first: first,
            totals: map(&mut ebpf, "TOTALS")?,
            ports: map(&mut ebpf, "PORTS")?,
            ebpf,
            places,
            features,
            level: Level::Outcomes,
            sockets,
            listeners,
            exchange_programs: Vec::new(),
            exchange_links: Vec::new(),
        };
        let ring = Ring::new(map(&mut programs.ebpf, "EVENTS")?);
        let (features, exchanges) = attach::load_exchanges(&mut programs.ebpf, &btf, &types);
        programs.features.extend(features);
        programs.exchange_programs = exchanges;
        programs.set_level(options.level);
        Ok((programs, ring))
    }

    /// How many sockets may have a place of their own.
    pub(crate) fn places(&self) -> usize {
        self.places as usize
    }

    /// What this kernel gives and what it does not.
    pub(crate) fn features(&self) -> &[Feature] {
        &self.features
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Attaches or detaches the per-exchange programs. They stay loaded: this takes microseconds and loses no state.
    pub(crate) fn set_level(&mut self, level: Level) {
        match level {
            Level::Outcomes => self.exchange_links.clear(),
            Level::Exchanges if self.exchange_links.is_empty() => {
                for (feature, program) in &self.exchange_programs {
                    match attach::link(&mut self.ebpf, program) {
                        Ok(link) => self.exchange_links.push(link),
                        Err(error) => features::deny(&mut self.features, feature, &error),
                    }
                }
            }
            Level::Exchanges => {}
        }
        self.level = level;
    }

    /// The totals of all CPUs.
    pub(crate) fn totals(&self) -> Result<Totals, LoadError> {
        let per_cpu = self.totals.get(&0, 0).map_err(|source| LoadError::Map { name: "TOTALS", source })?;
        let mut sum = Totals::default();
        for Shared(totals) in per_cpu.iter() {
            sum.merge(totals);
        }
        Ok(sum)
    }

    /// What nobody saw: the kernel skips a program inside itself, as when an interrupt brings data to one socket while the same CPU
    /// is telling of another. State changes are not among them: a second program takes those.
    pub(crate) fn missed(&self) -> u64 {
        let others = self.ebpf.programs().filter(|(name, _)| !attach::is_required(name));
        // A program that is not loaded misses nothing.
        others.filter_map(|(_, program)| sys::misses(program.fd().ok()?).ok()).sum()
    }

    /// The ports that are listened on: `(network namespace, port, what is known)`. Entries nobody listens on any more are
    /// handed over a last time and then forgotten.
    pub(crate) fn ports(&mut self, mut sink: impl FnMut(u32, u16, &Port)) {
        let mut gone = Vec::new();
        for entry in &self.ports {
            let Ok((key, Shared(port))) = entry else { continue };
            #[expect(clippy::cast_possible_truncation, reason = "the key is netns << 16 | port")]
            sink((key >> 16) as u32, key as u16, &port);
            if port.listeners == 0 {
                gone.push(key);
            }
        }
        for key in gone {
            // It may be listened on again by now: then the next `listen` makes a new entry.
            let _gone = self.ports.remove(&key);
        }
    }

    /// Visits every active socket; the records go to `sink`, framed as the kernel wrote them.
    ///
    /// # Errors
    /// When the kernel ends a sweep early; what was read until then stands.
    pub(crate) fn sweep(&mut self, buffer: &mut [u8], mut sink: impl FnMut(&[u8])) -> std::io::Result<()> {
        self.sockets.run(buffer, &mut sink)?;
        self.listeners.as_ref().map_or(Ok(()), |l| l.run(buffer, &mut sink))
    }

    /// Takes the kernel-side log, if it was asked for.
    pub(crate) fn take_log(&mut self) -> Option<aya_log::EbpfLogger<&'static dyn log::Log>> {
        aya_log::EbpfLogger::init(&mut self.ebpf).ok()
    }

    /// Detaches everything but the ring and the maps, so that what is in the ring can be drained to its end.
    pub(crate) fn detach(&mut self) {
        self.exchange_links.clear();
        attach::unlink_all(&mut self.ebpf);
    }
}

/// Finds the sockets that are there already and whose they are, in every network namespace: a walk over all open files, for
/// listening sockets first.
fn seed(ebpf: &mut Ebpf, btf: &Btf, control: &mut ControlMap) -> Feature {
    let mut run = || -> Result<(), Box<dyn std::error::Error>> {
        let program: &mut Iter = ebpf.program_mut("seed").ok_or("no such program")?.try_into()?;
        verify::once(program.load("task_file", btf))?;
        for seed_listeners in [1, 0] {
            let Shared(settings) = control.get(&0, 0)?;
            control.set(0, Shared(Control { seed_listeners, ..settings }), 0)?;
            let id = program.attach()?;
            let mut file = program.take_link(id)?.into_file()?;
            std::io::copy(&mut file, &mut std::io::sink())?;
        }
        Ok(())
    };
    match run() {
        Ok(()) => Feature::available("seed"),
        Err(error) => Feature::missing("seed", chain(&*error)),
    }
}

/// The kernel wants a power of two of whole pages.
fn ring_size(bytes: u32) -> u32 {
    bytes.clamp(4096, 1 << 30).next_power_of_two()
}

fn refused(error: aya::EbpfError) -> LoadError {
    if sys::is_not_permitted(&error) {
        LoadError::NotPermitted(error.into())
    } else {
        LoadError::Load(Box::new(error))
    }
}

fn unattached(error: AttachError) -> LoadError {
    if sys::is_not_permitted(&error) {
        LoadError::NotPermitted(error.into())
    } else {
        LoadError::Attach(error)
    }
}

fn map<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, LoadError>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| LoadError::Map {
        name,
        source: aya::maps::MapError::InvalidName { name: name.into() },
    })?;
    map.try_into().map_err(|source| LoadError::Map { name, source })
}

fn iterator(ebpf: &mut Ebpf, btf: &Btf, program: &str, map: &'static str) -> std::io::Result<MapIterator> {
    let Some(Map::SkStorage(data)) = ebpf.take_map(map) else {
        return Err(std::io::Error::other(format!("`{map}` is no socket storage")));
    };
    let program: &mut Iter = ebpf
        .program_mut(program)
        .and_then(|p| p.try_into().ok())
        .ok_or_else(|| std::io::Error::other(format!("`{program}` is no iterator")))?;
    verify::once(program.load("bpf_sk_storage_map", btf)).map_err(std::io::Error::other)?;
    let fd = program.fd().map_err(std::io::Error::other)?;
    MapIterator::new(fd, data)
}

/// The ring as aya sees it.
type RawRing = RingBuf<MapData>;
