//! A set that mostly has one member, and then costs no more than that.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::Hash;

/// A set of one or more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Few<T> {
    /// Of one.
    One(T),
    /// Of several, or of one that is left of them.
    Many(BTreeSet<T>),
}

/// Adds a member to the set of a key.
pub(super) fn add<K: Eq + Hash, T: Ord>(sets: &mut HashMap<K, Few<T>>, key: K, member: T) {
    match sets.entry(key) {
        Entry::Vacant(place) => {
            place.insert(Few::One(member));
        }
        Entry::Occupied(mut place) => place.get_mut().insert(member),
    }
}

/// Takes a member out of the set of a key, and the set away with its last one.
pub(super) fn take<K, Q, T, M>(sets: &mut HashMap<K, Few<T>>, key: &Q, member: &M)
where
    K: Eq + Hash + Borrow<Q>,
    Q: Eq + Hash + ?Sized,
    T: Ord + Borrow<M>,
    M: Ord + ?Sized,
{
    if let Some(set) = sets.get_mut(key)
        && set.is_emptied_of(member)
    {
        sets.remove(key);
    }
}

// === impl Few ===

impl<T: Ord> Few<T> {
    /// Its members, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::One(one) => (Some(one), None),
            Self::Many(many) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn insert(&mut self, member: T) {
        match self {
            Self::One(one) if *one == member => {}
            Self::One(_) => {
                let before = std::mem::replace(self, Self::Many(BTreeSet::from([member])));
                if let (Self::One(one), Self::Many(many)) = (before, self) {
                    many.insert(one);
                }
            }
            Self::Many(many) => {
                many.insert(member);
            }
        }
    }

    /// Takes a member out, and tells whether none is left; of [`Few::One`] the member stays, for the set is about to go.
    fn is_emptied_of<M: Ord + ?Sized>(&mut self, member: &M) -> bool
    where
        T: Borrow<M>,
    {
        match self {
            Self::One(one) => (*one).borrow() == member,
            Self::Many(many) => {
                many.remove(member);
                many.is_empty()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Sets = HashMap<u8, Few<String>>;

    fn members(sets: &Sets, key: u8) -> Vec<&str> {
        let set = sets.get(&key).into_iter();
        set.flat_map(Few::iter).map(String::as_str).collect()
    }

    #[test]
    fn a_set_has_what_was_added_and_not_taken_and_goes_with_its_last_member() {
        let mut sets = Sets::new();
        for (key, member) in [(1, "b"), (1, "b"), (1, "a"), (2, "c")] {
            add(&mut sets, key, member.to_owned());
        }
        assert_eq!(members(&sets, 1), ["a", "b"]);
        take(&mut sets, &1, "b");
        take(&mut sets, &2, "not in it");
        assert_eq!((members(&sets, 1), members(&sets, 2)), (vec!["a"], vec!["c"]));
        take(&mut sets, &1, "a");
        take(&mut sets, &2, "c");
        assert!(sets.is_empty(), "{sets:?}");
    }
}
