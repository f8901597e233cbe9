//! No request and no token for anybody but Azure Resource Manager.

use serde_json::json;
use wio_core::fault::AzureCause;
use wio_core::names::{CredentialName, IdentityId, IdentityName};

use crate::given::{SUBSCRIPTION, answered, credential_body, id, identity_body, json_response, resource_id, response};

#[tokio::test]
async fn a_next_link_to_another_host_is_refused_and_nothing_leaves() {
    for link in [
        "https://evil.example/page",
        "http://management.azure.com/page",
        "https://management.azure.com:8443/page",
        "https://management.azure.com.evil.example/page",
        "https://management.azure.com@evil.example/page",
        "https://user:secret@management.azure.com/page",
        "//evil.example/page",
        r"\\evil.example\page",
    ] {
        let page = json!({"value": [credential_body("orders", "one", Some("s"))], "nextLink": link});
        let (azure, seen) = answered(vec![json_response(200, &page)]);
        let fault = azure.list_credentials(&id("orders")).await.expect_err(link);
        assert!(matches!(fault.cause, AzureCause::Refused(_)), "{link}: {fault}");
        assert_eq!(seen.count(), 1, "{link}");
    }
}

#[tokio::test]
async fn a_next_link_within_azure_is_followed_with_an_api_version() {
    let base = format!("{}/federatedIdentityCredentials", resource_id("orders"));
    let page = |name: &str, next: Option<String>| {
        json_response(
            200,
            &json!({"value": [credential_body("orders", name, Some("s"))], "nextLink": next}),
        )
    };
    let (azure, seen) = answered(vec![
        page(
            "one",
            Some(format!(
                "https://MANAGEMENT.azure.com:443{base}?api-version=2024-11-30&$skiptoken=a"
            )),
        ),
        page("two", Some(format!("{base}?$skiptoken=b"))),
        page("three", Some(String::new())),
    ]);
    let found = azure.list_credentials(&id("orders")).await.unwrap();
    let names: Vec<&str> = found.iter().map(|credential| credential.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "three"]);
    let queries: Vec<String> = seen
        .all()
        .iter()
        .map(|request| request.uri().query().unwrap().to_owned())
        .collect();
    assert_eq!(
        queries,
        [
            "api-version=2023-01-31",
            "api-version=2024-11-30&$skiptoken=a",
            "$skiptoken=b&api-version=2023-01-31"
        ]
    );
    assert!(
        seen.all()
            .iter()
            .all(|request| request.uri().host() == Some("management.azure.com"))
    );
}

#[tokio::test]
async fn a_list_that_leads_in_a_circle_ends() {
    let link = format!("{}/federatedIdentityCredentials?x=y", resource_id("orders"));
    let (azure, _) = answered(vec![json_response(200, &json!({"value": [], "nextLink": link}))]);
    let fault = azure.list_credentials(&id("orders")).await.unwrap_err();
    assert!(matches!(fault.cause, AzureCause::Malformed(_)), "{fault}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let moved = response(307, &[("location", "https://evil.example/")], "");
    let (azure, seen) = answered(vec![moved, json_response(200, &identity_body("orders"))]);
    let fault = azure.get_identity(&id("orders")).await.unwrap_err();
    assert!(matches!(fault.cause, AzureCause::Answer(answer) if answer.status == 307));
    assert_eq!(seen.count(), 1);
}

/// A name `a/../b` fetched `b`, and `%2f` is a slash to some servers. The types that the client's methods ask for cannot
/// hold such a name; what would happen if one could, a unit test of `msi/call.rs` shows.
#[test]
fn a_name_that_leads_elsewhere_cannot_even_be_said() {
    for bad in [
        "a/../b",
        "a%2fb",
        "a%2F..%2Fb",
        "..",
        ".",
        "../orders",
        "a b",
        "a?b",
        "a#b",
        "a\\b",
        "",
        "orders/",
    ] {
        assert!(bad.parse::<IdentityName>().is_err(), "{bad}");
        assert!(bad.parse::<CredentialName>().is_err(), "{bad}");
        assert!(resource_id(bad).parse::<IdentityId>().is_err(), "{bad}");
        let in_group = format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{bad}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders"
        );
        assert!(in_group.parse::<IdentityId>().is_err(), "{bad}");
    }
}
