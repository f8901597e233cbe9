//! Service accounts with a client id that no binding wrote: of `azwi`, of charts, by hand.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wio_api::keys;

use super::found::{Found, Trust, Which};

/// Takes in the service accounts.
pub(super) fn take_in(accounts: &[ObjectMeta], found: &mut Found) {
    for account in accounts {
        let annotation = |key| account.annotations.as_ref()?.get(key).map(String::as_str);
        let is_bound = account
            .labels
            .as_ref()
            .is_some_and(|labels| labels.contains_key(keys::BOUND_BY_LABEL));
        let (Some(namespace), Some(name)) = (&account.namespace, &account.name) else {
            continue;
        };
        let Some(client) = annotation(keys::CLIENT_ID_ANNOTATION).filter(|client| !client.is_empty() && !is_bound)
        else {
            continue;
        };
        found.trusts.push(Trust {
            namespace: namespace.clone(),
            account: name.clone(),
            identity: Which::Client(client.to_owned()),
            stands: false,
            audience: None,
            by: format!("ServiceAccount {namespace}/{name}"),
        });
    }
}
