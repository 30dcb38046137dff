//! A receiver of remote write that does what a test tells it.

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    clock,
    written::{self, Written},
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The lines of its head, names in lower case.
    pub head: Vec<(String, String)>,
    /// The version its body is written in, as its head says.
    pub version: u8,
    /// What it says.
    pub written: Written,
    /// Whether the answer said that it was taken.
    pub taken: bool,
}

impl Request {
    /// A field of the head, empty when it is absent.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.head.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// How many samples it has.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.written.values().map(Vec::len).sum()
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Take it, and tell what was written as version 2 asks for.
    Take,
    /// Take it as a receiver of version 1 does, which knows no such headers.
    TakeSilently,
    /// A status with lines for the head, and a text.
    Status(u16, Vec<String>, &'static str),
    /// Never answer.
    Hang,
    /// Take it, and break the connection within the answer.
    CloseWithin,
    /// Break the connection without an answer.
    Close,
}

type Script = Box<dyn FnMut(&Request, usize) -> Reply + Send>;

struct State {
    requests: Vec<Request>,
    script: Script,
    streams: Vec<TcpStream>,
    /// How long a kilobyte takes to come in.
    pause: Duration,
    open: bool,
}

/// It listens as long as it lives.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// Starts one that answers each request by what `script` says to it and to how many came before.
    #[must_use]
    pub fn start(script: impl FnMut(&Request, usize) -> Reply + Send + 'static) -> Self {
        let state = State {
            requests: Vec::new(),
            script: Box::new(script),
            streams: Vec::new(),
            pause: Duration::ZERO,
            open: false,
        };
        let address = crate::daemon::free_address();
        let receiver = Self { address, state: Arc::new(Mutex::new(state)) };
        receiver.open();
        receiver
    }

    /// Where to write to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/write", self.address)
    }

    /// Lets in only so many bytes a second.
    pub fn slow(&self, bytes_a_second: u32) {
        self.lock().pause = Duration::from_secs(1) * 1024 / bytes_a_second;
    }

    /// Goes on with another script.
    pub fn then(&self, script: impl FnMut(&Request, usize) -> Reply + Send + 'static) {
        self.lock().script = Box::new(script);
    }

    /// Stops listening and breaks all connections.
    pub fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        for stream in state.streams.drain(..) {
            // It may be gone.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        // What waits for a connection sees that it is to end.
        let _ = TcpStream::connect(self.address);
    }

    /// Listens again.
    pub fn open(&self) {
        let bound = clock::wait(|| TcpListener::bind((Ipv4Addr::LOCALHOST, self.address.port())).ok());
        let listener = bound.expect("the port was ours");
        self.lock().open = true;
        let state = Arc::clone(&self.state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let mut locked = lock(&state);
                if !locked.open {
                    break;
                }
                locked.streams.extend(stream.try_clone());
                drop(locked);
                let state = Arc::clone(&state);
                // A connection that breaks is what some tests are about.
                thread::spawn(move || drop(serve(&stream, &state)));
            }
        });
    }

    /// What came so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// Everything that was taken.
    #[must_use]
    pub fn taken(&self) -> Written {
        let mut all = Written::new();
        for request in self.lock().requests.iter().filter(|request| request.taken) {
            written::add(&mut all, request.written.clone());
        }
        all
    }

    /// Waits until what came is as it should be.
    #[track_caller]
    pub fn wait_for(&self, what: &str, mut ready: impl FnMut(&[Request]) -> bool) {
        clock::wait_for(what, || ready(&self.lock().requests).then_some(()));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let Some(head) = read_head(&mut reader)? else { return Ok(()) };
        let field = |name: &str| head.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
        let mut body = vec![0; field("content-length").parse().map_err(io::Error::other)?];
        for part in body.chunks_mut(1024) {
            reader.read_exact(part)?;
            let pause = lock(state).pause;
            thread::sleep(pause);
        }
        let version = if field("content-type").contains("io.prometheus.write.v2.Request") { 2 } else { 1 };
        let written = match body.is_empty() {
            // A question about what is spoken here.
            true => Written::new(),
            false => {
                written::read(&body, field("content-encoding"), version).ok_or(io::ErrorKind::InvalidData)?
            }
        };
        let mut request = Request { head, version, written, taken: false };
        let mut locked = lock(state);
        let before = locked.requests.len();
        let reply = (locked.script)(&request, before);
        request.taken = matches!(reply, Reply::Take | Reply::TakeSilently | Reply::CloseWithin);
        let samples = request.samples();
        locked.requests.push(request);
        drop(locked);
        let mut stream = stream;
        match reply {
            Reply::Take => write!(
                stream,
                "HTTP/1.1 204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: {samples}\r\n\
                 X-Prometheus-Remote-Write-Histograms-Written: 0\r\n\
                 X-Prometheus-Remote-Write-Exemplars-Written: 0\r\n\r\n"
            )?,
            Reply::TakeSilently => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?,
            Reply::Status(status, lines, text) => {
                let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
                let length = text.len();
                write!(stream, "HTTP/1.1 {status} Odd\r\nContent-Length: {length}\r\n{lines}\r\n{text}")?;
            }
            Reply::Hang => {
                // Until the other side has enough of it.
                let _ = reader.read(&mut [0]);
                return Ok(());
            }
            Reply::CloseWithin => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
                return stream.shutdown(Shutdown::Both);
            }
            Reply::Close => return stream.shutdown(Shutdown::Both),
        }
    }
}

/// The lines of a head, without the first; nothing when the connection ends before one.
pub(crate) fn read_head(reader: &mut impl io::BufRead) -> io::Result<Option<Vec<(String, String)>>> {
    let mut head = Vec::new();
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => head.push((name.to_lowercase(), value.trim().to_owned())),
            None => return Ok(Some(head)),
        }
    }
}
