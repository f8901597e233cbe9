//! What needs no permission, taking away what is ours, is none to give.

use wio_azure::Azure;
use wio_core::authorize::{Authorized, Grant, Revoke, revoke};
use wio_core::binding::Owner;
use wio_core::desired::{DesiredCredential, DesiredRole};
use wio_core::names::{IdentityId, Location, PrincipalId};
use wio_core::observed::Tags;

async fn give(azure: Azure, identity: IdentityId, credential: DesiredCredential, location: Location, tags: Tags) {
    let taking = revoke(identity);
    let _ = azure.put_identity(&taking, &location, &tags).await;
    let _ = azure.tag_identity(&taking, &tags).await;
    let _ = azure.put_credential(&taking, &credential).await;
}

async fn assign(azure: Azure, taking: Authorized<Revoke>, owner: Owner, role: DesiredRole, principal: PrincipalId) {
    let _ = azure.put_role_assignment(&taking, &owner, &role, principal).await;
}

fn turn(taking: Authorized<Revoke>) -> Authorized<Grant> {
    taking.into()
}

fn main() {}
