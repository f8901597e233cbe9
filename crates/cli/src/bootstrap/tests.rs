//! The commands, against the page that a test runs.

use std::collections::BTreeSet;
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use wio_testkit::FakeApiServer;

use crate::commands::bootstrap::check;
use crate::doctor::tests::{healthy, simulated};
use crate::{Ending, Session};

use super::script::{Aks, Plan};
use super::{bicep, shell_script, terraform};

const CLUSTER: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop-cluster/providers/Microsoft.ContainerService/managedClusters/shop";

fn plan() -> Plan {
    Plan {
        subscription: None,
        location: "westeurope".to_owned(),
        group: "workload-identities".to_owned(),
        operator_group: "workload-identity-operator".to_owned(),
        cluster: "shop".to_owned(),
        aks: Aks::Is(CLUSTER.parse().unwrap()),
        issuer: "https://issuer.example/".to_owned(),
        registry: Some("myregistry".to_owned()),
        unreachable: None,
    }
}

fn quickstart() -> String {
    std::fs::read_to_string(format!("{}/../../docs/quickstart.md", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The commands of a section of the page.
fn section(page: &str, heading: &str) -> Vec<String> {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let blocks = section
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split_once("```").unwrap().0);
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// `make quickstart` runs the page with the real tools; what the plugin prints is tried by that as well.
#[test]
fn the_commands_are_those_of_the_quick_start_line_for_line() {
    let page = quickstart();
    let expected: Vec<String> = [
        "2 The resource groups",
        "3 The operator's own identity",
        "4 Its roles",
        "6 Install the operator",
    ]
    .iter()
    .flat_map(|heading| section(&page, heading))
    .collect();
    let printed = shell_script(&plan());
    let (variables, commands) = printed.split_once("\n# The resource groups").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert_eq!(commands, expected);
    let of_page = page.split("```sh\n").nth(1).unwrap().split_once("```").unwrap().0;
    let without_comment = |line: &str| line.split(" #").next().unwrap().trim().to_owned();
    let of_page: Vec<String> = of_page.lines().map(without_comment).collect();
    for line in variables.lines().filter(|line| {
        !["ISSUER=", "REGISTRY=", "CLUSTER_ID="]
            .iter()
            .any(|name| line.starts_with(name))
    }) {
        assert!(of_page.contains(&line.to_owned()), "{line} is not in {of_page:?}");
    }
}

/// Whoever answers as an API server chooses the issuer, and a person pastes what is printed.
#[test]
fn what_is_filled_in_stays_a_word_of_the_shell_and_a_text_of_terraform() {
    let evil = Plan {
        subscription: Some("'; touch /tmp/owned; '".to_owned()),
        issuer: "https://a/$(id)`id`\"${path.root}%{ if true }'\nid".to_owned(),
        cluster: "a b".to_owned(),
        ..plan()
    };
    let printed = shell_script(&evil);
    let (variables, _) = printed.split_once("\n# The resource groups").unwrap();
    // The one command among the variables is left to a function.
    let script = format!("az() {{ :; }}\n{variables}\nprintf '%s|%s|%s' \"$SUBSCRIPTION\" \"$CLUSTER\" \"$ISSUER\"");
    let said = Command::new("sh").args(["-c", &script]).output().unwrap();
    let expected = format!(
        "{}|{}|{}",
        evil.subscription.clone().unwrap(),
        evil.cluster,
        evil.issuer
    );
    assert_eq!(String::from_utf8(said.stdout).unwrap(), expected);
    let module = terraform(&evil);
    assert!(
        module.contains(r#""a b" = "https://a/$(id)`id`\"$${path.root}%%{ if true }' id""#),
        "{module}"
    );
    let module = bicep(&evil);
    assert!(
        module.contains(r#"issuer: 'https://a/$(id)`id`"\${path.root}%{ if true }\' id'"#),
        "{module}"
    );
    // What is to be run afterwards stands in comments, line for line.
    for (module, mark, last) in [
        (
            terraform(&evil),
            "# ",
            "value = module.workload_identity_operator.client_id\n}",
        ),
        (
            bicep(&evil),
            "// ",
            "output clientId string = operator.outputs.clientId",
        ),
    ] {
        let (_, after) = module.split_once(last).unwrap();
        let bare = after.lines().filter(|line| !line.is_empty() && !line.starts_with(mark));
        assert_eq!(bare.collect::<Vec<_>>(), Vec::<&str>::new(), "{module}");
        assert!(after.contains("--set azure.clusterId=\"$CLUSTER_ID\""), "{module}");
    }
}

/// Of the template that Bicep takes as a module.
#[test]
fn bicep_gives_the_template_what_it_takes() {
    let path = format!("{}/../../config/azure/main.json", env!("CARGO_MANIFEST_DIR"));
    let template: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let takes: BTreeSet<&str> = template["parameters"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let printed = bicep(&plan());
    let given = printed
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
    let given: BTreeSet<&str> = given.map(|(name, _)| name).collect();
    assert_eq!(given, takes, "{printed}");
    let elsewhere = bicep(&Plan {
        aks: Aks::Not,
        ..plan()
    });
    assert!(!elsewhere.contains("clusterId:"), "{elsewhere}");
    let page = quickstart();
    for line in printed
        .lines()
        .filter(|line| line.starts_with("targetScope") || line.starts_with("output") || line.starts_with("module"))
    {
        assert!(page.contains(line), "{line} is not on the page");
    }
}

#[test]
fn whose_cluster_it_is_is_asked_where_nobody_said_and_left_open_where_it_is_none() {
    let with = |aks, subscription: &str| Plan {
        aks,
        subscription: Some(subscription.to_owned()),
        ..plan()
    };
    let script = |aks| shell_script(&with(aks, SUBSCRIPTION));
    assert!(script(Aks::Is(CLUSTER.parse().unwrap())).contains(&format!("\nCLUSTER_ID={CLUSTER}\n")));
    assert!(script(Aks::Not).contains("\nCLUSTER_ID=\n"));
    let unsaid = script(Aks::Unsaid);
    let (variables, _) = unsaid.split_once("\n# The resource groups").unwrap();
    for (given, well) in [("", false), ("CLUSTER_ID= ", true), ("CLUSTER_ID=x ", true)] {
        let script = format!("az() {{ :; }}\n{variables}");
        let said = Command::new("sh")
            .args(["-c", &format!("{given}sh -c \"$0\""), &script])
            .output()
            .unwrap();
        assert_eq!(said.status.success(), well, "{given}: {said:?}");
    }
    let cluster = || Aks::Is(CLUSTER.parse().unwrap());
    let other = "00000000-52a4-4d0c-8d2f-0c6a2d0b7a11";
    assert!(shell_script(&with(cluster(), other)).starts_with(&format!("# {CLUSTER} is in another subscription")));
    assert!(shell_script(&with(cluster(), SUBSCRIPTION)).starts_with("SUBSCRIPTION="));
}

#[test]
fn terraform_calls_the_module_with_arguments_that_it_takes() {
    let takes = std::fs::read_to_string(format!(
        "{}/../../config/azure/variables.tf",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap();
    let printed = terraform(&plan());
    let arguments = printed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.contains("value ="));
    let arguments: Vec<&str> = arguments.map(|line| line.trim().split(' ').next().unwrap()).collect();
    assert_eq!(
        arguments,
        [
            "source",
            "subscription_id",
            "location",
            "issuers",
            "resource_group",
            "operator_resource_group",
            "clusters"
        ]
    );
    for argument in arguments.iter().skip(1) {
        assert!(takes.contains(&format!("variable \"{argument}\"")), "{argument}");
    }
    assert!(
        printed.contains("subscription_id         = var.subscription_id"),
        "{printed}"
    );
}

#[test]
fn no_image_is_guessed_and_an_issuer_that_entra_cannot_reach_is_told() {
    let bare = Plan {
        registry: None,
        unreachable: Some("it is not https"),
        ..plan()
    };
    let printed = shell_script(&bare);
    assert!(
        printed.starts_with("# https://issuer.example/: it is not https"),
        "{printed}"
    );
    assert!(printed.contains("\n: \"${REGISTRY:?"), "{printed}");
    assert!(terraform(&bare).starts_with("# https://issuer.example/: it is not https"));
}

const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";

/// Contributor, given to the operator at a scope.
fn assigned(name: &str, scope: &str) -> Value {
    json!({
        "name": format!("{name}-8f0a-4a37-9a6d-5f0c8d5f7e21"), "scope": scope, "roleDefinitionId": "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "principalId": "1a2b3c4d-0000-4000-8000-0000000091c1", "principalType": "ServicePrincipal",
        "createdOn": "2026-01-01T00:00:00Z", "updatedOn": "2026-01-01T00:00:00Z", "createdBy": "",
    })
}

/// What the commands make in Azure, trusting an issuer.
fn made(issuer: &str) -> Value {
    let group = |name| json!({ "subscriptionId": SUBSCRIPTION, "name": name, "location": "westeurope" });
    let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/workload-identities");
    json!({
        "resourceGroups": [group("workload-identities"), group("workload-identity-operator"), group("shop-cluster")],
        "identities": [{
            "id": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/workload-identity-operator/providers/Microsoft.ManagedIdentity/userAssignedIdentities/workload-identity-operator"),
            "location": "westeurope", "clientId": "4b65e8cb-da6f-4b8e-9399-17dfd09b7846", "principalId": "1a2b3c4d-0000-4000-8000-0000000091c1",
            "isolationScope": "None", "createdAt": "2026-01-01T00:00:00Z",
            "credentials": [{
                "name": "shop", "issuer": issuer, "audiences": ["api://AzureADTokenExchange"],
                "subject": "system:serviceaccount:workload-identity-system:workload-identity-operator",
            }],
        }],
        "managedClusters": [{
            "subscriptionId": SUBSCRIPTION, "resourceGroup": "shop-cluster", "name": "shop", "location": "westeurope",
            "identity": { "type": "SystemAssigned" }, "properties": { "nodeResourceGroup": "MC_shop" },
        }],
        "roleAssignments": [assigned("3b1de86c", &scope), assigned("4b1de86c", CLUSTER)],
    })
}

/// A healthy cluster whose operator knows which it is.
fn installed() -> FakeApiServer {
    let server = healthy();
    server.delete::<ConfigMap>("workload-identity-system", "workload-identity-operator-settings");
    server.seed(json!({ "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "namespace": "workload-identity-system", "name": "workload-identity-operator-settings" },
        "data": { "WIO_CLIENT_ID": "4b65e8cb-da6f-4b8e-9399-17dfd09b7846", "WIO_CLUSTER_ID": CLUSTER.to_lowercase() } }));
    server
}

/// What `--check` says of these, and how it ends.
async fn checked(azure: Result<Value, &str>, server: &FakeApiServer) -> (Ending, String) {
    checked_with(plan(), azure, server).await
}

async fn checked_with(plan: Plan, azure: Result<Value, &str>, server: &FakeApiServer) -> (Ending, String) {
    let azure = azure.map(simulated).map_err(str::to_owned);
    let session = Session {
        client: server.client(),
        namespace: "shop".to_owned(),
    };
    let plan = Plan {
        subscription: Some(SUBSCRIPTION.to_owned()),
        ..plan
    };
    let mut out = anstream::StripStream::new(Vec::new());
    let ended = check(&plan, azure.as_ref().map_err(Clone::clone), &session, &mut out)
        .await
        .unwrap();
    (ended, String::from_utf8(out.into_inner()).unwrap())
}

/// The lines with a mark.
fn marked<'a>(told: &'a str, mark: &str) -> Vec<&'a str> {
    told.lines().filter(|line| line.contains(mark)).collect()
}

#[tokio::test]
async fn what_of_it_is_done_is_said_of_azure_and_of_the_cluster() {
    let (ended, told) = checked(Ok(made("https://issuer.example/")), &installed()).await;
    assert_eq!(marked(&told, "✗ "), Vec::<&str>::new(), "{told}");
    // The fake API server does not say what somebody may do.
    assert_eq!(marked(&told, "… ").len(), 1, "{told}");
    assert_eq!(ended, Ending::Failed, "what is not known is not done");
    for part in [
        "Its role at the cluster, to protect the identities by which that acts: it may do what it does at",
        "✓ The cluster, in the operator's settings",
        "The operator's own identity: client id 4b65e8cb-da6f-4b8e-9399-17dfd09b7846",
        "Its trust in the operator's service account: federated credential shop",
        "The operator: 2 of 2 ready in namespace workload-identity-system",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named_in_azure_and_in_the_cluster() {
    let server = healthy();
    server.delete::<Deployment>("workload-identity-system", "workload-identity-operator");
    server.delete::<Lease>("workload-identity-system", "workload-identity-operator");
    // Entra compares byte for byte, the slash at the end too.
    let (ended, told) = checked(Ok(made("https://issuer.example")), &server).await;
    assert_eq!(ended, Ending::NotSo);
    let missing = marked(&told, "✗ ");
    assert!(missing.len() == 5, "{told}");
    assert!(
        told.contains("✗ Its trust in the operator's service account: not there"),
        "{told}"
    );
    assert!(
        told.contains("✗ The operator: no Deployment of it is in the cluster"),
        "{told}"
    );

    let empty = json!({ "resourceGroups": [] });
    let (ended, told) = checked(Ok(empty), &healthy()).await;
    assert_eq!((ended, marked(&told, "✗ ").len()), (Ending::NotSo, 6), "{told}");
    assert!(
        told.contains("✗ The cluster, in the operator's settings: not there"),
        "{told}"
    );
    assert!(
        told.contains("✗ Its role at the cluster, to protect the identities by which that acts: not there"),
        "{told}"
    );
}

#[tokio::test]
async fn a_cluster_that_is_none_of_aks_lacks_nothing_of_it_and_one_that_nobody_named_is_not_known() {
    let with = |aks| Plan { aks, ..plan() };
    let (_, told) = checked_with(with(Aks::Not), Ok(made("https://issuer.example/")), &healthy()).await;
    assert!(
        !told.contains("ts role at the cluster") && !told.contains("The cluster, in"),
        "{told}"
    );
    let (_, told) = checked_with(with(Aks::Unsaid), Ok(made("https://issuer.example/")), &healthy()).await;
    assert!(
        told.contains("that acts: unknown: say which cluster it is, with --cluster-id"),
        "{told}"
    );
}

#[tokio::test]
async fn without_an_azure_login_the_cluster_is_looked_at_all_the_same() {
    let (ended, told) = checked(Err("there is no login"), &installed()).await;
    assert_eq!(ended, Ending::Failed);
    assert_eq!(marked(&told, "unknown: there is no login").len(), 5, "{told}");
    assert!(told.contains("✓ Custom resources"), "{told}");
}
