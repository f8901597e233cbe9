//! Two bindings of a namespace that trust one service account through one identity: they share the credential and the
//! annotations, and the last one to go takes them away.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use wio_api::{DeletionPolicy, Reason, WorkloadIdentityPolicy, keys};
use wio_azure_sim::{Fault, IdentityId, ResourceKind};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::world::*;

/// Far less than any pause of the operator, and than its interval of looks.
const AT_ONCE: Duration = Duration::from_secs(5);
const ROLE: &str = "Key Vault Secrets User";

fn sharing(name: &str, id: &str) -> BindingBuilder {
    binding(NAMESPACE, name).existing(id).service_account("orders")
}

/// The bindings `first` and `second`, both ready, and the first one's the mark.
async fn two(world: &World) -> String {
    let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
    world.create(sharing("first", &id));
    world.ready("first").await;
    world.create(sharing("second", &id));
    world.ready("second").await;
    id
}

fn mark(world: &World) -> Option<String> {
    let labels = world.account("orders")?.metadata.labels?;
    labels.get(keys::BOUND_BY_LABEL).cloned()
}

fn uid(world: &World, name: &str) -> Option<String> {
    world.binding(name).metadata.uid
}

fn carries_the_client_id(world: &World) -> bool {
    let client_id = world.identity().client_id.to_string();
    world.annotation("orders", keys::CLIENT_ID_ANNOTATION) == Some(client_id)
}

async fn marked_at_once(world: &World, name: &str) {
    let begun = Instant::now();
    let uid = uid(world, name);
    world.until("the mark is taken over", |world| mark(world) == uid).await;
    assert!(begun.elapsed() < AT_ONCE, "after {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn two_bindings_share_one_credential_and_one_annotation() {
    story(async |world| {
        two(world).await;
        let credentials = world.identity().credentials;
        assert_eq!(credentials.len(), 1);
        assert_eq!(mark(world), uid(world, "first"));
        for name in ["first", "second"] {
            let status = world.ready(name).await.status.unwrap();
            assert_eq!(status.federated_credentials[0].name, credentials[0].name, "{name}");
            assert_eq!(status.service_accounts[0].name, "orders", "{name}");
            let usage = status.federated_credential_usage.unwrap();
            assert_eq!((usage.ours, usage.foreign), (1, 0), "{name}");
        }
        let written = world
            .asked()
            .into_iter()
            .filter(|line| !line.starts_with("GET"))
            .count();
        assert_eq!(written, 1, "{:?}", world.asked());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_knows_a_shared_credential_again_without_asking() {
    story(async |world| {
        two(world).await;
        world.stop().await;
        world.forget_requests();
        world.start().await;
        sleep(Duration::from_secs(5)).await;
        assert!(world.cluster_writes().is_empty(), "{:?}", world.cluster_writes());
        world.azure_was_only_read();
        world.ready("second").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_to_go_leaves_the_trust_and_the_last_takes_it_away() {
    for [goes, stays] in [["first", "second"], ["second", "first"]] {
        story(async |world| {
            two(world).await;
            let before = world.identity().credentials;
            world.forget_requests();
            world.delete(goes);
            world.gone(goes).await;
            marked_at_once(world, stays).await;
            world.ready(stays).await;
            assert_eq!(world.identity().credentials, before);
            assert!(carries_the_client_id(world));
            world.azure_was_only_read();

            world.delete(stays);
            world.gone(stays).await;
            assert_eq!(world.identity().credentials, []);
            assert_eq!(world.account("orders"), None);
        })
        .await;
    }
}

/// The credential is the first one's by name, and it was the second one's only as long as its status named the account: one
/// throttled deletion, and it outlived both.
#[tokio::test(start_paused = true)]
async fn an_inherited_credential_is_not_forgotten_when_its_deletion_has_to_wait() {
    story(async |world| {
        two(world).await;
        world.edit("second", |object| {
            object["spec"]["serviceAccounts"] = json!([{ "name": "orders" }, { "name": "web" }]);
        });
        world.ready("second").await;
        world.delete("first");
        world.gone("first").await;
        world.ready("second").await;
        let busy = Fault::on("DELETE").kind(ResourceKind::Credential);
        world
            .azure
            .inject(busy.respond(429, "TooManyRequests").header("Retry-After", "5"));
        world.edit("second", |object| {
            object["spec"]["serviceAccounts"] = json!([{ "name": "web" }]);
        });
        let subjects = |world: &World| {
            let credentials = world.identity().credentials.into_iter();
            credentials.map(|one| one.subject.unwrap()).collect::<Vec<_>>()
        };
        let web = vec![format!("system:serviceaccount:{NAMESPACE}:web")];
        world.until("only web is trusted", |world| subjects(world) == web).await;
        world.ready("second").await;
    })
    .await;
}

/// Even when the survivor had no time to put its own mark there.
#[tokio::test(start_paused = true)]
async fn both_deleted_at_once_leave_nothing() {
    story(async |world| {
        two(world).await;
        world.delete("first");
        world.delete("second");
        world.gone("first").await;
        world.gone("second").await;
        assert_eq!(world.identity().credentials, []);
        assert_eq!(world.account("orders"), None);
    })
    .await;
}

/// A suspended binding writes nothing, so the mark of the one that is gone stays on the service account. It goes all the same.
#[tokio::test(start_paused = true)]
async fn a_suspended_survivor_keeps_the_trust_and_takes_it_away_in_the_end() {
    story(async |world| {
        two(world).await;
        world.edit("second", |object| object["spec"]["suspend"] = json!(true));
        world.says("second", Reason::Suspended).await;
        let first = uid(world, "first");
        world.delete("first");
        world.gone("first").await;
        assert_eq!(world.identity().credentials.len(), 1);
        assert_eq!(mark(world), first);
        world.delete("second");
        world.gone("second").await;
        assert_eq!(world.identity().credentials, []);
        assert_eq!(world.account("orders"), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_gives_the_account_up_leaves_it_to_the_other_one() {
    story(async |world| {
        two(world).await;
        let before = world.identity().credentials;
        world.edit("first", |object| {
            object["spec"]["serviceAccounts"][0]["name"] = json!("invoices");
        });
        world.ready("first").await;
        marked_at_once(world, "second").await;
        let after = world.identity().credentials;
        assert!(after.len() == 2 && after.contains(&before[0]));
        let status = world.ready("first").await.status.unwrap();
        let accounts: Vec<_> = status.service_accounts.iter().map(|account| &account.name).collect();
        assert_eq!(accounts, ["invoices"]);
        assert_eq!(status.federated_credentials.len(), 1);
        world.delete("second");
        world.gone("second").await;
        assert_eq!(world.account("orders"), None);
        assert_eq!(world.identity().credentials.len(), 1);
        // How much of the identity is used, the first one sees at its next look.
        sleep(DRIFT * 2).await;
    })
    .await;
}

/// Otherwise each of the two would keep alive what neither may have.
#[tokio::test(start_paused = true)]
async fn two_that_are_denied_both_lose_what_they_share() {
    story(async |world| {
        let other = policy("other").namespace("bank").build();
        world.cluster.seed(other);
        two(world).await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "shared");
        world.says("first", Reason::NotPermitted).await;
        world.says("second", Reason::NotPermitted).await;
        world
            .until("nothing of it is left", |world| {
                let bare = world
                    .account("orders")
                    .is_some_and(|account| account.metadata.annotations.is_none());
                world.identity().credentials.is_empty() && bare
            })
            .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_denied_leaves_what_the_other_one_may_have() {
    story(async |world| {
        two(world).await;
        world.edit("first", |object| {
            object["spec"]["roleAssignments"] =
                json!([{"role": "Reader", "scope": format!("/subscriptions/{SUBSCRIPTION}")}]);
        });
        let denied = world.says("first", Reason::NotPermitted).await;
        marked_at_once(world, "second").await;
        assert_eq!(world.identity().credentials.len(), 1);
        assert!(carries_the_client_id(world));
        let status = denied.status.unwrap();
        assert!(status.federated_credentials.is_empty() && status.service_accounts.is_empty());
        world.ready("second").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bindings_that_want_other_tokens_do_not_share() {
    for audience in [true, false] {
        story(async |world| {
            let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
            world.create(sharing("first", &id));
            world.ready("first").await;
            let before = (world.identity(), world.account("orders").unwrap().metadata.annotations);
            let second = sharing("second", &id);
            world.create(if audience {
                second.audience("api://other")
            } else {
                second.token_expiration(7200)
            });
            let reason = if audience {
                Reason::FederatedCredentialConflict
            } else {
                Reason::ServiceAccountConflict
            };
            let refused = world.says("second", reason).await;
            let field = if audience {
                "spec.audience"
            } else {
                "tokenExpirationSeconds"
            };
            assert!(
                message(&refused).contains("WorkloadIdentityBinding first"),
                "{}",
                message(&refused)
            );
            assert!(message(&refused).contains(field), "{}", message(&refused));
            world.ready("first").await;
            assert_eq!(
                (world.identity(), world.account("orders").unwrap().metadata.annotations),
                before
            );

            // The second one does not rest on it, and has it at once when the first one goes.
            world.delete("first");
            world.gone("first").await;
            marked_at_once(world, "second").await;
            world.ready("second").await;
            assert_eq!(world.identity().credentials.len(), 1);
        })
        .await;
    }
}

/// A change of one binding must not break what the other one rests on.
#[tokio::test(start_paused = true)]
async fn an_audience_changes_when_both_bindings_say_so() {
    story(async |world| {
        two(world).await;
        let before = world.identity().credentials;
        let other = |object: &mut serde_json::Value| object["spec"]["audience"] = json!("api://other");
        world.edit("first", other);
        let refused = world.says("first", Reason::FederatedCredentialConflict).await;
        assert!(
            message(&refused).contains("WorkloadIdentityBinding second"),
            "{}",
            message(&refused)
        );
        assert_eq!(world.identity().credentials, before);
        // Nothing changed for the other one, which works as before.
        sleep(Duration::from_mins(1)).await;
        let second = world.binding("second");
        assert_eq!(condition(&second, "Ready").status, "True", "{}", message(&second));
        assert_eq!(condition(&second, "ServiceAccountsReady").status, "True");
        world.edit("second", other);
        world.ready("second").await;
        world.ready("first").await;
        let after = world.identity().credentials;
        assert_eq!(
            (after.len(), after[0].audiences.as_slice()),
            (1, &["api://other".to_owned()][..])
        );
    })
    .await;
}

/// The identity of one binding, bound as an existing one by another.
#[tokio::test(start_paused = true)]
async fn a_managed_identity_is_not_deleted_under_a_sibling() {
    story(async |world| {
        let here = IdentityId::new(SUBSCRIPTION, GROUP, "*").to_string();
        world
            .cluster
            .seed(policy("own").namespace(NAMESPACE).existing(&here).build());
        // A derived name would be the first one's alone.
        let named = wio_api::ManagedIdentity {
            name: Some(format!("{NAMESPACE}_orders")),
            ..Default::default()
        };
        world.create(binding(NAMESPACE, "first").managed_as(named).service_account("orders"));
        world.ready("first").await;
        let id = world.identity().id.to_string();
        world.create(sharing("second", &id));
        world.ready("second").await;
        world.delete("first");
        let blocked = world.says("first", Reason::DeletionBlocked).await;
        let says = "WorkloadIdentityBindings of this namespace: second";
        assert!(message(&blocked).contains(says), "{}", message(&blocked));
        assert_eq!(world.identity().credentials.len(), 1);
        world.ready("second").await;
        world.delete("second");
        world.gone("second").await;
        world.gone("first").await;
        assert!(!world.has_identity());
        assert_eq!(world.account("orders"), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_one_left_behind_as_an_orphan_the_other_one_takes_away() {
    story(async |world| {
        let mut orphan = policy("orphan").namespace(NAMESPACE).build();
        orphan.spec.allow_orphan = true;
        world.cluster.seed(orphan);
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        world.create(sharing("first", &id).deletion_policy(DeletionPolicy::Orphan));
        world.ready("first").await;
        world.create(sharing("second", &id));
        world.ready("second").await;
        world.delete("first");
        world.gone("first").await;
        marked_at_once(world, "second").await;
        assert_eq!(world.identity().credentials.len(), 1);
        world.delete("second");
        world.gone("second").await;
        assert_eq!(world.identity().credentials, []);
        assert_eq!(world.account("orders"), None);
    })
    .await;
}

/// Azure allows a role once, so the second binding has it by the assignment of the first, which goes with it.
#[tokio::test(start_paused = true)]
async fn a_role_that_two_bindings_want_is_given_again_at_once_when_its_owner_goes() {
    story(async |world| {
        let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}");
        world
            .cluster
            .seed(policy("secrets").namespace(NAMESPACE).role(ROLE, &[&scope]).build());
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        let wanting = |name| {
            binding(NAMESPACE, name)
                .existing(&id)
                .service_account(name)
                .role(ROLE, &scope)
        };
        world.create(wanting("first"));
        world.ready("first").await;
        world.create(wanting("second"));
        world.ready("second").await;
        let name = |world: &World| {
            let given = world.azure.snapshot().role_assignments;
            assert!(given.len() <= 1, "{given:?}");
            given.first().map(|given| given.name)
        };
        let before = name(world);
        world.delete("first");
        world.gone("first").await;
        let begun = Instant::now();
        world
            .until("the second one has it", |world| {
                name(world).is_some_and(|now| Some(now) != before)
            })
            .await;
        assert!(begun.elapsed() < AT_ONCE, "after {:?}", begun.elapsed());
        world.ready("second").await;
    })
    .await;
}

/// Moments at which a second binding appears while the first one reads Azure, carries its plan out, or is done. Each of
/// Azure's answers takes 50 ms.
const MEANWHILE: [u64; 9] = [0, 10, 20, 40, 60, 80, 100, 150, 300];

/// One sync of a GitOps tool that renames a binding: the old one is deleted, and the new one appears a moment later. Who shares
/// was decided before Azure was read, so the old one took the credential away that the new one had just found, and the new one
/// said Ready without trust until its next drift check.
#[tokio::test(start_paused = true)]
async fn one_that_appears_while_another_goes_keeps_what_they_share() {
    for moment in MEANWHILE {
        story(async |world| {
            let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
            world.create(sharing("first", &id));
            world.ready("first").await;
            sleep(Duration::from_mins(1)).await;
            world.delete("first");
            sleep(Duration::from_millis(moment)).await;
            world.create(sharing("second", &id));
            world.ready("second").await;
            sleep(AT_ONCE).await;
            assert_eq!(world.identity().credentials.len(), 1, "after {moment} ms");
            marked_at_once(world, "second").await;
        })
        .await;
    }
}

/// The same for a service account that is moved from one binding to another.
#[tokio::test(start_paused = true)]
async fn a_service_account_that_is_moved_to_another_binding_stays_trusted() {
    for moment in MEANWHILE {
        story(async |world| {
            let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
            world.create(sharing("first", &id));
            world.ready("first").await;
            sleep(Duration::from_mins(1)).await;
            world.edit("first", |object| {
                object["spec"]["serviceAccounts"] = json!([{ "name": "other", "create": true }]);
            });
            sleep(Duration::from_millis(moment)).await;
            world.create(sharing("second", &id));
            world.ready("second").await;
            sleep(AT_ONCE).await;
            let trusted = |name: &str| {
                let subject = format!("system:serviceaccount:{NAMESPACE}:{name}");
                let identity = world.identity();
                identity
                    .credentials
                    .iter()
                    .any(|one| one.subject.as_deref() == Some(&subject))
            };
            let both = [trusted("orders"), trusted("other")];
            assert_eq!(both, [true, true], "after {moment} ms: {:#?}", world.asked());
            // How many credentials of others there are is told at the next drift check.
            sleep(DRIFT * 2).await;
        })
        .await;
    }
}

/// A tenant to whom nothing is allowed costs the others of his namespace nothing: his bindings have no part in anything.
#[tokio::test(start_paused = true)]
async fn bindings_that_have_nothing_keep_nothing_for_others() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        let elsewhere = world.foreign_identity(OTHER_GROUP, "payments", Vec::new());
        world.create(sharing("allowed", &id));
        world.ready("allowed").await;
        for name in ["one", "two"] {
            world.create(sharing(name, &elsewhere));
            world.says(name, Reason::NotPermitted).await;
        }
        world.delete("allowed");
        world.gone("allowed").await;
        assert_eq!(world.account("orders"), None, "nobody else has a claim to it");
    })
    .await;
}

/// The binding `orders`, ready, and one to be created, `blocked`, that asks for the same trust and can never have it: the identity of the name that
/// it wants is somebody else's.
async fn one_that_has_it_and_one_that_cannot(world: &World) -> BindingBuilder {
    let id = world.foreign_identity(GROUP, "shop_orders", Vec::new());
    world
        .cluster
        .seed(policy("shop-orders").namespace(NAMESPACE).existing(&id).build());
    world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
    world.ready("orders").await;
    let identity = wio_api::ManagedIdentity {
        name: Some("shop_orders".to_owned()),
        ..Default::default()
    };
    binding(NAMESPACE, "blocked")
        .managed_as(identity)
        .service_account("orders")
}

/// Who asks for the same trust and can never have it, because the identity of the name that it wants is somebody else's, had the trust left to
/// it, and nobody would ever have taken it away again.
#[tokio::test(start_paused = true)]
async fn nothing_is_left_to_a_binding_that_does_not_have_it_itself() {
    story(async |world| {
        let blocked = one_that_has_it_and_one_that_cannot(world).await;
        world.create(blocked);
        world.says("blocked", Reason::IdentityNotOwned).await;
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(world.credentials(), 0);
        assert_eq!(world.annotation("orders", keys::CLIENT_ID_ANNOTATION), None);
    })
    .await;
}

/// While the deletion of the one that has it takes its time, the blocked one tells of the credential as of something that it would take away. It
/// counted as told then, had the trust left to it, and forgot it again with the next list that was behind.
#[tokio::test(start_paused = true)]
async fn nothing_is_left_to_a_binding_that_only_tells_of_what_it_would_take_away() {
    story(async |world| {
        let blocked = one_that_has_it_and_one_that_cannot(world).await;
        world.azure.inject(
            Fault::on("DELETE")
                .kind(ResourceKind::Credential)
                .times(3)
                .respond(500, "InternalServerError"),
        );
        world.delete("orders");
        world.create(blocked);
        let tells = |world: &World| {
            let status = world.binding("blocked").status;
            status.is_some_and(|status| !status.federated_credentials.is_empty())
        };
        world.until("the blocked one tells of it", tells).await;
        assert!(uid(world, "orders").is_some(), "it is still there then");
        world.gone("orders").await;
        assert_eq!(world.credentials(), 0);
        assert_eq!(world.annotation("orders", keys::CLIENT_ID_ANNOTATION), None);
    })
    .await;
}

/// The mark of a binding that is gone is nobody's edit, and an alert counts those.
#[tokio::test(start_paused = true)]
async fn a_mark_that_is_taken_over_was_changed_back_by_nobody() {
    story(async |world| {
        two(world).await;
        world.delete("first");
        world.gone("first").await;
        marked_at_once(world, "second").await;
        world.ready("second").await;
        let metrics = crate::health::get(world, "/metrics").await.1;
        let none = "wio_service_accounts_changed_back_total 0\n";
        assert!(metrics.contains(none), "{metrics}");
    })
    .await;
}

/// The first one gave the service account up to the second, by the hand of another operator, and this one had not heard of it when the second
/// was deleted: it left the label and the client id to the first, which knew nothing of them any more.
#[tokio::test(start_paused = true)]
async fn nothing_is_left_to_one_that_gave_the_same_up_unseen() {
    story(async |world| {
        two(world).await;
        let second = uid(world, "second").unwrap();
        world.cluster.lose_events("workloadidentitybindings", 1);
        world.edit("first", |object| {
            object["spec"]["serviceAccounts"][0]["name"] = json!("web");
            object["status"]["serviceAccounts"] = json!([]);
            object["status"]["federatedCredentials"] = json!([]);
        });
        world.delete("second");
        sleep(AT_ONCE).await;
        assert_eq!(uid(world, "second"), Some(second));
        assert_eq!(mark(world), uid(world, "first"));
        let reads = world.cluster.requests().len();
        sleep(DRIFT).await;
        assert!(world.cluster.requests().len() - reads < 1000, "it loops hot");
        world.cluster.expire_watches();
        let begun = Instant::now();
        world.gone("second").await;
        world.ready("first").await;
        world.until("nothing marks it", |world| mark(world).is_none()).await;
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
        assert!(!carries_the_client_id(world));
        assert_eq!(world.identity().credentials.len(), 1);
    })
    .await;
}
