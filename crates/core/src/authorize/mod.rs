//! Who may bind what. The answer is a witness: whatever writes to Azure asks for one, and only this crate makes them.

mod asked;
mod decide;
mod permission;
mod refusal;

pub(crate) use decide::is_protected;
pub use decide::{authorize, authorize_orphan, authorize_recorded};
pub use permission::{Granted, NotPermitted, PermittedRole, Revocable};
