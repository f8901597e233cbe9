//! What the logs tell of changes by anybody else, and the bindings that it concerns.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use wio_api::WorkloadIdentityBinding;
use wio_core::drift::{Change, Changed};
use wio_core::names::{BindingUid, ClientId, RoleAssignmentName, SubscriptionId};

use super::waking::{Walk, doubt_of, uid_of};
use crate::caches::glance::{Mark, short};
use crate::reconcile::context::Context;
use crate::reconcile::knowledge::Shown;

/// The most bindings that one reading of a log wakes. When there are more it counts as not read, and they look for themselves.
const MOST_WOKEN: usize = 500;

/// What was last changed by anybody but the operator, of all logs that were read.
#[derive(Debug, Default)]
pub(super) struct News {
    /// By identities, in short.
    identities: HashMap<NonZeroU64, Item>,
    roles: HashMap<RoleAssignmentName, Item>,
}

/// One thing that was changed.
#[derive(Clone, Copy, Debug)]
struct Item {
    age: Duration,
    /// Whose log it is in.
    of: SubscriptionId,
}

/// How many bindings each log has woken.
#[derive(Debug, Default)]
struct Woken {
    by_log: HashMap<SubscriptionId, usize>,
    /// The logs that name more than are woken.
    exceeded: HashSet<SubscriptionId>,
}

// === impl News ===

impl News {
    /// Takes in what a log tells. What the operator did itself is known without it. Whose something is stands in the claims of the token, which
    /// nobody can forge.
    pub(super) fn take_in(
        &mut self,
        of: SubscriptionId,
        changes: Vec<Change>,
        (operator, now): (Option<ClientId>, Timestamp),
    ) {
        for change in changes {
            if change.by.is_some() && change.by == operator {
                continue;
            }
            let age = change.age(now);
            let item = Item { age, of };
            let known = match change.of {
                Changed::Identity(id) => {
                    let Some(id) = short(&id) else { continue };
                    self.identities.entry(id).or_insert(item)
                }
                Changed::RoleAssignment(name) => self.roles.entry(name).or_insert(item),
            };
            if age < known.age {
                *known = item;
            }
        }
    }

    /// Wakes the bindings that it concerns, and tells which logs name more than are woken at once. Of the bindings with identities none is
    /// unpacked, and of the others only those with roles.
    pub(super) async fn wake(&self, ctx: &Context) -> HashSet<SubscriptionId> {
        let mut woken = Woken::default();
        if !self.identities.is_empty() {
            self.wake_by_identities(ctx, &mut woken).await;
        }
        if !self.roles.is_empty() {
            self.wake_by_roles(ctx, &mut woken).await;
        }
        woken.exceeded
    }

    async fn wake_by_identities(&self, ctx: &Context, woken: &mut Woken) {
        let index = &ctx.caches.bindings.index;
        let mut walk = Walk::default();
        for namespace in index.namespaces() {
            for binding in index.with_any_of(&namespace, |identity| self.identities.contains_key(&identity)) {
                if let Some(item) = self.identities.get(&binding.identity) {
                    wake(ctx, woken, item, (&binding.key, &binding.uid));
                }
            }
            walk.step().await;
        }
    }

    async fn wake_by_roles(&self, ctx: &Context, woken: &mut Woken) {
        let mut walk = Walk::default();
        for binding in ctx.caches.bindings.all_with(Mark::Roles) {
            if let Some((item, uid)) = self.of_roles(&binding).zip(uid_of(&binding)) {
                wake(ctx, woken, item, (&ObjectRef::from_obj(&*binding), &uid));
            }
            walk.step().await;
        }
    }

    /// The latest one of a binding's roles.
    fn of_roles(&self, binding: &WorkloadIdentityBinding) -> Option<&Item> {
        let assignments = binding.status.iter().flat_map(|status| &status.role_assignments);
        let items = assignments.filter_map(|assignment| {
            let name = assignment.id.rsplit('/').next()?.parse().ok()?;
            self.roles.get(&name)
        });
        items.min_by_key(|item| item.age)
    }
}

// === impl Woken ===

impl Woken {
    /// Whether a log may wake one more.
    fn may_wake(&mut self, log: SubscriptionId) -> bool {
        let may = self.by_log.get(&log).is_none_or(|woken| *woken < MOST_WOKEN);
        if !may {
            self.exceeded.insert(log);
        }
        may
    }

    fn wakes(&mut self, log: SubscriptionId) {
        *self.by_log.entry(log).or_default() += 1;
    }
}

fn wake(ctx: &Context, woken: &mut Woken, item: &Item, (key, uid): (&ObjectRef<WorkloadIdentityBinding>, &BindingUid)) {
    if woken.may_wake(item.of) && doubt_of(&ctx.books, (key, uid), ("log", Shown::Change(item.age))) {
        woken.wakes(item.of);
        tell_changed(key);
    }
}

fn tell_changed(key: &ObjectRef<WorkloadIdentityBinding>) {
    tracing::info!(
        namespace = key.namespace,
        name = key.name,
        "the activity log tells of a change by somebody else; the binding looks"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATOR: &str = "0f2c6a5e-6d39-4c0b-8b55-7a2f3a4f1c01";
    const SOMEBODY: &str = "0f2c6a5e-6d39-4c0b-8b55-7a2f3a4f1c02";
    const IDENTITY: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";
    const NOON: &str = "2026-01-10T12:00:00Z";

    fn log(n: u8) -> SubscriptionId {
        format!("6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a{n:02}").parse().unwrap()
    }

    fn changed(at: &str, by: Option<&str>) -> Change {
        Change {
            of: Changed::Identity(IDENTITY.parse().unwrap()),
            at: at.parse().unwrap(),
            by: by.map(|by| by.parse().unwrap()),
        }
    }

    /// Of how many minutes ago the latest change of the identity is, and whose log tells of it, when these logs are read at noon.
    fn latest(logs: &[(u8, Vec<Change>)]) -> Option<(u64, SubscriptionId)> {
        let mut news = News::default();
        for (n, changes) in logs {
            let known = (Some(OPERATOR.parse().unwrap()), NOON.parse().unwrap());
            news.take_in(log(*n), changes.clone(), known);
        }
        let item = news.identities.into_values().next()?;
        Some((item.age.as_secs() / 60, item.of))
    }

    #[test]
    fn what_the_operator_did_itself_is_no_news_and_what_nobody_is_named_for_is() {
        let at = "2026-01-10T11:50:00Z";
        assert_eq!(latest(&[(1, vec![changed(at, Some(OPERATOR))])]), None);
        assert_eq!(latest(&[(1, vec![changed(at, Some(SOMEBODY))])]), Some((10, log(1))));
        assert_eq!(latest(&[(1, vec![changed(at, None)])]), Some((10, log(1))));
    }

    #[test]
    fn the_latest_change_counts_whichever_log_tells_of_it_and_in_whatever_order() {
        let at = |minute: u8| changed(&format!("2026-01-10T11:{minute}:00Z"), Some(SOMEBODY));
        let logs = [(1, vec![at(20), at(50), at(30)]), (2, vec![at(40)])];
        assert_eq!(latest(&logs), Some((10, log(1))));
        let logs = [(1, vec![at(20)]), (2, vec![at(40)])];
        assert_eq!(latest(&logs), Some((20, log(2))));
    }

    /// One subscription that somebody floods is no reason not to follow the others.
    #[test]
    fn a_log_that_names_more_than_are_woken_is_told_of_and_no_other_one() {
        let mut woken = Woken::default();
        for _ in 0..MOST_WOKEN {
            assert!(woken.may_wake(log(1)));
            woken.wakes(log(1));
        }
        assert!(woken.exceeded.is_empty(), "all that it names were woken");
        assert!(!woken.may_wake(log(1)) && woken.may_wake(log(2)));
        assert_eq!(woken.exceeded, HashSet::from([log(1)]));
    }
}
