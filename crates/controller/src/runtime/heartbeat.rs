//! The heartbeat of the controller: whether it still comes round to what it is asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
pub(crate) struct Heartbeat(Arc<Mutex<Beats>>);

#[derive(Debug, Default)]
struct Beats {
    /// When it last came round.
    last: Option<Instant>,
    /// Since when it is asked for and has not come round.
    asked: Option<Instant>,
    /// How long it took when it last came round.
    took: Duration,
}

// === impl Heartbeat ===

impl Heartbeat {
    /// Whether the controller comes round, or has not begun yet.
    pub(crate) fn is_alive(&self) -> bool {
        self.lock().last.is_none_or(|last| last.elapsed() < DEAD_AFTER)
    }

    /// How long a binding that asks for its turn has to wait for it: as long as nobody's turn, which is asked for as that of a binding is and needs
    /// nothing else, took to come when it last came, or takes by now.
    pub(crate) fn delay(&self) -> Duration {
        let beats = self.lock();
        beats.asked.map_or(beats.took, |asked| asked.elapsed().max(beats.took))
    }

    /// Takes in that the turn of a binding has come that does not exist.
    pub(crate) fn came_round(&self, name: &str, namespace: &str) {
        if (name, namespace) == NOBODY {
            let mut beats = self.lock();
            beats.last = Some(Instant::now());
            if let Some(asked) = beats.asked.take() {
                beats.took = asked.elapsed();
            }
        }
    }

    /// Takes in that its turn is asked for. Who asks again while it waits asks for the same turn.
    fn asked(&self) {
        self.lock().asked.get_or_insert_with(Instant::now);
    }

    fn lock(&self) -> MutexGuard<'_, Beats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for the turn of nobody again and again; never returns.
pub(crate) async fn keep(heartbeat: &Heartbeat, turns: &mpsc::UnboundedSender<ObjectRef<WorkloadIdentityBinding>>) {
    loop {
        heartbeat.asked();
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
        heartbeat.came_round(NOBODY.0, NOBODY.1);
        tokio::time::advance(DEAD_AFTER / 2).await;
        assert!(heartbeat.is_alive());
        heartbeat.came_round("orders", "shop");
        tokio::time::advance(DEAD_AFTER).await;
        assert!(!heartbeat.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn how_long_a_turn_takes_is_told_when_it_came_and_while_it_does_not() {
        let second = Duration::from_secs(1);
        let heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.delay(), Duration::ZERO);
        heartbeat.asked();
        tokio::time::advance(second).await;
        heartbeat.came_round(NOBODY.0, NOBODY.1);
        tokio::time::advance(second * 60).await;
        assert_eq!(heartbeat.delay(), second, "it waits for nothing");
        heartbeat.asked();
        assert_eq!(heartbeat.delay(), second, "the next may take as long");
        tokio::time::advance(second * 30).await;
        heartbeat.asked();
        tokio::time::advance(second * 30).await;
        assert_eq!(heartbeat.delay(), second * 60, "it waits since it was first asked for");
        heartbeat.came_round("orders", "shop");
        assert_eq!(heartbeat.delay(), second * 60, "another's turn came");
    }

    #[tokio::test(start_paused = true)]
    async fn its_turn_comes_again_and_again() {
        let (turns, mut asked) = mpsc::unbounded_channel::<ObjectRef<WorkloadIdentityBinding>>();
        let heartbeat = Heartbeat::default();
        let turn = async {
            let mut count = 0;
            while let Some(key) = asked.recv().await {
                heartbeat.came_round(&key.name, key.namespace.as_deref().unwrap_or_default());
                count += 1;
                if count == 3 {
                    break;
                }
            }
        };
        tokio::select! {
            () = keep(&heartbeat, &turns) => {}
            () = turn => {}
        }
        assert!(heartbeat.is_alive());
    }
}
