//! Pod-managed identity, which Microsoft retired: `AzureIdentity`, `AzureIdentityBinding`, and the pods that they select.
//! <https://azure.github.io/aad-pod-identity/docs/concepts/>

use std::collections::BTreeSet;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;
use wio_core::names::IdentityId;

use super::found::{Found, Trust, Which};
use crate::pods::PodGlance;

/// The label by which pods ask for an identity.
const LABEL: &str = "aadpodidbinding";

/// Takes in the identities, their bindings, and the pods that these select.
pub(super) fn take_in(
    identities: &[DynamicObject],
    bindings: &[DynamicObject],
    pods: Option<&[PodGlance]>,
    found: &mut Found,
) {
    for identity in identities {
        let text = |field: &str| text(identity, field);
        found.identity(text("clientID"), text("resourceID"));
    }
    for binding in bindings {
        let (namespace, name) = (binding.namespace().unwrap_or_default(), binding.name_any());
        let by = format!("AzureIdentityBinding {namespace}/{name}");
        let named = text(binding, "azureIdentity").unwrap_or_default();
        let is_named = |one: &&DynamicObject| one.name_any() == named && one.namespace() == binding.namespace();
        let Some(identity) = identities.iter().find(is_named) else {
            found.leave(by, format!("AzureIdentity {namespace}/{named} is not there"));
            continue;
        };
        match text(identity, "resourceID").map(str::parse::<IdentityId>) {
            Some(Ok(id)) => pods_of(binding, &by, &id, pods, found),
            _ => found.leave(
                by,
                format!("AzureIdentity {namespace}/{named} names no managed identity"),
            ),
        }
    }
}

fn pods_of(binding: &DynamicObject, by: &str, id: &IdentityId, pods: Option<&[PodGlance]>, found: &mut Found) {
    let selector = text(binding, "selector").unwrap_or_default();
    let Some(pods) = pods else {
        return found.leave(
            by,
            "the pods that it selects could not be read, so their service accounts are not known",
        );
    };
    let selected = pods.iter().filter(|pod| {
        pod.namespace() == binding.namespace() && pod.labels().get(LABEL).map(String::as_str) == Some(selector)
    });
    let accounts: BTreeSet<&str> = selected.map(|pod| pod.spec.service_account_name.as_str()).collect();
    if accounts.is_empty() {
        found.leave(
            by,
            format!("no pod has the label {LABEL}: {selector}, so there is no service account to bind"),
        );
    }
    for account in accounts {
        if account.is_empty() || account == "default" {
            let why = "its pods run as the service account default, which pods that are to have no token share: give them one of their own";
            found.leave(by, why);
            continue;
        }
        found.trusts.push(Trust {
            namespace: binding.namespace().unwrap_or_default(),
            account: account.to_owned(),
            identity: Which::Id(id.clone()),
            stands: true,
            audience: None,
            by: format!("{by} (whoever writes those may name any identity: see that this one is the namespace's)"),
        });
    }
}

/// A text of the spec. Its fields were written in two ways over time.
fn text<'a>(object: &'a DynamicObject, field: &str) -> Option<&'a str> {
    let spec = object.data.get("spec")?.as_object()?;
    let found = spec.iter().find(|(name, _)| name.eq_ignore_ascii_case(field));
    found.and_then(|(_, value)| Value::as_str(value))
}
