//! The resource provider Microsoft.ManagedIdentity: identities and their federated credentials.

mod call;
mod federated_credentials;
mod identities;

pub use identities::{IdentityView, ListedIdentity, WrittenIdentity};
