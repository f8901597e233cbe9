//! Bindings whose readiness is proven: a token of each service account, exchanged with Entra.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use tokio::time::sleep;
use wio_api::keys::RECONCILE_AT_ANNOTATION;
use wio_api::{Reason, TokenExchangeStatus, VerificationMode, WorkloadIdentityBinding, WorkloadIdentityPolicy};
use wio_azure_sim::{Fault, ResourceKind};
use wio_core::election::Terms;
use wio_testkit::fixtures::{BindingBuilder, binding, policy};
use wio_testkit::{DEFAULT_ISSUER, Effect, FakeApiServer, Matcher};

use crate::log::Log;
use crate::world::*;

/// The key by which the cluster of a story signs its tokens, and what Entra knows of it.
const KEY: &[u8] = include_bytes!("../../../azure-sim/tests/keys/test-only-cluster-key.pem");
const KEYS: &str = include_str!("../../../azure-sim/tests/keys/test-only-cluster.jwks.json");
const CONDITION: &str = "TokenExchangeVerified";
const DAY: Duration = Duration::from_hours(24);

fn orders() -> BindingBuilder {
    binding(NAMESPACE, "orders")
        .managed()
        .service_account("orders")
        .verified(VerificationMode::TokenExchange)
}

/// The tokens that the cluster of a story gave.
#[derive(Clone, Default)]
struct Minted(Arc<Mutex<Vec<String>>>);

impl Minted {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A story in a cluster that issues tokens which Entra can judge.
async fn proving(play: impl AsyncFnOnce(&mut World, Minted)) {
    story(async |world| {
        let minted = world.issue_tokens();
        play(world, minted).await;
    })
    .await;
}

impl World {
    fn issue_tokens(&self) -> Minted {
        let minted = Minted::default();
        self.publish_keys();
        let (told, azure) = (minted.clone(), self.azure.clone());
        self.cluster.sign_tokens_with(move |claims| {
            let header = Header {
                kid: Some("cluster-1".to_owned()),
                ..Header::new(Algorithm::RS256)
            };
            // The two have clocks of their own.
            let now = azure.now().as_second();
            let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
            assert_eq!(life, 600, "the shortest life that there is");
            let mut claims = claims.clone();
            (claims["iat"], claims["nbf"], claims["exp"]) = (json!(now), json!(now), json!(now + life));
            let token = encode(&header, &claims, &EncodingKey::from_rsa_pem(KEY).unwrap()).unwrap();
            told.0.lock().unwrap().push(token.clone());
            token
        });
        minted
    }

    fn publish_keys(&self) {
        self.issuers
            .publish(DEFAULT_ISSUER, serde_json::from_str(KEYS).unwrap());
    }

    fn exchanges(&self, name: &str) -> Vec<TokenExchangeStatus> {
        self.binding(name).status.unwrap().token_exchanges
    }

    /// Waits until the condition of the proof has this reason.
    async fn proof_says(&self, name: &str, reason: Reason) -> WorkloadIdentityBinding {
        let says = |binding: &WorkloadIdentityBinding| {
            find_condition(binding, CONDITION).is_some_and(|proof| proof.reason == reason.as_str())
        };
        self.cluster.wait_for(NAMESPACE, name, says).await
    }

    fn set_mode(&self, name: &str, mode: &str) {
        self.edit(name, |object| object["spec"]["verification"] = json!({ "mode": mode }));
    }
}

/// Requests for tokens of service accounts.
fn token_requests() -> Matcher {
    by_operator().resource("serviceaccounts").subresource("token")
}

#[tokio::test(start_paused = true)]
async fn ready_waits_for_a_token_and_one_is_asked_for_once_a_day() {
    proving(async |world, minted| {
        world.create(orders().service_account("mails"));
        let waiting = world.says("orders", Reason::TokenExchangeAwaited).await;
        assert_eq!(condition(&waiting, "Ready").status, "Unknown");
        assert_eq!(condition(&waiting, CONDITION).status, "Unknown");
        assert_eq!(minted.count(), 0, "what was written a moment ago has time to arrive");
        let ready = world.ready("orders").await;
        let proof = condition(&ready, CONDITION);
        assert_eq!((proof.status.as_str(), proof.reason.as_str()), ("True", "Succeeded"));
        assert!(proof.message.contains("mails, orders") || proof.message.contains("orders, mails"));
        assert!(proof.message.contains("Another region"), "{}", proof.message);
        assert_eq!(minted.count(), 2, "one for each service account");
        assert!(
            world
                .exchanges("orders")
                .iter()
                .all(|one| one.verified_at.is_some() && one.pending.is_none())
        );
        world.settle().await;
        assert_eq!(minted.count(), 2, "what is proven is not proven again");
        for day in 2..=3 {
            let proven = world.exchanges("orders");
            sleep(DAY).await;
            assert!(
                (2 * day - 2..=2 * day + 2).contains(&minted.count()),
                "{}",
                minted.count()
            );
            assert_ne!(world.exchanges("orders"), proven, "the status says when");
        }
        let ready = world.ready("orders").await;
        assert_eq!(condition(&ready, CONDITION).status, "True");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_entra_does_not_know_yet_is_waited_for_with_growing_pauses() {
    proving(async |world, minted| {
        world
            .azure
            .reconfigure(|config| config.credential_propagation = Duration::from_mins(3));
        world.create(orders());
        let asked = |world: &World| {
            world.exchanges("orders").iter().any(|one| {
                one.pending
                    .as_ref()
                    .is_some_and(|pending| pending.message.contains("AADSTS"))
            })
        };
        world.says("orders", Reason::TokenExchangeAwaited).await;
        world.until("Entra refuses", asked).await;
        let refused = world.binding("orders");
        assert_eq!(condition(&refused, "Ready").status, "Unknown");
        assert_eq!(condition(&refused, "Reconciling").status, "True");
        assert!(find_condition(&refused, "Stalled").is_none());
        world.ready("orders").await;
        assert!((2..=6).contains(&minted.count()), "{}", minted.count());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_entra_goes_on_refusing_stalls_with_its_code_explained_and_heals() {
    proving(async |world, _| {
        world
            .azure
            .reconfigure(|config| config.credential_propagation = Duration::from_mins(30));
        world.create(orders());
        let stalled = world.says("orders", Reason::TokenExchangeRefused).await;
        assert_eq!(condition(&stalled, "Stalled").status, "True");
        assert_eq!(condition(&stalled, CONDITION).status, "False");
        assert!(message(&stalled).contains("AADSTS70025"), "{}", message(&stalled));
        assert!(
            message(&stalled).contains("kubectl wib reconcile"),
            "{}",
            message(&stalled)
        );
        for part in ["IdentityReady", "FederatedCredentialsReady", "ServiceAccountsReady"] {
            assert_eq!(condition(&stalled, part).status, "True", "{part}");
        }
        assert_eq!(world.credentials(), 1, "trust stays");
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_entra_cannot_reach_needs_a_person_at_once() {
    proving(async |world, _| {
        world.issuers.withdraw(DEFAULT_ISSUER);
        world.create(orders());
        let stalled = world.says("orders", Reason::TokenExchangeRefused).await;
        assert!(
            message(&stalled).contains("cannot reach the issuer"),
            "{}",
            message(&stalled)
        );
        world.publish_keys();
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_may_not_mint_tokens_names_the_flag_and_heals() {
    proving(async |world, minted| {
        world.cluster.inject(token_requests(), Effect::forbidden());
        world.create(orders());
        let stalled = world.says("orders", Reason::TokenRequestForbidden).await;
        assert_eq!(condition(&stalled, "Stalled").status, "True");
        assert_eq!(condition(&stalled, CONDITION).status, "Unknown");
        assert!(
            message(&stalled).contains("verification.enabled"),
            "{}",
            message(&stalled)
        );
        assert_eq!((minted.count(), world.credentials()), (0, 1));
        world.cluster.clear_faults();
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_entra_out_of_reach_proves_nothing_takes_nothing_and_is_believed_for_two_days() {
    proving(async |world, _| {
        let away = || Fault::on("POST").suffix("/token").drop_connection().forever();
        world.azure.inject(away());
        world.create(orders());
        let waiting = world.says("orders", Reason::TokenExchangeNotTried).await;
        assert_eq!(condition(&waiting, "Ready").status, "Unknown");
        assert!(find_condition(&waiting, "Stalled").is_none());
        assert!(
            message(&waiting).contains("login.microsoftonline.com"),
            "{}",
            message(&waiting)
        );
        world.azure.clear_faults();
        world.ready("orders").await;
        world.azure.inject(away());
        sleep(DAY).await;
        let believed = world.proof_says("orders", Reason::TokenExchangeNotTried).await;
        assert_eq!(condition(&believed, CONDITION).status, "Unknown");
        assert_eq!(condition(&believed, "Ready").status, "True", "pods may well get tokens");
        sleep(DAY).await;
        let lost = world.says("orders", Reason::TokenExchangeNotTried).await;
        assert_eq!(condition(&lost, "Ready").status, "Unknown");
        assert_eq!(world.credentials(), 1, "trust stays");
        world.azure.clear_faults();
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_proves_nothing_again_that_is_fresh() {
    proving(async |world, minted| {
        world.create(orders());
        world.ready("orders").await;
        let before = world.binding("orders");
        world.crash().await;
        world.start().await;
        sleep(DRIFT * 3).await;
        assert_eq!((minted.count(), world.binding("orders")), (1, before));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_change_of_what_the_proof_rests_on_is_proven_and_no_other_one() {
    proving(async |world, minted| {
        world.create(orders());
        world.ready("orders").await;
        world.edit("orders", |object| object["spec"]["deletionPolicy"] = json!("Orphan"));
        world.ready("orders").await;
        assert_eq!(minted.count(), 1);
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"] = json!([{ "name": "orders" }, { "name": "mails" }]);
        });
        world.ready("orders").await;
        assert_eq!(minted.count(), 2, "the new one alone");
        world.edit("orders", |object| object["spec"]["audience"] = json!("api://another"));
        world.ready("orders").await;
        assert_eq!(minted.count(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_was_put_back_is_proven_again() {
    proving(async |world, minted| {
        world.create(orders());
        world.ready("orders").await;
        world.change_azure(|snapshot| snapshot.identities[0].credentials.clear());
        world.says("orders", Reason::TokenExchangeAwaited).await;
        world.ready("orders").await;
        assert_eq!((minted.count(), world.credentials()), (2, 1));
    })
    .await;
}

/// The simulation found it: the proof was struck out, the operator ended, and the binding went on to be ready until somebody looked at it.
#[tokio::test(start_paused = true)]
async fn a_binding_whose_proof_is_struck_out_is_not_ready_though_the_operator_ends_right_then() {
    proving(async |world, minted| {
        world.create(orders());
        world.ready("orders").await;
        let put = Fault::on("PUT").kind(ResourceKind::Credential).times(1);
        world.azure.inject(put.execute().hang());
        world.change_azure(|azure| azure.identities[0].credentials.clear());
        let was_sent = |world: &World| world.azure.faults().is_empty();
        world.until("it is written anew", was_sent).await;
        world.crash().await;
        let left = world.says("orders", Reason::TokenExchangeAwaited).await;
        assert_eq!(world.exchanges("orders"), []);
        for (kind, status) in [("Ready", "Unknown"), ("Reconciling", "True"), (CONDITION, "Unknown")] {
            assert_eq!(condition(&left, kind).status, status, "{kind}");
        }
        assert_eq!(condition(&left, "IdentityReady").status, "True");
        let before = minted.count();
        world.start().await;
        world.ready("orders").await;
        assert_eq!(minted.count(), before + 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_no_proof_is_asked_for_nothing_is_minted_and_the_status_speaks_of_none() {
    proving(async |world, minted| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        sleep(DAY).await;
        assert_eq!(minted.count(), 0);
        world.set_mode("orders", "TokenExchange");
        world.ready("orders").await;
        assert_eq!(minted.count(), 1, "an old credential is asked for at once");
        world.set_mode("orders", "None");
        let off = world.ready("orders").await;
        assert!(find_condition(&off, CONDITION).is_none());
        assert!(off.status.unwrap().token_exchanges.is_empty());
        sleep(DAY).await;
        assert_eq!(minted.count(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_turns_the_proof_off_and_on_again_and_again_is_paced() {
    proving(async |world, minted| {
        world.create(orders());
        world.ready("orders").await;
        for _ in 0..200 {
            for mode in ["None", "TokenExchange"] {
                world.set_mode("orders", mode);
                sleep(Duration::from_millis(700)).await;
            }
        }
        // 280 seconds, with ten at once and one every fifteen seconds.
        assert!(minted.count() <= 1 + 10 + 280 / 15 + 1, "{}", minted.count());
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_binding_is_not_proven_and_what_was_proven_stands() {
    proving(async |world, minted| {
        world.create(orders());
        world.ready("orders").await;
        world.edit("orders", |object| object["spec"]["suspend"] = json!(true));
        let suspended = world.says("orders", Reason::Suspended).await;
        assert_eq!(condition(&suspended, "Ready").status, "True");
        sleep(DAY * 2).await;
        assert_eq!(minted.count(), 1);
        assert_eq!(condition(&world.binding("orders"), CONDITION).status, "True");
        world.edit("orders", |object| object["spec"]["suspend"] = json!(false));
        world.ready("orders").await;
        assert_eq!(minted.count(), 2);
        world.create(binding(NAMESPACE, "mails").managed().service_account("mails"));
        world.ready("mails").await;
        world.edit("mails", |object| {
            object["spec"]["suspend"] = json!(true);
            object["spec"]["verification"] = json!({ "mode": "TokenExchange" });
        });
        let unproven = world.says("mails", Reason::Suspended).await;
        assert_eq!(condition(&unproven, "Ready").status, "False");
        assert_eq!(minted.count(), 2);
        world.delete("mails");
        world.gone("mails").await;
    })
    .await;
}

/// Who may write bindings must not have tokens minted of service accounts that are not the binding's.
#[tokio::test(start_paused = true)]
async fn no_token_is_minted_of_a_service_account_that_the_binding_does_not_have() {
    proving(async |world, minted| {
        world.create(orders());
        world.ready("orders").await;
        // The account is the other binding's already.
        world.create(
            binding(NAMESPACE, "thief")
                .managed()
                .service_account("orders")
                .verified(VerificationMode::TokenExchange),
        );
        world.says("thief", Reason::ServiceAccountConflict).await;
        sleep(Duration::from_hours(1)).await;
        assert_eq!(minted.count(), 1);
        let thief = world.binding("thief");
        assert_eq!(condition(&thief, CONDITION).status, "Unknown");
        world.delete("thief");
        world.gone("thief").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_two_replicas_one_proves() {
    let mut world = World::new();
    world.cluster.create_namespace("operators");
    let minted = world.issue_tokens();
    world.lease = Some(Terms::new(Duration::from_secs(15)));
    world.start().await;
    world.start_another().await;
    world.create(orders());
    world.ready("orders").await;
    sleep(DRIFT).await;
    assert_eq!(minted.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_bindings_are_proven_by_the_operators_default_at_a_pace_and_spread_over_the_day() {
    let mut world = World::new();
    let minted = world.issue_tokens();
    world.config.verification = VerificationMode::TokenExchange;
    world.drift_interval = Duration::from_hours(12);
    world.start().await;
    world.create_many(60);
    world.all_ready(60).await;
    assert_eq!(minted.count(), 60);
    sleep(Duration::from_hours(22)).await;
    let half = minted.count();
    assert!((70..=110).contains(&half), "{half}");
    sleep(Duration::from_hours(3)).await;
    assert!(minted.count() >= 120, "{}", minted.count());
}

#[tokio::test(start_paused = true)]
async fn a_token_stands_nowhere() {
    let log = Log::begin();
    proving(async |world, minted| {
        world
            .azure
            .reconfigure(|config| config.credential_propagation = Duration::from_mins(1));
        world.create(orders());
        world.ready("orders").await;
        let kept = format!(
            "{:?}{:?}",
            world.cluster.list::<WorkloadIdentityBinding>(),
            world.cluster.list::<k8s_openapi::api::events::v1::Event>()
        );
        for token in minted.0.lock().unwrap().iter() {
            let signature = token.rsplit('.').next().unwrap();
            assert!(!kept.contains(signature));
            assert_eq!(log.lines(signature), Vec::<String>::new());
        }
        assert!(minted.count() > 1 && !log.lines("was not exchanged").is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_is_held_while_a_token_is_waited_for_does_not_go_round_and_round() {
    proving(async |world, _| {
        world
            .azure
            .reconfigure(|config| config.credential_propagation = Duration::from_mins(5));
        for name in ["one", "two", "three"] {
            world.cluster.seed(policy(name).build());
        }
        let id = world.foreign_identity(SHARED_GROUP, "orders", Vec::new());
        let orders = binding(NAMESPACE, "orders").existing(&id).service_account("orders");
        world.create(orders.verified(VerificationMode::TokenExchange));
        world.says("orders", Reason::TokenExchangeAwaited).await;
        let shared = world.cluster.get::<WorkloadIdentityPolicy>("", "shared").unwrap();
        world.forget_requests();
        for name in ["one", "two", "three", "shared"] {
            world.cluster.delete::<WorkloadIdentityPolicy>("", name);
        }
        let restless = |cluster: &FakeApiServer| (cluster.requests().len() > 2_000).then_some(());
        let held = async {
            world.says("orders", Reason::MassDisappearance).await;
            sleep(DRIFT).await;
        };
        tokio::select! {
            () = held => {}
            () = world.cluster.wait_until("somebody asks again and again", restless) => panic!("it goes round and round"),
        }
        world.cluster.seed(policy("shared").namespace(NAMESPACE).existing(&shared.spec.existing_identities[0]).build());
        world.ready("orders").await;
    })
    .await;
}

/// The bindings `orders` and `mails`, which rest on one credential and are proven both; the first one made it.
async fn two_proven(world: &World) {
    let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
    for name in ["orders", "mails"] {
        let shares = binding(NAMESPACE, name).existing(&id).service_account("web");
        world.create(shares.verified(VerificationMode::TokenExchange));
        world.ready(name).await;
    }
}

fn is_mended(world: &World) -> bool {
    world.identity().credentials[0].audiences != ["api://else"]
}

/// Somebody edits the credential, and the binding `mails` alone looks at it.
fn edited_and_seen_by_mails(world: &World) {
    world.change_azure(|azure| azure.identities[0].credentials[0].audiences = vec!["api://else".to_owned()]);
    world.edit("mails", |object| {
        object["metadata"]["annotations"] = json!({ RECONCILE_AT_ANNOTATION: "now" });
    });
}

/// The simulation found it: the one whose credential it was did not hear of that, and its proof stood for a day.
#[tokio::test(start_paused = true)]
async fn a_credential_that_another_binding_mends_is_proven_again_by_all_that_rest_on_it() {
    proving(async |world, minted| {
        two_proven(world).await;
        let before = minted.count();
        edited_and_seen_by_mails(world);
        let struck = world.says("orders", Reason::TokenExchangeAwaited).await;
        assert_eq!(condition(&struck, "Ready").status, "Unknown");
        for name in ["orders", "mails"] {
            world.ready(name).await;
        }
        assert_eq!((minted.count(), world.credentials()), (before + 2, 1));
        world.settle().await;
        let proven = [world.binding("orders"), world.binding("mails")];
        world.crash().await;
        world.start().await;
        sleep(DRIFT * 3).await;
        assert_eq!([world.binding("orders"), world.binding("mails")], proven);
        assert_eq!(minted.count(), before + 2, "nothing is proven again that is fresh");
        let told = proven[1].status.as_ref().unwrap().credential_rewrites.len();
        assert_eq!(told, 1);
        sleep(DAY * 3).await;
        assert_eq!(world.binding("mails").status.unwrap().credential_rewrites, []);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_rests_on_a_mended_credential_hears_of_it_though_the_operator_ends_right_then() {
    proving(async |world, minted| {
        two_proven(world).await;
        let before = minted.count();
        // Its status cannot be written: it does not come to hear of it from this operator.
        let deaf = by_operator().subresource("status").name("orders");
        world.cluster.inject(deaf, Effect::forbidden());
        edited_and_seen_by_mails(world);
        world.until("it is mended", is_mended).await;
        world.crash().await;
        world.cluster.clear_faults();
        assert_eq!(condition(&world.binding("orders"), "Ready").status, "True");
        world.start().await;
        world.says("orders", Reason::TokenExchangeAwaited).await;
        for name in ["orders", "mails"] {
            world.ready(name).await;
        }
        assert_eq!(minted.count(), before + 2);
    })
    .await;
}

/// An exchange that is under way when the credential is written says nothing of the new one.
#[tokio::test(start_paused = true)]
async fn what_is_proven_while_another_binding_mends_the_credential_is_proven_again() {
    proving(async |world, minted| {
        two_proven(world).await;
        world.set_mode("orders", "None");
        world.ready("orders").await;
        let slow = Fault::on("POST")
            .suffix("/token")
            .delay(Duration::from_secs(8))
            .times(1);
        world.azure.inject(slow);
        let before = minted.count();
        world.set_mode("orders", "TokenExchange");
        world.until("it is asked for", |_| minted.count() > before).await;
        edited_and_seen_by_mails(world);
        world.until("it is mended", is_mended).await;
        for name in ["orders", "mails"] {
            world.says(name, Reason::TokenExchangeAwaited).await;
        }
        for name in ["orders", "mails"] {
            world.ready(name).await;
        }
        assert_eq!(minted.count(), before + 3);
    })
    .await;
}
