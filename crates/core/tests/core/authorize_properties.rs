//! What holds for every policy and every binding.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wio_api::{
    ManagedIdentity, ManagedIdentityPermission, NamespaceSelector, WorkloadIdentityBinding, WorkloadIdentityPolicy,
};
use wio_core::authorize::{Granted, NotPermitted};
use wio_core::config::{LOCKED_ROLES, OperatorConfig};
use wio_core::names::{PolicyName, Scope};
use wio_testkit::fixtures::{binding, policy};

use crate::given::{SUBSCRIPTION, UID, ask, cases, config, name, parsed, rules_by, spec_of};

const OTHER: &str = "11111111-2222-4333-8444-555555555555";
const KUBELET: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/clusters/providers/\
                       Microsoft.ManagedIdentity/userAssignedIdentities/kubelet";

const DERIVED: &str = "wib-bank-orders-aaaaaaaaaaaaaaaa";

pub fn guarded() -> OperatorConfig {
    OperatorConfig {
        protected_identities: vec![name(KUBELET)],
        protected_groups: vec![name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/mc_nodes"))],
        ..config()
    }
}

fn any_subscription() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(SUBSCRIPTION.to_owned()), 1 => Just(OTHER.to_owned())]
}

fn any_group() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["operator", "clusters", "mc_nodes", "team-a", "team-a-evil"]).prop_map(str::to_owned)
}

fn any_identity() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["kubelet", "orders", "shop_orders", "shop-a_orders", "bills"]).prop_map(str::to_owned)
}

/// Among them one that was derived for another binding.
fn any_existing() -> impl Strategy<Value = String> {
    prop_oneof![4 => any_identity(), 1 => Just(DERIVED.to_owned())]
}

fn any_account() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["orders", "mails", "orders-v2"]).prop_map(str::to_owned)
}

fn any_role() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "Owner",
        "owner",
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        "User Access Administrator",
        "/providers/Microsoft.Authorization/roleDefinitions/f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        "Reader",
        "CONTRIBUTOR",
        "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
        "Key Vault Secrets User",
        "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    ])
    .prop_map(str::to_owned)
}

fn any_scope() -> impl Strategy<Value = String> {
    let below = prop_oneof![
        Just(String::new()),
        any_group().prop_map(|group| format!("/resourceGroups/{group}")),
        any_group().prop_map(|group| format!("/resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/one")),
    ];
    prop_oneof![
        9 => (any_subscription(), below).prop_map(|(subscription, below)| format!("/subscriptions/{subscription}{below}")),
        1 => Just("/providers/Microsoft.Management/managementGroups/shop".to_owned()),
    ]
}

fn id(subscription: &str, group: &str, identity: &str) -> String {
    format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}"
    )
}

/// The text, or a pattern that means it among others.
fn loosened(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (text, 0..4_usize).prop_map(|(text, way)| match way {
        0 => "*".to_owned(),
        1 => format!("{}*", text.chars().take(1).collect::<String>()),
        2 => format!("*{}", text.chars().skip(1).collect::<String>()),
        _ => text,
    })
}

fn any_place() -> impl Strategy<Value = ManagedIdentityPermission> {
    let locations = prop::option::of(prop::sample::subsequence(vec!["westeurope", "eastus"], 1..=2));
    let prefix = prop::sample::select(vec!["", "orders", "o", "shop", "x"]);
    (any_subscription(), any_group(), prefix, locations, any::<bool>()).prop_map(
        |(subscription_id, resource_group, name_prefix, locations, adopt)| ManagedIdentityPermission {
            subscription_id,
            resource_group,
            name_prefix: name_prefix.to_owned(),
            locations: locations.map(|locations| locations.into_iter().map(str::to_owned).collect()),
            adopt,
        },
    )
}

pub fn any_grant() -> BoxedStrategy<WorkloadIdentityPolicy> {
    let existing = prop::collection::vec(
        (any_subscription(), loosened(any_group()), loosened(any_existing())),
        0..3,
    );
    let roles = prop::collection::vec((any_role(), prop::collection::vec(any_scope(), 1..3)), 0..4);
    let accounts = prop::option::weighted(0.4, prop::collection::vec(loosened(any_account()), 1..3));
    let places = prop::collection::vec(any_place(), 0..3);
    let for_shop = prop::sample::select(vec!["named", "selected", "not"]);
    ("[a-c]", for_shop, accounts, existing, places, roles)
        .prop_map(|(name, for_shop, accounts, existing, places, roles)| {
            let start = match for_shop {
                "named" => policy(&name).namespace("shop"),
                "selected" => policy(&name).selector(NamespaceSelector::default()),
                _ => policy(&name).namespace("bank"),
            };
            let mut built = existing.iter().fold(start, |built, (subscription, group, identity)| {
                built.existing(&id(subscription, group, identity))
            });
            built = places
                .into_iter()
                .fold(built, wio_testkit::fixtures::PolicyBuilder::managed);
            for (role, scopes) in &roles {
                built = built.role(role, &scopes.iter().map(String::as_str).collect::<Vec<_>>());
            }
            let mut built = built.build();
            built.spec.service_accounts = accounts;
            built
        })
        .boxed()
}

pub fn any_asked() -> BoxedStrategy<WorkloadIdentityBinding> {
    let managed = (
        prop::option::of(any_subscription()),
        prop::option::of(any_group()),
        prop::option::of(any_identity()),
        prop::option::of(Just("eastus".to_owned())),
        any::<bool>(),
    )
        .prop_map(
            |(subscription_id, resource_group, name, location, adopt)| ManagedIdentity {
                subscription_id,
                resource_group,
                name,
                location,
                adopt,
                ..ManagedIdentity::default()
            },
        );
    let existing = (any_subscription(), any_group(), any_existing());
    let identity = prop_oneof![managed.prop_map(Ok), existing.prop_map(|(s, g, i)| Err(id(&s, &g, &i)))];
    let accounts = prop::collection::btree_set(any_account(), 1..3);
    let roles = prop::collection::vec((any_role(), any_scope()), 0..2);
    (identity, accounts, roles)
        .prop_map(|(identity, accounts, roles)| {
            let start = binding("shop", "orders").uid(UID).generation(1);
            let start = match identity {
                Ok(managed) => start.managed_as(managed),
                Err(id) => start.existing(&id),
            };
            let start = accounts
                .iter()
                .fold(start, |built, account| built.service_account(account));
            roles
                .iter()
                .fold(start, |built, (role, scope)| built.role(role, scope))
                .build()
        })
        .boxed()
}

fn permission(
    asked: &WorkloadIdentityBinding,
    policies: &[WorkloadIdentityPolicy],
    used: usize,
) -> Result<Granted, NotPermitted> {
    ask(asked, &rules_by(guarded(), policies), used)
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn adding_a_policy_never_takes_a_permission_away(
        asked in any_asked(), policies in prop::collection::vec(any_grant(), 0..4), more in any_grant(),
        limits in prop::option::of((0..30_i64, 0..30_i64)), used in 0..30_usize,
    ) {
        // A first limit does: that is what it is for. A second one can only be higher, or of no account.
        let (mut policies, mut more) = (policies, more);
        if let Some((before, then)) = limits {
            policies.push(policy("limit").namespace("shop").max_federated_credentials(before).build());
            more.spec.max_federated_credentials = Some(then);
        }
        let before = permission(&asked, &policies, used);
        policies.push(more);
        let after = permission(&asked, &policies, used);
        if let Ok(before) = before {
            let after = after.unwrap_or_else(|refusal| panic!("{refusal}"));
            prop_assert_eq!(after.roles(), before.roles());
            prop_assert!(after.may_adopt() || !before.may_adopt());
            prop_assert!(before.authorized_by().iter().all(|name| after.authorized_by().contains(name)));
        }
    }

    #[test]
    fn no_policy_ever_permits_what_is_protected_or_locked(
        asked in any_asked(), policies in prop::collection::vec(any_grant(), 0..5),
    ) {
        if let Ok(witness) = permission(&asked, &policies, 0) {
            let identity = witness.identity();
            prop_assert_ne!(identity, &name(KUBELET));
            prop_assert!(identity.group != guarded().protected_groups[0]);
            prop_assert_ne!(identity.name.as_str(), DERIVED);
            for role in witness.roles() {
                prop_assert!(!LOCKED_ROLES.contains(&role.definition()));
            }
        }
    }

    #[test]
    fn what_is_permitted_was_asked_for_and_a_named_policy_gives_it(
        asked in any_asked(), policies in prop::collection::vec(any_grant(), 0..4),
    ) {
        let Ok(witness) = permission(&asked, &policies, 0) else { return Ok(()) };
        let spec = spec_of(&asked);
        prop_assert_eq!(witness.identity(), &spec.identity_id(&parsed(&asked).owner, &guarded()));
        let permitted: Vec<_> = witness.roles().iter().map(|role| (role.definition(), role.scope().clone())).collect();
        let wanted: Vec<_> = spec.role_assignments.iter().map(|role| (role.definition, role.scope.clone())).collect();
        prop_assert_eq!(permitted, wanted);
        // With those policies alone the verdict is the same.
        let named: BTreeSet<&str> = witness.authorized_by().iter().map(PolicyName::as_str).collect();
        let alone: Vec<_> = policies.iter().filter(|policy| named.contains(policy.metadata.name.as_deref().unwrap())).cloned().collect();
        let again = permission(&asked, &alone, 0);
        prop_assert_eq!(again.map(|witness| witness.roles().to_vec()), Ok(witness.roles().to_vec()));
        // None of them is for another namespace alone, and each role has its policy, with a scope at or above the asked one.
        for role in witness.roles() {
            let gives = |policy: &WorkloadIdentityPolicy| policy.spec.roles.iter().any(|given| {
                given.role.parse() == Ok(role.definition())
                    && given.scopes.iter().any(|scope| role.scope().is_at_or_below(&name::<Scope>(scope)))
            });
            prop_assert!(alone.iter().any(gives));
        }
    }

    #[test]
    fn the_order_of_policies_makes_no_difference(
        asked in any_asked(), policies in prop::collection::vec(any_grant(), 0..5).prop_shuffle(), used in 0..9_usize,
    ) {
        let mut turned = policies.clone();
        turned.reverse();
        let (one, other) = (permission(&asked, &policies, used), permission(&asked, &turned, used));
        prop_assert_eq!(one.as_ref().map_err(|refusal| &refusal.field), other.as_ref().map_err(|refusal| &refusal.field));
    }
}
