//! The cast: from the model's small values to the core's own types, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use uuid::Uuid;
use wio_api::{
    BoundServiceAccount, ConflictPolicy, ManagedIdentity, ManagedIdentityPermission, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus, keys,
};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::binding::Binding as CoreBinding;
use wio_core::cluster::Cluster;
use wio_core::config::OperatorConfig;
use wio_core::names::{
    BindingUid, ClientId, ClusterId, CredentialName, Issuer, ServiceAccountName, ServiceAccountUid, Subject,
    credential_name,
};
use wio_core::observed::{
    AzureState, BoundBy, IdentityFacts, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignments,
    ObservedServiceAccount, PresentIdentity, Tags,
};
use wio_core::policy::{NamespaceFacts, Policies};
use wio_core::rules::Rules;
use wio_testkit::fixtures::{binding, policy};

use crate::world::{Account, Binding, Credential, Credentials, Identity, Kube, Marks, Pair, Policy, View, Who};

const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
const GROUP: &str = "operator";
const IDENTITY: &str = "shop-till";
const NAMESPACE: &str = "shop";
const AUDIENCE: &str = "api://AzureADTokenExchange";
const FOREIGN_ISSUER: &str = "https://token.actions.githubusercontent.com";

/// What never changes, in the core's types.
#[derive(Debug)]
pub struct Cast {
    pub(crate) cluster: Cluster,
    rules: [(Policy, Rules); 3],
    accounts: Pair<ServiceAccountName>,
    subjects: Pair<Subject>,
    names: Pair<Pair<CredentialName>>,
    foreign: CredentialName,
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} does not parse"))
}

/// The name of a binding.
const fn name(who: Who) -> &'static str {
    match who {
        Who::Orders => "orders",
        Who::Invoices => "invoices",
    }
}

/// The name of a service account.
const fn account_name(account: Account) -> &'static str {
    match account {
        Account::Web => "web",
        Account::Job => "job",
    }
}

fn identity_id() -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{IDENTITY}"
    )
}

fn uid(who: Who, born: u8) -> String {
    let of = match who {
        Who::Orders => 0x0a,
        Who::Invoices => 0x0b,
    };
    Uuid::from_u128(of << 8 | u128::from(born)).to_string()
}

fn client(made: u8) -> ClientId {
    Uuid::from_u128(0xc000 + u128::from(made)).into()
}

fn facts(made: u8) -> IdentityFacts {
    IdentityFacts {
        client_id: client(made),
        principal_id: Uuid::from_u128(0xa000 + u128::from(made)).into(),
        tenant_id: Uuid::from_u128(0x7e57).into(),
    }
}

// === impl Cast ===

impl Cast {
    /// The cast.
    ///
    /// # Errors
    /// Which name does not parse.
    pub fn new() -> Result<Self, String> {
        let id: ClusterId = parsed("0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f01")?;
        let issuer: Issuer = parsed("https://oidc.example.net/cluster/")?;
        let cluster = Cluster::new(id, issuer.clone());
        let accounts = Pair(parsed(account_name(Account::Web))?, parsed(account_name(Account::Job))?);
        let namespace = parsed(NAMESPACE)?;
        let subject = |account| Subject::of(&namespace, account);
        let subjects = Pair(subject(&accounts.0), subject(&accounts.1));
        let names = |who| -> Result<Pair<CredentialName>, String> {
            let owner = parse(&object(who, &first(Account::Web), None), &cluster)?.owner;
            let named = |account| credential_name(&owner.credential_prefix(), account, &issuer);
            Ok(Pair(named(&accounts.0), named(&accounts.1)))
        };
        Ok(Self {
            names: Pair(names(Who::Orders)?, names(Who::Invoices)?),
            rules: [
                rules(Policy::Both, &cluster)?,
                rules(Policy::Orders, &cluster)?,
                rules(Policy::Neither, &cluster)?,
            ],
            foreign: parsed("terraform")?,
            cluster,
            accounts,
            subjects,
        })
    }

    /// The rules by a policy.
    pub(crate) fn rules(&self, policy: Policy) -> Rules {
        let [both, orders, neither] = &self.rules;
        match policy {
            Policy::Both => both.1.clone(),
            Policy::Orders => orders.1.clone(),
            Policy::Neither => neither.1.clone(),
        }
    }

    /// A binding, parsed by the core.
    pub(crate) fn binding(
        &self,
        who: Who,
        binding: &Binding,
        status: Option<&WorkloadIdentityBindingStatus>,
    ) -> Result<CoreBinding, String> {
        parse(&object(who, binding, status), &self.cluster)
    }

    pub(crate) fn account(&self, account: Account) -> &ServiceAccountName {
        self.accounts.of(account)
    }

    /// The account that a name means.
    pub(crate) fn account_named(&self, name: &ServiceAccountName) -> Option<Account> {
        Account::ALL.into_iter().find(|one| self.accounts.of(*one) == name)
    }

    /// The credential that a name means.
    pub(crate) fn credential_named(&self, name: &CredentialName) -> Option<Credential> {
        Credential::ALL.into_iter().find(|one| self.name(*one) == name)
    }

    fn name(&self, credential: Credential) -> &CredentialName {
        match credential {
            Credential::Ours(who, account) => self.names.of(who).of(account),
            Credential::Foreign => &self.foreign,
        }
    }

    /// A credential as Azure shows it.
    pub(crate) fn credential(&self, credential: Credential) -> ObservedCredential {
        let (issuer, subject) = match credential {
            Credential::Ours(_, account) => (self.cluster.issuer.to_string(), self.subjects.of(account).to_string()),
            Credential::Foreign => (
                FOREIGN_ISSUER.to_owned(),
                "repo:shop/orders:ref:refs/heads/main".to_owned(),
            ),
        };
        ObservedCredential {
            name: self.name(credential).clone(),
            issuer,
            subject: Some(subject),
            audiences: vec![AUDIENCE.to_owned()],
        }
    }

    /// The identity as Azure shows it.
    pub(crate) fn azure(&self, identity: Option<Identity>) -> AzureState {
        AzureState {
            identity: identity.map_or(ObservedIdentity::Absent, |identity| {
                ObservedIdentity::Present(PresentIdentity {
                    facts: facts(identity.made),
                    tags: identity.tags.map(|born| self.tags(born)).unwrap_or_default(),
                    credentials: identity.credentials.all().map(|one| self.credential(one)).collect(),
                })
            }),
            role_assignments: ObservedRoleAssignments::read(Vec::new()),
        }
    }

    /// What Azure gives the how-many-th identity.
    pub(crate) fn facts(made: u8) -> IdentityFacts {
        facts(made)
    }

    /// The tags of the identity of a binding orders.
    pub(crate) fn tags(&self, born: u8) -> Tags {
        let tags = [
            (keys::CLUSTER_TAG, self.cluster.id.to_string()),
            (keys::BINDING_TAG, format!("{NAMESPACE}/{}", name(Who::Orders))),
            (keys::BINDING_UID_TAG, uid(Who::Orders, born)),
            (keys::DELETION_POLICY_TAG, "Delete".to_owned()),
        ];
        tags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What was seen, in the small.
    pub(crate) fn seen(&self, azure: &AzureState) -> Result<Option<Identity>, String> {
        let Some(present) = azure.identity.present() else {
            return Ok(None);
        };
        let unknown = || format!("{present:?} is not of this world");
        let mut credentials = Credentials::default();
        for one in &present.credentials {
            credentials.put(self.credential_named(&one.name).ok_or_else(unknown)?);
        }
        let born = |text: &String| (0..=u8::MAX).find(|born| uid(Who::Orders, *born) == *text);
        let made = (0..=u8::MAX).find(|made| client(*made) == present.facts.client_id);
        Ok(Some(Identity {
            made: made.ok_or_else(unknown)?,
            tags: present.tags.get(keys::BINDING_UID_TAG).and_then(born),
            credentials,
        }))
    }

    /// The service accounts as a binding sees them.
    pub(crate) fn accounts(
        &self,
        (who, born): (Who, u8),
        marks: Pair<Marks>,
        kube: &Kube,
    ) -> Result<BTreeMap<ServiceAccountName, ObservedServiceAccount>, String> {
        let seen = |account: Account| {
            let marks = marks.of(account);
            Ok((
                self.account(account).clone(),
                ObservedServiceAccount {
                    uid: account_uid(account)?,
                    client_id: marks.client.map(|made| client(made).to_string()),
                    tenant_id: marks.client.map(|made| facts(made).tenant_id.to_string()),
                    token_expiration: None,
                    bound_by: bound_by((who, born), *marks, kube)?,
                    created_by_us: false,
                    held: BTreeMap::new(),
                },
            ))
        };
        Account::ALL.into_iter().map(seen).collect()
    }

    /// A service account as it is after a binding marked it.
    pub(crate) fn marked(&self, name: &ServiceAccountName, facts: IdentityFacts) -> Option<ObservedServiceAccount> {
        Some(ObservedServiceAccount {
            uid: account_uid(self.account_named(name)?).ok()?,
            client_id: Some(facts.client_id.to_string()),
            tenant_id: Some(facts.tenant_id.to_string()),
            token_expiration: None,
            bound_by: BoundBy::Us,
            created_by_us: false,
            held: BTreeMap::new(),
        })
    }

    /// Whether a label is that of a binding.
    pub(crate) fn is_label_of(label: &BindingUid, (who, born): (Who, u8)) -> bool {
        label.as_str() == uid(who, born)
    }

    /// All that a binding sees.
    pub(crate) fn observed(&self, whose: (Who, u8), view: &View, kube: &Kube) -> Result<Observed, String> {
        Ok(Observed {
            azure: self.azure(view.identity),
            service_accounts: self.accounts(whose, view.accounts, kube)?,
            exports: BTreeMap::new(),
            signed_in_as: Some(Uuid::from_u128(0x0b).into()),
        })
    }
}

fn account_uid(account: Account) -> Result<ServiceAccountUid, String> {
    parsed(match account {
        Account::Web => "uid-web",
        Account::Job => "uid-job",
    })
}

/// Whose label a service account carries, as the operator tells it from its cache of bindings.
fn bound_by((who, born): (Who, u8), marks: Marks, kube: &Kube) -> Result<BoundBy, String> {
    let Some((other, other_born)) = marks.label else {
        return Ok(BoundBy::Nobody);
    };
    if (other, other_born) == (who, born) {
        return Ok(BoundBy::Us);
    }
    let labelled: BindingUid = parsed(&uid(other, other_born))?;
    let exists = kube
        .bindings
        .of(other)
        .is_some_and(|binding| binding.born == other_born);
    Ok(if exists {
        BoundBy::Other {
            binding: name(other).to_owned(),
            uid: labelled,
        }
    } else {
        BoundBy::Gone { uid: labelled }
    })
}

/// A binding as it is created.
pub(crate) const fn first(account: Account) -> Binding {
    Binding {
        born: 0,
        generation: 1,
        account,
        deleting: false,
        finalizer: false,
        status: None,
    }
}

fn object(who: Who, small: &Binding, status: Option<&WorkloadIdentityBindingStatus>) -> WorkloadIdentityBinding {
    let start = binding(NAMESPACE, name(who))
        .uid(&uid(who, small.born))
        .generation(small.generation.into())
        .bound(BoundServiceAccount {
            name: account_name(small.account).to_owned(),
            create: false,
            token_expiration_seconds: None,
            conflict_policy: ConflictPolicy::Report,
        });
    let start = match who {
        Who::Orders => start.managed_as(ManagedIdentity {
            name: Some(IDENTITY.to_owned()),
            ..ManagedIdentity::default()
        }),
        Who::Invoices => start.existing(&identity_id()),
    };
    let start = if small.finalizer {
        start.finalizer(keys::FINALIZER)
    } else {
        start
    };
    let mut object = start.build();
    object.status = status.cloned();
    object.metadata.deletion_timestamp = small.deleting.then_some(Time(Timestamp::UNIX_EPOCH));
    object
}

fn parse(object: &WorkloadIdentityBinding, cluster: &Cluster) -> Result<CoreBinding, String> {
    CoreBinding::parse(object, &cluster.id).map_err(|invalid| format!("{invalid:?}"))
}

fn rules(which: Policy, cluster: &Cluster) -> Result<(Policy, Rules), String> {
    let config = OperatorConfig {
        group: parsed(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"))?,
        location: parsed("westeurope")?,
        require_policy: true,
        audience: parsed(AUDIENCE)?,
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
    };
    let start = policy("platform").namespace(NAMESPACE);
    let start = if which.allows(Who::Orders) {
        start.managed(ManagedIdentityPermission {
            subscription_id: SUBSCRIPTION.to_owned(),
            resource_group: GROUP.to_owned(),
            ..ManagedIdentityPermission::default()
        })
    } else {
        start
    };
    let start = if which.allows(Who::Invoices) {
        start.existing(&identity_id())
    } else {
        start
    };
    let rules = Rules {
        cluster: cluster.clone(),
        config: Arc::new(config),
        policies: Arc::new(Policies::parse(&[start.build()])),
        namespace: NamespaceFacts {
            name: parsed(NAMESPACE)?,
            labels: BTreeMap::new(),
        },
    };
    Ok((which, rules))
}
