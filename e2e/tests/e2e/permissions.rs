//! What the operator may do in the cluster and in Azure, and what it does.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use wio_api::keys::CLIENT_ID_ANNOTATION;
use wio_api::{ConditionType, Reason};
use wio_e2e::audit::AuditEvent;
use wio_e2e::azure_roles::{self, AzureRole, Granted};
use wio_e2e::namespace::DEADLINE;
use wio_e2e::operator::{NAME, NAMESPACE, SHORT, SWEEP_INTERVAL, USER};
use wio_e2e::process::Signal;
use wio_e2e::simulator::{PLATFORM_GROUP, ROLE_OF_WORKLOADS, group_id, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::deletion::WATCHED;
use crate::exporting;
use crate::harness::{Case, case};
use crate::restarts;

/// The action by which the activity log is read.
const ACTIVITY_LOG: &str = "Microsoft.Insights/eventtypes/values/read";

/// Its roles in the namespaces in which it acts, as in `config/rbac`.
const ACCOUNTS: &str = "workload-identity-operator-accounts";
const EVENTS: &str = "workload-identity-operator-events";

/// Its role where bindings export, as in `config/rbac`, which `config/exports` binds.
const EXPORTS: &str = "workload-identity-operator-exports";

/// Its role where readiness is proven, which `config/verification` binds.
const VERIFICATION: &str = "workload-identity-operator-verification";

/// Its role where it looks at pods, which `config/workloads` binds.
const WORKLOADS: &str = "workload-identity-operator-workloads";

/// Its role where it restarts owners of pods, which `config/rollouts` binds.
const ROLLOUTS: &str = "workload-identity-operator-rollouts";

/// Its role in its own namespace, as in `config/rbac`.
const ELECTION: &str = "workload-identity-operator-election";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(the_operator_uses_each_permission_that_config_rbac_grants_and_no_other)
            .alone()
            .on_own_cluster(),
        case!(the_operator_has_no_role_but_those_of_config_rbac),
        case!(the_operator_uses_each_azure_action_that_config_azure_grants_and_no_other).alone(),
        case!(the_operator_has_no_role_in_azure_but_those_of_config_azure),
        case!(the_condition_of_config_azure_withholds_what_a_policy_gives_by_mistake),
    ]
}

/// Something that may be done: the API group and resource, or a path, and the verb.
type Permission = (String, String);

/// One life of a binding, with everything that can happen in it, and then the audit log since the first start.
async fn the_operator_uses_each_permission_that_config_rbac_grants_and_no_other(world: Arc<World>) -> Result<()> {
    // As one of several, as which it is installed.
    let mut operator = world.operator.lock().await;
    operator.elect(true);
    operator.restart(Signal::Terminate).await?;
    let used = each_permission_is_used(&world).await;
    operator.elect(false);
    operator.restart(Signal::Terminate).await?;
    used
}

async fn each_permission_is_used(world: &World) -> Result<()> {
    let namespace = world.namespace("permissions").await?;
    let audit = world.cluster.audit()?;
    let spec = json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "orders" }],
        "export": { "configMap": { "name": "ids" } },
        "verification": { "mode": "TokenExchange" },
    });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    exporting::is_put_back(&namespace, "ids").await?;
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
    restarts::of_each_kind(&namespace).await?;

    let roles: Api<ClusterRole> = Api::all(world.cluster.client.clone());
    let mut granted = permissions(&roles.get(NAME).await?.rules.unwrap_or_default());
    for role in [ACCOUNTS, EVENTS, EXPORTS, VERIFICATION, WORKLOADS, ROLLOUTS] {
        granted.extend(permissions(&roles.get(role).await?.rules.unwrap_or_default()));
    }
    let own: Api<Role> = Api::namespaced(world.cluster.client.clone(), NAMESPACE);
    granted.extend(permissions(&own.get(ELECTION).await?.rules.unwrap_or_default()));
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
        .filter(|event| event.unauthorized && event.namespace != WATCHED)
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
    let discovery = "system:service-account-issuer-discovery";
    let namespaced = [ACCOUNTS, EVENTS, EXPORTS, VERIFICATION, WORKLOADS, ROLLOUTS];
    let expected = [&[NAME, discovery][..], &namespaced].concat();
    let expected = expected.into_iter().map(str::to_owned).collect();
    ensure!(roles == expected, "{roles:?}");
    let local = Api::<RoleBinding>::all(client.clone()).list(&everything).await?;
    let local: Vec<_> = local
        .into_iter()
        .filter(|it| is_operator(it.subjects.clone()))
        .collect();
    let roles: Vec<(Option<String>, String)> = local
        .into_iter()
        .map(|binding| (binding.metadata.namespace, binding.role_ref.name))
        .collect();
    ensure!(
        roles == [(Some(NAMESPACE.to_owned()), ELECTION.to_owned())],
        "{roles:?}"
    );
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

/// A life of a binding of each kind, and then the simulator's log since the start. Every role counts by itself: an action
/// is used when it was asked for where that very role was assigned.
async fn the_operator_uses_each_azure_action_that_config_azure_grants_and_no_other(world: Arc<World>) -> Result<()> {
    // Lists and the activity log are followed, as where it is installed.
    sweep_every(&world, "8s").await?;
    let used = each_azure_action_is_used(&world).await;
    sweep_every(&world, SHORT).await?;
    used
}

async fn sweep_every(world: &World, interval: &str) -> Result<()> {
    let mut operator = world.operator.lock().await;
    operator.set(SWEEP_INTERVAL, interval);
    operator.restart(Signal::Terminate).await
}

async fn each_azure_action_is_used(world: &World) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("azure-permissions").await?);
    let existing = identity_id(PLATFORM_GROUP, "azure-permissions");
    simulator.put_identity(&existing).await?;
    let managed = json!({
        "identity": { "managed": { "tags": { "team": "shop" } } },
        "serviceAccounts": [{ "name": "managed" }],
        "roleAssignments": [{ "role": ROLE_OF_WORKLOADS, "scope": group_id(PLATFORM_GROUP) }],
    });
    let existing = json!({
        "identity": { "existing": { "resourceId": existing } },
        "serviceAccounts": [{ "name": "existing" }],
    });
    let lived = async {
        namespace.bind("managed", &managed).await?;
        namespace.bind("existing", &existing).await?;
        namespace.all_ready().await?;
        // It is read again and again while there is a binding whose changes it may tell of.
        until("the activity log to be read", DEADLINE, async || {
            let sent = azure_requests(world).await?;
            Ok(sent.iter().any(|(_, action)| action == ACTIVITY_LOG).then_some(()))
        })
        .await?;
        namespace.delete("managed").await?;
        namespace.delete("existing").await
    };
    // Without an action the life stands still, and what it lacked is the better news.
    let lived = lived.await;

    let granted = azure_roles::granted()?;
    let sent = azure_requests(world).await?;
    // The sweep for orphans lists wherever a policy lets identities stand, and other tests have policies for places without a role.
    let may_be_refused = |path: &str, action: &str| azure_roles::is_list_elsewhere(&granted, path, action);
    let refused: BTreeSet<String> = sent
        .iter()
        .filter(|(path, action)| !may_be_refused(path, action))
        .filter(|(path, action)| {
            let grants = |one: &Granted| one.reaches(path) && one.role.actions.contains(action);
            !granted.iter().any(grants)
        })
        .map(|(path, action)| format!("{action} at {path}"))
        .collect();
    ensure!(refused.is_empty(), "used and not granted by config/azure: {refused:#?}");
    lived?;
    let mut unused = BTreeSet::new();
    for file in azure_roles::files()? {
        let places: Vec<&Granted> = granted.iter().filter(|one| one.file == file).collect();
        for action in &AzureRole::read(&file)?.actions {
            let used = |place: &Granted| sent.iter().any(|(path, sent)| sent == action && place.reaches(path));
            if !places.iter().any(|place| used(place)) {
                unused.insert(format!("{action} of {file}"));
            }
        }
    }
    ensure!(unused.is_empty(), "granted by config/azure and never used: {unused:#?}");
    Ok(())
}

async fn the_operator_has_no_role_in_azure_but_those_of_config_azure(world: Arc<World>) -> Result<()> {
    let principal = world.operator.lock().await.principal().principal_id.clone();
    let snapshot = world.simulator.snapshot().await?;
    let held: Vec<_> = snapshot
        .role_assignments
        .iter()
        .filter(|one| one.principal_id.to_string() == principal)
        .collect();
    let mut expected = BTreeSet::new();
    for file in azure_roles::files()? {
        let role = AzureRole::read(&file)?;
        let wild: Vec<&String> = role.actions.iter().filter(|action| action.contains('*')).collect();
        ensure!(wild.is_empty(), "{wild:?} of {file}");
        expected.insert(role.guid());
    }
    let roles: BTreeSet<String> = held.iter().map(|one| one.role_definition_id.to_string()).collect();
    ensure!(roles == expected, "{roles:?} is not {expected:?}");
    let assigns = AzureRole::read(azure_roles::ROLE_ASSIGNMENTS)?.guid();
    for one in held.iter().filter(|one| one.role_definition_id.to_string() == assigns) {
        ensure!(one.condition == Some(azure_roles::condition()?), "{one:?}");
    }
    Ok(())
}

/// The last line: somebody writes a policy that gives more than the platform team lets the operator assign.
async fn the_condition_of_config_azure_withholds_what_a_policy_gives_by_mistake(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("condition").await?;
    let scope = group_id(PLATFORM_GROUP);
    let policy = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityPolicy",
        "metadata": { "name": "condition" },
        "spec": {
            "namespaces": { "names": ["condition"] },
            "roles": [{ "role": "Contributor", "scopes": [scope] }],
        },
    });
    world.cluster.kubectl.apply(&policy.to_string()).await?;
    let spec = json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "orders" }],
        "roleAssignments": [{ "role": "Contributor", "scope": scope }],
    });
    namespace.bind("orders", &spec).await?;
    namespace
        .condition("orders", ConditionType::Ready, "False", Reason::RoleAccessDenied)
        .await?;
    let id = namespace.identity("orders").await?.principal_id;
    let given = world.simulator.snapshot().await?.role_assignments;
    ensure!(given.iter().all(|one| one.principal_id.to_string() != id), "{given:#?}");
    world.cluster.kubectl.run(&["delete", "wip/condition"]).await?;
    namespace.delete("orders").await
}

/// The paths that the operator sent to Azure Resource Manager, and the action that a role must grant for each.
async fn azure_requests(world: &World) -> Result<Vec<(String, String)>> {
    let principal = world.operator.lock().await.principal().principal_id.clone();
    let all = world.simulator.requests().await?;
    let sent = all.into_iter().filter(|one| one.principal.as_ref() == Some(&principal));
    Ok(sent
        .map(|one| {
            let unknown = || format!("{} of something that the simulator does not know", one.method);
            (one.path, one.action.unwrap_or_else(unknown))
        })
        .collect())
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
        // The kinds of which single objects may be read. A list has a name too, where it asks for the object of a name alone.
        ("namespaces" | "customresourcedefinitions", "") if verb == "get" => format!("{group}/{resource}/{name}"),
        // Creations cannot be limited to a name.
        ("leases", "") if verb != "create" => format!("{group}/{resource}/{name}"),
        (_, "") => format!("{group}/{resource}"),
        _ => format!("{group}/{resource}/{subresource}"),
    };
    let created = (verb == "patch" && event.code == 201).then(|| (object.clone(), "create".to_owned()));
    created.into_iter().chain([(object, verb.clone())]).collect()
}
