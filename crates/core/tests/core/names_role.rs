//! Roles, scopes and the names of role assignments.

use std::collections::HashSet;

use proptest::prelude::*;
use wio_core::names::{RoleDefinitionGuid, Scope, role_assignment_name};

use crate::given::{CLUSTER, ROLES, SUBSCRIPTION, VAULT, cases, name};
use crate::names::table;

const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";

fn scope(text: &str) -> Scope {
    name(text)
}

#[test]
fn a_role_is_meant_by_its_guid_its_name_or_its_id_in_any_case() {
    for text in [
        SECRETS_USER,
        "4633458B-17DE-408A-B874-0445C86B69E6",
        "Key Vault Secrets User",
        "key vault SECRETS user",
        &format!("/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}"),
        &format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}"),
        &format!("/SUBSCRIPTIONS/{SUBSCRIPTION}/PROVIDERS/microsoft.authorization/roledefinitions/{SECRETS_USER}"),
    ] {
        let role: RoleDefinitionGuid = name(text);
        assert_eq!(role.to_string(), SECRETS_USER, "{text}");
        assert_eq!(role.built_in_name(), Some("Key Vault Secrets User"));
    }
    let custom: RoleDefinitionGuid = name("0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f77");
    assert_eq!(custom.built_in_name(), None);
    assert_eq!(custom.as_uuid().to_string(), custom.to_string());
    assert_eq!(
        name::<RoleDefinitionGuid>("Azure AI User"),
        name("Foundry User"),
        "it was renamed"
    );
}

#[test]
fn what_means_no_role_is_refused_with_what_would() {
    table::<RoleDefinitionGuid>(
        &[SECRETS_USER],
        &[
            "",
            "Key Vault Secret User",
            " Reader",
            "Reader ",
            "Reader\n",
            "4633458b17de408ab8740445c86b69e6",
            "{4633458b-17de-408a-b874-0445c86b69e6}",
            "00000000-0000-0000-0000-000000000000",
            "/Reader",
            &format!("providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}"),
            &format!("//providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}"),
            &format!("/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}/"),
            &format!("/providers/Microsoft.Authorization/roleDefinitions/../{SECRETS_USER}"),
            &format!("/subscriptions/shop/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}"),
            &format!(
                "/subscriptions/{SUBSCRIPTION}/x/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_USER}"
            ),
            &format!("/providers/Microsoft.Authorization/roleAssignments/{SECRETS_USER}"),
            "/providers/Microsoft.Authorization/roleDefinitions/Reader",
        ],
    );
    let unknown = "Orders Reader".parse::<RoleDefinitionGuid>().unwrap_err().to_string();
    assert!(
        unknown.contains("GUID") && unknown.contains("\"Orders Reader\""),
        "{unknown}"
    );
}

#[test]
fn every_built_in_role_has_one_guid_and_is_known_by_its_name_in_any_case() {
    const LIST: &str = include_str!("../../src/names/built_in_roles.tsv");
    let mut known = 0;
    for line in LIST.lines().filter(|line| !line.starts_with('#')) {
        let (guid, names) = line.split_once('\t').unwrap();
        let role: RoleDefinitionGuid = name(guid);
        for text in names.split('\t').filter(|text| !text.contains('/')) {
            assert_eq!(name::<RoleDefinitionGuid>(text), role, "{text}");
            assert_eq!(name::<RoleDefinitionGuid>(&text.to_uppercase()), role, "{text}");
            assert!(role.built_in_names().any(|own| own == text), "{text}");
            known += 1;
        }
        assert_eq!(
            role.built_in_name(),
            names.split('\t').find(|text| !text.contains('/')),
            "{guid}"
        );
    }
    assert!(known > 490, "{known}");
}

#[test]
fn a_slip_in_a_name_is_told_with_the_name_that_was_meant() {
    for (slip, meant) in [
        ("Key Vault Secret User", "Key Vault Secrets User"),
        ("key vault secrets users", "Key Vault Secrets User"),
        ("KeyVault Secrets User", "Key Vault Secrets User"),
        ("Storage Blob Data Raeder", "Storage Blob Data Reader"),
        ("ArcPull", "AcrPull"),
    ] {
        let refused = slip.parse::<RoleDefinitionGuid>().unwrap_err().to_string();
        assert!(refused.contains(&format!("did you mean \"{meant}\"?")), "{refused}");
    }
    // Four slips: at the beginning, and at the end; and two in six letters.
    let many = ["ey Vault Sacrats Usar", "Kay Vault Sacrats Userx", "AcrPxl"];
    for nothing in ["Orders Reader", "Rdr", "", "Own", &"x".repeat(512)]
        .into_iter()
        .chain(many)
    {
        let refused = nothing.parse::<RoleDefinitionGuid>().unwrap_err().to_string();
        assert!(!refused.contains("did you mean"), "{refused}");
    }
}

/// The three that nobody is given unless the operator's configuration unlocks them must be the ones that the names mean.
#[test]
fn the_roles_over_everybodys_access_are_known_by_name() {
    for (role, text) in [
        (RoleDefinitionGuid::OWNER, "Owner"),
        (
            RoleDefinitionGuid::USER_ACCESS_ADMINISTRATOR,
            "User Access Administrator",
        ),
        (
            RoleDefinitionGuid::RBAC_ADMINISTRATOR,
            "Role Based Access Control Administrator",
        ),
    ] {
        assert_eq!(name::<RoleDefinitionGuid>(text), role);
        assert_eq!(role.built_in_name(), Some(text));
    }
}

#[test]
fn scopes() {
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let group = format!("{subscription}/resourceGroups/shop");
    table::<Scope>(
        &[
            &subscription,
            &group,
            VAULT,
            &format!("{VAULT}/secrets/a..b"),
            &format!("{subscription}/providers/Microsoft.KeyVault/vaults/orders"),
            &format!("{VAULT}/providers/Microsoft.Insights/diagnosticSettings/all"),
            "/providers/Microsoft.Management/managementGroups/shop",
            &format!("{group}{}", "p".repeat(1024 - group.len())),
            &format!("/SUBSCRIPTIONS/{}/RESOURCEGROUPS/Größe", SUBSCRIPTION.to_uppercase()),
        ],
        &[
            "",
            "/",
            "*",
            "/subscriptions",
            "/subscriptions/",
            "/subscriptions/shop",
            "/subscriptions/00000000-0000-0000-0000-000000000000",
            subscription.trim_start_matches('/'),
            &format!("{subscription}/"),
            &format!("{subscription}//resourceGroups/shop"),
            &format!("{subscription}/resourceGroups"),
            &format!("{subscription}/resourceGroups/shop/orders"),
            &format!("{subscription}/resourceGroups/*"),
            &format!("{group}/../payments"),
            &format!("{group}/providers/Microsoft.KeyVault/vaults/.."),
            &format!("{group}/providers/Microsoft.KeyVault/vaults/..."),
            &format!("{group}/providers/Microsoft.KeyVault/vaults/."),
            &format!("{group}/providers/Microsoft.KeyVault/vaults"),
            &format!("{group}/providers/Microsoft.KeyVault"),
            &format!("{group}/providers"),
            &format!("{VAULT}/"),
            &format!("{VAULT}/secrets"),
            &format!("{VAULT}/providers"),
            &format!("{subscription}/resources/Microsoft.KeyVault/vaults/orders"),
            &format!("{group}/resources/Microsoft.KeyVault/vaults/orders"),
            &format!("{VAULT}/providers/Microsoft.Insights"),
            &VAULT.replace("orders", "orders%2f.."),
            &VAULT.replace("orders", "ord ers"),
            &VAULT.replace("orders", "ord\u{a0}ers"),
            &VAULT.replace("orders", "orders?x"),
            &VAULT.replace("orders", "orders#x"),
            &VAULT.replace("orders", "orders\\x"),
            &VAULT.replace("orders", "orders\n"),
            "/providers/Microsoft.Management/managementGroups",
            "/providers/Microsoft.Management/others/shop",
            "/providers/Microsoft.Other/managementGroups/shop",
            "/providers/Microsoft.Management/managementGroups/shop/x",
            "/providers/Microsoft.Authorization/roleDefinitions/x",
            &format!("{group}{}", "p".repeat(1025 - group.len())),
        ],
    );
}

#[test]
fn a_scope_is_below_another_by_whole_segments_in_any_case() {
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let below = |lower: &str, upper: &str| scope(lower).is_at_or_below(&scope(upper));
    let group = |name: &str| format!("{subscription}/resourceGroups/{name}");
    assert!(below(&group("team-a"), &group("TEAM-A")));
    assert!(below(VAULT, &group("shop")));
    assert!(below(VAULT, &subscription));
    assert!(below(VAULT, &VAULT.to_uppercase()));
    assert!(
        !below(&group("team-a-evil"), &group("team-a")),
        "a longer name is another group"
    );
    assert!(!below(&group("team-a"), &group("team-a-evil")));
    assert!(!below(&subscription, &group("team-a")), "what is above is not below");
    assert!(!below(&group("shop"), VAULT));
    assert!(!below(VAULT, "/providers/Microsoft.Management/managementGroups/shop"));
}

#[test]
fn a_scope_knows_where_a_list_shows_it() {
    for (text, root) in [
        (VAULT, format!("/subscriptions/{SUBSCRIPTION}")),
        (
            "/providers/Microsoft.Management/managementGroups/shop",
            "/providers/Microsoft.Management/managementGroups/shop".to_owned(),
        ),
    ] {
        assert_eq!(scope(text).root(), scope(&root));
    }
    assert_eq!(scope(VAULT).subscription(), Some(name(SUBSCRIPTION)));
    assert_eq!(scope(ROLES[4].1).subscription(), None);
}

/// Azure answers with a scope in another case than was sent, and our own assignment must not become a foreign one by that.
#[test]
fn an_assignments_name_disregards_case_and_differs_with_everything_else() {
    let derived = |cluster: &str, namespace: &str, binding: &str, at: &str, principal: &str, role: &str| {
        role_assignment_name(
            (&name(cluster), &name(namespace), &name(binding)),
            &scope(at),
            name(principal),
            name(role),
        )
    };
    let (one, two) = (
        "1a2b3c4d-0000-4000-8000-0000000091c1",
        "1a2b3c4d-0000-4000-8000-0000000091c2",
    );
    let ours = derived(CLUSTER, "shop", "orders", VAULT, one, SECRETS_USER);
    assert_eq!(
        ours,
        derived(
            CLUSTER,
            "shop",
            "orders",
            &VAULT.to_uppercase(),
            &one.to_uppercase(),
            "key vault secrets user"
        )
    );
    assert_eq!(ours.as_uuid().get_version_num(), 5);
    let names = HashSet::from([
        ours,
        derived("another", "shop", "orders", VAULT, one, SECRETS_USER),
        derived(CLUSTER, "shop2", "orders", VAULT, one, SECRETS_USER),
        derived(CLUSTER, "shop", "orders2", VAULT, one, SECRETS_USER),
        derived(CLUSTER, "shop-orders", "a", VAULT, one, SECRETS_USER),
        derived(CLUSTER, "shop", "orders-a", VAULT, one, SECRETS_USER),
        derived(CLUSTER, "shop", "orders", &format!("{VAULT}2"), one, SECRETS_USER),
        derived(CLUSTER, "shop", "orders", VAULT, two, SECRETS_USER),
        derived(CLUSTER, "shop", "orders", VAULT, one, "Reader"),
    ]);
    assert_eq!(names.len(), 9);
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn what_parses_as_a_scope_is_sent_to_exactly_that_path(
        segments in prop::collection::vec("[a-zA-Z.%/ ?#*\\\\()_~|@:-]{0,4}|\\.\\.|%2e%2e", 1..6),
    ) {
        let text = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{}", segments.join("/"));
        let Ok(parsed) = text.parse::<Scope>() else { return Ok(()) };
        let mut url = url::Url::parse("https://management.azure.com").unwrap();
        url.path_segments_mut().unwrap().clear().extend(parsed.segments());
        prop_assert_eq!(url.path().split('/').count(), text.split('/').count(), "{}", url);
        // Dots are no way up when anything is beside them: `(..` is a name.
        prop_assert!(!url.path().split('/').any(|segment| segment == ".." || segment == "."), "{}", url);
        prop_assert!(url.query().is_none() && url.fragment().is_none());
    }
}
