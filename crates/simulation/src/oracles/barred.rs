//! What no policy gives: the identities by which the cluster itself acts.

use std::sync::Arc;

use super::Judged;
use crate::history::{CLIENT_ID, History, text};
use crate::world::KUBELET;

/// Nobody is ever trusted to be one of them.
pub(super) fn cluster(history: &History) -> Judged {
    let mut judged = Judged::default();
    let asks = history.owners.iter().any(|owned| owned.barred);
    for (before, now) in history.steps() {
        if !asks || Arc::ptr_eq(&before.azure, &now.azure) {
            continue;
        }
        for identity in now
            .azure
            .identities
            .iter()
            .filter(|identity| identity.id.name == KUBELET)
        {
            judged.case(identity.credentials.is_empty(), || {
                format!(
                    "{:.1} s: somebody is trusted to be the cluster's {KUBELET}",
                    now.at.as_secs_f64()
                )
            });
        }
    }
    judged
}

/// Nor is it written on a service account.
pub(super) fn marks(history: &History) -> Judged {
    let mut judged = Judged::default();
    let kubelet = history.moments.first().and_then(|first| {
        let mut identities = first.azure.identities.iter();
        identities.find(|identity| identity.id.name == KUBELET)
    });
    let Some(kubelet) = kubelet.filter(|_| history.owners.iter().any(|owned| owned.barred)) else {
        return judged;
    };
    let client = kubelet.client_id.to_string();
    for now in &history.moments {
        let marked = now.accounts.iter().any(|account| text(account, CLIENT_ID) == client);
        judged.case(!marked, || {
            format!(
                "{:.1} s: a service account carries the client id of the cluster's {KUBELET}",
                now.at.as_secs_f64()
            )
        });
    }
    judged
}
