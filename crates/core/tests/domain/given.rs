//! Bindings, in one line each and by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::Config;
use wio_api::{
    BoundServiceAccount, ConflictPolicy, DeletionPolicy, ManagedIdentity, WorkloadIdentityBinding,
    WorkloadIdentityPolicy,
};
use wio_core::authorize::{Authorized, Grant, NotPermitted, authorize};
use wio_core::binding::{Owner, ValidatedBinding, validate};
use wio_core::config::{Cluster, OperatorConfig};
use wio_core::desired::{Desired, DesiredBinding, DesiredCredential, DesiredDenial, DesiredIdentity, DesiredRemoval};
use wio_core::names::{ServiceAccountName, credential_name};
use wio_core::observed::{BoundBy, ObservedCredential};
use wio_core::policy::{NamespaceFacts, Policies};
use wio_core::sharing::{Claim, Sharer};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

pub const CLUSTER: &str = "0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f01";
pub const ISSUER: &str = "https://oidc.example.net/cluster/";
pub const OLD_ISSUER: &str = "https://oidc.example.net/cluster-before/";
pub const UID: &str = "5d0c1f6e-3f43-4d0a-8a39-2f6b9a1f2c11";
pub const RIVAL: &str = "5d0c1f6e-3f43-4d0a-8a39-2f6b9a1f2c99";
pub const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
pub const EXISTING: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared/providers/\
                            Microsoft.ManagedIdentity/userAssignedIdentities/billing";

pub const VAULT: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop/providers/\
                         Microsoft.KeyVault/vaults/orders";

/// Roles and scopes that a binding may ask for; the last one lies in another subscription.
pub const ROLES: [(&str, &str); 6] = [
    ("Key Vault Secrets User", VAULT),
    (
        "key vault secrets user",
        "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop",
    ),
    ("acdd72a7-3385-48ef-bd42-f606fba81ae7", VAULT),
    (
        "/providers/Microsoft.Authorization/roleDefinitions/7f951dda-4ed3-4680-a7ca-43fe172d538d",
        "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/Images",
    ),
    ("Reader", "/providers/Microsoft.Management/managementGroups/shop"),
    (
        "Storage Blob Data Reader",
        "/subscriptions/0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f77",
    ),
];

/// More service accounts than one binding can have, so that some are always left over.
pub static ACCOUNTS: LazyLock<Vec<String>> = LazyLock::new(|| (0..24).map(|n| format!("account-{n:02}")).collect());

/// As many cases as fit into a second or two, or as PROPTEST_CASES says, and no files left behind.
pub fn cases(usual: u32) -> Config {
    let by_environment = Config::default();
    Config {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() {
            by_environment.cases
        } else {
            usual
        },
        failure_persistence: None,
        ..by_environment
    }
}

pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn config() -> OperatorConfig {
    OperatorConfig {
        group: name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/operator")),
        location: name("westeurope"),
        audience: name("api://AzureADTokenExchange"),
        protected_identities: Vec::new(),
        protected_groups: Vec::new(),
        own_client_id: None,
        unlocked_roles: BTreeSet::new(),
    }
}

/// A policy by which the bindings of namespace shop may have [`EXISTING`], every role of [`ROLES`], and Reader in all of
/// [`SUBSCRIPTION`].
pub fn generous() -> WorkloadIdentityPolicy {
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let start = policy("generous")
        .namespace("shop")
        .existing(EXISTING)
        .role("Reader", &[&subscription]);
    ROLES
        .iter()
        .fold(start, |built, (role, scope)| built.role(role, &[scope]))
        .build()
}

/// Namespace shop, without labels.
pub fn shop() -> NamespaceFacts {
    NamespaceFacts {
        name: name("shop"),
        labels: BTreeMap::new(),
    }
}

pub fn permitted(binding: &ValidatedBinding) -> Authorized<Grant> {
    authorize(binding, &config(), &Policies::parse([&generous()]), &shop(), 0).unwrap()
}

pub fn cluster() -> Cluster {
    cluster_with(ISSUER)
}

pub fn cluster_with(issuer: &str) -> Cluster {
    Cluster {
        id: name(CLUSTER),
        issuer: name(issuer),
    }
}

/// The managed binding shop/orders with these service accounts.
pub fn managed(accounts: &[&str]) -> WorkloadIdentityBinding {
    let start = binding("shop", "orders").uid(UID).generation(3).managed();
    accounts
        .iter()
        .fold(start, |built, account| built.service_account(account))
        .build()
}

/// The managed binding shop/orders of service account a with these roles.
pub fn managed_with(roles: &[(&str, &str)]) -> WorkloadIdentityBinding {
    let start = binding("shop", "orders")
        .uid(UID)
        .generation(3)
        .managed()
        .service_account("a");
    roles
        .iter()
        .fold(start, |built, (role, scope)| built.role(role, scope))
        .build()
}

/// The binding shop/orders to an identity of somebody else.
pub fn existing(accounts: &[&str]) -> WorkloadIdentityBinding {
    let start = binding("shop", "orders").uid(UID).generation(3).existing(EXISTING);
    accounts
        .iter()
        .fold(start, |built, account| built.service_account(account))
        .build()
}

pub fn validated(binding: &WorkloadIdentityBinding) -> ValidatedBinding {
    validate(binding, &name(CLUSTER)).unwrap()
}

pub fn desired(binding: &WorkloadIdentityBinding) -> DesiredBinding {
    desired_in(binding, &cluster())
}

pub fn desired_in(binding: &WorkloadIdentityBinding, cluster: &Cluster) -> DesiredBinding {
    let validated = validated(binding);
    let config = config();
    let authorized = permitted(&validated);
    let mut desired = DesiredBinding::new(&validated, authorized, cluster, &config);
    desired.sharing = desired.sharing.clone().with(vec![rival(&desired)]);
    desired
}

/// The binding invoices, which has another identity and asks for all service accounts.
pub fn rival(desired: &DesiredBinding) -> Sharer {
    let asked = desired.service_accounts.iter().map(|account| account.name.clone());
    let all = ACCOUNTS.iter().map(|text| name(text));
    let claim = |account| Claim {
        account,
        audience: config().audience,
        token_expiration: None,
    };
    Sharer {
        name: name("invoices"),
        uid: name(RIVAL),
        identity: name(&EXISTING.replace("billing", "invoices")),
        accounts: all.chain(asked).map(claim).collect(),
        roles: Vec::new(),
        acts: true,
    }
}

/// The credentials that the binding invoices would make for the same service accounts.
pub fn desired_of_invoices(bound: &DesiredBinding) -> Vec<ObservedCredential> {
    let other = Owner {
        name: name("invoices"),
        ..bound.owner.clone()
    };
    let made = |wanted: &DesiredCredential| ObservedCredential {
        name: credential_name(&other.credential_prefix(), &wanted.account, &wanted.issuer),
        ..crate::worlds::as_wanted(wanted)
    };
    bound.credentials.iter().map(made).collect()
}

/// The mark of the binding invoices.
pub fn by_rival() -> BoundBy {
    BoundBy::Other {
        binding: "invoices".to_owned(),
        uid: name(RIVAL),
    }
}

pub fn removal(bound: &DesiredBinding, policy: DeletionPolicy) -> DesiredRemoval {
    DesiredRemoval {
        authorized: bound.authorized.revoking(),
        owner: bound.owner.clone(),
        managed: matches!(bound.identity, DesiredIdentity::Managed { .. }),
        policy,
        despite_users: false,
        sharing: bound.sharing.clone(),
    }
}

pub fn denied(bound: &DesiredBinding) -> Desired {
    Desired::Denied(DesiredDenial::new(
        removal(bound, DeletionPolicy::Delete),
        NotPermitted {
            field: "spec.identity.existing.resourceId".to_owned(),
            message: "nobody allows it".to_owned(),
        },
    ))
}

pub fn accounts_of(bound: &DesiredBinding) -> BTreeSet<ServiceAccountName> {
    bound
        .service_accounts
        .iter()
        .map(|account| account.name.clone())
        .collect()
}

pub fn any_policy() -> impl Strategy<Value = DeletionPolicy> {
    prop::sample::select(vec![
        DeletionPolicy::Delete,
        DeletionPolicy::RetainIdentity,
        DeletionPolicy::Orphan,
    ])
}

/// A binding that is valid and allowed, with 1 to 20 service accounts.
pub fn any_binding() -> BoxedStrategy<WorkloadIdentityBinding> {
    let accounts = prop_oneof![
        3 => prop::sample::subsequence(ACCOUNTS.clone(), 1..=4),
        1 => prop::sample::subsequence(ACCOUNTS.clone(), 5..=20),
    ];
    let traits = prop::collection::vec((any::<bool>(), prop::option::of(3600_i64..=3601), any::<bool>()), 20);
    let identity = prop_oneof![
        Just(None),
        (
            prop::option::of(Just("orders-identity".to_owned())),
            prop::collection::btree_map("team|Cost|env", "[a-z]{1,3}", 0..3)
        )
            .prop_map(|(name, tags)| Some(ManagedIdentity {
                name,
                tags,
                ..ManagedIdentity::default()
            })),
    ];
    let audience = prop::option::of(Just("api://AzureADTokenExchangeChina"));
    let roles = prop::sample::subsequence(ROLES.to_vec(), 0..=4);
    (accounts, traits, identity, audience, roles)
        .prop_map(|(accounts, traits, identity, audience, roles)| {
            let start = binding("shop", "orders").uid(UID).generation(3);
            let start = match identity {
                Some(managed) => start.managed_as(managed),
                None => start.existing(EXISTING),
            };
            let start = audience.into_iter().fold(start, BindingBuilder::audience);
            let start = roles
                .into_iter()
                .fold(start, |built, (role, scope)| built.role(role, scope));
            let account = |(name, (create, token_expiration_seconds, force))| BoundServiceAccount {
                name,
                create,
                token_expiration_seconds,
                conflict_policy: if force {
                    ConflictPolicy::Force
                } else {
                    ConflictPolicy::Report
                },
            };
            accounts
                .into_iter()
                .zip(traits)
                .map(account)
                .fold(start, BindingBuilder::bound)
                .build()
        })
        .boxed()
}
