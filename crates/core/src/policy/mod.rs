//! What the bindings of some namespaces may have, parsed: what cannot be parsed grants nothing, and the rest of the same
//! policy still does, so that a slip in one line takes no other trust away.

mod caseless;
mod merge;
mod namespaces;
mod parse;
mod patterns;
mod policies;
mod quota;
mod tally;
mod vanished;

pub use merge::merge;
pub use namespaces::NamespaceFacts;
pub use patterns::{IdentityPattern, ServiceAccountPattern};
pub(crate) use policies::{Legibility, Place, Policy, RoleAt, limits_of};
pub use policies::{Policies, PolicyProblem};
pub use quota::{Each, Limited, Limits, Seniority, Usage};
pub use tally::Tally;
pub use vanished::{MASS, QUIET, Vanished, Vanishing};
