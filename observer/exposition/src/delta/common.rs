//! How far two byte strings are the same. Safe code that the compiler turns into the widest vectors it may use.

/// The length of the longest common start.
#[inline(always)]
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let ((chunks_a, rest_a), (chunks_b, rest_b)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    for (index, (x, y)) in chunks_a.iter().zip(chunks_b).enumerate() {
        if x != y {
            return index * 32 + first_difference(x, y);
        }
    }
    let same = rest_a.iter().zip(rest_b).take_while(|(x, y)| x == y).count();
    length - rest_a.len() + same
}

/// Where two chunks that are not the same differ first.
#[inline(always)]
fn first_difference(a: &[u8; 32], b: &[u8; 32]) -> usize {
    let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    for (index, (x, y)) in a.iter().zip(b).enumerate() {
        let difference = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if difference != 0 {
            return index * 8 + difference.trailing_zeros() as usize / 8;
        }
    }
    32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found_wherever_it_is() {
        let a: Vec<u8> = (0..200).collect();
        for length in 0..a.len() {
            assert_eq!(common(&a[..length], &a), length);
            let mut b = a.clone();
            b[length] ^= 0x80;
            assert_eq!(common(&a, &b), length);
            assert_eq!(common(&b, &a[..length + 1]), length);
        }
    }
}
