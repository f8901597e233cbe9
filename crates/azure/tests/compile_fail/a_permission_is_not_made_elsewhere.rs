//! Only authorization makes the permission to write to an identity, and the permission to give it a role.

use wio_core::authorize::{Authorized, Grant, PermittedRole, Terms};
use wio_core::names::{IdentityId, RoleDefinitionGuid, Scope};

fn permission(identity: IdentityId, roles: Vec<PermittedRole>) -> Authorized<Grant> {
    let terms = Terms {
        authorized_by: Vec::new(),
        may_adopt: true,
        roles,
    };
    Authorized { identity, terms }
}

fn role(definition: RoleDefinitionGuid, scope: Scope) -> PermittedRole {
    PermittedRole { definition, scope }
}

fn main() {}
