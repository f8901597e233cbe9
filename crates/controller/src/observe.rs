//! Looking at Azure, as seldom as possible.

use std::time::Duration;

use tokio::time::Instant;
use wio_api::{Reason, WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use wio_core::binding::ValidatedBinding;
use wio_core::desired::DesiredBinding;
use wio_core::disposition::{Disposition, disposition};
use wio_core::fault::Fault;
use wio_core::names::IdentityId;
use wio_core::observed::{ObservedIdentity, PresentIdentity};
use wio_core::presume;

use crate::context::Context;
use crate::jitter::{jittered, within};
use crate::memory::{KnownIdentity, Remembered};

/// An identity, and how it is known.
pub(crate) struct Seen {
    pub(crate) identity: ObservedIdentity,
    /// Azure was asked in this very pass.
    pub(crate) fresh: bool,
}

/// The identity of a binding: as remembered until the next look is due, as the status left it after a restart,
/// presumed absent for a new binding with a derived name, and read otherwise.
pub(crate) async fn identity(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    validated: &ValidatedBinding,
    desired: &DesiredBinding,
    remembered: &mut Remembered,
) -> Result<Seen, Fault> {
    if let Some(known) = &remembered.identity {
        if Instant::now() < known.look_again {
            return Ok(Seen {
                identity: known.identity.clone(),
                fresh: false,
            });
        }
    } else if let Some((presumed, look_in)) = presumed(ctx, binding.status.as_ref(), validated, desired) {
        remember(remembered, presumed.clone(), look_in);
        return Ok(Seen {
            identity: presumed,
            fresh: false,
        });
    }
    match look(ctx, desired, remembered).await {
        Ok(identity) => Ok(Seen { identity, fresh: true }),
        Err(fault) => match put_off(ctx, &fault, remembered) {
            Some(identity) => Ok(Seen { identity, fresh: false }),
            None => Err(fault),
        },
    }
}

/// What is known, when a look that was due only because time went by could not be had: that Azure is busy or away says
/// nothing about a binding whose pods go on getting tokens. Looks that fail for longer than two intervals more are told.
fn put_off(ctx: &Context, fault: &Fault, remembered: &mut Remembered) -> Option<ObservedIdentity> {
    let Disposition::Retry {
        reason: Reason::Throttled | Reason::AzureUnavailable,
        after,
    } = disposition(fault)
    else {
        return None;
    };
    let interval = ctx.settings.drift_interval;
    let known = remembered.identity.as_mut()?;
    if known.doubted || known.seen.elapsed() > interval * 3 {
        return None;
    }
    tracing::info!(%fault, "the look at Azure is put off");
    known.look_again = Instant::now() + jittered(interval / 4).max(after.unwrap_or_default());
    Some(known.identity.clone())
}

/// Looks at Azure and remembers what it showed.
pub(crate) async fn look(
    ctx: &Context,
    desired: &DesiredBinding,
    remembered: &mut Remembered,
) -> Result<ObservedIdentity, Fault> {
    let seen = read(ctx, desired.authorized.identity()).await?;
    remember(remembered, seen.clone(), jittered(ctx.settings.drift_interval));
    Ok(seen)
}

fn presumed(
    ctx: &Context,
    status: Option<&WorkloadIdentityBindingStatus>,
    validated: &ValidatedBinding,
    desired: &DesiredBinding,
) -> Option<(ObservedIdentity, Duration)> {
    let interval = ctx.settings.drift_interval;
    if let Some(absent) = presume::absent(desired, validated.name_is_derived(), status) {
        return Some((absent, jittered(interval)));
    }
    // The looks that follow a restart are spread over a whole interval.
    let left = presume::as_left(desired, validated.generation, status?)?;
    Some((left, within(interval)))
}

fn remember(remembered: &mut Remembered, identity: ObservedIdentity, look_in: Duration) {
    let now = Instant::now();
    remembered.identity = Some(KnownIdentity {
        identity,
        seen: now,
        look_again: now + look_in,
        doubted: false,
    });
}

/// The identity as Azure shows it now.
pub(crate) async fn read(ctx: &Context, id: &IdentityId) -> Result<ObservedIdentity, Fault> {
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
