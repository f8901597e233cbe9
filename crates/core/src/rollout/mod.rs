//! Restarts of the owners of pods that lack a token, as `spec.rollout: Restart` asks: whom a restart would help, who may be restarted now, and what is
//! told of it. It is the only part of the operator that disturbs applications, so every write comes from a [`Restart`], which nobody else makes.
//!
//! **Once for a client id.** What is written is the client id itself, on the pod template: the same change writes the same value, whoever writes it and
//! how often. The status remembers it as well, for whoever takes the annotation away.

mod owner;
mod round;

pub use owner::{Owner, Restart, Standing};
pub use round::{Held, Read, Round, ToRead, Written, is_unfinished};

#[cfg(test)]
mod fixtures;
