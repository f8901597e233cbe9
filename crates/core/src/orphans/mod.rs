//! Orphans: what stands in Azure of bindings that are gone though nobody took it away, because a finalizer was forced off, an event of
//! a deletion was lost, the operator crashed or etcd was restored. They are found by what stands, not by what happened
//! (docs/adr/0011).

mod breaker;
mod find;
mod living;
mod places;
mod removal;
#[cfg(test)]
mod tests;

pub use breaker::hold;
pub use find::{Fate, Left, Orphan, binding_of_tags, by_credentials, by_tags, namespace_of_credential};
pub use living::{Heir, Living};
pub use places::{may_be_bound, places};
pub use removal::{Removal, Rules, Stray};
