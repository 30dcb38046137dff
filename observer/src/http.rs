//! The door to HTTP servers: where and how to connect, what is trusted in TLS, and a client for all but scrapes.
//!
//! A scrape reads its body into memory of its own (`scrape::http`); it takes its connections from here. Lists of targets are
//! asked for by [`Client`], and exports post with [`Poster`].

mod client;
mod connect;
mod elsewhere;
mod error;
mod pool;
mod poster;
mod tls;
mod trust;

pub(crate) use self::poster::{PostSettings, Poster};
pub(crate) use self::{
    client::{Answer, Client, HOPS, Options},
    connect::{Connector, Connectors, Refusal, Stream, Versions},
    elsewhere::elsewhere,
    error::{ConnectError, PostError, TlsFault, chain, refusal},
};

/// What every request says of the agent.
pub(crate) const USER_AGENT: &str = concat!("observer/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
pub(crate) mod tests;
