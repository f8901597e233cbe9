//! What a code or a reason means, from what the plugin was built with: nothing is asked.

mod data;
mod lookup;
mod near;
mod runbook;
mod show;
#[cfg(test)]
mod tests;

pub(crate) use lookup::explain;
pub(crate) use show::write;
