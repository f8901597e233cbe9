//! Changes behind the operator's back, found by lists and by the activity log while each binding looks for itself once a day.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wio_api::Reason;
use wio_azure_sim::{Fault, Identity, LoggedRequest, ResourceKind};
use wio_testkit::fixtures::{binding, policy};

use crate::world::*;

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);
/// An entry comes so late at the latest, and ten minutes later it must be mended.
const BY_LOG: Duration = Duration::from_mins(30);
const VAULT: &str =
    "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared/providers/Microsoft.KeyVault/vaults/v";
/// Somebody else who may write in Azure.
const SOMEBODY: &str = "somebody";

/// A world whose bindings look for themselves once a day, in which so many are ready and everything is followed.
async fn followed(count: usize) -> World {
    let mut world = World::new();
    world.sweep_interval = Some(DAY);
    world
        .azure
        .reconfigure(|config| *config = config.clone().with_static_token(SOMEBODY));
    world.start().await;
    world.create_many(count);
    world.all_ready(count).await;
    // Its own writes are in the log by then, and lists have shown them.
    sleep(DRIFT * 3).await;
    world.forget_requests();
    world
}

/// Somebody else writes something in Azure, as everybody does.
async fn write(world: &World, method: &str, id: &str, body: Option<Value>) -> u16 {
    let version = if id.contains("/Microsoft.Authorization/") {
        "2022-04-01"
    } else {
        "2023-01-31"
    };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("https://management.azure.com{id}?api-version={version}"))
        .header("authorization", format!("Bearer {SOMEBODY}"))
        .header("content-type", "application/json")
        .body(body.map(|body| Bytes::from(body.to_string())).unwrap_or_default())
        .unwrap();
    world.azure.handle(request).await.unwrap().status().as_u16()
}

fn by(world: &World, principal: &str) -> Vec<LoggedRequest> {
    let principal = wio_azure_sim::Config::static_principal(principal).to_string();
    let requests = world.azure.requests().into_iter();
    requests
        .filter(|request| request.principal.as_ref() != Some(&principal))
        .collect()
}

/// The looks of bindings for themselves: a list of federated credentials is in each.
fn looks(world: &World) -> usize {
    let requests = by(world, SOMEBODY);
    requests
        .iter()
        .filter(|request| request.path.to_lowercase().ends_with("credentials"))
        .count()
}

fn first(world: &World) -> Identity {
    let mut identities = world.azure.snapshot().identities;
    identities.sort_by_key(|identity| identity.id.to_string());
    identities[0].clone()
}

fn subject(world: &World) -> Option<String> {
    first(world).credentials.first()?.subject.clone()
}

/// Somebody edits a federated credential so that it trusts somebody else.
async fn edit_credential(world: &World) {
    let identity = first(world);
    let credential = &identity.credentials[0];
    let id = format!("{}/federatedIdentityCredentials/{}", identity.id, credential.name);
    let body = json!({"properties": {
        "issuer": credential.issuer, "subject": "system:serviceaccount:evil:evil", "audiences": credential.audiences,
    }});
    assert_eq!(write(world, "PUT", &id, Some(body)).await, 200);
}

#[tokio::test(start_paused = true)]
async fn an_edited_credential_is_found_by_the_log_within_ten_minutes_of_its_entry() {
    let world = followed(3).await;
    let before = subject(&world);
    let begun = Instant::now();
    edit_credential(&world).await;
    assert_ne!(subject(&world), before);
    world.until("it is as it was", |world| subject(world) == before).await;
    assert!(begun.elapsed() <= BY_LOG, "{:?}", begun.elapsed());
    // What mended it is the operator's own, and the same entries come again and again.
    sleep(BY_LOG * 3).await;
    assert!(looks(&world) <= 5, "{} looks", looks(&world));
    let text = crate::health::get(&world, "/metrics").await.1;
    assert!(text.contains("wio_azure_differences_total{feed=\"log\"}"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_found_though_the_latest_entries_come_before_the_earlier_ones() {
    let world = followed(5).await;
    let identities = world.azure.snapshot().identities;
    for round in 0..4 {
        for identity in &identities {
            let credential = &identity.credentials[0];
            let id = format!("{}/federatedIdentityCredentials/{}", identity.id, credential.name);
            let body = json!({"properties": {
                "issuer": credential.issuer, "subject": format!("system:serviceaccount:evil:e{round}"), "audiences": credential.audiences,
            }});
            assert!(write(&world, "PUT", &id, Some(body)).await < 400);
        }
        let mended = |world: &World| {
            let now = world.azure.snapshot().identities;
            now.iter()
                .zip(&identities)
                .all(|(now, before)| now.credentials == before.credentials)
        };
        let begun = Instant::now();
        world.until("all are as they were", mended).await;
        assert!(begun.elapsed() <= BY_LOG, "{:?}", begun.elapsed());
        sleep(MINUTE).await;
    }
}

/// The world without the role of config/azure for the log is the one before there was any: nobody is told of an edit later.
#[tokio::test(start_paused = true)]
async fn where_the_log_may_not_be_read_each_binding_looks_for_itself_at_each_drift_interval() {
    let mut world = World::new();
    world.sweep_interval = Some(DAY);
    world.azure.inject(
        Fault::on("GET")
            .path("/eventtypes/")
            .forever()
            .respond(403, "AuthorizationFailed"),
    );
    world.start().await;
    world.create_many(3);
    world.all_ready(3).await;
    sleep(DRIFT * 3).await;
    world.forget_requests();
    let before = subject(&world);
    world.change_azure(|azure| {
        for identity in &mut azure.identities {
            identity.credentials[0].subject = Some("system:serviceaccount:evil:evil".to_owned());
        }
    });
    let begun = Instant::now();
    world.until("it is as it was", |world| subject(world) == before).await;
    assert!(begun.elapsed() <= DRIFT * 5 / 4, "{:?}", begun.elapsed());
    let text = crate::health::get(&world, "/metrics").await.1;
    assert!(text.contains("wio_azure_followed{feed=\"log\"} 0"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_any_more_has_bindings_look_for_themselves_within_a_drift_interval() {
    let world = followed(3).await;
    world.azure.inject(
        Fault::on("GET")
            .path("/eventtypes/")
            .forever()
            .respond(500, "InternalServerError"),
    );
    sleep(DRIFT * 2).await;
    assert!(looks(&world) >= 3, "{} looks", looks(&world));
    world.azure.clear_faults();
    sleep(DRIFT * 2).await;
    world.forget_requests();
    sleep(DRIFT * 4).await;
    assert_eq!(looks(&world), 0, "it is read again");
}

/// What happened while the log could not be read is in it all the same.
#[tokio::test(start_paused = true)]
async fn an_edit_while_the_log_cannot_be_read_is_found_when_it_can() {
    let world = followed(1).await;
    let before = subject(&world);
    world.azure.inject(
        Fault::on("GET")
            .path("/eventtypes/")
            .times(9)
            .respond(503, "ServerBusy"),
    );
    edit_credential(&world).await;
    let begun = Instant::now();
    world.until("it is as it was", |world| subject(world) == before).await;
    assert!(begun.elapsed() <= BY_LOG + MINUTE * 15, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_edit_while_the_operator_is_down_is_found_by_the_log_after_it_starts() {
    let mut world = followed(1).await;
    let before = subject(&world);
    world.stop().await;
    edit_credential(&world).await;
    sleep(DAY / 2).await;
    world.start().await;
    let begun = Instant::now();
    world.until("it is as it was", |world| subject(world) == before).await;
    assert!(begun.elapsed() <= MINUTE * 10, "{:?}", begun.elapsed());
}

/// No list and no log shows it: a log may lose an entry.
#[tokio::test(start_paused = true)]
async fn what_neither_lists_nor_the_log_show_is_found_by_the_sweep() {
    let world = followed(1).await;
    let before = subject(&world);
    world.change_azure(|azure| {
        azure.identities[0].credentials[0].subject = Some("system:serviceaccount:evil:evil".to_owned());
    });
    let begun = Instant::now();
    while subject(&world) != before {
        assert!(begun.elapsed() < DAY * 5 / 4);
        sleep(MINUTE * 10).await;
    }
    assert!(begun.elapsed() > DRIFT * 4, "no list showed it: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_is_gone_or_has_lost_its_tags_is_found_by_a_list() {
    let world = followed(3).await;
    world.change_azure(|azure| {
        azure.identities.retain(|identity| !identity.id.name.contains("-b0-"));
        for identity in &mut azure.identities {
            if identity.id.name.contains("-b1-") {
                identity.tags = BTreeMap::new();
            }
        }
    });
    let begun = Instant::now();
    world
        .until("it is there again", |world| {
            world.azure.snapshot().identities.len() == 3
        })
        .await;
    world.says("b1", Reason::IdentityNotOwned).await;
    assert!(begun.elapsed() <= DRIFT * 3 / 2, "{:?}", begun.elapsed());
    world.ready("b0").await;
}

/// A world with a binding that has a role, in which each page of a list holds so many entries.
async fn with_a_role(page_size: usize) -> World {
    let mut world = World::new();
    world.sweep_interval = Some(DAY);
    world.azure.reconfigure(|config| config.page_size = page_size);
    world.cluster.seed(
        policy("roles")
            .namespace(NAMESPACE)
            .role("Key Vault Secrets User", &[VAULT])
            .build(),
    );
    world.start().await;
    world.create(
        binding(NAMESPACE, "orders")
            .managed()
            .service_account("orders")
            .role("Key Vault Secrets User", VAULT),
    );
    world.ready("orders").await;
    world
}

/// What is followed expired before the lists came again, because that was counted by what the round before had cost.
#[tokio::test(start_paused = true)]
async fn roles_are_followed_until_they_are_listed_again_however_long_the_list_grew() {
    let world = with_a_role(1).await;
    sleep(DRIFT * 3).await;
    world.forget_requests();
    world.change_azure(|azure| {
        let one = azure.role_assignments[0].clone();
        let others = (0..90).map(|_| wio_azure_sim::RoleAssignment {
            name: uuid::Uuid::new_v4(),
            principal_id: uuid::Uuid::new_v4(),
            ..one.clone()
        });
        azure.role_assignments.extend(others);
    });
    sleep(DRIFT * 8).await;
    assert_eq!(looks(&world), 0);
}

/// After a start the log is read for a day back, and then for half an hour.
#[tokio::test(start_paused = true)]
async fn a_log_is_followed_until_it_is_read_again_however_long_it_is() {
    let mut world = followed(18).await;
    world.azure.reconfigure(|config| config.page_size = 1);
    world.stop().await;
    world.sweep_interval = Some(DAY * 100);
    world.start().await;
    world.all_ready(18).await;
    world.forget_requests();
    sleep(DRIFT * 4).await;
    assert_eq!(looks(&world), 0);
}

/// Each group's list was compared only when all groups were listed, and one that gets no answer takes minutes.
#[tokio::test(start_paused = true)]
async fn what_a_list_shows_does_not_wait_for_the_lists_of_other_groups() {
    let world = followed(1).await;
    let list_of = |group: &str| format!("/resourceGroups/{group}/");
    let silent = Fault::on("GET")
        .path(&list_of(SHARED_GROUP))
        .suffix("/userAssignedIdentities");
    world.azure.inject(silent.forever().hang());
    let before = first(&world);
    world.change_azure(|azure| azure.identities.clear());
    world
        .until("it is there again", |world| {
            !world.azure.snapshot().identities.is_empty()
        })
        .await;
    let made = by(&world, SOMEBODY).into_iter().find(|request| request.writes).unwrap();
    let lists = world.lists().into_iter();
    let mut listed = lists.filter(|list| list.path.contains(&list_of(GROUP)) && list.at < made.at);
    let listed = listed.next_back().unwrap();
    assert!(made.path.ends_with(&before.id.name), "{}", made.path);
    let waited = made.at.duration_since(listed.at).as_secs();
    assert!(waited <= 5, "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_role_assignment_that_is_gone_is_found_by_a_list_and_by_the_log() {
    let world = with_a_role(100).await;
    world
        .azure
        .reconfigure(|config| *config = config.clone().with_static_token(SOMEBODY));
    sleep(DRIFT * 3).await;
    world.forget_requests();
    sleep(DRIFT * 4).await;
    assert_eq!(looks(&world), 0, "it is followed");
    let assigned = |world: &World| world.azure.snapshot().role_assignments.len() == 1;
    world.change_azure(|azure| azure.role_assignments.clear());
    let begun = Instant::now();
    world.until("the role is there again", assigned).await;
    assert!(begun.elapsed() <= DRIFT * 3 / 2, "by a list: {:?}", begun.elapsed());
    sleep(DRIFT).await;
    let id = world.azure.snapshot().role_assignments[0].id();
    let begun = Instant::now();
    assert_eq!(write(&world, "DELETE", &id, None).await, 200);
    world.until("the role is there again", assigned).await;
    assert!(begun.elapsed() <= BY_LOG, "by the log: {:?}", begun.elapsed());
}

/// The budget: what a steady hour of so many bindings costs.
#[tokio::test(start_paused = true)]
async fn a_steady_hour_of_a_hundred_bindings_costs_some_lists_and_hardly_a_look() {
    const BINDINGS: usize = 100;
    let world = followed(BINDINGS).await;
    sleep(Duration::from_hours(1)).await;
    let asked = world.azure.requests();
    let count = |kind: ResourceKind| asked.iter().filter(|request| request.kind == kind).count();
    let lists = world.lists().len();
    assert!(asked.iter().all(|request| request.method == "GET"), "{asked:#?}");
    assert!(
        (8..=13).contains(&count(ResourceKind::ActivityLog)),
        "{} times the log",
        count(ResourceKind::ActivityLog)
    );
    // Three groups are listed, of one or two pages each.
    assert!(lists <= 12, "{lists} lists");
    assert!(
        looks(&world) <= BINDINGS / 10,
        "a twenty-fourth of all look for themselves: {}",
        looks(&world)
    );
    assert!(asked.len() <= 60, "{} reads", asked.len());
}

/// Its own entries are left out only when they were read: with more than 20 pages of them the log stayed unread for a day.
#[tokio::test(start_paused = true)]
async fn a_roll_out_of_the_operators_own_leaves_the_log_followed() {
    let mut world = World::new();
    world.sweep_interval = Some(DAY * 100);
    // Two entries for each write, of which a binding has two: 120 pages.
    world.azure.reconfigure(|config| config.page_size = 2);
    world.start().await;
    world.create_many(60);
    world.all_ready(60).await;
    sleep(DRIFT * 3).await;
    world.forget_requests();
    sleep(DRIFT * 2).await;
    assert_eq!(looks(&world), 0);
}

/// Somebody fills the log with so many writes of something that no binding has; two entries of each.
async fn flood(world: &World, writes: usize) {
    let noise = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/noise"
    );
    for _ in 0..writes {
        let body = json!({ "location": "westeurope" });
        assert!(write(world, "PUT", &noise, Some(body)).await < 300);
    }
}

/// The requests for the log.
fn readings(world: &World) -> usize {
    let requests = by(world, SOMEBODY);
    let of_log = requests
        .iter()
        .filter(|request| request.kind == ResourceKind::ActivityLog);
    of_log.count()
}

/// A pause by what 150 pages cost was five times as long as the one after which bindings look for themselves.
#[tokio::test(start_paused = true)]
async fn a_long_log_is_read_once_in_a_drift_interval_all_the_same() {
    let world = followed(1).await;
    world.azure.reconfigure(|config| config.page_size = 1);
    flood(&world, 75).await;
    sleep(BY_LOG).await;
    let before = subject(&world);
    let begun = Instant::now();
    edit_credential(&world).await;
    world.until("it is as it was", |world| subject(world) == before).await;
    assert!(begun.elapsed() <= BY_LOG + DRIFT, "{:?}", begun.elapsed());
}

/// What a list cost that has too many pages counted as one request: whoever flooded the log had it read every five minutes to no end.
#[tokio::test(start_paused = true)]
async fn a_log_that_is_too_long_is_read_once_in_a_drift_interval_and_bindings_look_for_themselves() {
    let world = followed(2).await;
    world.azure.reconfigure(|config| config.page_size = 1);
    flood(&world, 110).await;
    sleep(BY_LOG).await;
    world.forget_requests();
    sleep(DRIFT * 4).await;
    assert!((600..=1000).contains(&readings(&world)), "{} pages", readings(&world));
    assert!(looks(&world) >= 4, "{} looks", looks(&world));
    assert!(by(&world, SOMEBODY).iter().all(|request| !request.writes));
}

/// The same where whoever may write in Azure floods the log.
#[tokio::test(start_paused = true)]
async fn a_flood_of_entries_has_a_binding_look_every_five_minutes_at_most() {
    let world = followed(2).await;
    let identity = first(&world);
    let mut with_ours = identity.tags.clone();
    with_ours.insert("noise".to_owned(), "x".to_owned());
    for _ in 0..120 {
        for _ in 0..3 {
            assert_eq!(
                write(
                    &world,
                    "PATCH",
                    &identity.id.to_string(),
                    Some(json!({"tags": with_ours}))
                )
                .await,
                200
            );
        }
        sleep(MINUTE / 2).await;
    }
    assert!(looks(&world) <= 13, "{} looks in an hour", looks(&world));
    assert!(by(&world, SOMEBODY).iter().all(|request| !request.writes));
    world.ready("b0").await;
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_writes_itself_has_nobody_look() {
    let world = followed(0).await;
    world.create_many(10);
    world.all_ready(10).await;
    world.forget_requests();
    sleep(DRIFT * 3).await;
    assert_eq!(looks(&world), 0);
}

/// A list that lags behind shows new identities as missing: that is looked into and changes nothing.
#[tokio::test(start_paused = true)]
async fn a_stale_list_costs_a_look_each_time_and_ends_no_trust() {
    let world = followed(1).await;
    world.azure.reconfigure(|config| config.list_lag = DRIFT * 6);
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.ready("orders").await;
    let before = world.credentials();
    let begun = world.binding("orders");
    sleep(DRIFT * 4).await;
    assert_eq!(world.credentials(), before);
    assert_eq!(world.binding("orders").status, begun.status);
    world.azure.reconfigure(|config| config.list_lag = Duration::ZERO);
}

/// Of a subscription that the operator may list groups of, and not this one, no list shows anything.
#[tokio::test(start_paused = true)]
async fn where_identities_may_not_be_listed_each_binding_looks_for_itself() {
    let mut world = World::new();
    world.sweep_interval = Some(DAY);
    let forbidden = Fault::on("GET")
        .path("/resourceGroups/operator/")
        .suffix("/userAssignedIdentities");
    world
        .azure
        .inject(forbidden.forever().respond(403, "AuthorizationFailed"));
    world.start().await;
    world.create_many(2);
    world.all_ready(2).await;
    sleep(DRIFT * 2).await;
    world.forget_requests();
    sleep(DRIFT * 2).await;
    assert!(looks(&world) >= 2, "{} looks", looks(&world));
    assert!(world.azure.requests().iter().all(|request| !request.writes));
    world.ready("b0").await;
}

#[tokio::test(start_paused = true)]
async fn with_a_sweep_as_short_as_the_drift_interval_nothing_is_followed() {
    let mut world = World::new();
    world.start().await;
    world.create_many(2);
    world.all_ready(2).await;
    sleep(DRIFT * 3).await;
    let followed = world
        .azure
        .requests()
        .into_iter()
        .filter(|request| request.kind == ResourceKind::ActivityLog);
    assert_eq!(followed.count(), 0);
}
