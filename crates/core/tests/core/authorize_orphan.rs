//! What may be left behind when a binding goes.

use wio_api::{DeletionPolicy, WorkloadIdentityBinding, WorkloadIdentityBindingStatus, WorkloadIdentityPolicy};
use wio_core::authorize::{authorize_orphan, authorize_recorded};
use wio_core::recorded::Recorded;
use wio_testkit::fixtures::{BindingBuilder, PolicyBuilder};

use crate::authorize::{GROUP, SECRETS, as_managed, ask, blames, for_shop, orders};
use crate::authorize_recorded::standing;
use crate::given::{EXISTING, VAULT, config, existing, name, parsed, rules_by};

/// As a policy that lets bindings leave behind what they have.
fn with_orphans(built: PolicyBuilder) -> WorkloadIdentityPolicy {
    let mut policy = built.build();
    policy.spec.allow_orphan = true;
    policy
}

#[test]
fn what_needs_no_policy_may_be_left_behind_and_everything_else_needs_one_that_says_so() {
    let orphan = |binding: BindingBuilder| binding.deletion_policy(DeletionPolicy::Orphan).build();
    let open = || for_shop("open").existing(EXISTING).role(SECRETS, &[GROUP]);
    ask(&orphan(orders().managed()), &config(), &[], 0).unwrap();
    ask(&orphan(as_managed(|managed| managed.adopt = true)), &config(), &[], 0).unwrap();
    for binding in [orders().existing(EXISTING), orders().managed().role(SECRETS, VAULT)] {
        ask(&binding.clone().build(), &config(), &[open().build()], 0).unwrap();
        let kept = orphan(binding);
        let refusal = ask(&kept, &config(), &[open().build()], 0).unwrap_err();
        blames(
            refusal,
            "spec.deletionPolicy",
            &[
                "Orphan",
                "Delete or RetainIdentity",
                "spec.allowOrphan: true",
                "namespace shop",
            ],
        );
        let witness = ask(&kept, &config(), &[open().build(), with_orphans(for_shop("keep"))], 0).unwrap();
        assert_eq!(witness.authorized_by(), [name("keep"), name("open")]);
        // For every service account.
        let some = with_orphans(for_shop("keep").service_account("mails"));
        let refusal = ask(&kept, &config(), &[open().build(), some], 0).unwrap_err();
        blames(refusal, "spec.deletionPolicy", &["to service account orders"]);
    }
}

#[test]
fn an_unusable_spec_does_not_get_orphan_either() {
    let status = standing(&existing(&["orders"]), None);
    let owner = parsed(&existing(&["orders"])).owner;
    let open = for_shop("shop").existing(EXISTING);
    let may = |policy: DeletionPolicy, policies: &[WorkloadIdentityPolicy]| {
        authorize_recorded(&owner, &Recorded::from(&status), policy, &rules_by(config(), policies))
    };
    let orphan = DeletionPolicy::Orphan;
    may(DeletionPolicy::RetainIdentity, &[open.clone().build()]).unwrap();
    blames(
        may(orphan, &[open.clone().build()]).unwrap_err(),
        "spec.deletionPolicy",
        &[],
    );
    may(orphan, &[with_orphans(open)]).unwrap();
}

/// A spec can be edited to Orphan, or to something harmless, right before the deletion, without a reconcile in between.
#[test]
fn what_a_deletion_leaves_behind_is_decided_by_what_is_had_and_by_what_is_asked_for() {
    let has = |binding: WorkloadIdentityBinding| standing(&binding, None);
    let open = for_shop("shop").existing(EXISTING).role(SECRETS, &[GROUP]);
    let may = |binding: BindingBuilder, policies: &[WorkloadIdentityPolicy]| {
        let binding = binding.deletion_policy(DeletionPolicy::Orphan).build();
        authorize_orphan(&parsed(&binding), &rules_by(config(), policies))
    };
    let plain = [open.clone().build()];
    let allowing = [with_orphans(open)];
    let asked = || orders().existing(EXISTING);
    may(orders().managed(), &plain).unwrap();
    may(asked(), &plain).unwrap_err();
    may(asked(), &allowing).unwrap();
    may(asked(), &[]).unwrap_err();
    // What it has counts when it asks for something harmless, and when it asks for nothing that could be decided on.
    let harmless = || orders().managed().status(has(existing(&["orders"])));
    may(harmless(), &plain).unwrap_err();
    may(harmless(), &allowing).unwrap();
    may(harmless().audience("a b"), &plain).unwrap_err();
    // A limit says nothing about what stands.
    let limited = for_shop("limit").max_federated_credentials(0).build();
    may(asked(), &[allowing[0].clone(), limited]).unwrap();
}

/// A role that was announced may stand though nothing names it any more, and a spec that cannot be used still says what it asked for.
#[test]
fn roles_that_may_stand_need_a_policy_to_be_left_behind_whatever_the_spec_says_by_now() {
    let allowed = |binding: &WorkloadIdentityBinding, policies: &[WorkloadIdentityPolicy]| {
        authorize_orphan(&parsed(binding), &rules_by(config(), policies))
    };
    let mut announced = orders().managed().deletion_policy(DeletionPolicy::Orphan).build();
    allowed(&announced, &[]).unwrap();
    announced.status = Some(WorkloadIdentityBindingStatus {
        role_assignment_scopes: vec![VAULT.split("/resourceGroups").next().unwrap().to_owned()],
        ..WorkloadIdentityBindingStatus::default()
    });
    let mut unusable = orders()
        .existing(EXISTING)
        .deletion_policy(DeletionPolicy::Orphan)
        .build();
    unusable.spec.audience = Some("two words".to_owned());
    for binding in [announced, unusable] {
        let open = || for_shop("open").existing(EXISTING);
        blames(
            allowed(&binding, &[open().build()]).unwrap_err(),
            "spec.deletionPolicy",
            &["Orphan", "spec.allowOrphan: true"],
        );
        allowed(&binding, &[with_orphans(open())]).unwrap();
    }
}
