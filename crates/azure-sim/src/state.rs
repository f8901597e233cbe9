//! Everything that exists, under one lock.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::activity::ActivityLog;
use crate::limits::Throttle;
use crate::model::{Credential, Identity, IdentityId, ResourceGroup, RoleAssignment, Snapshot};
use crate::past::Past;
use crate::resources::Resources;

/// How far back Entra can be behind: far longer than credentials ever take to spread.
const MEMORY: Duration = Duration::from_hours(1);

/// What exists now, and what lists, Entra and the throttle remember of before.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) live: Resources,
    /// The identities of which a credential is being written or deleted.
    pub(crate) busy: HashSet<String>,
    pub(crate) throttle: Throttle,
    pub(crate) activity: ActivityLog,
    past: Past,
    /// From when on new role assignments grant something; what is not here does already.
    granting_from: HashMap<Uuid, Timestamp>,
    histories: HashMap<Uuid, Vec<Trust>>,
    ids_given: u128,
    token_requests: u64,
}

/// The credentials of an identity from a moment on.
#[derive(Debug)]
struct Trust {
    since: Timestamp,
    credentials: Vec<Credential>,
}

// === impl State ===

impl State {
    /// Lets the resource groups go whose deletion is over, with all that is in them or scoped to them; says whether there
    /// were any.
    pub(crate) fn settle(&mut self, now: Timestamp) -> bool {
        let over = |group: &ResourceGroup| group.gone_at.is_some_and(|gone_at| gone_at <= now);
        if !self.live.groups.values().any(over) {
            return false;
        }
        let gone = self.live.groups.extract_if(.., |_, group| over(group));
        let gone: Vec<String> = gone.map(|(key, _)| key).collect();
        for identity in self.live.remove_within(&gone) {
            self.histories.remove(&identity.client_id);
        }
        true
    }

    /// Remembers what exists now, for answers that lag behind by so much at most.
    pub(crate) fn remember(&mut self, now: Timestamp, furthest: Duration) {
        self.past.remember(&self.live, now, furthest);
    }

    /// What an answer shows that lags behind by so much.
    pub(crate) fn seen(&self, now: Timestamp, lag: Duration) -> &Resources {
        if lag.is_zero() {
            return &self.live;
        }
        let moment = now.checked_sub(lag).unwrap_or(Timestamp::MIN);
        self.past.at(moment).unwrap_or(&self.live)
    }

    /// Removes the identity with its credentials; role assignments to it stay behind.
    pub(crate) fn remove_identity(&mut self, id: &IdentityId) -> Option<Identity> {
        let identity = self.live.identities.remove(&id.key())?;
        self.histories.remove(&identity.client_id);
        Some(identity)
    }

    /// Writes a credential of an identity.
    pub(crate) fn put_credential(&mut self, id: &IdentityId, credential: Credential, now: Timestamp) {
        if let Some(identity) = self.live.identities.get_mut(&id.key()) {
            identity.put_credential(credential);
            remember(&mut self.histories, identity, now);
        }
    }

    /// Deletes a credential of an identity; says whether it was there.
    pub(crate) fn remove_credential(&mut self, id: &IdentityId, name: &str, now: Timestamp) -> bool {
        let Some(identity) = self.live.identities.get_mut(&id.key()) else {
            return false;
        };
        let before = identity.credentials.len();
        identity
            .credentials
            .retain(|credential| !credential.name.eq_ignore_ascii_case(name));
        let removed = identity.credentials.len() < before;
        if removed {
            remember(&mut self.histories, identity, now);
        }
        removed
    }

    /// The credentials that the identity had at that moment.
    pub(crate) fn trusted_at(&self, client_id: Uuid, moment: Timestamp) -> &[Credential] {
        let history = self.histories.get(&client_id).map(Vec::as_slice).unwrap_or_default();
        history
            .iter()
            .rev()
            .find(|trust| trust.since <= moment)
            .map(|trust| trust.credentials.as_slice())
            .unwrap_or_default()
    }

    /// How much later than the first region of Entra the one hears that answers next: they take turns.
    pub(crate) fn next_region_lag(&mut self, slow: Duration) -> Duration {
        self.token_requests += 1;
        if self.token_requests.is_multiple_of(2) {
            slow
        } else {
            Duration::ZERO
        }
    }

    /// Writes a new role assignment, which grants nothing before that moment.
    pub(crate) fn insert_assignment(&mut self, assignment: RoleAssignment, granting_from: Timestamp) {
        self.granting_from.insert(assignment.name, granting_from);
        self.live.assignments.insert(assignment.name, assignment);
    }

    /// The role assignments that grant something now.
    pub(crate) fn granting(&self, now: Timestamp) -> impl Iterator<Item = &RoleAssignment> {
        let spread = move |name: &Uuid| self.granting_from.get(name).is_none_or(|from| *from <= now);
        self.live
            .assignments
            .values()
            .filter(move |assignment| spread(&assignment.name))
    }

    /// A GUID that was not given before; with a seed, the same in every run.
    pub(crate) fn next_id(&mut self, seed: Option<Uuid>) -> Uuid {
        self.ids_given += 1;
        match seed {
            Some(seed) => Uuid::new_v5(&seed, &self.ids_given.to_be_bytes()),
            None => Uuid::new_v4(),
        }
    }

    /// Puts the snapshot in the place of everything. Entra knows its credentials at once.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        self.live = snapshot.into();
        self.granting_from.clear();
        self.histories.clear();
        for identity in self.live.identities.values() {
            remember(&mut self.histories, identity, Timestamp::MIN);
        }
    }
}

fn remember(histories: &mut HashMap<Uuid, Vec<Trust>>, identity: &Identity, since: Timestamp) {
    let history = histories.entry(identity.client_id).or_default();
    let forgotten = since.checked_sub(MEMORY).unwrap_or(Timestamp::MIN);
    while history.get(1).is_some_and(|trust| trust.since <= forgotten) {
        history.remove(0);
    }
    history.push(Trust {
        since,
        credentials: identity.credentials.clone(),
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::clock::after;

    const SUB: &str = "00000000-0000-0000-0000-000000000001";

    fn with_one_identity() -> (State, Identity) {
        let identity = Identity {
            id: IdentityId::new(SUB, "rg", "orders"),
            location: "westeurope".to_owned(),
            tags: BTreeMap::new(),
            client_id: Uuid::from_u128(1),
            principal_id: Uuid::from_u128(2),
            isolation_scope: "None".to_owned(),
            assignment_restrictions: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
            tokens_valid_from: None,
            credentials: Vec::new(),
        };
        let group = ResourceGroup {
            subscription_id: SUB.to_owned(),
            name: "rg".to_owned(),
            location: "westeurope".to_owned(),
            tags: BTreeMap::new(),
            gone_at: None,
        };
        let mut state = State::default();
        state.restore(Snapshot {
            resource_groups: vec![group],
            identities: vec![identity.clone()],
            ..Snapshot::default()
        });
        (state, identity)
    }

    fn credential(subject: &str) -> Credential {
        Credential {
            name: "one".to_owned(),
            issuer: "https://issuer".to_owned(),
            subject: Some(subject.to_owned()),
            audiences: vec!["api://AzureADTokenExchange".to_owned()],
            claims_matching_expression: None,
        }
    }

    #[test]
    fn the_past_of_the_credentials_is_remembered() {
        let (mut state, identity) = with_one_identity();
        let at = |seconds| after(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds));
        state.put_credential(&identity.id, credential("a"), at(10));
        state.put_credential(&identity.id, credential("b"), at(20));
        assert!(state.remove_credential(&identity.id, "ONE", at(30)));
        assert!(!state.remove_credential(&identity.id, "one", at(30)));
        let trusted = |seconds| state.trusted_at(identity.client_id, at(seconds)).to_vec();
        assert_eq!(trusted(9), []);
        assert_eq!(trusted(19), [credential("a")]);
        assert_eq!(trusted(29), [credential("b")]);
        assert_eq!(trusted(30), []);
    }

    #[test]
    fn a_group_takes_all_that_is_in_it_along() {
        let (mut state, identity) = with_one_identity();
        let now = Timestamp::UNIX_EPOCH;
        state
            .live
            .groups
            .values_mut()
            .for_each(|group| group.gone_at = Some(now));
        assert!(state.settle(after(now, Duration::from_secs(1))));
        assert_eq!(state.live.snapshot(), Snapshot::default());
        assert_eq!(state.live.identity_of_client(identity.client_id), None);
    }

    #[test]
    fn ids_are_the_same_in_every_run_with_a_seed() {
        let mut states = [State::default(), State::default()];
        let ids = states
            .each_mut()
            .map(|state| [state.next_id(Some(Uuid::nil())), state.next_id(Some(Uuid::nil()))]);
        assert_eq!(ids[0], ids[1]);
        assert_ne!(ids[0][0], ids[0][1]);
        assert_ne!(states[0].next_id(None), states[1].next_id(None));
    }
}
