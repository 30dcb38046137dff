//! Readers and writers of the Prometheus exposition formats: bytes in, samples out. No I/O.
#![forbid(unsafe_code)]
