//! Service accounts: seen through the cache or a read, and written by server-side apply of our keys alone.

pub(crate) mod apply;
pub(crate) mod contested;
pub(crate) mod observe;
pub(crate) mod release;
mod wire;
