//! Subscriptions.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::config::SubscriptionState;
use crate::state::State;

/// The subscriptions that exist; when each does that is asked for, those that have a resource group.
pub(super) fn list(call: &Call<'_>, state: &State) -> Outcome<Answer> {
    let configured = call.config.subscriptions.iter().map(Uuid::to_string);
    let used = state
        .live
        .groups
        .values()
        .map(|group| group.subscription_id.to_lowercase());
    let ids: BTreeSet<String> = if call.config.subscriptions.is_empty() {
        used.collect()
    } else {
        configured.collect()
    };
    let own = |id: &String| state_of(call, id) != Some(SubscriptionState::OfAnotherTenant);
    call.page(ids.into_iter().filter(own).map(|id| (id.clone(), rendered(call, &id))))
}

pub(super) fn get(call: &Call<'_>, id: &str) -> Answer {
    Answer::ok(rendered(call, id))
}

fn state_of(call: &Call<'_>, id: &str) -> Option<SubscriptionState> {
    let id = Uuid::try_parse(id).ok()?;
    call.config.subscription_states.get(&id).copied()
}

fn rendered(call: &Call<'_>, id: &str) -> Value {
    let disabled = state_of(call, id) == Some(SubscriptionState::Disabled);
    json!({
        "id": format!("/subscriptions/{id}"),
        "subscriptionId": id,
        "displayName": "Simulated",
        "state": if disabled { "Disabled" } else { "Enabled" },
        "tenantId": call.config.tenant_id,
    })
}
