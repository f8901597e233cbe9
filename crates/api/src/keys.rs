//! The API group, labels, annotations, tags, finalizer and field managers: every name that stands in objects, ours and others'.

/// The API group of every resource here.
pub const GROUP: &str = "workloadidentity.dev";

/// The field manager of everything that the operator applies, except status.
pub const FIELD_MANAGER: &str = "workload-identity-operator";
/// The field manager of status.
pub const STATUS_FIELD_MANAGER: &str = "workload-identity-operator-status";
/// The field manager of the annotation by which the operator restarts owners of pods.
pub const ROLLOUT_FIELD_MANAGER: &str = "workload-identity-operator-rollout";
/// The finalizer on bindings; set before the first Azure write, removed when Azure confirmed the deletion.
pub const FINALIZER: &str = "workloadidentity.dev/azure";

/// The annotation on a binding by which a managed identity is deleted though others of the binding's namespace still use it, or it has
/// roles of others, when its value is `true`. Whoever writes bindings may write it, so it never ends trust outside the namespace.
pub const DELETE_DESPITE_USERS_ANNOTATION: &str = "workloadidentity.dev/delete-despite-users";

/// The annotation on a binding by which somebody asks for a look at Azure: any value that it did not have before, for example the time.
pub const RECONCILE_AT_ANNOTATION: &str = "workloadidentity.dev/reconcile-at";

/// The annotation on a CustomResourceDefinition of ours that says, when its value is `true`, that its deletion and that of all its
/// objects is meant.
pub const ALLOW_DELETION_ANNOTATION: &str = "workloadidentity.dev/allow-deletion";

/// The annotation on the effective policy that says that it is meant what is held: the end of policies which vanished together, or a change of the
/// operator's settings. Its value is the word that the message names; another one says nothing.
pub const CONFIRM_LOSS_ANNOTATION: &str = "workloadidentity.dev/confirm-loss";

/// The label on bound service accounts; the operator keeps only those that carry it. Its value is the binding's UID.
pub const BOUND_BY_LABEL: &str = "workloadidentity.dev/bound-by";

/// The annotation on bound service accounts that names the binding.
pub const BINDING_ANNOTATION: &str = "workloadidentity.dev/binding";
/// The label on service accounts that the operator created, so that they go with the binding. Its value is `true`.
pub const CREATED_LABEL: &str = "workloadidentity.dev/created";

/// The annotation on the pod template of a Deployment, StatefulSet or DaemonSet by which the operator restarts it. Its value is the client id that pods get
/// from then on, so that the same change writes the same value, and a second write of it is no restart.
pub const ROLLOUT_ANNOTATION: &str = "workloadidentity.dev/client-id";

/// The ConfigMaps that clusters make in every namespace and that pods find certificates and settings in, besides all that begin with `kube-`:
/// a binding may not take their names.
pub const RESERVED_CONFIG_MAPS: [&str; 6] = [
    "extension-apiserver-authentication",
    "istio-ca-root-cert",
    "istio-ca-crl",
    "linkerd-identity-trust-roots",
    "openshift-service-ca.crt",
    "openshift-trusted-ca",
];
/// The keys of an exported ConfigMap.
pub const EXPORTED_CLIENT_ID: &str = "clientId";
/// See [`EXPORTED_CLIENT_ID`].
pub const EXPORTED_TENANT_ID: &str = "tenantId";
/// See [`EXPORTED_CLIENT_ID`].
pub const EXPORTED_PRINCIPAL_ID: &str = "principalId";

/// The annotation from which the pod webhook takes the client id.
pub const CLIENT_ID_ANNOTATION: &str = "azure.workload.identity/client-id";
/// The annotation from which the pod webhook takes the tenant.
pub const TENANT_ID_ANNOTATION: &str = "azure.workload.identity/tenant-id";
/// The annotation from which the pod webhook takes the token's lifetime in seconds.
pub const TOKEN_EXPIRATION_ANNOTATION: &str = "azure.workload.identity/service-account-token-expiration";

/// How the names begin that the operator derives for Azure objects, whatever their case. They are reserved: whoever could choose
/// one would have another binding's identity.
pub const DERIVED_NAME_PREFIX: &str = "wib-";

/// The tag on managed identities that names the cluster (the UID of namespace kube-system).
pub const CLUSTER_TAG: &str = "workloadidentity.dev-cluster";
/// The tag on managed identities that names the binding: `<namespace>/<name>`.
pub const BINDING_TAG: &str = "workloadidentity.dev-binding";
/// The tag on managed identities that holds the binding's UID.
pub const BINDING_UID_TAG: &str = "workloadidentity.dev-binding-uid";
/// The tag on managed identities that holds what becomes of them when the binding is deleted, as `spec.deletionPolicy` says it: what
/// the binding wanted outlives it.
pub const DELETION_POLICY_TAG: &str = "workloadidentity.dev-deletion-policy";
/// The tag on managed identities that were there before and were taken over. They may have roles that nobody's policy gave,
/// so they are trusted only as long as a policy allows to take them over.
pub const ADOPTED_TAG: &str = "workloadidentity.dev-adopted";
