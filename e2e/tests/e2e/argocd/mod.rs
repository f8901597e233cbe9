//! Bindings, policies and the operator itself in Git, by the real Argo CD with what `config/argocd` tells it. `make gitops` runs these.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON by keys only, where what is missing is null"
)]

mod git;
mod platform;
mod restarts;
mod writes;

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use wio_api::keys::CLIENT_ID_ANNOTATION;
use wio_api::{ConditionType, Reason};
use wio_e2e::argocd::{self, ArgoCd};
use wio_e2e::audit::Mark;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::operator;
use wio_e2e::paths::repository;
use wio_e2e::simulator::{OTHER_GROUP, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use self::git::{binding, example, foreign, managed, policy_and_binding, silent, with};
use self::platform::{
    operator_policies_and_bindings_come_in_waves_and_bindings_outlive_the_operators_app,
    the_operator_by_its_chart_is_in_sync_and_stays_so, the_operator_by_its_kustomization_is_in_sync_and_stays_so,
};
use self::restarts::{
    a_restart_is_no_difference_to_argo_cd_and_outlives_a_change_in_git,
    an_app_that_replaces_its_objects_takes_a_restart_back_and_no_second_one_follows,
};
use self::writes::{nobody_writes_again, refusals, writes};
use crate::harness::{Case, case};
use crate::install::in_repository;

pub(crate) fn cases() -> Vec<Case> {
    let together = vec![
        case!(argo_cd_itself_judges_the_examples_as_the_tests_expect),
        case!(an_app_is_as_healthy_as_its_binding),
        case!(what_the_api_server_and_the_operator_fill_in_is_no_difference),
        case!(another_client_id_in_git_is_reported_and_then_nobody_writes),
        case!(force_against_git_is_told_and_ends_when_argo_cd_ignores_what_the_operator_manages),
        case!(in_waves_a_binding_is_let_in_at_the_first_try),
        case!(without_waves_a_binding_is_let_in_when_the_sync_is_tried_again),
        case!(what_admission_refuses_is_told_by_the_app),
        case!(what_leaves_git_leaves_azure),
        case!(an_app_whose_binding_is_stalled_leaves_nothing_either),
        case!(an_edit_by_hand_is_undone_where_git_says_something),
        case!(a_restart_is_no_difference_to_argo_cd_and_outlives_a_change_in_git),
        case!(an_app_that_replaces_its_objects_takes_a_restart_back_and_no_second_one_follows),
    ];
    // They take away what the others stand on.
    let alone = [
        case!(without_the_lua_a_stalled_binding_is_called_healthy),
        case!(the_operator_by_its_kustomization_is_in_sync_and_stays_so),
        case!(the_operator_by_its_chart_is_in_sync_and_stays_so),
        case!(operator_policies_and_bindings_come_in_waves_and_bindings_outlive_the_operators_app),
    ];
    together
        .into_iter()
        .chain(alone.map(Case::alone))
        .map(|case| case.on_own_cluster().on_request())
        .collect()
}

/// Argo CD is started once for all; it ends with this program.
async fn argo_cd(world: &World) -> Result<&'static ArgoCd> {
    static STARTED: OnceCell<Result<ArgoCd, String>> = OnceCell::const_new();
    let start = async || {
        let started = Box::pin(ArgoCd::start(&world.scratch, &world.cluster)).await;
        started.map_err(|error| format!("starting Argo CD: {error:#}"))
    };
    let started = STARTED.get_or_init(start).await;
    started.as_ref().map_err(|error| anyhow!(error.clone()))
}

// === Health ===

async fn argo_cd_itself_judges_the_examples_as_the_tests_expect(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let customizations = repository().join("config/argocd/resource_customizations");
    let read = |path: &str| -> Result<Value> {
        let text = std::fs::read_to_string(customizations.join(path)).with_context(|| path.to_owned())?;
        serde_yaml_ng::from_str(&text).with_context(|| path.to_owned())
    };
    let file = |path: &str| in_repository(&format!("config/argocd/resource_customizations/{path}"));
    let mut judged = 0;
    for (kind, map) in [
        (
            "workloadidentity.dev/WorkloadIdentityBinding",
            "config/argocd/argocd-cm.yaml",
        ),
        (
            "workloadidentity.dev/WorkloadIdentityPolicy",
            "config/argocd/argocd-cm.yaml",
        ),
        ("argoproj.io/Application", "config/argocd/app-of-apps/argocd-cm.yaml"),
    ] {
        let map = in_repository(map)?;
        for test in read(&format!("{kind}/health_test.yaml"))?["tests"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let input = test["inputPath"].as_str().context("a test without input")?;
            let said = argo
                .overrides(&["health", &file(&format!("{kind}/{input}"))?, "--argocd-cm-path", &map])
                .await?;
            // Of what is being deleted it says so itself, without asking.
            let deleted = read(&format!("{kind}/{input}"))?["metadata"]["deletionTimestamp"].is_string();
            let message = if deleted {
                &json!("Pending deletion")
            } else {
                &test["healthStatus"]["message"]
            };
            for words in [&test["healthStatus"]["status"], message] {
                let words = words.as_str().unwrap_or_default();
                ensure!(said.contains(words), "{kind}/{input}: {words:?} is not in\n{said}");
            }
            judged += 1;
        }
    }
    ensure!(judged > 15, "{judged} examples");

    let kind = "workloadidentity.dev/WorkloadIdentityBinding";
    let map = in_repository("config/argocd/argocd-cm.yaml")?;
    for test in read(&format!("{kind}/actions/action_test.yaml"))?["actionTests"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let path = test["inputPath"].as_str().context("a test without input")?;
        let action = test["action"].as_str().context("a test without action")?;
        let input = file(&format!("{kind}/actions/{path}"))?;
        let said = argo
            .overrides(&["run-action", &input, action, "--argocd-cm-path", &map])
            .await?;
        let expected = match action {
            "suspend" => "suspend: true",
            "resume" => "suspend: false",
            _ => "workloadidentity.dev/reconcile-at:",
        };
        let added = said
            .lines()
            .any(|line| line.starts_with('>') && line.contains(expected));
        ensure!(added, "{action}: {expected:?} is not in\n{said}");
    }
    Ok(())
}

async fn an_app_is_as_healthy_as_its_binding(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let namespace = world.namespace("argo-health").await?;
    let name = namespace.name.as_str();
    let suspended = |suspend: bool| {
        vec![
            ("account.yaml", silent(name)),
            ("binding.yaml", binding(name, &with(managed(), "suspend", suspend))),
        ]
    };
    argo.commit(name, &suspended(true)).await?;
    argo.apply(name, name, &json!({})).await?;
    argo.synced(name, "Suspended").await?;
    namespace
        .condition("orders", ConditionType::Stalled, "True", Reason::Suspended)
        .await?;

    argo.commit(name, &suspended(false)).await?;
    argo.synced(name, "Healthy").await?;
    namespace.ready("orders").await?;

    argo.commit(name, &suspended(true)).await?;
    argo.synced(name, "Suspended").await?;
    argo.commit(name, &suspended(false)).await?;
    argo.synced(name, "Healthy").await?;

    let missing = json!([{ "name": "orders", "create": false }, { "name": "mailer", "create": false }]);
    let lacking = with(managed(), "serviceAccounts", missing);
    argo.commit(
        name,
        &[
            ("account.yaml", silent(name)),
            ("binding.yaml", binding(name, &lacking)),
        ],
    )
    .await?;
    argo.synced(name, "Progressing").await.map(drop)
}

/// Which is why docs/gitops.md begins with it.
async fn without_the_lua_a_stalled_binding_is_called_healthy(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let namespace = world.namespace("argo-no-lua").await?;
    let name = namespace.name.as_str();
    let both = [
        ("account.yaml", foreign(name)),
        ("binding.yaml", binding(name, &managed())),
    ];
    argo.commit(name, &both).await?;
    let kubectl = &world.cluster.kubectl;
    let lua = "/data/resource.customizations.health.workloadidentity.dev_WorkloadIdentityBinding";
    let forget = json!([{ "op": "remove", "path": lua }]).to_string();
    let map = ["configmap/argocd-cm", "--namespace", argocd::NAMESPACE];
    let patch = ["patch", "--type=json", "--patch", &forget];
    kubectl.run(&[&patch[..], &map].concat()).await?;
    argo.apply(name, name, &json!({})).await?;
    let conflict = (ConditionType::Stalled, "True", Reason::ServiceAccountConflict);
    namespace
        .condition("orders", conflict.0, conflict.1, conflict.2)
        .await?;
    let without = argo.synced(name, "Healthy").await;

    let file = in_repository("config/argocd/argocd-cm.yaml")?;
    let learn = ["apply", "--server-side", "--force-conflicts", "--filename", &file];
    kubectl.run(&learn).await?;
    without?;
    argo.synced(name, "Degraded").await?;
    argo.delete(name).await
}

// === Differences ===

async fn what_the_api_server_and_the_operator_fill_in_is_no_difference(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let server_side = json!({ "syncPolicy": { "syncOptions": ["ServerSideApply=true"] } });
    let ways = [
        ("argo-client-side", json!({}), ""),
        ("argo-server-side", server_side, ""),
        ("argo-server-diff", json!({}), "ServerSideDiff=true"),
    ];
    for (name, spec, compare) in ways {
        let namespace = world.namespace(name).await?;
        argo.commit(
            name,
            &[
                ("account.yaml", silent(name)),
                ("binding.yaml", binding(name, &managed())),
            ],
        )
        .await?;
        argo.apply(name, name, &spec).await?;
        argo.compare(name, compare).await?;
        argo.synced(name, "Healthy").await?;
        let audit = world.cluster.audit()?;
        for user in [argocd::USER, operator::USER] {
            let mut written = writes(audit, Mark::default(), user, name)?;
            written.retain(|event| event.resource == "serviceaccounts");
            ensure!(written.len() == 1, "{written:#?}");
        }
        nobody_writes_again(&world, &namespace).await?;

        // The same with every default written out, as the API server shows it.
        let shown = namespace
            .kubectl(&["get", "wib/orders", "--output=jsonpath={.spec}"])
            .await?;
        let spec: Value = serde_json::from_str(&shown)?;
        ensure!(spec["identity"]["managed"]["adopt"] == false, "{spec:#}");
        argo.commit(
            name,
            &[("account.yaml", silent(name)), ("binding.yaml", binding(name, &spec))],
        )
        .await?;
        argo.synced(name, "Healthy").await?;
        nobody_writes_again(&world, &namespace).await?;
    }
    Ok(())
}

async fn another_client_id_in_git_is_reported_and_then_nobody_writes(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let namespace = world.namespace("argo-foreign").await?;
    let name = namespace.name.as_str();
    argo.commit(
        name,
        &[
            ("account.yaml", foreign(name)),
            ("binding.yaml", binding(name, &managed())),
        ],
    )
    .await?;
    argo.apply(name, name, &json!({})).await?;
    argo.synced(name, "Degraded").await?;
    let told = namespace
        .condition("orders", ConditionType::Stalled, "True", Reason::ServiceAccountConflict)
        .await?;
    ensure!(told.contains("argocd") && told.contains(CLIENT_ID_ANNOTATION), "{told}");
    nobody_writes_again(&world, &namespace).await?;

    argo.commit(
        name,
        &[
            ("account.yaml", silent(name)),
            ("binding.yaml", binding(name, &managed())),
        ],
    )
    .await?;
    argo.synced(name, "Healthy").await.map(drop)
}

async fn force_against_git_is_told_and_ends_when_argo_cd_ignores_what_the_operator_manages(
    world: Arc<World>,
) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let namespace = world.namespace("argo-forced").await?;
    let name = namespace.name.as_str();
    let accounts = json!([{ "name": "orders", "create": false, "conflictPolicy": "Force" }]);
    let forced = with(managed(), "serviceAccounts", accounts);
    argo.commit(
        name,
        &[
            ("account.yaml", foreign(name)),
            ("binding.yaml", binding(name, &forced)),
        ],
    )
    .await?;
    argo.apply(name, name, &json!({})).await?;
    let told = "\"argocd-controller\" changes service account orders back again and again";
    until("the operator to tell of it", DEADLINE, async || {
        // Argo CD puts it back, with growing pauses.
        argo.refresh(name).await?;
        let status = namespace.binding("orders").await?.status.unwrap_or_default();
        let mut messages = status.conditions.iter().map(|condition| &condition.message);
        Ok(messages.any(|message| message.contains(told)).then_some(()))
    })
    .await?;
    let note = namespace.event("orders", Reason::ServiceAccountConflict).await?;
    ensure!(note.contains(told), "{note}");
    // As the Application of bindings has it.
    let shown = example("bindings")?;
    let ignoring = json!({
        "ignoreDifferences": shown["spec"]["ignoreDifferences"],
        "syncPolicy": { "syncOptions": shown["spec"]["syncPolicy"]["syncOptions"] },
    });
    argo.apply(name, name, &ignoring).await?;
    argo.synced(name, "Healthy").await?;
    let ours = namespace.identity("orders").await?.client_id;
    nobody_writes_again(&world, &namespace).await?;
    let there = namespace.annotation("orders", CLIENT_ID_ANNOTATION).await?;
    ensure!(there == Some(ours), "{there:?}");
    Ok(())
}

// === Policies ===

async fn in_waves_a_binding_is_let_in_at_the_first_try(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    for (name, options) in [
        ("argo-waves", json!([])),
        ("argo-waves-server", json!(["ServerSideApply=true"])),
    ] {
        let namespace = world.namespace(name).await?;
        world.simulator.put_identity(&identity_id(OTHER_GROUP, name)).await?;
        argo.commit(name, &policy_and_binding(name, Some(["-1", "0"]))?).await?;
        argo.apply(name, name, &json!({ "syncPolicy": { "syncOptions": options } }))
            .await?;
        argo.synced(name, "Healthy").await?;
        namespace.ready("orders").await?;
        let refused: Vec<String> = refusals(&world, name)?
            .into_iter()
            .filter(|it| !it.contains("dryRun"))
            .collect();
        ensure!(refused.is_empty(), "{refused:#?}");
        argo.delete(name).await?;
    }
    Ok(())
}

async fn without_waves_a_binding_is_let_in_when_the_sync_is_tried_again(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let retry = &example("bindings")?["spec"]["syncPolicy"]["retry"];
    for (name, options) in [
        ("argo-no-waves", json!([])),
        ("argo-no-waves-server", json!(["ServerSideApply=true"])),
    ] {
        let namespace = world.namespace(name).await?;
        world.simulator.put_identity(&identity_id(OTHER_GROUP, name)).await?;
        argo.commit(name, &policy_and_binding(name, None)?).await?;
        let policy = json!({ "retry": retry, "syncOptions": options });
        argo.apply(name, name, &json!({ "syncPolicy": policy })).await?;
        argo.synced(name, "Healthy").await?;
        namespace.ready("orders").await?;
        argo.delete(name).await?;
    }
    Ok(())
}

async fn what_admission_refuses_is_told_by_the_app(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let namespace = world.namespace("argo-refused").await?;
    let name = namespace.name.as_str();
    let id = identity_id(OTHER_GROUP, name);
    let spec = json!({ "identity": { "existing": { "resourceId": id } }, "serviceAccounts": [{ "name": "orders" }] });
    argo.commit(name, &[("binding.yaml", binding(name, &spec))]).await?;
    let once = json!({ "limit": 1, "backoff": { "duration": "1s" } });
    argo.apply(name, name, &json!({ "syncPolicy": { "retry": once } }))
        .await?;
    let application = argo
        .until(name, "refused", |it| {
            it["status"]["operationState"]["phase"] == "Failed"
        })
        .await?;
    let status = &application["status"];
    ensure!(status["sync"]["status"] == "OutOfSync", "{status:#}");
    let told = status["operationState"]["syncResult"]["resources"][0]["message"]
        .as_str()
        .unwrap_or_default();
    for words in [
        "spec.identity.existing.resourceId is not permitted",
        "ask the platform team",
    ] {
        ensure!(told.contains(words), "{words:?} is not in {status:#}");
    }
    argo.delete(name).await
}

// === Ends ===

async fn what_leaves_git_leaves_azure(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let namespace = world.namespace("argo-gone").await?;
    let name = namespace.name.as_str();
    let both = [
        ("account.yaml", silent(name)),
        ("binding.yaml", binding(name, &managed())),
    ];
    argo.commit(name, &both).await?;
    argo.apply(name, name, &json!({})).await?;
    argo.synced(name, "Healthy").await?;
    let first = namespace.identity("orders").await?.resource_id;
    argo.commit(name, &both[..1]).await?;
    argo.synced(name, "Healthy").await?;
    namespace.gone("orders").await?;
    ensure!(world.simulator.identity(&first).await?.is_none(), "{first} is left");
    let left = namespace
        .service_account("orders")
        .await?
        .context("Git's own service account is gone")?;
    let annotations = left.metadata.annotations.unwrap_or_default();
    ensure!(
        annotations.get("team").is_some_and(|team| team == "shop"),
        "{annotations:?}"
    );
    ensure!(!annotations.contains_key(CLIENT_ID_ANNOTATION), "{annotations:?}");

    argo.commit(name, &both).await?;
    argo.synced(name, "Healthy").await?;
    let second = namespace.identity("orders").await?.resource_id;
    argo.delete(name).await?;
    ensure!(namespace.find_binding("orders").await?.is_none(), "the binding is left");
    ensure!(world.simulator.identity(&second).await?.is_none(), "{second} is left");
    let account = namespace.service_account("orders").await?;
    ensure!(account.is_none(), "{account:?} is left");
    Ok(())
}

async fn an_app_whose_binding_is_stalled_leaves_nothing_either(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let namespace = world.namespace("argo-stalled").await?;
    let name = namespace.name.as_str();
    let both = [
        ("account.yaml", foreign(name)),
        ("binding.yaml", binding(name, &managed())),
    ];
    argo.commit(name, &both).await?;
    argo.apply(name, name, &json!({})).await?;
    argo.synced(name, "Degraded").await?;
    let conflict = (ConditionType::Stalled, "True", Reason::ServiceAccountConflict);
    namespace
        .condition("orders", conflict.0, conflict.1, conflict.2)
        .await?;
    let id = namespace.identity("orders").await?.resource_id;
    ensure!(world.simulator.identity(&id).await?.is_some(), "{id} was never there");
    argo.delete(name).await?;
    ensure!(namespace.find_binding("orders").await?.is_none(), "the binding is left");
    ensure!(world.simulator.identity(&id).await?.is_none(), "{id} is left");
    Ok(())
}

async fn an_edit_by_hand_is_undone_where_git_says_something(world: Arc<World>) -> Result<()> {
    let argo = argo_cd(&world).await?;
    let namespace = world.namespace("argo-edited").await?;
    let name = namespace.name.as_str();
    let spec = with(managed(), "deletionPolicy", "Delete");
    argo.commit(
        name,
        &[("account.yaml", silent(name)), ("binding.yaml", binding(name, &spec))],
    )
    .await?;
    argo.apply(name, name, &json!({})).await?;
    argo.synced(name, "Healthy").await?;
    let by_hand = r#"--patch={"spec":{"suspend":true,"deletionPolicy":"Orphan"}}"#;
    // Orphan needs a policy, so one that needs none.
    let by_hand = by_hand.replace("Orphan", "RetainIdentity");
    namespace
        .kubectl(&["patch", "wib/orders", "--type=merge", &by_hand])
        .await?;
    until("the field to be as in Git", DEADLINE, async || {
        let spec = namespace.binding("orders").await?.spec;
        Ok((spec.deletion_policy == wio_api::DeletionPolicy::Delete).then_some(()))
    })
    .await?;
    argo.synced(name, "Suspended").await?;
    ensure!(
        namespace.binding("orders").await?.spec.suspend,
        "Argo CD undid what Git is silent about"
    );
    Ok(())
}
