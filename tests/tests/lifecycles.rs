//! Each life is the one it claims to be: the program sees the error, and the kernel counts what the rows will be held
//! against. No agent takes part.

use observer_tests::{
    lab::Family,
    lifecycle::{LIFECYCLES, Lifecycle},
    parallel,
};

#[test]
fn every_life_is_what_it_claims_to_be() {
    let lives: Vec<_> =
        LIFECYCLES.iter().flat_map(|life| life.families.iter().map(move |family| (life, *family))).collect();
    let play = |(life, family): &(&'static Lifecycle, Family)| life.play(*family).err();
    let failures: Vec<String> = parallel::map(&lives, play).into_iter().flatten().collect();
    assert!(failures.is_empty(), "{} of {} lives:\n{}", failures.len(), lives.len(), failures.join("\n"));
}
