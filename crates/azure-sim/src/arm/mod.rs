//! Azure Resource Manager: what every call meets, and then the handler of its resource.

mod activity_log;
mod admission;
mod call;
mod credentials;
mod definitions;
mod groups;
pub(crate) mod headers;
mod identities;
mod locks;
mod managed_clusters;
mod paging;
mod providers;
mod resources;
mod role_assignments;
mod signed_link;
mod subscriptions;
mod tags;
mod tags_of;
mod versions;

use http::{Method, StatusCode};

use crate::access::caller::Caller;
use crate::answer::{Answer, Outcome};
use crate::cloud::Cloud;
use crate::incoming::Incoming;
use crate::state::State;
use crate::target::Target;
use call::{Applicant, Call};

/// Answers a call: admission at once, the rest when the latency is over.
pub(crate) async fn serve(cloud: &Cloud, incoming: &Incoming, target: &Target, caller: Outcome<Caller>) -> Answer {
    let config = cloud.settings();
    let mut remaining = Vec::new();
    let by = caller.as_ref().ok().cloned();
    let operator = by.as_ref().map(|caller| caller.principal.clone());
    let answer = match caller {
        Ok(caller) => {
            let applicant = Applicant {
                incoming,
                target,
                config: &config,
                caller: &caller,
            };
            admitted(cloud, applicant, &mut remaining).await
        }
        Err(refused) => Err(refused),
    };
    let mut answer = answer.unwrap_or_else(|refused| refused);
    if let Some(caller) = by {
        activity_log::write(cloud, (incoming, target), &caller, &answer);
    }
    let by_gateway = headers::is_by_gateway(&answer);
    // What the gateway does not find says nothing of budgets.
    if !(by_gateway && answer.status == StatusCode::NOT_FOUND) {
        answer.headers.extend(remaining);
    }
    match operator {
        Some(principal) if target.has_provider() && !by_gateway => {
            let identifier = headers::operation_identifier(config.tenant_id, &principal);
            answer.with_header("x-ms-operation-identifier", identifier)
        }
        _ => answer,
    }
}

async fn admitted(cloud: &Cloud, applicant: Applicant<'_>, remaining: &mut Vec<(String, String)>) -> Outcome<Answer> {
    let Applicant {
        incoming,
        target,
        config,
        caller,
    } = applicant;
    let version = versions::check(target, incoming)?;
    admission::content_type(incoming)?;
    admission::subscription(config, incoming, target)?;
    let _writing = cloud.with_state(|state, now| {
        remaining.extend(admission::throttle(state, applicant, now)?);
        admission::authorize(state, applicant, now)?;
        locks::require_unlocked(&state.live, incoming, target)?;
        admission::credential_write(cloud, state, incoming, target)
    })?;
    if !config.latency.is_zero() {
        tokio::time::sleep(config.latency).await;
    }
    if let Target::Registration {
        subscription,
        namespace,
    } = target
        && incoming.method == Method::POST
    {
        return providers::register(cloud, subscription, namespace);
    }
    let dispatch = |state: &mut State, now| {
        let call = Call {
            incoming,
            config,
            caller,
            version,
            now,
        };
        call.dispatch(state, target)
    };
    if incoming.writes() {
        cloud.change_state(dispatch)
    } else {
        cloud.with_state(dispatch)
    }
}

// === impl Call ===

impl Call<'_> {
    fn dispatch(&self, state: &mut State, target: &Target) -> Outcome<Answer> {
        let method = &self.incoming.method;
        match target {
            Target::Groups(subscription) if *method == Method::GET => groups::list(self, state, subscription),
            Target::Group { subscription, name } => match *method {
                Method::GET => groups::get(self, state, subscription, name),
                Method::HEAD => Ok(groups::head(state, subscription, name)),
                Method::PUT => groups::put(self, state, subscription, name),
                Method::PATCH => groups::patch(self, state, subscription, name),
                Method::DELETE => groups::delete(self, state, subscription, name),
                _ => Err(self.not_allowed()),
            },
            Target::Operation { subscription, name } if *method == Method::GET => {
                Ok(groups::operation(self, state, subscription, name))
            }
            Target::Identities { subscription, group } if *method == Method::GET => {
                identities::list(self, state, subscription, group.as_deref())
            }
            Target::Identity(id) => match *method {
                Method::GET => identities::get(self, state, id),
                Method::PUT => identities::put(self, state, id),
                Method::PATCH => identities::patch(self, state, id),
                Method::DELETE => identities::delete(state, id),
                _ => Err(self.not_allowed()),
            },
            Target::IdentityAction(id, action) if *method == Method::POST => identities::act(self, state, id, action),
            Target::Credentials(id) if *method == Method::GET => credentials::list(self, state, id),
            Target::Credential(id, name) => match *method {
                Method::GET => credentials::get(self, state, id, name),
                Method::PUT => credentials::put(self, state, id, name),
                Method::DELETE => credentials::delete(self, state, id, name),
                _ => Err(self.not_allowed()),
            },
            Target::RoleAssignments { .. }
            | Target::RoleAssignment { .. }
            | Target::RoleDefinitions { .. }
            | Target::RoleDefinition { .. } => self.dispatch_access(state, target),
            _ => self.dispatch_common(state, target),
        }
    }

    /// What Azure Resource Manager knows of every resource: subscriptions, providers, lists, tags and locks.
    fn dispatch_common(&self, state: &mut State, target: &Target) -> Outcome<Answer> {
        let method = &self.incoming.method;
        match target {
            Target::Subscriptions if *method == Method::GET => subscriptions::list(self, state),
            Target::Subscription(id) if *method == Method::GET => Ok(subscriptions::get(self, id)),
            Target::Provider {
                subscription,
                namespace,
            } if *method == Method::GET => providers::get(self.config, subscription, namespace),
            Target::Resources(subscription) if *method == Method::GET => resources::list(self, state, subscription),
            Target::ManagedCluster {
                subscription,
                group,
                name,
            } => match *method {
                Method::GET => managed_clusters::get(self, state, (subscription, group), name),
                Method::PUT => managed_clusters::put(self, state, (subscription, group), name),
                _ => Err(self.not_allowed()),
            },
            Target::ClusterUserCredential {
                subscription,
                group,
                name,
            } if *method == Method::POST => managed_clusters::user_credential(self, state, (subscription, group), name),
            Target::Tags { scope } => match *method {
                Method::GET => tags_of::get(state, scope),
                Method::PUT | Method::PATCH => tags_of::write(self, state, scope),
                _ => Err(self.not_allowed()),
            },
            Target::ActivityLog(subscription) if *method == Method::GET => {
                activity_log::list(self, state, subscription)
            }
            Target::Locks { scope } if *method == Method::GET => locks::list(self, state, scope),
            Target::Lock { scope, name } => match *method {
                Method::GET => locks::get(self, state, scope, name),
                Method::PUT => locks::put(self, state, scope, name),
                Method::DELETE => Ok(locks::delete(state, scope, name)),
                _ => Err(self.not_allowed()),
            },
            _ => Err(self.not_allowed()),
        }
    }

    /// What Azure's authorization knows: role assignments and definitions.
    fn dispatch_access(&self, state: &mut State, target: &Target) -> Outcome<Answer> {
        let method = &self.incoming.method;
        match target {
            Target::RoleAssignments { scope } if *method == Method::GET => role_assignments::list(self, state, scope),
            Target::RoleAssignment { scope, name } => match *method {
                Method::GET => role_assignments::get(self, state, scope, name),
                Method::PUT => role_assignments::put(self, state, scope, name),
                Method::DELETE => role_assignments::delete(state, scope, name),
                _ => Err(self.not_allowed()),
            },
            Target::RoleDefinitions { scope } if *method == Method::GET => definitions::list(self, state, scope),
            Target::RoleDefinition { scope, name } => match *method {
                Method::GET => definitions::get(self, state, scope, name),
                Method::PUT => definitions::put(self, state, scope, name),
                Method::DELETE => definitions::delete(state, scope, name),
                _ => Err(self.not_allowed()),
            },
            _ => Err(self.not_allowed()),
        }
    }
}
