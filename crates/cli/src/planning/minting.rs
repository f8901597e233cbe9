//! Whether the operator may mint the tokens that it would exchange for a proof: a right that it has where somebody gave it.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use kube::Api;
use wio_api::Reason;

use super::show::{Forecasts, Named};
use crate::session::{Session, told};

/// What gives it, as config/verification and the chart name it: in the whole cluster, or in each namespace in which the operator acts.
const GIVEN_BY: &str = "workload-identity-operator-verification";

/// Says in forecasts of a proof that it would not come about, where the right is missing, or that nobody could look.
pub(crate) async fn consider(forecasts: &mut Forecasts, session: &Session) {
    let proving = forecasts.bindings.iter().filter(|one| proves(one));
    let namespaces: BTreeSet<String> = proving.map(|one| one.namespace.clone()).collect();
    if namespaces.is_empty() {
        return;
    }
    let bindings: Api<ClusterRoleBinding> = Api::all(session.client.clone());
    let everywhere = match bindings.get_metadata_opt(GIVEN_BY).await {
        Ok(Some(_)) => return,
        Ok(None) => None,
        Err(error) => Some(format!("ClusterRoleBinding {GIVEN_BY}: {}", told(error))),
    };
    let mut unread = BTreeSet::new();
    for namespace in namespaces {
        let bindings: Api<RoleBinding> = Api::namespaced(session.client.clone(), &namespace);
        match (bindings.get_metadata_opt(GIVEN_BY).await, &everywhere) {
            (Ok(Some(_)), _) => {}
            (Ok(None), None) => refuse(forecasts, &namespace),
            (Ok(None), Some(unseen)) => drop(unread.insert(unseen.clone())),
            (Err(error), _) => drop(unread.insert(format!("RoleBinding {namespace}/{GIVEN_BY}: {}", told(error)))),
        }
    }
    let named = |unseen| format!("whether the operator may mint tokens for the proof, by {unseen}");
    forecasts.not_read.extend(unread.into_iter().map(named));
}

fn proves(one: &Named) -> bool {
    !one.forecast.proves.is_empty()
}

/// Nobody gave the right in a namespace.
fn refuse(forecasts: &mut Forecasts, namespace: &str) {
    let proving = forecasts.bindings.iter_mut();
    for Named { forecast, .. } in proving.filter(|one| one.namespace == namespace && proves(one)) {
        forecast.blocked.push(refusal(&forecast.proves));
        forecast.proves.clear();
    }
}

fn refusal(accounts: &[String]) -> String {
    format!(
        "{}: no token of service account {} is exchanged, and so it does not become ready: the operator may mint none without ClusterRoleBinding \
         {GIVEN_BY}, or a RoleBinding of that name here. verification.enabled of the chart, or config/verification, makes it",
        Reason::TokenRequestForbidden,
        accounts.join(", ")
    )
}
