use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wio_api::{Reason, ServiceAccountOrigin, keys};
use wio_testkit::fixtures::{binding, service_account};

use crate::world::*;

const FOREIGN_CLIENT_ID: &str = "00000000-0000-4000-8000-000000000000";

fn annotate(object: &mut serde_json::Value, key: &str, value: &str) {
    object["metadata"]["annotations"][key] = json!(value);
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_was_there_is_adopted_and_given_back() {
    story(async |world| {
        world.cluster.seed(
            service_account(NAMESPACE, "orders")
                .label("app", "orders")
                .annotation("note", "x")
                .build(),
        );
        let before = world.account("orders").unwrap().metadata;
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        let ready = world.ready("orders").await;
        let shown = &ready.status.as_ref().unwrap().service_accounts[0];
        assert_eq!(
            (shown.origin, Some(&shown.uid)),
            (ServiceAccountOrigin::Adopted, before.uid.as_ref())
        );
        assert_eq!(world.annotation("orders", "note").as_deref(), Some("x"));
        world.delete("orders");
        world.gone("orders").await;
        let after = world.account("orders").unwrap().metadata;
        assert_eq!(
            (after.uid, after.labels, after.annotations),
            (before.uid, before.labels, before.annotations)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_must_exist_is_waited_for_and_never_created() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .not_created(),
        );
        let missing = world.says("orders", Reason::ServiceAccountNotFound).await;
        assert!(message(&missing).contains("orders") && message(&missing).contains("create: true"));
        assert_eq!(condition(&missing, "FederatedCredentialsReady").status, "True");
        world.cluster.seed(service_account(NAMESPACE, "orders").build());
        let seeded = tokio::time::Instant::now();
        world.ready("orders").await;
        assert!(seeded.elapsed().as_secs() < 60, "it is looked for often");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_annotation_edited_by_hand_is_reported_with_who_did_it() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        world.ready("orders").await;
        world.edit_account("orders", |object| {
            annotate(object, keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
        });
        let conflict = world.says("orders", Reason::ServiceAccountConflict).await;
        assert_eq!(condition(&conflict, "Stalled").status, "True");
        for part in ["\"test-user\"", "client-id", "conflictPolicy: Force"] {
            assert!(message(&conflict).contains(part), "{part}: {}", message(&conflict));
        }
        assert_eq!(
            world.annotation("orders", keys::CLIENT_ID_ANNOTATION).as_deref(),
            Some(FOREIGN_CLIENT_ID)
        );
        // Whoever set it takes it away.
        world.edit_account("orders", |object| {
            object["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .remove(keys::CLIENT_ID_ANNOTATION);
        });
        world.ready("orders").await;
    })
    .await;
}

/// A conflict was mended, another service account got one, and `kubectl describe` went on telling of the first.
#[tokio::test(start_paused = true)]
async fn each_event_names_the_service_account_that_it_is_about() {
    story(async |world| {
        let accounts = ["orders", "invoices"];
        let both = binding(NAMESPACE, "orders").managed().service_account("orders");
        world.create(both.service_account("invoices"));
        world.ready("orders").await;
        for account in accounts {
            world.edit_account(account, |object| {
                annotate(object, keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
            });
            world.says("orders", Reason::ServiceAccountConflict).await;
            world.edit_account(account, |object| {
                let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
                annotations.remove(keys::CLIENT_ID_ANNOTATION);
            });
            world.ready("orders").await;
        }
        let named = |account: &str| {
            let notes = world.notes("ServiceAccountConflict");
            let name = format!("service account {account}:");
            notes.iter().filter(|note| note.contains(&name)).count()
        };
        assert_eq!(
            accounts.map(named),
            [1, 1],
            "{:?}",
            world.notes("ServiceAccountConflict")
        );
    })
    .await;
}

/// A binding that takes over what others hold is ready; returns its client id.
async fn forced(world: &World) -> String {
    let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
    world.create(orders.forced());
    world.ready("orders").await;
    world.identity().client_id.to_string()
}

async fn mended(world: &World, client_id: &str) {
    let mended = |world: &World| world.annotation("orders", keys::CLIENT_ID_ANNOTATION).as_deref() == Some(client_id);
    world.until("it is mended", mended).await;
}

#[tokio::test(start_paused = true)]
async fn an_annotation_edited_by_hand_is_mended_when_the_spec_says_so() {
    story(async |world| {
        let client_id = forced(world).await;
        world.edit_account("orders", |object| {
            annotate(object, keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
        });
        mended(world, &client_id).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_id_that_somebody_set_first_is_a_conflict_and_the_other_accounts_go_on() {
    story(async |world| {
        let taken = service_account(NAMESPACE, "orders").annotation(keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
        world.cluster.apply_as("helm", taken.build(), false).unwrap();
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        let conflict = world.says("orders", Reason::ServiceAccountConflict).await;
        assert!(message(&conflict).contains("\"helm\""), "{}", message(&conflict));
        assert!(world.annotation("invoices", keys::CLIENT_ID_ANNOTATION).is_some());
        let trusted: Vec<_> = world
            .identity()
            .credentials
            .into_iter()
            .filter_map(|one| one.subject)
            .collect();
        assert_eq!(trusted, ["system:serviceaccount:shop:invoices"]);
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"][0]["conflictPolicy"] = json!("Force");
        });
        world.ready("orders").await;
    })
    .await;
}

/// Whoever did what the message asks for was told the same for ten minutes: nothing that carries no label was watched.
#[tokio::test(start_paused = true)]
async fn a_conflict_that_is_given_up_is_noticed_at_once() {
    story(async |world| {
        let mine = || service_account(NAMESPACE, "orders").label("app", "orders");
        let taken = mine().annotation(keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
        world.cluster.apply_as("helm", taken.build(), false).unwrap();
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.says("orders", Reason::ServiceAccountConflict).await;
        sleep(Duration::from_hours(1)).await;
        world.cluster.apply_as("helm", mine().build(), false).unwrap();
        let given_up = Instant::now();
        world.ready("orders").await;
        assert!(given_up.elapsed() < Duration::from_secs(5), "{:?}", given_up.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn service_accounts_that_no_binding_names_wake_nobody() {
    story(async |world| {
        let taken = service_account(NAMESPACE, "orders").annotation(keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
        world.cluster.apply_as("helm", taken.build(), false).unwrap();
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.says("orders", Reason::ServiceAccountConflict).await;
        sleep(Duration::from_hours(1)).await;
        world.forget_requests();
        for n in 0..100 {
            world
                .cluster
                .seed(service_account(NAMESPACE, &format!("other-{n}")).build());
        }
        sleep(Duration::from_secs(30)).await;
        let reads = world.cluster.requests();
        let reads: Vec<_> = reads
            .iter()
            .filter(|request| request.path.ends_with("serviceaccounts/orders"))
            .collect();
        assert!(reads.len() <= 1, "{reads:#?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_from_a_service_account_comes_back() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        let before = world.account("orders").unwrap().metadata;
        let restored = |world: &World| {
            world.account("orders").is_some_and(|account| {
                let (annotations, labels) = (
                    account.metadata.annotations,
                    account.metadata.labels.unwrap_or_default(),
                );
                annotations == before.annotations && labels.contains_key(keys::BOUND_BY_LABEL)
            })
        };
        world.edit_account("orders", |object| object["metadata"]["annotations"] = json!({}));
        world.until("the annotations are back", restored).await;
        world.edit_account("orders", |object| object["metadata"]["labels"] = json!({}));
        world.until("the mark is back", restored).await;
        world
            .cluster
            .delete::<k8s_openapi::api::core::v1::ServiceAccount>(NAMESPACE, "orders");
        world.until("there is a new one", restored).await;
    })
    .await;
}

/// Whoever takes the label away wants to keep the service account.
#[tokio::test(start_paused = true)]
async fn a_service_account_without_its_label_of_origin_is_not_deleted() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.edit_account("orders", |object| {
            object["metadata"]["labels"]
                .as_object_mut()
                .unwrap()
                .remove(keys::CREATED_LABEL);
        });
        let adopted = |world: &World| {
            let status = world.binding("orders").status.unwrap();
            status.service_accounts[0].origin == ServiceAccountOrigin::Adopted
        };
        world.until("it is adopted", adopted).await;
        world.delete("orders");
        world.gone("orders").await;
        assert!(world.account("orders").is_some());
    })
    .await;
}

/// The name of the binding on a service account is how its changes find the binding, and can be edited as well.
#[tokio::test(start_paused = true)]
async fn an_edit_that_also_hides_the_binding_is_noticed_at_once() {
    story(async |world| {
        let client_id = forced(world).await;
        world.edit_account("orders", |object| {
            annotate(object, keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
            annotate(object, keys::BINDING_ANNOTATION, "somebody-else");
        });
        let edited = tokio::time::Instant::now();
        mended(world, &client_id).await;
        assert!(edited.elapsed().as_secs() < 5, "not at the next look at Azure");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_leaves_the_spec_is_released_after_its_credential_is_gone() {
    story(async |world| {
        world.cluster.seed(service_account(NAMESPACE, "adopted").build());
        let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
        world.create(orders.service_account("created").service_account("adopted"));
        world.ready("orders").await;
        world.forget_requests();
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"].as_array_mut().unwrap().truncate(1);
        });
        let left = world.ready("orders").await;
        assert_eq!(left.status.unwrap().service_accounts.len(), 1);
        let created = world.account("created").unwrap();
        assert_eq!(
            created.metadata.annotations, None,
            "only the end of the binding deletes it"
        );
        assert_eq!(world.annotation("adopted", keys::CLIENT_ID_ANNOTATION), None);
        assert_eq!(world.identity().credentials.len(), 1);
        let asked = world.asked();
        let gets = ["GET identity: 200", "GET credentials: 200"];
        assert_eq!(asked[..2], gets, "nothing is taken away from memory");
        assert_eq!(asked[2..], ["DELETE credential: 200", "DELETE credential: 200"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_we_made_and_others_use_is_not_deleted() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.edit_account("orders", |object| {
            object["imagePullSecrets"] = json!([{"name": "registry"}]);
        });
        world.delete("orders");
        world.gone("orders").await;
        let left = world.account("orders").unwrap();
        assert_eq!(left.image_pull_secrets.unwrap().len(), 1);
        assert!(left.metadata.annotations.unwrap_or_default().is_empty());
        assert!(left.metadata.labels.unwrap_or_default().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_has_one_binding() {
    story(async |world| {
        world.create(binding(NAMESPACE, "first").managed().service_account("orders"));
        world.ready("first").await;
        world.create(binding(NAMESPACE, "second").managed().service_account("orders"));
        let refused = world.says("second", Reason::ServiceAccountConflict).await;
        assert!(
            message(&refused).contains("WorkloadIdentityBinding first"),
            "{}",
            message(&refused)
        );
        let trusted = |world: &World| {
            let snapshot = world.azure.snapshot();
            let credentials = snapshot.identities.iter().map(|identity| identity.credentials.len());
            credentials.collect::<Vec<_>>()
        };
        assert_eq!(
            trusted(world).iter().sum::<usize>(),
            1,
            "what is stalled for it is not trusted"
        );
        let waits = &condition(&refused, "FederatedCredentialsReady").message;
        assert!(waits.ends_with("this waits for ServiceAccountsReady."), "{waits}");
        world.delete("first");
        world.gone("first").await;
        world.ready("second").await;
        assert_eq!(trusted(world), [1]);
    })
    .await;
}

/// Whoever may edit service accounts could have one binding let go of another's by writing its UID there.
#[tokio::test(start_paused = true)]
async fn a_mark_that_somebody_put_on_anothers_service_account_lets_go_of_nothing() {
    story(async |world| {
        world.create(binding(NAMESPACE, "first").managed().service_account("orders").forced());
        world.create(binding(NAMESPACE, "second").managed().service_account("invoices"));
        let second = world.ready("second").await.metadata.uid.unwrap();
        world.ready("first").await;
        let client_id = world.annotation("orders", keys::CLIENT_ID_ANNOTATION);
        assert!(client_id.is_some());
        world.forget_requests();
        world.edit_account("orders", |object| {
            object["metadata"]["labels"][keys::BOUND_BY_LABEL] = json!(second);
        });
        tokio::time::sleep(DRIFT / 3).await;
        assert_eq!(world.annotation("orders", keys::CLIENT_ID_ANNOTATION), client_id);
        let lets_go = |write: &wio_testkit::ApiRequest| {
            write.resource == "serviceaccounts"
                && write.body["metadata"]["annotations"][keys::CLIENT_ID_ANNOTATION].is_null()
        };
        assert!(
            !world.cluster_writes().iter().any(lets_go),
            "{:?}",
            world.cluster_writes()
        );
        tokio::time::sleep(DRIFT * 2).await;
        world.ready("first").await;
    })
    .await;
}

const LIFETIME: &str = "azure.workload.identity/service-account-token-expiration";

/// Charts put it there by default. The operator wrote the service account anew at each look, and two bindings took the label
/// from each other.
#[tokio::test(start_paused = true)]
async fn a_lifetime_of_tokens_that_somebody_else_wrote_is_not_ours_to_mend() {
    story(async |world| {
        let of_helm = || {
            service_account(NAMESPACE, "orders")
                .annotation(LIFETIME, "3600")
                .build()
        };
        world.cluster.apply_as("helm", of_helm(), false).unwrap();
        let id = world.foreign_identity(SHARED_GROUP, "payments", Vec::new());
        for name in ["one", "two"] {
            let bound = binding(NAMESPACE, name).existing(&id).service_account("orders");
            world.create(bound.not_created());
            world.ready(name).await;
        }
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.forget_requests();
        tokio::time::sleep(DRIFT * 2).await;
        assert!(world.cluster_writes().is_empty(), "{:?}", world.cluster_writes());
        world.delete("one");
        world.gone("one").await;
        world.ready("two").await;
        assert_eq!(world.annotation("orders", LIFETIME).as_deref(), Some("3600"));
        assert!(world.annotation("orders", keys::CLIENT_ID_ANNOTATION).is_some());
    })
    .await;
}

/// The two wrote as fast as the API server answers, and nobody was told.
#[tokio::test(start_paused = true)]
async fn a_writer_that_puts_its_own_back_each_time_meets_growing_pauses_and_is_named() {
    let mut world = World::new();
    world.start().await;
    world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
    world.ready("orders").await;
    world.forget_requests();
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < Duration::from_mins(1) {
        if world.annotation("orders", keys::CLIENT_ID_ANNOTATION).is_some() {
            world.edit_account("orders", |object| {
                let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
                annotations.remove(keys::CLIENT_ID_ANNOTATION);
                annotations.insert("note".to_owned(), json!(begun.elapsed().as_millis().to_string()));
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let is_of_accounts = |request: &&wio_testkit::ApiRequest| request.resource == "serviceaccounts";
    let writes = world.cluster_writes();
    let writes = writes.iter().filter(is_of_accounts).count();
    assert!((3..10).contains(&writes), "{writes} writes in a minute");
    let told = world.says("orders", Reason::ServiceAccountConflict).await;
    for part in ["test-user", "service account orders", "back again and again"] {
        assert!(message(&told).contains(part), "{}", message(&told));
    }
    let warnings = |world: &World| {
        let events = world.events();
        events.iter().filter(|event| event.starts_with("Warning")).count()
    };
    assert_eq!(warnings(&world), 1, "{:?}", world.events());
    let metrics = crate::health::get(&world, "/metrics").await.1;
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("wio_service_accounts_changed_back_total "));
    let counted: usize = counted.unwrap().parse().unwrap();
    assert!((3..=writes).contains(&counted), "{counted} of {writes}");
    world.ready("orders").await;
    // Who wrote is named for an hour, and that the name goes is a change of its own.
    sleep(Duration::from_hours(2)).await;
    world.settle().await;
}

/// Flux with its usual interval came round long after the last time was forgotten: both wrote for ever, and the binding said that all was well.
#[tokio::test(start_paused = true)]
async fn a_tool_that_comes_round_every_ten_minutes_is_named_while_the_binding_works() {
    story(async |world| {
        let of_git = || {
            let account = service_account(NAMESPACE, "orders");
            account
                .annotation(keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID)
                .build()
        };
        let innocent = |n: u8| {
            service_account(NAMESPACE, "orders")
                .label("round", &n.to_string())
                .build()
        };
        let apply = |world: &World, n| {
            world.cluster.apply_as("kustomize-controller", of_git(), true).unwrap();
            // Whoever wrote last is not the one.
            world.cluster.apply_as("labeller", innocent(n), false).unwrap();
        };
        apply(world, 0);
        let bound = binding(NAMESPACE, "orders").managed().service_account("orders");
        world.create(bound.forced());
        world.ready("orders").await;
        let ours = world.annotation("orders", keys::CLIENT_ID_ANNOTATION);
        let mut told = Vec::new();
        for n in 1..5 {
            sleep(Duration::from_mins(10)).await;
            told.push(world.notes("ServiceAccountConflict").len());
            apply(world, n);
            let is_ours = |world: &World| world.annotation("orders", keys::CLIENT_ID_ANNOTATION) == ours;
            world.until("it is put right", is_ours).await;
        }
        assert_eq!(told[..3], [0, 0, 1], "once may be a slip");
        sleep(Duration::from_mins(1)).await;
        let ready = world.ready("orders").await;
        let named = "\"kustomize-controller\" changes service account orders back again and again";
        for kind in ["Ready", "ServiceAccountsReady"] {
            let said = &condition(&ready, kind).message;
            assert!(said.contains(named), "{kind}: {said}");
        }
        sleep(Duration::from_hours(2)).await;
        let ready = world.ready("orders").await;
        assert!(
            !message(&ready).contains("again and again"),
            "it is over: {}",
            message(&ready)
        );
    })
    .await;
}

/// Whoever took a service account out of his own binding and put it back was told that another writer changes it.
#[tokio::test(start_paused = true)]
async fn what_the_operator_took_off_itself_was_changed_back_by_nobody() {
    story(async |world| {
        let both = || binding(NAMESPACE, "orders").managed().service_account("orders");
        world.create(both().service_account("invoices"));
        world.ready("orders").await;
        for _ in 0..4 {
            let drop = |object: &mut Value| {
                object["spec"]["serviceAccounts"].as_array_mut().unwrap().truncate(1);
            };
            world.edit("orders", drop);
            let is_released = |world: &World| world.annotation("invoices", keys::CLIENT_ID_ANNOTATION).is_none();
            world.until("it is released", is_released).await;
            let add = |object: &mut Value| {
                let accounts = object["spec"]["serviceAccounts"].as_array_mut().unwrap();
                accounts.push(json!({ "name": "invoices" }));
            };
            world.edit("orders", add);
            let is_marked = |world: &World| world.annotation("invoices", keys::CLIENT_ID_ANNOTATION).is_some();
            world.until("it is marked", is_marked).await;
        }
        let ready = world.ready("orders").await;
        assert!(!message(&ready).contains("again and again"), "{}", message(&ready));
        assert_eq!(world.notes("ServiceAccountConflict"), Vec::<String>::new());
    })
    .await;
}
