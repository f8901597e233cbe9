//! The client and the simulator, which knows Azure's habits.

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::HttpClient;
use http::Request;
use wio_azure::Azure;
use wio_azure_sim::{Config, Fault, ResourceKind, Simulator};
use wio_core::fault::AzureCause;
use wio_core::observed::Tags;
use wio_testkit::azure::transport;

use crate::given::{SUBSCRIPTION, TOKEN, client, desired, granted, id, name};

/// A client of a cloud in which the operator's resource group exists.
pub async fn cloud(change: impl FnOnce(&mut Config)) -> (Azure, Simulator) {
    let mut config = Config::default().with_static_token(TOKEN);
    change(&mut config);
    let simulator = Simulator::new(config);
    let group = Request::put(format!(
        "https://management.azure.com/subscriptions/{SUBSCRIPTION}/resourceGroups/operator?api-version=2021-04-01"
    ))
    .header("authorization", format!("Bearer {TOKEN}"))
    .body(r#"{"location":"westeurope"}"#.into())
    .unwrap();
    assert_eq!(simulator.handle(group).await.unwrap().status(), 201);
    simulator.clear_requests();
    (client(in_process(&simulator)), simulator)
}

/// A transport to a simulator.
pub fn in_process(simulator: &Simulator) -> Arc<dyn HttpClient> {
    let simulator = simulator.clone();
    transport(move |request| {
        let simulator = simulator.clone();
        async move { simulator.handle(request).await }
    })
}

fn tags(team: &str) -> Tags {
    Tags::from([("team".to_owned(), team.to_owned())])
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

#[tokio::test(start_paused = true)]
async fn many_writers_on_one_identity_meet_no_conflict() {
    let (azure, simulator) = cloud(|config| config.latency = Duration::from_millis(200)).await;
    let accounts: Vec<String> = (0..20).map(|number| format!("account-{number}")).collect();
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let binding = desired("orders", &accounts);
    azure
        .put_identity(&binding.authorized, &name("westeurope"), &Tags::new())
        .await
        .unwrap();
    let puts = binding
        .credentials
        .iter()
        .map(|credential| azure.put_credential(&binding.authorized, credential));
    for put in futures::future::join_all(puts).await {
        put.unwrap();
    }
    assert_eq!(simulator.snapshot().identities[0].credentials.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_is_not_replicated_yet_says_so() {
    let (azure, _) = cloud(|config| config.parent_replication = Duration::from_mins(1)).await;
    let binding = desired("orders", &["orders"]);
    azure
        .put_identity(&binding.authorized, &name("westeurope"), &Tags::new())
        .await
        .unwrap();
    let fault = azure
        .put_credential(&binding.authorized, &binding.credentials[0])
        .await
        .unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Answer(answer) if answer.status == 404 && answer.code == "ParentResourceNotFound"),
        "{fault}"
    );
    tokio::time::advance(Duration::from_mins(2)).await;
    azure
        .put_credential(&binding.authorized, &binding.credentials[0])
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn lost_answers_are_told_apart_from_refusals() {
    let (azure, simulator) = cloud(|_| {}).await;
    let grant = granted("orders");
    simulator.inject(Fault::on("PUT").kind(ResourceKind::Identity).hang().execute());
    simulator.inject(Fault::on("PUT").kind(ResourceKind::Identity).drop_connection());
    simulator.inject(
        Fault::on("PUT")
            .kind(ResourceKind::Identity)
            .respond(429, "TooManyRequests")
            .header("Retry-After", "7"),
    );
    let causes = [
        azure
            .put_identity(&grant, &name("westeurope"), &Tags::new())
            .await
            .unwrap_err()
            .cause,
        azure
            .put_identity(&grant, &name("westeurope"), &Tags::new())
            .await
            .unwrap_err()
            .cause,
        azure
            .put_identity(&grant, &name("westeurope"), &Tags::new())
            .await
            .unwrap_err()
            .cause,
    ];
    assert_eq!(causes[0], AzureCause::Timeout);
    assert!(matches!(causes[1], AzureCause::Transport(_)), "{:?}", causes[1]);
    let seven = Some(Duration::from_secs(7));
    assert!(
        matches!(&causes[2], AzureCause::Answer(answer) if answer.retry_after == seven),
        "{:?}",
        causes[2]
    );
    let put = azure
        .put_identity(&grant, &name("westeurope"), &Tags::new())
        .await
        .unwrap();
    assert!(
        !put.created,
        "the first one was carried out, though its answer was lost"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_cloud_does_not_know_is_refused() {
    let (azure, simulator) = cloud(|_| {}).await;
    simulator.reconfigure(|config| config.static_tokens.clear());
    let fault = azure.get_identity(&id("orders")).await.unwrap_err();
    assert!(
        matches!(&fault.cause, AzureCause::Answer(answer) if answer.status == 401),
        "{fault}"
    );
}
