//! The plan for the ConfigMap that ids are exported into.

use wio_api::{DeletionPolicy, Reason};
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::known_state;
use wio_core::names::ConfigMapName;
use wio_core::observed::{IdentityFacts, Observed, ObservedExport, ObservedIdentity};
use wio_core::plan::{GrantStep, Plan, Revocation, plan};

use crate::given::{accounts_of, denied, desired, gone, managed, name};
use crate::plan_roles::{made, reconciled};
use crate::worlds::{World, facts};

fn orders() -> DesiredBinding {
    let mut object = managed(&["orders"]);
    let config_map = wio_api::ExportedConfigMap { name: "ids".to_owned() };
    object.spec.export = Some(wio_api::Export { config_map });
    desired(&object)
}

/// The world as it should be, but for the ConfigMaps.
fn observed(bound: &DesiredBinding, exports: &[(&str, ObservedExport)]) -> Observed {
    let mut observed = World::as_desired(bound).observe(&accounts_of(bound));
    observed.exports = exports
        .iter()
        .map(|(named, seen)| (name(named), seen.clone()))
        .collect();
    observed
}

fn held_by(observed: &Observed) -> IdentityFacts {
    observed.azure.identity.present().unwrap().facts
}

fn seen(bound: &DesiredBinding) -> ObservedExport {
    ObservedExport {
        uid: name("uid-ids"),
        ours: true,
        owned: true,
        holds: Some(held_by(&observed(bound, &[]))),
    }
}

fn planned(bound: &DesiredBinding, exports: &[(&str, ObservedExport)]) -> Plan {
    plan(&Desired::Bound(bound.clone()), &observed(bound, exports))
}

fn ids() -> ConfigMapName {
    name("ids")
}

#[test]
fn it_is_written_when_it_is_missing_or_says_something_else_and_only_then() {
    let bound = orders();
    let right = seen(&bound);
    assert_eq!(planned(&bound, &[("ids", right.clone())]), Plan::default());
    let wrong = [
        ObservedExport {
            holds: None,
            ..right.clone()
        },
        ObservedExport {
            holds: Some(facts(99)),
            ..right.clone()
        },
        ObservedExport { owned: false, ..right },
    ];
    for exports in wrong.into_iter().map(|seen| vec![("ids", seen)]).chain([Vec::new()]) {
        let plan = planned(&bound, &exports);
        assert_eq!(plan.grants, [GrantStep::ApplyExport(ids())]);
        assert!(plan.revocations.is_empty() && plan.blocked.is_empty());
        let present = observed(&bound, &[]).azure;
        assert!(known_state::is_enough_for(&plan, &present, true));
        assert!(
            !known_state::is_enough_for(&plan, &present, false),
            "it may be the operator's own identity"
        );
    }
}

#[test]
fn it_comes_last_and_with_an_identity_that_is_still_to_be_made() {
    let bound = orders();
    let mut observed = observed(&bound, &[]);
    observed.azure.identity = ObservedIdentity::Absent;
    observed.service_accounts.clear();
    let made = plan(&Desired::Bound(bound), &observed);
    assert_eq!(made.grants.last(), Some(&GrantStep::ApplyExport(ids())));
    assert!(matches!(made.grants.first(), Some(GrantStep::CreateIdentity { .. })));
}

#[test]
fn one_of_somebody_else_blocks_and_is_neither_written_nor_deleted() {
    let bound = orders();
    let theirs = ObservedExport {
        ours: false,
        ..seen(&bound)
    };
    let exports = [("ids", theirs.clone()), ("before", theirs)];
    let blocked = planned(&bound, &exports);
    assert!(!blocked.has_steps(), "{blocked:?}");
    assert_eq!(blocked.blocked[0].reason, Reason::ExportConflict);
    let gone = gone(&bound, DeletionPolicy::Delete);
    let revocations = plan(&gone, &observed(&bound, &exports)).revocations;
    assert!(
        !revocations
            .iter()
            .any(|step| matches!(step, Revocation::DeleteExport { .. }))
    );
}

#[test]
fn what_is_not_wanted_goes_whatever_becomes_of_the_identity_and_a_denial_leaves_it() {
    let bound = orders();
    let exports = [("ids", seen(&bound)), ("before", seen(&bound))];
    let deletes = |plan: &Plan| -> Vec<String> {
        let deleted = plan.revocations.iter().filter_map(|step| match step {
            Revocation::DeleteExport { name, label, .. } => Some((name.to_string(), label.clone())),
            _ => None,
        });
        deleted
            .inspect(|(_, label)| assert_eq!(*label, bound.owner.uid))
            .map(|(name, _)| name)
            .collect()
    };
    assert_eq!(deletes(&planned(&bound, &exports)), ["before"]);
    let world = observed(&bound, &exports);
    for policy in [DeletionPolicy::Delete, DeletionPolicy::RetainIdentity] {
        assert_eq!(deletes(&plan(&gone(&bound, policy), &world)), ["before", "ids"]);
    }
    assert_eq!(deletes(&plan(&denied(&bound), &world)), [""; 0]);
}

#[test]
fn those_that_stand_and_are_ours_are_told_of() {
    let bound = orders();
    let theirs = ObservedExport {
        ours: false,
        ..seen(&bound)
    };
    let world = observed(&bound, &[("ids", seen(&bound)), ("theirs", theirs)]);
    for target in [
        Desired::Bound(bound.clone()),
        gone(&bound, DeletionPolicy::RetainIdentity),
    ] {
        let told = made(&reconciled(target, world.clone(), Vec::new()), None);
        assert_eq!(told.exported_config_maps, ["ids"]);
    }
}

#[test]
fn what_was_written_or_deleted_is_seen_so_without_another_look() {
    let bound = orders();
    let mut observed = observed(&bound, &[]);
    observed.exported(ids(), seen(&bound));
    assert_eq!(plan(&Desired::Bound(bound.clone()), &observed), Plan::default());
    observed.export_deleted(&ids());
    assert_eq!(
        plan(&Desired::Bound(bound), &observed).grants,
        [GrantStep::ApplyExport(ids())]
    );
}
