//! Lists in pages: every list of Azure follows `nextLink` to the end, to no other host, and not in a circle.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use wio_azure::{Azure, Followed};
use wio_azure_sim::Fault;
use wio_core::drift::Changed;
use wio_core::fault::{AzureCause, AzureFault};

use crate::fixtures::{
    PRINCIPAL_ID, Response, SUBSCRIPTION, answered, cloud, credential_body, error_response, id, identity_body,
    json_response, name, resource_id, response,
};

/// The lists that the client reads, which must all behave alike.
#[derive(Clone, Copy, Debug)]
enum List {
    Identities,
    FederatedCredentials,
    RoleAssignments,
    AllRoleAssignments,
    Changes,
}

// === impl List ===

impl List {
    const ALL: [Self; 5] = [
        Self::Identities,
        Self::FederatedCredentials,
        Self::RoleAssignments,
        Self::AllRoleAssignments,
        Self::Changes,
    ];

    /// What the client makes of the list: the numbers of its entries.
    async fn read(self, azure: &Azure) -> Result<Vec<u8>, AzureFault> {
        let names: Vec<String> = match self {
            Self::Identities => {
                let listed = azure.list_identities(&id("orders").group).await?;
                listed.entries.iter().map(|identity| identity.id.to_string()).collect()
            }
            Self::FederatedCredentials => {
                let listed = azure.list_credentials(&id("orders")).await?;
                listed.iter().map(|credential| credential.name.to_string()).collect()
            }
            Self::RoleAssignments => {
                let scope = name(&resource_id("orders"));
                let listed = azure.list_role_assignments(&scope, name(PRINCIPAL_ID)).await?;
                listed.iter().map(|assignment| assignment.name.to_string()).collect()
            }
            Self::AllRoleAssignments => {
                let listed = azure.list_all_role_assignments(&name(&resource_id("orders"))).await?;
                let names = listed.entries.iter().map(|assignment| assignment.name.to_string());
                names.collect()
            }
            Self::Changes => {
                let subscription = id("orders").group.subscription;
                let since = jiff::Timestamp::UNIX_EPOCH;
                let listed = azure
                    .list_changes(subscription, Followed::ManagedIdentity, since)
                    .await?;
                let names = listed.entries.iter().map(|change| match &change.of {
                    Changed::Identity(id) => id.to_string(),
                    Changed::RoleAssignment(name) => name.to_string(),
                });
                names.collect()
            }
        };
        let number = |name: &String| name.bytes().last().unwrap() - b'0';
        Ok(names.iter().map(number).collect())
    }

    /// An entry that has this number.
    fn entry(self, number: u8) -> Value {
        match self {
            Self::Identities => identity_body(&format!("orders{number}")),
            Self::FederatedCredentials => credential_body("orders", &format!("wib-{number}"), Some("s")),
            Self::Changes => json!({
                "resourceId": format!("{}/federatedIdentityCredentials/x", resource_id(&format!("orders{number}"))),
                "eventTimestamp": "2026-01-01T00:00:00.0000000Z",
            }),
            Self::RoleAssignments | Self::AllRoleAssignments => json!({
                "name": format!("05c5a614-a7d6-4502-b150-c2fb4550330{number}"),
                "properties": {
                    "scope": resource_id("orders"),
                    "roleDefinitionId": "x/4633458b-17de-408a-b874-0445c86b69e6",
                    "principalId": PRINCIPAL_ID,
                },
            }),
        }
    }

    fn page(self, number: u8, next: Option<&str>) -> Response {
        json_response(200, &json!({"value": [self.entry(number)], "nextLink": next}))
    }

    fn path(self) -> String {
        match self {
            Self::Identities => resource_id("orders").replace("/orders", ""),
            Self::FederatedCredentials => format!("{}/federatedIdentityCredentials", resource_id("orders")),
            Self::RoleAssignments | Self::AllRoleAssignments => format!(
                "{}/providers/Microsoft.Authorization/roleAssignments",
                resource_id("orders")
            ),
            Self::Changes => {
                format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Insights/eventtypes/management/values")
            }
        }
    }

    const fn api_version(self) -> &'static str {
        match self {
            Self::Identities | Self::FederatedCredentials => "2023-01-31",
            Self::RoleAssignments | Self::AllRoleAssignments => "2022-04-01",
            Self::Changes => "2015-04-01",
        }
    }

    /// What the query of the first page asks for beside the API version.
    fn filter(self) -> String {
        match self {
            Self::Identities | Self::FederatedCredentials | Self::AllRoleAssignments => String::new(),
            Self::RoleAssignments => format!("&$filter=principalId%20eq%20%27{PRINCIPAL_ID}%27"),
            Self::Changes => "&$filter=eventTimestamp%20ge%20%271970-01-01T00:00:00Z%27%20and%20resourceProvider%20eq%20%27\
                              Microsoft.ManagedIdentity%27&$select=authorization,claims,eventTimestamp,resourceId,status,subStatus"
                .to_owned(),
        }
    }

    /// How often a page is asked for: a list of what many bindings have is read by nobody who waits.
    const fn tries(self) -> usize {
        match self {
            Self::Identities | Self::AllRoleAssignments | Self::Changes => 3,
            Self::FederatedCredentials | Self::RoleAssignments => 1,
        }
    }

    const fn most_pages(self) -> usize {
        match self {
            Self::Identities => 1000,
            Self::FederatedCredentials => 40,
            Self::RoleAssignments | Self::AllRoleAssignments => 100,
            Self::Changes => 200,
        }
    }
}

#[tokio::test]
async fn a_next_link_to_another_host_is_refused_and_nothing_leaves() {
    for list in List::ALL {
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
            let (azure, seen) = answered(vec![list.page(1, Some(link))]);
            let fault = list.read(&azure).await.expect_err(link);
            assert!(
                matches!(fault.cause, AzureCause::Refused(_)),
                "{list:?} {link}: {fault}"
            );
            assert_eq!(seen.count(), 1, "{list:?} {link}");
        }
    }
}

#[tokio::test]
async fn a_next_link_within_azure_is_followed_with_an_api_version() {
    for list in List::ALL {
        let path = list.path();
        let absolute = format!("https://MANAGEMENT.azure.com:443{path}?api-version=2024-11-30&$skiptoken=a");
        let (azure, seen) = answered(vec![
            list.page(1, Some(&absolute)),
            list.page(2, Some(&format!("{path}?$skiptoken=b"))),
            list.page(3, Some("")),
        ]);
        assert_eq!(list.read(&azure).await.unwrap(), [1, 2, 3], "{list:?}");
        let urls: Vec<String> = seen.all().iter().map(|request| request.uri().to_string()).collect();
        let version = list.api_version();
        let expected = [
            format!("api-version={version}{}", list.filter()),
            "api-version=2024-11-30&$skiptoken=a".to_owned(),
            format!("$skiptoken=b&api-version={version}"),
        ];
        let expected = expected.map(|query| format!("https://management.azure.com{path}?{query}"));
        assert_eq!(urls, expected, "{list:?}");
    }
}

#[tokio::test]
async fn a_list_that_leads_in_a_circle_ends() {
    for list in List::ALL {
        let link = format!("{}?x=y", list.path());
        let (azure, seen) = answered(vec![list.page(1, Some(&link))]);
        let fault = list.read(&azure).await.unwrap_err();
        assert!(fault.to_string().contains("leads in a circle"), "{list:?}: {fault}");
        assert_eq!(seen.count(), 2, "{list:?}");
    }
}

#[tokio::test]
async fn a_list_that_has_no_end_ends() {
    for list in List::ALL {
        let pages = (0..=list.most_pages()).map(|page| list.page(1, Some(&format!("{}?x={page}", list.path()))));
        let (azure, seen) = answered(pages.collect());
        let fault = list.read(&azure).await.unwrap_err();
        assert!(matches!(fault.cause, AzureCause::Malformed(_)), "{list:?}: {fault}");
        assert_eq!(seen.count(), list.most_pages(), "{list:?}");
    }
}

/// With fifty thousand the list was taken for endless after 200 pages, so each binding looked for itself for good.
#[tokio::test]
async fn a_list_of_five_hundred_pages_is_read_whole() {
    let list = List::Identities;
    let page = |page| list.page(1, (page < 500).then(|| format!("{}?x={page}", list.path())).as_deref());
    let (azure, _) = answered((1..=500).map(page).collect());
    assert_eq!(list.read(&azure).await.unwrap().len(), 500);
}

/// With 500 pages one refusal or one broken connection threw the whole list away, and nothing was followed for another half an hour.
#[tokio::test(start_paused = true)]
async fn a_page_of_a_long_list_is_asked_for_again_and_one_that_a_binding_waits_for_is_not() {
    for list in List::ALL {
        for status in [429, 500, 503] {
            let next = format!("{}?x=y", list.path());
            let failed = || error_response(status, "NotNow");
            let (azure, seen) = answered(vec![list.page(1, Some(&next)), failed(), failed(), list.page(2, None)]);
            let read = list.read(&azure).await;
            if list.tries() == 1 {
                read.unwrap_err();
                assert_eq!(seen.count(), 2, "{list:?}");
            } else {
                assert_eq!(read.unwrap(), [1, 2], "{list:?} {status}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_asked_for_again_after_a_broken_connection_and_after_none_at_all() {
    for broken in [Fault::on("GET").drop_connection(), Fault::on("GET").hang()] {
        let (azure, simulator) = cloud(|_| {}).await;
        simulator.inject(broken.times(2));
        let listed = azure.list_identities(&id("orders").group).await.unwrap();
        assert_eq!((listed.entries.len(), listed.requests), (0, 3));
    }
}

/// A pause that Azure asks for is kept, and not for longer than a minute: whoever lists goes on with the next list.
#[tokio::test(start_paused = true)]
async fn a_page_is_asked_for_again_when_azure_says_and_within_a_minute() {
    for (asked, expected) in [(None, 1), (Some("17"), 17), (Some("3600"), 60)] {
        let headers = asked.map(|asked| ("retry-after", asked));
        let failed = response(503, headers.as_slice(), "");
        let (azure, _) = answered(vec![failed, List::Identities.page(1, None)]);
        let begun = Instant::now();
        List::Identities.read(&azure).await.unwrap();
        let pause = begun.elapsed();
        let expected = Duration::from_secs(expected);
        assert!(
            pause >= expected && pause < expected + Duration::from_secs(1),
            "{asked:?}: {pause:?}"
        );
    }
}

/// Whoever paces himself by what lists cost took one that failed on its last page for one request.
#[tokio::test(start_paused = true)]
async fn what_a_list_cost_that_could_not_be_had_is_told() {
    let list = List::Identities;
    let page = |page| list.page(1, Some(&format!("{}?x={page}", list.path())));
    for (failed, tries) in [
        (error_response(500, "NotNow"), 3),
        (error_response(403, "AuthorizationFailed"), 1),
    ] {
        let (azure, seen) = answered((1..=6).map(page).chain([failed]).collect());
        let unlisted = azure.list_identities(&id("orders").group).await.unwrap_err();
        assert_eq!(unlisted.requests, 6 + tries);
        assert_eq!(seen.count(), 6 + tries);
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_list_is_no_list() {
    let unreadable = json!({"value": [{"name": 7, "id": 7, "properties": 7, "resourceId": 7}]});
    for list in List::ALL {
        for (status, second) in [
            (Some(429), error_response(429, "TooManyRequests")),
            (Some(404), error_response(404, "SubscriptionNotFound")),
            (None, json_response(200, &unreadable)),
            (None, json_response(200, &json!({"error": "no"}))),
        ] {
            let first = list.page(1, Some("https://management.azure.com/next"));
            let (azure, seen) = answered(vec![first, second]);
            let fault = list.read(&azure).await.unwrap_err();
            match (&fault.cause, status) {
                (AzureCause::Answer(answer), Some(status)) => assert_eq!(answer.status, status, "{list:?}: {fault}"),
                (AzureCause::Malformed(_), None) => {}
                _ => panic!("{list:?}: {fault}"),
            }
            let tries = if status == Some(429) { list.tries() } else { 1 };
            assert_eq!(seen.count(), 1 + tries, "{list:?}");
        }
        let (azure, _) = answered(vec![error_response(404, "SubscriptionNotFound")]);
        list.read(&azure).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_next_link_that_is_no_url_is_malformed() {
    for list in List::ALL {
        let (azure, seen) = answered(vec![list.page(1, Some("https://[broken"))]);
        let fault = list.read(&azure).await.unwrap_err();
        assert!(matches!(fault.cause, AzureCause::Malformed(_)), "{list:?}: {fault}");
        assert_eq!(seen.count(), 1, "{list:?}");
    }
}
