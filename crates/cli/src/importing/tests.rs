//! Imports from a fake API server, as a person gets them.

use clap::Parser;
use serde_json::{Value, json};
use wio_testkit::fixtures::{binding, service_account};
use wio_testkit::{DEFAULT_ISSUER, FakeApiServer, ResourceType};

use crate::arguments::Arguments;
use crate::ending::Ending;
use crate::session::Session;

const CLIENT: &str = "4b65e8cb-da6f-4b8e-9399-17dfd09b7846";
const OTHER: &str = "00000000-0000-4000-8000-000000000001";

fn id(name: &str) -> String {
    format!(
        "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    )
}

/// A server that knows the kinds of every tool.
fn server() -> FakeApiServer {
    let server = FakeApiServer::new();
    server.create_namespace("shop");
    let kinds = [
        ("aadpodidentity.k8s.io", "v1", "AzureIdentity", "azureidentities"),
        (
            "aadpodidentity.k8s.io",
            "v1",
            "AzureIdentityBinding",
            "azureidentitybindings",
        ),
        (
            "managedidentity.azure.com",
            "v1api20230131",
            "UserAssignedIdentity",
            "userassignedidentities",
        ),
        (
            "managedidentity.azure.com",
            "v1api20230131",
            "FederatedIdentityCredential",
            "federatedidentitycredentials",
        ),
    ];
    for (group, version, kind, plural) in kinds {
        server.register(ResourceType::builtin(group, version, kind, plural));
    }
    let crossplane = |kind, plural| {
        ResourceType::builtin("managedidentity.azure.upbound.io", "v1beta1", kind, plural).cluster_scoped()
    };
    server.register(crossplane("UserAssignedIdentity", "userassignedidentities"));
    server.register(crossplane(
        "FederatedIdentityCredential",
        "federatedidentitycredentials",
    ));
    server
}

/// How `kubectl wib import` ends, its comments, and the objects that it writes.
async fn import(server: &FakeApiServer, arguments: &[&str]) -> (Ending, Vec<String>, Vec<Value>) {
    let line = [&["kubectl-wib", "import"], arguments].concat();
    let arguments = Arguments::try_parse_from(line).unwrap();
    let session = Session {
        client: server.client(),
        namespace: "shop".to_owned(),
    };
    let mut out = anstream::StripStream::new(Vec::new());
    let ending = crate::carry_out(&arguments.command, &session, &mut out).await.unwrap();
    assert!(server.writes().is_empty(), "a question changes nothing");
    let text = String::from_utf8(out.into_inner()).unwrap();
    let comments = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .map(str::to_owned)
        .collect();
    let objects = text
        .split("---\n")
        .skip(1)
        .map(|one| serde_yaml_ng::from_str(one).unwrap())
        .collect();
    (ending, comments, objects)
}

fn of_tool(api: &str, kind: &str, name: &str, parts: &Value) -> Value {
    let mut object = json!({ "apiVersion": api, "kind": kind, "metadata": { "name": name, "namespace": "shop" } });
    for (key, value) in parts.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

fn expected(account: &str, identity: &str) -> [Value; 2] {
    [
        json!({
            "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityPolicy",
            "metadata": { "name": "shop-imported" },
            "spec": { "namespaces": { "names": ["shop"] }, "existingIdentities": [id(identity)] },
        }),
        json!({
            "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
            "metadata": { "name": account, "namespace": "shop" },
            "spec": {
                "identity": { "existing": { "resourceId": id(identity) } },
                "serviceAccounts": [{ "name": account, "create": false }],
            },
        }),
    ]
}

#[tokio::test]
async fn what_service_operator_and_crossplane_made_becomes_a_policy_and_a_binding() {
    let aso = "managedidentity.azure.com/v1api20230131";
    let server = server();
    server.seed(of_tool(
        aso,
        "UserAssignedIdentity",
        "orders",
        &json!({ "status": { "id": id("orders"), "clientId": CLIENT } }),
    ));
    let credential = json!({ "spec": {
        "owner": { "name": "orders" }, "issuer": DEFAULT_ISSUER,
        "subject": "system:serviceaccount:shop:orders", "audiences": ["api://AzureADTokenExchange"],
    }, "status": { "id": format!("{}/federatedIdentityCredentials/orders", id("orders")) }});
    server.seed(of_tool(aso, "FederatedIdentityCredential", "orders", &credential));
    // The service account that it is for names the same identity by its client id.
    server.seed(
        service_account("shop", "orders")
            .annotation("azure.workload.identity/client-id", CLIENT)
            .build(),
    );
    let (ending, comments, objects) = import(&server, &[]).await;
    assert_eq!((ending, objects), (Ending::Well, expected("orders", "orders").to_vec()));
    assert_eq!(
        comments[..1],
        ["binding shop/orders: FederatedIdentityCredential shop/orders, ServiceAccount shop/orders"]
    );

    let server = self::server();
    server.seed(json!({
        "apiVersion": "managedidentity.azure.upbound.io/v1beta1", "kind": "FederatedIdentityCredential", "metadata": { "name": "mails" },
        "spec": { "forProvider": {
            "parentId": id("mails"), "issuer": DEFAULT_ISSUER, "subject": "system:serviceaccount:shop:mails",
            "audience": ["api://AzureADTokenExchange"],
        }},
        "status": { "atProvider": { "id": "made" } },
    }));
    assert_eq!(import(&server, &[]).await.2, expected("mails", "mails"));
    assert_eq!(
        import(&server, &["--only", "bindings"]).await.2,
        expected("mails", "mails")[1..]
    );
}

#[tokio::test]
async fn the_pods_of_a_pod_identity_bring_their_service_accounts() {
    let aad = "aadpodidentity.k8s.io/v1";
    let server = server();
    server.seed(of_tool(
        aad,
        "AzureIdentity",
        "one",
        &json!({ "spec": { "type": 0, "resourceID": id("one"), "clientID": CLIENT } }),
    ));
    let selects = |selector: &str| json!({ "spec": { "azureIdentity": "one", "selector": selector } });
    server.seed(of_tool(aad, "AzureIdentityBinding", "one", &selects("one")));
    server.seed(of_tool(aad, "AzureIdentityBinding", "unused", &selects("unused")));
    let pod = |name: &str, account: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "shop", "labels": { "aadpodidbinding": "one" } },
            "spec": { "serviceAccountName": account, "containers": [{ "name": "a", "image": "a" }] },
        })
    };
    server.seed(pod("a", "orders"));
    server.seed(pod("b", "default"));
    let (ending, comments, objects) = import(&server, &[]).await;
    assert_eq!((ending, objects), (Ending::NotSo, expected("orders", "one").to_vec()));
    assert!(
        comments[1].contains("AzureIdentityBinding shop/one: its pods run as the service account default"),
        "{comments:?}"
    );
    assert!(
        comments[2].contains("AzureIdentityBinding shop/unused: no pod has the label"),
        "{comments:?}"
    );
}

#[tokio::test]
async fn a_state_of_terraform_gives_bindings_and_client_ids() {
    let state = json!({ "version": 4, "resources": [
        { "mode": "managed", "type": "azurerm_user_assigned_identity", "name": "orders",
          "instances": [{ "attributes": { "id": id("orders"), "client_id": CLIENT } }] },
        { "mode": "managed", "type": "azurerm_federated_identity_credential", "name": "all", "instances": [
            { "index_key": 0, "attributes": { "id": "made", "parent_id": id("orders"), "issuer": DEFAULT_ISSUER, "subject": "system:serviceaccount:shop:jobs", "audience": ["api://AzureADTokenExchange"] } },
            { "index_key": 1, "attributes": { "id": "made", "parent_id": id("orders"), "issuer": "https://other.example/", "subject": "system:serviceaccount:shop:jobs" } },
            { "index_key": 2, "attributes": { "id": "made", "parent_id": id("orders"), "issuer": "https://token.actions.githubusercontent.com", "subject": "repo:a/b:ref:refs/heads/main" } },
            { "index_key": 3, "attributes": { "id": "made", "parent_id": id("orders"), "issuer": DEFAULT_ISSUER, "subject": "system:serviceaccount:shop:mails" } },
        ]},
    ]});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    std::fs::write(&path, state.to_string()).unwrap();
    let server = server();
    server.seed(
        service_account("shop", "orders")
            .annotation("azure.workload.identity/client-id", &CLIENT.to_uppercase())
            .build(),
    );
    let (ending, comments, objects) = import(&server, &["--terraform-state", path.to_str().unwrap()]).await;
    assert_eq!(ending, Ending::NotSo);
    assert_eq!(
        objects[1]["metadata"]["name"], "orders",
        "two service accounts of one identity are one binding of its name"
    );
    assert_eq!(
        objects[1]["spec"]["serviceAccounts"],
        json!([{ "name": "jobs", "create": false }, { "name": "mails", "create": false }])
    );
    let left: Vec<&String> = comments
        .iter()
        .filter(|line| line.starts_with("NOT CARRIED ON"))
        .collect();
    assert!(
        left[0].contains("ServiceAccount shop/orders: no federated credential was seen")
            && left[1].contains("all[1]: it trusts another issuer")
            && left[2].contains("all[2]: its subject, repo:a/b"),
        "{left:?}"
    );
}

#[tokio::test]
async fn what_a_binding_has_already_is_not_written_again_and_what_is_not_known_is_named() {
    let server = server();
    let of = |name: &str, client: &str| {
        service_account("shop", name)
            .annotation("azure.workload.identity/client-id", client)
            .build()
    };
    server.seed(of("mails", OTHER));
    let (ending, comments, objects) = import(&server, &[]).await;
    assert_eq!((ending, objects), (Ending::NotSo, Vec::new()));
    assert!(
        comments[0].contains(&format!(
            "ServiceAccount shop/mails: which managed identity has the client id {OTHER}"
        )),
        "{comments:?}"
    );

    let server = self::server();
    server.seed(json!({
        "apiVersion": "managedidentity.azure.upbound.io/v1beta1", "kind": "FederatedIdentityCredential", "metadata": { "name": "a" },
        "spec": { "forProvider": { "parentId": id("orders"), "issuer": DEFAULT_ISSUER, "subject": "system:serviceaccount:shop:orders" } },
        "status": { "atProvider": { "id": "made" } },
    }));
    server.seed(
        binding("shop", "mine")
            .existing(&id("ORDERS"))
            .service_account("orders")
            .build(),
    );
    let (ending, comments, objects) = import(&server, &[]).await;
    assert_eq!((ending, objects), (Ending::Well, Vec::new()));
    assert_eq!(comments, ["nothing was found that no binding has"]);
}
