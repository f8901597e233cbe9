//! What Azure does not show yet is taken away all the same, by its name: a list or a read may miss what was written half a minute ago. The simulation found it:
//! trust that was to end stayed until a list showed it, and the role assignments and client ids went before.

use std::time::Duration;

use tokio::time::sleep;
use wio_api::{DeletionPolicy, Reason};
use wio_testkit::fixtures::{binding, policy};

use crate::world::*;

const LAG: Duration = Duration::from_secs(30);
/// How long a revocation may take to be sent.
const AT_ONCE: Duration = Duration::from_secs(1);

fn lists_lag(world: &World) {
    world.azure.reconfigure(|config| config.list_lag = LAG);
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_is_denied_loses_trust_that_no_list_shows_yet() {
    story(async |world| {
        let keep = policy("keep").namespace(NAMESPACE).build();
        world.cluster.seed(keep);
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        lists_lag(world);
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.ready("orders").await;
        assert_eq!(world.identity().credentials.len(), 1);
        world.edit("orders", |object| {
            object["spec"]["deletionPolicy"] = serde_json::json!("Orphan");
        });
        world.says("orders", Reason::NotPermitted).await;
        assert_eq!(world.identity().credentials, []);
        let asked = world.asked().len();
        sleep(LAG * 2).await;
        let again = world.asked().split_off(asked);
        assert!(!again.iter().any(|asked| asked.starts_with("DELETE")), "{again:?}");
    })
    .await;
}

/// The credential of the one before it was shown still, for the same service account, and taken for a proof that this one had none.
#[tokio::test(start_paused = true)]
async fn a_binding_that_is_denied_loses_its_trust_while_a_list_shows_that_of_the_one_before_it() {
    story(async |world| {
        world.cluster.seed(policy("keep").namespace(NAMESPACE).build());
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        lists_lag(world);
        let begun = tokio::time::Instant::now();
        world.create(shares("first", &id));
        world.ready("first").await;
        sleep(LAG / 2).await;
        world.delete("first");
        world.gone("first").await;
        world.create(shares("orders", &id));
        world.ready("orders").await;
        let former_is_shown = begun + LAG + Duration::from_secs(5);
        assert!(tokio::time::Instant::now() < former_is_shown);
        tokio::time::sleep_until(former_is_shown).await;
        world.edit("orders", |object| {
            object["spec"]["deletionPolicy"] = serde_json::json!("Orphan");
        });
        world.says("orders", Reason::NotPermitted).await;
        assert_eq!(world.identity().credentials, []);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_is_given_up_loses_trust_that_is_not_shown_yet() {
    for reads_lag in [false, true] {
        story(async |world| {
            lists_lag(world);
            if reads_lag {
                world.azure.reconfigure(|config| config.read_lag = LAG);
            }
            let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
            world.create(orders.service_account("invoices"));
            world.ready("orders").await;
            world.edit("orders", |object| {
                if let Some(accounts) = object["spec"]["serviceAccounts"].as_array_mut() {
                    accounts.truncate(1);
                }
            });
            sleep(AT_ONCE).await;
            let credentials = world.identity().credentials.into_iter();
            let subjects: Vec<_> = credentials.filter_map(|one| one.subject).collect();
            assert_eq!(subjects, ["system:serviceaccount:shop:orders"]);
            world.ready("orders").await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_ends_trust_on_an_identity_that_is_too_new_to_be_shown() {
    for deletion_policy in [DeletionPolicy::Delete, DeletionPolicy::RetainIdentity] {
        story(async |world| {
            world
                .azure
                .reconfigure(|config| (config.list_lag, config.read_lag) = (LAG, LAG));
            let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
            world.create(orders.deletion_policy(deletion_policy));
            world.ready("orders").await;
            world.delete("orders");
            sleep(AT_ONCE).await;
            assert_eq!(world.identity().credentials, []);
            world.gone("orders").await;
            assert_eq!(world.has_identity(), deletion_policy == DeletionPolicy::RetainIdentity);
        })
        .await;
    }
}

/// Two bindings that share the trust of one service account through one identity of somebody else.
fn shares(name: &str, id: &str) -> wio_testkit::fixtures::BindingBuilder {
    binding(NAMESPACE, name).existing(id).service_account("web")
}

/// How many credentials trust the service account that is shared.
fn trusting_web(world: &World) -> usize {
    let of_web = |one: &&wio_azure_sim::Credential| one.subject.as_deref() == Some("system:serviceaccount:shop:web");
    world.identity().credentials.iter().filter(of_web).count()
}

fn is_marked(world: &World) -> bool {
    world.annotation("web", wio_api::keys::CLIENT_ID_ANNOTATION).is_some()
}

/// The other one sees the mark on the service account and not the trust, so nothing of that is left to it.
#[tokio::test(start_paused = true)]
async fn a_binding_that_sees_the_mark_and_not_the_trust_yet_makes_its_own_when_the_other_one_goes() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        lists_lag(world);
        world.create(shares("orders", &id));
        world.ready("orders").await;
        world.create(shares("mails", &id));
        world.says("mails", Reason::AzureConflict).await;
        let first = world.identity().credentials;
        world.delete("orders");
        world.gone("orders").await;
        sleep(AT_ONCE).await;
        assert!(
            is_marked(world) || world.credentials() == 0,
            "the client id went before its trust"
        );
        sleep(AT_ONCE * 5).await;
        world.ready("mails").await;
        let second = world.identity().credentials;
        assert_eq!((first.len(), second.len()), (1, 1));
        assert_ne!(first[0].name, second[0].name);
        world.delete("mails");
        world.gone("mails").await;
        assert_eq!((world.credentials(), is_marked(world)), (0, false));
    })
    .await;
}

/// How a binding comes to lose what it shares.
type End<'a> = &'a dyn Fn(&World, &str);

/// The other one knew nothing but the mark, and lists showed no credential yet: it took the client id off, and the trust of which the status of the first one told
/// stood until that one came to take it away. What either of them tells of goes before the mark.
#[tokio::test(start_paused = true)]
async fn two_that_lose_what_they_share_take_the_trust_of_which_either_tells_before_the_mark() {
    let not_permitted = |object: &mut serde_json::Value| {
        object["spec"]["deletionPolicy"] = serde_json::json!("Orphan");
    };
    let gives_up = |object: &mut serde_json::Value| {
        object["spec"]["serviceAccounts"] = serde_json::json!([{ "name": "mails" }]);
    };
    let is_denied: End<'_> = &|world, name| world.edit(name, not_permitted);
    let gives_it_up: End<'_> = &|world, name| world.edit(name, gives_up);
    let is_deleted: End<'_> = &|world, name| world.delete(name);
    for (one, end) in [
        ("is denied", [is_denied, is_denied]),
        ("gives it up", [is_denied, gives_it_up]),
        ("is denied beside one that is deleted", [is_deleted, is_denied]),
        ("gives it up beside one that is deleted", [is_deleted, gives_it_up]),
    ] {
        story(async |world| {
            world.cluster.seed(policy("keep").namespace(NAMESPACE).build());
            let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
            lists_lag(world);
            world.create(shares("orders", &id));
            world.ready("orders").await;
            world.create(shares("mails", &id));
            world.says("mails", Reason::AzureConflict).await;
            // Whoever comes first waits for an answer.
            let of_web = wio_azure_sim::Fault::on("DELETE").path("-web-");
            world.azure.inject(of_web.times(1).hang());
            end[0](world, "orders");
            end[1](world, "mails");
            world.until("the client id goes", |world| !is_marked(world)).await;
            assert_eq!(trusting_web(world), 0, "the other one {one}");
            comes_to_rest(world).await;
        })
        .await;
    }
}

/// The suspended one did not look for half an hour, its status told of the trust still, and the other one took that away at each look.
#[tokio::test(start_paused = true)]
async fn what_the_status_of_another_one_tells_of_is_taken_away_once() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        for name in ["orders", "mails"] {
            world.create(shares(name, &id));
            world.ready(name).await;
        }
        world.edit("orders", |object| object["spec"]["suspend"] = serde_json::json!(true));
        world.says("orders", Reason::Suspended).await;
        world.stop().await;
        let own = world.identity().client_id.to_string();
        world.sign_in_as(&own);
        world.forget_requests();
        world.start().await;
        world.says("mails", Reason::NotPermitted).await;
        sleep(DRIFT * 2).await;
        assert_eq!((world.credentials(), is_marked(world)), (0, false));
        let asked = world.asked();
        let deleted = asked.iter().filter(|asked| asked.starts_with("DELETE"));
        assert_eq!(deleted.collect::<Vec<_>>(), ["DELETE credential: 200"]);
    })
    .await;
}

const HOUR: Duration = Duration::from_hours(1);

/// Lists show what is, and what was is remembered.
fn lists_show_what_is(world: &World) {
    world
        .azure
        .reconfigure(|config| (config.list_lag, config.read_lag) = (Duration::ZERO, HOUR));
}

/// Nothing lags any more.
async fn comes_to_rest(world: &World) {
    world
        .azure
        .reconfigure(|config| (config.list_lag, config.read_lag) = (Duration::ZERO, Duration::ZERO));
    sleep(HOUR).await;
}

/// Lists show what was before there was any credential.
fn lists_show_none(world: &World) {
    world.azure.reconfigure(|config| config.list_lag = HOUR);
}

/// The binding `mails`, whose mark is on the service account, with the credential that another one made which is gone.
async fn heir(world: &World) -> String {
    let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
    lists_show_what_is(world);
    world.create(shares("orders", &id));
    world.ready("orders").await;
    world.create(shares("mails", &id));
    world.ready("mails").await;
    world.delete("orders");
    world.gone("orders").await;
    let uid = world.binding("mails").metadata.uid;
    let marked = |world: &World| {
        let labels = world.account("web").and_then(|account| account.metadata.labels);
        labels.and_then(|labels| labels.get(wio_api::keys::BOUND_BY_LABEL).cloned()) == uid
    };
    world.until("the mark is taken over", marked).await;
    world.ready("mails").await;
    id
}

/// It was seen by both and made by neither: nobody's own name told of it, a list showed it no more, and the client id went before its trust. One that is suspended
/// puts no mark back.
#[tokio::test(start_paused = true)]
async fn a_client_id_stays_with_trust_that_both_had_seen_and_no_list_shows_any_more() {
    for goes in [true, false] {
        story(async |world| {
            let id = heir(world).await;
            world.create(shares("invoices", &id));
            world.ready("invoices").await;
            world.edit("invoices", |object| {
                object["spec"]["suspend"] = serde_json::json!(true);
            });
            world.says("invoices", Reason::Suspended).await;
            lists_show_none(world);
            if goes {
                world.delete("mails");
                world.gone("mails").await;
            } else {
                world.edit("mails", |object| {
                    object["spec"]["serviceAccounts"] = serde_json::json!([{ "name": "mails" }]);
                });
                world.ready("mails").await;
            }
            sleep(AT_ONCE * 5).await;
            assert_eq!((trusting_web(world), is_marked(world)), (1, true), "goes: {goes}");
            comes_to_rest(world).await;
        })
        .await;
    }
}

/// The same, and nobody else wants it: what the status tells of stood for certain, whoever made it.
#[tokio::test(start_paused = true)]
async fn the_last_one_takes_trust_away_that_another_one_made_though_no_list_shows_it() {
    for goes in [true, false] {
        story(async |world| {
            heir(world).await;
            lists_show_none(world);
            if goes {
                world.delete("mails");
            } else {
                world.edit("mails", |object| {
                    object["spec"]["serviceAccounts"] = serde_json::json!([{ "name": "mails" }]);
                });
            }
            world.until("the client id goes", |world| !is_marked(world)).await;
            assert_eq!(trusting_web(world), 0, "goes: {goes}");
            comes_to_rest(world).await;
        })
        .await;
    }
}
