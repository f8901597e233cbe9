//! What the operator may do in the cluster, and what it does.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, Subject};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use wio_api::keys::CLIENT_ID_ANNOTATION;
use wio_api::{ConditionType, Reason};
use wio_e2e::audit::AuditEvent;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::operator::{NAME, NAMESPACE, USER};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(the_operator_uses_each_permission_that_config_rbac_grants_and_no_other).on_own_cluster(),
        case!(the_operator_has_no_role_but_those_of_config_rbac),
    ]
}

/// Something that may be done: the API group and resource, or a path, and the verb.
type Permission = (String, String);

/// One life of a binding, with everything that can happen in it, and then the audit log since the first start.
async fn the_operator_uses_each_permission_that_config_rbac_grants_and_no_other(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("permissions").await?;
    let audit = world.cluster.own().context("it needs the audit log")?.audit();
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    // The same Event a second time is told by a patch of the first.
    namespace
        .annotate("orders", &[&format!("{CLIENT_ID_ANNOTATION}=by-hand")])
        .await?;
    namespace
        .condition("shop", ConditionType::Ready, "False", Reason::ServiceAccountConflict)
        .await?;
    namespace
        .annotate("orders", &[&format!("{CLIENT_ID_ANNOTATION}-")])
        .await?;
    namespace.ready("shop").await?;
    until("the event to be counted", DEADLINE, async || {
        let events = audit.all()?;
        let counted = events
            .iter()
            .any(|it| it.user == USER && it.resource == "events" && it.verb == "patch");
        Ok(counted.then_some(()))
    })
    .await?;
    namespace.delete("shop").await?;

    let roles: Api<ClusterRole> = Api::all(world.cluster.client.clone());
    let granted = permissions(&roles.get(NAME).await?.rules.unwrap_or_default());
    let discovery = permissions(
        &roles
            .get("system:service-account-issuer-discovery")
            .await?
            .rules
            .unwrap_or_default(),
    );
    let events: Vec<AuditEvent> = audit.all()?.into_iter().filter(|event| event.user == USER).collect();
    let forbidden: Vec<String> = events
        .iter()
        .filter(|event| event.unauthorized)
        .map(ToString::to_string)
        .collect();
    ensure!(forbidden.is_empty(), "asked for and forbidden: {forbidden:#?}");
    let used: BTreeSet<Permission> = events.iter().flat_map(needed).collect();
    let unused: Vec<&Permission> = granted.difference(&used).collect();
    ensure!(unused.is_empty(), "granted by config/rbac and never used: {unused:?}");
    let others: Vec<&Permission> = used
        .iter()
        .filter(|it| !granted.contains(*it) && !discovery.contains(*it))
        .collect();
    ensure!(others.is_empty(), "used and not granted by config/rbac: {others:?}");
    Ok(())
}

async fn the_operator_has_no_role_but_those_of_config_rbac(world: Arc<World>) -> Result<()> {
    let client = &world.cluster.client;
    let is_operator = |subjects: Option<Vec<Subject>>| {
        subjects
            .into_iter()
            .flatten()
            .any(|subject| match subject.kind.as_str() {
                "ServiceAccount" => subject.name == NAME && subject.namespace.as_deref() == Some(NAMESPACE),
                "User" => subject.name == USER,
                // `system:authenticated` and `system:serviceaccounts` are everybody's.
                _ => subject.name == format!("system:serviceaccounts:{NAMESPACE}"),
            })
    };
    let everything = ListParams::default();
    let whole = Api::<ClusterRoleBinding>::all(client.clone()).list(&everything).await?;
    let roles: BTreeSet<String> = whole
        .into_iter()
        .filter(|binding| is_operator(binding.subjects.clone()))
        .map(|binding| binding.role_ref.name)
        .collect();
    let expected = [NAME, "system:service-account-issuer-discovery"].map(str::to_owned);
    ensure!(roles == BTreeSet::from(expected), "{roles:?}");
    let local = Api::<RoleBinding>::all(client.clone()).list(&everything).await?;
    let local: Vec<_> = local
        .into_iter()
        .filter(|it| is_operator(it.subjects.clone()))
        .collect();
    ensure!(local.is_empty(), "{local:?}");
    let granted = Api::<ClusterRole>::all(client.clone())
        .get(NAME)
        .await?
        .rules
        .unwrap_or_default();
    let wild: Vec<Permission> = permissions(&granted)
        .into_iter()
        .filter(|(what, verb)| what.contains('*') || verb.contains('*'))
        .collect();
    ensure!(wild.is_empty(), "{wild:?}");
    Ok(())
}

/// What rules allow. A name to which a rule is limited is part of it.
fn permissions(rules: &[PolicyRule]) -> BTreeSet<Permission> {
    let mut all = BTreeSet::new();
    for rule in rules {
        let mut objects: Vec<String> = rule.non_resource_urls.clone().unwrap_or_default();
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                match rule.resource_names.as_deref() {
                    None | Some([]) => objects.push(format!("{group}/{resource}")),
                    Some(names) => objects.extend(names.iter().map(|name| format!("{group}/{resource}/{name}"))),
                }
            }
        }
        for verb in &rule.verbs {
            all.extend(objects.iter().map(|object| (object.clone(), verb.clone())));
        }
    }
    all
}

/// What a request needed. An apply that creates needs both permissions, and is told of as a patch that was answered with 201.
fn needed(event: &AuditEvent) -> Vec<Permission> {
    let AuditEvent {
        group,
        resource,
        subresource,
        name,
        uri,
        verb,
        ..
    } = event;
    let object = match (resource.as_str(), subresource.as_str()) {
        ("", _) => uri.split('?').next().unwrap_or_default().to_owned(),
        // The one kind of which one object may be read, and the others' metadata only listed.
        ("namespaces", "") if !name.is_empty() => format!("{group}/{resource}/{name}"),
        (_, "") => format!("{group}/{resource}"),
        _ => format!("{group}/{resource}/{subresource}"),
    };
    let created = (verb == "patch" && event.code == 201).then(|| (object.clone(), "create".to_owned()));
    created.into_iter().chain([(object, verb.clone())]).collect()
}
