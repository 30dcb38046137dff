//! What the outer tests share: namespaces, servers, and a running observer.

pub mod machine;
