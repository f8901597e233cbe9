//! Every name parses by its rule and by no other, and derived names are nobody else's.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use wio_core::names::{
    Audience, BindingName, BindingUid, ChosenIdentityName, ClientId, ClusterId, CredentialName, CredentialPrefix,
    IdentityId, IdentityName, InvalidName, Issuer, Location, Namespace, PrincipalId, ResourceGroupId,
    ResourceGroupName, RoleDefinitionGuid, Scope, ServiceAccountName, ServiceAccountUid, Subject, SubscriptionId,
    TenantId, binding_tag, credential_name, identity_name, is_identity_name, role_assignment_name,
};

use crate::given::{cases, name};

const GUID: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
const IDENTITY: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop/providers/\
                        Microsoft.ManagedIdentity/userAssignedIdentities/orders";

#[track_caller]
pub fn table<T: FromStr<Err = InvalidName> + Display + Debug>(good: &[&str], bad: &[&str]) {
    for text in good {
        assert_eq!(
            &text.parse::<T>().unwrap_or_else(|error| panic!("{error}")).to_string(),
            text
        );
    }
    for text in bad {
        let error = match text.parse::<T>() {
            Ok(_) => panic!("{text:?} parsed"),
            Err(error) => error.to_string(),
        };
        let begun: String = format!("{text:?}").chars().take(30).collect();
        assert!(
            error.starts_with(begun.trim_end_matches('"')),
            "{error} does not say which value it means"
        );
        assert!(
            error.contains("it must be "),
            "{error} does not say what would be right"
        );
        assert!(error.chars().count() < 400, "{error}");
    }
}

#[test]
fn identities_and_credentials() {
    let (longest, too_long) = ("a".repeat(128), "a".repeat(129));
    let bad = [
        "", "ab", "-ab", "_ab", "a.b", "a b", "a/b", "..", "a%2fb", "abc\n", "äbc", "ab\u{0}", "abcé", "a~b",
    ];
    let with = |more: &'static [&'static str]| [bad.as_slice(), more].concat();
    table::<IdentityName>(
        &["abc", "0-_", "A-1", "wib-shop", &longest],
        &[with(&[]), vec![&too_long]].concat(),
    );
    table::<ChosenIdentityName>(
        &["abc", "wib", "wibs-orders", "wib_orders", "my-wib-orders", &longest],
        &[
            with(&["wib-", "wib-shop", "WIB-shop", "Wib-shop-orders-5v47tcb6dry2gzmb"]),
            vec![&too_long],
        ]
        .concat(),
    );
    let (longest, too_long) = ("a".repeat(120), "a".repeat(121));
    table::<CredentialName>(
        &["abc", "0-_", "aks-identity-binding", &longest],
        &[with(&[]), vec![&too_long]].concat(),
    );
}

#[test]
fn resource_groups() {
    let (longest, too_long) = ("g".repeat(90), "g".repeat(91));
    let letters = "ß".repeat(90);
    table::<ResourceGroupName>(
        &[
            "a", "-", "_", "(x)", "a.b", ".a", "a..b", "größe", "東京", &longest, &letters,
        ],
        &[
            "",
            ".",
            "..",
            "a.",
            "a/b",
            "a b",
            "a%2fb",
            "a\\b",
            "a?b",
            "a#b",
            "a\n",
            "a\u{200b}b",
            "a:b",
            &too_long,
        ],
    );
}

#[test]
fn guids() {
    let bad = [
        "",
        "6f2e1c1d52a44d0c8d2f0c6a2d0b7a11",
        "{6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11}",
        "urn:uuid:6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11",
        "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a1",
        "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a1g",
        "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11 ",
        "6f2e1c1d_52a4_4d0c_8d2f_0c6a2d0b7a11",
        "00000000-0000-0000-0000-000000000000",
        "６f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b",
    ];
    table::<SubscriptionId>(&[GUID], &bad);
    table::<TenantId>(&[GUID], &bad);
    table::<ClientId>(&[GUID], &bad);
    table::<PrincipalId>(&[GUID], &bad);
    assert_eq!(
        name::<ClientId>(&GUID.to_uppercase()).to_string(),
        GUID,
        "written in one way only"
    );
}

#[test]
fn regions() {
    let too_long = "a".repeat(65);
    table::<Location>(
        &["westeurope", "usgovvirginia", "eastus2"],
        &["", "a", "West Europe", "WestEurope", "west-europe", &too_long],
    );
}

#[test]
fn kubernetes_names() {
    let (label, too_long) = ("a".repeat(63), "a".repeat(64));
    let edges = [
        "", "-a", "a-", "A", "a_b", "a b", "a/b", "ä", "a\n", "..", "a..b", ".a", "a.", "-",
    ];
    table::<Namespace>(
        &["a", "0", "a-b", "a--b", &label],
        &[edges.as_slice(), &["a.b", &too_long]].concat(),
    );
    let (longest, too_long) = (format!("{}.b", "a".repeat(251)), "a".repeat(254));
    let bad = [edges.as_slice(), &["a.-b", "a-.b", &too_long]].concat();
    table::<BindingName>(&["a", "a.b", "a-b.c", "1.2", &longest], &bad);
    table::<ServiceAccountName>(&["a", "a.b", "a-b.c", "default", &longest], &bad);
    let (longest, too_long) = ("a".repeat(64), "a".repeat(65));
    let bad = ["", "a b", "a/b", "a_b", "ä", "a\n", &too_long];
    table::<BindingUid>(&[GUID, "A-1", &longest], &bad);
    table::<ServiceAccountUid>(&[GUID], &bad);
    table::<ClusterId>(&[GUID], &bad);
}

#[test]
fn texts_of_trust() {
    let (longest, too_long) = ("a".repeat(600), "a".repeat(601));
    let bad = [
        "", " ", "a b", "a\tb", "a\n", "*", "a*", "a\u{0}b", "a\u{a0}b", &too_long,
    ];
    table::<Audience>(&["api://AzureADTokenExchange", "x", &longest], &bad);
    table::<Subject>(&["system:serviceaccount:shop:orders", &longest], &bad);
    let (longest, too_long) = (
        format!("https://e/{}", "a".repeat(590)),
        format!("https://e/{}", "a".repeat(591)),
    );
    table::<Issuer>(
        &[
            "https://oidc.example.net",
            "https://oidc.example.net/",
            "https://127.0.0.1:6443/a/B/",
            &longest,
        ],
        &[
            "",
            "https://",
            "ftp://a.example",
            "HTTPS://a.example",
            "oidc.example.net",
            "https://a b/",
            "https://*/",
            "https://a/\n",
            &too_long,
        ],
    );
}

/// A cluster's issuer and that issuer without its last slash are two issuers to Entra.
#[test]
fn texts_of_trust_are_compared_byte_for_byte() {
    assert_ne!(
        name::<Issuer>("https://a.example/"),
        name::<Issuer>("https://a.example")
    );
    assert_ne!(
        name::<Issuer>("https://a.example/X"),
        name::<Issuer>("https://a.example/x")
    );
    assert_ne!(
        name::<Audience>("api://AzureADTokenExchange"),
        name::<Audience>("api://azureadtokenexchange")
    );
}

#[test]
fn resource_ids() {
    let group = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop";
    table::<ResourceGroupId>(
        &[group],
        &[
            "",
            "/",
            "shop",
            group.trim_start_matches('/'),
            &format!("{group}/"),
            &format!("/{group}"),
            &format!("{group}/providers"),
            &group.replace("/shop", ""),
            &group.replace("/shop", "/.."),
            &group.replace("resourceGroups", "resource Groups"),
            &group.replace(GUID, "shop"),
        ],
    );
    let with = |from: &str, to: &str| IDENTITY.replace(from, to);
    table::<IdentityId>(
        &[IDENTITY],
        &[
            "",
            "/",
            "orders",
            group,
            IDENTITY.trim_start_matches('/'),
            &format!("{IDENTITY}/"),
            &format!("/{IDENTITY}"),
            &format!("{IDENTITY}/federatedIdentityCredentials/x"),
            &format!("{IDENTITY}?api-version=1"),
            &format!("{IDENTITY}#x"),
            &format!(" {IDENTITY}"),
            &format!("{IDENTITY}\n"),
            &format!("https://management.azure.com{IDENTITY}"),
            &with("/orders", "/.."),
            &with("/orders", "/a/../b"),
            &with("/orders", "/a%2fb"),
            &with("/orders", "/a%2Fb"),
            &with("/orders", ""),
            &with("/shop", "/.."),
            &with("/shop", "/shop/../other"),
            &with("/shop", "/shop%2f..%2fother"),
            &with("/shop", "//shop"),
            &with("/shop", "/"),
            &with("/shop", ""),
            &with("/", "\\"),
            &with("Microsoft.ManagedIdentity", "Microsoft.Compute"),
            &with("userAssignedIdentities", "systemAssignedIdentities"),
            &with("/resourceGroups/shop", ""),
            &with("subscriptions", "ſubscriptions"),
            &with("providers", "provider\u{212a}"),
            &with(GUID, "00000000-0000-0000-0000-000000000000"),
        ],
    );
}

#[test]
fn a_text_of_a_megabyte_is_refused_at_once_in_few_words() {
    let texts = [
        "a".repeat(1 << 20),
        "/".repeat(1 << 20),
        "\u{10ffff}".repeat(1 << 18),
        "a.".repeat(1 << 19),
        format!("{IDENTITY}{}", "/x".repeat(1 << 19)),
        format!("{}{IDENTITY}", "/x".repeat(1 << 19)),
        format!("https://{}", "a".repeat(1 << 20)),
    ];
    let started = Instant::now();
    for text in &texts {
        for error in everything(text).into_iter().flatten() {
            assert!(error.to_string().len() < 1200, "{error}");
        }
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// The text, parsed as everything there is.
fn everything(text: &str) -> Vec<Option<InvalidName>> {
    vec![
        text.parse::<IdentityId>().err(),
        text.parse::<ResourceGroupId>().err(),
        text.parse::<IdentityName>().err(),
        text.parse::<CredentialName>().err(),
        text.parse::<ResourceGroupName>().err(),
        text.parse::<SubscriptionId>().err(),
        text.parse::<Location>().err(),
        text.parse::<Namespace>().err(),
        text.parse::<BindingName>().err(),
        text.parse::<ServiceAccountName>().err(),
        text.parse::<BindingUid>().err(),
        text.parse::<Issuer>().err(),
        text.parse::<Audience>().err(),
        text.parse::<Scope>().err(),
        text.parse::<RoleDefinitionGuid>().err(),
    ]
}

fn any_namespace() -> impl Strategy<Value = Namespace> {
    "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?".prop_map(|text| name(&text))
}

/// A DNS subdomain of any legal length, of one part or of many.
fn any_subdomain() -> impl Strategy<Value = String> {
    let part = "[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?";
    let parts = prop::collection::vec(part, 1..30).prop_map(|parts| {
        let all: String = parts.join(".").chars().take(253).collect();
        all.trim_end_matches(['.', '-']).to_owned()
    });
    prop_oneof![3 => parts, 1 => "[a-z0-9]{253}", 1 => "[a-z0-9]([-a-z0-9]{251})[a-z0-9]"]
}

fn any_issuer() -> impl Strategy<Value = Issuer> {
    "https://[a-z]{1,60}\\.example(/[A-Za-z0-9-]{0,500})?/?".prop_map(|text| name(&text))
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn derived_names_keep_their_rules(
        cluster in "[A-Za-z0-9-]{1,64}", namespace in any_namespace(), binding in any_subdomain(),
        account in any_subdomain(), issuer in any_issuer(),
    ) {
        let (cluster, binding, account) = (name(&cluster), name(&binding), name(&account));
        let identity = identity_name(&cluster, &namespace, &binding);
        prop_assert_eq!(identity.as_str().parse(), Ok(identity.clone()));
        let prefix = CredentialPrefix::of(&cluster, &namespace, &binding);
        let credential = credential_name(&prefix, &account, &issuer);
        prop_assert_eq!(credential.as_str().parse(), Ok(credential.clone()));
        prop_assert!(prefix.owns(&credential));
        prop_assert!(prefix.owns(&name(&credential.as_str().to_uppercase())));
        let tag = binding_tag(&namespace, &binding);
        prop_assert!(tag.len() <= 256, "Azure refuses {}", tag);
        let subject = Subject::of(&namespace, &account);
        prop_assert_eq!(subject.as_str().parse(), Ok(subject.clone()));
    }

    #[test]
    fn ids_are_the_same_in_any_case(flips in prop::collection::vec(any::<bool>(), IDENTITY.len())) {
        let flip = |(c, flip): (char, bool)| if flip { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        let flipped: String = IDENTITY.chars().zip(flips).map(flip).collect();
        let (id, same): (IdentityId, IdentityId) = (name(IDENTITY), name(&flipped));
        prop_assert_eq!(&id, &same);
        prop_assert_eq!(id.cmp(&same), std::cmp::Ordering::Equal);
        prop_assert_eq!(HashSet::from([id, same]).len(), 1);
        prop_assert_ne!(name::<IdentityId>(&flipped.replace(['h', 'H'], "x")), name(IDENTITY));
    }

    #[test]
    fn what_parses_as_an_id_leads_nowhere_else(
        segments in prop::collection::vec(
            prop::sample::select(vec![
                "subscriptions", GUID, "resourceGroups", "shop", "providers", "Microsoft.ManagedIdentity",
                "userAssignedIdentities", "orders", "..", ".", "", "%2e%2e", "a%2fb", "größe", "a.b", "(x)",
            ]),
            0..12,
        ),
    ) {
        let text = format!("/{}", segments.join("/"));
        if let Ok(id) = text.parse::<IdentityId>() {
            let url = url::Url::parse("https://management.azure.com").unwrap().join(&id.to_string()).unwrap();
            prop_assert_eq!(url.path_segments().unwrap().count(), 8);
            prop_assert_eq!(url.host_str(), Some("management.azure.com"));
            prop_assert_eq!(url.path_segments().unwrap().next_back(), Some(id.name.as_str()));
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}|.{0,200}") {
        for error in everything(&text).into_iter().flatten() {
            prop_assert!(error.to_string().len() < 1200);
        }
    }
}

/// Where the parts of a name end must not be guessed from their text: `a-b` + `c` is not `a` + `b-c`, and `ab` + `c` is
/// not `a` + `bc`.
#[test]
fn no_two_bindings_accounts_or_issuers_share_a_name() {
    let clusters = ["c1", "c1-a", "c1a", "C1"];
    let namespaces = ["a", "a-b", "a-b-c", "b", "b-c", "ab", "aa"];
    let bindings = ["c", "b-c", "a-b-c", "b.c", "a", "b", "bc", "ab"];
    let accounts = ["orders", "orders-a", "orders.a", "a", "b-c"];
    let issuers = ["https://a.example", "https://a.example/", "https://A.example/"];
    let (mut identities, mut prefixes, mut credentials) = (HashSet::new(), BTreeMap::new(), HashSet::new());
    for cluster in clusters {
        for namespace in namespaces {
            for binding in bindings {
                let (cluster, namespace, binding) = (name(cluster), name(namespace), name(binding));
                assert!(identities.insert(identity_name(&cluster, &namespace, &binding)));
                let prefix = CredentialPrefix::of(&cluster, &namespace, &binding);
                let mut own = Vec::new();
                for account in accounts {
                    for issuer in issuers {
                        let credential = credential_name(&prefix, &name(account), &name(issuer));
                        assert!(credentials.insert(credential.clone()), "{credential} twice");
                        own.push(credential);
                    }
                }
                assert!(prefixes.insert(prefix.to_string(), (prefix, own)).is_none());
            }
        }
    }
    for (prefix, _) in prefixes.values() {
        for (other, credentials) in prefixes.values() {
            for credential in credentials {
                let shouted = name(&credential.as_str().to_uppercase());
                assert_eq!(prefix.owns(credential), prefix == other);
                assert_eq!(prefix.owns(&shouted), prefix == other);
            }
        }
    }
}

#[test]
fn a_prefix_owns_no_name_that_somebody_else_made() {
    let prefix = CredentialPrefix::of(&name("c"), &name("shop"), &name("orders"));
    let whole = prefix.to_string();
    for other in [
        "aks-identity-binding",
        "wib-orders",
        "wib",
        whole.trim_end_matches('-'),
        &format!("x{whole}x"),
    ] {
        assert!(!prefix.owns(&name(other)), "{other}");
    }
}

/// Names stand in Azure for years: a release that derives others would lose every object it made.
#[test]
fn derived_names_never_change() {
    let (cluster, namespace, binding) = (name(GUID), name("shop"), name("orders.eu"));
    assert_eq!(
        identity_name(&cluster, &namespace, &binding).as_str(),
        "wib-shop-orders-eu-nucdeyhxg5bthgbm"
    );
    let prefix = CredentialPrefix::of(&cluster, &namespace, &binding);
    assert_eq!(
        credential_name(&prefix, &name("orders"), &name("https://oidc.example.net/")).as_str(),
        "wib-nucdeyhxg5bthgbm-orders-mzosc46aetmt64cp"
    );
    assert_eq!(binding_tag(&namespace, &binding), "shop/orders.eu");
    let principal = name("1a2b3c4d-0000-4000-8000-0000000091c1");
    let assignment = role_assignment_name(
        (&cluster, &namespace, &binding),
        &name("/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop"),
        principal,
        name("Key Vault Secrets User"),
    );
    assert_eq!(assignment.to_string(), "ae055c49-59f5-5acd-91da-b9c9cf638473");
}

#[test]
fn a_derived_name_is_known_as_that_of_its_binding_in_whichever_cluster() {
    let (namespace, binding) = (name("shop"), name("orders.eu"));
    for cluster in [GUID, "0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f01"] {
        let derived = identity_name(&name(cluster), &namespace, &binding);
        let shouted = name(&derived.as_str().to_uppercase());
        assert!(derived.is_reserved() && is_identity_name(&derived, &namespace, &binding));
        assert!(is_identity_name(&shouted, &namespace, &binding), "{shouted}");
        assert!(!is_identity_name(&derived, &namespace, &name("orders")));
        assert!(!is_identity_name(&derived, &name("mall"), &binding));
    }
    for other in [
        "wib-shop-orders-eu",
        "wib-shop-orders-eu-nucdeyhxg5bthgb1",
        "wib-shop-orders-eu-nucdeyhxg5bthgbmm",
    ] {
        assert!(!is_identity_name(&name(other), &namespace, &binding), "{other}");
    }
}

#[test]
fn a_binding_with_a_long_name_still_has_a_tag_of_its_own() {
    let tag = |last: &str| binding_tag(&name("shop"), &name(&format!("{}{last}", "a".repeat(252))));
    assert_eq!(tag("a").len(), 256);
    assert_ne!(tag("a"), tag("b"));
}

/// What kubeadm, kind and k3s begin with, and what a test set-up has.
#[test]
fn an_issuer_that_only_a_private_network_knows_is_told() {
    for private in [
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default.svc",
        "https://kubernetes",
        "https://localhost:6443",
        "https://oidc.localhost/",
        "https://10.0.0.1/",
        "https://172.20.1.1:443",
        "https://192.168.0.1",
        "https://127.0.0.1:6443/",
        "https://169.254.169.254/",
        "https://100.64.3.2",
        "https://[::1]:6443/",
        "https://[fd00::1]/",
        "https://[fe80::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://master.internal/",
        "https://ip-10-0-0-1.ec2.INTERNAL.",
        "http://issuer.example/",
    ] {
        assert!(name::<Issuer>(private).unreachable().is_some(), "{private}");
    }
    for private in ["https://100.64.0.1/", "https://100.127.0.1/", "https://0.1.2.3/"] {
        assert!(name::<Issuer>(private).unreachable().is_some(), "{private}");
    }
    for public in [
        "https://westeurope.oic.prod-aks.azure.com/tenant/cluster/",
        "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
        "https://issuer.example:8443",
        "https://local.example",
        "https://8.8.8.8/",
        "https://100.63.0.1/",
        "https://100.128.0.1/",
        "https://101.64.0.1/",
        "https://[2001:4860:4860::8888]/",
    ] {
        assert_eq!(name::<Issuer>(public).unreachable(), None, "{public}");
    }
}
