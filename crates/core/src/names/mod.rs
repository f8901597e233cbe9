//! A type for each name with an Azure or Kubernetes rule: what parsed once needs no check again.

mod azure;
mod built_in_roles;
mod built_in_roles_table;
mod derive;
mod identity_id;
mod kubernetes;
mod role;
mod text;
mod trust;

pub use azure::{
    ChosenIdentityName, ClientId, CredentialName, IdentityName, Location, PrincipalId, ResourceGroupName,
    SubscriptionId, TenantId,
};
pub use derive::{
    CredentialPrefix, binding_tag, credential_name, hash, identity_name, is_credential_name, is_identity_name,
    is_named_for, name_prefix, role_assignment_name,
};
pub use identity_id::{IdentityId, ResourceGroupId};
pub use kubernetes::{
    BindingName, BindingUid, ClusterId, ConfigMapName, ConfigMapUid, LabelKey, LabelValue, Namespace, PolicyName,
    ServiceAccountName, ServiceAccountUid,
};
pub use role::{RoleAssignmentName, RoleDefinitionGuid, Scope};
pub use text::InvalidName;
pub use trust::{Audience, Issuer, Subject};
