//! Plays a case against the operator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy};
use wio_azure_sim::{
    Credential, Fault, Identity, IdentityId, Permission, ResourceGroup, ResourceKind, RoleAssignment, RoleDefinition,
    Snapshot,
};
use wio_testkit::abuse::{
    AzureStep, Binding, Case, FaultStep, ForeignCredential, LOCATION, NODE_GROUP, OTHER_SUBSCRIPTION, OWN_GROUP,
    SUBSCRIPTION, Step, control_plane, group_id,
};

use wio_testkit::{Effect, Matcher};

use super::facts::{Facts, name_of};
use crate::world::{DEADLINE, World, find_condition, foreign_credential};

const LONG_AGO: &str = "2026-01-01T00:00:00Z";
/// How far lists lag behind that are stale: they show what was when they became so.
const LAG: Duration = Duration::from_hours(24);
/// Longer than any message that a person reads, and far below what an API server takes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Resource groups that cases name, so that Azure would not refuse what the operator should.
const GROUPS: [&str; 9] = [
    OWN_GROUP,
    NODE_GROUP,
    "team-a",
    "team-a-evil",
    "team-a-sandbox",
    "payments",
    "desk",
    "des\u{212a}",
    "clusters",
];

/// Plays the case. What is not as it must be is the error.
pub(super) async fn play(case: &Case) -> Result<(), String> {
    let mut world = World::new();
    world.config.group = group_id(OWN_GROUP).parse().unwrap();
    world.config.location = LOCATION.parse().unwrap();
    world.config.protected_groups = vec![group_id(NODE_GROUP).parse().unwrap()];
    world.config.protected_identities = vec![control_plane().parse().unwrap()];
    furnish(&world, case);
    world.start().await;
    for binding in &case.given.bindings {
        become_ready(&world, case, binding).await?;
    }
    let before = Facts::of(&world, case);
    for step in &case.steps {
        take(&mut world, case, step).await?;
    }
    comes_to(&world, case).await?;
    // Whatever is done only at the next look is done by then.
    sleep(world.drift_interval * 3).await;
    comes_to(&world, case).await?;
    judge(&world, case, &before)?;
    world.settle().await;
    judge(&world, case, &before)
}

/// What must hold, whatever the case is.
fn judge(world: &World, case: &Case, before: &Facts) -> Result<(), String> {
    let mut broken = before.differences(&Facts::of(world, case), &case.reconciler.stands);
    for binding in &case.given.bindings {
        if !is_ready(world, &binding.namespace(case), binding.name()) {
            let is: Option<WorkloadIdentityBinding> = world.cluster.get(&binding.namespace(case), binding.name());
            let ready = is.as_ref().and_then(|binding| find_condition(binding, "Ready"));
            broken.push(format!(
                "the binding {} of others is not ready any more: {ready:?}",
                binding.name()
            ));
        }
    }
    for binding in world.cluster.list::<WorkloadIdentityBinding>() {
        for condition in binding.status.iter().flat_map(|status| &status.conditions) {
            if condition.message.len() > MESSAGE_BYTES_MAX {
                broken.push(format!("a message of {} bytes", condition.message.len()));
            }
        }
    }
    let hosts = world.wire.hosts.lock().unwrap().clone();
    if !hosts.is_subset(&BTreeSet::from(["management.azure.com".to_owned()])) {
        broken.push(format!("requests went to {hosts:?}"));
    }
    if broken.is_empty() {
        Ok(())
    } else {
        Err(broken.join("; "))
    }
}

/// What is there before the attack, but for the bindings of others, which need the operator.
fn furnish(world: &World, case: &Case) {
    let given = &case.given;
    world.cluster.seed(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": case.namespace(), "labels": given.labels },
    }));
    for object in given.objects.iter().chain(&case.policies()) {
        world.cluster.seed(object);
    }
    let subscriptions = [SUBSCRIPTION, OTHER_SUBSCRIPTION];
    let names: BTreeSet<&str> = GROUPS
        .into_iter()
        .chain(given.identities.iter().map(|identity| identity.group.as_str()))
        .collect();
    let group = |subscription: &str, name: &str| ResourceGroup {
        subscription_id: subscription.to_owned(),
        name: name.to_owned(),
        location: LOCATION.to_owned(),
        tags: BTreeMap::new(),
        gone_at: None,
    };
    let identities = given.identities.iter().zip(1..).map(|(identity, n)| Identity {
        id: IdentityId::new(
            identity.subscription.as_deref().unwrap_or(SUBSCRIPTION),
            &identity.group,
            &identity.name,
        ),
        location: LOCATION.to_owned(),
        tags: identity.tags.clone(),
        client_id: uuid(n),
        principal_id: uuid(n + 1000),
        isolation_scope: "None".to_owned(),
        assignment_restrictions: Vec::new(),
        created_at: LONG_AGO.parse().unwrap(),
        tokens_valid_from: None,
        credentials: identity
            .credentials
            .iter()
            .map(credential)
            .chain(
                (0..identity.more_credentials)
                    .map(|n| foreign_credential(&format!("more-{n}"), &format!("repo:contoso/{n}"))),
            )
            .collect(),
    });
    let roles = given.custom_roles.iter().map(|role| RoleDefinition {
        name: role.guid.parse().unwrap(),
        role_name: role.name.clone(),
        description: None,
        custom: true,
        permissions: vec![Permission {
            actions: role.actions.clone(),
            ..Permission::default()
        }],
        assignable_scopes: vec![format!("/subscriptions/{SUBSCRIPTION}")],
        created_on: None,
        updated_on: None,
        created_by: None,
        updated_by: None,
    });
    world.azure.restore(Snapshot {
        resource_groups: subscriptions
            .into_iter()
            .flat_map(|subscription| names.iter().map(move |name| group(subscription, name)))
            .collect(),
        identities: identities.collect(),
        role_definitions: roles.collect(),
        ..Snapshot::default()
    });
}

async fn take(world: &mut World, case: &Case, step: &Step) -> Result<(), String> {
    match step {
        Step::Allowed(binding) | Step::OtherTenant(binding) => become_ready(world, case, binding).await?,
        Step::Apply(binding) => drop(world.cluster.seed(binding.object(case))),
        Step::ApplyMany(many) => {
            for number in 0..many.count() {
                world.cluster.seed(many.binding(number).object(case));
            }
        }
        Step::Edit(edit) | Step::ForgeStatus(edit) | Step::PlatformEdits(edit) => {
            let patch = filled(world, case, &edit.patch);
            change(world, &edit.kind, &edit.namespace(case), &edit.name(case), |object| {
                merge(object, &patch);
            });
        }
        Step::RemoveFinalizers(object) => {
            change(
                world,
                &object.kind,
                &object.namespace(case),
                &object.name(case),
                |object| {
                    object["metadata"]["finalizers"] = json!([]);
                },
            );
        }
        Step::Delete(object) | Step::PlatformDeletes(object) => {
            delete(world, &object.kind, &object.namespace(case), &object.name(case));
        }
        Step::Create(object) => drop(world.cluster.seed(filled(world, case, object))),
        Step::Azure(step) => change_azure(world, case, step),
        Step::Fault(fault) => fail(world, fault).await,
        Step::Restart => {
            world.stop().await;
            world.start().await;
        }
        Step::TimePasses => sleep(world.drift_interval * 2).await,
    }
    Ok(())
}

async fn fail(world: &mut World, fault: &FaultStep) {
    match fault {
        FaultStep::StatusNotWritten => {
            let statuses = Matcher::writes()
                .resource("workloadidentitybindings")
                .subresource("status");
            world.cluster.inject(statuses, Effect::internal_error());
        }
        FaultStep::StaleLists => world.azure.reconfigure(|config| config.list_lag = LAG),
        FaultStep::UnreadableScope(scope) => {
            let assignments = Fault::on("GET").kind(ResourceKind::RoleAssignment).path(scope);
            world
                .azure
                .inject(assignments.forever().respond(403, "AuthorizationFailed"));
        }
        FaultStep::SecondOperator => world.start_another().await,
        FaultStep::Mended => {
            world.cluster.clear_faults();
            world.azure.clear_faults();
            world.azure.reconfigure(|config| config.list_lag = Duration::ZERO);
        }
    }
}

fn change(world: &World, kind: &str, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
    match kind {
        "WorkloadIdentityBinding" => world.cluster.edit::<WorkloadIdentityBinding>(namespace, name, change),
        "WorkloadIdentityPolicy" => world.cluster.edit::<WorkloadIdentityPolicy>(namespace, name, change),
        "ServiceAccount" => world.cluster.edit::<ServiceAccount>(namespace, name, change),
        "Namespace" => world.cluster.edit::<Namespace>(namespace, name, change),
        _ => panic!("no case can change a {kind}"),
    };
}

fn delete(world: &World, kind: &str, namespace: &str, name: &str) {
    match kind {
        "WorkloadIdentityBinding" => world.cluster.delete::<WorkloadIdentityBinding>(namespace, name),
        "WorkloadIdentityPolicy" => world.cluster.delete::<WorkloadIdentityPolicy>(namespace, name),
        "ServiceAccount" => world.cluster.delete::<ServiceAccount>(namespace, name),
        _ => panic!("no case can delete a {kind}"),
    }
}

/// <https://www.rfc-editor.org/rfc/rfc7396>
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// Fills in what is known only now: `{uid:BINDING}`, `{client-id:IDENTITY}`, `{principal:IDENTITY}` and `{role:IDENTITY}`, the id of
/// that identity's role assignment.
fn filled(world: &World, case: &Case, value: &Value) -> Value {
    let azure = world.azure.snapshot();
    let identity = |name: &str| {
        let found = azure.identities.iter().find(|identity| name_of(case, identity) == name);
        found.unwrap_or_else(|| panic!("there is no identity {name}"))
    };
    let known = |what: &str, name: &str| match what {
        "uid" => {
            let binding: WorkloadIdentityBinding = world.cluster.get(&case.namespace(), name).unwrap();
            binding.metadata.uid.unwrap()
        }
        "client-id" => identity(name).client_id.to_string(),
        "principal" => identity(name).principal_id.to_string(),
        "role" => {
            let principal = identity(name).principal_id;
            let found = azure.role_assignments.iter().find(|it| it.principal_id == principal);
            found.unwrap().id()
        }
        _ => panic!("no case can name a {what}"),
    };
    let fill = |text: &str| match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(inner) => {
            let (what, name) = inner.split_once(':').unwrap();
            known(what, name)
        }
        None => text.to_owned(),
    };
    each_text(value, &fill)
}

fn each_text(value: &Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => json!(change(text)),
        Value::Array(items) => items.iter().map(|item| each_text(item, change)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), each_text(value, change)))
            .collect(),
        other => other.clone(),
    }
}

fn change_azure(world: &World, case: &Case, step: &AzureStep) {
    let with = |name: &str, change: &dyn Fn(&mut Identity)| {
        world.change_azure(|azure| {
            let found = azure
                .identities
                .iter_mut()
                .find(|identity| name_of(case, identity) == name);
            change(found.unwrap_or_else(|| panic!("there is no identity {name}")));
        });
    };
    match step {
        AzureStep::Plant {
            identity,
            credential: planted,
        } => {
            with(identity, &|identity| identity.credentials.push(credential(planted)));
        }
        AzureStep::Change {
            identity,
            account,
            issuer,
            subject,
            audience,
        } => with(identity, &|identity| {
            let trusts = format!("system:serviceaccount:{}", account.replacen('/', ":", 1));
            let mut all = identity.credentials.iter_mut();
            let found = all.find(|one| one.subject.as_deref() == Some(&trusts)).unwrap();
            if let Some(issuer) = issuer {
                found.issuer.clone_from(issuer);
            }
            if let Some(subject) = subject {
                found.subject = Some(subject.clone());
            }
            if let Some(audience) = audience {
                found.audiences = vec![audience.clone()];
            }
        }),
        AzureStep::Assign { identity, role, scope } => world.change_azure(|azure| {
            let mut all = azure.identities.iter();
            let principal_id = all.find(|one| name_of(case, one) == *identity).unwrap().principal_id;
            azure.role_assignments.push(RoleAssignment {
                name: uuid(7777),
                scope: scope.clone(),
                role_definition_id: role.parse().unwrap(),
                principal_id,
                principal_type: "ServicePrincipal".to_owned(),
                description: None,
                condition: None,
                condition_version: None,
                created_on: LONG_AGO.parse().unwrap(),
                updated_on: LONG_AGO.parse().unwrap(),
                created_by: "somebody".to_owned(),
            });
        }),
        AzureStep::Tag { identity, tags } => with(identity, &|identity| identity.tags.clone_from(tags)),
        AzureStep::NextLink(link) => *world.wire.next_link.lock().unwrap() = Some(link.clone()),
    }
}

fn credential(foreign: &ForeignCredential) -> Credential {
    let or = |text: &Option<String>, usual: &str| text.clone().unwrap_or_else(|| usual.to_owned());
    Credential {
        name: foreign.name.clone(),
        issuer: or(&foreign.issuer, wio_testkit::DEFAULT_ISSUER),
        subject: Some(foreign.subject.clone()),
        audiences: vec![or(&foreign.audience, "api://AzureADTokenExchange")],
        claims_matching_expression: None,
    }
}

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(0xfeed_0000_0000_4000_8000_0000_0000_0000 | n)
}

async fn become_ready(world: &World, case: &Case, binding: &Binding) -> Result<(), String> {
    world.cluster.seed(binding.object(case));
    let (namespace, name) = (binding.namespace(case), binding.name());
    wait(world, &namespace, name, &|world| is_ready(world, &namespace, name)).await
}

fn is_ready(world: &World, namespace: &str, name: &str) -> bool {
    says(world, namespace, name, "Succeeded", "")
}

fn says(world: &World, namespace: &str, name: &str, reason: &str, message: &str) -> bool {
    let binding: Option<WorkloadIdentityBinding> = world.cluster.get(namespace, name);
    let Some(binding) = binding else {
        return reason == "Gone";
    };
    find_condition(&binding, "Ready").is_some_and(|ready| {
        ready.reason == reason
            && ready.message.contains(message)
            && ready.observed_generation == binding.metadata.generation
    })
}

/// Waits until the attacking binding says what it must.
async fn comes_to(world: &World, case: &Case) -> Result<(), String> {
    let (namespace, expected) = (case.namespace(), &case.reconciler);
    let says = |world: &World| says(world, &namespace, case.attacking(), &expected.reason, &expected.message);
    wait(world, &namespace, case.attacking(), &says)
        .await
        .map_err(|is| format!("{} ({:?}) was waited for, and {is}", expected.reason, expected.message))
}

async fn wait(world: &World, namespace: &str, name: &str, holds: &dyn Fn(&World) -> bool) -> Result<(), String> {
    let begun = Instant::now();
    while !holds(world) {
        if begun.elapsed() > DEADLINE {
            let binding: Option<WorkloadIdentityBinding> = world.cluster.get(namespace, name);
            let ready = binding.as_ref().map(|binding| find_condition(binding, "Ready"));
            return Err(format!("{name} is {ready:?}"));
        }
        sleep(Duration::from_millis(200).max(begun.elapsed() / 50)).await;
    }
    Ok(())
}
