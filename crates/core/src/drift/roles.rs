//! Role assignments in a list of all that a place has, compared with what is recorded of a binding.

use std::collections::HashMap;

use crate::binding::Binding;
use crate::names::{PrincipalId, RoleAssignmentName, Scope};
use crate::observed::ObservedRoleAssignment;

/// All role assignments of a place.
#[derive(Debug)]
pub struct ListedRoles {
    place: Scope,
    assignments: HashMap<RoleAssignmentName, ObservedRoleAssignment>,
    of_principals: HashMap<PrincipalId, Vec<RoleAssignmentName>>,
}

impl ListedRoles {
    /// These, as the list of a place shows them.
    #[must_use]
    pub fn new(place: Scope, listed: Vec<ObservedRoleAssignment>) -> Self {
        let mut of_principals: HashMap<PrincipalId, Vec<RoleAssignmentName>> = HashMap::new();
        for one in &listed {
            of_principals.entry(one.principal).or_default().push(one.name);
        }
        Self {
            place,
            assignments: listed.into_iter().map(|one| (one.name, one)).collect(),
            of_principals,
        }
    }

    /// Whether a recorded role is not there as it was given, or one by a name of the binding's is there that is not recorded.
    #[must_use]
    pub fn differ(&self, binding: &Binding) -> bool {
        let recorded = &binding.recorded;
        let principal = recorded.identity.as_ref().and_then(|identity| identity.ids.principal);
        let mut here = recorded
            .role_assignments
            .iter()
            .filter(|one| one.scope.root() == self.place);
        let is_missing = here.any(|one| {
            let listed = self.assignments.get(&one.name);
            !listed.is_some_and(|listed| {
                Some(listed.principal) == principal
                    && listed.definition == one.definition
                    && listed.scope.parse().as_ref() == Ok(&one.scope)
                    && !has_other_terms(binding, listed)
            })
        });
        is_missing || recorded.principals().any(|principal| self.has_more(binding, principal))
    }

    fn has_more(&self, binding: &Binding, principal: PrincipalId) -> bool {
        let recorded =
            |name: &RoleAssignmentName| binding.recorded.role_assignments.iter().any(|one| one.name == *name);
        let names = self.of_principals.get(&principal).into_iter().flatten();
        let mut more = names
            .filter(|name| !recorded(name))
            .filter_map(|name| self.assignments.get(name));
        more.any(|one| binding.owner.owns_assignment(one))
    }
}

/// Whether an assignment holds on other terms than the spec asks for, as far as it is the binding's to say.
fn has_other_terms(binding: &Binding, listed: &ObservedRoleAssignment) -> bool {
    let Ok(spec) = &binding.spec else { return false };
    let mut asked = spec.role_assignments.iter();
    let asked =
        asked.find(|role| role.definition == listed.definition && listed.scope.parse().as_ref() == Ok(&role.scope));
    let Some((asked, terms)) = asked.zip(listed.terms.as_ref()) else {
        return false;
    };
    let described = terms.description == asked.terms.description || !binding.owner.owns_assignment(listed);
    terms.condition != asked.terms.condition || !described
}
