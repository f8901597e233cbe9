//! What needs no policy, taking away what is ours, is no permission to give.

use wio_azure::Azure;
use wio_core::authorize::{Granted, Revocable};
use wio_core::desired::{DesiredCredential, DesiredRole};
use wio_core::names::{Location, PrincipalId};
use wio_core::observed::Tags;
use wio_core::owner::Owner;

async fn give(azure: Azure, taking: Revocable, credential: DesiredCredential, location: Location, tags: Tags) {
    let _ = azure.put_identity(&taking, &location, &tags).await;
    let _ = azure.tag_identity(&taking, &tags).await;
    let _ = azure.put_credential(&taking, &credential).await;
}

async fn assign(azure: Azure, taking: Revocable, owner: Owner, role: DesiredRole, principal: PrincipalId) {
    let _ = azure.put_role_assignment(&taking, &owner, &role, principal).await;
}

fn turn(taking: Revocable) -> Granted {
    taking.into()
}

fn main() {}
