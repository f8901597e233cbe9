//! The namespaces in which the operator acts.

use std::collections::BTreeSet;

use crate::names::{InvalidName, Namespace};

/// The namespaces in which the operator acts: gives, mends and takes away. The bindings of all others it knows as well, and leaves them as they are: what
/// is left alone is not gone (docs/adr/0036).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ActiveNamespaces {
    /// All of the cluster.
    #[default]
    All,
    /// These alone.
    Only(BTreeSet<Namespace>),
    /// All but these.
    AllBut(BTreeSet<Namespace>),
}

/// Says that the operator does not act in a namespace, and what decides that.
#[must_use]
pub fn left_alone(namespace: &str) -> String {
    format!(
        "the operator does not act in namespace {namespace} (its settings --watch-namespaces and --exclude-namespaces)"
    )
}

// === impl ActiveNamespaces ===

impl ActiveNamespaces {
    /// Only those that are watched, if any are named, and else all but those that are excluded.
    #[must_use]
    pub fn new(watched: BTreeSet<Namespace>, excluded: BTreeSet<Namespace>) -> Self {
        match (watched.is_empty(), excluded.is_empty()) {
            (true, true) => Self::All,
            (true, false) => Self::AllBut(excluded),
            (false, _) => Self::Only(watched),
        }
    }

    /// Parses the names of those that are watched and those that are excluded.
    ///
    /// # Errors
    /// A name that no namespace can have.
    pub fn parse(watched: &[String], excluded: &[String]) -> Result<Self, InvalidName> {
        let parsed = |names: &[String]| {
            names
                .iter()
                .map(|name| name.parse())
                .collect::<Result<BTreeSet<Namespace>, _>>()
        };
        Ok(Self::new(parsed(watched)?, parsed(excluded)?))
    }

    /// The names of those that are watched and of those that are excluded: [`Self::parse`] turned round.
    #[must_use]
    pub fn names(&self) -> (Vec<String>, Vec<String>) {
        let texts = |namespaces: &BTreeSet<Namespace>| namespaces.iter().map(ToString::to_string).collect();
        match self {
            Self::All => (Vec::new(), Vec::new()),
            Self::Only(watched) => (texts(watched), Vec::new()),
            Self::AllBut(excluded) => (Vec::new(), texts(excluded)),
        }
    }

    /// Whether the operator acts in the namespace of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let named = |namespaces: &BTreeSet<Namespace>| namespaces.iter().any(|one| one.as_str() == name);
        match self {
            Self::All => true,
            Self::Only(namespaces) => named(namespaces),
            Self::AllBut(namespaces) => !named(namespaces),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> BTreeSet<Namespace> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn whoever_reads_that_a_namespace_is_left_alone_reads_which_one_and_what_decides_that() {
        let told = left_alone("shop");
        for part in ["namespace shop", "--watch-namespaces", "--exclude-namespaces"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn all_but_those_left_out_and_only_those_named_are_acted_in() {
        let acts = |namespaces: &ActiveNamespaces| ["shop", "bank", "shops"].map(|name| namespaces.contains(name));
        assert_eq!(acts(&ActiveNamespaces::All), [true, true, true]);
        assert_eq!(acts(&ActiveNamespaces::Only(named(&["shop"]))), [true, false, false]);
        assert_eq!(
            acts(&ActiveNamespaces::AllBut(named(&["shop", "bank"]))),
            [false, false, true]
        );
    }

    #[test]
    fn what_is_written_down_of_them_is_read_back() {
        for namespaces in [
            ActiveNamespaces::All,
            ActiveNamespaces::Only(named(&["bank", "shop"])),
            ActiveNamespaces::AllBut(named(&["shop"])),
        ] {
            let (watched, excluded) = namespaces.names();
            assert_eq!(ActiveNamespaces::parse(&watched, &excluded).unwrap(), namespaces);
        }
        let wrong = ActiveNamespaces::parse(&[], &["Shop".to_owned()]).unwrap_err();
        assert!(wrong.to_string().contains("\"Shop\""), "{wrong}");
    }
}
