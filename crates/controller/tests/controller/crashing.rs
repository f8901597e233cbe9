//! The operator ends at any moment, as by SIGKILL, and starts again: each path leads to where the straight one leads.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wio_api::keys;
use wio_azure_sim::Fault;
use wio_testkit::fixtures::{binding, policy, service_account};
use wio_testkit::{Effect, Matcher};

use crate::world::*;

/// One where nothing but a role would make the operator look.
const OTHER_SUBSCRIPTION: &str = "0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f77";

/// Everything that is left, but for what differs at each run: ids that Azure or the API server chose, and times.
fn end(world: &World) -> Value {
    let azure: Vec<Value> = world
        .azure
        .snapshot()
        .identities
        .iter()
        .map(|identity| json!({"name": identity.id.name, "tags": identity.tags.len(), "credentials": identity.credentials}))
        .collect();
    let bindings: Vec<Value> = world
        .cluster
        .list::<wio_api::WorkloadIdentityBinding>()
        .iter()
        .map(|binding| {
            let status = binding.status.as_ref().unwrap();
            let conditions: Vec<_> = status
                .conditions
                .iter()
                .map(|c| (&c.type_, &c.status, &c.reason))
                .collect();
            json!([binding.metadata.finalizers, conditions, status.federated_credentials])
        })
        .collect();
    let accounts: Vec<Value> = world
        .cluster
        .list::<k8s_openapi::api::core::v1::ServiceAccount>()
        .iter()
        .map(|account| {
            let metadata = &account.metadata;
            let client_id = metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(keys::CLIENT_ID_ANNOTATION));
            let right = client_id.is_some_and(|id| *id == world.identity().client_id.to_string());
            json!([
                metadata.name,
                metadata
                    .labels
                    .as_ref()
                    .map(|all| all.keys().cloned().collect::<Vec<_>>()),
                right
            ])
        })
        .collect();
    json!([azure, bindings, accounts])
}

/// What a story does, and how its end is told.
#[derive(Clone, Copy, Debug)]
enum Act {
    Create,
    Change,
    Delete,
}

impl Act {
    /// What is there before.
    async fn prepare(self, world: &World) {
        if !matches!(self, Self::Create) {
            Self::Create.begin(world);
            world.ready("orders").await;
            world.forget_requests();
        }
    }

    fn begin(self, world: &World) {
        match self {
            Self::Create => {
                world.create(
                    binding(NAMESPACE, "orders")
                        .managed()
                        .service_account("orders")
                        .service_account("invoices"),
                );
            }
            Self::Change => world.edit("orders", |object| {
                object["spec"]["serviceAccounts"] = json!([{"name": "orders"}, {"name": "mails"}]);
            }),
            Self::Delete => world.delete("orders"),
        }
    }

    async fn ended(self, world: &World) {
        match self {
            Self::Create | Self::Change => drop(world.ready("orders").await),
            Self::Delete => world.gone("orders").await,
        }
    }
}

/// Where the operator ends.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// At a request to Azure.
    Azure { request: u32, carried_out: bool },
    /// At a write to the cluster.
    Cluster { write: usize, carried_out: bool },
}

impl Moment {
    /// Stops the operator at the moment. Returns how it is known that it came.
    fn inject(self, world: &World) -> Box<dyn Fn(&World) -> bool> {
        match self {
            Self::Azure { request, carried_out } => {
                let fault = Fault::any().skip(request).times(1).hang();
                world.azure.inject(if carried_out { fault.execute() } else { fault });
                Box::new(|world| world.azure.faults().is_empty())
            }
            Self::Cluster { write, carried_out } => {
                let writes = Matcher::writes().client(OPERATOR).skip(write).once();
                let hang = Effect::hang();
                let fault = world
                    .cluster
                    .inject(writes, if carried_out { hang.after_serving() } else { hang });
                Box::new(move |_| fault.hits() > 0)
            }
        }
    }
}

/// Plays the act with a crash at the moment. Returns what it came to, or nothing when the moment never came.
async fn crash_at(act: Act, moment: Moment) -> Option<Value> {
    let mut left = None;
    story(async |world| {
        act.prepare(world).await;
        let hit = moment.inject(world);
        act.begin(world);
        tokio::select! {
            () = world.until("the moment", &hit) => {}
            () = act.ended(world) => {}
        }
        let came = hit(world);
        // A request that Azure has taken is carried out, also when nobody waits for it any more.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        world.crash().await;
        world.azure.clear_faults();
        world.cluster.clear_faults();
        world.start().await;
        act.ended(world).await;
        left = came.then(|| end(world));
    })
    .await;
    left
}

/// The binding `orders` with a role in another subscription, which a policy gives.
fn create_reader(world: &World) {
    let scope = format!("/subscriptions/{OTHER_SUBSCRIPTION}");
    let reader = policy("reader").namespace(NAMESPACE).role("Reader", &[&scope]);
    world.cluster.seed(reader.build());
    let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
    world.create(orders.role("Reader", &scope));
}

/// A role is assigned, the operator ends before it can say so, and while it is away the spec gives the role up: nothing but what
/// was written down before says where to look.
#[tokio::test(start_paused = true)]
async fn a_role_that_was_assigned_just_before_a_crash_and_then_left_the_spec_is_taken_away() {
    let mut given = 0;
    let moments = (0..12).flat_map(|n| {
        [false, true].into_iter().flat_map(move |carried_out| {
            [
                Moment::Azure {
                    request: n,
                    carried_out,
                },
                Moment::Cluster {
                    write: n as usize,
                    carried_out,
                },
            ]
        })
    });
    for moment in moments {
        story(async |world| {
            let hit = moment.inject(world);
            create_reader(world);
            tokio::select! {
                () = world.until("the moment", &hit) => {}
                _ = world.ready("orders") => {}
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            world.crash().await;
            given += usize::from(!world.azure.snapshot().role_assignments.is_empty());
            world.azure.clear_faults();
            world.cluster.clear_faults();
            world.edit("orders", |object| object["spec"]["roleAssignments"] = json!([]));
            world.start().await;
            world.ready("orders").await;
            assert_eq!(world.azure.snapshot().role_assignments, [], "{moment:?}");
            is_forgotten(world).await;
        })
        .await;
    }
    assert!(given > 2, "in some of them the role was given");
}

/// As before, but the operator goes on: the answer to the assignment is lost, and the spec changes before it looks again.
#[tokio::test(start_paused = true)]
async fn a_role_whose_answer_was_lost_and_that_then_left_the_spec_is_taken_away() {
    story(async |world| {
        let lost = Fault::on("PUT").kind(wio_azure_sim::ResourceKind::RoleAssignment);
        world.azure.inject(lost.times(1).execute().drop_connection());
        create_reader(world);
        let given = |world: &World| !world.azure.snapshot().role_assignments.is_empty();
        world.until("the role is given", given).await;
        world.edit("orders", |object| object["spec"]["roleAssignments"] = json!([]));
        world.ready("orders").await;
        assert_eq!(world.azure.snapshot().role_assignments, []);
        is_forgotten(world).await;
    })
    .await;
}

/// Where the role may have been given is told of until a look shows that none can arrive there any more.
async fn is_forgotten(world: &World) {
    let told = |world: &World| world.binding("orders").status.unwrap().role_assignment_scopes;
    world
        .until("it is forgotten where the role was", |world| told(world).is_empty())
        .await;
}

/// The same, and Azure carries the assignment out half a minute later: no look shows it by then, and it stood for good.
#[tokio::test(start_paused = true)]
async fn a_role_that_arrives_when_the_spec_asks_for_it_no_more_is_taken_away() {
    for goes in [true, false] {
        late_role(async |world| {
            world.edit("orders", |object| object["spec"]["roleAssignments"] = json!([]));
            world.ready("orders").await;
            if goes {
                world.delete("orders");
                world.gone("orders").await;
            }
        })
        .await;
    }
}

/// The identity was lost and made anew meanwhile. No assignment was seen of the former one, so its principal was forgotten.
#[tokio::test(start_paused = true)]
async fn a_role_that_arrives_when_its_identity_was_made_anew_is_taken_away() {
    for goes in [true, false] {
        late_role(async |world| {
            world.change_azure(|azure| azure.identities.clear());
            world.ready("orders").await;
            if goes {
                world.delete("orders");
                world.gone("orders").await;
            } else {
                world.edit("orders", |object| object["spec"]["roleAssignments"] = json!([]));
                world.ready("orders").await;
            }
        })
        .await;
    }
}

/// The binding was denied meanwhile. As soon as it had nothing any more it forgot where the role was to be given.
#[tokio::test(start_paused = true)]
async fn a_role_that_arrives_when_its_binding_is_denied_is_taken_away() {
    late_role(async |world| {
        world.cluster.seed(policy("keep").namespace(NAMESPACE).build());
        world.edit("orders", |object| {
            object["spec"]["deletionPolicy"] = json!("Orphan");
            object["spec"]["roleAssignments"] = json!([]);
        });
        world.says("orders", wio_api::Reason::NotPermitted).await;
    })
    .await;
}

/// Something happens after a role was asked for, and before Azure carries that out.
async fn late_role(happens: impl AsyncFnOnce(&mut World)) {
    const LATE: Duration = Duration::from_secs(40);
    story(async |world| {
        let late = Fault::on("PUT").kind(wio_azure_sim::ResourceKind::RoleAssignment);
        world.azure.inject(late.times(1).execute_after(LATE).drop_connection());
        create_reader(world);
        world
            .until("the role is asked for", |world| world.azure.faults().is_empty())
            .await;
        let asked = Instant::now();
        happens(world).await;
        sleep(Duration::from_mins(5).saturating_sub(asked.elapsed())).await;
        assert_eq!(world.azure.snapshot().role_assignments, []);
    })
    .await;
}

/// A credential of somebody else already trusts the service account, so that nothing is written to Azure: the binding marks the service
/// account alone. The operator ends before it can say so, and nobody may take the mark for somebody else's afterwards.
#[tokio::test(start_paused = true)]
async fn a_service_account_that_was_marked_just_before_a_crash_is_let_go_with_its_binding() {
    let mut marked = 0;
    for (write, carried_out) in (0..6).flat_map(|n| [(n, false), (n, true)]) {
        story(async |world| {
            let mut trusts = foreign_credential("by-hand", "system:serviceaccount:shop:orders");
            trusts.issuer = wio_testkit::DEFAULT_ISSUER.to_owned();
            let id = world.foreign_identity(SHARED_GROUP, "billing", vec![trusts]);
            world.cluster.seed(service_account(NAMESPACE, "orders").build());
            let hit = Moment::Cluster { write, carried_out }.inject(world);
            world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
            tokio::select! {
                () = world.until("the moment", &hit) => {}
                _ = world.ready("orders") => {}
            }
            world.crash().await;
            world.cluster.clear_faults();
            let mark = |world: &World| world.annotation("orders", keys::CLIENT_ID_ANNOTATION);
            marked += usize::from(mark(world).is_some());
            world.delete("orders");
            world.start().await;
            world.gone("orders").await;
            assert_eq!(mark(world), None, "after write {write}, carried out: {carried_out}");
        })
        .await;
    }
    assert!(marked > 2, "in some of them it was marked");
}

async fn straight(act: Act) -> Value {
    let mut left = None;
    story(async |world| {
        act.prepare(world).await;
        act.begin(world);
        act.ended(world).await;
        left = Some(end(world));
    })
    .await;
    left.unwrap()
}

async fn every_crash_ends_as_the_straight_path(act: Act, azure_requests: u32, cluster_writes: usize) {
    let expected = straight(act).await;
    for carried_out in [false, true] {
        for request in 0.. {
            let moment = Moment::Azure { request, carried_out };
            let Some(left) = crash_at(act, moment).await else {
                assert!(request >= azure_requests, "only {request} requests");
                break;
            };
            assert_eq!(left, expected, "{moment:?}");
        }
        for write in 0.. {
            let moment = Moment::Cluster { write, carried_out };
            let Some(left) = crash_at(act, moment).await else {
                assert!(write >= cluster_writes, "only {write} writes");
                break;
            };
            assert_eq!(left, expected, "{moment:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_of_a_creation_changes_nothing_in_the_end() {
    every_crash_ends_as_the_straight_path(Act::Create, 3, 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_of_a_change_changes_nothing_in_the_end() {
    every_crash_ends_as_the_straight_path(Act::Change, 4, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_of_a_deletion_changes_nothing_in_the_end() {
    every_crash_ends_as_the_straight_path(Act::Delete, 5, 3).await;
}
