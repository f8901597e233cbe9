use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wio_api::{NamespaceSelector, Reason, WorkloadIdentityBinding, WorkloadIdentityPolicy};
use wio_azure_sim::IdentityId;
use wio_testkit::Effect;
use wio_testkit::fixtures::{binding, policy};
use wio_testkit::kstatus::{self, State};

use crate::world::*;

/// A binding to an identity that the world's own policy says nothing about.
fn bind_elsewhere(world: &World) {
    let id = world.foreign_identity(OTHER_GROUP, "payments", Vec::new());
    world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
}

fn elsewhere() -> String {
    IdentityId::new(SUBSCRIPTION, OTHER_GROUP, "pay*").to_string()
}

/// The policy that allows it.
fn payments() -> WorkloadIdentityPolicy {
    policy("payments").namespace(NAMESPACE).existing(&elsewhere()).build()
}

async fn is_allowed(world: &World) {
    world.cluster.seed(payments());
    bind_elsewhere(world);
    world.ready("orders").await;
}

fn label(world: &World, team: &str) {
    let set = |object: &mut Value| object["metadata"]["labels"]["team"] = json!(team);
    world.cluster.edit::<Namespace>("", NAMESPACE, set);
}

async fn is_denied(world: &World) {
    let denied = world.says("orders", Reason::NotPermitted).await;
    for (kind, status) in [("Ready", "False"), ("Stalled", "True"), ("Authorized", "False")] {
        assert_eq!(condition(&denied, kind).status, status, "{kind}");
    }
    let field = "spec.identity.existing.resourceId";
    assert!(message(&denied).contains(field), "{}", message(&denied));
    assert_eq!(denied.status.unwrap().authorized_by, Vec::<String>::new());
}

async fn trust_is_gone(world: &World) {
    is_denied(world).await;
    assert_eq!(world.identity().credentials, [], "and the identity stays");
    assert_eq!(
        world.account("orders").unwrap().metadata.annotations,
        None,
        "and so does the service account"
    );
    let asked = world.asked();
    let last_write = asked.iter().rfind(|line| !line.starts_with("GET"));
    assert_eq!(last_write.map(String::as_str), Some("DELETE credential: 200"));
}

#[tokio::test(start_paused = true)]
async fn what_no_policy_allows_is_asked_nothing_of_azure_for_until_one_does() {
    story(async |world| {
        bind_elsewhere(world);
        is_denied(world).await;
        assert_eq!(world.asked(), Vec::<String>::new());
        world.cluster.seed(payments());
        let ready = world.ready("orders").await;
        assert_eq!(condition(&ready, "Authorized").status, "True");
        assert_eq!(ready.status.unwrap().authorized_by, ["payments"]);
    })
    .await;
}

/// The looks at a new binding came ever more seldom, and the one that refused it came half a minute after its creation.
#[tokio::test(start_paused = true)]
async fn a_binding_waits_no_longer_for_its_policy_than_its_message_says() {
    story(async |world| {
        let begun = Instant::now();
        let id = world.foreign_identity(OTHER_GROUP, "payments", Vec::new());
        let mut new = binding(NAMESPACE, "orders")
            .existing(&id)
            .service_account("orders")
            .build();
        new.metadata.creation_timestamp = Some(Time(Timestamp::now()));
        world.cluster.seed(new);
        let waits = world.says("orders", Reason::PolicyAwaited).await;
        assert!(message(&waits).contains("refused 15 s after"), "{}", message(&waits));
        // To Flux and Argo CD a binding that waits is none that failed.
        assert_eq!(kstatus::compute(&json!(waits)).state, State::InProgress);
        is_denied(world).await;
        assert_eq!(kstatus::compute(&json!(world.binding("orders"))).state, State::Failed);
        let (least, most) = (Duration::from_secs(13), Duration::from_secs(17));
        assert!((least..most).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_deleted_takes_the_trust_with_it() {
    story(async |world| {
        is_allowed(world).await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        trust_is_gone(world).await;
    })
    .await;
}

/// `kubectl replace --force` of a policy, or a label that was off a namespace for a moment, deleted the service accounts: those that
/// came instead had other UIDs, and the tokens that pods held for the Kubernetes API were refused.
#[tokio::test(start_paused = true)]
async fn a_policy_that_is_written_anew_leaves_the_service_accounts_standing() {
    story(async |world| {
        is_allowed(world).await;
        let uid = |world: &World| world.account("orders").unwrap().metadata.uid.unwrap();
        let before = uid(world);
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        trust_is_gone(world).await;
        assert_eq!(uid(world), before);
        world.cluster.seed(payments());
        world.ready("orders").await;
        assert_eq!(uid(world), before);
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        trust_is_gone(world).await;
        world.delete("orders");
        world.gone("orders").await;
        assert!(
            world.account("orders").is_none(),
            "it goes with the binding that it was created for"
        );
    })
    .await;
}

/// It cost two reads for each change of any policy, and twelve an hour, for ever.
#[tokio::test(start_paused = true)]
async fn a_denied_binding_that_has_nothing_is_read_as_often_as_drift_is_checked() {
    story(async |world| {
        is_allowed(world).await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        trust_is_gone(world).await;
        sleep(DRIFT).await;
        world.forget_requests();
        for n in 0..10 {
            world
                .cluster
                .seed(policy(&format!("other-{n}")).namespace("bank").build());
            sleep(Duration::from_secs(10)).await;
        }
        sleep(DRIFT * 3).await;
        let reads = world
            .asked()
            .iter()
            .filter(|line| line.starts_with("GET identity"))
            .count();
        assert!((2..=5).contains(&reads), "{:?}", world.asked());
    })
    .await;
}

/// A suspended binding must not keep what a policy takes away.
#[tokio::test(start_paused = true)]
async fn a_suspended_binding_loses_its_trust_as_well() {
    story(async |world| {
        is_allowed(world).await;
        world.edit("orders", |object| object["spec"]["suspend"] = json!(true));
        world.says("orders", Reason::Suspended).await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        trust_is_gone(world).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_loses_its_label_loses_its_trust() {
    story(async |world| {
        label(world, "shop");
        let selector: NamespaceSelector = serde_json::from_value(json!({ "matchLabels": { "team": "shop" } })).unwrap();
        world
            .cluster
            .seed(policy("shop").selector(selector).existing(&elsewhere()).build());
        bind_elsewhere(world);
        world.ready("orders").await;
        label(world, "bank");
        trust_is_gone(world).await;
    })
    .await;
}

/// Otherwise whoever may edit the binding keeps for ever what the platform team took away.
#[tokio::test(start_paused = true)]
async fn an_unusable_spec_does_not_keep_what_a_policy_took_away() {
    story(async |world| {
        is_allowed(world).await;
        world.edit("orders", |object| object["spec"]["audience"] = json!("a b"));
        world.says("orders", Reason::InvalidSpec).await;
        assert_eq!(world.identity().credentials.len(), 1, "what is allowed stands");
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        world
            .until("the trust is gone", |world| world.identity().credentials.is_empty())
            .await;
        world.says("orders", Reason::NotPermitted).await;
    })
    .await;
}

/// Everybody's turn came in the order in which it was asked for, and a policy asks for all: the trust of this one ended four seconds after its
/// deletion, and with 50,000 bindings it took as long as their turns do.
#[tokio::test(start_paused = true)]
async fn a_deletion_does_not_wait_for_all_whom_a_policy_was_changed_for() {
    const MANY: usize = 300;
    let told = |world: &World| {
        let bindings = world.cluster.list::<WorkloadIdentityBinding>();
        let knows =
            |one: &&WorkloadIdentityBinding| find_condition(one, "Ready").map(|ready| ready.message.contains("later"));
        bindings.iter().filter(|one| knows(one) == Some(true)).count()
    };
    let revoked = |world: &World| world.asked().contains(&"DELETE credential: 200".to_owned());
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        let id = world.foreign_identity(OTHER_GROUP, "payments", Vec::new());
        for n in 0..MANY {
            world.create(
                binding(NAMESPACE, &format!("many-{n}"))
                    .existing(&id)
                    .service_account("many"),
            );
        }
        for n in 0..MANY {
            world.says(&format!("many-{n}"), Reason::NotPermitted).await;
        }
        let statuses = by_operator().resource("workloadidentitybindings").subresource("status");
        world
            .cluster
            .inject(statuses, Effect::delay(Duration::from_millis(100)));
        world.forget_requests();
        let another = IdentityId::new(SUBSCRIPTION, OTHER_GROUP, "later").to_string();
        world
            .cluster
            .seed(policy("more").namespace(NAMESPACE).existing(&another).build());
        world.until("the first ones know of it", |world| told(world) > 0).await;
        let deleted = Instant::now();
        world.delete("orders");
        world.until("its trust ends", revoked).await;
        assert!(deleted.elapsed() < Duration::from_secs(1), "{:?}", deleted.elapsed());
        assert!(told(world) < MANY / 2, "{} had their turn before", told(world));
        world.until("all know of it", |world| told(world) == MANY).await;
        world.cluster.clear_faults();
    })
    .await;
}
