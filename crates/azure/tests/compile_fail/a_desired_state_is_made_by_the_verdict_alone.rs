//! A desired state knows who shares it, because only the verdict makes one: whoever forgets to look for others gets none.

use wio_core::authorize::{Granted, Revocable};
use wio_core::desired::{DesiredBinding, DesiredIdentity, DesiredRemoval, Ending};
use wio_core::owner::Owner;

fn bound(granted: Granted, owner: Owner) -> DesiredBinding {
    DesiredBinding {
        granted,
        owner,
        identity: DesiredIdentity::Existing,
        credentials: Vec::new(),
        roles: Vec::new(),
        service_accounts: Vec::new(),
        suspended: false,
    }
}

fn gone(revocable: Revocable, owner: Owner) -> DesiredRemoval {
    DesiredRemoval {
        revocable,
        owner,
        managed: true,
        ending: Ending::Retain,
        orphan_denied: None,
    }
}

fn main() {}
