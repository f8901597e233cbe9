//! Forecasts against a fake API server.

use clap::Parser;
use serde_json::{Value, json};
use wio_api::{EffectiveDefaults, VerificationMode, WorkloadIdentityEffectivePolicy};
use wio_testkit::fixtures::{binding, policy};
use wio_testkit::{Effect, FakeApiServer, Matcher, ResourceType, Verb};

use crate::arguments::Arguments;
use crate::ending::Ending;
use crate::session::Session;

const GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared";

fn identity(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
}

/// The effective policy of an operator without settings of its own.
pub(crate) fn effective_policy() -> Value {
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityEffectivePolicy",
        "metadata": { "name": "cluster" },
        "spec": {
            "subscriptionId": "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11", "resourceGroup": "shared", "location": "westeurope",
            "requirePolicy": false, "protected": [], "lockedRoles": [], "rolesLockedAtIdentities": [], "identityScopes": [],
            "policies": [], "problems": [],
            "accepted": { "resourceGroupId": GROUP, "location": "westeurope" },
            "defaults": {
                "audience": "api://AzureADTokenExchange", "verification": "None", "tags": {}, "ignoredTags": [],
                "allowPrivateIssuer": false,
            },
        },
    })
}

fn server() -> FakeApiServer {
    let server = FakeApiServer::new();
    server.create_namespace("shop");
    server.create_namespace("mail");
    let group = "rbac.authorization.k8s.io";
    server.register(ResourceType::builtin(group, "v1", "ClusterRoleBinding", "clusterrolebindings").cluster_scoped());
    server.register(ResourceType::builtin(group, "v1", "RoleBinding", "rolebindings"));
    server.seed(effective_policy());
    server
}

/// The operator's settings that fill in what bindings leave open.
fn with_defaults(server: &FakeApiServer, change: impl FnOnce(&mut Option<EffectiveDefaults>)) {
    server.edit::<WorkloadIdentityEffectivePolicy>("", "cluster", |object| {
        let mut defaults = serde_json::from_value(object["spec"]["defaults"].clone()).unwrap();
        change(&mut defaults);
        let spec = object["spec"].as_object_mut().unwrap();
        match defaults {
            Some(defaults) => spec.insert("defaults".to_owned(), json!(defaults)),
            None => spec.remove("defaults"),
        };
    });
}

fn by_verification() -> Value {
    let metadata = json!({ "name": "workload-identity-operator-verification" });
    granting("ClusterRoleBinding", &metadata)
}

/// The same where the operator acts in one namespace.
fn by_verification_in(namespace: &str) -> Value {
    let metadata = json!({ "name": "workload-identity-operator-verification", "namespace": namespace });
    granting("RoleBinding", &metadata)
}

fn granting(kind: &str, metadata: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "workload-identity-operator-verification" },
    })
}

/// How `kubectl wib plan` ends about these objects, and what it says.
async fn plan(server: &FakeApiServer, objects: &[Value], arguments: &str) -> anyhow::Result<(Ending, String)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("plan.yaml");
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    std::fs::write(&file, documents.join("\n---\n"))?;
    let line = match objects {
        [] => format!("kubectl-wib plan {arguments}"),
        _ => format!("kubectl-wib plan -f {} {arguments}", file.display()),
    };
    let arguments = Arguments::try_parse_from(line.split_whitespace())?;
    let session = Session {
        client: server.client(),
        namespace: "shop".to_owned(),
    };
    let mut out = anstream::StripStream::new(Vec::new());
    let ending = crate::carry_out(&arguments.command, &session, &mut out).await;
    assert!(server.writes().is_empty(), "a question changes nothing");
    Ok((ending?, String::from_utf8(out.into_inner())?))
}

fn of_existing(name: &str, account: &str, id: &str) -> Value {
    json!(binding("shop", name).existing(id).service_account(account).build())
}

fn allowing(name: &str, id: &str) -> Value {
    json!(policy(name).namespace("shop").existing(id).build())
}

#[tokio::test]
async fn what_a_new_binding_will_get_is_foretold_and_nothing_is_written() {
    let wanted = json!(binding("shop", "orders").managed().service_account("orders").build());
    let (ending, told) = plan(&server(), &[wanted], "").await.unwrap();
    assert_eq!(ending, Ending::NotSo);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[0],
        "WorkloadIdentityBinding shop/orders: may have what it asks for"
    );
    assert!(lines[1].starts_with("  + managed identity wib-shop-orders-"), "{told}");
    assert!(lines[2].ends_with(" for system:serviceaccount:shop:orders"), "{told}");
    assert_eq!(lines[3], "  + annotations of service account orders");
    assert_eq!(lines.last(), Some(&"Plan: 3 to give."));
}

/// Nothing would come of it, and no status would ever say so.
#[tokio::test]
async fn a_binding_where_the_operator_does_not_act_is_foretold_to_be_left_alone() {
    let server = server();
    with_defaults(&server, |defaults| {
        defaults.as_mut().unwrap().watch_namespaces = vec!["mail".to_owned()];
    });
    let wanted = ["shop", "mail"]
        .map(|namespace| json!(binding(namespace, "orders").managed().service_account("orders").build()));
    let (_, told) = plan(&server, &wanted, "").await.unwrap();
    let left = "WorkloadIdentityBinding shop/orders: is left alone: the operator does not act in namespace shop (";
    assert!(told.contains(left), "{told}");
    assert!(
        told.contains("WorkloadIdentityBinding mail/orders: may have what it asks for"),
        "{told}"
    );
    assert!(told.ends_with("Plan: 3 to give.\n"), "{told}");
}

/// A policy and the bindings that need it come in one folder more often than not.
#[tokio::test]
async fn a_binding_that_admission_refuses_for_the_policy_beside_it_is_foretold_with_it() {
    let server = server();
    let refusal =
        "ValidatingAdmissionPolicy 'workload-identity-operator' with binding 'x' denied request: no policy allows it";
    let bindings = Matcher::any().verb(Verb::Apply).resource("workloadidentitybindings");
    server.inject(bindings, Effect::status(422, "Invalid", refusal));
    let id = identity("orders");
    let wanted = of_existing("orders", "orders", &id);
    let (_, told) = plan(&server, &[wanted.clone(), allowing("orders", &id)], "")
        .await
        .unwrap();
    assert!(
        told.starts_with(&format!(
            "✗ WorkloadIdentityBinding shop/orders: {refusal}. For admission"
        )),
        "{told}"
    );
    assert!(
        told.contains("WorkloadIdentityBinding shop/orders: may have what it asks for"),
        "{told}"
    );
    let (ending, told) = plan(&server, &[wanted], "").await.unwrap();
    assert_eq!(
        (ending, told.as_str()),
        (
            Ending::NotSo,
            &*format!("✗ WorkloadIdentityBinding shop/orders: {refusal}\nPlan: 1 refused.\n")
        )
    );
}

/// The binding that is there was taken out of the world when its change was refused, and its neighbours were foretold as if it were gone.
#[tokio::test]
async fn a_change_that_is_refused_leaves_the_binding_as_it_is() {
    let server = server();
    server.seed(of_existing("orders", "orders", &identity("orders")));
    let refused = Matcher::any().verb(Verb::Patch).resource("workloadidentitybindings");
    server.inject(
        refused,
        Effect::status(422, "Invalid", "spec.identity cannot be changed"),
    );
    let (_, told) = plan(
        &server,
        &[of_existing("orders", "mails", &identity("mails"))],
        "-o json",
    )
    .await
    .unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["refused"][0]["object"], "WorkloadIdentityBinding shop/orders");
    assert_eq!(
        told["bindings"],
        json!([]),
        "what is refused makes no difference to anybody"
    );
}

#[tokio::test]
async fn a_policy_is_foretold_by_the_bindings_to_which_it_makes_a_difference() {
    let server = server();
    server.seed(of_existing("orders", "orders", &identity("orders")));
    server.seed(of_existing("mails", "mails", &identity("mails")));
    let (_, told) = plan(&server, &[allowing("orders", &identity("orders"))], "-o name")
        .await
        .unwrap();
    assert_eq!(told, "workloadidentitybinding.workloadidentity.dev/orders\n");
    let (ending, told) = plan(&server, &[allowing("nobody", &identity("nobody"))], "")
        .await
        .unwrap();
    assert_eq!((ending, told.as_str()), (Ending::Well, "Plan: nothing to do.\n"));
}

const PROOF: &str = "  ~ a token of service account orders, exchanged with Microsoft Entra to prove that it is ready";

#[tokio::test]
async fn a_proof_is_foretold_where_the_operator_would_make_one() {
    let server = server();
    let silent = || json!(binding("shop", "orders").managed().service_account("orders").build());
    let asking = |mode| {
        json!(
            binding("shop", "orders")
                .managed()
                .service_account("orders")
                .verified(mode)
                .build()
        )
    };
    let (_, told) = plan(&server, &[asking(VerificationMode::TokenExchange)], "")
        .await
        .unwrap();
    let refusal = "  ! TokenRequestForbidden: no token of service account orders is exchanged";
    assert!(told.contains(refusal) && !told.contains(PROOF), "{told}");
    assert!(told.ends_with("Plan: 3 to give, 1 blocked.\n"), "{told}");
    server.seed(by_verification());
    let (_, told) = plan(&server, &[asking(VerificationMode::TokenExchange)], "")
        .await
        .unwrap();
    assert!(
        told.contains(PROOF) && told.ends_with("Plan: 3 to give, 1 to prove.\n"),
        "{told}"
    );
    let (_, told) = plan(&server, &[silent()], "").await.unwrap();
    assert!(!told.contains('~'), "{told}");
    // The operator proves what does not say.
    with_defaults(&server, |defaults| {
        defaults.as_mut().unwrap().verification = VerificationMode::TokenExchange;
    });
    let (_, told) = plan(&server, &[silent()], "").await.unwrap();
    assert!(told.contains(PROOF), "{told}");
    let (_, told) = plan(&server, &[asking(VerificationMode::None)], "").await.unwrap();
    assert!(!told.contains('~'), "{told}");
    let unseen = Matcher::any().verb(Verb::Get).resource("clusterrolebindings");
    server.inject(unseen, Effect::forbidden());
    let (_, told) = plan(&server, &[silent()], "").await.unwrap();
    assert!(
        told.contains(PROOF) && told.contains("not read: whether the operator may mint"),
        "{told}"
    );
}

/// The operator acts in some namespaces alone, and has its rights in those.
#[tokio::test]
async fn a_proof_is_foretold_where_a_role_binding_in_the_namespace_gives_the_right() {
    let server = server();
    let wanted = binding("shop", "orders").managed().service_account("orders");
    let wanted = json!(wanted.verified(VerificationMode::TokenExchange).build());
    server.seed(by_verification_in("mail"));
    let (_, told) = plan(&server, std::slice::from_ref(&wanted), "").await.unwrap();
    assert!(
        told.contains("! TokenRequestForbidden") && !told.contains(PROOF),
        "{told}"
    );
    server.seed(by_verification_in("shop"));
    let unseen = Matcher::any().verb(Verb::Get).resource("clusterrolebindings");
    server.inject(unseen, Effect::forbidden());
    let (_, told) = plan(&server, &[wanted], "").await.unwrap();
    assert!(told.contains(PROOF) && !told.contains("not read"), "{told}");
}

#[tokio::test]
async fn settings_of_an_older_operator_that_are_not_known_are_named() {
    let server = server();
    let wanted = json!(binding("shop", "orders").managed().service_account("orders").build());
    let (_, told) = plan(&server, std::slice::from_ref(&wanted), "").await.unwrap();
    assert!(!told.contains("not read"), "{told}");
    with_defaults(&server, |defaults| *defaults = None);
    let (_, told) = plan(&server, &[wanted], "").await.unwrap();
    for setting in ["--default-tag", "--ignored-tag", "--verification"] {
        assert!(told.contains("not read: ") && told.contains(setting), "{told}");
    }
}

#[tokio::test]
async fn what_the_caller_may_not_read_is_named() {
    let server = server();
    let everywhere = Matcher::any()
        .verb(Verb::List)
        .path("/apis/workloadidentity.dev/v1alpha1/workloadidentitybindings");
    server.inject(everywhere, Effect::forbidden());
    let wanted = json!(binding("shop", "orders").managed().service_account("orders").build());
    let (_, told) = plan(&server, &[wanted], "").await.unwrap();
    assert!(told.contains("not read: bindings of other namespaces: "), "{told}");
    server.inject(
        Matcher::any().verb(Verb::List).resource("workloadidentitypolicies"),
        Effect::forbidden(),
    );
    let error = plan(&server, &[], "orders").await.unwrap_err();
    assert!(format!("{error:#}").starts_with("the policies: "), "{error:#}");
}

#[tokio::test]
async fn a_file_without_anything_for_it_is_said_to_be_one() {
    let error = plan(&server(), &[json!({ "apiVersion": "v1", "kind": "Namespace" })], "")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("there is no WorkloadIdentityBinding"),
        "{error}"
    );
}

/// How `kubectl wib plan` ends about a file of this text, and what it says.
async fn plan_text(server: &FakeApiServer, text: &str) -> anyhow::Result<(Ending, String)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("plan.yaml");
    std::fs::write(&file, text)?;
    plan(server, &[], &format!("-f {}", file.display())).await
}

/// The same binding three times, in the ways in which people have it in files.
#[tokio::test]
async fn a_file_is_read_as_kubectl_reads_it() {
    let list = "kind: WorkloadIdentityBindingList\napiVersion: workloadidentity.dev/v1alpha1\nitems:\n- {apiVersion: workloadidentity.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {name: orders, resourceVersion: '1'}, spec: {identity: {managed: {}}, serviceAccounts: [{name: orders}]}, status: {}}\n";
    let merged = "apiVersion: workloadidentity.dev/v1alpha1\nkind: WorkloadIdentityBinding\nmetadata: {name: orders}\nspec: {identity: {managed: {}}, serviceAccounts: [&a {name: mails, create: true}, {<<: *a, name: orders}]}\n";
    let plain = "# nothing\n---\n---\napiVersion: workloadidentity.dev/v1alpha1\nkind: WorkloadIdentityBinding\nmetadata:\n  name: orders\nspec:\n  identity: {managed: {}}\n  serviceAccounts: [{name: orders}]\n";
    for text in [
        list,
        merged,
        plain,
        &plain.replace('\n', "\r\n"),
        &format!("\u{feff}{plain}"),
    ] {
        let (_, told) = plan_text(&server(), text).await.unwrap();
        assert!(
            told.contains("+ annotations of service account orders"),
            "{text}: {told}"
        );
    }
    let nameless = plain.replace("name: orders\nspec", "generateName: orders-\nspec");
    let error = plan_text(&server(), &nameless).await.unwrap_err();
    assert!(format!("{error:#}").contains("has no metadata.name"), "{error:#}");
}

/// The API server was asked about what this version had read of the file, and a misspelt field was foretold to be nothing.
#[tokio::test]
async fn the_api_server_hears_of_fields_that_are_not_known_here() {
    let mut wanted = json!(binding("shop", "orders").managed().service_account("orders").build());
    wanted["spec"]["roleAssigments"] = json!([]);
    let (ending, told) = plan(&server(), &[wanted], "").await.unwrap();
    assert_eq!(ending, Ending::NotSo);
    assert!(
        told.contains("✗ WorkloadIdentityBinding shop/orders: ") && told.contains("roleAssigments"),
        "{told}"
    );
}

/// A binding that is suspended, as the last apply of a tool left it: what that said goes when the file does not say it any more.
#[tokio::test]
async fn what_others_wrote_stays_and_what_the_file_said_before_goes() {
    let wanted = || json!(binding("shop", "orders").managed().service_account("orders").build());
    let suspended = || {
        json!(
            binding("shop", "orders")
                .managed()
                .service_account("orders")
                .suspended()
                .build()
        )
    };
    let by_hand = server();
    by_hand.seed(suspended());
    let by_flux = server();
    by_flux.apply_as("kustomize-controller", suspended(), false).unwrap();
    let by_kubectl = server();
    let mut live = suspended();
    live["metadata"]["annotations"] =
        json!({ "kubectl.kubernetes.io/last-applied-configuration": suspended().to_string() });
    by_kubectl.seed(live);
    for (server, stays) in [(by_hand, true), (by_flux, false), (by_kubectl, false)] {
        let before = server.requests().len();
        let (_, told) = plan_changing(&server, wanted()).await;
        assert_eq!(told.contains("is suspended: nothing is written"), stays, "{told}");
        assert!(server.requests().len() > before);
    }
}

/// What is said of a file with one object, on a server that somebody wrote to before.
async fn plan_changing(server: &FakeApiServer, object: Value) -> (Ending, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let line = format!("kubectl-wib plan -f {}", file.display());
    let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
    let session = Session {
        client: server.client(),
        namespace: "shop".to_owned(),
    };
    let mut out = anstream::StripStream::new(Vec::new());
    let ending = crate::carry_out(&arguments.command, &session, &mut out).await.unwrap();
    (ending, String::from_utf8(out.into_inner()).unwrap())
}

/// "Nothing to do" was the answer for a binding of whose namespace nothing is known.
#[tokio::test]
async fn a_binding_whose_namespace_is_not_known_is_named() {
    let server = server();
    let refusal = "ValidatingAdmissionPolicy 'workload-identity-operator' denied request: no policy allows it";
    let bindings = Matcher::any().verb(Verb::Apply).resource("workloadidentitybindings");
    server.inject(bindings, Effect::status(422, "Invalid", refusal));
    let id = identity("orders");
    let mut wanted = of_existing("orders", "orders", &id);
    wanted["metadata"]["namespace"] = json!("new");
    let (ending, told) = plan(&server, &[wanted, allowing("orders", &id)], "").await.unwrap();
    assert_eq!(ending, Ending::NotSo);
    assert!(
        told.contains("WorkloadIdentityBinding new/orders: nothing is foretold"),
        "{told}"
    );
}

/// Whoever may read some namespaces alone, and names one of them in the file, got a conflict with what stands there.
#[tokio::test]
async fn the_namespaces_of_the_file_are_read_where_all_cannot_be() {
    let server = server();
    let mut live = of_existing("orders", "orders", &identity("orders"));
    live["metadata"]["namespace"] = json!("mail");
    live["spec"]["suspend"] = json!(true);
    server.seed(live.clone());
    for path in [
        "/apis/workloadidentity.dev/v1alpha1/workloadidentitybindings",
        "/api/v1/serviceaccounts",
        "/api/v1/namespaces",
    ] {
        server.inject(Matcher::any().verb(Verb::List).path(path), Effect::forbidden());
    }
    live["spec"]["suspend"] = json!(false);
    let (_, told) = plan(&server, &[live], "").await.unwrap();
    assert!(
        told.contains("WorkloadIdentityBinding mail/orders: may not have what it asks for")
            || told.contains("WorkloadIdentityBinding mail/orders: nothing is given"),
        "{told}"
    );
}

/// A pod of a Deployment that was created before its service account carried a client id.
fn early(name: &str, deployment: &str, account: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "shop", "name": name, "labels": { "azure.workload.identity/use": "true", "pod-template-hash": "5d" },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{deployment}-5d"), "uid": "u", "controller": true }],
        },
        "spec": { "serviceAccountName": account, "containers": [{ "name": "app", "image": "i", "env": [{ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/t/x" }] }] },
        "status": { "phase": "Running" },
    })
}

#[tokio::test]
async fn whose_pods_would_be_restarted_is_foretold_where_the_binding_asks_for_it() {
    let server = server();
    for pod in [
        early("a", "orders", "orders"),
        early("b", "orders", "orders"),
        early("c", "strange", "other"),
    ] {
        server.seed(pod);
    }
    let wanted = |rollout: Value| {
        let mut wanted = json!(binding("shop", "orders").managed().service_account("orders").build());
        wanted["spec"]["rollout"] = rollout;
        wanted
    };
    let (_, told) = plan(&server, &[wanted(Value::Null)], "").await.unwrap();
    assert!(!told.contains("restart"), "{told}");
    let (_, told) = plan(&server, &[wanted(json!("Restart"))], "").await.unwrap();
    assert!(
        told.contains("~ Deployment/orders, restarted when its turn comes"),
        "{told}"
    );
    assert!(
        !told.contains("strange") && told.ends_with("Plan: 3 to give, 1 to restart.\n"),
        "{told}"
    );

    server.inject(Matcher::any().verb(Verb::List).resource("pods"), Effect::forbidden());
    let (_, told) = plan(&server, &[wanted(json!("Restart"))], "").await.unwrap();
    assert!(
        told.contains("not read: the pods of namespace shop, whose owners"),
        "{told}"
    );
}

#[tokio::test]
async fn one_that_was_restarted_for_the_client_id_is_not_restarted_again() {
    const CLIENT_ID: &str = "4b65e8cb-da6f-4b8e-9399-17dfd09b7846";
    let id = identity("orders");
    let with = |result: &str, client_id: &str| {
        let mut stands = of_existing("orders", "orders", &id);
        stands["spec"]["rollout"] = json!("Restart");
        stands["status"] = json!({
            "identity": { "resourceId": id, "name": "orders", "clientId": CLIENT_ID, "origin": "Referenced" },
            "workloads": {
                "pods": 1, "withToken": 0, "withoutToken": 1, "notAsking": 0,
                "restarts": [{ "owner": "Deployment/orders", "clientId": client_id, "result": result, "message": "" }],
            },
        });
        stands
    };
    let other = "00000000-0000-4000-8000-000000000001";
    for (stands, restarts) in [
        (with("Restarting", CLIENT_ID), false),
        (with("NotRestarted", CLIENT_ID), false),
        (with("Waiting", CLIENT_ID), true),
        (with("Restarted", other), true),
    ] {
        let server = server();
        for object in [early("a", "orders", "orders"), allowing("orders", &id), stands.clone()] {
            server.seed(object);
        }
        let (_, told) = plan(&server, &[], "orders").await.unwrap();
        assert_eq!(told.contains("~ Deployment/orders"), restarts, "{stands}\n{told}");
    }
}
