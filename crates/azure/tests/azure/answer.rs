//! Answers of Azure: errors as what they are, absence, and what cannot be read or is about something else.

use std::time::Duration;

use wio_core::fault::{AzureAnswer, AzureCause};
use wio_core::observed::Tags;

use crate::fixtures::{
    answered, credential_body, desired_credential, error_response, granted, id, identity_body, json_response, name,
    request_line, resource_id, response,
};

#[tokio::test]
async fn an_error_carries_what_azure_said_of_it() {
    let refusal = r#"{"error":{"code":"TooManyRequests","message":"Slow down."}}"#;
    let (azure, seen) = answered(vec![response(
        429,
        &[("retry-after", "17"), ("x-ms-request-id", "r-1")],
        refusal,
    )]);
    let expected = AzureAnswer {
        status: 429,
        code: "TooManyRequests".to_owned(),
        message: "Slow down.".to_owned(),
        retry_after: Some(Duration::from_secs(17)),
        request_id: Some("r-1".to_owned()),
    };
    let credential = desired_credential("orders");
    let grant = granted("orders");
    let faults = [
        azure.get_identity(&id("orders")).await.unwrap_err(),
        azure
            .put_identity(&grant, &name("westeurope"), &Tags::new())
            .await
            .unwrap_err(),
        azure.tag_identity(&grant, &Tags::new()).await.unwrap_err(),
        azure.delete_identity(&grant.revocable()).await.unwrap_err(),
        azure.list_credentials(&id("orders")).await.unwrap_err(),
        azure.put_credential(&grant, &credential).await.unwrap_err(),
        azure
            .delete_credential(&grant.revocable(), &credential.name)
            .await
            .unwrap_err(),
    ];
    for fault in &faults {
        assert_eq!(fault.cause, AzureCause::Answer(expected.clone()));
    }
    assert_eq!(seen.count(), faults.len(), "each was tried once");
    let said: Vec<&str> = faults.iter().map(|fault| fault.operation.as_str()).collect();
    assert_eq!(said[1], "create the managed identity orders");
    assert_eq!(
        said[5],
        format!(
            "write the federated credential {} of the managed identity orders",
            credential.name
        )
    );
}

#[tokio::test]
async fn a_success_that_cannot_be_read_is_malformed() {
    let without_client_id = {
        let mut body = identity_body("orders");
        body["properties"]["clientId"] = "".into();
        body.to_string()
    };
    for body in [
        "",
        "garbage",
        "<html>Welcome to the hotel's network</html>",
        "{}",
        "[]",
        "null",
        &without_client_id,
    ] {
        let (azure, _) = answered(vec![response(200, &[], body.to_owned())]);
        let grant = granted("orders");
        for fault in [
            azure.get_identity(&id("orders")).await.unwrap_err(),
            azure
                .put_identity(&grant, &name("westeurope"), &Tags::new())
                .await
                .unwrap_err(),
            azure.list_credentials(&id("orders")).await.unwrap_err(),
            azure
                .put_credential(&grant, &desired_credential("orders"))
                .await
                .unwrap_err(),
        ] {
            assert!(matches!(fault.cause, AzureCause::Malformed(_)), "{body:?}: {fault}");
        }
    }
}

#[tokio::test]
async fn a_404_that_azure_did_not_write_is_not_taken_for_an_absence() {
    let html = || response(404, &[("content-type", "text/html")], "<html>no such page</html>");
    let (azure, _) = answered(vec![html()]);
    azure.get_identity(&id("orders")).await.unwrap_err();
    azure.delete_identity(&granted("orders").revocable()).await.unwrap_err();
    azure
        .delete_credential(&granted("orders").revocable(), &name("wib-one"))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn deleting_what_is_not_there_is_done() {
    for answer in [
        response(200, &[], ""),
        response(204, &[], ""),
        error_response(404, "ResourceNotFound"),
    ] {
        let (azure, seen) = answered(vec![answer]);
        azure.delete_identity(&granted("orders").revocable()).await.unwrap();
        azure
            .delete_credential(&granted("orders").revocable(), &name("wib-one"))
            .await
            .unwrap();
        let lines: Vec<String> = seen.all().iter().map(request_line).collect();
        let identity = format!("DELETE https://management.azure.com{}", resource_id("orders"));
        assert_eq!(lines[0], format!("{identity}?api-version=2023-01-31"));
        assert_eq!(
            lines[1],
            format!("{identity}/federatedIdentityCredentials/wib-one?api-version=2023-01-31")
        );
        assert!(seen.all().iter().all(|request| request.body().is_empty()));
    }
}

#[tokio::test]
async fn an_answer_about_something_else_is_not_believed() {
    let (azure, _) = answered(vec![json_response(200, &identity_body("mails"))]);
    let fault = azure.get_identity(&id("orders")).await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Malformed(why) if why.contains("mails")),
        "{fault}"
    );

    let credential = desired_credential("orders");
    let (azure, _) = answered(vec![json_response(200, &credential_body("orders", "other", Some("s")))]);
    let fault = azure.put_credential(&granted("orders"), &credential).await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Malformed(why) if why.contains("other")),
        "{fault}"
    );
}
