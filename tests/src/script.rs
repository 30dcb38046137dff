//! What a test program does with its sockets, written as words: `connect send:4 recv:4 close`.
//!
//! A word is `verb[:argument][=result[|result…]]`. Without a result it must succeed; `=ECONNREFUSED` says that it must
//! fail so. A step works on the newest socket. The first one is a TCP socket, made when it is first needed.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    thread,
    time::Duration,
};

use crate::{
    clock, errno,
    socket::{Address, Socket, domain},
    sys, uring,
};

/// Plays scripts.
pub(crate) struct Player {
    target: SocketAddr,
    sockets: Vec<Socket>,
}

impl Player {
    /// A player without sockets that connects to `target`.
    pub(crate) fn new(target: SocketAddr) -> Self {
        Self { target, sockets: Vec::new() }
    }

    /// A player of an accepted connection.
    pub(crate) fn accepted(socket: Socket, from: SocketAddr) -> Self {
        Self { target: from, sockets: vec![socket] }
    }

    /// Plays to the end; the error names the first step that did not do what it should.
    pub(crate) fn play(&mut self, script: &str) -> Result<(), String> {
        self.steps(&script.split_whitespace().collect::<Vec<_>>())
    }

    fn steps(&mut self, words: &[&str]) -> Result<(), String> {
        let Some((word, rest)) = words.split_first() else { return Ok(()) };
        let (step, expected) = word.split_once('=').unwrap_or((word, "OK"));
        match step {
            "fork" => return self.fork(rest),
            "thread" => return self.thread(rest),
            _ => {}
        }
        let (verb, argument) = step.split_once(':').unwrap_or((step, ""));
        let result = match self.step(verb, argument) {
            Ok(result) => result.to_owned(),
            Err(error) => errno::name(&error),
        };
        if !expected.split('|').any(|one| one == result) {
            return Err(format!("step `{word}` of `{}`: {result}", words.join(" ")));
        }
        self.steps(rest)
    }

    /// The rest happens in a child process that inherits the sockets.
    fn fork(&mut self, rest: &[&str]) -> Result<(), String> {
        match sys::fork().map_err(|error| format!("fork: {error}"))? {
            sys::Fork::Child => {
                let failed = self.steps(rest).inspect_err(|error| eprintln!("{error}")).is_err();
                self.sockets.clear();
                sys::exit_now(failed.into())
            }
            sys::Fork::Parent(child) => {
                self.sockets.clear();
                match sys::wait_child(child) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err("the forked process failed".to_owned()),
                    Err(error) => Err(format!("wait: {error}")),
                }
            }
        }
    }

    /// The rest happens in another thread, of another name.
    fn thread(&mut self, rest: &[&str]) -> Result<(), String> {
        thread::scope(|scope| {
            let other =
                thread::Builder::new().name("elsewhere".to_owned()).spawn_scoped(scope, || self.steps(rest));
            other.map_err(|error| format!("thread: {error}"))?.join().map_err(|_| "panicked".to_owned())?
        })
    }

    fn step(&mut self, verb: &str, argument: &str) -> io::Result<&'static str> {
        match verb {
            "tcp" => self.sockets.push(Socket::new(domain(self.target.ip()), libc::SOCK_STREAM)?),
            "udp" => self.sockets.push(Socket::new(domain(self.target.ip()), libc::SOCK_DGRAM)?),
            "unix" => self.sockets.push(Socket::new(libc::AF_UNIX, libc::SOCK_STREAM)?),
            "file" => self.sockets.push(Socket::file()?),
            "mapped" => {
                if let IpAddr::V4(four) = self.target.ip() {
                    self.target.set_ip(four.to_ipv6_mapped().into());
                }
                self.sockets.push(Socket::new(libc::AF_INET6, libc::SOCK_STREAM)?);
            }
            "kill_after" => {
                let pause = Duration::from_millis(number(argument)?);
                thread::spawn(move || {
                    thread::sleep(pause);
                    sys::kill(std::process::id(), libc::SIGKILL)
                });
            }
            "interrupt_after" => sys::interrupt_after(number(argument)?)?,
            "wait" => wait_for_line()?,
            _ => return self.socket_step(verb, argument),
        }
        Ok("OK")
    }

    fn socket_step(&mut self, verb: &str, argument: &str) -> io::Result<&'static str> {
        if self.sockets.is_empty() {
            self.step("tcp", "")?;
        }
        let target = self.target;
        let Some(socket) = self.sockets.last() else { return Err(io::ErrorKind::NotConnected.into()) };
        match verb {
            "bind" => socket.bind(&SocketAddr::new(any(target.ip()), number(argument)?).into())?,
            "bind_target" => socket.bind(&target.into())?,
            "reuseaddr" => socket.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?,
            "nonblock" => socket.set_nonblocking(true)?,
            "block" => socket.set_nonblocking(false)?,
            "sndtimeo" => socket.set_timeout(libc::SO_SNDTIMEO, Duration::from_millis(number(argument)?))?,
            "user_timeout" => {
                socket.set::<libc::c_int>(libc::SOL_TCP, libc::TCP_USER_TIMEOUT, number(argument)?)?;
            }
            "fastopen_connect" => socket.set(libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT, 1)?,
            "connect" => socket.connect(&place(target, argument).into())?,
            "connect_unix" => socket.connect(&Address::unix(argument))?,
            "listen_unix" => {
                socket.bind(&Address::unix(argument))?;
                socket.listen(8)?;
            }
            "disconnect" => socket.connect(&Address::unspecified())?,
            "uring_connect" => {
                uring::connect(socket.as_fd(), &target.into(), argument == "async")?;
            }
            "fastopen_send" => drop(socket.send_first(&vec![b'x'; number(argument)?], &target.into())?),
            "writable" => {
                return if socket.poll(libc::POLLOUT, clock::PATIENCE)? {
                    socket.take_error().map(|()| "OK")
                } else {
                    Ok("TIMEOUT")
                };
            }
            "readable" if !socket.poll(libc::POLLIN, clock::PATIENCE)? => return Ok("TIMEOUT"),
            "readable" => {}
            "give_up_after" if !socket.poll(libc::POLLOUT, Duration::from_millis(number(argument)?))? => {}
            "give_up_after" => return Ok("READY"),
            "send" => drop(socket.send(&vec![b'x'; number(argument)?])?),
            "recv" => return receive(socket, number(argument)?),
            "drain" => while receive(socket, 1)? == "OK" {},
            "shutdown" => socket.shutdown_write()?,
            "linger0" => socket.reset_on_close()?,
            "close" => drop(self.sockets.pop()),
            _ => return Ok("no such verb"),
        }
        Ok("OK")
    }
}

fn number<T: std::str::FromStr>(argument: &str) -> io::Result<T> {
    argument.parse().map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The target, or with `closed` the port behind it, where nobody listens.
fn place(mut target: SocketAddr, argument: &str) -> SocketAddr {
    if argument == "closed" {
        target.set_port(target.port() + 1);
    }
    target
}

fn any(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

/// Reads exactly `count` bytes.
fn receive(socket: &Socket, count: usize) -> io::Result<&'static str> {
    let mut bytes = vec![0; count];
    let mut got = 0;
    while got < count {
        match socket.receive(&mut bytes[got..]) {
            Ok(0) => return Ok("EOF"),
            Ok(more) => got += more,
            // What io_uring leaves to be done interrupts the next call.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok("OK")
}

/// Says that this point is reached and goes on when told to.
fn wait_for_line() -> io::Result<()> {
    println!("waiting");
    match io::stdin().read_line(&mut String::new())? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
