//! The end of a pass: the core confirms that a binding may go, or makes the status of what the pass came to.

use std::time::Duration;

use wio_core::fault::{AzureAnswer, AzureCause, AzureFault, Fault};
use wio_core::landing::{LANDING, Sight, Writes};
use wio_core::observed::Observed;
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::plan::{GrantStep, Obstacles, Revocation};

use crate::cast::Cast;
use crate::mind::{Mind, Planned};
use crate::mutant::Mutant;
use crate::world::{Pass, StatusId, Who};

/// What the end of a pass follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) who: Who,
    pub(crate) pass: Pass,
    /// Whether something may have been written for the binding.
    pub(crate) written: bool,
}

/// The end of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The binding may go.
    Release,
    /// This is written down, and whether it tells of writes.
    Status(StatusId, bool),
}

/// How a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Refused,
    Unanswered,
}

/// A fault of Azure, as the core knows it.
pub(crate) fn fault(failure: Failure) -> Fault {
    let cause = match failure {
        Failure::Refused => AzureCause::Answer(AzureAnswer {
            status: 409,
            code: "Conflict".to_owned(),
            ..AzureAnswer::default()
        }),
        Failure::Unanswered => AzureCause::Timeout,
    };
    Fault::Azure(AzureFault {
        operation: "write".to_owned(),
        cause,
    })
}

const fn bit(step: usize) -> u8 {
    1 << (step & 7)
}

/// Whether a step is among those that these bits tell of.
pub(crate) const fn is_in(bits: u8, step: usize) -> bool {
    bits & bit(step) != 0
}

/// The bits with one more step.
pub(crate) const fn with(bits: u8, step: usize) -> u8 {
    bits | bit(step)
}

/// What went wrong with the revocations so far.
pub(crate) fn obstacles(pass: &Pass, steps: &[Revocation]) -> Obstacles {
    let mut obstacles = Obstacles::default();
    for (n, step) in steps.iter().enumerate() {
        if is_in(pass.failed.0, n) {
            obstacles.meet(step, fault(Failure::Refused));
        } else if is_in(pass.failed.1, n) {
            obstacles.meet(step, fault(Failure::Unanswered));
        }
    }
    obstacles
}

/// What the end of a pass comes to.
pub(crate) fn end(mind: &Mind, key: &Key) -> Option<End> {
    let Key { who, pass, written } = *key;
    let planned = mind.planned(pass.plan?)?;
    let observed = folded(mind, &pass, &planned)?;
    let mut faults = obstacles(&pass, &planned.plan.revocations).into_faults();
    faults.extend(
        pass.given_up
            .map(|refused| fault(if refused { Failure::Refused } else { Failure::Unanswered })),
    );
    let outcome = Outcome::Reconciled(Box::new(Reconciled::new(planned.desired.clone(), observed, faults)));
    let sight = if pass.gaps { Sight::Gaps } else { Sight::Whole };
    match outcome.confirm(writes(mind, &pass), sight) {
        Ok(_) => Some(End::Release),
        Err(outcome) => {
            let (status, tells) = mind.status_after(who, &pass.object, &outcome, written)?;
            Some(End::Status(status, tells))
        }
    }
}

/// The writes that may still arrive, as the pass knew of them when it looked.
fn writes(mind: &Mind, pass: &Pass) -> Writes {
    let (recent, unanswered, earlier) = pass.on_its_way;
    let just_now = |is: bool| is.then_some(Duration::ZERO);
    if mind.breaks(Mutant::NoSecondLook) {
        return Writes::default();
    }
    debug_assert!(!LANDING.is_zero(), "what was just written may still arrive");
    Writes {
        last: just_now(recent),
        unanswered: just_now(unanswered),
        deletion: None,
        by_an_earlier_operator: just_now(earlier),
    }
}

/// What was observed, with what the steps did.
fn folded(mind: &Mind, pass: &Pass, planned: &Planned) -> Option<Observed> {
    let cast = &mind.cast;
    let mut observed = cast
        .observed(
            (planned.question.who, pass.object.born),
            &planned.view,
            &planned.question.kube,
        )
        .ok()?;
    for (n, step) in planned.plan.revocations.iter().enumerate() {
        if is_in(pass.done.0, n) {
            step.fold(&mut observed);
        }
    }
    for (n, step) in planned.plan.grants.iter().enumerate() {
        if is_in(pass.done.1, n) {
            fold(cast, pass, step, &mut observed)?;
        }
    }
    Some(observed)
}

fn fold(cast: &Cast, pass: &Pass, step: &GrantStep, observed: &mut Observed) -> Option<()> {
    match step {
        GrantStep::CreateIdentity { tags, .. } => {
            observed.identity_written(Cast::facts(pass.made?), tags.clone());
        }
        GrantStep::TagIdentity { tags } => {
            let facts = observed.azure.identity.present()?.facts;
            observed.identity_written(facts, tags.clone());
        }
        GrantStep::PutCredential(wanted) => {
            let written = cast.credential(cast.credential_named(&wanted.name)?);
            observed.credential_written(written);
        }
        GrantStep::ApplyServiceAccount(account) => {
            let facts = observed.azure.identity.present()?.facts;
            observed.account_applied(account.name.clone(), cast.marked(&account.name, facts)?);
        }
        // Neither another issuer, nor a role, nor an export is in this world.
        GrantStep::ReplaceCredential { .. } | GrantStep::PutRoleAssignment(_) | GrantStep::ApplyExport(_) => {
            return None;
        }
    }
    Some(())
}
