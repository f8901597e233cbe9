//! Bindings of one namespace that trust one service account through one identity. Azure allows one federated credential for
//! that, and a service account has one client id: they share both, and the last one to go takes them away (docs/adr/0010).

mod claims;
#[expect(clippy::module_inception, reason = "the folder is named for what the file holds")]
mod sharing;

pub use claims::{Claim, Claims, Role, Sharer};
pub(crate) use sharing::BindingLabel;
pub use sharing::Sharing;
