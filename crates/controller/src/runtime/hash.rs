//! Hashes that are the same for as long as the process runs, and no longer: nothing that is written down is compared by one.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

/// The hash of a value.
pub(crate) fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}
