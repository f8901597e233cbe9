//! Reading a cluster with the caller's own rights.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use futures::try_join;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::ListParams;
use wio_api::{
    ConditionType, EFFECTIVE_POLICY_NAME, EffectiveDefaults, Reason, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus, WorkloadIdentityEffectivePolicy, WorkloadIdentityPolicy,
};
use wio_core::cluster::{Belief, Cluster};
use wio_core::config::OperatorConfig;
use wio_core::names::{Audience, ClusterId, Issuer, Namespace};
use wio_core::settings_change::in_force;

use super::world::{World, key};
use crate::pages::{list, list_metadata};
use crate::session::{Session, told};

/// Reads everything that a forecast rests on: of all namespaces, or else of those that are meant. What only narrows it is noted when it cannot be
/// read.
///
/// # Errors
/// What nothing can be foretold without.
pub(crate) async fn read(session: &Session, meant: &BTreeSet<String>) -> anyhow::Result<World> {
    let mut not_read = Vec::new();
    let all = ListParams::default();
    let policies: Api<WorkloadIdentityPolicy> = Api::all(session.client.clone());
    let effective: Api<WorkloadIdentityEffectivePolicy> = Api::all(session.client.clone());
    let (id, issuer, policies, effective) = try_join!(
        cluster_id(session),
        issuer(session),
        async { list(&policies, &all).await.map_err(told).context("the policies") },
        async {
            effective
                .get(EFFECTIVE_POLICY_NAME)
                .await
                .map_err(told)
                .context("the effective policy")
        },
    )?;
    let bindings = bindings(session, meant, &mut not_read).await?;
    let config = config(&effective, &bindings, &mut not_read)?;
    let accounts = accounts(session, meant, &mut not_read).await?;
    Ok(World {
        cluster: Cluster {
            id,
            belief: Belief::Believed,
            replaced: BTreeSet::new(),
            issuer,
        },
        config: Arc::new(config),
        namespaces: namespaces(session, meant).await?,
        accounts: accounts
            .into_iter()
            .filter_map(|one| Some(((one.namespace.clone()?, one.name.clone()?), one)))
            .collect(),
        policies,
        now: Timestamp::now(),
        bindings: bindings.into_iter().filter_map(|one| Some((key(&one)?, one))).collect(),
        not_read,
    })
}

async fn cluster_id(session: &Session) -> anyhow::Result<ClusterId> {
    let namespaces: Api<NamespaceObject> = Api::all(session.client.clone());
    let found = namespaces.get_metadata("kube-system").await;
    let found = found
        .map_err(told)
        .context("the UID of namespace kube-system, which derived names carry")?;
    Ok(found.metadata.uid.unwrap_or_default().parse()?)
}

async fn issuer(session: &Session) -> anyhow::Result<Issuer> {
    Ok(session.discovery().await?.issuer.parse()?)
}

async fn bindings(
    session: &Session,
    meant: &BTreeSet<String>,
    not_read: &mut Vec<String>,
) -> anyhow::Result<Vec<WorkloadIdentityBinding>> {
    let all = ListParams::default();
    match list(&Api::all(session.client.clone()), &all).await {
        Ok(found) => return Ok(found),
        Err(error) => not_read.push(format!("bindings of other namespaces: {}", told(error))),
    }
    let mut found = Vec::new();
    for namespace in meant {
        let own: Api<WorkloadIdentityBinding> = Api::namespaced(session.client.clone(), namespace);
        let listed = list(&own, &all).await.map_err(told);
        found.extend(listed.with_context(|| format!("the bindings of namespace {namespace}"))?);
    }
    Ok(found)
}

async fn accounts(
    session: &Session,
    meant: &BTreeSet<String>,
    not_read: &mut Vec<String>,
) -> anyhow::Result<Vec<ObjectMeta>> {
    let all = ListParams::default();
    let everywhere: Api<ServiceAccount> = Api::all(session.client.clone());
    match list_metadata(&everywhere, &all).await {
        Ok(found) => return Ok(found),
        Err(error) => not_read.push(format!("service accounts of other namespaces: {}", told(error))),
    }
    let mut found = Vec::new();
    for namespace in meant {
        let own: Api<ServiceAccount> = Api::namespaced(session.client.clone(), namespace);
        let listed = list_metadata(&own, &all).await.map_err(told);
        found.extend(listed.with_context(|| format!("the service accounts of namespace {namespace}"))?);
    }
    Ok(found)
}

async fn namespaces(
    session: &Session,
    meant: &BTreeSet<String>,
) -> anyhow::Result<BTreeMap<Namespace, BTreeMap<String, String>>> {
    let api: Api<NamespaceObject> = Api::all(session.client.clone());
    // Where they cannot be listed, bindings of other namespaces cannot be read either.
    let found = if let Ok(found) = list_metadata(&api, &ListParams::default()).await {
        found
    } else {
        let mut found = Vec::new();
        for namespace in meant {
            let one = api.get_metadata_opt(namespace).await.map_err(told);
            let one = one.with_context(|| format!("the labels of namespace {namespace}"))?;
            found.extend(one.map(|one| one.metadata));
        }
        found
    };
    let labels = found
        .into_iter()
        .filter_map(|one| Some((one.name?.parse().ok()?, one.labels.unwrap_or_default())));
    Ok(labels.collect())
}

/// The operator's configuration, from what it keeps in the cluster.
fn config(
    effective: &WorkloadIdentityEffectivePolicy,
    bindings: &[WorkloadIdentityBinding],
    not_read: &mut Vec<String>,
) -> anyhow::Result<OperatorConfig> {
    let kept = effective.spec.defaults.clone();
    let defaults = kept.unwrap_or_else(|| {
        not_read.push(NOT_KEPT.to_owned());
        shown(bindings)
    });
    in_force(&effective.spec.accepted, &defaults).context("the operator's settings in the effective policy")
}

/// What the plan of an older operator, which does not say by what it fills in what bindings leave open, does not rest on.
const NOT_KEPT: &str = "which tags the operator puts on identities and which it ignores, and whether it proves bindings that do not say (--default-tag, \
                        --ignored-tag, --verification): it is older than this plugin and does not tell, so the plan is as if they were not set";

/// As much of these settings as bindings show.
fn shown(bindings: &[WorkloadIdentityBinding]) -> EffectiveDefaults {
    let trusting = || bindings.iter().filter_map(|one| Some((one, one.status.as_ref()?)));
    // One whose spec was changed since may have the credentials of what it asked for before.
    let is_settled = |(binding, status): &(&WorkloadIdentityBinding, &WorkloadIdentityBindingStatus)| {
        let ready = status.condition(ConditionType::Ready);
        status.observed_generation == binding.metadata.generation && ready.is_some_and(|ready| ready.status == "True")
    };
    let mut by_default = trusting().filter(|one| one.0.spec.audience.is_none() && is_settled(one));
    let audience = by_default.find_map(|(_, status)| {
        let audience = &status.federated_credentials.first()?.audience;
        audience.parse::<Audience>().is_ok().then(|| audience.clone())
    });
    // Whether the operator may use an issuer that Entra cannot reach only it knows, and says so where it may not.
    let unreachable = trusting().any(|(_, status)| {
        let ready = status.condition(ConditionType::Ready);
        ready.is_some_and(|ready| ready.reason == Reason::IssuerUnreachable.as_str())
    });
    EffectiveDefaults {
        audience: audience.unwrap_or_else(|| Audience::DEFAULT.to_owned()),
        allow_private_issuer: !unreachable,
        ..EffectiveDefaults::default()
    }
}
