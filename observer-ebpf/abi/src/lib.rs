//! Shared.
#![no_std]

pub mod bucket;
