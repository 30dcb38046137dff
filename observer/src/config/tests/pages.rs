//! What pages of the documentation show is a configuration that works.

use super::*;

#[test]
fn every_example_is_read_without_a_warning() {
    let pages = [include_str!("../../../../docs/scale.md"), include_str!("../../../../docs/operations.md")];
    let examples: Vec<&str> = pages
        .iter()
        .flat_map(|page| page.split("```yaml\n").skip(1))
        .map(|behind| behind.split("```").next().unwrap_or_default())
        .collect();
    assert!(examples.len() >= 7, "{}", examples.len());
    for example in examples {
        good(example);
    }
}
