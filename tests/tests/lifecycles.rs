//! Each life is the one it claims to be: the program sees the error, and the kernel counts what the rows will be held
//! against. No agent takes part.

use observer_tests::lifecycle::{all, play};

#[test]
fn every_life_is_what_it_claims_to_be() {
    if let Err(failures) = play(&all()) {
        panic!("{failures}");
    }
}
