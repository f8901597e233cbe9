use std::time::Duration;

use wio_api::{ManagedIdentity, Reason, WorkloadIdentityBinding, keys};
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::fixtures::binding;
use wio_testkit::{Effect, Matcher, Verb};

use crate::world::*;

#[tokio::test(start_paused = true)]
async fn a_new_managed_binding_costs_one_look_one_write_for_its_identity_and_one_for_each_service_account() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        let ready = world.ready("orders").await;
        assert_eq!(
            world.asked(),
            [
                "GET identity: 404",
                "PUT identity: 201",
                "PUT credential: 201",
                "PUT credential: 201"
            ]
        );
        let writes: Vec<String> = world.cluster_writes().iter().map(ToString::to_string).collect();
        assert_eq!(
            writes[..5],
            [
                "patch workloadidentitybindings shop/orders by workload-identity-operator: 200",
                "apply workloadidentitybindings/status shop/orders by workload-identity-operator-status: 200",
                "apply serviceaccounts shop/orders by workload-identity-operator: 201",
                "apply serviceaccounts shop/invoices by workload-identity-operator: 201",
                "apply workloadidentitybindings/status shop/orders by workload-identity-operator-status: 200",
            ],
            "the order of writes"
        );
        let identity = world.identity();
        let status = ready.status.as_ref().unwrap();
        let shown = status.identity.as_ref().unwrap();
        assert_eq!(shown.client_id, Some(identity.client_id.to_string()));
        assert_eq!(shown.principal_id, Some(identity.principal_id.to_string()));
        assert_eq!(shown.name, identity.id.name);
        assert_eq!(status.issuer.as_deref(), Some(wio_testkit::DEFAULT_ISSUER));
        for kind in [
            "Ready",
            "IdentityReady",
            "FederatedCredentialsReady",
            "ServiceAccountsReady",
        ] {
            assert_eq!(condition(&ready, kind).status, "True", "{kind}");
        }
        for account in ["orders", "invoices"] {
            let client_id = world.annotation(account, keys::CLIENT_ID_ANNOTATION);
            assert_eq!(client_id, Some(identity.client_id.to_string()));
            let tenant = world.annotation(account, keys::TENANT_ID_ANNOTATION);
            assert_eq!(tenant, Some(world.azure.config().tenant_id.to_string()));
            let subject = format!("system:serviceaccount:shop:{account}");
            let credential = identity
                .credentials
                .iter()
                .find(|credential| credential.subject == Some(subject.clone()));
            let credential = credential.unwrap_or_else(|| panic!("no credential for {account}"));
            assert_eq!(credential.issuer, wio_testkit::DEFAULT_ISSUER);
            assert_eq!(credential.audiences, ["api://AzureADTokenExchange"]);
        }
        assert_eq!(identity.tags[keys::CLUSTER_TAG], wio_testkit::CLUSTER_UID);
        assert_eq!(identity.tags[keys::BINDING_TAG], "shop/orders");
    })
    .await;
}

/// Each call is there for a reason (docs/adr/0025), and another one would need one.
#[tokio::test(start_paused = true)]
async fn a_new_binding_with_one_service_account_costs_five_calls_to_kubernetes_until_it_is_ready_and_an_event() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let asked = world.cluster.requests().into_iter();
        let asked =
            asked.filter(|request| request.client == OPERATOR && !matches!(request.verb, Verb::List | Verb::Watch));
        let asked: Vec<String> = asked
            .map(|request| format!("{} {} {}", request.verb, request.resource, request.subresource))
            .map(|call| call.trim_end().to_owned())
            .collect();
        assert_eq!(
            asked,
            [
                "patch workloadidentitybindings",
                "get serviceaccounts",
                "apply workloadidentitybindings status",
                "apply serviceaccounts",
                "apply workloadidentitybindings status",
                "create events",
            ]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_spec_says_reaches_azure_and_the_service_account() {
    story(async |world| {
        let identity = ManagedIdentity {
            name: Some("shop_orders-prod".to_owned()),
            tags: [("team".to_owned(), "shop".to_owned())].into(),
            ..ManagedIdentity::default()
        };
        let orders = binding(NAMESPACE, "orders")
            .managed_as(identity)
            .audience("api://other");
        world.create(orders.service_account("orders").token_expiration(7200));
        world.ready("orders").await;
        assert_eq!(
            world.asked()[0],
            "GET identity: 404",
            "a name from the spec may be anybody's"
        );
        let identity = world.identity();
        assert_eq!(
            (identity.id.name.as_str(), identity.tags["team"].as_str()),
            ("shop_orders-prod", "shop")
        );
        assert_eq!(identity.credentials[0].audiences, ["api://other"]);
        assert_eq!(
            world.annotation("orders", keys::TOKEN_EXPIRATION_ANNOTATION).unwrap(),
            "7200"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_spec_is_carried_out_as_the_difference() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.forget_requests();
        world.edit("orders", |object| {
            let accounts = object["spec"]["serviceAccounts"].as_array_mut().unwrap();
            accounts.push(serde_json::json!({"name": "invoices"}));
        });
        world.ready("orders").await;
        assert_eq!(world.asked(), ["PUT credential: 201"]);
        world.forget_requests();
        world.edit("orders", |object| {
            object["spec"]["identity"]["managed"]["tags"] = serde_json::json!({"team": "shop"});
        });
        // An Azure Policy adds a tag.
        world.change_azure(|azure| {
            azure.identities[0]
                .tags
                .insert("cost-center".to_owned(), "7".to_owned());
        });
        world
            .until("the tag is set", |world| world.identity().tags.contains_key("team"))
            .await;
        assert_eq!(world.identity().tags["cost-center"], "7", "somebody else's tag stays");
    })
    .await;
}

/// The operator's writes of finalizers.
fn finalizers() -> Matcher {
    by_operator()
        .verb(Verb::Patch)
        .resource("workloadidentitybindings")
        .subresource("")
}

/// A crash between the first write and the finalizer would leave objects in Azure that nobody knows of. The first look goes beside it, and
/// what it showed is not read again.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_to_azure_before_the_finalizer_is_set() {
    story(async |world| {
        let fault = world.cluster.inject(finalizers(), Effect::internal_error());
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.until("it was tried again", |_| fault.hits() >= 3).await;
        assert_eq!(world.asked(), ["GET identity: 404"]);
        fault.remove();
        world.ready("orders").await;
    })
    .await;
}

/// Each waited for the other, which cost a person the time that the API server took.
#[tokio::test(start_paused = true)]
async fn azure_is_looked_at_while_the_finalizer_is_set() {
    story(async |world| {
        world
            .cluster
            .inject(finalizers(), Effect::delay(Duration::from_secs(3)));
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world
            .until("Azure was looked at", |world| world.asked() == ["GET identity: 404"])
            .await;
        let finalizers = world.binding("orders").metadata.finalizers;
        assert_eq!(finalizers.unwrap_or_default(), [""; 0]);
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_client_id_reaches_a_service_account_only_after_azure_took_its_credential() {
    story(async |world| {
        world
            .azure
            .reconfigure(|config| config.parent_replication = Duration::from_mins(3));
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        let waiting = world.says("orders", Reason::ReplicationPending).await;
        assert_eq!(world.account("orders"), None);
        assert_eq!(condition(&waiting, "IdentityReady").status, "True");
        assert_eq!(condition(&waiting, "FederatedCredentialsReady").status, "False");
        assert!(message(&waiting).contains("four minutes"), "{}", message(&waiting));
        world.ready("orders").await;
        let asked = world.asked();
        assert_eq!(
            asked.iter().filter(|line| line.starts_with("PUT identity")).count(),
            1,
            "{asked:#?}"
        );
        assert!(asked[1..].iter().all(|line| !line.starts_with("GET")), "{asked:#?}");
        assert!(asked.len() < 20, "asking often prolongs it: {asked:#?}");
    })
    .await;
}

/// An answer without a client id must not become an annotation with none: the webhook would admit pods without one.
#[tokio::test(start_paused = true)]
async fn an_answer_without_a_client_id_annotates_nothing() {
    story(async |world| {
        let put = Fault::on("PUT").kind(ResourceKind::Identity);
        world.azure.inject(put.respond(201, "NotAnIdentity").execute());
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.says("orders", Reason::AzureUnavailable).await;
        assert_eq!(world.account("orders"), None);
        world.ready("orders").await;
        let client_id = world.identity().client_id.to_string();
        assert_eq!(world.annotation("orders", keys::CLIENT_ID_ANNOTATION), Some(client_id));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_permitted_is_said_and_nothing_is_written() {
    story(async |world| {
        let identity = ManagedIdentity { resource_group: Some("elsewhere".to_owned()), ..ManagedIdentity::default() };
        world.create(binding(NAMESPACE, "group").managed_as(identity).service_account("orders"));
        world.create(binding(NAMESPACE, "role").managed().service_account("orders").role("Reader", &format!("/subscriptions/{SUBSCRIPTION}")));
        let id = format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/secret/providers/Microsoft.ManagedIdentity/userAssignedIdentities/admin"
        );
        world.create(binding(NAMESPACE, "identity").existing(&id).service_account("orders"));
        for (name, field) in [("group", "resourceGroup"), ("role", "roleAssignments"), ("identity", "resourceId")] {
            let refused = world.says(name, Reason::NotPermitted).await;
            assert_eq!(condition(&refused, "Stalled").status, "True");
            assert!(message(&refused).contains(field), "{}", message(&refused));
            assert_eq!(refused.metadata.finalizers, None, "it may be deleted at once");
        }
        assert_eq!((world.asked(), world.account("orders")), (Vec::new(), None));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_an_older_schema_let_pass_is_refused_with_its_field() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").service_account("orders"));
        let refused = world.says("orders", Reason::InvalidSpec).await;
        assert!(message(&refused).contains("spec.identity"), "{}", message(&refused));
        world.edit("orders", |object| {
            object["spec"]["identity"] = serde_json::json!({"managed": {}});
        });
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn many_bindings_to_one_identity_never_write_to_it_at_once() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        for n in 0..10 {
            let name = format!("b{n}");
            world.create(
                binding(NAMESPACE, &name)
                    .existing(&id)
                    .service_account(&name)
                    .service_account(&format!("{name}-x")),
            );
        }
        world.all_ready(10).await;
        assert_eq!(world.identity().credentials.len(), 20);
        let all_counted = |world: &World| {
            let bindings = world.cluster.list::<WorkloadIdentityBinding>();
            bindings.iter().all(|binding| {
                let usage = binding
                    .status
                    .as_ref()
                    .and_then(|status| status.federated_credential_usage.as_ref());
                usage.is_some_and(|usage| (usage.ours, usage.foreign) == (2, 18))
            })
        };
        world
            .until("the next look shows each what the others did", all_counted)
            .await;
        assert!(
            world.asked().iter().all(|line| !line.ends_with("409")),
            "{:#?}",
            world.asked()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_change_of_ready_is_one_event() {
    story(async |world| {
        world.azure.inject(
            Fault::on("PUT")
                .kind(ResourceKind::Credential)
                .times(3)
                .respond(403, "AuthorizationFailed"),
        );
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.until("the event", |world| world.events().len() >= 2).await;
        assert_eq!(world.events(), ["Warning AuthorizationFailed", "Normal Succeeded"]);
        world.edit("orders", |object| object["spec"]["suspend"] = serde_json::json!(true));
        world.says("orders", Reason::Suspended).await;
        let event = &world.cluster.list::<k8s_openapi::api::events::v1::Event>()[0];
        let regarding = event.regarding.as_ref().unwrap();
        let binding: WorkloadIdentityBinding = world.binding("orders");
        assert_eq!(regarding.uid, binding.metadata.uid, "kubectl describe finds it");
        assert_eq!(event.reporting_instance.as_deref(), Some("operator-0"));
    })
    .await;
}
