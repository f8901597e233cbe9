//! Commands against a fake API server.

use clap::Parser;
use kube::ResourceExt;
use serde_json::json;
use wio_api::{WorkloadIdentityBinding, keys};
use wio_testkit::FakeApiServer;
use wio_testkit::fixtures::binding;

use crate::{Arguments, Ending, Session, carry_out};

fn server(suspended: bool) -> FakeApiServer {
    let server = FakeApiServer::new();
    server.create_namespace("shop");
    let built = binding("shop", "orders").managed().service_account("orders");
    server.seed(json!(if suspended { built.suspended() } else { built }.build()));
    server
}

/// The ending of a command line, and what it wrote.
async fn told(server: &FakeApiServer, line: &str) -> anyhow::Result<(Ending, String)> {
    let arguments = Arguments::try_parse_from(format!("kubectl-wib {line}").split(' '))?;
    let session = Session {
        client: server.client(),
        namespace: "shop".to_owned(),
    };
    let mut out = anstream::StripStream::new(Vec::new());
    let ending = carry_out(&arguments.command, &session, &mut out).await?;
    Ok((ending, String::from_utf8(out.into_inner())?))
}

#[tokio::test]
async fn a_binding_is_suspended_once_and_resumed_once() {
    let server = server(false);
    let (_, first) = told(&server, "suspend orders").await.unwrap();
    assert_eq!(first, "shop/orders suspended\n");
    let (_, again) = told(&server, "suspend orders").await.unwrap();
    assert_eq!(again, "shop/orders was suspended already\n");
    let (_, resumed) = told(&server, "resume orders").await.unwrap();
    assert_eq!(resumed, "shop/orders resumed\n");
    assert_eq!(server.writes().len(), 2, "what is so already is not written");
}

#[tokio::test]
async fn what_a_repository_will_set_back_is_told() {
    let server = server(false);
    let applied = json!(binding("shop", "mails").managed().service_account("mails").build());
    server.apply_as("kustomize-controller", applied, false).unwrap();
    let (_, told) = told(&server, "suspend mails").await.unwrap();
    assert!(told.contains("note: kustomize-controller manages it"), "{told}");
}

/// Waits until somebody asks for a look at the binding; gives the value that he asks by.
async fn asked_for(server: &FakeApiServer) -> String {
    let asks = |one: &WorkloadIdentityBinding| one.annotations().contains_key(keys::RECONCILE_AT_ANNOTATION);
    let asked = server.wait_for("shop", "orders", asks).await;
    asked.annotations()[keys::RECONCILE_AT_ANNOTATION].clone()
}

/// Writes a status as the operator does that has looked: for which look, and conditions by type, status, reason and message.
fn looked(server: &FakeApiServer, at: &str, conditions: &[[&str; 4]]) {
    let conditions: Vec<serde_json::Value> = conditions
        .iter()
        .map(|[kind, status, reason, message]| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        })
        .collect();
    let status = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
        "metadata": { "namespace": "shop", "name": "orders" },
        "status": { "lastHandledReconcileAt": at, "conditions": conditions },
    });
    server.apply_status_as("operator", status, false).unwrap();
}

#[tokio::test]
async fn waiting_for_a_look_ends_when_the_operator_has_looked_and_says_what_it_found() {
    let server = server(false);
    let operator = server.clone();
    let looking = tokio::spawn(async move {
        let at = asked_for(&operator).await;
        looked(&operator, &at, &[["Ready", "False", "ScopeLocked", "there is a lock"]]);
    });
    let (ending, told) = told(&server, "reconcile orders --wait").await.unwrap();
    looking.await.unwrap();
    assert_eq!(ending, Ending::NotSo, "it was looked at, and it is not ready");
    assert_eq!(told, "shop/orders Ready=False: ScopeLocked: there is a lock\n");
}

/// It looked, found a credential missing and waited for its turn to write: this was taken for the end.
#[tokio::test(start_paused = true)]
async fn waiting_for_a_look_goes_on_while_the_operator_is_at_work() {
    let server = server(false);
    let operator = server.clone();
    let looking = tokio::spawn(async move {
        let at = asked_for(&operator).await;
        for (ready, reconciling) in [("False", "True"), ("True", "False")] {
            let of = |kind, status| [kind, status, "Progressing", "as it is"];
            looked(&operator, &at, &[of("Ready", ready), of("Reconciling", reconciling)]);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    let (ending, told) = told(&server, "reconcile orders --wait --timeout 30s").await.unwrap();
    looking.await.unwrap();
    assert_eq!(
        (ending, told.as_str()),
        (Ending::Well, "shop/orders Ready=True: Progressing: as it is\n")
    );
}

/// Two who ask at once: the operator heeds the later one alone, and the earlier one waited in vain.
#[tokio::test]
async fn waiting_for_a_look_ends_with_a_later_one_that_somebody_else_asked_for() {
    let server = server(false);
    let others = server.clone();
    let looking = tokio::spawn(async move {
        asked_for(&others).await;
        let later = kube::api::Patch::Merge(
            json!({ "metadata": { "annotations": { (keys::RECONCILE_AT_ANNOTATION): "later" } } }),
        );
        let api: kube::Api<WorkloadIdentityBinding> = kube::Api::namespaced(others.client(), "shop");
        api.patch("orders", &kube::api::PatchParams::default(), &later)
            .await
            .unwrap();
        looked(&others, "later", &[["Ready", "True", "Succeeded", "a\u{202e}b"]]);
    });
    let (ending, told) = told(&server, "reconcile orders --wait --timeout 30s").await.unwrap();
    looking.await.unwrap();
    assert_eq!(
        (ending, told.as_str()),
        (Ending::Well, "shop/orders Ready=True: Succeeded: a b\n")
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_look_ends_in_words_when_nobody_looks() {
    let error = told(&server(false), "reconcile orders --wait --timeout 5s")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("has not looked within 5 s"), "{error}");
}

#[tokio::test]
async fn a_look_at_a_suspended_binding_is_not_asked_for() {
    let server = server(true);
    let error = told(&server, "reconcile orders").await.unwrap_err();
    assert!(
        error.to_string().contains("kubectl wib resume orders -n shop"),
        "{error}"
    );
    assert!(server.writes().is_empty());
}

#[tokio::test]
async fn a_binding_that_is_not_there_is_named() {
    for line in ["status other", "suspend other", "reconcile other"] {
        let error = format!("{:#}", told(&server(false), line).await.unwrap_err());
        assert!(error.contains("shop/other"), "{line}: {error}");
    }
    let (_, told) = told(&FakeApiServer::new(), "status -A").await.unwrap();
    assert_eq!(told, "there is no WorkloadIdentityBinding in any namespace\n");
}

#[tokio::test]
async fn programs_get_data_and_names() {
    let server = server(false);
    let (_, json) = told(&server, "status orders -o json").await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["name"], &json["phase"]),
        (&json!("orders"), &json!("NotObserved"))
    );
    let (_, yaml) = told(&server, "status -o yaml").await.unwrap();
    assert!(yaml.starts_with("items:\n- namespace: shop\n"), "{yaml}");
    let (_, name) = told(&server, "status -o name").await.unwrap();
    assert_eq!(name, "workloadidentitybinding.workloadidentity.dev/orders\n");
}
