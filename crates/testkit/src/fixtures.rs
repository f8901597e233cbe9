//! Objects for tests, in one line each.
//!
//! ```
//! use wio_testkit::fixtures::binding;
//!
//! let object = binding("shop", "orders").managed().service_account("orders").build();
//! assert_eq!(object.spec.service_accounts[0].name, "orders");
//! ```

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wio_api::{
    AssignedRole, BoundServiceAccount, ConflictPolicy, DeletionPolicy, ExistingIdentity, Export, ExportedConfigMap,
    IdentitySource, ManagedIdentity, ManagedIdentityPermission, NamespaceSelector, RolePermission, Rollout,
    Verification, VerificationMode, WorkloadIdentityBinding, WorkloadIdentityBindingSpec,
    WorkloadIdentityBindingStatus, WorkloadIdentityPolicy, WorkloadIdentityPolicySpec,
};

fn metadata(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectMeta::default()
    }
}

/// A binding with neither identity nor service accounts; what is built is not validated.
pub fn binding(namespace: &str, name: &str) -> BindingBuilder {
    let mut binding = WorkloadIdentityBinding::new(name, WorkloadIdentityBindingSpec::default());
    binding.metadata = metadata(namespace, name);
    BindingBuilder(binding)
}

/// Builds a [`WorkloadIdentityBinding`].
#[derive(Clone, Debug)]
#[must_use]
pub struct BindingBuilder(WorkloadIdentityBinding);

impl BindingBuilder {
    /// The operator makes the identity, by its defaults.
    pub fn managed(self) -> Self {
        self.managed_as(ManagedIdentity::default())
    }

    /// The operator makes this identity.
    pub fn managed_as(mut self, identity: ManagedIdentity) -> Self {
        self.0.spec.identity = IdentitySource {
            managed: Some(identity),
            existing: None,
        };
        self
    }

    /// The identity is there already.
    pub fn existing(mut self, resource_id: &str) -> Self {
        let existing = ExistingIdentity {
            resource_id: Some(resource_id.to_owned()),
            ..ExistingIdentity::default()
        };
        self.0.spec.identity = IdentitySource {
            managed: None,
            existing: Some(existing),
        };
        self
    }

    /// The identity is there already, in this resource group of the operator's subscription.
    pub fn existing_named(mut self, resource_group: &str, name: &str) -> Self {
        let existing = ExistingIdentity {
            resource_group: Some(resource_group.to_owned()),
            name: Some(name.to_owned()),
            ..ExistingIdentity::default()
        };
        self.0.spec.identity = IdentitySource {
            managed: None,
            existing: Some(existing),
        };
        self
    }

    /// Adds a service account that the operator may create.
    pub fn service_account(self, name: &str) -> Self {
        self.bound(BoundServiceAccount {
            name: name.to_owned(),
            create: true,
            token_expiration_seconds: None,
            conflict_policy: ConflictPolicy::Report,
        })
    }

    /// Adds a service account.
    pub fn bound(mut self, account: BoundServiceAccount) -> Self {
        self.0.spec.service_accounts.push(account);
        self
    }

    /// The service account that was added last has to be there already.
    pub fn not_created(self) -> Self {
        self.last(|account| account.create = false)
    }

    /// Fields of the service account that was added last are taken over from other managers.
    pub fn forced(self) -> Self {
        self.last(|account| account.conflict_policy = ConflictPolicy::Force)
    }

    /// Tokens of the service account that was added last live this long.
    pub fn token_expiration(self, seconds: i64) -> Self {
        self.last(|account| account.token_expiration_seconds = Some(seconds))
    }

    fn last(mut self, change: impl FnOnce(&mut BoundServiceAccount)) -> Self {
        if let Some(account) = self.0.spec.service_accounts.last_mut() {
            change(account);
        }
        self
    }

    /// Adds a role that the identity is given.
    pub fn role(mut self, role: &str, scope: &str) -> Self {
        self.0.spec.role_assignments.push(AssignedRole {
            role: role.to_owned(),
            scope: scope.to_owned(),
            ..AssignedRole::default()
        });
        self
    }

    /// The role that was added last holds under this condition.
    pub fn under(mut self, condition: &str) -> Self {
        if let Some(role) = self.0.spec.role_assignments.last_mut() {
            role.condition = Some(condition.to_owned());
        }
        self
    }

    /// The audience of the tokens.
    pub fn audience(mut self, audience: &str) -> Self {
        self.0.spec.audience = Some(audience.to_owned());
        self
    }

    /// The ids are exported into this ConfigMap.
    pub fn exported(mut self, name: &str) -> Self {
        let config_map = ExportedConfigMap { name: name.to_owned() };
        self.0.spec.export = Some(Export { config_map });
        self
    }

    /// How its readiness is proven.
    pub fn verified(mut self, mode: VerificationMode) -> Self {
        self.0.spec.verification = Some(Verification { mode });
        self
    }

    /// Owners of its pods are restarted.
    pub fn restarting(mut self) -> Self {
        self.0.spec.rollout = Some(Rollout::Restart);
        self
    }

    /// What becomes of the Azure objects on deletion.
    pub fn deletion_policy(mut self, policy: DeletionPolicy) -> Self {
        self.0.spec.deletion_policy = policy;
        self
    }

    /// Nothing is written for it.
    pub fn suspended(mut self) -> Self {
        self.0.spec.suspend = true;
        self
    }

    /// Adds a finalizer.
    pub fn finalizer(mut self, finalizer: &str) -> Self {
        self.0
            .metadata
            .finalizers
            .get_or_insert_default()
            .push(finalizer.to_owned());
        self
    }

    /// The UID, for objects that no server has seen.
    pub fn uid(mut self, uid: &str) -> Self {
        self.0.metadata.uid = Some(uid.to_owned());
        self
    }

    /// The generation, for objects that no server has seen.
    pub fn generation(mut self, generation: i64) -> Self {
        self.0.metadata.generation = Some(generation);
        self
    }

    /// The status that it starts from.
    pub fn status(mut self, status: WorkloadIdentityBindingStatus) -> Self {
        self.0.status = Some(status);
        self
    }

    /// The binding.
    #[must_use]
    pub fn build(self) -> WorkloadIdentityBinding {
        self.0
    }
}

/// A policy for no namespace that allows nothing; what is built is not validated.
pub fn policy(name: &str) -> PolicyBuilder {
    PolicyBuilder(WorkloadIdentityPolicy::new(name, WorkloadIdentityPolicySpec::default()))
}

/// Builds a [`WorkloadIdentityPolicy`].
#[derive(Clone, Debug)]
#[must_use]
pub struct PolicyBuilder(WorkloadIdentityPolicy);

impl PolicyBuilder {
    /// It is for this namespace too.
    pub fn namespace(mut self, name: &str) -> Self {
        self.0.spec.namespaces.names.push(name.to_owned());
        self
    }

    /// It is for the namespaces that this selects too.
    pub fn selector(mut self, selector: NamespaceSelector) -> Self {
        self.0.spec.namespaces.selector = Some(selector);
        self
    }

    /// It is for service accounts of this pattern too, and no longer for all.
    pub fn service_account(mut self, pattern: &str) -> Self {
        self.0
            .spec
            .service_accounts
            .get_or_insert_default()
            .push(pattern.to_owned());
        self
    }

    /// Allows to bind existing identities of this pattern.
    pub fn existing(mut self, pattern: &str) -> Self {
        self.0.spec.existing_identities.push(pattern.to_owned());
        self
    }

    /// Allows to create identities there.
    pub fn managed(mut self, place: ManagedIdentityPermission) -> Self {
        self.0.spec.managed_identities.push(place);
        self
    }

    /// Allows a role at these scopes and below them.
    pub fn role(mut self, role: &str, scopes: &[&str]) -> Self {
        self.0.spec.roles.push(RolePermission {
            role: role.to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        });
        self
    }

    /// The most federated credentials of a namespace.
    pub const fn max_federated_credentials(mut self, max: i64) -> Self {
        self.0.spec.max_federated_credentials = Some(max);
        self
    }

    /// The most managed identities of a namespace.
    pub const fn max_managed_identities(mut self, max: i64) -> Self {
        self.0.spec.max_managed_identities = Some(max);
        self
    }

    /// The most role assignments of a namespace.
    pub const fn max_role_assignments(mut self, max: i64) -> Self {
        self.0.spec.max_role_assignments = Some(max);
        self
    }

    /// What was built.
    #[must_use]
    pub fn build(self) -> WorkloadIdentityPolicy {
        self.0
    }
}

/// A service account without labels and annotations.
pub fn service_account(namespace: &str, name: &str) -> ServiceAccountBuilder {
    ServiceAccountBuilder(ServiceAccount {
        metadata: metadata(namespace, name),
        ..ServiceAccount::default()
    })
}

/// Builds a `ServiceAccount`.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServiceAccountBuilder(ServiceAccount);

impl ServiceAccountBuilder {
    /// Adds a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0
            .metadata
            .labels
            .get_or_insert_default()
            .insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(key.to_owned(), value.to_owned());
        self
    }

    /// The service account.
    #[must_use]
    pub fn build(self) -> ServiceAccount {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::FakeApiServer;

    #[test]
    fn a_binding_is_built_in_one_line() {
        let built = binding("shop", "orders")
            .existing("/subscriptions/x")
            .service_account("orders")
            .service_account("invoices")
            .not_created()
            .forced()
            .token_expiration(7200)
            .role("Reader", "/subscriptions/x")
            .audience("api://other")
            .deletion_policy(DeletionPolicy::Orphan)
            .suspended()
            .finalizer("workloadidentity.dev/azure")
            .build();
        assert_eq!(
            json!(built),
            json!({
                "apiVersion": "workloadidentity.dev/v1alpha1",
                "kind": "WorkloadIdentityBinding",
                "metadata": {"name": "orders", "namespace": "shop", "finalizers": ["workloadidentity.dev/azure"]},
                "spec": {
                    "identity": {"existing": {"resourceId": "/subscriptions/x"}},
                    "serviceAccounts": [
                        {"name": "orders", "create": true, "conflictPolicy": "Report"},
                        {"name": "invoices", "create": false, "conflictPolicy": "Force", "tokenExpirationSeconds": 7200},
                    ],
                    "roleAssignments": [{"role": "Reader", "scope": "/subscriptions/x"}],
                    "audience": "api://other",
                    "deletionPolicy": "Orphan",
                    "suspend": true,
                },
            })
        );
    }

    #[tokio::test]
    async fn the_server_takes_what_is_built() {
        let server = FakeApiServer::new();
        server.create_namespace("shop");
        let uid = "11111111-1111-4111-8111-111111111111";
        let status = WorkloadIdentityBindingStatus {
            observed_generation: Some(1),
            ..Default::default()
        };
        server.seed(
            binding("shop", "orders")
                .managed()
                .service_account("orders")
                .uid(uid)
                .status(status)
                .build(),
        );
        server.seed(
            service_account("shop", "orders")
                .label("a", "b")
                .annotation("c", "d")
                .build(),
        );
        let stored: WorkloadIdentityBinding = server.get("shop", "orders").unwrap();
        assert_eq!(stored.metadata.uid.as_deref(), Some(uid));
        assert_eq!(stored.status.unwrap().observed_generation, Some(1));
        assert_eq!(
            server
                .get::<ServiceAccount>("shop", "orders")
                .unwrap()
                .metadata
                .labels
                .unwrap()["a"],
            "b"
        );
    }
}
