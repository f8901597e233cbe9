//! The custom resources of `workloadidentity.dev`: their types, conditions, reasons, labels and annotations.
//!
//! This crate is the wire format and nothing else: strings are as the user wrote them. `wio-core` parses them.

mod binding;
mod condition;
mod crd;
mod effective;
pub mod keys;
pub mod limits;
pub mod owner;
pub mod pod;
mod policy;
mod policy_status;
mod reading;
mod rules;
mod status;
#[cfg(test)]
mod tests;
mod workloads;

pub use binding::{
    AssignedRole, BoundServiceAccount, ConflictPolicy, DeletionPolicy, ExistingIdentity, Export, ExportedConfigMap,
    IdentitySource, ManagedIdentity, Rollout, Verification, VerificationMode, WorkloadIdentityBinding,
    WorkloadIdentityBindingSpec,
};
pub use condition::{ConditionType, Reason};
pub use crd::{crd, effective_policy_crd, policy_crd};
pub use effective::{
    AcceptedSettings, EFFECTIVE_POLICY_NAME, EffectiveDefaults, EffectiveIdentities, EffectiveName, EffectiveNames,
    EffectivePlace, EffectivePolicy, EffectiveRequirement, EffectiveRole, EffectiveSelector,
    WorkloadIdentityEffectivePolicy, WorkloadIdentityEffectivePolicySpec,
};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
pub use keys::GROUP;
pub use policy::{
    ManagedIdentityPermission, NamespaceRequirement, NamespaceSelector, PolicyNamespaces, RolePermission,
    SelectorOperator, WorkloadIdentityPolicy, WorkloadIdentityPolicySpec,
};
pub use policy_status::WorkloadIdentityPolicyStatus;
pub use reading::UnreadableField;
pub use status::{
    CredentialRewriteStatus, FederatedCredentialStatus, FederatedCredentialUsage, IdentityOrigin, IdentityStatus,
    PendingExchange, RetiringFederatedCredentialStatus, RoleAssignmentStatus, ServiceAccountOrigin,
    ServiceAccountStatus, TokenExchangeStatus, WorkloadIdentityBindingStatus,
};
pub use workloads::{NoTokenReason, PodsWithoutToken, RestartResult, RestartStatus, WorkloadsStatus};
