//! The proof that Ready is true: a token of each service account, exchanged with Entra. When it is tried, and what comes of it; the shell does the
//! exchange (docs/adr/0032).

mod answer;
mod exchange;
mod proof;

pub use answer::{Answer, Presented, Refused};
pub use exchange::Exchange;
pub use proof::{Proof, SETTLING};
