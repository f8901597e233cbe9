//! What bindings left in Azure that are gone though nobody took it away.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::json;
use tokio::time::sleep;
use wio_api::{DeletionPolicy, Reason, WorkloadIdentityPolicy, keys};
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::health::get;
use crate::log::Log;
use crate::world::*;

/// One sweep at its latest, and before two at their earliest.
const ONE_SWEEP: Duration = Duration::from_mins(38);
/// Two sweeps at their latest.
const TWO_SWEEPS: Duration = Duration::from_mins(73);

fn managed(name: &str) -> BindingBuilder {
    binding(NAMESPACE, name).managed().service_account(name)
}

fn existing(world: &World, name: &str) -> BindingBuilder {
    let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
    binding(NAMESPACE, name).existing(&id).service_account(name)
}

/// Somebody deletes a binding and takes its finalizer off at once, before the operator sees it.
pub async fn force(world: &World, name: &str) {
    world.cluster.hold_events("workloadidentitybindings");
    world.delete(name);
    world.edit(name, |object| object["metadata"]["finalizers"] = json!([]));
    world.cluster.release_events("workloadidentitybindings");
    world.gone(name).await;
    world.forget_requests();
}

fn trust(world: &World) -> usize {
    let identities = world.azure.snapshot().identities;
    identities.iter().map(|identity| identity.credentials.len()).sum()
}

fn tag_identity(world: &World, key: &str, value: Option<&str>) {
    world.change_azure(|azure| {
        let tags = &mut azure.identities[0].tags;
        tags.remove(key);
        tags.extend(value.map(|value| (key.to_owned(), value.to_owned())));
    });
}

fn nothing_was_written(world: &World) {
    let written: Vec<_> = world.azure.requests().into_iter().filter(|r| r.writes).collect();
    assert!(written.is_empty(), "{written:#?}");
}

async fn counts(world: &World, state: &str) -> String {
    let line = format!("wio_orphans{{state=\"{state}\"}} ");
    let (_, text) = get(world, "/metrics").await;
    let found = text.lines().find_map(|it| it.strip_prefix(&line).map(str::to_owned));
    found.unwrap_or_else(|| panic!("{line} is not in {text}"))
}

#[tokio::test(start_paused = true)]
async fn what_a_forced_finalizer_leaves_goes_after_two_sweeps_and_not_before_an_interval() {
    story(async |world| {
        world.create(managed("orders").deletion_policy(DeletionPolicy::Delete));
        world.ready("orders").await;
        force(world, "orders").await;
        sleep(ONE_SWEEP).await;
        assert_eq!((trust(world), world.has_identity()), (1, true));
        nothing_was_written(world);
        world.until("it is taken away", |world| !world.has_identity()).await;
        let what: Vec<String> = world
            .asked()
            .into_iter()
            .filter(|line| line.starts_with("DELETE"))
            .collect();
        assert_eq!(
            what,
            ["DELETE credential: 200", "DELETE identity: 200"],
            "trust ends first"
        );
        let released = |world: &World| world.annotation("orders", keys::CLIENT_ID_ANNOTATION).is_none();
        assert!(
            released(world) && world.account("orders").is_some(),
            "pods may run as it"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn trust_on_an_identity_of_others_goes_and_what_is_theirs_stays() {
    story(async |world| {
        world.create(existing(world, "orders"));
        world.ready("orders").await;
        let theirs = foreign_credential("github", "repo:contoso/orders");
        world.change_azure(|azure| azure.identities[0].credentials.push(theirs.clone()));
        force(world, "orders").await;
        sleep(ONE_SWEEP).await;
        assert_eq!(trust(world), 2);
        world.until("it is taken away", |world| trust(world) == 1).await;
        assert_eq!(world.identity().credentials, [theirs]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_of_the_same_name_keeps_everything() {
    for by_policy in [false, true] {
        story(async |world| {
            let first = if by_policy {
                existing(world, "orders")
            } else {
                managed("orders")
            };
            world.create(first.clone());
            world.ready("orders").await;
            let before = world.identity();
            force(world, "orders").await;
            sleep(DRIFT).await;
            world.create(first);
            world.ready("orders").await;
            sleep(TWO_SWEEPS * 2).await;
            let after = world.identity();
            assert_eq!(
                (after.client_id, after.credentials),
                (before.client_id, before.credentials)
            );
        })
        .await;
    }
}

/// It was told that all three had gone, and counted as nothing left.
#[tokio::test(start_paused = true)]
async fn only_what_was_taken_is_told_when_a_successor_comes_in_the_midst_of_it() {
    let log = Log::begin();
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        let bound = |name: &str, accounts: &[&str]| {
            let built = binding(NAMESPACE, name).existing(&id);
            accounts.iter().fold(built, |built, name| built.service_account(name))
        };
        world.create(bound("orders", &["a", "b", "c"]));
        world.ready("orders").await;
        let names = |world: &World| -> Vec<String> {
            let credentials = world.identity().credentials;
            credentials.into_iter().map(|one| one.name).collect()
        };
        let all = names(world);
        force(world, "orders").await;
        let slow = Fault::on("DELETE").kind(ResourceKind::Credential);
        world
            .azure
            .inject(slow.execute().delay(Duration::from_secs(15)).times(1));
        world.until("the first is gone", |world| trust(world) == 2).await;
        let left = names(world);
        let subject = &world.identity().credentials[0].subject;
        let kept = subject
            .as_ref()
            .and_then(|it| it.rsplit(':').next())
            .unwrap()
            .to_owned();
        world.create(bound("web", &[&kept]));
        world.ready("web").await;
        sleep(Duration::from_mins(1)).await;

        assert_eq!((all.len(), names(world)), (3, left.clone()));
        let told = log.lines("without having been deleted is taken away");
        assert!(told.len() == 1 && told[0].contains("steps=1"), "{told:#?}");
        assert_eq!(counts(world, "seen").await, "1");
        world.until("the rest goes too", |world| trust(world) == 1).await;
        assert_eq!(names(world), left[..1]);
        sleep(ONE_SWEEP).await;
        assert_eq!(counts(world, "seen").await, "0");
    })
    .await;
}

/// Otherwise whoever may take a finalizer off keeps an identity that a policy takes away, by a binding of the same name.
#[tokio::test(start_paused = true)]
async fn a_successor_with_another_identity_keeps_nothing_of_the_first() {
    story(async |world| {
        world.create(existing(world, "orders"));
        world.ready("orders").await;
        force(world, "orders").await;
        world.create(managed("orders"));
        world.ready("orders").await;
        let left = |world: &World| {
            let azure = world.azure.snapshot();
            azure
                .identities
                .iter()
                .any(|one| one.id.name == "billing" && !one.credentials.is_empty())
        };
        assert!(left(world));
        world.until("the first one's trust ends", |world| !left(world)).await;
        assert_eq!(trust(world), 1);
        assert!(world.annotation("orders", keys::CLIENT_ID_ANNOTATION).is_some());
    })
    .await;
}

/// The same with a binding of the same name that may have nothing: it takes nothing away when it goes, and keeps nothing while it is there.
#[tokio::test(start_paused = true)]
async fn a_successor_that_is_denied_keeps_nothing_of_the_first() {
    story(async |world| {
        let orders = || existing(world, "orders");
        let first = orders();
        world.create(first.clone());
        world.ready("orders").await;
        force(world, "orders").await;
        let admin = format!("/subscriptions/{SUBSCRIPTION}");
        world.create(first.role("Reader", &admin));
        world.says("orders", Reason::NotPermitted).await;
        assert_eq!(trust(world), 1);
        world
            .until("the first one's trust ends", |world| trust(world) == 0)
            .await;
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(trust(world), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_was_down_meanwhile_finds_it_after_its_start() {
    story(async |world| {
        world.create(managed("orders"));
        world.ready("orders").await;
        world.stop().await;
        world.edit("orders", |object| object["metadata"]["finalizers"] = json!([]));
        world.delete("orders");
        world.gone("orders").await;
        world.start().await;
        world.until("it is taken away", |world| !world.has_identity()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_or_is_cut_removes_nothing() {
    story(async |world| {
        world.create(managed("orders"));
        world.ready("orders").await;
        force(world, "orders").await;
        let list = || Fault::on("GET").suffix("userAssignedIdentities").forever();
        world.azure.inject(list().respond(503, "ServerBusy"));
        sleep(TWO_SWEEPS * 2).await;
        assert_eq!(trust(world), 1);
        world.azure.clear_faults();
        *world.wire.next_link.lock().unwrap() = Some("https://elsewhere.example/more".to_owned());
        sleep(TWO_SWEEPS * 2).await;
        assert_eq!(trust(world), 1);
        nothing_was_written(world);
        *world.wire.next_link.lock().unwrap() = None;
        world.until("it is taken away", |world| !world.has_identity()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restored_cluster_removes_nothing_and_says_so() {
    story(async |world| {
        for name in ["orders", "invoices"] {
            world.create(managed(name));
            world.ready(name).await;
        }
        world.stop().await;
        for name in ["orders", "invoices"] {
            world.edit(name, |object| object["metadata"]["finalizers"] = json!([]));
            world.delete(name);
        }
        world.start().await;
        world.forget_requests();
        sleep(TWO_SWEEPS * 2).await;
        nothing_was_written(world);
        assert_eq!(trust(world), 2);
        assert_eq!(
            (counts(world, "held").await, counts(world, "seen").await),
            ("2".into(), "0".into())
        );
        for name in ["orders", "invoices"] {
            world.create(managed(name));
            world.ready(name).await;
        }
        sleep(TWO_SWEEPS).await;
        assert_eq!((trust(world), counts(world, "held").await), (2, "0".into()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn orphan_leaves_everything_for_good() {
    for at_once in [false, true] {
        story(async |world| {
            let policy = if at_once {
                DeletionPolicy::Delete
            } else {
                DeletionPolicy::Orphan
            };
            world.create(managed("orders").deletion_policy(policy));
            world.ready("orders").await;
            world.forget_requests();
            world.cluster.hold_events("workloadidentitybindings");
            world.edit("orders", |object| object["spec"]["deletionPolicy"] = json!("Orphan"));
            world.delete("orders");
            world.cluster.release_events("workloadidentitybindings");
            world.gone("orders").await;
            let marked: &[&str] = if at_once {
                &["GET identity: 200", "PATCH identity: 200"]
            } else {
                &[]
            };
            assert_eq!(world.asked(), marked);
            assert_eq!(world.identity().tags[keys::DELETION_POLICY_TAG], "Orphan");
            world.forget_requests();
            sleep(TWO_SWEEPS * 2).await;
            nothing_was_written(world);
            assert_eq!((trust(world), counts(world, "reported").await), (1, "0".into()));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_binding_stays_until_its_identity_says_that_it_is_left_on_purpose() {
    story(async |world| {
        world.create(managed("orders"));
        world.ready("orders").await;
        let refused = Fault::on("PATCH").kind(ResourceKind::Identity).forever();
        world.azure.inject(refused.respond(403, "AuthorizationFailed"));
        world.cluster.hold_events("workloadidentitybindings");
        world.edit("orders", |object| object["spec"]["deletionPolicy"] = json!("Orphan"));
        world.delete("orders");
        world.cluster.release_events("workloadidentitybindings");
        let kept = world.says("orders", Reason::AuthorizationFailed).await;
        assert!(
            message(&kept).contains("tag the managed identity"),
            "{}",
            message(&kept)
        );
        world.azure.clear_faults();
        world.gone("orders").await;
        assert_eq!(world.identity().tags[keys::DELETION_POLICY_TAG], "Orphan");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_retained_identity_stays_and_only_its_trust_goes() {
    story(async |world| {
        world.create(managed("orders").deletion_policy(DeletionPolicy::RetainIdentity));
        world.ready("orders").await;
        force(world, "orders").await;
        world.until("its trust ends", |world| trust(world) == 0).await;
        world.forget_requests();
        sleep(TWO_SWEEPS * 2).await;
        assert!(world.has_identity());
        nothing_was_written(world);
        assert_eq!(
            (counts(world, "seen").await, counts(world, "reported").await),
            ("0".into(), "0".into())
        );
        assert!(world.asked().len() <= 3, "it is looked at once: {:?}", world.asked());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_is_to_stay_stays_though_its_tag_said_otherwise_a_moment_before() {
    story(async |world| {
        world.create(managed("orders"));
        world.ready("orders").await;
        world.cluster.hold_events("workloadidentitybindings");
        world.edit("orders", |object| {
            object["spec"]["deletionPolicy"] = json!("RetainIdentity");
        });
        world.delete("orders");
        world.cluster.release_events("workloadidentitybindings");
        world.gone("orders").await;
        assert_eq!(world.identity().tags[keys::DELETION_POLICY_TAG], "RetainIdentity");
        sleep(TWO_SWEEPS * 2).await;
        assert!(world.has_identity());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_of_its_end_is_reported_only_and_what_is_anothers_not_at_all() {
    let foreign = "11111111-2222-4333-8444-555555555555";
    for (key, value, reported) in [
        (keys::DELETION_POLICY_TAG, None, "1"),
        (keys::DELETION_POLICY_TAG, Some("delete everything"), "1"),
        (keys::BINDING_UID_TAG, None, "1"),
        (keys::CLUSTER_TAG, Some(foreign), "0"),
    ] {
        story(async |world| {
            world.create(managed("orders"));
            world.ready("orders").await;
            force(world, "orders").await;
            tag_identity(world, key, value);
            sleep(TWO_SWEEPS * 2).await;
            nothing_was_written(world);
            assert_eq!(counts(world, "reported").await, reported, "{key}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_policy_lets_bindings_leave_their_trust_it_is_reported_only() {
    story(async |world| {
        let mut keep = policy("keep").namespace("elsewhere").build();
        keep.spec.allow_orphan = true;
        world.cluster.seed(keep);
        world.create(existing(world, "orders"));
        world.ready("orders").await;
        force(world, "orders").await;
        sleep(TWO_SWEEPS * 2).await;
        nothing_was_written(world);
        assert_eq!(counts(world, "reported").await, "1");
        world.cluster.delete::<WorkloadIdentityPolicy>("", "keep");
        sleep(DRIFT).await;
        assert_eq!(trust(world), 1, "what may go only now was not seen twice");
        world.until("it is taken away", |world| trust(world) == 0).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_a_definition_is_gone() {
    story(async |world| {
        world.create(managed("orders"));
        world.ready("orders").await;
        force(world, "orders").await;
        let policies = "workloadidentitypolicies.workloadidentity.dev";
        world.cluster.delete::<CustomResourceDefinition>("", policies);
        sleep(TWO_SWEEPS * 2).await;
        nothing_was_written(world);
        assert_eq!(counts(world, "held").await, "1");
        world.cluster.seed(wio_api::policy_crd());
        world.until("it is taken away", |world| !world.has_identity()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn roles_that_a_dead_binding_had_go_before_its_identity() {
    story(async |world| {
        let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}");
        let role = "Key Vault Secrets User";
        let allowing = policy("secrets").namespace(NAMESPACE).role(role, &[&scope]);
        world.cluster.seed(allowing.build());
        world.create(managed("orders").role(role, &scope));
        world.ready("orders").await;
        force(world, "orders").await;
        world.until("it is taken away", |world| !world.has_identity()).await;
        let asked = world.asked().into_iter();
        let what: Vec<String> = asked.filter(|line| line.starts_with("DELETE")).collect();
        assert_eq!(
            what,
            [
                "DELETE credential: 200",
                "DELETE roleassignment: 200",
                "DELETE identity: 200"
            ]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_others_use_stays_and_is_reported() {
    story(async |world| {
        world.create(managed("orders"));
        world.ready("orders").await;
        let theirs = foreign_credential("github", "repo:contoso/orders");
        world.change_azure(|azure| azure.identities[0].credentials.push(theirs.clone()));
        force(world, "orders").await;
        sleep(TWO_SWEEPS).await;
        assert_eq!(world.identity().credentials, [theirs]);
        assert_eq!(counts(world, "reported").await, "1");
        world.change_azure(|azure| azure.identities[0].credentials.clear());
        world.until("it is taken away", |world| !world.has_identity()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_rest_a_sweep_costs_one_list_for_each_group_and_writes_nothing() {
    story(async |world| {
        for n in 0..10 {
            world.create(managed(&format!("b{n}")));
        }
        world.all_ready(10).await;
        world.forget_requests();
        sleep(DRIFT * 24).await;
        let sweeps = world.lists().len() / SWEPT_GROUPS;
        assert!((19..=24).contains(&sweeps), "{sweeps}");
        assert_eq!(world.lists().len(), sweeps * SWEPT_GROUPS);
        let looks = world
            .asked()
            .iter()
            .filter(|line| *line == "GET credentials: 200")
            .count();
        let identities = world.asked().iter().filter(|line| *line == "GET identity: 200").count();
        assert_eq!(looks, identities, "only drift checks look at federated credentials");
        nothing_was_written(world);
    })
    .await;
}
