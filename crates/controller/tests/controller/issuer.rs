use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use wio_api::{Reason, RetiringFederatedCredentialStatus, WorkloadIdentityBinding};
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::fixtures::binding;
use wio_testkit::{DEFAULT_ISSUER, Effect, FakeApiServer, Matcher};

use crate::log::Log;
use crate::world::*;

const DISCOVERY: &str = "/.well-known/openid-configuration";
const DRILL: &str = "https://issuer.example/drill/";
const NEW_ISSUER: &str = "https://issuer.example/cluster-made-anew/";

/// How many credentials trust an issuer.
fn trusting(world: &World, issuer: &str) -> usize {
    let identities = world.azure.snapshot().identities;
    let credentials = identities.iter().flat_map(|identity| &identity.credentials);
    credentials.filter(|credential| credential.issuer == issuer).count()
}

/// Waits until so many credentials trust the issuer.
async fn until_trusted(world: &World, issuer: &str, count: usize) {
    world
        .until("the issuer is trusted", |world| trusting(world, issuer) == count)
        .await;
}

fn create_orders(world: &World) {
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
}

fn retiring(world: &World) -> Vec<RetiringFederatedCredentialStatus> {
    world.binding("orders").status.unwrap().retiring_federated_credentials
}

/// Pods go on with the token that they have, for up to a day.
#[tokio::test(start_paused = true)]
async fn trust_follows_the_issuer_and_tokens_of_the_one_before_work_as_long_as_they_live() {
    let log = Log::begin();
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        world.ready("orders").await;
        world.cluster.set_issuer(NEW_ISSUER);
        world.forget_requests();
        let changed = Instant::now();
        until_trusted(world, NEW_ISSUER, 2).await;
        assert!(changed.elapsed() < DRIFT / 3, "long before the next look at Azure");
        assert_eq!(trusting(world, DEFAULT_ISSUER), 2);
        let told = |world: &World| retiring(world).iter().filter(|one| one.until.is_some()).count() == 2;
        world.until("the status says until when", told).await;
        let ready = world.ready("orders").await;
        assert_eq!(ready.status.as_ref().unwrap().issuer.as_deref(), Some(NEW_ISSUER));
        let about = &condition(&ready, "FederatedCredentialsReady").message;
        assert!(about.contains("2 more of a former issuer stay until"), "{about}");
        assert!(
            world.events().contains(&"Normal IssuerChanged".to_owned()),
            "{:?}",
            world.events()
        );
        sleep(Duration::from_hours(24)).await;
        assert_eq!(trusting(world, DEFAULT_ISSUER), 2);
        sleep(Duration::from_hours(2)).await;
        assert_eq!((trusting(world, DEFAULT_ISSUER), trusting(world, NEW_ISSUER)), (0, 2));
        assert_eq!(retiring(world), []);
        let taken = log.lines(": taken away");
        let for_the_issuer = taken.iter().filter(|line| line.contains("another issuer"));
        assert_eq!((taken.len(), for_the_issuer.count()), (2, 2), "{taken:#?}");
    })
    .await;
}

/// A blue and a green control plane, and back again.
#[tokio::test(start_paused = true)]
async fn the_return_of_the_former_issuer_costs_no_write() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        world.cluster.set_issuer(NEW_ISSUER);
        until_trusted(world, NEW_ISSUER, 1).await;
        world.until("it is told", |world| !retiring(world).is_empty()).await;
        world.cluster.set_issuer(DEFAULT_ISSUER);
        world.forget_requests();
        let back = |world: &World| world.binding("orders").status.unwrap().issuer.as_deref() == Some(DEFAULT_ISSUER);
        world.until("it is believed", back).await;
        assert_eq!(writes(world), [""; 0]);
        assert_eq!(retiring(world)[0].issuer, NEW_ISSUER);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_azure_refuses_the_new_credential_the_old_one_stands() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        let put = Fault::on("PUT").kind(ResourceKind::Credential);
        world.azure.inject(put.forever().respond(403, "AuthorizationFailed"));
        world.cluster.set_issuer(NEW_ISSUER);
        world.says("orders", Reason::AuthorizationFailed).await;
        sleep(Duration::from_hours(30)).await;
        assert_eq!((trusting(world, DEFAULT_ISSUER), trusting(world, NEW_ISSUER)), (1, 0));
        world.azure.clear_faults();
        until_trusted(world, NEW_ISSUER, 1).await;
        until_trusted(world, DEFAULT_ISSUER, 0).await;
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_takes_what_retires_at_once() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        world.cluster.set_issuer(NEW_ISSUER);
        until_trusted(world, NEW_ISSUER, 1).await;
        world.delete("orders");
        world.gone("orders").await;
        assert!(!world.has_identity());
    })
    .await;
}

/// Nothing else told of the account: its credential was taken for another cluster's.
#[tokio::test(start_paused = true)]
async fn what_retires_of_an_account_that_leaves_before_it_is_trusted_anew_goes_when_azure_lets_it() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        for method in ["PUT", "DELETE"] {
            let refused = Fault::on(method).kind(ResourceKind::Credential);
            world
                .azure
                .inject(refused.forever().respond(403, "AuthorizationFailed"));
        }
        world.cluster.set_issuer(NEW_ISSUER);
        world.says("orders", Reason::AuthorizationFailed).await;
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"] = json!([{"name": "mails"}]);
        });
        let let_go = |world: &World| {
            world
                .annotation("orders", wio_api::keys::CLIENT_ID_ANNOTATION)
                .is_none()
        };
        world.until("the account is let go", let_go).await;
        sleep(DRIFT).await;
        assert_eq!(retiring(world).len(), 1);
        world.stop().await;
        world.azure.clear_faults();
        world.start().await;
        until_trusted(world, DEFAULT_ISSUER, 0).await;
        world.ready("orders").await;
        assert_eq!(trusting(world, NEW_ISSUER), 1);
    })
    .await;
}

/// Tokens for the audience before were good for another day.
#[tokio::test(start_paused = true)]
async fn what_retires_goes_when_the_audience_is_edited() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        world.cluster.set_issuer(NEW_ISSUER);
        until_trusted(world, NEW_ISSUER, 1).await;
        world.until("it is told", |world| !retiring(world).is_empty()).await;
        let put = Fault::on("PUT").kind(ResourceKind::Credential);
        world.azure.inject(put.forever().respond(403, "AuthorizationFailed"));
        world.edit("orders", |object| object["spec"]["audience"] = json!("api://elsewhere"));
        world.says("orders", Reason::AuthorizationFailed).await;
        assert_eq!((trusting(world, DEFAULT_ISSUER), trusting(world, NEW_ISSUER)), (1, 1));
        world.azure.clear_faults();
        world.ready("orders").await;
        let edited = Instant::now();
        until_trusted(world, DEFAULT_ISSUER, 0).await;
        assert!(edited.elapsed() < Duration::from_mins(1), "{:?}", edited.elapsed());
        assert_eq!(world.identity().credentials[0].audiences, ["api://elsewhere"]);
    })
    .await;
}

/// A control plane that was upgraded and rolled back while the operator was restarted: what trusted the issuer in between was taken for
/// another cluster's, and blocked the deletion.
#[tokio::test(start_paused = true)]
async fn a_credential_whose_answer_nobody_heard_is_known_when_the_former_issuer_is_back() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        let put = Fault::on("PUT").kind(ResourceKind::Credential);
        world.azure.inject(put.times(1).execute().hang());
        world.cluster.set_issuer(NEW_ISSUER);
        until_trusted(world, NEW_ISSUER, 1).await;
        world.crash().await;
        world.cluster.set_issuer(DEFAULT_ISSUER);
        world.start().await;
        let told = |world: &World| retiring(world).iter().any(|one| one.issuer == NEW_ISSUER);
        world.until("it is told", told).await;
        sleep(DRIFT).await;
        let ready = world.ready("orders").await;
        assert_eq!(
            condition(&ready, "FederatedCredentialsReady").reason,
            Reason::Succeeded.as_str()
        );
        assert_eq!(retiring(world)[0].issuer, NEW_ISSUER);
        world.delete("orders");
        world.gone("orders").await;
        assert!(!world.has_identity());
    })
    .await;
}

/// Nobody saw it: another cluster may have the former issuer, so somebody has to say that none has.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_changed_while_the_operator_was_away_is_noticed_and_the_one_before_waits_for_a_word() {
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        world.stop().await;
        world.cluster.set_issuer(NEW_ISSUER);
        world.start().await;
        until_trusted(world, NEW_ISSUER, 1).await;
        sleep(Duration::from_hours(30)).await;
        assert_eq!(trusting(world, DEFAULT_ISSUER), 1);
        let about = world.ready("orders").await;
        let about = &condition(&about, "FederatedCredentialsReady").message;
        assert!(about.contains("--former-issuer"), "{about}");
        world.stop().await;
        world.config.former_issuers.insert(DEFAULT_ISSUER.parse().unwrap());
        world.start().await;
        world
            .until("it ends", |world| retiring(world).iter().all(|one| one.until.is_some()))
            .await;
        sleep(Duration::from_hours(26)).await;
        assert_eq!((trusting(world, DEFAULT_ISSUER), trusting(world, NEW_ISSUER)), (0, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_issuer_without_its_final_slash_is_another_issuer() {
    story(async |world| {
        let bare = DEFAULT_ISSUER.trim_end_matches('/');
        create_orders(world);
        world.ready("orders").await;
        world.cluster.set_issuer(bare);
        until_trusted(world, bare, 1).await;
    })
    .await;
}

/// Somebody restored the etcd of this cluster for a drill: the same id, the same bindings with the same status, another issuer.
#[tokio::test(start_paused = true)]
async fn neither_a_cluster_nor_its_clone_loses_trust() {
    story(async |world| {
        create_orders(world);
        let mut restored = world.ready("orders").await;
        restored.metadata.resource_version = None;
        restored.metadata.managed_fields = None;
        let clone = FakeApiServer::new();
        clone.set_issuer(DRILL);
        clone.create_namespace(NAMESPACE);
        clone.seed(&restored);
        world.start_elsewhere(&clone).await;
        until_trusted(world, DRILL, 1).await;
        for _ in 0..60 {
            sleep(Duration::from_mins(30)).await;
            assert_eq!((trusting(world, DEFAULT_ISSUER), trusting(world, DRILL)), (1, 1));
        }
        let ready = world.ready("orders").await;
        let about = condition(&ready, "FederatedCredentialsReady");
        assert_eq!(about.reason, Reason::ClusterIdShared.as_str());
        for told in [DRILL, "--former-issuer"] {
            assert!(about.message.contains(told), "{told} is not in {}", about.message);
        }
        let theirs: WorkloadIdentityBinding = clone.get(NAMESPACE, "orders").unwrap();
        assert_eq!(condition(&theirs, "Ready").status, "True");
        // The identity is both's: it stays with whoever has it.
        world.delete("orders");
        world.says("orders", Reason::DeletionBlocked).await;
        assert_eq!((trusting(world, DEFAULT_ISSUER), trusting(world, DRILL)), (0, 1));
    })
    .await;
}

/// What kubeadm, kind and k3s begin with: every exchange would be answered AADSTS90061.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_entra_cannot_reach_is_not_ready_and_takes_nothing_away() {
    const PRIVATE: &str = "https://kubernetes.default.svc.cluster.local";
    story(async |world| {
        create_orders(world);
        world.ready("orders").await;
        world.cluster.set_issuer(PRIVATE);
        world.forget_requests();
        let told = world.says("orders", Reason::IssuerUnreachable).await;
        for cure in [PRIVATE, "--enable-oidc-issuer", "--service-account-issuer"] {
            assert!(message(&told).contains(cure), "{cure} is not in {}", message(&told));
        }
        world.create(binding(NAMESPACE, "late").managed().service_account("late"));
        world.says("late", Reason::IssuerUnreachable).await;
        assert_eq!(writes(world), [""; 0]);
        assert_eq!(trusting(world, DEFAULT_ISSUER), 1);
        // For whoever has an Entra of his own.
        world.stop().await;
        world.config.allow_private_issuer = true;
        world.start().await;
        world.ready("late").await;
        world.ready("orders").await;
        assert_eq!((trusting(world, DEFAULT_ISSUER), trusting(world, PRIVATE)), (1, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_before_the_issuer_is_known() {
    let mut world = World::new();
    let discovery = Matcher::any().path(DISCOVERY);
    let fault = world.cluster.inject(discovery, Effect::forbidden());
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.start().await;
    world.until("it was asked for again", |_| fault.hits() >= 4).await;
    assert_eq!((world.asked(), world.cluster_writes().len()), (Vec::new(), 0));
    fault.remove();
    world.ready("orders").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_issuer_stays_as_it_was_while_it_cannot_be_read() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.forget_requests();
        let discovery = Matcher::any().path(DISCOVERY);
        let fault = world.cluster.inject(discovery, Effect::internal_error());
        world.until("it was looked at", |_| fault.hits() >= 3).await;
        assert!(world.cluster_writes().is_empty());
        fault.remove();
    })
    .await;
}

/// How often the operator asked who issues tokens.
fn looks(world: &World) -> usize {
    let requests = world.cluster.requests();
    let looks = requests.iter().filter(|request| request.path == DISCOVERY);
    looks.count()
}

async fn looked_again(world: &World) {
    let before = looks(world);
    world.until("it was looked at", |world| looks(world) > before).await;
}

fn writes(world: &World) -> Vec<String> {
    let asked = world.azure.requests();
    let writes = asked.iter().filter(|request| request.writes);
    writes
        .map(|request| format!("{} {}", request.method, request.path))
        .collect()
}

/// One API server of several that was started with another flag answered one look, and every credential of the cluster was
/// deleted and made anew.
#[tokio::test(start_paused = true)]
async fn an_odd_answer_costs_nothing() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        let ready = world.ready("orders").await;
        world.forget_requests();
        world.cluster.set_issuer("https://kubernetes.default.svc.cluster.local");
        looked_again(world).await;
        world.cluster.set_issuer(DEFAULT_ISSUER);
        sleep(DRIFT).await;
        assert_eq!(writes(world), [""; 0]);
        assert_eq!(world.binding("orders"), ready);
    })
    .await;
}

/// Two API servers behind one address, restarted one after the other.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_alternates_writes_nothing_and_is_told() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        let ready = world.ready("orders").await;
        world.forget_requests();
        let begun = Instant::now();
        for _ in 0..10 {
            for issuer in [NEW_ISSUER, DEFAULT_ISSUER] {
                world.cluster.set_issuer(issuer);
                looked_again(world).await;
            }
        }
        assert!(
            begun.elapsed() < Duration::from_mins(20),
            "the looks come closer: {:?}",
            begun.elapsed()
        );
        assert_eq!(writes(world), [""; 0]);
        assert_eq!(world.binding("orders"), ready);
        let told = crate::health::get(world, "/metrics").await.1;
        assert!(told.contains("wio_issuer{state=\"alternating\"} 1"), "{told}");
        assert!(told.contains("wio_issuer{state=\"settled\"} 0"), "{told}");
    })
    .await;
}

/// Everything would change for one cause, and one look is not enough for that, whether or not the operator was there before.
#[tokio::test(start_paused = true)]
async fn a_restarted_operator_does_not_believe_one_look_either() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        let ready = world.ready("orders").await;
        world.stop().await;
        world.cluster.set_issuer(NEW_ISSUER);
        world.forget_requests();
        world.start().await;
        world.create(binding(NAMESPACE, "late").managed().service_account("late"));
        world.says("late", Reason::IssuerUnconfirmed).await;
        sleep(Duration::from_mins(1)).await;
        assert_eq!((writes(world), world.binding("orders")), (Vec::new(), ready));
        world.cluster.set_issuer(DEFAULT_ISSUER);
        world.ready("late").await;
        let mut trusted = world
            .azure
            .snapshot()
            .identities
            .into_iter()
            .flat_map(|identity| identity.credentials);
        assert!(trusted.all(|credential| credential.issuer == DEFAULT_ISSUER));
    })
    .await;
}
