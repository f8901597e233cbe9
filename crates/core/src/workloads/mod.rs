//! Pods of bound service accounts: which of them have a token, why others have none, and what of it is told. One judgement for operator and plugin.

mod judge;
mod owner;
mod tally;

pub use judge::{NoToken, PodToken, is_missed, is_over, judge};
pub use owner::PodOwner;
pub use tally::Tally;
