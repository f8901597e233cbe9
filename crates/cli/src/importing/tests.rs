//! Imports from a fake API server, as a person gets them.

use clap::Parser;
use serde_json::{Value, json};
use wio_core::names::hash;
use wio_testkit::fixtures::{binding, service_account};
use wio_testkit::{DEFAULT_ISSUER, Effect, FakeApiServer, Matcher, ResourceType, Verb};

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
            "metadata": { "name": format!("shop-imported-{}", hash(&["shop", &id(identity)])) },
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

/// A credential that Crossplane made for a service account of `shop`.
fn made_by_crossplane(account: &str, identity: &str) -> Value {
    json!({
        "apiVersion": "managedidentity.azure.upbound.io/v1beta1", "kind": "FederatedIdentityCredential", "metadata": { "name": account },
        "spec": { "forProvider": {
            "parentId": id(identity), "issuer": DEFAULT_ISSUER, "subject": format!("system:serviceaccount:shop:{account}"),
        }},
        "status": { "atProvider": { "id": "made" } },
    })
}

/// kubectl took the object out of the comment, and created what the tenant wrote with the rights of whoever imports.
#[tokio::test]
async fn what_a_tenant_writes_cannot_leave_its_comment() {
    let server = server();
    let claim = "x\u{2028}apiVersion: v1\u{2028}kind: ConfigMap\u{2029}metadata: {name: evil}\u{85}# \u{202e}";
    server.seed(
        service_account("shop", "orders")
            .annotation("azure.workload.identity/client-id", claim)
            .build(),
    );
    let subject = format!("system:serviceaccount:shop:{claim}");
    let mut credential = made_by_crossplane("mails", "mails");
    credential["spec"]["forProvider"]["subject"] = json!(subject);
    server.seed(credential);
    let (ending, comments, objects) = import(&server, &[]).await;
    assert_eq!((ending, objects), (Ending::NotSo, Vec::new()));
    assert!(
        comments[0].contains("metadata: {name: evil}") && comments.len() == 3,
        "{comments:?}"
    );
    let ends = |c: char| matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{202e}');
    assert!(!comments.iter().any(|line| line.contains(ends)), "{comments:?}");
}

/// The policy of the second import had the name of the first one's, and without the identity that was bound by it.
#[tokio::test]
async fn a_second_import_replaces_no_policy_of_the_first_one() {
    let server = server();
    server.seed(made_by_crossplane("orders", "orders"));
    let first = import(&server, &[]).await.2;
    assert_eq!(first, expected("orders", "orders"));
    server.seed(first[1].clone());
    server.seed(made_by_crossplane("mails", "mails"));
    let second = import(&server, &[]).await.2;
    assert_eq!(second, expected("mails", "mails"));
    assert_ne!(first[0]["metadata"]["name"], second[0]["metadata"]["name"]);
}

/// Clusters have service accounts of the same names, and only the issuer tells their credentials apart.
#[tokio::test]
async fn a_credential_is_no_trust_of_this_cluster_as_long_as_its_issuer_is_not_known() {
    let server = server();
    server.seed(made_by_crossplane("orders", "orders"));
    server.inject(
        Matcher::any().path("/.well-known/openid-configuration"),
        Effect::forbidden(),
    );
    let (ending, comments, objects) = import(&server, &[]).await;
    assert_eq!((ending, objects), (Ending::NotSo, Vec::new()));
    assert!(
        comments[0].contains("the issuer of this cluster's tokens could not be read"),
        "{comments:?}"
    );
}

/// Whoever may read a namespace alone could import nothing at all.
#[tokio::test]
async fn what_the_caller_may_not_read_is_named_and_the_rest_is_imported() {
    for (resource, group) in [
        ("serviceaccounts", "the service accounts"),
        ("azureidentities", "azureidentities of aadpodidentity.k8s.io"),
        (
            "azureidentitybindings",
            "azureidentitybindings of aadpodidentity.k8s.io",
        ),
    ] {
        let server = server();
        server.seed(made_by_crossplane("orders", "orders"));
        server.inject(Matcher::any().verb(Verb::List).resource(resource), Effect::forbidden());
        let (ending, comments, objects) = import(&server, &[]).await;
        assert_eq!(
            (ending, objects),
            (Ending::NotSo, expected("orders", "orders").to_vec()),
            "{resource}"
        );
        assert!(
            comments[1].starts_with(&format!("NOT CARRIED ON: {group}: they could not be read")),
            "{comments:?}"
        );
    }
}

#[tokio::test]
async fn an_import_needs_no_operator_in_the_cluster() {
    let server = server();
    server.seed(made_by_crossplane("orders", "orders"));
    let missing = Effect::status(404, "NotFound", "the server could not find the requested resource");
    server.inject(Matcher::any().resource("workloadidentitybindings"), missing);
    assert_eq!(import(&server, &[]).await.2, expected("orders", "orders"));
}

/// The spec says what is asked for, and the id that Azure gave says what stands.
#[tokio::test]
async fn a_credential_belongs_to_the_identity_in_which_azure_has_it() {
    let server = server();
    let mut credential = made_by_crossplane("orders", "others");
    let made = format!("{}/federatedIdentityCredentials/orders", id("orders"));
    credential["status"]["atProvider"]["id"] = json!(made);
    server.seed(credential);
    assert_eq!(import(&server, &[]).await.2, expected("orders", "orders"));
}

#[tokio::test]
async fn more_service_accounts_than_an_identity_can_trust_become_no_binding() {
    let server = server();
    for number in 0..21 {
        server.seed(made_by_crossplane(&format!("a{number}"), "orders"));
    }
    let (ending, comments, objects) = import(&server, &[]).await;
    assert_eq!((ending, objects), (Ending::NotSo, Vec::new()));
    assert!(comments[0].contains("21 service accounts use it"), "{comments:?}");
}
