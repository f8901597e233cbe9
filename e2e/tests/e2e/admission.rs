//! What admission says at `kubectl apply`, with the policies that the operator merged and without the operator.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::{ConditionType, Reason, WorkloadIdentityPolicy};
use wio_core::config::OperatorConfig;
use wio_core::policy::{Policies, merge};
use wio_e2e::cluster::Cluster;
use wio_e2e::namespace::{DEADLINE, Namespace, REFUSED};
use wio_e2e::operator::{AUDIENCE, NODE_GROUP};
use wio_e2e::scratch::Scratch;
use wio_e2e::simulator::{LOCATION, OTHER_GROUP, RESOURCE_GROUP, group_id, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};
use crate::install::in_repository;

mod record;
mod table;

use record::{
    only_the_operator_and_administrators_take_the_finalizer_off, only_the_operator_and_administrators_write_the_status,
    whatever_ends_a_binding_in_kubernetes_still_ends_it,
};
use table::{existing, of, policies, tried, with};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_binding_is_admitted_exactly_when_policies_give_what_it_asks_for),
        case!(what_a_narrowed_policy_no_longer_gives_can_still_be_labelled_and_deleted),
        case!(a_quota_of_none_keeps_bindings_out_of_a_namespace),
        case!(the_rules_cost_little_however_many_policies_there_are).on_own_cluster(),
        case!(whoever_changes_the_effective_policy_is_overwritten).alone(),
        case!(only_the_operator_and_administrators_write_the_status),
        case!(whatever_ends_a_binding_in_kubernetes_still_ends_it),
        case!(only_the_operator_and_administrators_take_the_finalizer_off).alone(),
    ]
}

/// As docs/security.md says it to who wants no bindings in a namespace.
async fn a_quota_of_none_keeps_bindings_out_of_a_namespace(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("quota").await?;
    let page = std::fs::read_to_string(in_repository("docs/security.md")?).context("docs/security.md")?;
    let shown =
        "kubectl create quota no-bindings -n NAMESPACE --hard=count/workloadidentitybindings.workloadidentity.dev=0";
    ensure!(page.contains(shown), "docs/security.md says something else");
    let quota: Vec<&str> = shown
        .split(' ')
        .filter(|word| !matches!(*word, "kubectl" | "-n" | "NAMESPACE"))
        .collect();
    namespace.kubectl(&quota).await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    let why = until("the quota to be known", DEADLINE, async || {
        let tried = namespace.try_to_bind("orders", &spec).await?;
        let why = tried.err().context("the binding was let in")?;
        Ok(why.contains("exceeded quota: no-bindings").then_some(why))
    })
    .await;
    why.map(drop)
}

async fn a_binding_is_admitted_exactly_when_policies_give_what_it_asks_for(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("admission").await?;
    let kubectl = &world.cluster.kubectl;
    kubectl
        .run(&["label", "namespace/admission", "admission.example.com/tier=two"])
        .await?;
    let names = ["admission-one", "admission-two", "admission-broken"];
    for policy in policies() {
        kubectl.apply(&policy.to_string()).await?;
    }
    // What admission sees is what the operator merged. Once it admits something that the policies give, it has all of them.
    until("the operator to merge the policies", DEADLINE, async || {
        let merged = kubectl.get(&["wiep", "cluster"]).await?;
        let there = |name: &&str| merged.to_string().contains(&format!("\"name\":\"{name}\""));
        let problem = "spec.roles[0].role of WorkloadIdentityPolicy admission-broken grants nothing";
        Ok((names.iter().all(there) && merged.to_string().contains(problem)).then_some(()))
    })
    .await?;
    let first = existing("two", &["anyone"]);
    until("the policies to be in force", DEADLINE, async || {
        Ok(namespace.try_to_bind("tried", &first).await?.ok())
    })
    .await?;

    for (spec, refusal) in tried() {
        let answer = namespace.try_to_bind("tried", &spec).await?;
        match (answer, refusal) {
            (Ok(()), []) => {}
            (Ok(()), _) => anyhow::bail!("{spec} was admitted, not refused with {refusal:?}"),
            (Err(message), []) => anyhow::bail!("{spec} was refused: {message}"),
            (Err(message), parts) => {
                // A reserved name the schema refuses before any policy is asked.
                let by_schema = message.contains("names that begin with wib-");
                for part in [REFUSED].iter().filter(|_| !by_schema).chain(parts) {
                    ensure!(message.contains(part), "{part:?} is not in {message}, for {spec}");
                }
            }
        }
    }
    for name in names {
        kubectl.run(&["delete", &format!("wip/{name}")]).await?;
    }
    Ok(())
}

async fn what_a_narrowed_policy_no_longer_gives_can_still_be_labelled_and_deleted(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("narrowed").await?;
    let kubectl = &world.cluster.kubectl;
    let id = identity_id(OTHER_GROUP, "narrowed");
    world.simulator.put_identity(&id).await?;
    let policy = |identities: &[&str]| {
        json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityPolicy",
            "metadata": { "name": "narrowed" },
            "spec": { "namespaces": { "names": ["narrowed"] }, "existingIdentities": identities },
        })
        .to_string()
    };
    kubectl.apply(&policy(&[id.as_str()])).await?;
    let spec = of(&id, &["orders"]);
    namespace.bind("orders", &spec).await?;
    namespace.ready("orders").await?;

    kubectl.apply(&policy(&[])).await?;
    let denied = (ConditionType::Authorized, "False", Reason::NotPermitted);
    namespace.condition("orders", denied.0, denied.1, denied.2).await?;
    until("admission to refuse it too", DEADLINE, async || {
        Ok(namespace.try_to_bind("another", &spec).await?.err())
    })
    .await?;
    // An edit that asks for more, or for the same of others, is refused.
    let more = namespace.try_to_bind("orders", &of(&id, &["orders", "mails"])).await?;
    ensure!(
        more.is_err_and(|message| message.contains(REFUSED)),
        "more service accounts were admitted"
    );
    let orphaned = namespace
        .try_to_bind("orders", &with(spec.clone(), "deletionPolicy", &json!("Orphan")))
        .await?;
    ensure!(orphaned.is_err(), "Orphan was admitted");
    // One that asks for nothing is taken, and so is whatever ends the binding.
    namespace.kubectl(&["label", "wib/orders", "team=orders"]).await?;
    patch(
        &namespace,
        "orders",
        &json!({ "spec": { "suspend": true, "audience": "api://other" } }),
    )
    .await?;
    kubectl.run(&["delete", "wip/narrowed"]).await?;
    namespace.delete("orders").await?;
    let identity = world.simulator.identity(&id).await?.context("the identity is gone")?;
    ensure!(identity.credentials.is_empty(), "{identity:#?}");
    Ok(())
}

async fn patch(namespace: &Namespace<'_>, binding: &str, patch: &Value) -> Result<String> {
    let patch = patch.to_string();
    namespace
        .kubectl(&["patch", &format!("wib/{binding}"), "--type=merge", "--patch", &patch])
        .await
}

/// Admission alone, with what the operator would have written, in a cluster where no operator ever ran.
async fn the_rules_cost_little_however_many_policies_there_are(_: Arc<World>) -> Result<()> {
    let scratch = Scratch::new()?;
    let cluster = Cluster::start(&scratch).await?;
    let kubectl = &cluster.kubectl;
    for folder in ["config/crd", "config/admission"] {
        kubectl
            .run(&["apply", "--server-side", "--kustomize", &in_repository(folder)?])
            .await?;
    }
    kubectl.run(&["create", "namespace", "shop"]).await?;
    // The API server reads the expressions against the schema, and warns of what cannot be.
    let checked = until("the expressions to be checked", DEADLINE, async || {
        let policy = kubectl
            .get(&["validatingadmissionpolicy", "workload-identity-operator"])
            .await?;
        Ok(policy.pointer("/status/typeChecking").cloned())
    })
    .await?;
    ensure!(checked == json!({}), "{checked:#}");

    let id = |name: &str| identity_id(OTHER_GROUP, name);
    let apply = async |identity: &str, scope: &str| {
        let accounts: Vec<String> = (0..20).map(|index| format!("account-{index}")).collect();
        let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
        let asked: Vec<Value> = (0..20)
            .map(|index| json!({ "role": "Reader", "scope": format!("{scope}/providers/Microsoft.KeyVault/vaults/v{index}") }))
            .collect();
        let object = json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityBinding",
            "metadata": { "name": "large", "namespace": "shop" },
            "spec": with(of(identity, &accounts), "roleAssignments", &json!(asked)),
        });
        let file = scratch.write("large.json", object.to_string())?;
        let file = file.to_str().context("the run's path is not Unicode")?;
        kubectl
            .run(&["apply", "--server-side", "--dry-run=server", "--filename", file])
            .await
    };
    let (given, scope) = (id("last"), group_id("team"));
    let nothing = until("admission to know the policy", DEADLINE, async || {
        Ok(apply(&given, &scope).await.err().map(|error| format!("{error:#}")))
    })
    .await?;
    ensure!(
        nothing.contains(REFUSED) && nothing.contains("no params found"),
        "{nothing}"
    );

    let merged = effective_policy(&many_policies()?)?;
    let file = scratch.write("effective.json", merged.to_string())?;
    let file = file.to_str().context("the run's path is not Unicode")?;
    kubectl.run(&["apply", "--server-side", "--filename", file]).await?;
    until("the policies to be in force", DEADLINE, async || {
        apply(&given, &scope).await.map(Some)
    })
    .await?;
    for (identity, scope, part) in [
        (
            id("lost"),
            scope.clone(),
            "spec.identity.existing.resourceId is not permitted",
        ),
        (
            given,
            group_id("team-evil"),
            "spec.roleAssignments[].scope is not permitted",
        ),
    ] {
        let refusal = apply(&identity, &scope).await.err().context("it was admitted")?;
        ensure!(format!("{refusal:#}").contains(part), "{refusal:#}");
    }
    Ok(())
}

/// 300 policies for 50 namespaces each, of which two are for namespace shop: one with as much in it as there can be, and one for
/// the rest of the service accounts.
fn many_policies() -> Result<Vec<WorkloadIdentityPolicy>> {
    let policy = |name: &str, spec: Value| {
        serde_json::from_value(json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityPolicy",
            "metadata": { "name": name },
            "spec": spec,
        }))
        .context("a policy")
    };
    let numbered =
        |count: usize, text: &str| -> Vec<String> { (0..count).map(|index| format!("{text}{index}")).collect() };
    let mut all = Vec::new();
    for index in 0..298 {
        let namespaces = numbered(50, &format!("team-{index}-"));
        let reader = json!({ "role": "Reader", "scopes": [group_id("team")] });
        all.push(policy(
            &format!("p{index}"),
            json!({ "namespaces": { "names": namespaces }, "roles": [reader] }),
        )?);
    }
    let identities: Vec<String> = numbered(99, "number-")
        .into_iter()
        .chain(["last".to_owned()])
        .map(|name| identity_id("oth*", &name))
        .collect();
    let scopes = [numbered(15, &group_id("number-")), vec![group_id("team")]].concat();
    let roles: Vec<Value> = (0..31)
        .map(|index| json!({ "role": format!("{index:08}-1111-4111-8111-111111111111"), "scopes": [group_id("team")] }))
        .chain([json!({ "role": "Reader", "scopes": scopes })])
        .collect();
    for (name, accounts) in [
        ("large", [numbered(99, "*x-"), vec!["account-1*".to_owned()]].concat()),
        ("rest", numbered(10, "account-")),
    ] {
        all.push(policy(
            name,
            json!({
                "namespaces": { "names": ["shop"] },
                "serviceAccounts": accounts,
                "existingIdentities": identities,
                "roles": roles,
            }),
        )?);
    }
    Ok(all)
}

/// What the operator would write for these policies.
pub(crate) fn effective_policy(policies: &[WorkloadIdentityPolicy]) -> Result<Value> {
    let config = OperatorConfig {
        group: group_id(RESOURCE_GROUP).parse()?,
        location: LOCATION.parse()?,
        require_policy: false,
        audience: AUDIENCE.parse()?,
        protected_identities: Vec::new(),
        protected_groups: vec![group_id(NODE_GROUP).parse()?],
        own_cluster: wio_core::config::OwnCluster::Settled,
        former_issuers: std::collections::BTreeSet::new(),
        allow_private_issuer: true,
        unlocked_roles: std::collections::BTreeSet::new(),
        default_tags: wio_core::observed::Tags::new(),
        ignored_tags: Vec::new(),
        namespaces: wio_core::active_namespaces::ActiveNamespaces::All,
        verification: wio_api::VerificationMode::None,
    };
    Ok(json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityEffectivePolicy",
        "metadata": { "name": "cluster" },
        "spec": merge(&config, &Policies::parse(policies)),
    }))
}

async fn whoever_changes_the_effective_policy_is_overwritten(world: Arc<World>) -> Result<()> {
    let kubectl = &world.cluster.kubectl;
    let restored = async |what: &str| {
        until(what, DEADLINE, async || {
            let (policies, merged) = (kubectl.get(&["wip"]).await?, kubectl.get(&["wiep", "cluster"]).await?);
            let [policies, names] = [
                names(policies.pointer("/items"), "/metadata/name"),
                names(merged.pointer("/spec/policies"), "/name"),
            ];
            ensure!(policies == names, "{policies:?} became {names:?}");
            let protected = merged.pointer("/spec/protected").and_then(Value::as_array);
            ensure!(protected.is_some_and(|patterns| !patterns.is_empty()), "{merged:#}");
            Ok(Some(()))
        })
        .await
    };
    restored("the policies to be merged").await?;
    let open = r#"{"spec": {"protected": [], "lockedRoles": [], "policies": [
        {"name": "mine", "namespaces": [], "selector": {"matchExpressions": []}, "existingIdentities": [{"resourceGroup": {}, "name": {}}],
         "managedIdentities": [], "roles": [], "allowOrphan": true}
    ]}}"#;
    kubectl
        .run(&["patch", "wiep/cluster", "--type=merge", "--patch", open])
        .await?;
    restored("the edit to be undone").await?;
    kubectl.run(&["delete", "wiep/cluster"]).await?;
    restored("it to be written again").await?;

    let mut second = effective_policy(&[])?;
    if let Some(name) = second.pointer_mut("/metadata/name") {
        *name = json!("mine");
    }
    let error = kubectl
        .apply(&second.to_string())
        .await
        .err()
        .context("a second one was taken")?;
    ensure!(format!("{error:#}").contains("the only name is cluster"), "{error:#}");
    Ok(())
}

fn names(items: Option<&Value>, name: &str) -> Vec<String> {
    let items = items.and_then(Value::as_array).into_iter().flatten();
    let mut names: Vec<String> = items
        .filter_map(|item| item.pointer(name).and_then(Value::as_str).map(str::to_owned))
        .collect();
    names.sort();
    names
}
