//! What is held: bindings that may not have any more what they have, by policies that vanished or settings that changed, as long as nobody
//! said that it is meant. What they have counts as claimed, whoever shares it with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::case::Candidate;
use crate::config::OperatorConfig;
use crate::names::BindingUid;
use crate::policy::Vanished;
use crate::rules::Rules;
use crate::settings_change::SettingsChange;
use crate::verdict::denial;

/// What happened that nobody may have wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwished {
    /// What became of the policies that stood before.
    pub vanished: Vanished,
    /// What became of the operator's settings.
    pub changed: SettingsChange,
}

// === impl Unwished ===

impl Unwished {
    /// Those of the neighbours of a binding that are held. None when it is held as well: then it waits as they do, and if it does not, the end of all is
    /// meant, and each of two would leave to the other what nobody is to have. `losing` counts the bindings that lose what they have since the settings of
    /// before, as [`SettingsChange::confirm`] asks for it.
    #[must_use]
    pub fn held(
        &self,
        of: &Candidate,
        neighbours: &[Candidate],
        rules: &Rules,
        losing: impl Fn(&Arc<OperatorConfig>) -> usize,
    ) -> BTreeSet<BindingUid> {
        if self.is_nothing() || self.holds(of, rules, &losing) {
            return BTreeSet::new();
        }
        let held = neighbours
            .iter()
            .filter(|neighbour| self.holds(neighbour, rules, &losing));
        held.map(|neighbour| neighbour.binding.owner.uid.clone()).collect()
    }

    fn is_nothing(&self) -> bool {
        self.vanished == Vanished::None && self.changed == SettingsChange::None
    }

    fn holds(&self, candidate: &Candidate, rules: &Rules, losing: impl Fn(&Arc<OperatorConfig>) -> usize) -> bool {
        let by_policies = || {
            self.vanished
                .confirm(&candidate.binding.recorded.authorized_by)
                .is_err()
        };
        let by_settings = || self.changed.confirm(candidate, rules, losing).is_err();
        denial(candidate, rules).is_some() && (by_policies() || by_settings())
    }
}
