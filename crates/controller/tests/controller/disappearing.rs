//! What disappears all at once was not wished away.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};
use tokio::time::sleep;
use wio_api::{Reason, WorkloadIdentityBinding, WorkloadIdentityPolicy};
use wio_azure_sim::IdentityId;
use wio_testkit::fixtures::{binding, policy};
use wio_testkit::{Effect, Matcher, Verb, kstatus};

use crate::world::*;

const BINDINGS: &str = "workloadidentitybindings.workloadidentity.dev";
const POLICIES: &str = "workloadidentitypolicies.workloadidentity.dev";
/// Longer than any pause between two tries.
const A_WHILE: Duration = Duration::from_hours(1);

fn edit_definition(world: &World, name: &str, change: impl FnOnce(&mut Value)) {
    world.cluster.edit::<CustomResourceDefinition>("", name, change);
}

/// Somebody deletes a definition. As long as there are objects of its kind it stays, held by the API server's own finalizer.
fn delete_definition(world: &World, name: &str) {
    edit_definition(world, name, |definition| {
        definition["metadata"]["finalizers"] = json!(["customresourcecleanup.apiextensions.k8s.io"]);
    });
    world.cluster.delete::<CustomResourceDefinition>("", name);
}

/// The API server is done with the deletion of a definition.
fn finish_definition(world: &World, name: &str) {
    edit_definition(world, name, |definition| {
        definition["metadata"]["finalizers"] = json!([]);
    });
    assert!(world.cluster.get_json::<CustomResourceDefinition>("", name).is_null());
}

fn delete_all_bindings(world: &World) {
    for object in world.cluster.list::<WorkloadIdentityBinding>() {
        world.delete(&object.metadata.name.unwrap());
    }
}

fn delete_all_policies(world: &World) {
    for object in world.cluster.list::<WorkloadIdentityPolicy>() {
        world
            .cluster
            .delete::<WorkloadIdentityPolicy>("", &object.metadata.name.unwrap());
    }
}

fn elsewhere() -> String {
    IdentityId::new(SUBSCRIPTION, OTHER_GROUP, "*").to_string()
}

/// A binding by the policy `payments`, and one by the world's own policy.
async fn two_bindings_by_two_policies(world: &World) {
    world
        .cluster
        .seed(policy("payments").namespace(NAMESPACE).existing(&elsewhere()).build());
    for (name, group) in [("orders", SHARED_GROUP), ("payments", OTHER_GROUP)] {
        let id = world.foreign_identity(group, name, Vec::new());
        world.create(binding(NAMESPACE, name).existing(&id).service_account(name));
        world.ready(name).await;
    }
    world.forget_requests();
}

/// Waits until a binding says that nothing is taken away; returns the message.
async fn withheld(world: &World, name: &str) -> String {
    let binding = world.says(name, Reason::MassDisappearance).await;
    assert_eq!(condition(&binding, "Ready").status, "Unknown");
    assert!(find_condition(&binding, "Stalled").is_none(), "it heals by itself");
    if binding.metadata.deletion_timestamp.is_none() {
        assert_eq!(condition(&binding, "Authorized").status, "Unknown");
        assert_eq!(kstatus::compute(&json!(binding)).state, kstatus::State::InProgress);
    }
    message(&binding).to_owned()
}

fn nothing_was_written_to_azure(world: &World) {
    let written: Vec<_> = world.azure.requests().into_iter().filter(|r| r.writes).collect();
    assert!(written.is_empty(), "{written:#?}");
}

async fn until_no_credential_is_left(world: &World) {
    let what = "the trust is taken away";
    world.until(what, |world| world.credentials() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_definition_takes_nothing_of_its_bindings_away_until_that_is_said_to_be_meant() {
    story(async |world| {
        for n in 0..20 {
            let name = format!("b{n}");
            world.create(binding(NAMESPACE, &name).managed().service_account(&name));
        }
        world.all_ready(20).await;
        world.forget_requests();
        delete_definition(world, BINDINGS);
        delete_all_bindings(world);
        for n in 0..20 {
            let message = withheld(world, &format!("b{n}")).await;
            let way_out = "kubectl annotate crd workloadidentitybindings.workloadidentity.dev \
                           workloadidentity.dev/allow-deletion=true";
            assert!(message.contains(way_out), "{message}");
        }
        let told = |world: &World| {
            world
                .events()
                .iter()
                .filter(|event| *event == "Warning MassDisappearance")
                .count()
        };
        // An Event follows its status.
        world.until("all are told of", |world| told(world) == 20).await;
        world.forget_requests();
        sleep(A_WHILE).await;
        assert_eq!(world.asked(), Vec::<String>::new(), "Azure is not even looked at");
        assert_eq!(world.cluster_writes().len(), 0);
        let looks = world.cluster.requests();
        let looks = looks
            .iter()
            .filter(|r| r.resource == "customresourcedefinitions")
            .count();
        assert!(looks <= 800, "{looks} looks at the definitions are not shared");
        assert_eq!((world.credentials(), world.account("b7").is_some()), (20, true));

        edit_definition(world, BINDINGS, |definition| {
            definition["metadata"]["annotations"]["workloadidentity.dev/allow-deletion"] = json!("true");
        });
        for n in 0..20 {
            world.gone(&format!("b{n}")).await;
        }
        assert!(!world.has_identity());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bindings_created_anew_after_their_definition_was_deleted_go_on_where_they_were() {
    story(async |world| {
        let orders = || binding(NAMESPACE, "orders").managed().service_account("orders");
        world.create(orders());
        let before = world.ready("orders").await;
        world.forget_requests();
        delete_definition(world, BINDINGS);
        delete_all_bindings(world);
        withheld(world, "orders").await;
        // What the runbook says: the finalizers go, then the definition, and both are applied again.
        world.edit("orders", |object| object["metadata"]["finalizers"] = json!([]));
        world.gone("orders").await;
        finish_definition(world, BINDINGS);
        world.cluster.seed(wio_api::crd());
        sleep(A_WHILE).await;
        nothing_was_written_to_azure(world);
        world.create(orders());
        let after = world.ready("orders").await;
        let client_id = |binding: &WorkloadIdentityBinding| {
            let status = binding.status.clone().unwrap();
            status.identity.unwrap().client_id
        };
        assert_eq!(client_id(&after), client_id(&before));
        let deleted = world
            .asked()
            .into_iter()
            .filter(|line| line.starts_with("DELETE"))
            .count();
        assert_eq!((deleted, world.credentials()), (0, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_definition_of_policies_takes_no_trust_away() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "orders", Vec::new());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.create(binding(NAMESPACE, "plain").managed().service_account("plain"));
        world.ready("orders").await;
        world.ready("plain").await;
        world.forget_requests();
        delete_definition(world, POLICIES);
        delete_all_policies(world);
        let message = withheld(world, "orders").await;
        assert!(message.contains("is being deleted"), "{message}");
        finish_definition(world, POLICIES);
        let what = "it says that the definition is gone";
        world
            .until(what, |world| {
                self::message(&world.binding("orders")).contains("does not exist")
            })
            .await;
        // The definition is back, and the only policy that there was is not yet: the worst moment to believe in a wish.
        world.cluster.seed(wio_api::policy_crd());
        let what = "it says that the definition is a new one";
        world
            .until(what, |world| {
                self::message(&world.binding("orders")).contains("created anew")
            })
            .await;
        sleep(A_WHILE).await;
        nothing_was_written_to_azure(world);
        let shared = IdentityId::new(SUBSCRIPTION, SHARED_GROUP, "*").to_string();
        world
            .cluster
            .seed(policy("shared").namespace(NAMESPACE).existing(&shared).build());
        world.ready("orders").await;
        world.ready("plain").await;
        nothing_was_written_to_azure(world);
    })
    .await;
}

/// The API server ends the watches of a definition that goes, and one that begins anew finds nothing to begin with: the binding said Ready for good, by a policy that was
/// gone, and nobody was told.
#[tokio::test(start_paused = true)]
async fn a_definition_of_policies_that_is_gone_before_the_watch_told_of_theirs_is_told_and_takes_no_trust_away() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "orders", Vec::new());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.ready("orders").await;
        world.forget_requests();
        let unknown = Effect::status(404, "NotFound", "404 page not found");
        let policies = Matcher::any().client(OPERATOR).resource("workloadidentitypolicies");
        let lists = world.cluster.inject(policies.clone().verb(Verb::List), unknown.clone());
        let watches = world.cluster.inject(policies.verb(Verb::Watch), unknown);
        world.cluster.lose_events("workloadidentitypolicies", 1);
        delete_definition(world, POLICIES);
        delete_all_policies(world);
        finish_definition(world, POLICIES);
        world.cluster.expire_watches();
        let message = withheld(world, "orders").await;
        assert!(message.contains("does not exist"), "{message}");
        sleep(A_WHILE).await;
        nothing_was_written_to_azure(world);

        lists.remove();
        watches.remove();
        world.cluster.seed(wio_api::policy_crd());
        let shared = IdentityId::new(SUBSCRIPTION, SHARED_GROUP, "*").to_string();
        let again = policy("shared").namespace(NAMESPACE).existing(&shared).build();
        world.cluster.seed(again);
        world.ready("orders").await;
        nothing_was_written_to_azure(world);
    })
    .await;
}

/// A tool that prunes deletes one by one, and a denial used to look at the policies of its beginning only.
#[tokio::test(start_paused = true)]
async fn policies_that_are_deleted_one_by_one_take_no_trust_away() {
    for gap in [1, 20, 100, 300, 1000, 10_000] {
        story(async |world| {
            let count = 8;
            for n in 0..count {
                let id = world.foreign_identity(OTHER_GROUP, &format!("app-{n}"), Vec::new());
                let policy = policy(&format!("app-{n}")).namespace(NAMESPACE);
                world.cluster.seed(policy.existing(&id).build());
                let name = format!("app-{n}");
                world.create(binding(NAMESPACE, &name).existing(&id).service_account(&name));
                world.ready(&name).await;
            }
            world.forget_requests();
            for n in 0..count {
                world.cluster.delete::<WorkloadIdentityPolicy>("", &format!("app-{n}"));
                sleep(Duration::from_millis(gap)).await;
            }
            withheld(world, "app-0").await;
            sleep(A_WHILE).await;
            nothing_was_written_to_azure(world);
            assert_eq!(world.credentials(), count, "{gap} ms apart");
        })
        .await;
    }
}

/// Three policies are gone, and the watch tells of two: less than what is taken for an accident, so what rested on those two was taken away (`make simulate SEED=41718`
/// before it was mended).
#[tokio::test(start_paused = true)]
async fn policies_that_vanish_together_take_no_trust_away_when_the_watch_does_not_tell_of_one() {
    story(async |world| {
        two_bindings_by_two_policies(world).await;
        let other = policy("other").namespace("elsewhere").build();
        world.cluster.seed(other);
        sleep(Duration::from_secs(1)).await;
        world.cluster.lose_events("workloadidentitypolicies", 1);
        world.cluster.delete::<WorkloadIdentityPolicy>("", "other");
        delete_all_policies(world);
        sleep(A_WHILE).await;
        world.azure_was_only_read();
        assert_eq!(world.credentials(), 2);
    })
    .await;
}

/// Deleted and created anew by a forced replacement or a re-install: minutes without a token for everybody who relied on it.
#[tokio::test(start_paused = true)]
async fn a_policy_that_is_replaced_takes_no_trust_away() {
    story(async |world| {
        two_bindings_by_two_policies(world).await;
        let mut payments: WorkloadIdentityPolicy = world.cluster.get("", "payments").unwrap();
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        let undecided = world.says("payments", Reason::NotDecided).await;
        assert!(
            message(&undecided).contains("payments disappeared a moment ago"),
            "{}",
            message(&undecided)
        );
        payments.metadata.resource_version = None;
        payments.metadata.uid = None;
        world.cluster.seed(payments);
        world.ready("payments").await;
        sleep(A_WHILE).await;
        nothing_was_written_to_azure(world);
    })
    .await;
}

/// An etcd that was restored from an old backup looks like this.
#[tokio::test(start_paused = true)]
async fn policies_that_vanish_together_take_no_trust_away_not_even_after_a_restart() {
    story(async |world| {
        two_bindings_by_two_policies(world).await;
        world.cluster.lose_events("workloadidentitypolicies", 2);
        delete_all_policies(world);
        world.cluster.expire_watches();
        for name in ["orders", "payments"] {
            let message = withheld(world, name).await;
            for part in ["payments, shared", "confirm-loss=", "is not permitted"] {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
        world.stop().await;
        world.start().await;
        sleep(A_WHILE).await;
        for name in ["orders", "payments"] {
            withheld(world, name).await;
        }
        nothing_was_written_to_azure(world);
        assert_eq!(world.credentials(), 2);

        // A new policy says nothing about the end of the others, and the word of another loss neither.
        world.cluster.seed(policy("none").build());
        world.confirm_loss("another");
        sleep(A_WHILE).await;
        nothing_was_written_to_azure(world);
        world.confirm_loss(&word_in(&withheld(world, "orders").await));
        for name in ["orders", "payments"] {
            world.says(name, Reason::NotPermitted).await;
        }
        until_no_credential_is_left(world).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn policies_that_come_back_are_as_if_they_had_never_gone() {
    story(async |world| {
        two_bindings_by_two_policies(world).await;
        world.cluster.hold_events("workloadidentitypolicies");
        let policies = world.cluster.list::<WorkloadIdentityPolicy>();
        delete_all_policies(world);
        world.cluster.release_events("workloadidentitypolicies");
        withheld(world, "orders").await;
        for mut policy in policies {
            policy.metadata.resource_version = None;
            policy.metadata.uid = None;
            world.cluster.seed(policy);
        }
        world.ready("orders").await;
        world.ready("payments").await;
        nothing_was_written_to_azure(world);
    })
    .await;
}

/// Two bindings share a federated credential, and the one that is deleted must not take it from the one that waits.
#[tokio::test(start_paused = true)]
async fn while_policies_are_missing_a_deleted_binding_leaves_what_others_share_with_it() {
    story(async |world| {
        two_bindings_by_two_policies(world).await;
        let shared = IdentityId::new(SUBSCRIPTION, SHARED_GROUP, "orders").to_string();
        world.create(binding(NAMESPACE, "twin").existing(&shared).service_account("orders"));
        world.ready("twin").await;
        world.forget_requests();
        world.cluster.hold_events("workloadidentitypolicies");
        delete_all_policies(world);
        world.cluster.release_events("workloadidentitypolicies");
        withheld(world, "orders").await;
        world.delete("twin");
        let message = withheld(world, "twin").await;
        assert!(message.contains("have the same identity"), "{message}");
        nothing_was_written_to_azure(world);
        for group in [SHARED_GROUP, OTHER_GROUP] {
            let all = IdentityId::new(SUBSCRIPTION, group, "*").to_string();
            world
                .cluster
                .seed(policy(group).namespace(NAMESPACE).existing(&all).build());
        }
        world.gone("twin").await;
        world.ready("orders").await;
        world.ready("payments").await;
        assert_eq!(world.credentials(), 2);
    })
    .await;
}

/// Policies vanished while nobody led. A binding for which a write was announced and of which no status told that it has anything by a policy was not held: it was denied,
/// and took the credential from the one that it would have shared it with, which was.
#[tokio::test(start_paused = true)]
async fn while_policies_are_missing_one_that_rests_on_none_leaves_what_others_rest_on() {
    story(async |world| {
        two_bindings_by_two_policies(world).await;
        let shared = IdentityId::new(SUBSCRIPTION, SHARED_GROUP, "orders").to_string();
        world.create(binding(NAMESPACE, "twin").existing(&shared).service_account("orders"));
        world.ready("twin").await;
        world.crash().await;
        world.edit("twin", |twin| {
            twin["status"] = json!({ "written": true });
        });
        delete_all_policies(world);
        world.forget_requests();
        world.start().await;
        withheld(world, "orders").await;
        world.says("twin", Reason::NotPermitted).await;
        sleep(A_WHILE).await;
        nothing_was_written_to_azure(world);
        let client_id = world.annotation("orders", wio_api::keys::CLIENT_ID_ANNOTATION);
        assert!(client_id.is_some());
        assert_eq!(world.credentials(), 2);
    })
    .await;
}

/// A single policy was not missed for long, so its end counted as meant; only the guard knew that its definition was another one, and only of bindings that rest on it.
#[tokio::test(start_paused = true)]
async fn a_definition_of_policies_that_is_made_anew_takes_no_trust_away_through_one_that_rests_on_none() {
    for goes in [false, true] {
        story(async |world| {
            let id = world.foreign_identity(SHARED_GROUP, "orders", Vec::new());
            for name in ["orders", "twin"] {
                world.create(binding(NAMESPACE, name).existing(&id).service_account("orders"));
                world.ready(name).await;
            }
            sleep(Duration::from_secs(5)).await;
            world.crash().await;
            world.edit("twin", |twin| {
                twin["status"] = json!({ "written": true });
            });
            delete_definition(world, POLICIES);
            delete_all_policies(world);
            finish_definition(world, POLICIES);
            world.cluster.seed(wio_api::policy_crd());
            if goes {
                world.delete("twin");
            }
            world.start().await;
            withheld(world, "orders").await;
            withheld(world, "twin").await;
            sleep(A_WHILE).await;
            assert_eq!(world.credentials(), 1, "goes: {goes}");
        })
        .await;
    }
}

/// The same for one that may have what it has, and gives the account up while the other one is held.
#[tokio::test(start_paused = true)]
async fn while_a_policy_is_missing_one_that_gives_an_account_up_leaves_it_to_the_one_that_waits() {
    const ROLE: &str = "Key Vault Secrets User";
    story(async |world| {
        let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}");
        let secrets = policy("secrets").namespace(NAMESPACE).role(ROLE, &[&scope]);
        world.cluster.seed(secrets.build());
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        let shares = |name| binding(NAMESPACE, name).existing(&id).service_account("orders");
        world.create(shares("twin"));
        world.ready("twin").await;
        world.create(shares("orders").role(ROLE, &scope));
        world.ready("orders").await;
        let own = world.identity().credentials;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "secrets");
        world.says("orders", Reason::NotDecided).await;
        world.edit("twin", |twin| {
            twin["spec"]["serviceAccounts"] = json!([{ "name": "mails" }]);
        });
        world.until("it is carried out", |world| world.credentials() == 2).await;
        let ready = world.ready("twin").await;
        assert_eq!(ready.status.unwrap().observed_generation, Some(2));
        assert!(world.identity().credentials.contains(&own[0]));
        assert!(
            world
                .annotation("orders", wio_api::keys::CLIENT_ID_ANNOTATION)
                .is_some()
        );
        // Its end was meant: now nobody keeps it.
        world
            .until("the trust is taken away", |world| {
                !world.identity().credentials.contains(&own[0])
            })
            .await;
        world.says("orders", Reason::NotPermitted).await;
        let client_id = world.annotation("orders", wio_api::keys::CLIENT_ID_ANNOTATION);
        assert_eq!(client_id, None, "the label of the one that left it is on the account");
        let counts = |world: &World| {
            world
                .binding("twin")
                .status
                .unwrap()
                .federated_credential_usage
                .unwrap()
                .ours
        };
        world
            .until("the next look counts anew", |world| counts(world) == 1)
            .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_only_policy_that_there_was_can_be_deleted() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "orders", Vec::new());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.ready("orders").await;
        delete_all_policies(world);
        world.says("orders", Reason::NotPermitted).await;
        until_no_credential_is_left(world).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_away_while_the_definitions_cannot_be_read() {
    story(async |world| {
        two_bindings_by_two_policies(world).await;
        let reads = Matcher::any()
            .client(OPERATOR)
            .verb(Verb::Get)
            .resource("customresourcedefinitions");
        let fault = world.cluster.inject(reads.clone(), Effect::forbidden());
        world.cluster.delete::<WorkloadIdentityPolicy>("", "payments");
        world.until("it tried", |_| fault.hits() > 3).await;
        let denied = world.binding("payments");
        assert!(
            message(&denied).contains("custom resource definition"),
            "{}",
            message(&denied)
        );
        nothing_was_written_to_azure(world);
        fault.remove();
        world.says("payments", Reason::NotPermitted).await;
        world.until("it is gone", |world| world.credentials() == 1).await;

        let fault = world.cluster.inject(reads, Effect::unavailable());
        world.forget_requests();
        world.delete("orders");
        world.until("it tried", |_| fault.hits() > 3).await;
        nothing_was_written_to_azure(world);
        fault.remove();
        world.gone("orders").await;
        assert_eq!(world.credentials(), 0);
        world.says("payments", Reason::NotPermitted).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_list_of_bindings_that_comes_back_empty_writes_nothing() {
    story(async |world| {
        let names = ["orders", "invoices"];
        for name in names {
            world.create(binding(NAMESPACE, name).managed().service_account(name));
            world.ready(name).await;
        }
        world.forget_requests();
        world.cluster.lose_events("workloadidentitybindings", 4);
        for name in names {
            world.edit(name, |object| object["metadata"]["finalizers"] = json!([]));
            world.delete(name);
        }
        world.cluster.expire_watches();
        sleep(A_WHILE).await;
        nothing_was_written_to_azure(world);
        assert!(world.cluster_writes().is_empty(), "{:?}", world.cluster_writes());
        assert_eq!((world.credentials(), world.account("orders").is_some()), (2, true));
    })
    .await;
}
