//! Waiting for a condition, with a deadline.

use std::time::Duration;

use anyhow::{Error, Result, anyhow};
use tokio::time::{Instant, sleep};

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Looks again and again until `look` gives a value. A failed look does not end the waiting, but the last one is told when
/// the deadline passes.
pub async fn until<T>(what: &str, deadline: Duration, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        let failed: Option<Error> = match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= end {
            let waited = format!("waited {deadline:?} for {what}");
            return Err(match failed {
                Some(error) => error.context(waited),
                None => anyhow!(waited),
            });
        }
        sleep(BETWEEN_LOOKS).await;
    }
}
