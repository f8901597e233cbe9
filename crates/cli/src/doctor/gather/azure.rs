//! Azure, as the caller's login shows it.

use std::collections::{BTreeMap, BTreeSet};

use futures::future;
use jiff::{SignedDuration, Timestamp};
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityEffectivePolicy};
use wio_azure::{Azure, ManagedClusterId};
use wio_core::fault::AzureFault;
use wio_core::names::{IdentityId, Scope};
use wio_core::observed::ObservedCredential;

use crate::session::Discovery;

use super::super::facts::{CLUSTER_ID, Looked, OnAzure, Operator, OwnRights, Unseen, seen};
use super::super::own_roles::needs;
use super::own_roles;

const NOT_ASKED: &str = "Azure was not asked: give --cluster-id, or --azure, with an Azure login";
const WHICH: &str = "give --cluster-id, the resource id of the cluster";
/// That of AKS's own identity bindings, which it keeps itself.
const OF_AKS: &str = "aks-identity-binding";
/// The most identities that are looked at: each costs a read.
const AT_MOST: usize = 100;

/// The way to Azure, and which cluster it is there.
pub(crate) struct Way {
    pub(crate) azure: Looked<Azure>,
    pub(crate) id: Option<ManagedClusterId>,
}

/// What the rest of the examination tells of what is to be looked at.
pub(super) struct Known<'a> {
    pub(super) bindings: &'a Looked<Vec<WorkloadIdentityBinding>>,
    pub(super) discovery: &'a Looked<Discovery>,
    pub(super) operator: &'a Operator,
    pub(super) effective: &'a Looked<Option<WorkloadIdentityEffectivePolicy>>,
}

pub(super) async fn on_azure(way: Option<&Way>, around: Known<'_>) -> OnAzure {
    let id = way.and_then(|way| way.id.clone());
    let azure = match way.map(|way| seen(&way.azure)) {
        Some(Ok(azure)) => azure,
        Some(Err(why)) => return nothing(id, &why),
        None => return nothing(id, &Unseen::nothing(NOT_ASKED)),
    };
    let (strangers, rights, time) = future::join3(
        strangers(azure, around.bindings, around.discovery),
        rights(azure, &around),
        ahead(azure),
    )
    .await;
    let Some(known) = &id else {
        return OnAzure {
            strangers,
            rights,
            ahead: time,
            ..nothing(id, &Unseen::nothing(WHICH))
        };
    };
    let cluster = azure.get_managed_cluster(known).await.map_err(|fault| told(&fault));
    let (assignments, roles) = match known.to_string().parse::<Scope>() {
        Ok(scope) => {
            let (assignments, roles) =
                future::join(azure.list_all_role_assignments(&scope), azure.list_custom_roles(&scope)).await;
            (
                assignments.map_err(|unlisted| told(&unlisted.fault)),
                roles.map_err(|fault| told(&fault)),
            )
        }
        Err(error) => {
            let why = Unseen::from(error.to_string());
            (Err(why.clone()), Err(why))
        }
    };
    OnAzure {
        cluster,
        assignments: assignments.map(|listed| listed.entries),
        roles,
        rights,
        ahead: time,
        strangers,
        id,
    }
}

/// How far the clock of Entra is ahead of the one here.
async fn ahead(azure: &Azure) -> Looked<SignedDuration> {
    let there = azure.time_of_entra().await.map_err(|why| why.to_string())?;
    Ok(there.duration_since(Timestamp::now()))
}

/// What the operator's own identity may do.
async fn rights(azure: &Azure, around: &Known<'_>) -> Looked<OwnRights> {
    let client_id = around.operator.client_id()?;
    let effective = seen(around.effective)?.as_ref();
    let effective = &effective
        .ok_or_else(|| Unseen::nothing("there is no merged policy, which names its subscription"))?
        .spec;
    let operator = own_roles::Operator {
        client_id: client_id.parse().map_err(|error| format!("{client_id}: {error}"))?,
        subscription: effective
            .subscription_id
            .parse()
            .map_err(|error| format!("the subscription of its merged policy: {error}"))?,
    };
    let settings = seen(&around.operator.settings)?;
    let cluster = settings.get(CLUSTER_ID).map(String::as_str);
    let needs = needs(effective, cluster, around.operator.own(around.bindings)?);
    own_roles::own_rights(azure, &operator, &needs).await
}

fn nothing(id: Option<ManagedClusterId>, why: &Unseen) -> OnAzure {
    OnAzure {
        id,
        cluster: Err(why.clone()),
        assignments: Err(why.clone()),
        roles: Err(why.clone()),
        rights: Err(why.clone()),
        ahead: Err(why.clone()),
        strangers: Err(why.clone()),
    }
}

fn told(fault: &AzureFault) -> Unseen {
    fault.to_string().into()
}

/// The credentials that trust this cluster on identities of bindings, and that no binding records.
async fn strangers(
    azure: &Azure,
    bindings: &Looked<Vec<WorkloadIdentityBinding>>,
    discovery: &Looked<Discovery>,
) -> Looked<Vec<String>> {
    let issuer = &seen(discovery)?.issuer;
    let recorded = recorded(seen(bindings)?);
    if recorded.len() > AT_MOST {
        return Err(format!(
            "bindings have {} identities, and no more than {AT_MOST} are looked at",
            recorded.len()
        )
        .into());
    }
    let mut strangers = Vec::new();
    for (identity, known) in &recorded {
        let listed = azure.list_credentials(identity).await.map_err(|fault| told(&fault))?;
        let is_stranger = |one: &&ObservedCredential| {
            let name = one.name.to_string();
            one.issuer == *issuer && !known.contains(&name) && !name.eq_ignore_ascii_case(OF_AKS)
        };
        strangers.extend(listed.iter().filter(is_stranger).map(|one| {
            let subject = one.subject.as_deref().unwrap_or("an expression");
            format!("{} of {identity} trusts {subject}", one.name)
        }));
    }
    Ok(strangers)
}

/// The identities of bindings, with the names of the credentials that bindings know there.
fn recorded(bindings: &[WorkloadIdentityBinding]) -> BTreeMap<IdentityId, BTreeSet<String>> {
    let mut recorded: BTreeMap<IdentityId, BTreeSet<String>> = BTreeMap::new();
    for status in bindings.iter().filter_map(|binding| binding.status.as_ref()) {
        let identity = status
            .identity
            .as_ref()
            .and_then(|identity| identity.resource_id.parse().ok());
        let Some(identity) = identity else { continue };
        let known = recorded.entry(identity).or_default();
        known.extend(status.federated_credentials.iter().map(|one| one.name.clone()));
        known.extend(status.retiring_federated_credentials.iter().map(|one| one.name.clone()));
        known.extend(
            status
                .service_accounts
                .iter()
                .filter_map(|one| one.foreign_credential.clone()),
        );
    }
    recorded
}
