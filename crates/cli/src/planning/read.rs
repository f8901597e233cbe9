//! Reading a cluster with the caller's own rights.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use futures::try_join;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace as NamespaceObject, ServiceAccount};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use wio_api::{
    ConditionType, EFFECTIVE_POLICY_NAME, Reason, WorkloadIdentityBinding, WorkloadIdentityEffectivePolicy,
    WorkloadIdentityPolicy,
};
use wio_core::cluster::{Belief, Cluster};
use wio_core::config::OperatorConfig;
use wio_core::names::{Audience, ClusterId, Issuer};
use wio_core::settings_change::in_force;

use super::world::World;
use crate::session::{Session, told};

/// Reads everything that a forecast rests on. What only narrows it is noted when it cannot be read.
///
/// # Errors
/// What nothing can be foretold without.
pub(crate) async fn read(session: &Session) -> anyhow::Result<World> {
    let mut not_read = Vec::new();
    let all = ListParams::default();
    let policies: Api<WorkloadIdentityPolicy> = Api::all(session.client.clone());
    let effective: Api<WorkloadIdentityEffectivePolicy> = Api::all(session.client.clone());
    let (id, issuer, policies, effective) = try_join!(
        cluster_id(session),
        issuer(session),
        async { policies.list(&all).await.map_err(told).context("the policies") },
        async {
            effective
                .get(EFFECTIVE_POLICY_NAME)
                .await
                .map_err(told)
                .context("the effective policy")
        },
    )?;
    let bindings = bindings(session, &mut not_read).await?;
    let config = config(&effective, &bindings)?;
    Ok(World {
        cluster: Cluster {
            id,
            belief: Belief::Believed,
            replaced: BTreeSet::new(),
            issuer,
        },
        config: Arc::new(config),
        namespaces: namespaces(session).await?,
        accounts: accounts(session, &mut not_read).await?,
        policies: policies.items,
        now: Timestamp::now(),
        bindings,
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
    Ok(session.issuer().await?.parse()?)
}

async fn bindings(session: &Session, not_read: &mut Vec<String>) -> anyhow::Result<Vec<WorkloadIdentityBinding>> {
    let everywhere: Api<WorkloadIdentityBinding> = Api::all(session.client.clone());
    match everywhere.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(error) => {
            not_read.push(format!("bindings of other namespaces: {}", told(error)));
            Ok(session
                .bindings()
                .list(&ListParams::default())
                .await
                .map_err(told)?
                .items)
        }
    }
}

async fn accounts(
    session: &Session,
    not_read: &mut Vec<String>,
) -> anyhow::Result<Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>> {
    let everywhere: Api<ServiceAccount> = Api::all(session.client.clone());
    let found = match everywhere.list_metadata(&ListParams::default()).await {
        Ok(found) => found,
        Err(error) => {
            not_read.push(format!("service accounts of other namespaces: {}", told(error)));
            let own: Api<ServiceAccount> = Api::namespaced(session.client.clone(), &session.namespace);
            let found = own.list_metadata(&ListParams::default()).await;
            found.map_err(told).context("the service accounts")?
        }
    };
    Ok(found.items.into_iter().map(|account| account.metadata).collect())
}

async fn namespaces(
    session: &Session,
) -> anyhow::Result<BTreeMap<wio_core::names::Namespace, BTreeMap<String, String>>> {
    let api: Api<NamespaceObject> = Api::all(session.client.clone());
    let found = match api.list_metadata(&ListParams::default()).await {
        Ok(found) => found.items,
        // Bindings of other namespaces cannot be read then either.
        Err(_) => vec![
            api.get_metadata(&session.namespace)
                .await
                .map_err(told)
                .with_context(|| format!("the labels of namespace {}", session.namespace))?,
        ],
    };
    let labels = found
        .into_iter()
        .filter_map(|one| Some((one.name_any().parse().ok()?, one.labels().clone())));
    Ok(labels.collect())
}

/// The operator's configuration, from what it keeps in the cluster. What is not kept there is taken from what bindings show.
fn config(
    effective: &WorkloadIdentityEffectivePolicy,
    bindings: &[WorkloadIdentityBinding],
) -> anyhow::Result<OperatorConfig> {
    let trusting = || bindings.iter().filter_map(|one| Some((one, one.status.as_ref()?)));
    let mut by_default = trusting().filter(|(binding, _)| binding.spec.audience.is_none());
    let audience =
        by_default.find_map(|(_, status)| status.federated_credentials.first()?.audience.parse::<Audience>().ok());
    let audience = match audience {
        Some(audience) => audience,
        None => Audience::DEFAULT.parse()?,
    };
    // Whether the operator may use an issuer that Entra cannot reach only it knows, and says so where it may not.
    let unreachable = trusting().any(|(_, status)| {
        let ready = status.condition(ConditionType::Ready);
        ready.is_some_and(|ready| ready.reason == Reason::IssuerUnreachable.as_str())
    });
    in_force(&effective.spec.accepted, audience, !unreachable)
        .context("the operator's settings in the effective policy")
}
