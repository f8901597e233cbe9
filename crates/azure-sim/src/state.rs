//! Everything that exists, under one lock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::answer::{Answer, Outcome};
use crate::limits::Throttle;
use crate::model::{
    Credential, Identity, IdentityId, ResourceGroup, RoleAssignment, RoleDefinition, Snapshot, group_key,
};
use crate::target::lies_within;

/// How far back Entra can be behind: far longer than credentials ever take to spread.
const MEMORY: Duration = Duration::from_hours(1);

/// What exists now, and what Entra and the throttle remember of before. Each map is in the order of its ids.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) groups: BTreeMap<String, ResourceGroup>,
    pub(crate) identities: BTreeMap<String, Identity>,
    /// By name: a name is taken once in the whole tenant, whatever the scope.
    pub(crate) assignments: BTreeMap<Uuid, RoleAssignment>,
    pub(crate) definitions: BTreeMap<Uuid, RoleDefinition>,
    /// The identities of which a credential is being written or deleted.
    pub(crate) busy: HashSet<String>,
    pub(crate) throttle: Throttle,
    /// From when on new role assignments grant something; what is not here does already.
    granting_from: HashMap<Uuid, Timestamp>,
    histories: HashMap<Uuid, Vec<Trust>>,
    ids_given: u128,
}

/// The credentials of an identity from a moment on.
#[derive(Debug)]
struct Trust {
    since: Timestamp,
    credentials: Vec<Credential>,
}

// === impl State ===

impl State {
    /// Lets the resource groups go whose deletion is over, with all that is in them or scoped to them.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        let over = |group: &ResourceGroup| group.gone_at.is_some_and(|gone_at| gone_at <= now);
        if !self.groups.values().any(over) {
            return;
        }
        let gone: Vec<String> = self
            .groups
            .extract_if(.., |_, group| over(group))
            .map(|(key, _)| key)
            .collect();
        let is_gone = |id: &str| gone.iter().any(|group| lies_within(id, group));
        let lost: Vec<IdentityId> = self
            .identities
            .values()
            .map(|identity| identity.id.clone())
            .filter(|id| is_gone(&id.key()))
            .collect();
        for id in lost {
            self.remove_identity(&id);
        }
        self.assignments.retain(|_, assignment| !is_gone(&assignment.scope));
    }

    pub(crate) fn group(&self, subscription: &str, name: &str) -> Outcome<&ResourceGroup> {
        self.groups.get(&group_key(subscription, name)).ok_or_else(|| {
            let message = format!("Resource group '{name}' could not be found.");
            Answer::gateway_not_found("ResourceGroupNotFound", message)
        })
    }

    /// The resource group, if things may be written in it.
    pub(crate) fn writable_group(&self, subscription: &str, name: &str) -> Outcome<&ResourceGroup> {
        let group = self.group(subscription, name)?;
        if group.gone_at.is_some() {
            let message =
                format!("The resource group '{name}' is in deprovisioning state and cannot perform this operation.");
            return Err(Answer::conflict("ResourceGroupBeingDeleted", message));
        }
        Ok(group)
    }

    /// The identity in a resource group that exists.
    pub(crate) fn identity(&self, id: &IdentityId) -> Outcome<&Identity> {
        self.group(&id.subscription_id, &id.resource_group)?;
        self.identities.get(&id.key()).ok_or_else(|| {
            let IdentityId { resource_group, name, .. } = id;
            let message = format!(
                "The Resource 'Microsoft.ManagedIdentity/userAssignedIdentities/{name}' under resource group '{resource_group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            );
            Answer::gateway_not_found("ResourceNotFound", message)
        })
    }

    pub(crate) fn identity_of_client(&self, client_id: Uuid) -> Option<&Identity> {
        self.identities
            .values()
            .find(|identity| identity.client_id == client_id)
    }

    pub(crate) fn identity_of_principal(&self, principal_id: Uuid) -> Option<&Identity> {
        self.identities
            .values()
            .find(|identity| identity.principal_id == principal_id)
    }

    /// Removes the identity with its credentials; role assignments to it stay behind.
    pub(crate) fn remove_identity(&mut self, id: &IdentityId) -> Option<Identity> {
        let identity = self.identities.remove(&id.key())?;
        self.histories.remove(&identity.client_id);
        Some(identity)
    }

    /// Writes a credential of an identity.
    pub(crate) fn put_credential(&mut self, id: &IdentityId, credential: Credential, now: Timestamp) {
        if let Some(identity) = self.identities.get_mut(&id.key()) {
            identity.put_credential(credential);
            remember(&mut self.histories, identity, now);
        }
    }

    /// Deletes a credential of an identity; says whether it was there.
    pub(crate) fn remove_credential(&mut self, id: &IdentityId, name: &str, now: Timestamp) -> bool {
        let Some(identity) = self.identities.get_mut(&id.key()) else {
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

    /// Writes a new role assignment, which grants nothing before that moment.
    pub(crate) fn insert_assignment(&mut self, assignment: RoleAssignment, granting_from: Timestamp) {
        self.granting_from.insert(assignment.name, granting_from);
        self.assignments.insert(assignment.name, assignment);
    }

    /// The role assignments that grant something now.
    pub(crate) fn granting(&self, now: Timestamp) -> impl Iterator<Item = &RoleAssignment> {
        let spread = move |name: &Uuid| self.granting_from.get(name).is_none_or(|from| *from <= now);
        self.assignments
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

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut role_assignments: Vec<RoleAssignment> = self.assignments.values().cloned().collect();
        role_assignments.sort_by_key(|assignment| assignment.id().to_lowercase());
        Snapshot {
            resource_groups: self.groups.values().cloned().collect(),
            identities: self.identities.values().cloned().collect(),
            role_assignments,
            role_definitions: self.definitions.values().cloned().collect(),
        }
    }

    /// Puts the snapshot in the place of everything. Entra knows its credentials at once.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        let Snapshot {
            resource_groups,
            identities,
            role_assignments,
            role_definitions,
        } = snapshot;
        let group = |group: ResourceGroup| (group_key(&group.subscription_id, &group.name), group);
        self.groups = resource_groups.into_iter().map(group).collect();
        self.identities = identities
            .into_iter()
            .map(|identity| (identity.id.key(), identity))
            .collect();
        self.assignments = role_assignments
            .into_iter()
            .map(|assignment| (assignment.name, assignment))
            .collect();
        self.definitions = role_definitions
            .into_iter()
            .map(|definition| (definition.name, definition))
            .collect();
        self.granting_from.clear();
        self.histories.clear();
        for identity in self.identities.values() {
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
        state.groups.values_mut().for_each(|group| group.gone_at = Some(now));
        state.settle(after(now, Duration::from_secs(1)));
        assert_eq!(state.snapshot(), Snapshot::default());
        assert_eq!(state.identity_of_client(identity.client_id), None);
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
