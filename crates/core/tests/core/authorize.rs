//! What a binding may have, case by case, and that a refusal names the field, what is asked, what is allowed and what would
//! help.

use std::collections::BTreeSet;

use wio_api::{ManagedIdentity, ManagedIdentityPermission, WorkloadIdentityBinding, WorkloadIdentityPolicy};
use wio_core::authorize::{Granted, NotPermitted, authorize};
use wio_core::config::{LOCKED_ROLES, OperatorConfig, ROLES_LOCKED_AT_IDENTITIES};
use wio_core::names::{PolicyName, RoleDefinitionGuid, identity_name};
use wio_core::policy::{NamespaceFacts, Usage};
use wio_core::rules::Rules;
use wio_testkit::fixtures::{BindingBuilder, PolicyBuilder, policy};

use crate::given::{EXISTING, SUBSCRIPTION, UID, VAULT, config, existing, name, parsed, rules_by, shop, spec_of};

const OTHER: &str = "11111111-2222-4333-8444-555555555555";
pub const GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop";
pub const SECRETS: &str = "Key Vault Secrets User";

pub fn orders() -> BindingBuilder {
    wio_testkit::fixtures::binding("shop", "orders")
        .uid(UID)
        .service_account("orders")
}

pub fn for_shop(name: &str) -> PolicyBuilder {
    policy(name).namespace("shop")
}

pub fn ask(
    binding: &WorkloadIdentityBinding,
    config: &OperatorConfig,
    policies: &[WorkloadIdentityPolicy],
    before: usize,
) -> Result<Granted, NotPermitted> {
    crate::given::ask(binding, &rules_by(config.clone(), policies), before)
}

#[track_caller]
fn allowed(binding: BindingBuilder, policies: &[PolicyBuilder], by: &[&str]) -> Granted {
    let policies: Vec<_> = policies.iter().cloned().map(PolicyBuilder::build).collect();
    let witness = ask(&binding.build(), &config(), &policies, 0).unwrap_or_else(|refusal| panic!("{refusal}"));
    let names: Vec<&str> = witness.authorized_by().iter().map(PolicyName::as_str).collect();
    assert_eq!(names, by);
    witness
}

#[track_caller]
pub fn blames(refusal: NotPermitted, field: &str, parts: &[&str]) {
    let NotPermitted {
        field: blamed, message, ..
    } = refusal;
    assert_eq!(blamed, field, "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

#[track_caller]
fn refused(binding: BindingBuilder, policies: &[PolicyBuilder], field: &str, parts: &[&str]) {
    let policies: Vec<_> = policies.iter().cloned().map(PolicyBuilder::build).collect();
    blames(
        ask(&binding.build(), &config(), &policies, 0).unwrap_err(),
        field,
        parts,
    );
}

pub fn as_managed(change: impl FnOnce(&mut ManagedIdentity)) -> BindingBuilder {
    let mut identity = ManagedIdentity::default();
    change(&mut identity);
    orders().managed_as(identity)
}

pub fn place(group: &str) -> ManagedIdentityPermission {
    ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: group.to_owned(),
        ..ManagedIdentityPermission::default()
    }
}

fn in_group(group: &str) -> BindingBuilder {
    as_managed(|identity| identity.resource_group = Some(group.to_owned()))
}

#[test]
fn without_a_policy_a_managed_identity_is_allowed_where_the_operator_makes_them() {
    let asked = [
        as_managed(|_| {}),
        as_managed(|identity| identity.subscription_id = Some(SUBSCRIPTION.to_uppercase())),
        as_managed(|identity| identity.resource_group = Some("OPERATOR".to_owned())),
        as_managed(|identity| identity.location = Some("westeurope".to_owned())),
        as_managed(|identity| identity.adopt = true),
    ];
    for binding in asked {
        let witness = allowed(binding.clone(), &[], &[]);
        let object = binding.build();
        let owner = parsed(&object).owner;
        assert_eq!(*witness.identity(), spec_of(&object).identity_id(&owner, &config()));
        assert_eq!(witness.identity().group, config().group);
        assert_eq!(
            witness.identity().name,
            identity_name(&owner.cluster, &owner.namespace, &owner.name)
        );
        assert_eq!(witness.revocable().identity(), witness.identity());
        assert!(!witness.may_adopt() && witness.roles().is_empty());
    }
}

/// Of two namespaces that could both begin a name with the same text, one could take the other's names.
#[test]
fn a_name_that_is_chosen_by_default_says_of_which_namespace_it_is() {
    let named = |chosen: &str| {
        let chosen = chosen.to_owned();
        as_managed(move |identity| identity.name = Some(chosen))
    };
    for own in ["shop_orders", "SHOP_orders", "shop__", "shop_a_b"] {
        allowed(named(own), &[], &[]);
    }
    for other in [
        "orders",
        "shop",
        "shop-orders",
        "shop-a_orders",
        "sho_orders",
        "shops_orders",
        "bank_shop_x",
    ] {
        refused(
            named(other),
            &[],
            "spec.identity.managed.name",
            &[other, "one that begins with shop_", "spec.managedIdentities"],
        );
        allowed(named(other), &[for_shop("any").managed(place("operator"))], &["any"]);
    }
    for far in [OTHER, SUBSCRIPTION] {
        let binding = as_managed(|identity| {
            identity.name = Some("shop_orders".to_owned());
            identity.subscription_id = Some(far.to_owned());
            identity.location = Some("eastus".to_owned());
        });
        ask(&binding.build(), &config(), &[], 0).unwrap_err();
    }
}

#[test]
fn where_the_configuration_asks_for_a_policy_a_managed_identity_needs_one_too() {
    let strict = OperatorConfig {
        require_policy: true,
        ..config()
    };
    let binding = as_managed(|_| {}).build();
    let refusal = ask(&binding, &strict, &[], 0).unwrap_err();
    blames(
        refusal,
        "spec.identity.managed",
        &[
            "no WorkloadIdentityPolicy is for namespace shop",
            "asks for a policy",
            "spec.managedIdentities",
        ],
    );
    let given = ask(
        &binding,
        &strict,
        &[for_shop("own").managed(place("operator")).build()],
        0,
    )
    .unwrap();
    assert_eq!(given.authorized_by(), [name("own")]);
    ask(
        &binding,
        &strict,
        &[for_shop("far").managed(place("shared")).build()],
        0,
    )
    .unwrap_err();
}

#[test]
fn without_a_policy_everything_else_is_refused_by_its_field() {
    let no_policy = "no WorkloadIdentityPolicy is for namespace shop";
    let cases: [(BindingBuilder, &str, &[&str]); 6] = [
        (
            as_managed(|identity| identity.subscription_id = Some(OTHER.to_owned())),
            "spec.identity.managed.subscriptionId",
            &[OTHER, SUBSCRIPTION, "leave it out"],
        ),
        (
            in_group("shared"),
            "spec.identity.managed.resourceGroup",
            &["shared", "operator", "spec.managedIdentities"],
        ),
        (
            as_managed(|identity| identity.location = Some("eastus".to_owned())),
            "spec.identity.managed.location",
            &["eastus", "westeurope"],
        ),
        (
            orders().existing(EXISTING),
            "spec.identity.existing.resourceId",
            &[EXISTING, no_policy, "spec.existingIdentities"],
        ),
        // The group in which the operator makes identities is not one whose identities anybody may bind.
        (
            orders().existing(&EXISTING.replace("/shared/", "/operator/")),
            "spec.identity.existing.resourceId",
            &["/operator/", no_policy],
        ),
        (
            orders().managed().role(SECRETS, VAULT),
            "spec.roleAssignments[].role",
            &[SECRETS, VAULT, no_policy, "spec.roles"],
        ),
    ];
    for (binding, field, parts) in cases {
        refused(binding.clone(), &[], field, parts);
        // One for another namespace is none.
        let elsewhere = policy("bank")
            .namespace("bank")
            .existing(EXISTING)
            .managed(place("shared"))
            .role(SECRETS, &[GROUP]);
        refused(binding, &[elsewhere], field, &["shop"]);
    }
}

#[test]
fn an_existing_identity_is_allowed_by_a_policy_in_any_case() {
    for id in [EXISTING.to_owned(), EXISTING.to_uppercase(), EXISTING.to_lowercase()] {
        let witness = allowed(
            orders().existing(&id),
            &[for_shop("shop").existing(EXISTING)],
            &["shop"],
        );
        assert_eq!(*witness.identity(), name(EXISTING));
    }
}

#[test]
fn a_refusal_says_what_the_policies_allow_instead_and_what_of_them_is_broken() {
    let other = EXISTING.replace("/shared/", "/prod/");
    let policies = [
        for_shop("b").existing(&EXISTING.replace("billing", "a*")),
        for_shop("a")
            .existing("/subscriptions/all")
            .role("No Such Role", &[GROUP]),
    ];
    refused(
        orders().existing(&other),
        &policies,
        "spec.identity.existing.resourceId",
        &[
            &other,
            "b allows",
            "userAssignedIdentities/a*",
            "spec.existingIdentities[0] of WorkloadIdentityPolicy a grants nothing",
        ],
    );
    let elsewhere = policy("c").namespace("bank").existing("/subscriptions/all");
    let policies = [for_shop("b"), elsewhere].map(PolicyBuilder::build);
    let why = ask(&orders().existing(EXISTING).build(), &config(), &policies, 0).unwrap_err();
    assert!(!why.message.contains("grants nothing"), "{}", why.message);
}

#[test]
fn a_managed_identity_is_allowed_where_a_policy_says() {
    let with = |change: fn(&mut ManagedIdentityPermission)| {
        let mut place = place("shared");
        change(&mut place);
        [for_shop("shop").managed(place)]
    };
    let named = |identity: &str| {
        let (group, identity) = ("Shared".to_owned(), identity.to_owned());
        as_managed(move |managed| {
            managed.resource_group = Some(group);
            managed.name = Some(identity);
        })
    };
    let free = with(|_| {});
    allowed(in_group("SHARED"), &free, &["shop"]);
    allowed(named("anything"), &free, &["shop"]);
    // By default it would be allowed, so no policy is needed.
    allowed(in_group("operator"), &free, &[]);

    let prefixed = with(|place| place.name_prefix = "shop-".to_owned());
    allowed(named("shop-orders"), &prefixed, &["shop"]);
    allowed(named("SHOP-orders"), &prefixed, &["shop"]);
    allowed(in_group("shared"), &prefixed, &["shop"]);
    let field = "spec.identity.managed.name";
    refused(
        named("shopping"),
        &prefixed,
        field,
        &["shopping", "with names that begin with shop-"],
    );
    refused(named("my-shop-"), &prefixed, field, &["my-shop-"]);

    let regions = with(|place| place.locations = Some(vec!["northeurope".to_owned()]));
    let there = as_managed(|managed| {
        managed.resource_group = Some("shared".to_owned());
        managed.location = Some("northeurope".to_owned());
    });
    allowed(there, &regions, &["shop"]);
    // The operator's own region is no exception.
    refused(
        in_group("shared"),
        &regions,
        "spec.identity.managed.location",
        &["westeurope", "northeurope"],
    );

    for near in ["shared-evil", "share", "ashared"] {
        refused(in_group(near), &free, "spec.identity.managed.resourceGroup", &[near]);
    }
    let there = as_managed(|managed| {
        managed.resource_group = Some("shared".to_owned());
        managed.subscription_id = Some(OTHER.to_owned());
    });
    refused(there, &free, "spec.identity.managed.subscriptionId", &[OTHER]);
}

#[test]
fn every_service_account_is_meant_by_a_policy_that_also_allows_the_identity() {
    let both = || orders().existing(EXISTING).service_account("mails");
    let orders_only = || for_shop("a").existing(EXISTING).service_account("orders");
    let field = "spec.serviceAccounts[1].name";
    refused(
        both(),
        &[orders_only()],
        field,
        &["mails", "WorkloadIdentityPolicy a", "orders"],
    );
    // One that means the account and does not allow the identity is no help.
    refused(
        both(),
        &[orders_only(), for_shop("b").service_account("mails")],
        field,
        &["mails"],
    );
    let mails = for_shop("b").existing(EXISTING).service_account("mail*");
    allowed(both(), &[mails.clone(), orders_only()], &["a", "b"]);
    // Those that mean none of the accounts are not named.
    let others = for_shop("c").existing(EXISTING).service_account("bills");
    allowed(both(), &[mails, orders_only(), others], &["a", "b"]);
    // By default the identity is everybody's.
    allowed(orders().managed().service_account("mails"), &[orders_only()], &[]);
}

#[test]
fn a_role_is_allowed_at_a_scope_and_below_it_by_whole_segments() {
    let management_group = "/providers/Microsoft.Management/managementGroups/shop";
    let secrets = "4633458b-17de-408a-b874-0445c86b69e6";
    let whole = format!("/subscriptions/{OTHER}/providers/Microsoft.Authorization/roleDefinitions/{secrets}");
    let custom = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let evil = format!("{GROUP}-evil");
    let cases: Vec<(&str, &str, &str, String, bool)> = vec![
        // the policy's role, the policy's scope, the asked role, the asked scope, whether that is allowed
        (SECRETS, GROUP, SECRETS, GROUP.to_owned(), true),
        (SECRETS, GROUP, SECRETS, VAULT.to_owned(), true),
        (
            SECRETS,
            GROUP,
            secrets,
            VAULT.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions"),
            true,
        ),
        (secrets, GROUP, "KEY VAULT secrets user", VAULT.to_owned(), true),
        (SECRETS, GROUP, &whole, VAULT.to_owned(), true),
        (custom, GROUP, custom, VAULT.to_owned(), true),
        (SECRETS, management_group, SECRETS, management_group.to_owned(), true),
        (SECRETS, &subscription, SECRETS, VAULT.to_owned(), true),
        // A neighbour whose name begins the same way.
        (SECRETS, GROUP, SECRETS, evil.clone(), false),
        (SECRETS, VAULT, SECRETS, format!("{VAULT}2"), false),
        (SECRETS, &evil, SECRETS, GROUP.to_owned(), false),
        // What is above.
        (SECRETS, VAULT, SECRETS, GROUP.to_owned(), false),
        (SECRETS, GROUP, SECRETS, subscription.clone(), false),
        (SECRETS, GROUP, SECRETS, management_group.to_owned(), false),
        // What a subscription lies in cannot be told from its id.
        (SECRETS, management_group, SECRETS, GROUP.to_owned(), false),
        (SECRETS, GROUP, SECRETS, GROUP.replace(SUBSCRIPTION, OTHER), false),
        // Another role.
        (SECRETS, GROUP, "Key Vault Secrets Officer", VAULT.to_owned(), false),
        (SECRETS, GROUP, custom, VAULT.to_owned(), false),
        (custom, GROUP, SECRETS, VAULT.to_owned(), false),
    ];
    for (role, scope, asked, at, permits) in cases {
        let binding = orders().managed().role(asked, &at);
        let policies = [for_shop("shop").role(role, &[scope])];
        if permits {
            let witness = allowed(binding, &policies, &["shop"]);
            let given = &witness.roles()[0];
            assert_eq!((given.definition(), given.scope()), (name(asked), &name(&at)));
        } else {
            let same = role.parse::<RoleDefinitionGuid>() == asked.parse();
            let field = if same { "scope" } else { "role" };
            let parts: &[&str] = if same {
                &[asked, &at, &format!("it at {scope}")]
            } else {
                &[asked, &at]
            };
            refused(binding, &policies, &format!("spec.roleAssignments[].{field}"), parts);
        }
    }
}

#[test]
fn a_policy_for_some_service_accounts_gives_its_roles_to_no_others() {
    let policies = [
        for_shop("mails").service_account("mails").role(SECRETS, &[GROUP]),
        for_shop("open").role("Reader", &[GROUP]),
    ];
    let field = "spec.serviceAccounts[0].name";
    refused(
        orders().managed().role(SECRETS, VAULT),
        &policies,
        field,
        &["orders", SECRETS, "mails"],
    );
    allowed(orders().managed().role("Reader", VAULT), &policies, &["open"]);
    let mails = || {
        wio_testkit::fixtures::binding("shop", "mails")
            .uid(UID)
            .service_account("mails")
            .managed()
    };
    allowed(
        mails().role(SECRETS, VAULT).role("Reader", GROUP),
        &policies,
        &["mails", "open"],
    );
}

#[test]
fn roles_that_manage_access_are_locked_whatever_a_policy_says() {
    for locked in LOCKED_ROLES {
        for written in [locked.to_string(), locked.built_in_name().unwrap().to_owned()] {
            let policies = [for_shop("shop").role(&written, &[GROUP]).build()];
            let binding = orders().managed().role(&written, GROUP).build();
            let refusal = ask(&binding, &config(), &policies, 0).unwrap_err();
            blames(refusal, "spec.roleAssignments[].role", &[&written, "locks it"]);
            let unlocked = OperatorConfig {
                unlocked_roles: BTreeSet::from([locked]),
                ..config()
            };
            assert_eq!(ask(&binding, &unlocked, &policies, 0).unwrap().roles().len(), 1);
            // Unlocking is no permission.
            ask(&binding, &unlocked, &[], 0).unwrap_err();
        }
    }
}

/// Contributor where identities stand writes a federated credential on every team's identity.
#[test]
fn roles_that_reach_identities_are_locked_there_whatever_a_policy_says() {
    let sub = format!("/subscriptions/{SUBSCRIPTION}");
    let group = |name: &str| format!("{sub}/resourceGroups/{name}");
    let management = "/providers/Microsoft.Management/managementGroups/contoso";
    let guarded = OperatorConfig {
        protected_identities: vec![name(EXISTING)],
        protected_groups: vec![name(&group("MC_größe"))],
        ..config()
    };
    let refused = |role: &str, scope: &str, config: &OperatorConfig| {
        let policies = [for_shop("all").role(role, &[management, &sub, scope]).build()];
        ask(&orders().managed().role(role, scope).build(), config, &policies, 0).err()
    };
    for role in ROLES_LOCKED_AT_IDENTITIES {
        for written in [role.to_string(), role.built_in_name().unwrap().to_owned()] {
            for scope in [
                management.to_owned(),
                sub.clone(),
                sub.to_uppercase(),
                group("OPERATOR"),
                group("operator") + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders",
                group("mc_GRÖSSE"),
                group("shared"),
                EXISTING.to_owned(),
            ] {
                let refusal = refused(&written, &scope, &guarded).unwrap_or_else(|| panic!("{written} at {scope}"));
                blames(
                    refusal,
                    "spec.roleAssignments[].scope",
                    &[&written, &scope, "locks it there"],
                );
            }
            for scope in [
                group("shop"),
                group("operators"),
                format!("/subscriptions/{OTHER}"),
                format!("/subscriptions/{OTHER}/resourceGroups/operator"),
                sub.clone() + "/providers/Microsoft.KeyVault/vaults/one",
            ] {
                assert_eq!(refused(&written, &scope, &guarded), None, "{written} at {scope}");
            }
            let unlocked = OperatorConfig {
                unlocked_roles: BTreeSet::from([role]),
                ..guarded.clone()
            };
            assert_eq!(refused(&written, &sub, &unlocked), None);
        }
    }
    assert_eq!(refused("Reader", &sub, &guarded), None);
}

#[test]
fn the_clusters_own_identities_are_protected_whatever_a_policy_says() {
    let nodes = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/MC_größe");
    let guarded = OperatorConfig {
        protected_identities: vec![name(EXISTING)],
        protected_groups: vec![name(&nodes)],
        ..config()
    };
    let everything = [for_shop("shop")
        .existing("/subscriptions/*/resourceGroups/*/providers/Microsoft.ManagedIdentity/userAssignedIdentities/*")
        .managed(place("mc_GRÖßE"))
        .build()];
    let kubelet = |group: &str| {
        format!(
            "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/kubelet",
            nodes.replace("MC_größe", group)
        )
    };
    for id in [
        EXISTING.to_owned(),
        EXISTING.to_uppercase(),
        kubelet("MC_größe"),
        kubelet("mc_grÖße"),
        kubelet("MC_GRÖSSE"),
    ] {
        let refusal = ask(&orders().existing(&id).build(), &guarded, &everything, 0).unwrap_err();
        blames(
            refusal,
            "spec.identity.existing.resourceId",
            &["protects", "use another identity"],
        );
    }
    let refusal = ask(&in_group("MC_größe").build(), &guarded, &everything, 0).unwrap_err();
    blames(refusal, "spec.identity.managed.resourceGroup", &["protects"]);
    for id in [EXISTING.replace("billing", "billing2"), kubelet("MC_groesse")] {
        ask(&orders().existing(&id).build(), &guarded, &everything, 0).unwrap();
    }
    // Also what the operator itself made there before.
    let own = OperatorConfig {
        protected_groups: vec![config().group],
        ..config()
    };
    ask(&orders().managed().build(), &own, &everything, 0).unwrap_err();
}

#[test]
fn a_namespace_has_no_more_identities_and_roles_than_its_highest_limits() {
    let asks = |binding: BindingBuilder, before: (usize, usize), policies: &[PolicyBuilder]| {
        let policies: Vec<_> = policies.iter().cloned().map(PolicyBuilder::build).collect();
        let before = Usage {
            managed_identities: before.0,
            role_assignments: before.1,
            ..Usage::default()
        };
        let object = binding.build();
        authorize(
            &spec_of(&object),
            &parsed(&object),
            &before,
            &rules_by(config(), &policies),
        )
    };
    let identities = |name: &str, max| for_shop(name).max_managed_identities(max);
    asks(orders().managed(), (2, 0), &[identities("a", 3)]).unwrap();
    asks(orders().managed(), (3, 0), &[identities("a", 3), identities("b", 4)]).unwrap();
    blames(
        asks(orders().managed(), (3, 0), &[identities("a", 3)]).unwrap_err(),
        "spec.identity.managed",
        &[
            "hold 3 managed identities by WorkloadIdentityPolicy a",
            "hold them all",
            "spec.maxManagedIdentities",
        ],
    );
    let shared = for_shop("shared").existing(EXISTING);
    asks(orders().existing(EXISTING), (9, 0), &[identities("a", 0), shared]).unwrap();

    let roles = |max| for_shop("a").role(SECRETS, &[GROUP]).max_role_assignments(max);
    let two = || orders().managed().role(SECRETS, GROUP).role(SECRETS, VAULT);
    asks(two(), (0, 3), &[roles(5)]).unwrap();
    blames(
        asks(two(), (0, 4), &[roles(5)]).unwrap_err(),
        "spec.roleAssignments",
        &[
            "hold 5 role assignments",
            "older bindings hold 4",
            "asks for 2",
            "spec.maxRoleAssignments",
        ],
    );
    asks(orders().managed(), (0, 9), &[roles(0)]).unwrap();
}

#[test]
fn a_namespace_holds_no_more_credentials_than_its_highest_limit() {
    let two = || orders().managed().service_account("mails").build();
    let limit = |name: &str, max| for_shop(name).max_federated_credentials(max).build();
    ask(&two(), &config(), &[limit("a", 5)], 3).unwrap();
    let refusal = ask(&two(), &config(), &[limit("a", 5)], 4).unwrap_err();
    blames(
        refusal,
        "spec.serviceAccounts",
        &["hold 5", "WorkloadIdentityPolicy a", "hold 4", "asks for 2"],
    );
    ask(&two(), &config(), &[limit("a", 5), limit("b", 6)], 4).unwrap();
    ask(&two(), &config(), &[limit("a", 5), for_shop("b").build()], 4).unwrap_err();
    ask(&two(), &config(), &[for_shop("b").build()], usize::MAX).unwrap();
    ask(&two(), &config(), &[limit("a", 0)], 0).unwrap_err();
    // One for another namespace does not count.
    let elsewhere = policy("c").namespace("bank").max_federated_credentials(0).build();
    ask(&two(), &config(), &[elsewhere], 9).unwrap();
}

#[test]
fn taking_over_is_allowed_where_a_policy_says_so_for_every_service_account() {
    let adopting = |group: &str| {
        for_shop("shop").managed(ManagedIdentityPermission {
            adopt: true,
            ..place(group)
        })
    };
    let asking = || as_managed(|managed| managed.adopt = true);
    assert!(allowed(asking(), &[adopting("operator")], &["shop"]).may_adopt());
    assert!(!allowed(asking(), &[adopting("shared")], &[]).may_adopt());
    assert!(!allowed(asking(), &[for_shop("shop").managed(place("operator"))], &[]).may_adopt());
    assert!(!allowed(asking(), &[adopting("operator").service_account("mails")], &[]).may_adopt());
    // Who does not ask needs no policy.
    allowed(orders().managed(), &[adopting("operator")], &[]);
    // What somebody else owns is bound, never taken over.
    let both = adopting("shared").existing(EXISTING);
    assert!(!allowed(orders().existing(EXISTING), &[both], &["shop"]).may_adopt());
}

#[test]
fn a_relabelled_or_renamed_namespace_is_another_one() {
    let open = policy("open").selector(wio_api::NamespaceSelector {
        match_labels: [("team".to_owned(), "shop".to_owned())].into(),
        ..wio_api::NamespaceSelector::default()
    });
    let policies = [open.existing(EXISTING).build()];
    let binding = existing(&["orders"]);
    let ask = |labels: &[(&str, &str)]| {
        let namespace = NamespaceFacts {
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..shop()
        };
        let rules = Rules {
            namespace,
            ..rules_by(config(), &policies)
        };
        crate::given::ask(&binding, &rules, 0)
    };
    ask(&[("team", "shop")]).unwrap();
    ask(&[("team", "bank")]).unwrap_err();
    ask(&[("Team", "shop")]).unwrap_err();
    ask(&[]).unwrap_err();
}
