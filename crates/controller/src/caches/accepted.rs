//! The settings by which bindings have what they have, as the cluster keeps them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wio_api::AcceptedSettings;
use wio_core::config::OperatorConfig;
use wio_core::settings_change::{Acceptance, SettingsChange, read, written};

/// The settings that were accepted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accepted(Arc<Mutex<Acceptance>>);

// === impl Accepted ===

impl Accepted {
    /// Takes in what the cluster keeps. What does not parse there, because another version of the operator wrote it, is as if nothing were kept.
    pub(crate) fn learn(&self, kept: Option<&AcceptedSettings>, now: &Arc<OperatorConfig>, word: Option<String>) {
        let kept = kept.and_then(|kept| {
            let parsed = read(kept, now);
            parsed
                .inspect_err(|invalid| tracing::warn!(%invalid, "the accepted settings cannot be read; those of now are taken for accepted"))
                .ok()
        });
        self.lock().learn(kept, now, word);
    }

    /// The change since they were accepted.
    pub(crate) fn change(&self, now: &OperatorConfig) -> SettingsChange {
        self.lock().change(now)
    }

    /// Accepts the settings of now.
    pub(crate) fn accept(&self, now: &Arc<OperatorConfig>) {
        self.lock().accept(now);
    }

    /// What is to be kept in the cluster; none before it is known what is kept there.
    pub(crate) fn to_keep(&self) -> Option<AcceptedSettings> {
        self.lock().accepted().map(written)
    }

    fn lock(&self) -> MutexGuard<'_, Acceptance> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
