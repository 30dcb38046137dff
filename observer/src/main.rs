//! observer: a Linux node agent.

fn main() {}
