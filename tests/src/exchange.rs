//! Request and response over TCP, timed by the programs themselves: what the agent's figures are held against.

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    clock,
    socket::{Socket, domain},
};

const REQUEST: usize = 200;
const RESPONSE: usize = 400;

/// How a pair of programs talks.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Connections, one after the other.
    pub connections: u32,
    /// Exchanges on each.
    pub exchanges: u32,
    /// How long the server thinks about a request.
    pub think: Duration,
    /// How long the client lets a response lie before it reads it.
    pub linger: Duration,
}

/// What a program measured about one connection, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// The client's port.
    pub port: u16,
    /// Around `connect`.
    pub connect: u64,
    /// Client: request sent to the response's arrival at this host. Server: request read to response sent.
    pub turns: Vec<u64>,
    /// Client: the response's arrival to its being read.
    pub waits: Vec<u64>,
    /// The kernel's smoothed round-trip time before the close.
    pub srtt: u64,
    /// The kernel's smallest round-trip time before the close.
    pub min_rtt: u64,
}

impl Talk {
    pub(crate) fn words(&self) -> Vec<String> {
        let Self { connections, exchanges, think, linger } = self;
        [u128::from(*connections), u128::from(*exchanges), think.as_micros(), linger.as_micros()]
            .map(|number| number.to_string())
            .into()
    }

    pub(crate) fn from_words(words: &[String]) -> Option<Self> {
        let number = |at: usize| words.get(at)?.parse::<u32>().ok();
        Some(Self {
            connections: number(0)?,
            exchanges: number(1)?,
            think: Duration::from_micros(number(2)?.into()),
            linger: Duration::from_micros(number(3)?.into()),
        })
    }

    /// Talks, and gives a measurement for each connection.
    pub(crate) fn client(&self, to: SocketAddr) -> io::Result<Vec<Measured>> {
        (0..self.connections).map(|_| self.client_connection(to)).collect()
    }

    fn client_connection(&self, to: SocketAddr) -> io::Result<Measured> {
        let socket = Socket::new(domain(to.ip()), libc::SOCK_STREAM)?;
        socket.stamp_arrivals()?;
        let start = clock::now();
        socket.connect(&to.into())?;
        let mut measured =
            Measured { connect: since(start), port: socket.local_port()?, ..Measured::default() };
        let mut buffer = [0; RESPONSE];
        for _ in 0..self.exchanges {
            socket.send(&[b'q'; REQUEST])?;
            let sent = clock::since_1970();
            if !self.linger.is_zero() {
                socket.poll(libc::POLLIN, clock::PATIENCE)?;
                pause(self.linger);
            }
            let (mut got, arrived) = socket.receive_stamped(&mut buffer)?;
            let read = clock::since_1970();
            some(got)?;
            measured.turns.push(nanoseconds(arrived.saturating_sub(sent)));
            measured.waits.push(nanoseconds(read.saturating_sub(arrived)));
            while got < RESPONSE {
                got += some(socket.receive(&mut buffer)?)?;
            }
        }
        let (srtt, min_rtt) = socket.rtt()?;
        (measured.srtt, measured.min_rtt) = (nanoseconds(srtt), nanoseconds(min_rtt));
        Ok(measured)
    }

    /// Answers as many connections as [`Talk::client`] makes.
    pub(crate) fn server(&self, on: SocketAddr) -> io::Result<Vec<Measured>> {
        let listener = Socket::new(domain(on.ip()), libc::SOCK_STREAM)?;
        listener.bind(&on.into())?;
        listener.listen(64)?;
        println!("listening");
        (0..self.connections).map(|_| self.server_connection(&listener)).collect()
    }

    fn server_connection(&self, listener: &Socket) -> io::Result<Measured> {
        let socket = listener.accept()?;
        let mut measured = Measured { port: socket.peer_port()?, ..Measured::default() };
        let mut buffer = [0; REQUEST];
        loop {
            let mut got = socket.receive(&mut buffer)?;
            let start = clock::now();
            if got == 0 {
                break;
            }
            while got < REQUEST {
                got += some(socket.receive(&mut buffer)?)?;
            }
            pause(self.think);
            socket.send(&[b'a'; RESPONSE])?;
            measured.turns.push(since(start));
        }
        let (srtt, min_rtt) = socket.rtt()?;
        (measured.srtt, measured.min_rtt) = (nanoseconds(srtt), nanoseconds(min_rtt));
        Ok(measured)
    }
}

impl Measured {
    pub(crate) fn to_json(&self) -> Value {
        let Self { port, connect, turns, waits, srtt, min_rtt } = self;
        json!({"port": port, "connect": connect, "turns": turns, "waits": waits, "srtt": srtt, "min_rtt": min_rtt})
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let numbers = |name: &str| value[name].as_array()?.iter().map(Value::as_u64).collect::<Option<_>>();
        Some(Self {
            port: u16::try_from(value["port"].as_u64()?).ok()?,
            connect: value["connect"].as_u64()?,
            turns: numbers("turns")?,
            waits: numbers("waits")?,
            srtt: value["srtt"].as_u64()?,
            min_rtt: value["min_rtt"].as_u64()?,
        })
    }
}

fn some(got: usize) -> io::Result<usize> {
    if got == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(got) }
}

/// The injected delay itself, not a wait for anything.
fn pause(length: Duration) {
    if !length.is_zero() {
        thread::sleep(length);
    }
}

fn since(start: Instant) -> u64 {
    nanoseconds(start.elapsed())
}

fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
