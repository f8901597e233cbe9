//! The observed role assignments, known place by place.

use std::collections::BTreeMap;
use std::fmt;

use crate::fault::AzureFault;
use crate::names::{PrincipalId, RoleAssignmentName, RoleDefinitionGuid, Scope};
use crate::role_terms::RoleTerms;

/// The role assignments of a binding's principals, known place by place. **What is known is taken away though another place is not, and
/// what may stand unseen keeps new trust from being given.** None without a look when none are asked for and none were before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRoleAssignments {
    known: Vec<ObservedRoleAssignment>,
    unread: BTreeMap<Scope, Unread>,
}

/// A role assignment as Azure showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedRoleAssignment {
    /// Its name.
    pub name: RoleAssignmentName,
    /// Where it holds, as written: a foreign one may hold at `/`, where none of ours can.
    pub scope: String,
    /// The role.
    pub definition: RoleDefinitionGuid,
    /// Who has the role.
    pub principal: PrincipalId,
    /// On which terms; none when that is not known: of one that is only recorded, or may stand unseen.
    pub terms: Option<RoleTerms>,
}

/// A place that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Why.
    pub why: AzureFault,
    /// Whether the record says that ours are or may be there.
    pub remembered: bool,
}

// === impl ObservedRoleAssignments ===

impl ObservedRoleAssignments {
    /// All of them, ours and others', also those that hold for the principal at a wider scope: every place was read.
    #[must_use]
    pub const fn read(all: Vec<ObservedRoleAssignment>) -> Self {
        Self {
            known: all,
            unread: BTreeMap::new(),
        }
    }

    /// Those of one more place, as Azure showed them. Those of a wider scope are in every list.
    pub fn listed(&mut self, found: Vec<ObservedRoleAssignment>) {
        for one in found {
            if !self.known.contains(&one) {
                self.known.push(one);
            }
        }
    }

    /// One more place that could not be read, and those of ours that were recorded there: they stand until Azure says otherwise.
    pub fn not_read(&mut self, place: &Scope, unread: Unread, recorded: Vec<ObservedRoleAssignment>) {
        self.unread.entry(place.root()).or_insert(unread);
        for one in recorded {
            if !self.known.iter().any(|other| other.name == one.name) {
                self.known.push(one);
            }
        }
    }

    /// Those that are known: as Azure showed them, and of a place that could not be read ours as they were recorded.
    #[must_use]
    pub fn known(&self) -> &[ObservedRoleAssignment] {
        &self.known
    }

    /// All of them, when every place was read.
    #[must_use]
    pub fn complete(&self) -> Option<&[ObservedRoleAssignment]> {
        self.unread.is_empty().then_some(self.known.as_slice())
    }

    /// The places that could not be read.
    pub fn unread(&self) -> impl Iterator<Item = (&Scope, &Unread)> {
        self.unread.iter()
    }

    /// Whether the place where a scope lies was read.
    #[must_use]
    pub fn is_read(&self, scope: &Scope) -> bool {
        !self.unread.contains_key(&scope.root())
    }

    /// Whether one of ours may stand where nobody could look: nothing says that it is still permitted.
    #[must_use]
    pub fn may_hide_ours(&self) -> bool {
        self.unread.values().any(|place| place.remembered)
    }

    /// One was written, or an equal one was found.
    pub(crate) fn assigned(&mut self, assignment: ObservedRoleAssignment) {
        self.deleted(assignment.name);
        self.known.push(assignment);
    }

    /// One was deleted.
    pub(crate) fn deleted(&mut self, name: RoleAssignmentName) {
        self.known.retain(|assignment| assignment.name != name);
    }
}

// === impl ObservedRoleAssignment ===

impl ObservedRoleAssignment {
    /// Its Azure resource id.
    #[must_use]
    pub fn id(&self) -> String {
        format!(
            "{}/providers/Microsoft.Authorization/roleAssignments/{}",
            self.scope.trim_end_matches('/'),
            self.name
        )
    }
}

impl fmt::Display for ObservedRoleAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.definition.built_in_name() {
            Some(name) => write!(f, "{name} at {}", self.scope),
            None => write!(f, "{} at {}", self.definition, self.scope),
        }
    }
}
