//! Azure Resource Manager and Entra: the one pipeline and the typed clients on it.
//!
//! ```text
//! Azure ─► msi: Call (azure_mgmt_msi's builders) ─┐
//!   │                                             ├─► Pipeline: guard ─► authorize ─► transport
//!   └───► plain typed requests ───────────────────┘
//! ```
//! Nothing else opens a connection to Azure. Nothing here retries: what an error means, `wio_core::disposition` says.

mod activity_log;
mod aks;
mod answer;
mod budgets;
mod client;
mod cloud;
mod entra_clock;
mod fence;
mod gate;
mod jwt;
mod locks;
mod msi;
mod observe;
mod paging;
mod pipeline;
mod policies;
mod proof;
mod retry_after;
mod roles;
mod send_error;
mod sign_in;
mod spans;
mod telemetry;
mod tokens;
mod transport;
mod urls;

pub use activity_log::Followed;
pub use aks::{
    AadProfile, AddonProfile, ControlPlaneIdentity, IngressProfile, InvalidClusterId, ManagedCluster, ManagedClusterId,
    ManagedClusterProperties, NamedIdentity, OidcIssuerProfile, SecurityProfile, Switch,
};
pub use budgets::Budgets;
pub use client::{Azure, StartError};
pub use cloud::{ApiVersion, Cloud, Endpoints, InvalidEndpoint, OtherCloud};
pub use entra_clock::NoClock;
pub use gate::{Budget, Errand, Gate, Lane, Need, Promise, Shortage};
pub use jwt::Claims;
pub use msi::{IdentityView, ListedIdentity, WrittenIdentity};
pub use paging::{Pages, Unlisted};
pub use proof::{Asked, NoAccess, NoProver, Prover, Refusal, Token};
pub use roles::RoleDefinition;
pub use sign_in::{CredentialKind, EnvironmentCredential, NotItsIdentity};
pub use spans::TRACES;
pub use telemetry::{Exchange, Operation};
