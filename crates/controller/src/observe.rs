//! Looking at Azure, as seldom as possible.

use std::time::Duration;

use tokio::time::Instant;
use wio_api::{Reason, WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use wio_core::binding::ValidatedBinding;
use wio_core::desired::DesiredBinding;
use wio_core::disposition::{Disposition, disposition};
use wio_core::fault::Fault;
use wio_core::known_state::{self, AzureState};
use wio_core::names::{IdentityId, PrincipalId};
use wio_core::observed::{ObservedIdentity, ObservedRoleAssignment, ObservedRoleAssignments, PresentIdentity};
use wio_core::role_assignment_scopes;

use crate::context::Context;
use crate::jitter::{jittered, within};
use crate::memory::{KnownAzure, Remembered};

/// Azure, and how it is known.
pub(crate) struct Seen {
    pub(crate) azure: AzureState,
    /// Azure was asked in this very pass.
    pub(crate) fresh: bool,
}

/// The identity of a binding and its role assignments: as remembered until the next look is due, as the status left them
/// after a restart, presumed absent for a new binding with a derived name, and read otherwise.
pub(crate) async fn azure(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    validated: &ValidatedBinding,
    desired: &DesiredBinding,
    remembered: &mut Remembered,
) -> Result<Seen, Fault> {
    if let Some(known) = &remembered.azure {
        if Instant::now() < known.look_again {
            return Ok(Seen {
                azure: known.azure.clone(),
                fresh: false,
            });
        }
    } else if !remembered.must_look
        && let Some((presumed, look_in)) = presumed(ctx, binding.status.as_ref(), validated, desired)
    {
        remember(remembered, presumed.clone(), look_in);
        return Ok(Seen {
            azure: presumed,
            fresh: false,
        });
    }
    match look(ctx, binding, desired, remembered).await {
        Ok(azure) => Ok(Seen { azure, fresh: true }),
        Err(fault) => match put_off(ctx, &fault, remembered) {
            Some(azure) => Ok(Seen { azure, fresh: false }),
            None => Err(fault),
        },
    }
}

/// What is known, when a look that was due only because time went by could not be had: that Azure is busy or away says
/// nothing about a binding whose pods go on getting tokens. Looks that fail for longer than two intervals more are told.
fn put_off(ctx: &Context, fault: &Fault, remembered: &mut Remembered) -> Option<AzureState> {
    let Disposition::Retry {
        reason: Reason::Throttled | Reason::AzureUnavailable,
        after,
    } = disposition(fault)
    else {
        return None;
    };
    let interval = ctx.settings.drift_interval;
    let known = remembered.azure.as_mut()?;
    if known.doubted || known.seen.elapsed() > interval * 3 {
        return None;
    }
    tracing::info!(%fault, "the look at Azure is put off");
    known.look_again = Instant::now() + jittered(interval / 4).max(after.unwrap_or_default());
    Some(known.azure.clone())
}

/// Looks at Azure and remembers what it showed.
pub(crate) async fn look(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    desired: &DesiredBinding,
    remembered: &mut Remembered,
) -> Result<AzureState, Fault> {
    let seen = read(ctx, binding, desired.authorized.identity(), Ending::No).await?;
    remember(remembered, seen.clone(), jittered(ctx.settings.drift_interval));
    Ok(seen)
}

fn presumed(
    ctx: &Context,
    status: Option<&WorkloadIdentityBindingStatus>,
    validated: &ValidatedBinding,
    desired: &DesiredBinding,
) -> Option<(AzureState, Duration)> {
    let interval = ctx.settings.drift_interval;
    if let Some(absent) = known_state::new_binding(desired, validated.name_is_derived(), status) {
        return Some((absent, jittered(interval)));
    }
    // The looks that follow a restart are spread over a whole interval.
    let left = known_state::from_status(desired, validated.generation, status?)?;
    Some((left, within(interval)))
}

fn remember(remembered: &mut Remembered, azure: AzureState, look_in: Duration) {
    let now = Instant::now();
    remembered.azure = Some(KnownAzure {
        azure,
        seen: now,
        look_again: now + look_in,
        doubted: false,
    });
    remembered.must_look = false;
}

/// Whether an identity is looked at for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    No,
    Yes,
}

/// The identity and its role assignments as Azure shows them now.
pub(crate) async fn read(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    id: &IdentityId,
    ending: Ending,
) -> Result<AzureState, Fault> {
    let identity = identity(ctx, id).await?;
    let principal = match &identity {
        ObservedIdentity::Present(present) => Some(present.facts.principal_id),
        ObservedIdentity::Absent => None,
    };
    let role_assignments = role_assignments(ctx, binding, id, principal, ending).await;
    Ok(AzureState {
        identity,
        role_assignments,
    })
}

async fn identity(ctx: &Context, id: &IdentityId) -> Result<ObservedIdentity, Fault> {
    let Some(view) = ctx.azure.get_identity(id).await.map_err(Fault::Azure)? else {
        return Ok(ObservedIdentity::Absent);
    };
    let credentials = ctx.azure.list_credentials(id).await.map_err(Fault::Azure)?;
    Ok(ObservedIdentity::Present(PresentIdentity {
        facts: view.facts,
        tags: view.tags,
        credentials,
    }))
}

/// The role assignments wherever the spec asks for one or the status remembers one.
async fn role_assignments(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    id: &IdentityId,
    principal: Option<PrincipalId>,
    ending: Ending,
) -> ObservedRoleAssignments {
    let status = binding.status.as_ref();
    let places = role_assignment_scopes::to_read(id, &binding.spec.role_assignments, status, ending == Ending::Yes);
    let mut found: Vec<ObservedRoleAssignment> = Vec::new();
    for principal in role_assignment_scopes::principals(principal, status) {
        for (scope, must_be_seen) in &places {
            match ctx.azure.list_role_assignments(scope, principal).await {
                Ok(listed) => {
                    for one in listed {
                        // Those of a wider scope are in every list.
                        if !found.contains(&one) {
                            found.push(one);
                        }
                    }
                }
                Err(fault) if *must_be_seen => return ObservedRoleAssignments::Unknown(fault),
                Err(fault) => tracing::debug!(%fault, "the role assignments that others gave are not known"),
            }
        }
    }
    ObservedRoleAssignments::Known(found)
}
