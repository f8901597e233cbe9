//! `kubectl wib`, as a person uses it beside the real operator.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::keys::CLIENT_ID_ANNOTATION;
use wio_api::{ConditionType, Reason};
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::operator::AUDIENCE;
use wio_e2e::process::Ended;
use wio_e2e::simulator::{OTHER_GROUP, PLATFORM_GROUP, Trusted, group_id, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(what_the_plugin_foretells_is_what_the_operator_does),
        case!(a_policy_that_is_narrowed_is_foretold_with_what_it_takes_from_whom),
        case!(what_others_trusted_is_imported_and_a_mere_claim_is_not),
        case!(a_pod_without_its_token_is_found_and_a_suspended_binding_is_resumed),
        case!(a_token_is_proven_and_what_keeps_it_away_is_explained),
    ]
}

/// A forecast: the exit code, what would be taken away and what would be given.
#[derive(Debug)]
struct Foretold {
    code: i32,
    takes: BTreeSet<String>,
    gives: BTreeSet<String>,
    /// All that was said.
    #[allow(dead_code, reason = "shown when the forecast is wrong")]
    said: String,
}

impl PartialEq for Foretold {
    fn eq(&self, other: &Self) -> bool {
        (self.code, &self.takes, &self.gives) == (other.code, &other.takes, &other.gives)
    }
}

fn foretold(code: i32, takes: &[&str], gives: &[&str]) -> Foretold {
    let set = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
    Foretold {
        code,
        takes: set(takes),
        gives: set(gives),
        said: String::new(),
    }
}

async fn plan(namespace: &Namespace<'_>, arguments: &[&str], input: Option<&Value>) -> Result<Foretold> {
    let told = namespace.wib(&[&["plan"], arguments].concat(), input).await?;
    let lines = |mark: &str| {
        let lines = told.out.lines().filter_map(|line| line.strip_prefix(mark));
        lines.map(str::to_owned).collect()
    };
    ensure!(told.code != 1, "{}{}", told.out, told.err);
    Ok(Foretold {
        code: told.code,
        takes: lines("  - "),
        gives: lines("  + "),
        said: told.out.clone() + &told.err,
    })
}

/// Runs the plugin with a login to Azure: the operator's own.
async fn with_azure(world: &World, arguments: &[&str]) -> Result<Ended> {
    let login = world.operator.lock().await.sign_in();
    let login: Vec<(&str, &OsStr)> = login.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
    let arguments = [arguments, &["--arm-endpoint", world.simulator.url()]].concat();
    world.cluster.kubectl.wib(&arguments, None, &login).await
}

fn binding(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
        "metadata": { "name": name }, "spec": spec,
    })
}

async fn what_the_plugin_foretells_is_what_the_operator_does(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("foretold").await?;
    let spec = |accounts: &[&str]| {
        let accounts: Vec<Value> = accounts.iter().map(|name| json!({ "name": name })).collect();
        json!({ "identity": { "managed": {} }, "serviceAccounts": accounts })
    };
    let one = spec(&["orders"]);
    let before = plan(&namespace, &["-f", "-"], Some(&binding("orders", &one))).await?;
    ensure!(
        namespace.find_binding("orders").await?.is_none(),
        "a question changes nothing"
    );
    namespace.bind("orders", &one).await?;
    namespace.ready("orders").await?;
    let status = namespace.binding("orders").await?.status.unwrap_or_default();
    let credential = status.federated_credentials.first().context("no credential")?;
    let trusted = format!("federated credential {} for {}", credential.name, credential.subject);
    let identity = format!("managed identity {}", namespace.identity("orders").await?.name);
    let made = format!("{identity} in westeurope");
    let annotated = "annotations of service account orders";
    ensure!(before == foretold(2, &[], &[&made, &trusted, annotated]), "{before:?}");
    let still = plan(&namespace, &["orders"], None).await?;
    ensure!(still == foretold(0, &[], &[]), "{still:?}");

    let two = spec(&["mails"]);
    let changed = plan(&namespace, &["-f", "-"], Some(&binding("orders", &two))).await?;
    namespace.bind("orders", &two).await?;
    namespace.ready("orders").await?;
    let status = namespace.binding("orders").await?.status.unwrap_or_default();
    let now = status.federated_credentials.first().context("no credential")?;
    let gives = format!("federated credential {} for {}", now.name, now.subject);
    let takes = format!("federated credential {}", credential.name);
    let expected = foretold(
        2,
        &[&takes, annotated],
        &[&gives, "annotations of service account mails"],
    );
    ensure!(changed == expected, "{changed:?}");

    let end = plan(&namespace, &["orders", "--delete"], None).await?;
    let credential = format!("federated credential {}", now.name);
    let expected = foretold(2, &[&credential, "service account mails", &identity], &[]);
    ensure!(end == expected, "{end:?}");
    let told = with_azure(
        &world,
        &["plan", "orders", "--delete", "--azure", "--namespace=foretold"],
    )
    .await?;
    let takes = end.takes.iter().all(|step| {
        told.out.contains(&format!(
            "  - {step}
"
        ))
    });
    let read = told.out.contains("as Azure shows it now");
    ensure!(told.code == 2 && takes && read, "{}{}", told.out, told.err);
    Ok(())
}

async fn a_policy_that_is_narrowed_is_foretold_with_what_it_takes_from_whom(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("foretold-narrowed").await?;
    let [one, other] = ["narrowed-1", "narrowed-2"].map(|name| identity_id(OTHER_GROUP, name));
    world.simulator.put_identity(&one).await?;
    let policy = |identity: &str| {
        json!({
            "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityPolicy",
            "metadata": { "name": "foretold-narrowed" },
            "spec": { "namespaces": { "names": ["foretold-narrowed"] }, "existingIdentities": [identity] },
        })
    };
    world.cluster.kubectl.apply(&policy(&one).to_string()).await?;
    let spec = json!({ "identity": { "existing": { "resourceId": one } }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("orders", &spec).await?;
    namespace.ready("orders").await?;
    let told = namespace.wib(&["plan", "-f", "-"], Some(&policy(&other))).await?;
    let named = told
        .out
        .contains("WorkloadIdentityBinding foretold-narrowed/orders: may not have what it asks for");
    let bindings = told.out.matches("WorkloadIdentityBinding ").count();
    ensure!(told.code == 2 && named && bindings == 1, "{}{}", told.out, told.err);
    for takes in ["  - federated credential ", "  - annotations of service account orders"] {
        ensure!(told.out.contains(takes), "{}", told.out);
    }
    let same = namespace.wib(&["plan", "-f", "-"], Some(&policy(&one))).await?;
    ensure!(
        same.code == 0 && same.out == "Plan: nothing to do.\n",
        "{}{}",
        same.out,
        same.err
    );
    let refused = binding(
        "too-much",
        &json!({
            "identity": { "managed": {} },
            "serviceAccounts": [{ "name": "orders" }],
            "roleAssignments": [{ "role": "Owner", "scope": group_id(PLATFORM_GROUP) }],
        }),
    );
    let told = namespace.wib(&["plan", "-f", "-"], Some(&refused)).await?;
    let refusal = "✗ WorkloadIdentityBinding foretold-narrowed/too-much: ";
    ensure!(
        told.code == 2 && told.out.starts_with(refusal),
        "{}{}",
        told.out,
        told.err
    );
    Ok(())
}

/// Whoever may write service accounts may write any client id on them: that alone must not become a policy.
async fn what_others_trusted_is_imported_and_a_mere_claim_is_not(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("imported").await?;
    let id = identity_id(OTHER_GROUP, "imported");
    let client = world.simulator.put_identity(&id).await?.client_id;
    let issuer = world.cluster.issuer().await?;
    let subject = "system:serviceaccount:imported:orders";
    let trusted = Trusted {
        issuer: &issuer,
        subject,
        audience: AUDIENCE,
    };
    world.simulator.put_credential(&id, "by-hand", trusted).await?;
    for account in ["orders", "thief"] {
        namespace.kubectl(&["create", "serviceaccount", account]).await?;
        let claim = format!("{CLIENT_ID_ANNOTATION}={client}");
        namespace.annotate(account, &[&claim]).await?;
    }
    let group = group_id(OTHER_GROUP);
    let told = with_azure(&world, &["import", "--namespace=imported", "--group", &group]).await?;
    ensure!(told.code == 2, "{}{}", told.out, told.err);
    ensure!(
        told.out
            .contains("NOT CARRIED ON: ServiceAccount imported/thief: no federated credential"),
        "{}",
        told.out
    );
    ensure!(
        told.out.matches("thief").count() == 1 && told.out.contains(&id),
        "{}",
        told.out
    );
    let (policies, bindings) = told
        .out
        .split_once("kind: WorkloadIdentityBinding")
        .context("no binding")?;
    let policies = policies.rsplit_once("---\n").context("no policy")?.0;
    world.cluster.kubectl.apply(policies).await?;
    let bindings = format!("apiVersion: workloadidentity.dev/v1alpha1\nkind: WorkloadIdentityBinding{bindings}");
    until("the binding to be admitted", DEADLINE, async || {
        Ok(world.cluster.kubectl.apply(&bindings).await.ok())
    })
    .await?;
    namespace.ready("orders").await?;
    let status = namespace.binding("orders").await?.status.unwrap_or_default();
    let rests_on = status
        .service_accounts
        .first()
        .and_then(|one| one.foreign_credential.as_deref());
    ensure!(
        rests_on == Some("by-hand"),
        "what stood before is left alone: {status:?}"
    );
    let again = with_azure(&world, &["import", "--namespace=imported", "--group", &group]).await?;
    ensure!(!again.out.contains("kind: "), "{}", again.out);
    Ok(())
}

async fn a_pod_without_its_token_is_found_and_a_suspended_binding_is_resumed(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("plugin").await?;
    namespace.kubectl(&["create", "serviceaccount", "orders"]).await?;
    namespace.pod("early", "orders").await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("orders", &spec).await?;
    namespace.ready("orders").await?;
    let told = namespace.wib(&["status", "orders"], None).await?;
    let step = "Next step: pod early: it is older than the client id on its service account";
    ensure!(told.code == 0 && told.out.contains(step), "{}{}", told.out, told.err);
    namespace.kubectl(&["delete", "pod", "early", "--now"]).await?;
    namespace.pod("late", "orders").await?;
    let told = namespace.wib(&["status", "orders"], None).await?;
    ensure!(told.out.contains("✓ pod late has its token"), "{}", told.out);
    ensure!(told.out.ends_with("Next step: nothing to do\n"), "{}", told.out);

    namespace.wib(&["suspend", "orders"], None).await?;
    let told = namespace.wib(&["status", "orders"], None).await?;
    ensure!(
        told.out.ends_with("Next step: kubectl wib resume orders -n plugin\n"),
        "{}",
        told.out
    );
    namespace.wib(&["resume", "orders"], None).await?;
    let told = namespace.wib(&["reconcile", "orders", "--wait"], None).await?;
    ensure!(
        told.code == 0 && told.out.contains("Ready=True"),
        "{}{}",
        told.out,
        told.err
    );
    Ok(())
}

/// The next step that `verify` names is taken, and then it proves.
async fn a_token_is_proven_and_what_keeps_it_away_is_explained(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("proven").await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("orders", &spec).await?;
    namespace.ready("orders").await?;
    let identity = namespace.identity("orders").await?;
    let status = namespace.binding("orders").await?.status.unwrap_or_default();
    let credential = status.federated_credentials.first().context("no credential")?;
    let verify = async |more: &[&str]| {
        let arguments = [&["verify", "orders", "--namespace=proven"], more].concat();
        let azure = world.simulator.variables();
        world.cluster.kubectl.wib(&arguments, None, &azure).await
    };

    let told = verify(&["-o", "json"]).await?;
    ensure!(told.code == 0, "{}{}", told.out, told.err);
    let proof: Value = serde_json::from_str(&told.out).context("reading the proof")?;
    let claim = |path: &str| {
        proof
            .pointer(&format!("/serviceAccounts/0/{path}"))
            .and_then(Value::as_str)
    };
    for (path, value) in [
        ("presented/iss", status.issuer.as_deref()),
        ("presented/sub", Some(credential.subject.as_str())),
        ("given/oid", Some(identity.principal_id.as_str())),
        ("given/appid", Some(identity.client_id.as_str())),
        ("given/tid", Some(identity.tenant_id.as_str())),
    ] {
        ensure!(claim(path) == value, "{path} should be {value:?}: {}", told.out);
    }
    ensure!(!told.out.contains("eyJ"), "a token is shown: {}", told.out);

    // The operator is kept from putting it back before anybody asked, once it knows.
    namespace.wib(&["suspend", "orders"], None).await?;
    namespace
        .condition("orders", ConditionType::Ready, "True", Reason::Suspended)
        .await?;
    world
        .simulator
        .delete_credential(&identity.resource_id, &credential.name)
        .await?;
    let told = verify(&[]).await?;
    let refused = "✗ Service account orders: AADSTS70025: no federated credential matches";
    let step = "kubectl wib reconcile orders -n proven --wait has it put back";
    for part in [refused, step] {
        ensure!(told.code == 2 && told.out.contains(part), "{}{}", told.out, told.err);
    }
    namespace.wib(&["resume", "orders"], None).await?;
    let told = namespace.wib(&["reconcile", "orders", "--wait"], None).await?;
    ensure!(told.code == 0, "{}{}", told.out, told.err);
    let told = verify(&[]).await?;
    ensure!(told.code == 0, "{}{}", told.out, told.err);

    namespace.kubectl(&["create", "serviceaccount", "mails"]).await?;
    let told = verify(&["--service-account", "mails"]).await?;
    for part in [
        "✗ Service account mails: AADSTS700213: the subject differs",
        "token      system:serviceaccount:proven:mails",
        "credential system:serviceaccount:proven:orders",
    ] {
        ensure!(told.code == 2 && told.out.contains(part), "{}{}", told.out, told.err);
    }
    let told = verify(&["--service-account", "nobody"]).await?;
    ensure!(told.code == 1, "{}{}", told.out, told.err);
    let told = namespace.wib(&["explain", "AADSTS700213"], None).await?;
    ensure!(
        told.code == 0 && told.out.contains("the subject differs"),
        "{}{}",
        told.out,
        told.err
    );
    Ok(())
}
