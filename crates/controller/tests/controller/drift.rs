use std::collections::BTreeMap;

use serde_json::json;
use tokio::time::sleep;
use wio_api::{ManagedIdentity, ManagedIdentityPermission, Reason, keys};
use wio_azure_sim::{Fault, TagPolicy};
use wio_testkit::fixtures::{binding, policy};
use wio_testkit::{Effect, Matcher, kstatus};

use crate::world::*;

async fn ready_orders(world: &World) {
    world.create(
        binding(NAMESPACE, "orders")
            .managed()
            .service_account("orders")
            .service_account("invoices"),
    );
    world.ready("orders").await;
    world.forget_requests();
}

#[tokio::test(start_paused = true)]
async fn a_deleted_credential_is_written_again() {
    story(async |world| {
        ready_orders(world).await;
        let before = world.identity().credentials;
        world.change_azure(|azure| drop(azure.identities[0].credentials.pop()));
        world
            .until("it is there again", |world| world.identity().credentials == before)
            .await;
        assert_eq!(
            world.asked(),
            ["GET identity: 200", "GET credentials: 200", "PUT credential: 201"]
        );
        let told = |world: &World| world.events().contains(&"Warning DriftCorrected".to_owned());
        world.until("somebody learns of it", told).await;
        let notes = world.notes("DriftCorrected");
        let name = &before[1].name;
        assert!(
            notes.len() == 1 && notes[0].contains(name.as_str()) && !notes[0].contains(before[0].name.as_str()),
            "{notes:?}"
        );
    })
    .await;
}

/// Somebody who may write federated credentials, and no identity, must not get the identity for good.
#[tokio::test(start_paused = true)]
async fn a_credential_that_was_edited_to_trust_somebody_else_is_deleted_and_written_again() {
    story(async |world| {
        ready_orders(world).await;
        let before = world.identity().credentials;
        world.change_azure(|azure| {
            azure.identities[0].credentials[0].subject = Some("system:serviceaccount:evil:evil".to_owned());
        });
        world
            .until("it is as it was", |world| world.identity().credentials == before)
            .await;
        let writes = &world.asked()[2..];
        assert_eq!(writes, ["DELETE credential: 200", "PUT credential: 201"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_edited_audience_is_put_right() {
    story(async |world| {
        ready_orders(world).await;
        let before = world.identity().credentials;
        world.change_azure(|azure| azure.identities[0].credentials[0].audiences = vec!["api://other".to_owned()]);
        world
            .until("it is as it was", |world| world.identity().credentials == before)
            .await;
        assert_eq!(world.asked()[2..], ["PUT credential: 200"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_credential_of_ours_that_nobody_wants_any_more_goes() {
    story(async |world| {
        ready_orders(world).await;
        let before = world.identity().credentials;
        world.change_azure(|azure| {
            let mut stale = before[0].clone();
            stale.name.push_str("-old");
            stale.subject = Some("system:serviceaccount:shop:old".to_owned());
            azure.identities[0].credentials.push(stale);
        });
        world
            .until("it is gone", |world| world.identity().credentials == before)
            .await;
    })
    .await;
}

/// A recreated identity has another client id: the service accounts have to follow.
#[tokio::test(start_paused = true)]
async fn an_identity_that_was_deleted_is_made_anew_and_the_service_accounts_follow() {
    story(async |world| {
        ready_orders(world).await;
        let before = world.identity().client_id.to_string();
        world.change_azure(|azure| azure.identities.clear());
        world.until("it is there again", World::has_identity).await;
        let client_id = world.identity().client_id.to_string();
        assert_ne!(client_id, before);
        let follow = |world: &World| {
            ["orders", "invoices"]
                .iter()
                .all(|account| world.annotation(account, keys::CLIENT_ID_ANNOTATION).as_ref() == Some(&client_id))
        };
        world.until("the service accounts follow", follow).await;
        let told = |world: &World| world.events().contains(&"Warning ClientIdChanged".to_owned());
        world.until("whoever restarts pods learns of it", told).await;
        let notes = world.notes("ClientIdChanged");
        assert!(
            notes.len() == 1 && notes[0].contains(&client_id) && notes[0].contains("restart"),
            "{notes:?}"
        );
    })
    .await;
}

/// The identity is gone and the memory of it is fresh: Azure answers as if it were not known everywhere yet, for ever.
#[tokio::test(start_paused = true)]
async fn an_identity_that_is_missing_is_not_taken_for_one_that_is_new() {
    story(async |world| {
        ready_orders(world).await;
        world.change_azure(|azure| azure.identities.clear());
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"]
                .as_array_mut()
                .unwrap()
                .push(json!({"name": "mails"}));
        });
        let begun = tokio::time::Instant::now();
        world.says("orders", Reason::ReplicationPending).await;
        world.ready("orders").await;
        assert!(
            begun.elapsed() < DRIFT / 2,
            "it was looked at long before the next look was due"
        );
        assert_eq!(world.identity().credentials.len(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_lost_our_tags_is_not_touched_any_more() {
    story(async |world| {
        ready_orders(world).await;
        world.change_azure(|azure| azure.identities[0].tags.clear());
        world.says("orders", Reason::IdentityNotOwned).await;
        world.azure_was_only_read();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn looks_at_azure_are_spread_by_chance() {
    story(async |world| {
        world.create_many(8);
        world.all_ready(8).await;
        world.forget_requests();
        tokio::time::sleep(DRIFT * 3 / 2).await;
        let looks: Vec<_> = world
            .azure
            .requests()
            .iter()
            .filter(|r| r.path.to_lowercase().ends_with("credentials"))
            .map(|r| r.at)
            .collect();
        assert!(looks.len() >= 8, "{looks:?}");
        let spread = looks[7].duration_since(looks[0]).as_secs();
        assert!(spread > 60, "all within {spread} s");
    })
    .await;
}

/// With a hundred bindings looked at and a read budget that somebody else used up, half of them turned False though
/// their pods went on getting tokens.
#[tokio::test(start_paused = true)]
async fn a_look_that_azure_is_too_busy_for_is_put_off_and_the_binding_stays_ready() {
    story(async |world| {
        ready_orders(world).await;
        world.azure.inject(
            Fault::on("GET")
                .path("userAssignedIdentities/")
                .times(2)
                .respond(429, "TooManyRequests")
                .header("Retry-After", "17"),
        );
        let look = Fault::on("GET").path("userAssignedIdentities/");
        world.azure.inject(look.times(1).respond(503, "ServerBusy"));
        world.change_azure(|azure| drop(azure.identities[0].credentials.pop()));
        world
            .until("it is mended", |world| world.identity().credentials.len() == 2)
            .await;
        let failed = world
            .asked()
            .iter()
            .filter(|line| line.ends_with("429") || line.ends_with("503"))
            .count();
        assert_eq!(failed, 3, "{:?}", world.asked());
        let told = world.events();
        assert_eq!(
            told,
            ["Normal Succeeded", "Warning DriftCorrected"],
            "Ready did not change"
        );
        let said = |world: &World| message(&world.binding("orders")).contains("cannot be looked at");
        world.until("a look went well", |world| !said(world)).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn looks_that_fail_for_long_are_told() {
    story(async |world| {
        ready_orders(world).await;
        world
            .azure
            .inject(Fault::on("GET").forever().respond(503, "ServerBusy"));
        let said = |world: &World| message(&world.binding("orders")).contains("cannot be looked at");
        world.until("Ready says so", said).await;
        let begun = tokio::time::Instant::now();
        assert_eq!(condition(&world.binding("orders"), "Ready").status, "True");
        world.says("orders", Reason::AzureUnavailable).await;
        let lasted = begun.elapsed().as_secs() / 60;
        assert!((28..45).contains(&lasted), "{lasted} minutes");
        world.azure.clear_faults();
        world.ready("orders").await;
    })
    .await;
}

fn tag_policy(world: &World, tag: &str, value: &str) {
    world.azure.reconfigure(|config| {
        config.tag_policies = vec![TagPolicy {
            scope: format!("/subscriptions/{SUBSCRIPTION}"),
            tag: tag.to_owned(),
            value: Some(value.to_owned()),
        }];
    });
}

fn writes(world: &World) -> usize {
    world.azure.requests().iter().filter(|request| request.writes).count()
}

/// It was written 120 times an hour, and the binding was never ready, though its tokens worked.
#[tokio::test(start_paused = true)]
async fn a_tag_that_an_azure_policy_sets_back_is_told_and_written_once_an_interval() {
    let mut world = World::new();
    world.start().await;
    tag_policy(&world, "env", "prod");
    let tags = BTreeMap::from([("env".to_owned(), "dev".to_owned())]);
    let identity = ManagedIdentity {
        tags,
        ..ManagedIdentity::default()
    };
    world.create(
        binding(NAMESPACE, "orders")
            .managed_as(identity)
            .service_account("orders"),
    );
    let ready = world.ready("orders").await;
    let told = &condition(&ready, "IdentityReady").message;
    assert!(told.contains("another value of tag env"), "{told}");
    world.forget_requests();
    sleep(DRIFT * 4).await;
    assert!(
        (1..=5).contains(&writes(&world)),
        "{} writes in four intervals",
        writes(&world)
    );
    world.ready("orders").await;
    world.azure.reconfigure(|config| config.tag_policies.clear());
    let is_dev = |world: &World| world.identity().tags.get("env").map(String::as_str) == Some("dev");
    world.until("the tag is as it was asked for", is_dev).await;
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn tags_by_which_an_identity_is_ours_and_that_an_azure_policy_rewrites_are_no_hot_loop() {
    let mut world = World::new();
    world.start().await;
    tag_policy(&world, "workloadidentity.dev-binding", "somebody/else");
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.says("orders", Reason::IdentityNotOwned).await;
    world.forget_requests();
    sleep(DRIFT * 2).await;
    assert!(writes(&world) <= 2, "{} writes in two intervals", writes(&world));
    world.says("orders", Reason::IdentityNotOwned).await;
}

/// Its neighbour's credential keeps what the status says from being enough, so a look is due at the start, and Azure is away.
#[tokio::test(start_paused = true)]
async fn an_operator_that_starts_while_azure_is_away_turns_nothing_that_works_to_false() {
    story(async |world| {
        let foreign = vec![foreign_credential("github", "repo:contoso/orders:ref:refs/heads/main")];
        let id = world.foreign_identity(SHARED_GROUP, "billing", foreign);
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.ready("orders").await;
        world.crash().await;
        world
            .azure
            .inject(Fault::on("GET").forever().respond(503, "ServerBusy"));
        world.start().await;
        let said = |world: &World| message(&world.binding("orders")).contains("cannot be looked at");
        world.until("Ready says so", said).await;
        tokio::time::sleep(std::time::Duration::from_mins(20)).await;
        assert_eq!(condition(&world.binding("orders"), "Ready").status, "True");
        world.azure.clear_faults();
        world.until("a look went well", |world| !said(world)).await;
    })
    .await;
}

/// Another binding to it looked half an hour later, and put the former client id back until then.
#[tokio::test(start_paused = true)]
async fn whoever_has_an_identity_that_another_binding_makes_anew_follows_at_once() {
    story(async |world| {
        let named = ManagedIdentity {
            name: Some("shared".to_owned()),
            resource_group: Some(SHARED_GROUP.to_owned()),
            ..ManagedIdentity::default()
        };
        let place = ManagedIdentityPermission {
            subscription_id: SUBSCRIPTION.to_owned(),
            resource_group: SHARED_GROUP.to_owned(),
            ..ManagedIdentityPermission::default()
        };
        world
            .cluster
            .seed(policy("own").namespace(NAMESPACE).managed(place).build());
        world.create(binding(NAMESPACE, "orders").managed_as(named).service_account("orders"));
        world.ready("orders").await;
        let id = world.identity().id.to_string();
        world.create(binding(NAMESPACE, "web").existing(&id).service_account("web"));
        world.ready("web").await;
        world.change_azure(|azure| azure.identities.clear());
        world.edit("orders", |object| {
            object["metadata"]["annotations"] = json!({ keys::RECONCILE_AT_ANNOTATION: "now" });
        });
        world.until("it is there again", World::has_identity).await;
        let client_id = world.identity().client_id.to_string();
        let made = tokio::time::Instant::now();
        let follows = |world: &World| world.annotation("web", keys::CLIENT_ID_ANNOTATION).as_ref() == Some(&client_id);
        world.until("the other service account follows", follows).await;
        assert!(
            made.elapsed() < std::time::Duration::from_secs(5),
            "{:?}",
            made.elapsed()
        );
        world.ready("web").await;
    })
    .await;
}

/// The operator ended before a status told of the identity that it made anew. The next one believed the status, and gave the service accounts the client id of the
/// one that was gone, until it looked.
#[tokio::test(start_paused = true)]
async fn an_identity_that_was_made_anew_just_before_a_crash_is_known_to_whoever_leads_next() {
    story(async |world| {
        ready_orders(world).await;
        let before = world.identity().client_id.to_string();
        world.change_azure(|azure| azure.identities.clear());
        let accounts = Matcher::writes().resource("serviceaccounts").client(OPERATOR);
        let fault = world.cluster.inject(accounts.skip(1).once(), Effect::hang());
        world.until("one service account follows", |_| fault.hits() > 0).await;
        let orders = world.binding("orders");
        assert_eq!(
            message(&orders),
            "The managed identity is gone and is made anew. It gets another client id."
        );
        assert_eq!(kstatus::compute(&json!(orders)).state, kstatus::State::InProgress);
        world.crash().await;
        world.cluster.clear_faults();
        world.forget_requests();
        world.start().await;
        world.ready("orders").await;
        let client_id = world.identity().client_id.to_string();
        for account in ["orders", "invoices"] {
            assert_eq!(
                world.annotation(account, keys::CLIENT_ID_ANNOTATION),
                Some(client_id.clone())
            );
        }
        let written = world.cluster_writes();
        let of_accounts = written.iter().filter(|write| write.resource == "serviceaccounts");
        let mut bodies = of_accounts.map(|write| write.body.to_string());
        assert!(bodies.all(|body| !body.contains(&before)));
    })
    .await;
}
