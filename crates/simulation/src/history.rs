//! Histories: what was, moment by moment, and what was asked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use wio_api::keys;
use wio_azure_sim::{Credential, Snapshot};
use wio_testkit::ApiRequest;

use crate::plan::{Act, Outlives, Timed};

/// Where a service account carries the client id.
pub(crate) const CLIENT_ID: &str = "/metadata/annotations/azure.workload.identity~1client-id";

/// All that happened in a play.
#[derive(Debug, Default)]
pub struct History {
    /// What was, from the start, anew after each change.
    pub moments: Vec<Moment>,
    /// What the operators asked of Azure.
    pub sent: Vec<Sent>,
    /// What they asked of the API server.
    pub asked: Vec<ApiRequest>,
    /// What the plan did, as far as it was possible.
    pub acts: Vec<Timed>,
    /// What may be had: by namespace and from when on.
    pub permitted: BTreeMap<String, Vec<(Duration, bool)>>,
    /// Which lives of operators were cut off from the API server, and for how long each may still think that it leads.
    pub cuts: Vec<Cut>,
    /// Which issuers the API server said, and from when on.
    pub issuers: Vec<(Duration, String)>,
    /// The names by which Azure's objects are known to be a binding's.
    pub owners: Vec<Owned>,
    /// The token with which the operators ask Azure.
    pub token: String,
    /// The tokens that were shown to Entra, and what it said.
    pub exchanges: Vec<Exchange>,
    /// Which service account what makes pods runs as: by namespace and name.
    pub makers: BTreeMap<(String, String), String>,
    /// Which faults fired, by their kinds.
    pub fired: BTreeMap<String, usize>,
    /// What the play itself found wrong: that it did not converge, or wrote in the end.
    pub end: Option<String>,
}

/// That an operator was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its life.
    pub life: u32,
    /// When.
    pub at: Duration,
    /// When its lease is over, at the latest.
    pub until: Duration,
}

/// What was from one time on.
#[derive(Clone, Debug)]
pub struct Moment {
    /// From when on.
    pub at: Duration,
    /// All of Azure.
    pub azure: Arc<Snapshot>,
    /// The bindings.
    pub bindings: Vec<Arc<Value>>,
    /// The service accounts.
    pub accounts: Vec<Arc<Value>>,
    /// The ConfigMaps.
    pub maps: Vec<Arc<Value>>,
}

/// A token of a service account that was shown to Entra.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When it was shown.
    pub begun: Duration,
    /// When Entra gave a token for it; none when it did not, or nobody heard of it.
    pub passed: Option<Duration>,
    /// Of which identity a token was asked for, by its client id.
    pub client: String,
    /// Who issued it.
    pub issuer: String,
    /// Whose it is.
    pub subject: String,
    /// The token itself.
    pub token: String,
}

/// A request to Azure.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Which life of which operator sent it.
    pub life: u32,
    /// The method.
    pub method: String,
    /// The path, in lower case.
    pub path: String,
    /// When it was sent.
    pub begun: Duration,
    /// When it was answered or given up.
    pub ended: Option<Duration>,
    /// How it was answered.
    pub status: Option<u16>,
}

/// The names of a binding's objects in Azure.
#[derive(Clone, Debug)]
pub struct Owned {
    /// The binding's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How the names of its federated credentials begin.
    pub prefix: String,
    /// Its managed identity's name.
    pub identity: String,
    /// What is to outlive it.
    pub outlives: Outlives,
    /// Whether it has the identity that others share.
    pub existing: bool,
    /// Whether it needs a policy.
    pub needs_policy: bool,
    /// Whether it asks for an identity by which the cluster itself acts, which no policy gives.
    pub barred: bool,
}

// === impl History ===

impl History {
    /// The binding of this namespace and name at a moment.
    #[must_use]
    pub fn binding<'a>(moment: &'a Moment, owned: &Owned) -> Option<&'a Value> {
        let is = |object: &&Arc<Value>| {
            text(object, "/metadata/namespace") == owned.namespace && text(object, "/metadata/name") == owned.name
        };
        moment.bindings.iter().find(is).map(|object| &**object)
    }

    /// Whose a federated credential of this name is; none: a foreign one.
    #[must_use]
    pub fn owner(&self, credential: &str) -> Option<&Owned> {
        let name = credential.to_ascii_lowercase();
        self.owners.iter().find(|owned| name.starts_with(&owned.prefix))
    }

    /// Whether a binding with our finalizer answers for a federated credential of this owner: its own, or one that shares the trust and
    /// keeps what the other one made.
    #[must_use]
    pub fn is_held(&self, moment: &Moment, owned: &Owned, account: &str) -> bool {
        let holds = |one: &&Owned| Self::binding(moment, one).is_some_and(has_finalizer);
        // One that gave the account up answers for it until that is carried out.
        let shares = |one: &&Owned| {
            one.shares(owned)
                && Self::binding(moment, one)
                    .is_some_and(|binding| wants(binding, account) || tells_of(binding, account))
        };
        holds(&owned) || self.owners.iter().filter(shares).any(|one| holds(&one))
    }

    /// Whether somebody who may have it asks for the trust in the account: the owner, or one that shares it.
    #[must_use]
    pub fn is_wanted(&self, moment: &Moment, owned: &Owned, account: &str) -> bool {
        let wants = |one: &Owned| {
            Self::binding(moment, one).is_some_and(|binding| {
                binding.pointer("/metadata/deletionTimestamp").is_none() && wants(binding, account)
            })
        };
        wants(owned) || self.owners.iter().any(|one| one.shares(owned) && wants(one))
    }

    /// Whether somebody who asks for the trust in the account is not suspended: the owner, or one that shares it.
    #[must_use]
    pub fn is_asked(&self, moment: &Moment, owned: &Owned, account: &str) -> bool {
        let asks = |one: &Owned| {
            Self::binding(moment, one).is_some_and(|binding| {
                binding.pointer("/metadata/deletionTimestamp").is_none()
                    && wants(binding, account)
                    && binding.pointer("/spec/suspend") != Some(&Value::Bool(true))
            })
        };
        asks(owned) || self.owners.iter().any(|one| one.shares(owned) && asks(one))
    }

    /// Whether the binding was deleted by then, and all of it was to stay.
    #[must_use]
    pub fn was_left(&self, owned: &Owned, at: Duration) -> bool {
        let deletes = |timed: &Timed| matches!(timed.act, Act::Delete(n) if owned.name == format!("b{n}"));
        owned.outlives == Outlives::Everything && self.acts.iter().any(|timed| timed.at <= at && deletes(timed))
    }

    /// Whether somebody did this at the moment.
    #[must_use]
    pub fn did(&self, at: Duration, meant: impl Fn(&Act) -> bool) -> bool {
        self.acts.iter().any(|timed| timed.at == at && meant(&timed.act))
    }

    /// What was at this time: the last moment before it, and all that are of this very time.
    pub fn around(&self, at: Duration) -> impl Iterator<Item = &Moment> {
        let after = self.moments.partition_point(|moment| moment.at < at);
        let found = self.moments.iter().skip(after.saturating_sub(1));
        found.take_while(move |moment| moment.at <= at)
    }

    /// What was at any time of these.
    pub fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Moment> {
        let after = self.moments.partition_point(|moment| moment.at < from);
        let found = self.moments.iter().skip(after.saturating_sub(1));
        found.take_while(move |moment| moment.at <= to)
    }

    /// When something was asked of the API server.
    #[must_use]
    pub fn time_of(&self, request: &ApiRequest) -> Duration {
        let first = self.asked.first();
        first.map_or(Duration::ZERO, |first| request.at - first.at)
    }

    /// Each moment with the one before it.
    pub fn steps(&self) -> impl Iterator<Item = (&Moment, &Moment)> {
        self.moments.iter().zip(self.moments.iter().skip(1))
    }

    /// Whether something was permitted in the namespace at any time since then.
    #[must_use]
    pub fn permitted_since(&self, namespace: &str, since: Duration, until: Duration) -> bool {
        let Some(changes) = self.permitted.get(namespace) else {
            return false;
        };
        let before = changes
            .iter()
            .rev()
            .find(|(at, _)| *at <= since)
            .is_some_and(|(_, is)| *is);
        before || changes.iter().any(|(at, is)| *is && *at > since && *at <= until)
    }

    /// A hash of all of it: equal for two plays of one seed.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for Moment {
            at,
            azure,
            bindings,
            accounts,
            maps,
        } in &self.moments
        {
            hash.update(format!("{at:?} {azure:?} {bindings:?} {accounts:?} {maps:?}"));
        }
        hash.update(format!("{:?} {:?}", self.sent, self.exchanges));
        let start = self.asked.first().map(|request| request.at);
        for request in &self.asked {
            let at = start.map(|start| request.at - start);
            hash.update(format!("{at:?} {} {request} {}", request.client, request.body));
        }
        hash.update(format!("{:?} {:?} {:?}", self.acts, self.fired, self.end));
        hash.finalize().iter().fold(String::new(), |mut hex, byte| {
            let _ = fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
            hex
        })
    }
}

impl Owned {
    /// Whether two bindings have an identity and its service accounts in common.
    #[must_use]
    pub fn shares(&self, other: &Self) -> bool {
        self.existing && other.existing && self.namespace == other.namespace
    }
}

/// The service account that a federated credential is for.
#[must_use]
pub fn account_in(credential: &Credential) -> &str {
    credential
        .subject
        .as_deref()
        .and_then(|subject| subject.rsplit(':').next())
        .unwrap_or_default()
}

/// A text in a JSON object, or nothing.
#[must_use]
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The object of this namespace and name.
#[must_use]
pub fn named<'a>(objects: &'a [Arc<Value>], namespace: &str, name: &str) -> Option<&'a Arc<Value>> {
    let is = |object: &&Arc<Value>| {
        text(object, "/metadata/namespace") == namespace && text(object, "/metadata/name") == name
    };
    objects.iter().find(is)
}

/// Whether a binding says that it is ready as it is now.
#[must_use]
pub fn is_ready(binding: &Value) -> bool {
    let conditions = binding.pointer("/status/conditions").and_then(Value::as_array);
    let mut ready = conditions
        .into_iter()
        .flatten()
        .filter(|one| text(one, "/type") == "Ready");
    ready.any(|one| {
        text(one, "/status") == "True" && one.get("observedGeneration") == binding.pointer("/metadata/generation")
    })
}

/// Whether the status of a binding tells of a federated credential for the account.
#[must_use]
pub fn tells_of(binding: &Value, account: &str) -> bool {
    let told = binding
        .pointer("/status/federatedCredentials")
        .and_then(Value::as_array);
    let mut told = told.into_iter().flatten();
    told.any(|one| text(one, "/serviceAccount") == account)
}

/// Whether a binding carries our finalizer.
#[must_use]
pub fn has_finalizer(binding: &Value) -> bool {
    let finalizers = binding.pointer("/metadata/finalizers").and_then(Value::as_array);
    finalizers.is_some_and(|all| all.iter().any(|one| one == wio_api::keys::FINALIZER))
}

/// Whether a binding's spec names the service account.
#[must_use]
pub fn wants(binding: &Value, account: &str) -> bool {
    let accounts = binding.pointer("/spec/serviceAccounts").and_then(Value::as_array);
    accounts.is_some_and(|all| all.iter().any(|one| text(one, "/name") == account))
}

/// The UID of the binding whose ConfigMap it is.
#[must_use]
pub fn bound_by(map: &Value) -> Option<&str> {
    map.pointer("/metadata/labels")?.get(keys::BOUND_BY_LABEL)?.as_str()
}

/// Whether a ConfigMap holds the ids that the binding's status tells.
#[must_use]
pub fn holds_ids(map: &Value, binding: &Value) -> bool {
    let identity = binding.pointer("/status/identity");
    let same = |key: &str| {
        let told = identity.and_then(|identity| identity.get(key));
        told.is_some() && map.get("data").and_then(|data| data.get(key)) == told
    };
    let keys = [
        keys::EXPORTED_CLIENT_ID,
        keys::EXPORTED_TENANT_ID,
        keys::EXPORTED_PRINCIPAL_ID,
    ];
    keys.into_iter().all(same) && bound_by(map) == Some(text(binding, "/metadata/uid"))
}
