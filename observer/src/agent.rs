//! One running agent: build, spawn, wait, drain.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use observer_aggregate::{
    rules::Rules,
    stream::{Engine, RuleError},
    window::Window,
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};

use crate::{
    bpf::{self, Level, Programs, Ring},
    cli::{Cli, RunArgs},
    clock,
    config::{self, Config, Environment, Export, Limits, Server},
    export::{self, StartError, feed::Feed},
    node::{self, Node},
    say,
    scrape::Scraper,
    serve::{self, Control, State},
    shard::{self, Command},
    shutdown::Signals,
    telemetry::{Telemetry, set_count},
};

/// How long a change of level may take before whoever asked is told that it did not happen.
const CONTROL_PATIENCE: Duration = Duration::from_secs(2);

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error("cannot listen on `{address}`")]
    Listen {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{0}` can be reached from other hosts, and nothing asks who they are: listen on a loopback address, or say --allow-remote"
    )]
    Remote(SocketAddr),
    #[error("cannot use the aggregation rules")]
    Rules(#[source] RuleError),
    #[error(transparent)]
    Export(#[from] StartError),
    #[error("cannot start")]
    Start(#[source] io::Error),
}

impl AgentError {
    /// 2 where the command line or the configuration has to be mended, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_) | Self::Remote(_) | Self::Rules(_) => 2,
            Self::Listen { .. } | Self::Export(_) | Self::Start(_) => 1,
        })
    }
}

/// Runs an agent until a signal ends it.
pub(crate) async fn run(args: RunArgs) -> Result<(), AgentError> {
    let mut signals = Signals::install().map_err(AgentError::Start)?;
    let config = configure(&args)?;
    let listener = listen(config.server.listen, config.server.allow_remote)?;
    let socket = listen_unix(config.server.socket.as_deref())?;

    let telemetry = Telemetry::new();
    let capture = match args.no_tcp {
        true => None,
        false => load(&args, &telemetry).await,
    };
    let node = (!args.no_node).then(|| Node::new(&args.proc, &node::Options::default()));
    let (windows, published) = watch::channel(Arc::new(Window::default()));
    let (commands, orders) = sync_channel(16);
    let (stop_scrapes, stopping) = watch::channel(());
    let rules = match config.aggregate.is_empty() {
        true => None,
        // Each rule alone was found good when the configuration was read; together they are too many at most.
        false => Some(Rules::new(Engine::new(config.aggregate.clone()).map_err(AgentError::Rules)?)),
    };
    let jobs = config.jobs.iter().cloned().map(Arc::new).collect();
    let scraper = Scraper::spawn(jobs, &config.limits, &telemetry, closed(stopping))
        .map(Arc::new)
        .map_err(AgentError::Start)?;
    let mut feed = Feed::default();
    let exports = export::start(&config, &mut feed, &telemetry)?;
    let shard = shard::spawn(shard::Parts {
        capture,
        node,
        telemetry: Arc::clone(&telemetry),
        scraper: Arc::clone(&scraper),
        windows,
        feed,
        pool: config.limits.windows,
        rules,
        commands: orders,
        groups: args.tcp_groups,
    })
    .map_err(AgentError::Start)?;

    let state = Arc::new(State::new(
        published,
        boxed(&scraper, Scraper::list),
        Box::new(exports.statuses()),
        Box::new(Remote(commands.clone())),
        config.global.external_labels,
        telemetry,
        config.limits.page_bytes,
    ));
    let (stop_serving, stopping) = watch::channel(());
    let address = listener.local_addr().map_err(AgentError::Start)?;
    let mut servers = vec![tokio::spawn(serve::run(
        listener,
        Arc::clone(&state),
        serve::Limits::default(),
        closed(stopping.clone()),
    ))];
    if let Some(socket) = socket.listener {
        servers.push(tokio::spawn(serve::run_unix(
            socket,
            state,
            serve::Limits::default(),
            closed(stopping),
        )));
    }
    say(format_args!("listening on http://{address}"));

    signals.wait().await;
    let mut interrupted = pin!(signals.hurried(clock::monotonic()));
    log::info!("closing the last window");
    drop(stop_scrapes);
    // A shard that has ended by itself has closed its last window already.
    let _ended = commands.try_send(Command::Stop);
    let drained = tokio::task::spawn_blocking(move || shard.join()).await;
    if !matches!(drained, Ok(Ok(()))) {
        log::error!("the shard did not end in order; its last window may be missing");
    }
    let (enough, hurried) = watch::channel(());
    let grace = config.export.shutdown_grace;
    let mut finished = tokio::spawn(exports.finish(grace, closed(hurried)));
    // The last window can be read until the process ends. An interrupt ends the wait for readers and receivers.
    let mut linger = pin!(tokio::time::sleep(config.server.linger));
    let (mut read, mut delivered) = (false, false);
    while !(read && delivered) {
        tokio::select! {
            () = &mut linger, if !read => read = true,
            _ended = &mut finished, if !delivered => delivered = true,
            () = &mut interrupted => break,
        }
    }
    drop(enough);
    if !delivered && finished.await.is_err() {
        log::error!("the exports did not end in order");
    }
    drop(stop_serving);
    for server in servers {
        // A server that panicked has said so.
        let _ended = server.await;
    }
    if let Some(scraper) = Arc::into_inner(scraper) {
        scraper.stopped().await;
    }
    drop(socket.path);
    Ok(())
}

/// Ends when the sender is gone.
async fn closed(mut stopping: watch::Receiver<()>) {
    while stopping.changed().await.is_ok() {}
}

fn boxed<T: Send + Sync + 'static, R>(
    of: &Arc<T>,
    ask: impl Fn(&T) -> R + Send + Sync + 'static,
) -> Box<dyn Fn() -> R + Send + Sync> {
    let of = Arc::clone(of);
    Box::new(move || ask(&of))
}

/// The configuration: flags over the environment over the file.
fn configure(args: &RunArgs) -> Result<Config, AgentError> {
    let over = Environment::new(variables(), &Cli::variables());
    let (mut config, problems) = config::load(args.config.as_deref(), &over)?;
    for problem in problems {
        log::warn!("{problem}");
    }
    for flag in &args.scrape {
        config.add(flag.clone());
    }
    for url in &args.remote_write {
        config.add_remote_write(url.clone());
    }
    config.export.add_otlp(&args.otlp, &over).map_err(config::Error::Content)?;
    args.ndjson.iter().for_each(|place| config.export.add_ndjson(place));
    let Export { queue_dir, shutdown_grace, .. } = &mut config.export;
    *shutdown_grace = args.shutdown_grace.unwrap_or(*shutdown_grace);
    if args.queue_dir.is_some() {
        queue_dir.clone_from(&args.queue_dir);
    }
    let Limits { series, windows, arena_bytes, .. } = &mut config.limits;
    *arena_bytes = args.arena_bytes.or(*arena_bytes);
    *series = args.series.unwrap_or(*series);
    *windows = args.windows.map_or(*windows, usize::from);
    let Server { listen, allow_remote, socket, linger } = &mut config.server;
    *listen = args.listen.unwrap_or(*listen);
    *allow_remote |= args.allow_remote;
    *linger = args.linger.unwrap_or(*linger);
    if args.socket.is_some() {
        socket.clone_from(&args.socket);
    }
    Ok(config)
}

/// The environment, as far as it is text.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn listen(address: SocketAddr, allow_remote: bool) -> Result<TcpListener, AgentError> {
    if !address.ip().to_canonical().is_loopback() && !allow_remote {
        return Err(AgentError::Remote(address));
    }
    serve::listen(address).map_err(|source| AgentError::Listen { address: address.to_string(), source })
}

/// A Unix socket that is taken away when the agent ends.
struct Socket {
    listener: Option<UnixListener>,
    path: Option<Removed>,
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            log::warn!("cannot remove `{}`: {error}", self.0.display());
        }
    }
}

/// Where the socket is when nobody says otherwise; systemd and the images make the directory.
const DEFAULT_SOCKET: &str = "/run/observer/observer.sock";

fn listen_unix(path: Option<&Path>) -> Result<Socket, AgentError> {
    let path = match path {
        Some(path) => path,
        None if Path::new(DEFAULT_SOCKET).parent().is_some_and(Path::is_dir) => Path::new(DEFAULT_SOCKET),
        None => return Ok(Socket { listener: None, path: None }),
    };
    let failed = |source| AgentError::Listen { address: path.display().to_string(), source };
    // What an agent that was killed has left; another agent's answers.
    if fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(failed(io::ErrorKind::AddrInUse.into()));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Who may open it may change the agent: its user, and its group.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(Socket { listener: Some(listener), path: Some(Removed(path.to_owned())) })
}

/// Loads the kernel side. Without it the agent still has the node and the exporters to show, and says what is missing.
async fn load(args: &RunArgs, telemetry: &Telemetry) -> Option<(Programs, Ring)> {
    let options = bpf::Options {
        ring_bytes: args.ring_size,
        places: args.tcp_places,
        level: args.tcp_level,
        filter: None,
        kernel_log: args.kernel_log,
    };
    let loaded = tokio::task::spawn_blocking(move || Programs::load(&options)).await;
    let available = telemetry.feature_available.with(["tcp"]);
    match loaded {
        Ok(Ok((programs, ring))) => {
            available.set(1);
            set_count(&telemetry.tcp_places, programs.places());
            for feature in programs.features() {
                if let Some(reason) = &feature.missing {
                    log::warn!("`{}` is not available: {reason}", feature.name);
                }
            }
            Some((programs, ring))
        }
        Ok(Err(error)) => {
            available.set(0);
            log::error!("no TCP metrics: {}", bpf::chain(&error));
            None
        }
        Err(error) => {
            available.set(0);
            log::error!("no TCP metrics: loading the kernel programs failed: {error}");
            None
        }
    }
}

/// The shard, from the Unix socket.
struct Remote(SyncSender<Command>);

impl Remote {
    fn ask(&self, command: impl FnOnce(SyncSender<Level>) -> Command) -> Result<Level, String> {
        let (reply, answer) = sync_channel(1);
        self.0.try_send(command(reply)).map_err(|_| "the agent is busy or ending".to_owned())?;
        answer.recv_timeout(CONTROL_PATIENCE).map_err(|_| "no kernel programs are loaded".to_owned())
    }
}

impl Control for Remote {
    fn level(&self) -> Result<Level, String> {
        self.ask(Command::Level)
    }

    fn set_level(&self, level: Level) -> Result<Level, String> {
        self.ask(|reply| Command::SetLevel(level, reply))
    }
}
