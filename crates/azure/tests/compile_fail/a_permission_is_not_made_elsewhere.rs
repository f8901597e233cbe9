//! Only the core makes the permissions to write to an identity, to take away from it, and to give it a role.

use wio_core::authorize::{Granted, PermittedRole, Revocable};
use wio_core::names::{IdentityId, RoleDefinitionGuid, Scope};

fn permission(identity: IdentityId, roles: Vec<PermittedRole>) -> Granted {
    Granted {
        identity,
        authorized_by: Vec::new(),
        may_adopt: true,
        roles,
    }
}

fn taking(identity: IdentityId) -> Revocable {
    Revocable::new(identity)
}

fn role(definition: RoleDefinitionGuid, scope: Scope) -> PermittedRole {
    PermittedRole { definition, scope }
}

fn main() {}
