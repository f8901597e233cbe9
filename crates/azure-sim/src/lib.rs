//! A faithful simulator of Azure Resource Manager, managed identities and the Entra token endpoint.
//!
//! [`Simulator::handle`] takes a request and gives the answer that Azure would give, with no socket in between and on
//! tokio's clock alone: under paused time a test sees replication delays, token buckets and expiries pass in an
//! instant. The binary `azure-sim` serves the same over HTTPS, for clients that cannot be handed a function.
//!
//! One host plays every part; the path tells them apart:
//!
//! | path | part |
//! |---|---|
//! | `/subscriptions/…`, `/providers/…` | Azure Resource Manager: subscriptions, resource groups, user-assigned managed identities, their federated credentials, role assignments and definitions, locks, tags |
//! | `/metadata/endpoints` | where the parts of the cloud are |
//! | `/{tenant}/oauth2/v2.0/token`, `/{tenant}/v2.0/.well-known/openid-configuration`, `/{tenant}/discovery/v2.0/keys`, `/common/discovery/instance` | Entra |
//! | `/metadata/identity/oauth2/token` | the managed-identity endpoint of a virtual machine |
//! | `/_sim/…` | the simulator itself: state, faults, log and settings |

mod access;
mod activity;
mod admin;
mod answer;
mod arm;
mod clock;
mod cloud;
mod cloud_metadata;
mod config;
mod entra;
mod faults;
mod incoming;
mod instance_metadata;
mod limits;
mod log;
mod model;
mod names;
mod past;
mod quick_key;
mod resources;
pub mod server;
mod simulator;
mod state;
mod target;

pub use config::{
    Budget, Config, Lateness, Limits, NewCluster, ProviderLimits, Quota, Rates, SubscriptionState, TagPolicy,
};
pub use entra::issuers::{IssuerDocuments, KnownIssuers, Unreachable};
pub use faults::{Effect, Fault, Matcher};
pub use log::LoggedRequest;
pub use model::{
    Credential, Identity, IdentityId, Lock, LockLevel, ManagedCluster, NotAnIdentityId, Permission, ResourceGroup,
    RoleAssignment, RoleDefinition, Snapshot,
};
pub use quick_key::QuickKey;
pub use simulator::{ConnectionDropped, Simulator, make_beginning};
pub use target::ResourceKind;
