//! Bindings, in one line each and by chance.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::Config;
use wio_api::{BoundServiceAccount, ConflictPolicy, DeletionPolicy, ManagedIdentity, WorkloadIdentityBinding};
use wio_core::authorize::authorize;
use wio_core::binding::{ValidatedBinding, validate};
use wio_core::config::{Cluster, OperatorConfig};
use wio_core::desired::{DesiredBinding, DesiredIdentity, DesiredRemoval};
use wio_core::names::ServiceAccountName;
use wio_testkit::fixtures::{BindingBuilder, binding};

pub const CLUSTER: &str = "0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f01";
pub const ISSUER: &str = "https://oidc.example.net/cluster/";
pub const OLD_ISSUER: &str = "https://oidc.example.net/cluster-before/";
pub const UID: &str = "5d0c1f6e-3f43-4d0a-8a39-2f6b9a1f2c11";
pub const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
pub const EXISTING: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared/providers/\
                            Microsoft.ManagedIdentity/userAssignedIdentities/billing";

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
        existing_identity_groups: vec![name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/shared"))],
    }
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
    let authorized = authorize(&validated, &config).unwrap();
    DesiredBinding::new(&validated, authorized, cluster, &config)
}

pub fn removal(bound: &DesiredBinding, policy: DeletionPolicy) -> DesiredRemoval {
    DesiredRemoval {
        authorized: bound.authorized.revoking(),
        owner: bound.owner.clone(),
        managed: matches!(bound.identity, DesiredIdentity::Managed { .. }),
        policy,
    }
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
    (accounts, traits, identity, audience)
        .prop_map(|(accounts, traits, identity, audience)| {
            let start = binding("shop", "orders").uid(UID).generation(3);
            let start = match identity {
                Some(managed) => start.managed_as(managed),
                None => start.existing(EXISTING),
            };
            let start = audience.into_iter().fold(start, BindingBuilder::audience);
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
