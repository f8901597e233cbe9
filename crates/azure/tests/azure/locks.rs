//! Locks of identities: writes of federated credentials come one at a time for each, and identities beside each other.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use wio_azure::Azure;
use wio_core::observed::Tags;
use wio_testkit::azure::transport;

use crate::fixtures::{Request, client, cloud, credential_body, desired, granted, json_response, name};

/// How long a request takes.
const LATENCY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Crowd {
    now: HashMap<String, usize>,
    most_on_one: usize,
    most_of_all: usize,
}

/// A client of a service that counts who is in it at once.
fn crowded() -> (Azure, Arc<Mutex<Crowd>>) {
    let crowd = Arc::new(Mutex::new(Crowd::default()));
    let counted = Arc::clone(&crowd);
    let carrier = transport(move |request: Request| {
        let crowd = Arc::clone(&counted);
        async move {
            let path = request.uri().path().to_owned();
            let segments: Vec<&str> = path.split('/').collect();
            let (identity, credential) = (segments[8].to_owned(), segments[10].to_owned());
            {
                let mut crowd = crowd.lock().unwrap();
                let on_one = crowd.now.entry(identity.clone()).or_default();
                *on_one += 1;
                let on_one = *on_one;
                crowd.most_on_one = crowd.most_on_one.max(on_one);
                crowd.most_of_all = crowd.most_of_all.max(crowd.now.values().sum());
            }
            tokio::time::sleep(LATENCY).await;
            *crowd.lock().unwrap().now.get_mut(&identity).unwrap() -= 1;
            Ok::<_, Infallible>(json_response(200, &credential_body(&identity, &credential, Some("s"))))
        }
    });
    (client(carrier), crowd)
}

#[tokio::test(start_paused = true)]
async fn writes_to_one_identity_come_one_after_the_other() {
    let (azure, crowd) = crowded();
    let binding = desired("orders", &["orders", "mails", "bills"]);
    let grant = granted("orders");
    let revoke = grant.revocable();
    let puts = binding
        .credentials
        .iter()
        .map(|credential| azure.put_credential(&grant, credential));
    let removals = binding
        .credentials
        .iter()
        .map(|credential| azure.delete_credential(&revoke, &credential.name));
    let started = Instant::now();
    let (written, deleted) = tokio::join!(futures::future::join_all(puts), futures::future::join_all(removals));
    assert!(written.iter().all(Result::is_ok) && deleted.iter().all(Result::is_ok));
    assert_eq!(crowd.lock().unwrap().most_on_one, 1);
    assert_eq!(started.elapsed(), 6 * LATENCY);
}

#[tokio::test(start_paused = true)]
async fn writes_to_different_identities_go_beside_each_other() {
    let (azure, crowd) = crowded();
    let bindings: Vec<_> = ["orders", "mails", "bills"].map(|name| desired(name, &["shop"])).into();
    let started = Instant::now();
    let puts = bindings
        .iter()
        .map(|binding| azure.put_credential(&binding.granted, &binding.credentials[0]));
    assert!(futures::future::join_all(puts).await.iter().all(Result::is_ok));
    assert_eq!(crowd.lock().unwrap().most_of_all, 3);
    assert_eq!(started.elapsed(), LATENCY);
}

#[tokio::test(start_paused = true)]
async fn many_writers_on_one_identity_meet_no_conflict() {
    let (azure, simulator) = cloud(|config| config.latency = Duration::from_millis(200)).await;
    let accounts: Vec<String> = (0..20).map(|number| format!("account-{number}")).collect();
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let binding = desired("orders", &accounts);
    azure
        .put_identity(&binding.granted, &name("westeurope"), &Tags::new())
        .await
        .unwrap();
    let puts = binding
        .credentials
        .iter()
        .map(|credential| azure.put_credential(&binding.granted, credential));
    for put in futures::future::join_all(puts).await {
        put.unwrap();
    }
    assert_eq!(simulator.snapshot().identities[0].credentials.len(), 20);
}
