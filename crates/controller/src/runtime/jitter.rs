//! Spread over time: what a relist or a throttling put in step falls out of step again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// A duration between 0.8 and 1.2 times the given one.
pub(crate) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.8 + 0.4 * fraction())
}

/// A duration between nothing and the given one.
pub(crate) fn within(duration: Duration) -> Duration {
    duration.mul_f64(fraction())
}

/// Between 0 and 1, from the randomness that seeds the standard library's hash maps: spreading needs no better.
fn fraction() -> f64 {
    let random = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or_default();
    f64::from(random) / f64::from(u32::MAX)
}
