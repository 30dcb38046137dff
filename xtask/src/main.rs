//! observer's build, test and check commands.

fn main() {}
