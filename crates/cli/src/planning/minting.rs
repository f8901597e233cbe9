//! Whether the operator may mint the tokens that it would exchange for a proof: a right that it has where somebody gave it.

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use wio_api::Reason;

use super::show::Forecasts;
use crate::session::{Session, told};

/// What gives it, as config/verification and the chart name it.
const GIVEN_BY: &str = "workload-identity-operator-verification";

/// Says in forecasts of a proof that it would not come about, where the right is missing, or that nobody could look.
pub(crate) async fn consider(forecasts: &mut Forecasts, session: &Session) {
    if forecasts.bindings.iter().all(|one| one.forecast.proves.is_empty()) {
        return;
    }
    let bindings: Api<ClusterRoleBinding> = Api::all(session.client.clone());
    match bindings.get_metadata_opt(GIVEN_BY).await {
        Ok(Some(_)) => {}
        Ok(None) => {
            let proving = forecasts.bindings.iter_mut().map(|one| &mut one.forecast);
            for forecast in proving.filter(|forecast| !forecast.proves.is_empty()) {
                forecast.blocked.push(refusal(&forecast.proves));
                forecast.proves.clear();
            }
        }
        Err(error) => forecasts.not_read.push(format!(
            "whether the operator may mint tokens for the proof, by ClusterRoleBinding {GIVEN_BY}: {}",
            told(error)
        )),
    }
}

fn refusal(accounts: &[String]) -> String {
    format!(
        "{}: no token of service account {} is exchanged, and so it does not become ready: the operator may mint none without ClusterRoleBinding \
         {GIVEN_BY}. verification.enabled of the chart, or config/verification, makes it",
        Reason::TokenRequestForbidden,
        accounts.join(", ")
    )
}
