//! What every part of the simulated cloud stands on: the clock, the settings, what exists, faults and the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Config;
use crate::entra::issuers::IssuerDocuments;
use crate::entra::keys::IssuerKeys;
use crate::faults::Faults;
use crate::log::Log;
use crate::model::Snapshot;
use crate::state::State;

/// A cloud, without what answers requests. Cloning is cheap; the clones are one cloud.
#[derive(Clone)]
pub(crate) struct Cloud {
    parts: Arc<Parts>,
}

struct Parts {
    clock: Clock,
    config: RwLock<Arc<Config>>,
    state: Mutex<State>,
    faults: Faults,
    log: Log,
    issuer_keys: IssuerKeys,
    changes: watch::Sender<u64>,
}

// === impl Cloud ===

impl Cloud {
    pub(crate) fn new(config: Config, issuers: Arc<dyn IssuerDocuments>) -> Self {
        let parts = Parts {
            clock: Clock::start(config.starts_at),
            config: RwLock::new(Arc::new(config)),
            state: Mutex::default(),
            faults: Faults::default(),
            log: Log::default(),
            issuer_keys: IssuerKeys::new(issuers),
            changes: watch::Sender::new(0),
        };
        let cloud = Self { parts: Arc::new(parts) };
        cloud.change_state(|_, _| ());
        cloud
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.parts.faults
    }

    pub(crate) fn log(&self) -> &Log {
        &self.parts.log
    }

    pub(crate) fn issuer_keys(&self) -> &IssuerKeys {
        &self.parts.issuer_keys
    }

    /// Everything that exists.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.with_state(|state, _| state.live.snapshot())
    }

    /// Puts a snapshot in the place of everything that exists. Its credentials and roles count at once.
    pub(crate) fn restore(&self, snapshot: Snapshot) {
        self.change_state(|state, _| state.restore(snapshot));
        self.changed();
    }

    /// Changes settings; they count from the next request on.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        change(Arc::make_mut(
            &mut self.parts.config.write().unwrap_or_else(PoisonError::into_inner),
        ));
        // What lags behind from now on begins with what exists now.
        self.change_state(|_, _| ());
    }

    pub(crate) fn settings(&self) -> Arc<Config> {
        Arc::clone(&self.parts.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The time by which requests are logged.
    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Looks at the state as it is now, or changes what lists and reads do not show.
    pub(crate) fn with_state<T>(&self, with: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let furthest = self.settings().furthest_lag();
        let mut state = self.lock();
        let now = self.now();
        if state.settle(now) {
            state.remember(now, furthest);
        }
        with(&mut state, now)
    }

    /// Changes what exists.
    pub(crate) fn change_state<T>(&self, change: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let furthest = self.settings().furthest_lag();
        self.with_state(|state, now| {
            let changed = change(state, now);
            state.remember(now, furthest);
            changed
        })
    }

    /// Counts up with each change of what exists.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.parts.changes.subscribe()
    }

    /// Tells those who follow [`Cloud::changes`].
    pub(crate) fn changed(&self) {
        self.parts.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.parts.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
