//! `cargo xtask fuzz`

use crate::{
    failure::{Failure, Result},
    process,
};

/// The test programs of `observer-exposition` that have a campaign of any length.
const CAMPAIGNS: [&str; 3] = ["total", "delta", "protobuf"];

/// Runs the campaigns over the kept bodies, each for its share of the time. What fails prints the seed to run it again.
pub(crate) fn run(seconds: &str) -> Result<()> {
    let seconds: u64 =
        seconds.parse().map_err(|_| Failure::new(format!("`{seconds}` is not a number of seconds")))?;
    let share = seconds.div_ceil(CAMPAIGNS.len() as u64);
    for campaign in CAMPAIGNS {
        process::run(
            process::cargo()
                .args(["test", "--quiet", "--package", "observer-exposition", "--test", campaign])
                .args(["--", "--ignored", "--nocapture"])
                .env("OBSERVER_FUZZ_SECONDS", share.to_string()),
        )?;
    }
    Ok(())
}
