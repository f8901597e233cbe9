//! What a call must pass before it reaches its resource.

use http::{Method, StatusCode};
use jiff::Timestamp;
use uuid::Uuid;

use crate::access::conditions::Attempt;
use crate::access::rights;
use crate::answer::{Answer, Outcome};
use crate::arm::call::Applicant;
use crate::arm::role_assignments;
use crate::cloud::Cloud;
use crate::config::{Config, SubscriptionState};
use crate::incoming::Incoming;
use crate::limits::{CallKind, Exhausted};
use crate::names::guid;
use crate::state::State;
use crate::target::{ResourceKind, Target, segments};

/// A write of a federated credential under way; while it lives, others on the same identity are refused.
pub(super) struct CredentialWrite {
    cloud: Cloud,
    identity: String,
}

/// The subscription must be a GUID, one that exists, and in a state that allows the call.
pub(super) fn subscription(config: &Config, incoming: &Incoming, target: &Target) -> Outcome<()> {
    let Some(text) = target.subscription() else {
        return Ok(());
    };
    let Some(id) = guid(text) else {
        let message = format!("The provided subscription identifier '{text}' is malformed or invalid.");
        return Err(gateway(StatusCode::BAD_REQUEST, "InvalidSubscriptionId", message));
    };
    if !config.subscriptions.is_empty() && !config.subscriptions.contains(&id) {
        let message = format!("The subscription '{text}' could not be found.");
        return Err(Answer::gateway_not_found("SubscriptionNotFound", message));
    }
    let of_the_provider = matches!(target.kind(), ResourceKind::Identity | ResourceKind::Credential);
    let writes = !matches!(incoming.method, Method::GET | Method::HEAD | Method::DELETE);
    match config.subscription_states.get(&id) {
        Some(SubscriptionState::OfAnotherTenant) => Err(other_tenant(config, id)),
        Some(SubscriptionState::Disabled) if writes => {
            let message = format!(
                "The subscription '{text}' is disabled and therefore marked as read only. You cannot perform any write actions on this subscription until it is re-enabled."
            );
            Err(gateway(StatusCode::CONFLICT, "ReadOnlyDisabledSubscription", message))
        }
        Some(SubscriptionState::Unregistered) if writes && of_the_provider => {
            let message = "The subscription is not registered to use namespace 'Microsoft.ManagedIdentity'. See https://aka.ms/rps-not-found for how to register subscriptions.";
            let code = "MissingSubscriptionRegistration";
            Err(gateway(StatusCode::CONFLICT, code, message.to_owned()))
        }
        _ => Ok(()),
    }
}

/// The token is of the right tenant, and the subscription is not. The other tenant gets an id of its own.
fn other_tenant(config: &Config, subscription: Uuid) -> Answer {
    let (own, other) = (config.tenant_id, Uuid::new_v5(&subscription, b"tenant"));
    let message = format!(
        "The access token is from the wrong issuer 'https://sts.windows.net/{own}/'. It must match the tenant 'https://sts.windows.net/{other}/' associated with this subscription. Please use the authority (URL) 'https://login.windows.net/{other}' to get the token. Note, if the subscription is transferred to another tenant there is no impact to the services, but information about new tenant could take time to propagate (up to an hour). If you just transferred your subscription and see this error message, please try back later."
    );
    gateway(StatusCode::UNAUTHORIZED, "InvalidAuthenticationTokenTenant", message)
}

/// A body must be said to be JSON.
pub(super) fn content_type(incoming: &Incoming) -> Outcome<()> {
    let said = incoming.header("content-type");
    let media_type = said.and_then(|said| said.split(';').next()).map(str::trim);
    if incoming.body.is_empty() || media_type.is_some_and(|said| said.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let said = media_type.unwrap_or("<null>");
    let message = format!("The content media type '{said}' is not supported. Only 'application/json' is supported.");
    Err(gateway(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UnsupportedMediaType",
        message,
    ))
}

/// Draws the call on the budgets; gives the headers that say what is left.
pub(super) fn throttle(state: &mut State, applicant: Applicant<'_>, now: Timestamp) -> Outcome<Vec<(String, String)>> {
    let Applicant {
        incoming,
        target,
        config,
        caller,
    } = applicant;
    let Some(limits) = &config.limits else {
        return Ok(Vec::new());
    };
    let kind = CallKind::of(&incoming.method, target);
    let Some(subscription) = target.subscription() else {
        let left = state
            .throttle
            .draw_tenant(limits, kind, &caller.principal, now)
            .to_string();
        return Ok(of_the_tenant(kind).map(|header| (header, left)).into_iter().collect());
    };
    let refuse = |exhausted: Exhausted| {
        let (what, wait) = (kind.name().trim_end_matches('s'), exhausted.retry_after);
        let message = format!(
            "Number of '{what}' requests for subscription '{subscription}' actor '{}' exceeded. Please try again after '{wait}' seconds after additional tokens are available. Refer to https://aka.ms/arm-throttling for additional information.",
            caller.principal
        );
        throttled("SubscriptionRequestsThrottled", message, exhausted)
            .with_header(&remaining(kind, ""), "0")
            .with_header("x-ms-failure-cause", "gateway")
    };
    let left = state
        .throttle
        .draw(limits, kind, (&caller.principal, subscription), now)
        .map_err(refuse)?;
    let shared = state
        .throttle
        .draw_global(limits, kind, subscription, now)
        .map_err(refuse)?;
    state
        .throttle
        .draw_provider(limits, &incoming.method, target, now)
        .map_err(|exhausted| throttled("TooManyRequests", TOO_MANY, exhausted))?;
    Ok(vec![
        (remaining(kind, ""), left.to_string()),
        (remaining(kind, "global-"), shared.to_string()),
    ])
}

/// What the managed-identity provider says when its own limits are reached.
pub(super) const TOO_MANY: &str = "The request is throttled. Please retry later.";

/// A 429 that says when to come again.
pub(super) fn throttled(code: &str, message: impl Into<String>, exhausted: Exhausted) -> Answer {
    Answer::error(StatusCode::TOO_MANY_REQUESTS, code, message)
        .with_header("retry-after", exhausted.retry_after.to_string())
}

/// Deletions at the tenant are not told of.
fn of_the_tenant(kind: CallKind) -> Option<String> {
    let told = matches!(kind, CallKind::Reads | CallKind::Writes);
    told.then(|| format!("x-ms-ratelimit-remaining-tenant-{}", kind.name()))
}

fn remaining(kind: CallKind, global: &str) -> String {
    format!("x-ms-ratelimit-remaining-subscription-{global}{}", kind.name())
}

/// The caller's roles must allow the call, when authorization is on.
pub(super) fn authorize(state: &State, applicant: Applicant<'_>, now: Timestamp) -> Outcome<()> {
    let Applicant {
        incoming,
        target,
        config,
        caller,
    } = applicant;
    match target.action(&incoming.method) {
        Some(action) if config.authorization => {
            let scope = format!("/{}", segments(&incoming.path).join("/"));
            let mut attempt = Attempt {
                action: &action,
                ..Attempt::default()
            };
            // What is assigned is known from the request, what is deleted from the resource, and neither from the other:
            // https://learn.microsoft.com/azure/role-based-access-control/conditions-authorization-actions-attributes
            if let Target::RoleAssignment { scope, name } = target {
                match incoming.method {
                    Method::PUT => attempt.request = role_assignments::asked(incoming),
                    Method::DELETE => attempt.resource = role_assignments::held(state, scope, name),
                    _ => {}
                }
            }
            rights::require(state, caller, &attempt, &scope, now)
        }
        _ => Ok(()),
    }
}

/// Claims the identity for a write of one of its credentials, if the call is one.
pub(super) fn credential_write(
    cloud: &Cloud,
    state: &mut State,
    incoming: &Incoming,
    target: &Target,
) -> Outcome<Option<CredentialWrite>> {
    let Some(id) = target
        .credential_owner()
        .filter(|_| matches!(incoming.method, Method::PUT | Method::DELETE))
        .filter(|id| state.live.identities.contains_key(&id.key()))
    else {
        return Ok(None);
    };
    let identity = id.key();
    if !state.busy.insert(identity.clone()) {
        let provider = "Microsoft.ManagedIdentity/userAssignedIdentities";
        let id = id.to_string().replace(provider, &provider.to_lowercase());
        let message = format!(
            "Too many Federated Identity Credentials are written concurrently for the managed identity '{id}'. Concurrent Federated Identity Credentials writes under the same managed identity are not supported."
        );
        let code = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
        return Err(Answer::conflict(code, message));
    }
    Ok(Some(CredentialWrite {
        cloud: cloud.clone(),
        identity,
    }))
}

fn gateway(status: StatusCode, code: &str, message: String) -> Answer {
    Answer::error(status, code, message).with_header("x-ms-failure-cause", "gateway")
}

// === impl CredentialWrite ===

impl Drop for CredentialWrite {
    fn drop(&mut self) {
        self.cloud.with_state(|state, _| state.busy.remove(&self.identity));
    }
}
