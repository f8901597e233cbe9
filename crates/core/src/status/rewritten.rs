//! What a status tells those who rest on a credential that is about to be written: what was proven of it before proves nothing any more.

use jiff::Timestamp;
use wio_api::WorkloadIdentityBindingStatus;

use crate::desired::Desired;
use crate::names::ServiceAccountName;
use crate::plan::{GrantStep, Plan};
use crate::recorded::{Recorded, Rewrites, after, whole};
use crate::sharing::Sharer;

/// The credentials that a plan writes though other bindings that ask for a proof rest on them. Each is noted at a time that is after whatever is known to be proven
/// of it; one that was noted so before stays, so that a write which is tried again and again is noted once.
#[must_use]
pub fn rewrites(
    previous: Option<&WorkloadIdentityBindingStatus>,
    desired: &Desired,
    plan: &Plan,
    now: Timestamp,
) -> Rewrites {
    let noted = Recorded::from(previous).rewrites;
    let mut rewrites = Rewrites::default();
    for account in written(plan) {
        let mut resting = desired.sharing().resting_on(account).peekable();
        if resting.peek().is_none() {
            continue;
        }
        let proven = |sharer: &Sharer| sharer.proofs.as_ref()?.get(account).copied();
        let proven = resting.filter_map(proven).max();
        let before = noted
            .of(account)
            .filter(|noted| proven.is_none_or(|proven| proven <= *noted));
        let at = || proven.map(after).into_iter().fold(whole(now), Timestamp::max);
        rewrites.note(account, before.unwrap_or_else(at));
    }
    rewrites
}

/// Whom rewrites that begin now are told, each with those that it rests on. A write that is tried again is told of again: it is later than what was proven in between.
#[must_use]
pub fn told_of<'a>(desired: &'a Desired, rewrites: &Rewrites, now: Timestamp) -> Vec<(&'a Sharer, Rewrites)> {
    let mut told: Vec<(&Sharer, Rewrites)> = Vec::new();
    for (account, noted) in rewrites.iter() {
        for sharer in desired.sharing().resting_on(account) {
            let mut rewrites = Rewrites::default();
            rewrites.note(account, noted.max(whole(now)));
            told.push((sharer, rewrites));
        }
    }
    told
}

/// What is announced, and these rewrites; none when the status says all of it already.
#[must_use]
pub fn with_rewrites(
    announced: Option<WorkloadIdentityBindingStatus>,
    previous: Option<&WorkloadIdentityBindingStatus>,
    rewrites: &Rewrites,
) -> Option<WorkloadIdentityBindingStatus> {
    let before = announced.as_ref().or(previous);
    let noted = Recorded::from(before).rewrites;
    let mut all = noted.clone();
    all.merge(rewrites);
    if all == noted {
        return announced;
    }
    Some(WorkloadIdentityBindingStatus {
        credential_rewrites: all.to_status(),
        ..before.cloned().unwrap_or_default()
    })
}

fn written(plan: &Plan) -> impl Iterator<Item = &ServiceAccountName> {
    plan.grants.iter().filter_map(|step| match step {
        GrantStep::PutCredential(wanted) | GrantStep::ReplaceCredential { wanted, .. } => Some(&wanted.account),
        GrantStep::CreateIdentity { .. }
        | GrantStep::TagIdentity { .. }
        | GrantStep::PutRoleAssignment(_)
        | GrantStep::ApplyServiceAccount(_)
        | GrantStep::ApplyExport(_) => None,
    })
}
