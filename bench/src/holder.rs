//! A process that holds many open connections to itself and keeps a few of them busy, until its standard input ends.

use std::{
    io::{Read as _, Write as _, stdin},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{Result, sys};

/// Two sockets a connection.
pub(crate) fn run(connections: usize, active: usize) -> Result<()> {
    sys::raise_open_files()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let mut pairs = Vec::with_capacity(connections);
    for _ in 0..connections {
        let client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        pairs.push((client, server));
    }
    for pair in &mut pairs {
        exchange(pair)?;
    }
    println!("open");
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    thread::spawn(move || {
        let _ended = stdin().read(&mut [0]);
        end.store(true, Ordering::Relaxed);
    });
    while !ended.load(Ordering::Relaxed) {
        for pair in pairs.iter_mut().take(active) {
            exchange(pair)?;
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn exchange((client, server): &mut (TcpStream, TcpStream)) -> Result<()> {
    let mut byte = [0];
    client.write_all(b"?")?;
    server.read_exact(&mut byte)?;
    server.write_all(b"!")?;
    client.read_exact(&mut byte)?;
    Ok(())
}
