//! The heartbeat of the controller: whether it still comes round to what it is asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wio_api::WorkloadIdentityBinding;

/// How often it is asked for.
const EVERY: Duration = Duration::from_secs(30);

/// How long the controller may not come round before it is taken for dead. A pass takes minutes at the worst, and there is always room for
/// one more.
const DEAD_AFTER: Duration = Duration::from_mins(10);

/// A binding that cannot exist, by whose turn it is seen that turns come.
const NOBODY: (&str, &str) = ("heartbeat", "workloadidentity.dev/heartbeat");

/// The heartbeat of the controller. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeat(Arc<Mutex<Option<Instant>>>);

// === impl Heartbeat ===

impl Heartbeat {
    /// Whether the controller comes round, or has not begun yet.
    pub(crate) fn is_alive(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| last.elapsed() < DEAD_AFTER)
    }

    /// Takes in that the turn of a binding has come that does not exist.
    pub(crate) fn came_round(&self, name: &str, namespace: Option<&str>) {
        if (name, namespace) == (NOBODY.0, Some(NOBODY.1)) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

/// Asks for the turn of nobody again and again; never returns.
pub(crate) async fn keep(turns: &mpsc::UnboundedSender<ObjectRef<WorkloadIdentityBinding>>) {
    loop {
        // Whoever listens ends with the operator.
        let _ = turns.send(ObjectRef::new(NOBODY.0).within(NOBODY.1));
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_controller_that_came_round_once_and_no_more_is_dead() {
        let heartbeat = Heartbeat::default();
        tokio::time::advance(DEAD_AFTER * 2).await;
        assert!(
            heartbeat.is_alive(),
            "it waits for its caches as long as the API server is away"
        );
        heartbeat.came_round(NOBODY.0, Some(NOBODY.1));
        tokio::time::advance(DEAD_AFTER / 2).await;
        assert!(heartbeat.is_alive());
        heartbeat.came_round("orders", Some("shop"));
        tokio::time::advance(DEAD_AFTER).await;
        assert!(!heartbeat.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn its_turn_comes_again_and_again() {
        let (turns, mut asked) = mpsc::unbounded_channel::<ObjectRef<WorkloadIdentityBinding>>();
        let heartbeat = Heartbeat::default();
        let turn = async {
            let mut count = 0;
            while let Some(key) = asked.recv().await {
                heartbeat.came_round(&key.name, key.namespace.as_deref());
                count += 1;
                if count == 3 {
                    break;
                }
            }
        };
        tokio::select! {
            () = keep(&turns) => {}
            () = turn => {}
        }
        assert!(heartbeat.is_alive());
    }
}
