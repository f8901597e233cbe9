//! What changed settings of the operator take from many bindings was nobody's wish until somebody says so.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use wio_api::{EFFECTIVE_POLICY_NAME, Reason, WorkloadIdentityEffectivePolicy};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_testkit::fixtures::binding;

use crate::health::get;
use crate::world::*;

/// Longer than any pause between two tries.
const A_WHILE: Duration = Duration::from_hours(1);

fn group_id(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}")
}

async fn restart_with(world: &mut World, change: impl FnOnce(&mut wio_core::config::OperatorConfig)) {
    world.stop().await;
    change(&mut world.config);
    world.forget_requests();
    world.start().await;
}

/// Waits until bindings say that nothing is taken away; returns the message of one.
async fn withheld(world: &World, names: &[&str]) -> String {
    let mut said = String::new();
    for name in names {
        let binding = world.says(name, Reason::MassDisappearance).await;
        assert!(find_condition(&binding, "Stalled").is_none(), "it heals by itself");
        message(&binding).clone_into(&mut said);
    }
    said
}

fn accepted(world: &World) -> Value {
    let kept = world
        .cluster
        .get_json::<WorkloadIdentityEffectivePolicy>("", EFFECTIVE_POLICY_NAME);
    kept["spec"]["accepted"].clone()
}

/// A value of the installation that was mistyped, the operator's own group among the protected ones, took the trust from the whole cluster.
/// A namespace was left alone while settings became narrower: they are accepted, for they take nothing there. When the operator acts there again, by a list that was
/// forgotten at an upgrade, they would take everything at once.
#[tokio::test(start_paused = true)]
async fn what_was_left_alone_is_not_taken_at_once_when_the_operator_acts_there_again() {
    let mut world = World::new();
    world.start().await;
    let names = ["b0", "b1", "b2"];
    world.create_many(3);
    world.all_ready(3).await;
    restart_with(&mut world, |config| {
        config.namespaces = ActiveNamespaces::AllBut([NAMESPACE.parse().unwrap()].into());
        config.require_policy = true;
    })
    .await;
    let is_accepted = |world: &World| accepted(world)["requirePolicy"] == json!(true);
    world.until("the settings are accepted", is_accepted).await;

    restart_with(&mut world, |config| config.namespaces = ActiveNamespaces::All).await;
    let said = withheld(&world, &names).await;
    assert!(said.contains("the operator acts in other namespaces"), "{said}");
    sleep(A_WHILE).await;
    world.azure_was_only_read();
    world.confirm_loss(&word_in(&said));
    world
        .until("the trust is taken away", |world| world.credentials() == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_settings_protect_takes_nothing_from_many_until_that_is_said_to_be_meant() {
    story(async |world| {
        let names = ["b0", "b1", "b2"];
        world.create_many(3);
        world.all_ready(3).await;
        restart_with(world, |config| {
            config.protected_groups = vec![group_id(GROUP).parse().unwrap()];
        })
        .await;
        let said = withheld(world, &names).await;
        for part in [
            &*group_id(GROUP),
            "is protected",
            "Set the settings back",
            "is not permitted",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        sleep(A_WHILE).await;
        // The operator that runs next knows what was accepted before, and the word of another loss says nothing about this one.
        restart_with(world, |_| {}).await;
        withheld(world, &names).await;
        world.confirm_loss("another");
        sleep(A_WHILE).await;
        world.azure_was_only_read();
        assert_eq!(world.credentials(), 3);
        let (_, metrics) = get(world, "/metrics").await;
        assert!(metrics.contains(r#"wio_held{cause="settings"} 1"#), "{metrics}");

        world.confirm_loss(&word_in(&withheld(world, &names).await));
        for name in names {
            world.says(name, Reason::NotPermitted).await;
        }
        world
            .until("the trust is taken away", |world| world.credentials() == 0)
            .await;
        let (_, metrics) = get(world, "/metrics").await;
        assert!(metrics.contains(r#"wio_held{cause="settings"} 0"#), "{metrics}");
        assert_eq!(accepted(world)["protectedResourceGroups"], json!([group_id(GROUP)]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_set_back_are_as_if_they_had_never_changed() {
    story(async |world| {
        world.create_many(3);
        world.all_ready(3).await;
        restart_with(world, |config| config.require_policy = true).await;
        withheld(world, &["b0", "b1", "b2"]).await;
        restart_with(world, |config| config.require_policy = false).await;
        world.all_ready(3).await;
        world.azure_was_only_read();
        assert_eq!(world.credentials(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_settings_take_from_few_bindings_is_taken_at_once() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "orders", Vec::new());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.create(binding(NAMESPACE, "plain").managed().service_account("plain"));
        for name in ["orders", "plain"] {
            world.ready(name).await;
        }
        restart_with(world, |config| config.protected_identities = vec![id.parse().unwrap()]).await;
        world.says("orders", Reason::NotPermitted).await;
        world
            .until("its trust is taken away", |world| world.credentials() == 1)
            .await;
        world.ready("plain").await;
        // That is done, and the next change is compared with these settings.
        let id = id.parse::<wio_core::names::IdentityId>().unwrap().to_string();
        world
            .until("the settings are accepted", |world| {
                accepted(world)["protectedIdentities"] == json!([id])
            })
            .await;
    })
    .await;
}

/// Where identities are made says nothing about those that stand, not even of a single one that names the place which was the default.
#[tokio::test(start_paused = true)]
async fn another_default_group_takes_nothing_from_a_binding_that_names_the_old_one() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.edit("orders", |object| {
            object["spec"]["identity"]["managed"]["resourceGroup"] = json!(GROUP);
        });
        world.ready("orders").await;
        restart_with(world, |config| config.group = group_id(OTHER_GROUP).parse().unwrap()).await;
        let said = withheld(world, &["orders"]).await;
        assert!(said.contains(&group_id(OTHER_GROUP)), "{said}");
        sleep(A_WHILE).await;
        world.azure_was_only_read();
        assert_eq!(world.credentials(), 1);
    })
    .await;
}

/// The credential that two bindings share went with the one that was deleted, though the other one was to keep it.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_word_keeps_what_it_shares_with_a_binding_that_is_deleted() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "orders", Vec::new());
        for name in ["a", "b", "c", "d"] {
            world.create(binding(NAMESPACE, name).existing(&id).service_account("orders"));
        }
        for name in ["a", "b", "c", "d"] {
            world.ready(name).await;
        }
        restart_with(world, |config| {
            config.protected_groups = vec![group_id(SHARED_GROUP).parse().unwrap()];
        })
        .await;
        withheld(world, &["a", "b", "c", "d"]).await;
        world.delete("a");
        withheld(world, &["a"]).await;
        sleep(A_WHILE).await;
        world.azure_was_only_read();
        assert_eq!(world.credentials(), 1);
        world.confirm_loss(&word_in(&withheld(world, &["b"]).await));
        world.gone("a").await;
        world
            .until("the trust is taken away", |world| world.credentials() == 0)
            .await;
    })
    .await;
}

/// One for which a write was announced and that had nothing yet took it from them.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_word_keeps_what_it_shares_with_one_that_has_nothing_yet() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "orders", Vec::new());
        let all = ["a", "b", "c", "d"];
        for name in all {
            world.create(binding(NAMESPACE, name).existing(&id).service_account("orders"));
        }
        for name in all {
            world.ready(name).await;
        }
        world.edit("d", |binding| {
            binding["status"] = json!({ "written": true });
        });
        restart_with(world, |config| {
            config.protected_groups = vec![group_id(SHARED_GROUP).parse().unwrap()];
        })
        .await;
        let said = withheld(world, &["a", "b", "c"]).await;
        world.says("d", Reason::NotPermitted).await;
        sleep(A_WHILE).await;
        world.azure_was_only_read();
        assert_eq!(world.credentials(), 1);
        world.confirm_loss(&word_in(&said));
        world
            .until("the trust is taken away", |world| world.credentials() == 0)
            .await;
    })
    .await;
}
