//! What the sweep for orphans remembers between two looks. All of it may be lost: then certainty takes one interval more.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use wio_core::drift::{Share, least_pause};
use wio_core::names::{CredentialName, IdentityId, ResourceGroupId};
use wio_core::orphans::{Left, Orphan};

/// The most identities that are looked at in one sweep: a hundred reads an hour (docs/adr/0024).
const LOOKS: usize = 50;

/// What a sweep saw.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// What no living binding accounts for.
    pub(super) orphans: Vec<Orphan>,
    /// The identities whose federated credentials were not looked at this time.
    pub(super) passed_over: HashSet<IdentityId>,
    /// How many requests the lists took.
    pub(super) requests: usize,
}

/// What is remembered.
pub(super) struct Memory {
    interval: Duration,
    /// How many identities may still be looked at in this sweep.
    looks: usize,
    /// When what is an orphan was first seen as one, and that it may go.
    sightings: HashMap<Sight, Sighting>,
    /// Identities that stay as their binding wanted, and on which nothing of ours was found.
    settled: HashSet<IdentityId>,
    /// Where the last sweep ended that had more identities to look at than it may.
    cursor: Option<IdentityId>,
    /// The resource groups that could not be listed.
    unlisted: BTreeSet<ResourceGroupId>,
    /// Why nothing was taken away last.
    held: Option<String>,
    /// Why an identity was kept last.
    kept: HashMap<IdentityId, String>,
}

/// One thing that is an orphan: an identity, or a federated credential on it.
type Sight = (IdentityId, Option<CredentialName>);

/// The first sight of it with this fate.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    at: Instant,
    may_go: bool,
}

impl Memory {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            looks: LOOKS,
            sightings: HashMap::new(),
            settled: HashSet::new(),
            cursor: None,
            unlisted: BTreeSet::new(),
            held: None,
            kept: HashMap::new(),
        }
    }

    /// The longest pause after a sweep whose lists took so many requests.
    pub(super) fn longest_pause(&self, requests: usize) -> Duration {
        let least = least_pause(Share::Identities, requests, self.interval);
        least + self.interval / 5
    }

    /// Takes in what a sweep saw, and gives those of which something was not seen before. What it did not find where it looked is
    /// forgotten, and what may go that was to stay before begins anew.
    pub(super) fn see<'a>(&mut self, looked: &'a Looked) -> Vec<&'a Orphan> {
        let now: HashMap<Sight, bool> = looked
            .orphans
            .iter()
            .flat_map(|orphan| sights(orphan).map(|sight| (sight, orphan.fate.takes_away())))
            .collect();
        self.sightings.retain(|sight, seen| {
            let not_looked_at = sight.1.is_some() && looked.passed_over.contains(&sight.0);
            not_looked_at || now.get(sight) == Some(&seen.may_go)
        });
        self.kept.retain(|id, _| now.contains_key(&(id.clone(), None)));
        let is_new = |orphan: &&Orphan| sights(orphan).any(|sight| !self.sightings.contains_key(&sight));
        let new = looked.orphans.iter().filter(is_new).collect();
        for (sight, may_go) in now {
            let at = Instant::now();
            self.sightings.entry(sight).or_insert(Sighting { at, may_go });
        }
        new
    }

    /// The identities with federated credentials that were to go when they were last looked at: they are looked at until they are gone,
    /// also when no policy names the identity any more.
    pub(super) fn pursued(&self) -> impl Iterator<Item = &IdentityId> {
        let of_credential = self
            .sightings
            .iter()
            .filter(|((_, name), seen)| name.is_some() && seen.may_go);
        of_credential.map(|((id, _), _)| id)
    }

    /// What of an orphan was there an interval ago.
    pub(super) fn certain(&self, orphan: &Orphan) -> Option<Orphan> {
        let is_certain = |sight: Sight| {
            let seen = self.sightings.get(&sight);
            seen.is_some_and(|seen| seen.may_go && seen.at.elapsed() >= self.interval)
        };
        let left = match &orphan.left {
            Left::Identity => is_certain((orphan.identity.clone(), None)).then_some(Left::Identity)?,
            Left::Credentials(names) => {
                let certain = |name: &&CredentialName| is_certain((orphan.identity.clone(), Some((*name).clone())));
                let names: Vec<CredentialName> = names.iter().filter(certain).cloned().collect();
                (!names.is_empty()).then_some(Left::Credentials(names))?
            }
        };
        Some(Orphan { left, ..orphan.clone() })
    }

    /// Forgets an orphan that is none any more.
    pub(super) fn forget(&mut self, orphan: &Orphan) {
        for sight in sights(orphan) {
            self.sightings.remove(&sight);
        }
    }

    /// A sweep begins.
    pub(super) const fn begin(&mut self) {
        self.looks = LOOKS;
    }

    /// Whether one more identity may be looked at in this sweep.
    pub(super) const fn may_look(&mut self) -> bool {
        let may = self.looks > 0;
        self.looks = self.looks.saturating_sub(1);
        may
    }

    /// The identities to look at now: those with sightings, and of the others as many as there is room for, in turn.
    pub(super) fn choose(&mut self, all: &BTreeSet<IdentityId>) -> BTreeSet<IdentityId> {
        let seen: HashSet<&IdentityId> = self.sightings.keys().map(|(id, _)| id).collect();
        let mut chosen: BTreeSet<IdentityId> = all
            .iter()
            .filter(|id| seen.contains(id))
            .take(self.looks)
            .cloned()
            .collect();
        let after = |id: &&IdentityId| self.cursor.as_ref().is_none_or(|cursor| *id > cursor);
        let (next, before): (Vec<_>, Vec<_>) = all.iter().partition(after);
        for id in next.into_iter().chain(before) {
            if chosen.len() >= self.looks {
                break;
            }
            self.cursor = Some(id.clone());
            chosen.insert(id.clone());
        }
        self.looks -= chosen.len();
        chosen
    }

    /// Whether an identity that stays has nothing of ours on it, as an earlier look found.
    pub(super) fn is_settled(&self, id: &IdentityId) -> bool {
        self.settled.contains(id)
    }

    /// Nothing of ours is on an identity that stays.
    pub(super) fn settle(&mut self, id: &IdentityId) {
        self.settled.insert(id.clone());
    }

    /// Only these stay as their bindings wanted: what was found of others says nothing any more.
    pub(super) fn keep_settled(&mut self, staying: &HashSet<IdentityId>) {
        self.settled.retain(|id| staying.contains(id));
    }

    /// Whether a resource group could be listed until now.
    pub(super) fn begins_to_be_unlisted(&mut self, group: &ResourceGroupId) -> bool {
        self.unlisted.insert(group.clone())
    }

    /// A resource group could be listed.
    pub(super) fn was_listed(&mut self, group: &ResourceGroupId) {
        self.unlisted.remove(group);
    }

    /// Whether this is a new reason to take nothing away.
    pub(super) fn begins_to_hold(&mut self, why: &str) -> bool {
        self.held.replace(why.to_owned()).as_deref() != Some(why)
    }

    /// Nothing keeps what is certain from being taken away.
    pub(super) fn holds_no_more(&mut self) {
        self.held = None;
    }

    /// Whether this is a new reason to keep an identity.
    pub(super) fn begins_to_keep(&mut self, id: &IdentityId, why: String) -> bool {
        self.kept.get(id) != Some(&why) && {
            self.kept.insert(id.clone(), why);
            true
        }
    }
}

fn sights(orphan: &Orphan) -> impl Iterator<Item = Sight> {
    let names = match &orphan.left {
        Left::Identity => vec![None],
        Left::Credentials(names) => names.iter().cloned().map(Some).collect(),
    };
    let identity = orphan.identity.clone();
    names.into_iter().map(move |name| (identity.clone(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> IdentityId {
        let group = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared";
        let text = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-{n}");
        text.parse().unwrap()
    }

    #[test]
    fn a_sweep_looks_at_no_more_than_it_may_and_each_gets_its_turn() {
        let mut memory = Memory::new(Duration::from_mins(30));
        let all: BTreeSet<IdentityId> = (0..250).map(id).collect();
        let mut looked = BTreeSet::new();
        for _ in 0..5 {
            memory.begin();
            let chosen = memory.choose(&all);
            assert_eq!(chosen.len(), LOOKS);
            assert!(!memory.may_look());
            looked.extend(chosen);
        }
        assert_eq!(looked, all);
    }
}
