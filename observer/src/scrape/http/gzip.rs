//! Bodies that came compressed.

use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;

use super::{Fault, HttpError, answer};

/// Appends what was compressed to `out`; `limit` holds for it as for what came, 0 for any size.
pub(super) fn inflate(compressed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), HttpError> {
    // One byte over the limit tells that there is more.
    let most = if limit == 0 { u64::MAX } else { limit as u64 + 1 };
    let read = MultiGzDecoder::new(compressed).take(most).read_to_end(out);
    let read = read.map_err(|error| Fault::from(format!("cannot decompress the body: {error}")))?;
    answer::check(limit, read as u64)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check(compressed: &[u8], limit: usize) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        inflate(compressed, &mut out, limit).map(|()| out).map_err(|error| error.to_string())
    }

    #[test]
    fn the_limit_holds_for_what_is_decompressed() {
        let bytes = [b'a'; 100_000];
        let compressed = deflate(&bytes);
        assert!(compressed.len() < 1000);
        assert_eq!(check(&compressed, 0).as_deref(), Ok(&bytes[..]));
        assert_eq!(check(&compressed, 100_000).as_deref(), Ok(&bytes[..]));
        assert_eq!(check(&compressed, 99_999), Err("body exceeds the limit of 99999 bytes".to_owned()));
    }

    #[test]
    fn parts_that_follow_each_other_are_one_body() {
        assert_eq!(check(&[deflate(b"a "), deflate(b"1\n")].concat(), 0).as_deref(), Ok(&b"a 1\n"[..]));
    }

    #[test]
    fn what_is_cut_or_changed_is_refused() {
        let compressed = deflate(b"a 1\n");
        let mut changed = compressed.clone();
        let sum = changed.len() - 8;
        changed[sum] ^= 1;
        for broken in [&compressed[..compressed.len() - 1], &changed, b"a 1\n", b""] {
            let error = check(broken, 0).unwrap_err();
            assert!(error.starts_with("cannot exchange HTTP: cannot decompress the body: "), "{error}");
        }
    }
}
