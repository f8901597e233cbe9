//! Managed identities: what is sent, what is understood of the answers, and their life in the simulator.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wio_azure::ListedIdentity;
use wio_azure_sim::{Identity, ResourceGroup};
use wio_core::fault::AzureCause;
use wio_core::names::ResourceGroupId;
use wio_core::observed::Tags;

use crate::fixtures::{
    CLIENT_ID, PRINCIPAL_ID, SUBSCRIPTION, TENANT_ID, TOKEN, answered, cloud, desired, error_response, granted, header,
    id, identity_body, json_body, json_response, name, request_line, resource_id, tags,
};

#[tokio::test]
async fn an_identity_is_written_and_201_means_created() {
    for (status, created) in [(201, true), (200, false)] {
        let (azure, seen) = answered(vec![json_response(status, &identity_body("orders"))]);
        let put = azure
            .put_identity(&granted("orders"), &name("westeurope"), &tags("shop"))
            .await
            .unwrap();
        assert_eq!(put.created, created);
        assert_eq!(put.view.facts.client_id.to_string(), CLIENT_ID);
        assert_eq!(put.view.facts.principal_id.to_string(), PRINCIPAL_ID);
        assert_eq!(put.view.facts.tenant_id.to_string(), TENANT_ID);
        assert_eq!(put.view.tags, tags("shop"));
        let request = seen.only();
        assert_eq!(
            request_line(&request),
            format!(
                "PUT https://management.azure.com{}?api-version=2023-01-31",
                resource_id("orders")
            )
        );
        assert_eq!(
            json_body(&request),
            json!({"location": "westeurope", "tags": {"team": "shop"}})
        );
        assert_eq!(header(&request, "content-type"), "application/json");
        assert_eq!(header(&request, "authorization"), format!("Bearer {TOKEN}"));
    }
}

#[tokio::test]
async fn only_the_tags_of_an_identity_are_changed_by_a_patch() {
    let (azure, seen) = answered(vec![json_response(200, &identity_body("orders"))]);
    azure.tag_identity(&granted("orders"), &tags("shop")).await.unwrap();
    let request = seen.only();
    assert_eq!(request.method(), "PATCH");
    assert_eq!(json_body(&request), json!({"tags": {"team": "shop"}}));
}

#[tokio::test]
async fn an_identity_is_read_and_its_absence_is_no_fault() {
    let shouting = resource_id("ORDERS")
        .to_uppercase()
        .replace("SUBSCRIPTIONS", "subscriptions");
    let mut untagged = identity_body("orders");
    untagged["tags"] = Value::Null;
    untagged["id"] = json!(shouting);
    let (azure, _) = answered(vec![
        json_response(200, &untagged),
        error_response(404, "ResourceNotFound"),
    ]);
    assert_eq!(
        azure.get_identity(&id("orders")).await.unwrap().unwrap().tags,
        Tags::new()
    );
    assert_eq!(azure.get_identity(&id("orders")).await.unwrap(), None);
}

/// A cloud answers so that lacks the api-version, and so do others about a subscription: it says nothing about what stands there.
#[tokio::test]
async fn a_404_about_something_else_is_no_absence_of_an_identity_or_a_credential() {
    let binding = desired("orders", &["a"]);
    let revocable = binding.granted.revocable();
    for code in [
        "InvalidResourceType",
        "InvalidResourceNamespace",
        "MissingSubscription",
        "404",
    ] {
        let (azure, _) = answered((0..3).map(|_| error_response(404, code)).collect());
        azure.get_identity(&id("orders")).await.unwrap_err();
        azure.delete_identity(&revocable).await.unwrap_err();
        azure
            .delete_credential(&revocable, &binding.credentials[0].name)
            .await
            .unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_lives_from_its_creation_to_its_confirmed_end() {
    let (azure, simulator) = cloud(|config| config.page_size = 2).await;
    let binding = desired("orders", &["a", "b", "c", "d", "e"]);
    let grant = &binding.granted;
    assert_eq!(azure.get_identity(&id("orders")).await.unwrap(), None);

    let put = azure
        .put_identity(grant, &name("westeurope"), &tags("shop"))
        .await
        .unwrap();
    assert!(put.created);
    let again = azure
        .put_identity(grant, &name("westeurope"), &tags("shop"))
        .await
        .unwrap();
    assert!(!again.created);
    assert_eq!(again.view, put.view);
    let tagged = azure.tag_identity(grant, &tags("mail")).await.unwrap();
    assert_eq!((tagged.facts, tagged.tags), (put.view.facts, tags("mail")));

    for credential in &binding.credentials {
        let written = azure.put_credential(grant, credential).await.unwrap();
        assert!(written.trusts(credential.issuer.as_str(), credential.subject.as_str()));
    }
    let listed = azure.list_credentials(&id("ORDERS")).await.unwrap();
    let wanted = |name| binding.credentials.iter().any(|credential| credential.name == name);
    assert_eq!(listed.len(), 5, "over three pages");
    assert!(listed.into_iter().all(|credential| wanted(credential.name)));

    for credential in &binding.credentials {
        azure
            .delete_credential(&grant.revocable(), &credential.name)
            .await
            .unwrap();
    }
    azure
        .delete_credential(&grant.revocable(), &binding.credentials[0].name)
        .await
        .unwrap();
    assert_eq!(azure.list_credentials(&id("orders")).await.unwrap(), []);
    azure.delete_identity(&grant.revocable()).await.unwrap();
    azure.delete_identity(&grant.revocable()).await.unwrap();
    assert_eq!(azure.get_identity(&id("orders")).await.unwrap(), None);
    azure
        .delete_credential(&grant.revocable(), &binding.credentials[0].name)
        .await
        .unwrap();
    let statuses: Vec<_> = simulator.requests().iter().map(|request| request.status).collect();
    assert!(
        statuses
            .iter()
            .all(|status| matches!(status, Some(200 | 201 | 204 | 404))),
        "{statuses:?}"
    );
}

/// The group that the tests' identities are in.
fn group() -> ResourceGroupId {
    id("orders").group
}

#[tokio::test(start_paused = true)]
async fn the_identities_of_a_group_are_listed_over_pages_and_those_of_no_other() {
    let (azure, simulator) = cloud(|config| config.page_size = 2).await;
    assert_eq!(azure.list_identities(&group()).await.unwrap().entries, []);
    let names = ["mails", "orders", "parcels", "Stock", "UPPER"];
    for identity in names {
        azure
            .put_identity(&granted(identity), &name("westeurope"), &tags(identity))
            .await
            .unwrap();
    }
    let mut snapshot = simulator.snapshot();
    let elsewhere = ResourceGroup {
        name: "operator2".to_owned(),
        ..snapshot.resource_groups[0].clone()
    };
    snapshot.resource_groups.push(elsewhere);
    let foreign = Identity {
        id: wio_azure_sim::IdentityId::new(SUBSCRIPTION, "operator2", "foreign"),
        ..snapshot.identities[0].clone()
    };
    snapshot.identities.push(foreign);
    simulator.restore(snapshot);
    simulator.clear_requests();

    let listed = azure.list_identities(&name(&group().to_string().to_uppercase())).await;
    let listed = listed.unwrap();
    for (listed, identity) in listed.entries.iter().zip(names) {
        let view = azure.get_identity(&id(identity)).await.unwrap().unwrap();
        let expected = ListedIdentity {
            id: id(identity),
            facts: Some(view.facts),
            tags: tags(identity),
        };
        assert_eq!(*listed, expected);
    }
    assert_eq!((listed.entries.len(), listed.requests), (5, 3));
    let lists = simulator
        .requests()
        .iter()
        .filter(|request| request.path.ends_with("userAssignedIdentities"))
        .count();
    assert_eq!(lists, 3, "one for each page");
}

#[tokio::test(start_paused = true)]
async fn a_group_with_thousands_of_identities_is_listed_whole() {
    const MANY: usize = 2_000;
    let (azure, simulator) = cloud(|config| config.page_size = 50).await;
    azure
        .put_identity(&granted("orders"), &name("westeurope"), &tags("shop"))
        .await
        .unwrap();
    let mut snapshot = simulator.snapshot();
    let one = snapshot.identities.remove(0);
    snapshot.identities = (0..MANY)
        .map(|number| Identity {
            id: wio_azure_sim::IdentityId::new(SUBSCRIPTION, "operator", &format!("orders-{number:04}")),
            ..one.clone()
        })
        .collect();
    simulator.restore(snapshot);
    let listed = azure.list_identities(&group()).await.unwrap().entries;
    let names: BTreeSet<String> = listed.iter().map(|identity| identity.id.name.to_string()).collect();
    assert_eq!((listed.len(), names.len()), (MANY, MANY));
    assert!(listed.iter().all(|identity| identity.tags == tags("shop")));
}

#[tokio::test]
async fn a_listed_identity_has_its_tags_as_they_are_written_and_what_is_odd_is_left_out() {
    let mut shouted = identity_body("orders");
    shouted["id"] = json!(
        resource_id("orders")
            .to_uppercase()
            .replace("SUBSCRIPTIONS", "subscriptions")
    );
    shouted["tags"] = json!({"WIO-Binding": "Shop/Orders", "team": "", "TEAM ": "x"});
    let mut untagged = identity_body("mails");
    untagged["tags"] = Value::Null;
    let bare = json!({"id": resource_id("bare")});
    let in_another_group = json!({"id": resource_id("orders").replace("/operator/", "/other/")});
    let child = json!({"id": resource_id("orders/federatedIdentityCredentials/x")});
    let no_id = json!({"name": "orders", "tags": {"team": "shop"}});
    let page = json!({"value": [
        shouted, child, untagged, in_another_group, bare, no_id, {"id": null}, {"id": "x"}, {"id": resource_id("a/../b")},
    ]});
    let (azure, seen) = answered(vec![json_response(200, &page)]);
    let listed = azure.list_identities(&group()).await.unwrap().entries;
    let whole = listed.iter().map(|identity| identity.facts.is_some());
    assert_eq!(
        whole.collect::<Vec<_>>(),
        [true, true, false],
        "one does not say its ids"
    );
    let listed: Vec<_> = listed
        .into_iter()
        .map(|identity| (identity.id, identity.tags))
        .collect();
    let written = [("TEAM ", "x"), ("WIO-Binding", "Shop/Orders"), ("team", "")];
    let written = written.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let written = written.into_iter().collect();
    let expected = [
        (id("orders"), written),
        (id("mails"), Tags::new()),
        (id("bare"), Tags::new()),
    ];
    assert_eq!(listed, expected);
    let path = resource_id("orders").replace("/orders", "");
    assert_eq!(
        request_line(&seen.only()),
        format!("GET https://management.azure.com{path}?api-version=2023-01-31")
    );
}

#[tokio::test]
async fn tags_that_cannot_be_read_make_no_list() {
    for tags in [json!({"team": 7}), json!(["team"]), json!("team")] {
        let mut odd = identity_body("orders");
        odd["tags"] = tags.clone();
        let (azure, _) = answered(vec![json_response(200, &json!({"value": [odd]}))]);
        let fault = azure.list_identities(&group()).await.unwrap_err().fault;
        assert!(matches!(fault.cause, AzureCause::Malformed(_)), "{tags}: {fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_identities_that_may_not_be_read_or_has_no_group_is_a_fault() {
    let (azure, simulator) = cloud(|_| {}).await;
    let nowhere = name(&group().to_string().replace("operator", "nowhere"));
    let fault = azure.list_identities(&nowhere).await.unwrap_err().fault;
    assert!(
        fault
            .to_string()
            .starts_with("could not list the managed identities in the resource group nowhere: Azure answered 404"),
        "{fault}"
    );
    assert!(
        matches!(&fault.cause, AzureCause::Answer(answer) if answer.code == "ResourceGroupNotFound"),
        "{fault}"
    );

    simulator.reconfigure(|config| config.authorization = true);
    let fault = azure.list_identities(&group()).await.unwrap_err().fault;
    assert!(
        matches!(&fault.cause, AzureCause::Answer(answer) if answer.status == 403 && answer.code == "AuthorizationFailed"),
        "{fault}"
    );
}
