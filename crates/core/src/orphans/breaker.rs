//! The breaker: how many orphans are too many to be believed.

use wio_api::Reason;

use crate::fault::Blocked;

/// As many may always go, where bindings are left at all.
const ALWAYS: usize = 3;
/// Beyond that, one for so many living bindings.
const LIVING_FOR_ONE: usize = 10;

/// Whether so many orphans beside so many living bindings are taken for an accident: an etcd that was restored, a cache that shrank.
/// So are policies that vanished while so many bindings rely on them.
///
/// # Errors
/// Why nothing is taken away, and what to do.
pub fn hold(orphans: usize, living: usize, relying_on_no_policy: usize) -> Result<(), Blocked> {
    let most = if living == 0 {
        1
    } else {
        ALWAYS.max(living / LIVING_FOR_ONE)
    };
    if orphans > most {
        return Err(accident(format!(
            "{orphans} bindings are gone without having been deleted, and {living} are left. That is taken for an accident and \
             nothing of theirs is taken away. Create them again; whichever is not to come back, delete then, while the operator \
             runs (docs/runbook.md, Orphans)"
        )));
    }
    if orphans > 0 && relying_on_no_policy > 0 {
        return Err(accident(format!(
            "no WorkloadIdentityPolicy is left, and {relying_on_no_policy} bindings have what they have by one. That is taken for an \
             accident and nothing of bindings that are gone is taken away. Create the policies again (docs/runbook.md, MassDisappearance)"
        )));
    }
    Ok(())
}

const fn accident(message: String) -> Blocked {
    Blocked {
        reason: Reason::MassDisappearance,
        message,
    }
}
