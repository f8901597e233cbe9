//! Managed identities: what is sent, what is understood of the answers, and their life in the simulator.

use serde_json::{Value, json};
use wio_core::observed::Tags;

use crate::fixtures::{
    CLIENT_ID, PRINCIPAL_ID, TENANT_ID, TOKEN, answered, cloud, desired, error_response, granted, header, id,
    identity_body, json_body, json_response, name, request_line, resource_id, tags,
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

#[tokio::test(start_paused = true)]
async fn an_identity_lives_from_its_creation_to_its_confirmed_end() {
    let (azure, simulator) = cloud(|config| config.page_size = 2).await;
    let binding = desired("orders", &["a", "b", "c", "d", "e"]);
    let grant = &binding.authorized;
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
            .delete_credential(&grant.revoking(), &credential.name)
            .await
            .unwrap();
    }
    azure
        .delete_credential(&grant.revoking(), &binding.credentials[0].name)
        .await
        .unwrap();
    assert_eq!(azure.list_credentials(&id("orders")).await.unwrap(), []);
    azure.delete_identity(&grant.revoking()).await.unwrap();
    azure.delete_identity(&grant.revoking()).await.unwrap();
    assert_eq!(azure.get_identity(&id("orders")).await.unwrap(), None);
    azure
        .delete_credential(&grant.revoking(), &binding.credentials[0].name)
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
