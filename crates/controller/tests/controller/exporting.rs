//! The ConfigMap that the ids of the identity are exported into.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde_json::{Value, json};
use tokio::time::sleep;
use wio_api::{DeletionPolicy, Reason, keys};
use wio_testkit::Effect;
use wio_testkit::fixtures::{BindingBuilder, binding};

use crate::world::*;

const NAME: &str = "orders-identity";

fn orders() -> BindingBuilder {
    binding(NAMESPACE, "orders").managed().service_account("orders")
}

impl World {
    fn config_map(&self, name: &str) -> Option<ConfigMap> {
        self.cluster.get(NAMESPACE, name)
    }

    fn edit_config_map(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.cluster.edit::<ConfigMap>(NAMESPACE, name, change);
    }

    /// The ids of the identity as they are to be exported.
    fn ids(&self) -> BTreeMap<String, String> {
        let identity = self.identity();
        BTreeMap::from([
            ("clientId".to_owned(), identity.client_id.to_string()),
            ("principalId".to_owned(), identity.principal_id.to_string()),
            (
                "tenantId".to_owned(),
                self.binding("orders")
                    .status
                    .unwrap()
                    .identity
                    .unwrap()
                    .tenant_id
                    .unwrap(),
            ),
        ])
    }

    async fn until_config_map(&self, what: &str, holds: impl Fn(Option<ConfigMap>) -> bool) {
        self.until(what, |world| holds(world.config_map(NAME))).await;
    }
}

fn somebody_elses(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "data": { "clientId": "theirs", "note": "x" },
    })
}

/// As where a RoleBinding in the namespace gave the right, which goes with the namespace.
#[tokio::test(start_paused = true)]
async fn a_binding_goes_with_its_namespace_though_nobody_lets_the_operator_look_at_its_config_map_any_more() {
    story(async |world| {
        world.create(orders().exported(NAME));
        world.ready("orders").await;
        let reads = by_operator().resource("configmaps");
        world.cluster.inject(reads, Effect::forbidden());
        world.delete("orders");
        world.says("orders", Reason::KubernetesRejected).await;
        world.cluster.delete::<Namespace>("", NAMESPACE);
        world.gone("orders").await;
        assert!(!world.has_identity());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_ids_are_exported_and_go_with_the_binding() {
    story(async |world| {
        world.create(orders().exported(NAME).deletion_policy(DeletionPolicy::RetainIdentity));
        let ready = world.ready("orders").await;
        let exported = world.config_map(NAME).unwrap();
        assert_eq!(exported.data, Some(world.ids()));
        let owner = &exported.metadata.owner_references.unwrap()[0];
        assert_eq!(Some(&owner.uid), ready.metadata.uid.as_ref());
        assert_eq!(
            (
                owner.kind.as_str(),
                owner.api_version.as_str(),
                owner.block_owner_deletion
            ),
            ("WorkloadIdentityBinding", "workloadidentity.dev/v1alpha1", None)
        );
        assert_eq!(ready.status.unwrap().exported_config_maps, [NAME]);
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(world.config_map(NAME), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_config_map_of_somebody_else_is_told_of_and_left_as_it_is() {
    story(async |world| {
        world.cluster.seed(somebody_elses(NAME));
        let before = world.config_map(NAME);
        world.create(orders().exported(NAME));
        let conflict = world.says("orders", Reason::ExportConflict).await;
        assert_eq!(condition(&conflict, "Stalled").status, "True");
        assert!(message(&conflict).contains(NAME) && message(&conflict).contains("spec.export.configMap.name"));
        for part in ["IdentityReady", "FederatedCredentialsReady", "ServiceAccountsReady"] {
            assert_eq!(condition(&conflict, part).status, "True", "{part}");
        }
        assert_eq!(world.config_map(NAME), before);
        world.cluster.delete::<ConfigMap>(NAMESPACE, NAME);
        world.ready("orders").await;
        assert_eq!(world.config_map(NAME).unwrap().data, Some(world.ids()));
        world.delete("orders");
        world.gone("orders").await;
    })
    .await;
}

/// Whoever may write bindings and no ConfigMaps must not have another binding's, or anybody's, deleted by naming it.
#[tokio::test(start_paused = true)]
async fn no_binding_takes_or_deletes_the_config_map_of_another() {
    story(async |world| {
        world.create(orders().exported(NAME));
        world.ready("orders").await;
        let before = world.config_map(NAME);
        world.create(
            binding(NAMESPACE, "mailer")
                .managed()
                .service_account("mailer")
                .exported(NAME),
        );
        world.says("mailer", Reason::ExportConflict).await;
        world.delete("mailer");
        world.gone("mailer").await;
        assert_eq!(world.config_map(NAME), before);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_export_that_is_renamed_or_not_asked_for_any_more_is_deleted() {
    story(async |world| {
        world.create(orders().exported(NAME));
        world.ready("orders").await;
        world.edit("orders", |object| {
            object["spec"]["export"]["configMap"]["name"] = json!("other");
        });
        let renamed = world.ready("orders").await;
        assert_eq!(world.config_map(NAME), None);
        assert_eq!(world.config_map("other").unwrap().data, Some(world.ids()));
        assert_eq!(renamed.status.unwrap().exported_config_maps, ["other"]);
        world.edit("orders", |object| {
            object["spec"].as_object_mut().unwrap().remove("export");
        });
        let ended = world.ready("orders").await;
        assert_eq!(world.config_map("other"), None);
        assert!(ended.status.unwrap().exported_config_maps.is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changes_there_is_put_back_at_the_next_look_and_the_rest_stays() {
    story(async |world| {
        world.create(orders().exported(NAME));
        world.ready("orders").await;
        let ids = world.ids();
        world.edit_config_map(NAME, |object| {
            object["data"]["clientId"] = json!("another");
            object["data"]["note"] = json!("x");
            object["metadata"]["ownerReferences"] = json!([]);
        });
        let mended = |found: Option<ConfigMap>| {
            let data = found.and_then(|found| found.data).unwrap_or_default();
            data.get("clientId") == ids.get("clientId") && data.contains_key("note")
        };
        world.until_config_map("the value to be put back", mended).await;
        assert!(world.config_map(NAME).unwrap().metadata.owner_references.is_some());
        world.cluster.delete::<ConfigMap>(NAMESPACE, NAME);
        world
            .until_config_map("it to be made anew", |found| found.is_some())
            .await;
        assert_eq!(world.config_map(NAME).unwrap().data, Some(ids));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_lost_our_label_is_not_ours_any_more() {
    story(async |world| {
        world.create(orders().exported(NAME));
        world.ready("orders").await;
        world.edit_config_map(NAME, |object| {
            object["metadata"]["labels"]
                .as_object_mut()
                .unwrap()
                .remove(keys::BOUND_BY_LABEL);
        });
        world.says("orders", Reason::ExportConflict).await;
        world.delete("orders");
        world.gone("orders").await;
        assert!(
            world.config_map(NAME).is_some(),
            "its owner reference is the garbage collector's"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_exported_before_azure_has_the_identity_and_nothing_is_written_twice() {
    story(async |world| {
        world.create(orders().exported(NAME));
        world.ready("orders").await;
        let order: Vec<String> = world
            .cluster_writes()
            .iter()
            .map(|request| request.path.clone())
            .collect();
        let at = |part: &str| order.iter().position(|path| path.contains(part));
        assert!(at("/status") < at("/configmaps"), "announced first: {order:?}");
        assert!(at("/serviceaccounts") < at("/configmaps"), "trust first: {order:?}");
        world.settle().await;
        world.forget_requests();
        sleep(Duration::from_hours(3)).await;
        let writes = world.cluster_writes();
        assert!(writes.is_empty(), "{writes:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_export_is_announced_before_it_is_made_so_that_a_crash_leaves_none_behind() {
    story(async |world| {
        world.create(orders().exported(NAME));
        world.until_config_map("it to be made", |found| found.is_some()).await;
        let told = world.binding("orders").status.unwrap().exported_config_maps;
        assert_eq!(told, [NAME]);
        world.crash().await;
        world.edit("orders", |object| {
            object["spec"]["export"]["configMap"]["name"] = json!("other");
        });
        world.start().await;
        world.ready("orders").await;
        assert_eq!(world.config_map(NAME), None);
        assert!(world.config_map("other").is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_binding_exports_nothing_and_a_name_of_the_clusters_is_refused() {
    story(async |world| {
        world.create(orders());
        world.ready("orders").await;
        world.edit("orders", |object| {
            object["spec"]["suspend"] = json!(true);
            object["spec"]["export"] = json!({ "configMap": { "name": NAME } });
        });
        world.says("orders", Reason::Suspended).await;
        assert_eq!(world.config_map(NAME), None);
        world.edit("orders", |object| {
            object["spec"]["suspend"] = json!(false);
            object["spec"]["export"]["configMap"]["name"] = json!("kube-root-ca.crt");
        });
        let refused = world.says("orders", Reason::InvalidSpec).await;
        assert!(
            message(&refused).contains("spec.export.configMap.name"),
            "{}",
            message(&refused)
        );
        assert_eq!(world.config_map("kube-root-ca.crt"), None);
    })
    .await;
}
