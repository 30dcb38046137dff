//! observer kernel programs.

fn main() {}
