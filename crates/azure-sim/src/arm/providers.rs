//! Resource providers, and their registration in a subscription.

use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::arm::versions;
use crate::cloud::Cloud;
use crate::config::{Config, SubscriptionState};
use crate::names::guid;

/// The one whose registration a subscription can be without.
const MANAGED_IDENTITY: &str = "Microsoft.ManagedIdentity";

/// The providers that there are.
const NAMESPACES: [&str; 3] = [MANAGED_IDENTITY, "Microsoft.Authorization", "Microsoft.Resources"];

pub(super) fn get(config: &Config, subscription: &str, namespace: &str) -> Outcome<Answer> {
    let namespace = known(namespace)?;
    let state = if is_missing(config, subscription, namespace) {
        "NotRegistered"
    } else {
        "Registered"
    };
    Ok(Answer::ok(rendered(subscription, namespace, state)))
}

/// Registers it. The answer still says that this goes on; the next look says that it is done.
pub(super) fn register(cloud: &Cloud, subscription: &str, namespace: &str) -> Outcome<Answer> {
    let namespace = known(namespace)?;
    let mut state = "Registered";
    cloud.reconfigure(|config| {
        if is_missing(config, subscription, namespace) {
            config
                .subscription_states
                .retain(|id, _| guid(subscription) != Some(*id));
            state = "Registering";
        }
    });
    Ok(Answer::ok(rendered(subscription, namespace, state)))
}

/// The namespace as Azure writes it.
fn known(namespace: &str) -> Outcome<&'static str> {
    let found = NAMESPACES
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(namespace));
    found.ok_or_else(|| {
        let message = format!("The resource namespace '{namespace}' is invalid.");
        Answer::error(StatusCode::NOT_FOUND, "InvalidResourceNamespace", message)
    })
}

fn is_missing(config: &Config, subscription: &str, namespace: &str) -> bool {
    let state = guid(subscription).and_then(|id| config.subscription_states.get(&id));
    namespace == MANAGED_IDENTITY && state == Some(&SubscriptionState::Unregistered)
}

fn rendered(subscription: &str, namespace: &str, state: &str) -> Value {
    let types = versions::of_provider(namespace).iter().map(|(resource_type, versions)| {
        json!({ "resourceType": resource_type, "locations": [], "apiVersions": versions, "capabilities": "None" })
    });
    let policy = if namespace == MANAGED_IDENTITY {
        "RegistrationRequired"
    } else {
        "RegistrationFree"
    };
    json!({
        "id": format!("/subscriptions/{subscription}/providers/{namespace}"),
        "namespace": namespace,
        "resourceTypes": types.collect::<Vec<_>>(),
        "registrationState": state,
        "registrationPolicy": policy,
    })
}
