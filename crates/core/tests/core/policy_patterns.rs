//! Patterns: what they mean, and that admission takes exactly those that the core can parse.

use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use proptest::prelude::*;
use serde_json::{Value, json};
use wio_core::names::{IdentityId, Scope, ServiceAccountName};
use wio_core::policy::{IdentityPattern, ServiceAccountPattern};

use crate::given::{EXISTING, SUBSCRIPTION, cases, name};

const OTHER: &str = "11111111-2222-4333-8444-555555555555";

fn id(group: &str, identity: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}"
    )
}

#[test]
fn an_identity_is_matched_segment_by_segment() {
    let case = |group: &str, identity: &str, asked_group: &str, asked: &str, means| {
        (id(group, identity), id(asked_group, asked), means)
    };
    let cases = [
        case("team-a", "orders", "team-a", "orders", true),
        case("team-a", "orders", "TEAM-A", "Orders", true),
        case("TEAM-A", "Orders", "team-a", "orders", true),
        // Names that begin or end the same way.
        case("team-a", "orders", "team-a-evil", "orders", false),
        case("team-a", "orders", "team", "orders", false),
        case("team-a", "orders", "team-a", "orders2", false),
        case("team-a", "orders", "team-a", "my-orders", false),
        // Wildcards.
        case("team-a", "*", "team-a", "anything", true),
        case("team-a", "*", "team-a-evil", "anything", false),
        case("team-a", "orders-*", "team-a", "orders-v2", true),
        case("team-a", "orders-*", "team-a", "orders-", true),
        case("team-a", "orders-*", "team-a", "orders", false),
        case("team-a", "*-orders", "team-a", "my-ORDERS", true),
        case("team-a", "*-orders", "team-a", "my-orders2", false),
        case("team-a", "*orders*", "team-a", "my-orders-2", true),
        case("team-a", "*orders*", "team-a", "order", false),
        case("team-*", "orders", "team-b", "orders", true),
        case("team-*", "orders", "my-team-b", "orders", false),
        case("*", "orders", "anybody", "orders", true),
        case("*", "orders", "anybody", "orders2", false),
        // A dot and parentheses mean themselves.
        case("a.b", "orders", "a.b", "orders", true),
        case("a.b", "orders", "axb", "orders", false),
        case("a(1)", "orders", "a(1)", "orders", true),
        (
            id("a", "orders").replace(SUBSCRIPTION, "*"),
            id("a", "orders").replace(SUBSCRIPTION, OTHER),
            true,
        ),
        (id("a", "orders"), id("a", "orders").replace(SUBSCRIPTION, OTHER), false),
        (id("a", "orders").to_uppercase(), id("a", "orders").to_lowercase(), true),
    ];
    for (pattern, asked, means) in cases {
        let parsed: IdentityPattern = name(&pattern);
        assert_eq!(parsed.matches(&name(&asked)), means, "{pattern} and {asked}");
    }
}

#[test]
fn a_service_account_is_matched_by_its_whole_name() {
    for (pattern, account, means) in [
        ("orders", "orders", true),
        ("orders", "orders2", false),
        ("orders", "my-orders", false),
        ("orders-*", "orders-v2", true),
        ("orders-*", "orders", false),
        ("*-orders", "my-orders", true),
        ("*-orders", "my-orders.v2", false),
        ("*orders*", "my-orders.v2", true),
        ("*", "anything.at-all", true),
        ("a.b", "a.b", true),
        ("a.b", "axb", false),
    ] {
        let parsed: ServiceAccountPattern = name(pattern);
        let account: ServiceAccountName = name(account);
        assert_eq!(parsed.matches(&account), means, "{pattern} and {account}");
    }
}

/// The rules of a policy's schema. Compiling them takes far longer than asking them.
fn rules() -> CompiledSchema {
    compile_schema(&json!(
        wio_api::policy_crd().spec.versions[0]
            .schema
            .as_ref()
            .unwrap()
            .open_api_v3_schema
    ))
}

thread_local! {
    static RULES: CompiledSchema = rules();
}

/// Whether admission takes a policy.
fn admitted(spec: &Value) -> bool {
    let verdict = RULES.with(|rules| Validator::new().validate_compiled(rules, &json!({"spec": spec}), None));
    let Err(errors) = verdict else {
        return true;
    };
    for error in errors.into_vec() {
        assert_eq!(error.kind, ErrorKind::ValidationFailure, "{error:?}");
    }
    false
}

fn policy_with(field: &str, value: &Value) -> Value {
    json!({"namespaces": {"names": ["shop"]}, field: value})
}

#[track_caller]
fn same_verdict<T: std::str::FromStr>(field: &str, wrap: fn(&str) -> Value, text: &str, good: bool) {
    assert_eq!(text.parse::<T>().is_ok(), good, "the core: {text:?}");
    assert_eq!(admitted(&policy_with(field, &wrap(text))), good, "admission: {text:?}");
}

#[test]
fn admission_and_the_core_refuse_the_same_identity_patterns() {
    let ids = |text: &str| json!([text]);
    for good in [
        EXISTING.to_owned(),
        EXISTING.to_uppercase(),
        id("*", "*"),
        id("team-*", "orders-*"),
        id("*-team", "*-orders"),
        id("*team*", "*orders*"),
        id("größe*", "abc"),
        id("a..b", "abc"),
        id("a.*", "a*"),
        EXISTING.replace(SUBSCRIPTION, "*"),
    ] {
        same_verdict::<IdentityPattern>("existingIdentities", ids, &good, true);
    }
    for bad in [
        String::new(),
        "*".to_owned(),
        "/".to_owned(),
        EXISTING.trim_start_matches('/').to_owned(),
        format!("{EXISTING}/"),
        format!("{EXISTING}/*"),
        format!("{EXISTING}\n"),
        format!(" {EXISTING}"),
        format!("https://management.azure.com{EXISTING}"),
        EXISTING.replace("/providers/", "/*/"),
        EXISTING.replace("userAssignedIdentities", "*"),
        EXISTING.replace(SUBSCRIPTION, "6f2e*"),
        EXISTING.replace(SUBSCRIPTION, "00000000-0000-0000-0000-000000000000"),
        EXISTING.replace(SUBSCRIPTION, ""),
        id("", "orders"),
        id("..", "orders"),
        id(".", "orders"),
        id("..*", "orders"),
        id("*..", "orders"),
        id("*.*", "orders"),
        id("team.", "orders"),
        id("*team.", "orders"),
        id("te*am", "orders"),
        id("**", "orders"),
        id("team/../other", "orders"),
        id("te%61m", "orders"),
        id("te am", "orders"),
        id("team?x", "orders"),
        id("team", ""),
        id("team", ".."),
        id("team", "a"),
        id("team", "or*ders"),
        id("team", "**"),
        id("team", "-orders*"),
        id("team", "orders%2f*"),
        id("team", "orders.*"),
        id("team", "ördërs*"),
    ] {
        same_verdict::<IdentityPattern>("existingIdentities", ids, &bad, false);
    }
}

#[test]
fn admission_and_the_core_refuse_the_same_service_account_patterns() {
    let accounts = |text: &str| json!([text]);
    for good in [
        "a",
        "orders",
        "orders.v2",
        "*",
        "orders-*",
        "orders.*",
        "*-orders",
        "*.v2",
        "*-orders-*",
        "a*",
    ] {
        same_verdict::<ServiceAccountPattern>("serviceAccounts", accounts, good, true);
    }
    for bad in [
        "",
        "**",
        "or*ders",
        "Orders",
        "-a",
        "a-",
        "-a*",
        "*a-",
        ".a",
        "a..b",
        "a..*",
        "shop/orders",
        "a b",
        "a:*",
        "*\n",
        "?",
    ] {
        same_verdict::<ServiceAccountPattern>("serviceAccounts", accounts, bad, false);
    }
}

#[test]
fn admission_and_the_core_refuse_the_same_scopes() {
    let roles = |text: &str| json!([{"role": "Reader", "scopes": [text]}]);
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/shop");
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/orders");
    for good in [
        format!("/subscriptions/{SUBSCRIPTION}"),
        group.clone(),
        vault.clone(),
        vault.to_uppercase(),
        format!("{vault}/secrets/one"),
        format!("{vault}/providers/Microsoft.X/things/one"),
        format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.X/things/one"),
        "/providers/Microsoft.Management/managementGroups/shop".to_owned(),
    ] {
        same_verdict::<Scope>("roles", roles, &good, true);
    }
    for bad in [
        String::new(),
        "/".to_owned(),
        "*".to_owned(),
        "/subscriptions/*".to_owned(),
        "/subscriptions/shop".to_owned(),
        "/providers/Microsoft.Authorization/roleDefinitions/x".to_owned(),
        "/providers/Microsoft.Management/managementGroups/shop/more".to_owned(),
        format!("{group}*"),
        format!("{group}/"),
        format!("{group}//x"),
        format!("{group}/.."),
        format!("{group}/providers"),
        format!("{group}/providers/Microsoft.KeyVault"),
        format!("{group}/providers/Microsoft.KeyVault/vaults"),
        format!("{group}/providers/Microsoft.KeyVault/vaults/.."),
        format!("{group}/providers/Microsoft.KeyVault/vaults/%2e%2e"),
        format!("{group}/providers/Microsoft.X/providers/y"),
        format!("{group}/providers/Microsoft.X/a/b/providers/y"),
        format!("{group}/providers/Microsoft.X/a/providers"),
        format!("{vault}/secrets"),
        format!("{vault}'s"),
        format!("{vault}\n"),
        format!("{vault} "),
        format!("{vault}\u{a0}x"),
        format!("{vault}?x=y"),
    ] {
        same_verdict::<Scope>("roles", roles, &bad, false);
    }
}

fn any_case(text: &str) -> impl Strategy<Value = String> + use<> {
    let text = text.to_owned();
    prop::collection::vec(any::<bool>(), text.chars().count()).prop_map(move |upper| {
        let flip = |(c, upper): (char, bool)| {
            if upper {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        };
        text.chars().zip(upper).map(flip).collect()
    })
}

fn any_id() -> impl Strategy<Value = String> {
    ("[a-c.(]{0,2}[a-c]", "[a-c][a-c-]{2,4}").prop_map(|(group, identity)| id(&group, &identity))
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn without_a_wildcard_a_pattern_means_exactly_its_id_in_any_case(
        (pattern, other) in (any_id(), any_id()), (same, parsed) in any_id().prop_flat_map(|id| (any_case(&id), any_case(&id))),
    ) {
        let exact: IdentityPattern = name(&same);
        prop_assert!(exact.matches(&name(&parsed)));
        let pattern_of_one: IdentityPattern = name(&pattern);
        let (one, other): (IdentityId, IdentityId) = (name(&pattern), name(&other));
        prop_assert_eq!(pattern_of_one.matches(&other), one == other);
    }

    #[test]
    fn a_pattern_written_again_means_the_same(group in "[*]?[a-c]{1,2}[*]?", identity in "[*]?[a-c]{3}[*]?", asked in any_id()) {
        let pattern: IdentityPattern = name(&id(&group, &identity));
        let again: IdentityPattern = name(&pattern.to_string());
        prop_assert_eq!(&again, &pattern);
        let asked: IdentityId = name(&asked);
        prop_assert_eq!(again.matches(&asked), pattern.matches(&asked));
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn whatever_is_written_admission_and_the_core_agree(
        group in "[a-b*.%/ ]{0,4}", identity in "[a-b*.-]{0,4}", account in "[a-b*.-]{0,5}", tail in "(/[a-b.]{0,2}){0,4}",
    ) {
        let pattern = id(&group, &identity);
        prop_assert_eq!(
            admitted(&policy_with("existingIdentities", &json!([&pattern]))),
            pattern.parse::<IdentityPattern>().is_ok(),
            "{}", pattern
        );
        prop_assert_eq!(
            admitted(&policy_with("serviceAccounts", &json!([&account]))),
            account.parse::<ServiceAccountPattern>().is_ok(),
            "{}", account
        );
        let scope = format!("/subscriptions/{SUBSCRIPTION}{tail}");
        prop_assert_eq!(
            admitted(&policy_with("roles", &json!([{"role": "Reader", "scopes": [&scope]}]))),
            scope.parse::<Scope>().is_ok(),
            "{}", scope
        );
    }
}
