//! Connect churn: connections made, accepted and closed as fast as two threads can.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::Result;

/// How many loopback addresses to connect to: each has its own ports to wait out.
const ADDRESSES: u64 = 16;

pub(crate) fn run(connects: u64) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    let server = thread::spawn(move || {
        for _ in 0..connects {
            drop(listener.accept()?);
        }
        std::io::Result::Ok(())
    });
    for n in 0..connects {
        let last = u8::try_from(1 + n % ADDRESSES)?;
        drop(TcpStream::connect(SocketAddr::from(([127, 0, 0, last], port)))?);
    }
    server.join().map_err(|_| "the server panicked")??;
    Ok(())
}
