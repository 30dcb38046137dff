//! Small changes to a body.

use crate::random::Random;

/// Does up to three things to the bytes, or nothing.
pub(crate) fn disturb(body: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        if body.is_empty() {
            break;
        }
        let at = random.below(body.len());
        match random.below(5) {
            0 if random.below(8) == 0 => body.truncate(at),
            0 | 1 => body[at] ^= 1 << random.below(8),
            2 => body[at] = random.next().to_le_bytes()[0],
            3 => body.insert(at, random.next().to_le_bytes()[0]),
            _ => drop(body.remove(at)),
        }
    }
}
