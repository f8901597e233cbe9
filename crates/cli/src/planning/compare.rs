//! A cluster as it is and as it would be, binding by binding. The case of a binding is made once of each.

use wio_core::case::Case;
use wio_core::observed::AzureState;
use wio_core::snapshot::Snapshot;

use super::foresee::{Asked, Forecast, foresee};
use super::world::{Key, World};

/// A cluster as it is and as it would be.
pub(crate) struct Comparison<'a> {
    after: &'a World,
    is: Snapshot,
    would_be: Snapshot,
}

/// The case of a binding as it is and as it would be; none where the binding or its namespace is not known.
pub(crate) struct Cases {
    before: Option<Case>,
    pub(crate) after: Option<Case>,
}

// === impl Comparison ===

impl<'a> Comparison<'a> {
    pub(crate) fn new(before: &World, after: &'a World) -> Self {
        Self {
            after,
            is: before.snapshot(),
            would_be: after.snapshot(),
        }
    }

    pub(crate) fn cases(&self, (namespace, name): &Key) -> Cases {
        let case = |snapshot: &Snapshot| snapshot.case(snapshot.binding(namespace, name)?);
        Cases {
            before: case(&self.is),
            after: case(&self.would_be),
        }
    }

    /// Whether the same becomes of a binding as if nothing were changed. Azure is not asked for that.
    pub(crate) fn is_same(&self, cases: &Cases) -> bool {
        let before = cases.before.as_ref();
        let without = before.map(|is| self.foresee((before, is), None));
        match (without, self.of(cases, None)) {
            (Some(without), Some(with)) => without.comes_to(&with),
            (without, with) => without == with,
        }
    }

    /// What becomes of a binding, where Azure is so, if it was read; none where nothing is known of it.
    pub(crate) fn of(&self, cases: &Cases, azure: Option<AzureState>) -> Option<Forecast> {
        let after = cases.after.as_ref()?;
        Some(self.foresee((cases.before.as_ref(), after), azure))
    }

    fn foresee(&self, (before, after): (Option<&Case>, &Case), azure: Option<AzureState>) -> Forecast {
        foresee(Asked {
            before,
            after,
            accounts: self.after.service_accounts(after),
            azure,
        })
    }

    /// How many bindings were looked at for all cases so far.
    #[cfg(test)]
    pub(crate) fn looked_at(&self) -> u64 {
        self.is.looked_at() + self.would_be.looked_at()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::Timestamp;
    use wio_api::{AcceptedSettings, EffectiveDefaults, WorkloadIdentityBinding, keys};
    use wio_core::cluster::{Belief, Cluster};
    use wio_core::settings_change::in_force;
    use wio_testkit::fixtures::{binding, policy};

    use super::*;
    use crate::planning::world::key;

    const GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared";

    /// So many bindings of one namespace, each with an identity of its own, under a policy that counts them.
    fn world(count: usize) -> World {
        let bound = |n: usize| -> WorkloadIdentityBinding {
            let name = format!("b{n:04}");
            let built = binding("shop", &name).managed().service_account(&name);
            built.uid(&name).finalizer(keys::FINALIZER).generation(1).build()
        };
        let accepted = AcceptedSettings {
            resource_group_id: GROUP.to_owned(),
            location: "westeurope".to_owned(),
            ..AcceptedSettings::default()
        };
        let defaults = EffectiveDefaults {
            audience: "api://AzureADTokenExchange".to_owned(),
            ..EffectiveDefaults::default()
        };
        let mut limiting = policy("limits").namespace("shop").build();
        limiting.spec.max_managed_identities = Some(1000);
        World {
            cluster: Cluster {
                id: wio_testkit::CLUSTER_UID.parse().unwrap(),
                issuer: wio_testkit::DEFAULT_ISSUER.parse().unwrap(),
                belief: Belief::Believed,
                replaced: BTreeSet::new(),
            },
            config: in_force(&accepted, &defaults).unwrap().into(),
            namespaces: BTreeMap::from([("shop".parse().unwrap(), BTreeMap::new())]),
            policies: vec![limiting],
            bindings: (0..count)
                .map(bound)
                .filter_map(|one| Some((key(&one)?, one)))
                .collect(),
            accounts: BTreeMap::new(),
            now: Timestamp::UNIX_EPOCH,
            not_read: Vec::new(),
        }
    }

    /// How many bindings are looked at to compare all of them with how they would be, and how many of them would be otherwise.
    fn looked_at(count: usize) -> (u64, usize) {
        let before = world(count);
        let mut after = before.clone();
        after.policies[0].spec.max_managed_identities = Some(10);
        let comparison = Comparison::new(&before, &after);
        let other = after.keys().filter(|key| !comparison.is_same(&comparison.cases(key)));
        let other = other.count();
        (comparison.looked_at(), other)
    }

    /// Each looked at every other one of its namespace, and its case was made six times.
    #[test]
    fn a_policy_for_ten_times_as_many_bindings_of_a_namespace_costs_ten_times_as_much() {
        let (few, many) = (looked_at(50), looked_at(500));
        assert_eq!((few.1, many.1), (40, 490), "all but the first ten would be denied");
        // In each of the two worlds it is found, and found to be its own neighbour.
        assert_eq!((few.0, many.0), (4 * 50, 4 * 500));
    }
}
