//! The server side of a lifecycle: listens, and plays a script for each connection.

use std::{
    io::{self, Read},
    net::SocketAddr,
    thread,
};

use crate::{
    clock,
    script::Player,
    socket::{self, Socket, domain},
};

/// What to listen with, and what to do with connections.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The listen backlog.
    pub backlog: i32,
    /// How many sockets share the port (`SO_REUSEPORT`).
    pub listeners: usize,
    /// Queue length for TCP fast open; 0 for none.
    pub fastopen: i32,
    /// How many connections are coming.
    pub connections: usize,
    /// What becomes of a connection.
    pub then: Then,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// It is accepted, and this script is played for it.
    Play(&'static str),
    /// It stays in the queue until the test ends the server.
    Queue,
    /// It stays in the queue, and the listener is closed when one is there.
    CloseListener,
}

impl Listen {
    /// One socket, one connection.
    #[must_use]
    pub const fn once(script: &'static str) -> Self {
        Self { backlog: 64, listeners: 1, fastopen: 0, connections: 1, then: Then::Play(script) }
    }

    /// As words for the helper's command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let Self { backlog, listeners, fastopen, connections, then } = self;
        let then = match then {
            Then::Play(script) => format!("play {script}"),
            Then::Queue => "queue".to_owned(),
            Then::CloseListener => "close".to_owned(),
        };
        let numbers =
            [backlog.to_string(), listeners.to_string(), fastopen.to_string(), connections.to_string()];
        numbers.into_iter().chain([then]).collect()
    }
}

/// Serves as the words of [`Listen::words`] say.
pub(crate) fn serve(address: SocketAddr, words: &[String]) -> Result<(), String> {
    let [backlog, listeners, fastopen, connections, then] = words else {
        return Err("five words".to_owned());
    };
    let number = |word: &String| word.parse::<i32>().map_err(|error| format!("`{word}`: {error}"));
    let (backlog, fastopen) = (number(backlog)?, number(fastopen)?);
    let open =
        || listen(address, backlog, fastopen).map_err(|error| format!("cannot listen on {address}: {error}"));
    let sockets = (0..number(listeners)?).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
    println!("listening");
    match then.strip_prefix("play ") {
        Some(script) => accept_all(&sockets, number(connections)?, script, address),
        None if then == "close" => match sockets[0].poll(libc::POLLIN, clock::PATIENCE) {
            Ok(true) => Ok(()),
            _ => Err("no connection came".to_owned()),
        },
        None => io::stdin().read_to_end(&mut Vec::new()).map(drop).map_err(|error| error.to_string()),
    }
}

fn listen(address: SocketAddr, backlog: i32, fastopen: i32) -> io::Result<Socket> {
    let socket = Socket::new(domain(address.ip()), libc::SOCK_STREAM)?;
    socket.set(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    if fastopen > 0 {
        socket.set(libc::SOL_TCP, libc::TCP_FASTOPEN, fastopen)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// Many connections one after the other need no thread each; a few may need each other.
const THREADS: i32 = 16;

fn accept_all(sockets: &[Socket], connections: i32, script: &str, address: SocketAddr) -> Result<(), String> {
    thread::scope(|scope| {
        let mut players = Vec::new();
        for _ in 0..connections {
            let accepted = accept(sockets).map_err(|error| format!("accept: {error}"))?;
            let mut player = Player::accepted(accepted, address);
            if connections > THREADS {
                player.play(script)?;
            } else {
                players.push(scope.spawn(move || player.play(script)));
            }
        }
        players.into_iter().try_for_each(|player| player.join().map_err(|_| "panicked".to_owned())?)
    })
}

fn accept(sockets: &[Socket]) -> io::Result<Socket> {
    loop {
        let socket = socket::first_readable(sockets, clock::PATIENCE)?.ok_or(io::ErrorKind::TimedOut)?;
        match socket.accept() {
            // The connection was reset while it waited.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}
