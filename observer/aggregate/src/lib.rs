//! observer's aggregation core. It does no I/O, reads no clock and knows no export format.
#![forbid(unsafe_code)]

pub mod exemplars;
pub mod family;
pub mod histogram;
pub mod native;
pub mod rules;
pub mod series;
pub mod stream;
pub mod tcp;
pub mod window;
