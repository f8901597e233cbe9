//! Pods of bound service accounts: which of them have a token, why others have none, and what of it is told. One judgement for operator and plugin.

mod candidate;
mod judge;
mod owner;
mod tally;

pub use candidate::{Candidate, Maker, MakerKind, next_step};
pub use judge::{NoToken, PodToken, is_missed, is_over, judge};
pub use owner::PodOwner;
pub(crate) use owner::shortened;
pub use tally::Tally;
