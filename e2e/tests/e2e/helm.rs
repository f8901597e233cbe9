//! Charts of applications, which own the service account or the binding or both, by the real Helm.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use wio_api::keys::CLIENT_ID_ANNOTATION;
use wio_api::{ConditionType, Reason};
use wio_e2e::audit::{AuditLog, Mark};
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::operator::USER;
use wio_e2e::simulator::{PLATFORM_GROUP, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

/// A client id that is nobody's here.
const ANOTHER: &str = "2b7c1a52-8d4e-4f30-9a61-5c0e7d9b3f14";

/// What Helm is told to wait at the most.
const PATIENCE: Duration = Duration::from_mins(1);

const ACCOUNT: &str = r#"apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .Release.Name }}
  annotations:
    team: {{ .Values.team | default "shop" }}
    {{- if hasKey .Values "clientId" }}
    azure.workload.identity/client-id: {{ .Values.clientId | quote }}
    {{- end }}
"#;

const BINDING: &str = "{{- if .Values.spec }}
apiVersion: workloadidentity.dev/v1alpha1
kind: WorkloadIdentityBinding
metadata:
  name: {{ .Release.Name }}
spec: {{- .Values.spec | toYaml | nindent 2 }}
{{- end }}
";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_chart_that_is_silent_on_our_annotations_is_upgraded_and_rolled_back_and_they_stay).on_own_cluster(),
        case!(a_chart_with_another_client_id_fails_at_once_and_helm_prints_why),
        case!(after_force_a_chart_with_another_client_id_is_refused_until_it_lets_go_of_it).on_own_cluster(),
        case!(a_binding_in_a_chart_is_waited_for_and_uninstalling_it_leaves_nothing),
        case!(what_cannot_be_is_refused_and_helm_prints_why),
    ]
}

/// A release of a chart that holds a service account and perhaps a binding, all of one name.
struct Release<'w> {
    world: &'w World,
    namespace: &'w Namespace<'w>,
    name: &'static str,
    chart: PathBuf,
}

// === impl Release ===

impl<'w> Release<'w> {
    fn new(world: &'w World, namespace: &'w Namespace<'w>, name: &'static str) -> Result<Self> {
        let chart = format!("charts/{}-{name}", namespace.name);
        let file = |path: &str, text: &str| world.scratch.write(&format!("{chart}/{path}"), text);
        file("Chart.yaml", &format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n"))?;
        file("templates/account.yaml", ACCOUNT)?;
        file("templates/binding.yaml", BINDING)?;
        let chart = world.scratch.path().join(chart);
        Ok(Self {
            world,
            namespace,
            name,
            chart,
        })
    }

    async fn helm(&self, words: &[&str]) -> Result<String> {
        let namespace = format!("--namespace={}", self.namespace.name);
        self.world
            .cluster
            .helm
            .run(&[words, &[namespace.as_str()]].concat())
            .await
    }

    async fn with_values(&self, verb: &str, values: &Value, more: &[&str]) -> Result<String> {
        let chart = self.chart.to_str().context("the run's path is not Unicode")?;
        let values = self.world.scratch.write(
            &format!("values/{}-{}.json", self.namespace.name, self.name),
            values.to_string(),
        )?;
        let values = values.to_str().context("the run's path is not Unicode")?;
        self.helm(&[&[verb, self.name, chart, "--values", values], more].concat())
            .await
    }

    async fn install(&self, values: &Value) -> Result<String> {
        self.with_values("install", values, &[]).await
    }

    async fn upgrade(&self, values: &Value) -> Result<String> {
        // Without values Helm takes those of the release before.
        self.with_values("upgrade", values, &["--reset-values"]).await
    }

    async fn roll_back(&self, revision: &str) -> Result<String> {
        self.helm(&["rollback", self.name, revision]).await
    }

    /// The client id on its service account.
    async fn client_id(&self) -> Result<Option<String>> {
        self.namespace.annotation(self.name, CLIENT_ID_ANNOTATION).await
    }
}

/// A binding for a service account that the chart makes.
fn spec(account: &str) -> Value {
    json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": account, "create": false }] })
}

/// How often the operator wrote to a service account since then.
fn written(audit: &AuditLog, mark: Mark, namespace: &Namespace<'_>, account: &str) -> Result<usize> {
    let events = audit.since(mark)?;
    let ours = events.iter().filter(|event| {
        event.user == USER
            && event.writes()
            && !event.uri.contains("dryRun")
            && (event.resource.as_str(), event.namespace.as_str(), event.name.as_str())
                == ("serviceaccounts", &*namespace.name, account)
    });
    Ok(ours.count())
}

fn refusal(outcome: Result<String>, what: &str) -> Result<String> {
    match outcome {
        Ok(said) => bail!("{what} succeeded:\n{said}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

// === The service account in the chart ===

async fn a_chart_that_is_silent_on_our_annotations_is_upgraded_and_rolled_back_and_they_stay(
    world: Arc<World>,
) -> Result<()> {
    let namespace = world.namespace("helm-silent").await?;
    let audit = world.cluster.audit()?;
    let release = Release::new(&world, &namespace, "orders")?;
    release.install(&json!({})).await?;
    namespace.bind("orders", &spec("orders")).await?;
    namespace.ready("orders").await?;
    let ours = namespace.identity("orders").await?.client_id;

    let mark = audit.mark()?;
    for team in ["checkout", "payments"] {
        release.upgrade(&json!({ "team": team })).await?;
    }
    release.roll_back("1").await?;
    let team = namespace.annotation("orders", "team").await?;
    ensure!(team.as_deref() == Some("shop"), "{team:?}");
    // Who writes into the chart what the operator found shares it, and may let go of it again.
    release.upgrade(&json!({ "clientId": ours })).await?;
    release.upgrade(&json!({})).await?;
    ensure!(
        release.client_id().await?.as_ref() == Some(&ours),
        "{:?}",
        release.client_id().await?
    );
    namespace.looked_at("orders", "after-helm").await?;
    let count = written(audit, mark, &namespace, "orders")?;
    ensure!(count == 0, "the operator wrote {count} times");
    Ok(())
}

async fn a_chart_with_another_client_id_fails_at_once_and_helm_prints_why(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("helm-foreign").await?;
    // Many charts render a value that nobody set as an empty one.
    for (name, client_id, called) in [("orders", ANOTHER, "another value"), ("mailer", "", "an empty value")] {
        let release = Release::new(&world, &namespace, name)?;
        let values = json!({ "clientId": client_id, "spec": spec(name) });
        let wait = ["--wait", &format!("--timeout={}s", PATIENCE.as_secs())];
        let begin = Instant::now();
        let error = refusal(release.with_values("install", &values, &wait).await, "installing it")?;
        ensure!(
            begin.elapsed() < PATIENCE,
            "it failed only when Helm lost patience:\n{error}"
        );
        let told = namespace
            .condition(name, ConditionType::Stalled, "True", Reason::ServiceAccountConflict)
            .await?;
        ensure!(
            told.contains("\"helm\"") && told.contains(CLIENT_ID_ANNOTATION) && told.contains(called),
            "{told}"
        );
        ensure!(error.contains(&told), "{told}\nis not in\n{error}");

        // The chart lets go of it, and that is all that it takes. The binding is still stalled when Helm is done, so a `--wait` would fail.
        release.upgrade(&json!({ "spec": spec(name) })).await?;
        namespace.ready(name).await?;
        ensure!(release.client_id().await? == Some(namespace.identity(name).await?.client_id));
    }
    Ok(())
}

async fn after_force_a_chart_with_another_client_id_is_refused_until_it_lets_go_of_it(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("helm-forced").await?;
    let audit = world.cluster.audit()?;
    let release = Release::new(&world, &namespace, "orders")?;
    let foreign = json!({ "clientId": ANOTHER });
    release.install(&foreign).await?;
    let forced = json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "orders", "create": false, "conflictPolicy": "Force" }],
    });
    namespace.bind("orders", &forced).await?;
    namespace.ready("orders").await?;
    let ours = namespace.identity("orders").await?.client_id;

    let refused = [
        refusal(release.upgrade(&foreign).await, "an upgrade with another client id")?,
        refusal(release.roll_back("1").await, "a rollback to another client id")?,
    ];
    for error in refused {
        let told =
            format!("conflict with \"workload-identity-operator\": .metadata.annotations.{CLIENT_ID_ANNOTATION}");
        ensure!(error.contains(&told), "{error}");
    }
    ensure!(release.client_id().await?.as_ref() == Some(&ours));

    let mark = audit.mark()?;
    release.with_values("upgrade", &foreign, &["--force-conflicts"]).await?;
    until("the operator to take its annotation back", DEADLINE, async || {
        Ok((release.client_id().await?.as_ref() == Some(&ours)).then_some(()))
    })
    .await?;
    namespace.looked_at("orders", "after-helm").await?;
    let count = written(audit, mark, &namespace, "orders")?;
    ensure!(count == 1, "the operator wrote {count} times");

    release.upgrade(&json!({})).await?;
    ensure!(release.client_id().await? == Some(ours));
    Ok(())
}

// === The binding in the chart ===

async fn a_binding_in_a_chart_is_waited_for_and_uninstalling_it_leaves_nothing(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("helm-binding").await?;
    let release = Release::new(&world, &namespace, "orders")?;
    // Helm deletes the service account before the binding, and the operator, which may create it, does so once more.
    let created = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    release
        .with_values("install", &json!({ "spec": created }), &["--wait", "--timeout=60s"])
        .await?;
    let ready = namespace.binding("orders").await?.status.unwrap_or_default();
    let ready = ready
        .condition(ConditionType::Ready)
        .map(|condition| condition.status.clone());
    ensure!(ready.as_deref() == Some("True"), "Helm waited until Ready is {ready:?}");
    let identity = namespace.identity("orders").await?;
    ensure!(
        world.simulator.identity(&identity.resource_id).await?.is_some(),
        "no identity"
    );

    release
        .helm(&["uninstall", "orders", "--wait", "--timeout=60s"])
        .await?;
    ensure!(namespace.find_binding("orders").await?.is_none(), "the binding is left");
    ensure!(
        world.simulator.identity(&identity.resource_id).await?.is_none(),
        "the identity is left"
    );
    let account = namespace.service_account("orders").await?;
    ensure!(account.is_none(), "{account:?} is left");
    Ok(())
}

async fn what_cannot_be_is_refused_and_helm_prints_why(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("helm-refused").await?;
    let release = Release::new(&world, &namespace, "orders")?;
    let bound = |id: String| {
        let accounts = json!([{ "name": "orders", "create": false }]);
        json!({ "spec": { "identity": { "existing": { "resourceId": id } }, "serviceAccounts": accounts } })
    };
    let refused = [
        (identity_id(PLATFORM_GROUP, "x"), "whose name has 3 to 128"),
        (
            identity_id("elsewhere", "orders"),
            "is not permitted: no WorkloadIdentityPolicy",
        ),
    ];
    for (id, words) in refused {
        let error = refusal(release.with_values("upgrade", &bound(id), &["--install"]).await, words)?;
        ensure!(error.contains(words), "{words:?} is not in\n{error}");
    }
    Ok(())
}
