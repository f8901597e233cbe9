//! The guard on the operator's own settings: what they take from many bindings waits until somebody says that it is meant.

use wio_core::case::Case;
use wio_core::crd_guard::have_same_identity;
use wio_core::desired::Desired;
use wio_core::fault::Fault;
use wio_core::settings_change::SettingsChange;
use wio_core::verdict::Verdict;

use super::context::Context;
use super::dereference::losing;

/// Asks whether what a verdict takes away is lost by changed settings alone. What gives is not asked about.
///
/// # Errors
/// Why nothing may be taken away.
pub(crate) fn confirm(ctx: &Context, case: &Case, verdict: &Verdict) -> Result<(), Fault> {
    let Verdict::Pursue(desired) = verdict else {
        return Ok(());
    };
    let change = ctx.caches.learned.accepted.change(&case.rules.config);
    let ask = |candidate| change.confirm(candidate, &case.rules, |before| losing(&ctx.caches, before));
    let confirmed = match &**desired {
        Desired::Bound(_) => Ok(()),
        Desired::Denied(_) => ask(&case.candidate),
        // It takes away what it shares, which those that wait have to keep.
        Desired::Gone(removal) => {
            let binding = &case.candidate.binding;
            let neighbours = case.neighbours.iter();
            let mut sharing =
                neighbours.filter(|neighbour| have_same_identity(binding, Some(removal), &neighbour.binding));
            sharing.try_for_each(ask)
        }
    };
    confirmed.map_err(Fault::Blocked)
}

/// Accepts the settings of now when their change is meant or takes nothing from anybody. Returns how many bindings lose what they have otherwise, as far
/// as that matters; none when it cannot be told yet.
pub(crate) fn settle(ctx: &Context) -> Option<usize> {
    let learned = &ctx.caches.learned;
    let config = learned.config.now();
    let losing = match learned.accepted.change(&config) {
        SettingsChange::None => 0,
        SettingsChange::Since { before, .. } if *ctx.caches.filled.borrow() => losing(&ctx.caches, &before),
        SettingsChange::Since { .. } | SettingsChange::Unknown => return None,
    };
    if losing == 0 {
        learned.accepted.accept(&config);
    }
    Some(losing)
}
