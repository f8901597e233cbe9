//! Federated credentials: what is sent, and what is understood of the answers.

use std::time::Duration;

use serde_json::json;
use wio_azure_sim::{Fault, ResourceKind};
use wio_core::absence::Deletion;
use wio_core::fault::AzureCause;
use wio_core::observed::Tags;

use crate::fixtures::{
    answered, cloud, credential_body, desired, desired_credential, granted, id, json_body, json_response, name,
};

#[tokio::test]
async fn a_credential_is_written_with_its_three_texts() {
    let credential = desired_credential("orders");
    let subject = credential.subject.as_str();
    let answer = credential_body("orders", credential.name.as_str(), Some(subject));
    let (azure, seen) = answered(vec![json_response(201, &answer)]);
    let written = azure.put_credential(&granted("orders"), &credential).await.unwrap();
    assert!(written.trusts(credential.issuer.as_str(), subject) && written.has_audience(&credential.audience));
    let request = seen.only();
    assert_eq!(request.method(), "PUT");
    assert!(
        request
            .uri()
            .path()
            .ends_with(&format!("/federatedIdentityCredentials/{}", credential.name))
    );
    let expected = json!({"properties": {
        "issuer": credential.issuer.as_str(), "subject": subject, "audiences": ["api://AzureADTokenExchange"]
    }});
    assert_eq!(json_body(&request), expected);
}

#[tokio::test]
async fn a_flexible_credential_does_not_break_the_list() {
    let foreign = json!({"name": "odd", "properties": {"issuer": null, "audiences": null}});
    let page = json!({"value": [
        credential_body("orders", "plain", Some("s")),
        credential_body("orders", "flexible", None),
        foreign,
        {"name": "bare"},
    ]});
    let (azure, _) = answered(vec![json_response(200, &page)]);
    let found = azure.list_credentials(&id("orders")).await.unwrap();
    let subjects: Vec<_> = found
        .iter()
        .map(|credential| (credential.name.as_str(), credential.subject.as_deref()))
        .collect();
    assert_eq!(
        subjects,
        [("plain", Some("s")), ("flexible", None), ("odd", None), ("bare", None)]
    );
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_is_not_replicated_yet_says_so() {
    let (azure, _) = cloud(|config| config.parent_replication = Duration::from_mins(1)).await;
    let binding = desired("orders", &["orders"]);
    azure
        .put_identity(&binding.granted, &name("westeurope"), &Tags::new())
        .await
        .unwrap();
    let fault = azure
        .put_credential(&binding.granted, &binding.credentials[0])
        .await
        .unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Answer(answer) if answer.status == 404 && answer.code == "ParentResourceNotFound"),
        "{fault}"
    );
    tokio::time::advance(Duration::from_mins(2)).await;
    azure
        .put_credential(&binding.granted, &binding.credentials[0])
        .await
        .unwrap();
}

/// A credential that Azure refused to write was never there, and could not be deleted either: the deletion of its binding waited for ever.
#[tokio::test(start_paused = true)]
async fn a_credential_that_may_not_be_deleted_is_looked_for_before_it_is_said_to_stand() {
    let (azure, simulator) = cloud(|_| {}).await;
    let binding = desired("orders", &["orders"]);
    let (credential, revocable) = (&binding.credentials[0], binding.granted.revocable());
    azure
        .put_identity(&binding.granted, &name("westeurope"), &Tags::new())
        .await
        .unwrap();
    let forbidden = Fault::on("DELETE").kind(ResourceKind::Credential).forever();
    simulator.inject(forbidden.respond(403, "AuthorizationFailed"));
    let delete = async || azure.delete_credential(&revocable, &credential.name).await;
    assert_eq!(delete().await.unwrap(), Deletion::NotThere);
    azure.put_credential(&binding.granted, credential).await.unwrap();
    let refused = delete().await.unwrap_err();
    assert!(
        matches!(&refused.cause, AzureCause::Answer(answer) if answer.status == 403),
        "{refused}"
    );
}
