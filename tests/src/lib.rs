//! What the outer tests share: namespaces, programs that live every kind of TCP life, and a running observer.

mod binaries;
pub mod cgroup;
pub mod clock;
pub mod counters;
mod delay;
mod errno;
pub mod exchange;
pub mod http;
pub mod kafka;
pub mod lab;
pub mod lifecycle;
pub mod machine;
pub mod netns;
pub mod observer;
pub mod page;
pub mod parallel;
pub mod peer;
pub mod privileges;
pub mod program;
pub mod quantile;
pub mod row;
mod script;
pub mod serve;
mod socket;
mod sys;
mod uring;
