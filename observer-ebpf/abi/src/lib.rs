//! What observer's kernel programs and its agent agree on: record layouts, enums, bucket arithmetic.
//!
//! Every layout is `repr(C)`, made of integers only and without implicit padding, so that any bytes of the right length are a
//! valid value. Numbers that stand for an enum are decoded with its `from_u8`.
#![no_std]
#![forbid(unsafe_code)]

pub mod bucket;
pub mod class;
pub mod filter;
pub mod record;
pub mod totals;
