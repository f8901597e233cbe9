//! Bindings, in one line each and by chance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use proptest::test_runner::Config;
use wio_api::{
    BoundServiceAccount, ConflictPolicy, DeletionPolicy, ManagedIdentity, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus, WorkloadIdentityPolicy, keys,
};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::authorize::{Granted, NotPermitted, authorize};
use wio_core::binding::{Binding, Lifecycle};
use wio_core::case::{Candidate, Case};
use wio_core::cluster::{Cluster, Issuers};
use wio_core::config::OperatorConfig;
use wio_core::desired::{Desired, DesiredBinding, DesiredCredential, DesiredDenial, DesiredIdentity, DesiredRemoval};
use wio_core::names::{ServiceAccountName, credential_name};
use wio_core::observed::{BoundBy, ObservedCredential};
use wio_core::owner::Owner;
use wio_core::policy::{NamespaceFacts, Policies, Tally, Usage};
use wio_core::rules::Rules;
use wio_core::sharing::{Claim, Claims, Sharer, Sharing};
use wio_core::spec::Spec;
use wio_core::verdict::{Verdict, verdict};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

/// The moment of every case.
pub const NOW: Timestamp = Timestamp::UNIX_EPOCH;
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
        require_policy: false,
        audience: name("api://AzureADTokenExchange"),
        protected_identities: Vec::new(),
        protected_groups: Vec::new(),
        own_cluster: wio_core::config::OwnCluster::Settled,
        former_issuers: BTreeSet::new(),
        allow_private_issuer: false,
        unlocked_roles: BTreeSet::new(),
        default_tags: wio_core::observed::Tags::new(),
        ignored_tags: Vec::new(),
        namespaces: ActiveNamespaces::All,
        verification: wio_api::VerificationMode::None,
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

/// Namespace shop by the [`generous`] policy.
pub fn rules() -> Rules {
    static RULES: LazyLock<Rules> = LazyLock::new(|| rules_by(config(), &[generous()]));
    RULES.clone()
}

/// Namespace shop by these policies.
pub fn rules_by(config: OperatorConfig, policies: &[WorkloadIdentityPolicy]) -> Rules {
    Rules {
        cluster: cluster(),
        config: Arc::new(config),
        policies: Arc::new(Policies::parse(policies)),
        namespace: shop(),
    }
}

pub fn cluster() -> Cluster {
    cluster_with(ISSUER)
}

pub fn cluster_with(issuer: &str) -> Cluster {
    Cluster::new(name(CLUSTER), name(issuer))
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

pub fn parsed(object: &WorkloadIdentityBinding) -> Binding {
    Binding::parse(object, &name(CLUSTER)).unwrap()
}

pub fn spec_of(object: &WorkloadIdentityBinding) -> Spec {
    parsed(object).spec.unwrap()
}

/// The binding shop/orders with what was recorded of it at this generation.
pub fn recorded(generation: i64, status: &WorkloadIdentityBindingStatus) -> Binding {
    let mut object = managed(&["a"]);
    object.metadata.generation = Some(generation);
    object.status = Some(status.clone());
    parsed(&object)
}

/// Where in its life a binding is that a status speaks of.
pub fn lifecycle(generation: i64, deleting: bool) -> Lifecycle {
    Lifecycle {
        generation,
        deleting,
        ..parsed(&managed(&["a"])).lifecycle
    }
}

/// Whether a binding may have what it asks for when so many credentials of its namespace come before its own.
pub fn ask(object: &WorkloadIdentityBinding, rules: &Rules, before: usize) -> Result<Granted, NotPermitted> {
    let before = Usage {
        federated_credentials: before,
        ..Usage::default()
    };
    authorize(&spec_of(object), &parsed(object), &before, rules)
}

/// How much a binding asks for of what policies limit.
pub fn usage_of(object: &WorkloadIdentityBinding) -> Usage {
    let spec = &object.spec;
    Usage {
        federated_credentials: spec.service_accounts.len(),
        managed_identities: usize::from(spec.identity.managed.is_some()),
        role_assignments: spec.role_assignments.len(),
    }
}

/// The case of a binding that is alone in its namespace.
pub fn case_of(object: &WorkloadIdentityBinding, rules: Rules) -> Case {
    case_beside(object, &[], rules)
}

/// The case of a binding beside others of its namespace.
pub fn case_beside(object: &WorkloadIdentityBinding, others: &[WorkloadIdentityBinding], rules: Rules) -> Case {
    let mut tally = Tally::default();
    for other in others.iter().chain([object]) {
        tally.count(parsed(other).lifecycle.seniority, usage_of(other));
    }
    let limits = rules.limits();
    let candidate = |object| {
        let binding = parsed(object);
        Candidate {
            used_before: tally.before(&binding.lifecycle.seniority, &limits),
            binding,
        }
    };
    Case {
        candidate: candidate(object),
        labelled: BTreeSet::new(),
        neighbours: others.iter().map(candidate).collect(),
        held: BTreeSet::new(),
        rivals: Vec::new(),
        rules,
        now: NOW,
    }
}

pub fn verdict_of(object: &WorkloadIdentityBinding, rules: Rules) -> Verdict {
    verdict(&case_of(object, rules))
}

/// What the verdict pursues.
pub fn pursued(object: &WorkloadIdentityBinding, rules: Rules) -> Desired {
    match verdict_of(object, rules) {
        Verdict::Pursue(desired) => *desired,
        other => panic!("{other:?} pursues nothing"),
    }
}

/// What becomes of a binding that is allowed and alone.
pub fn permitted(object: &WorkloadIdentityBinding, rules: Rules) -> DesiredBinding {
    match pursued(object, rules) {
        Desired::Bound(bound) => bound,
        other => panic!("{other:?} is not bound"),
    }
}

pub fn desired(object: &WorkloadIdentityBinding) -> DesiredBinding {
    desired_in(object, &cluster())
}

pub fn desired_in(object: &WorkloadIdentityBinding, cluster: &Cluster) -> DesiredBinding {
    let cluster = cluster.clone();
    let alone = permitted(object, Rules { cluster, ..rules() });
    let rival = rival(&alone);
    beside(alone, parsed(object).claims, vec![rival])
}

/// The same with these claims, beside these other bindings.
pub fn beside(bound: DesiredBinding, claims: Claims, sharers: Vec<Sharer>) -> DesiredBinding {
    let sharing = bound.sharing().clone().with(claims, sharers);
    match Desired::Bound(bound).with_sharing(sharing) {
        Desired::Bound(bound) => bound,
        other => panic!("{other:?} is not bound"),
    }
}

/// The claims of a binding's service accounts, without roles.
pub fn claims_of(bound: &DesiredBinding) -> Claims {
    Claims {
        accounts: accounts_of(bound),
        roles: Vec::new(),
    }
}

/// Another binding of the namespace.
pub fn other_owner(bound: &DesiredBinding, named: &str) -> Owner {
    Owner {
        name: name(named),
        ..bound.owner.clone()
    }
}

/// The binding invoices, which has the same identity and asks for all service accounts.
pub fn sibling(bound: &DesiredBinding) -> Sharer {
    Sharer {
        identity: bound.granted.identity().clone(),
        ..rival(bound)
    }
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
        generation: 1,
        identity: name(&EXISTING.replace("billing", "invoices")),
        issuers: Issuers::new(&cluster(), []),
        told: all.clone().chain(asked.clone()).collect(),
        prefix: other_owner(desired, "invoices").credential_prefix(),
        accounts: all.chain(asked).map(claim).collect(),
        roles: Vec::new(),
        is_active: true,
        proofs: None,
    }
}

/// The credentials that the binding invoices would make for the same service accounts.
pub fn desired_of_invoices(bound: &DesiredBinding) -> Vec<ObservedCredential> {
    let other = other_owner(bound, "invoices");
    let made = |wanted: &DesiredCredential| ObservedCredential {
        name: credential_name(&other.credential_prefix(), &wanted.account, &wanted.issuer),
        ..crate::worlds::as_wanted(wanted)
    };
    bound.credentials.iter().map(made).collect()
}

/// The label of the binding invoices.
pub fn by_rival() -> BoundBy {
    BoundBy::Other {
        binding: "invoices".to_owned(),
        uid: name(RIVAL),
    }
}

/// The status of a binding for which something was about to be written, and of which nothing else was written down.
pub fn written() -> WorkloadIdentityBindingStatus {
    WorkloadIdentityBindingStatus {
        written: true,
        ..WorkloadIdentityBindingStatus::default()
    }
}

/// A binding to the same identity, with the same service accounts and roles, that may have something.
pub fn object_of(bound: &DesiredBinding) -> BindingBuilder {
    let start = binding("shop", "orders")
        .uid(UID)
        .generation(3)
        .finalizer(keys::FINALIZER)
        .status(written());
    let id = bound.granted.identity();
    let start = match &bound.identity {
        DesiredIdentity::Existing => start.existing(&id.to_string()),
        DesiredIdentity::Managed { derived, .. } => start.managed_as(ManagedIdentity {
            name: (!derived).then(|| id.name.to_string()),
            ..ManagedIdentity::default()
        }),
    };
    let accounts = bound.service_accounts.iter();
    let start = accounts.fold(start, |built, account| built.service_account(account.name.as_str()));
    let roles = bound.roles.iter();
    roles.fold(start, |built, role| built.role(&role.role, role.scope().as_str()))
}

/// Rules by which nobody may have an identity in the resource group of this one.
fn forbidding(bound: &DesiredBinding) -> Rules {
    let config = OperatorConfig {
        protected_groups: vec![bound.granted.identity().group.clone()],
        ..config()
    };
    rules_by(config, &[])
}

/// The same binding on its way out.
pub fn deleted(object: BindingBuilder, policy: DeletionPolicy) -> WorkloadIdentityBinding {
    let mut object = object.deletion_policy(policy).build();
    object.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    object
}

/// What is taken away when the binding is deleted; Orphan is not permitted.
pub fn gone(bound: &DesiredBinding, policy: DeletionPolicy) -> Desired {
    pursued(&deleted(object_of(bound), policy), forbidding(bound)).with_sharing(shared_by(bound))
}

pub fn removal(bound: &DesiredBinding, policy: DeletionPolicy) -> DesiredRemoval {
    match gone(bound, policy) {
        Desired::Gone(removal) => removal,
        other => panic!("{other:?} is not gone"),
    }
}

pub fn denied(bound: &DesiredBinding) -> Desired {
    denied_though(bound, DeletionPolicy::Delete)
}

/// What is taken away when the binding is denied, whatever its spec says of its end.
pub fn denied_though(bound: &DesiredBinding, policy: DeletionPolicy) -> Desired {
    denied_as(&object_of(bound).deletion_policy(policy).build(), bound)
}

/// What is taken away when this binding is denied, beside the same other bindings.
pub fn denied_as(object: &WorkloadIdentityBinding, bound: &DesiredBinding) -> Desired {
    let Desired::Denied(denial) = pursued(object, forbidding(bound)) else {
        panic!("it is not denied")
    };
    Desired::Denied(because(denial)).with_sharing(shared_by(bound))
}

fn because(denial: DesiredDenial) -> DesiredDenial {
    denial.because(NotPermitted {
        field: "spec.identity.existing.resourceId".to_owned(),
        message: "nobody allows it".to_owned(),
        awaits_policy: false,
    })
}

fn shared_by(bound: &DesiredBinding) -> Sharing {
    bound.sharing().clone()
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

/// The same after the cluster's issuer changed: what was made for it was made for the issuer before.
pub fn made_before(object: WorkloadIdentityBinding) -> WorkloadIdentityBinding {
    let status = WorkloadIdentityBindingStatus {
        issuer: Some(OLD_ISSUER.to_owned()),
        ..WorkloadIdentityBindingStatus::default()
    };
    WorkloadIdentityBinding {
        status: Some(status),
        ..object
    }
}

/// A binding that is valid and allowed, whose cluster may have had another issuer before.
pub fn any_binding_of_old() -> impl Strategy<Value = WorkloadIdentityBinding> {
    (any_binding(), any::<bool>()).prop_map(|(object, old)| if old { made_before(object) } else { object })
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
            prop::option::of(Just("shop_orders".to_owned())),
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
