//! Observing the world: Azure as seldom as possible, and service accounts through the cache.
#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::Client;
use tokio::time::Instant;
use wio_core::binding::Binding;
use wio_core::case::Case;
use wio_core::desired::{Desired, DesiredBinding, DesiredIdentity};
use wio_core::fault::Fault;
use wio_core::known_state;
use wio_core::names::{ConfigMapName, IdentityId};
use wio_core::observed::{AzureState, Observed, ObservedExport, ObservedIdentity, ObservedRoleAssignments};
use wio_core::owner::Owner;
use wio_core::plan::plan;
use wio_core::reasons::{Disposition, disposition, facts};
use wio_core::role_assignment_scopes::{self, Last};
use wio_core::status::FailedLooks;

use super::clean::Clean;
use super::context::Context;
use super::exports::{self, Seen as SeenExports};
use super::knowledge::{Knowledge, Memory, Read};
use super::needs::of_look;
use super::service_accounts::observe::{Known, Seen, forget_shown, observe as observe_accounts};

/// The state of Azure, and how it is known.
enum Source {
    /// It was read in this very pass.
    Read(AzureState),
    /// It was not.
    Known(AzureState),
}

/// Observes what a plan needs to know. For what is given, Azure is as remembered until the next drift check is due, as the
/// status left it after a restart, and read otherwise. Nothing is taken away without a read.
pub(crate) async fn observe(
    ctx: &Context,
    case: &Case,
    desired: &Desired,
    memory: &mut Memory,
) -> Result<Observed, Fault> {
    let client = &ctx.clients.api.client;
    let azure = &ctx.clients.azure;
    let binding = &case.candidate.binding;
    let before = matches!(desired, Desired::Denied(_))
        .then(|| memory.azure.state().cloned())
        .flatten();
    let (written, shown) = (std::mem::take(&mut memory.accounts), std::mem::take(&mut memory.shown));
    let known = Known {
        written: &written,
        shown: &shown,
    };
    let to_export = exports::names(binding, desired);
    let exports = known_exports(desired, &to_export, memory);
    // None waits for another: what the API server shows is there long before Azure answers.
    let (seen, exports, source) = tokio::join!(
        observe_accounts(client, &ctx.caches, case, known),
        observe_exports((client, desired), &binding.owner, to_export, exports),
        source(ctx, binding, desired, memory)
    );
    (memory.accounts, memory.shown) = (written, shown);
    forget_shown(&ctx.caches, &binding.owner, &mut memory.accounts);
    let Seen {
        observed: service_accounts,
        read,
    } = seen?;
    memory.shown.see_accounts(read);
    memory.exports = exports?;
    let exported = memory.exports.clone();
    let source = source?;
    let observed = |state| Observed {
        azure: state,
        service_accounts: service_accounts.clone(),
        exports: there(&exported),
        signed_in_as: azure.signed_in_as(),
    };
    if let Desired::Denied(denial) = desired {
        let removal = denial.removal();
        let seen = |state| removal.with_told(observed(state), before.as_ref());
        let id = removal.revocable.identity();
        return denied(ctx, case, (desired, id), (source, &seen), memory).await;
    }
    if let (Source::Read(state), Desired::Gone(removal)) = (&source, desired) {
        return Ok(removal.presumed(observed(state.clone()), memory.azure.state()));
    }
    let Desired::Bound(bound) = desired else {
        let (Source::Known(state) | Source::Read(state)) = source;
        return Ok(observed(state));
    };
    given((ctx, binding), (desired, bound), (source, &observed), memory).await
}

/// What a binding has that may have what it asks for: as it is known where that is enough, with what it gave up and nothing shows.
async fn given(
    (ctx, binding): (&Context, &Binding),
    (desired, bound): (&Desired, &DesiredBinding),
    (source, observed): (Source, &impl Fn(AzureState) -> Observed),
    memory: &mut Memory,
) -> Result<Observed, Fault> {
    let state = match source {
        Source::Read(state) => state,
        Source::Known(state) => {
            let known = bound.presumed(observed(state));
            if is_enough(desired, bound, &known, memory.grants_wait.is_some()) {
                return Ok(known);
            }
            read_and_remember(ctx, binding, bound, memory).await?
        }
    };
    Ok(bound.presumed(observed(state)))
}

/// What is remembered of the ConfigMaps; none when they are to be read: whenever Azure is, which is when somebody asks for a look as well, and
/// before anything is deleted.
fn known_exports(desired: &Desired, names: &BTreeSet<ConfigMapName>, memory: &Memory) -> Option<SeenExports> {
    let look = memory.azure.to_read(Instant::now()) == Read::Now;
    let bound = matches!(desired, Desired::Bound(_));
    let known = bound && !look && exports::suffices(&memory.exports, names);
    known.then(|| memory.exports.clone())
}

async fn observe_exports(
    (client, desired): (&Client, &Desired),
    owner: &Owner,
    names: BTreeSet<ConfigMapName>,
    known: Option<SeenExports>,
) -> Result<SeenExports, Fault> {
    match (known, desired) {
        (Some(known), _) => Ok(known),
        (None, Desired::Gone(_)) => exports::read_last(client, owner, names).await,
        (None, _) => exports::read_all(client, owner, names).await,
    }
}

/// Those that there are.
fn there(seen: &SeenExports) -> BTreeMap<ConfigMapName, ObservedExport> {
    let there = seen
        .iter()
        .filter_map(|(name, seen)| Some((name.clone(), seen.clone()?)));
    there.collect()
}

/// The state of Azure, read where it has to be.
async fn source(ctx: &Context, binding: &Binding, desired: &Desired, memory: &mut Memory) -> Result<Source, Fault> {
    let azure = &ctx.clients.azure;
    match desired {
        Desired::Bound(bound) => {
            memory.clean = None;
            known_or_read(ctx, binding, bound, memory).await
        }
        Desired::Denied(denial) => {
            memory.azure = Knowledge::Unread;
            let id = denial.removal().revocable.identity();
            match memory.clean.as_ref().and_then(|clean| clean.known(id)) {
                Some(state) => Ok(Source::Known(state.clone())),
                None => Ok(Source::Read(azure.observe(binding, id, Last::No).await?)),
            }
        }
        Desired::Gone(removal) => Ok(Source::Read(
            azure.observe(binding, removal.revocable.identity(), Last::Yes).await?,
        )),
    }
}

/// What a denied binding has. Nothing is taken away from memory, and what has nothing is not read at each change of any policy.
async fn denied(
    ctx: &Context,
    case: &Case,
    (desired, id): (&Desired, &IdentityId),
    (source, observed): (Source, &impl Fn(AzureState) -> Observed),
    memory: &mut Memory,
) -> Result<Observed, Fault> {
    let state = match source {
        Source::Known(state) => {
            let known = observed(state);
            if !plan(desired, &known).has_steps() {
                return Ok(known);
            }
            ctx.clients.azure.observe(&case.candidate.binding, id, Last::No).await?
        }
        Source::Read(state) => state,
    };
    let seen = observed(state.clone());
    memory.looks.went_well();
    let is_clean = state.role_assignments.complete().is_some() && !plan(desired, &seen).has_steps();
    let interval = ctx.books.slots.drift_interval();
    let before = memory.clean.take();
    memory.clean = is_clean.then(|| Box::new(Clean::seen(before.as_deref(), id, state, interval)));
    Ok(seen)
}

/// Whether what is known without a read is enough for what follows from it. A suspended binding writes nothing.
fn is_enough(desired: &Desired, bound: &DesiredBinding, observed: &Observed, grants_wait: bool) -> bool {
    let signed_in = observed.signed_in_as.is_some();
    let mut plan = plan(desired, observed);
    if grants_wait {
        plan.grants.clear();
    }
    bound.suspended || known_state::is_enough_for(&plan, &observed.azure, signed_in)
}

async fn known_or_read(
    ctx: &Context,
    binding: &Binding,
    desired: &DesiredBinding,
    memory: &mut Memory,
) -> Result<Source, Fault> {
    let now = Instant::now();
    if memory.azure.may_be_spared(now) && is_followed(ctx, binding, desired) {
        memory.azure.spare(ctx.books.slots.drift_interval());
    }
    match memory.azure.to_read(now) {
        Read::NotYet(state) => return Ok(Source::Known(state.clone())),
        Read::UnlessRecorded => {
            if let Some((state, knowledge)) = recorded(ctx, binding, desired) {
                memory.azure = knowledge;
                return Ok(Source::Known(state));
            }
        }
        Read::Now => {
            if let Some(state) = wait_for_reads(ctx, binding, desired, memory) {
                return Ok(Source::Known(state));
            }
        }
    }
    match read_and_remember(ctx, binding, desired, memory).await {
        Ok(state) => Ok(Source::Read(state)),
        Err(fault) => put_off(ctx, fault, memory).map(Source::Known),
    }
}

/// Whether lists and the activity log follow all that a binding has in Azure.
fn is_followed(ctx: &Context, binding: &Binding, desired: &DesiredBinding) -> bool {
    let id = desired.granted.identity();
    let places = role_assignment_scopes::to_read(id, binding, Last::No);
    ctx.books.coverage.covers(id, places.keys())
}

/// The state that is known, when a read is due only because time went by and there is no budget for all of it. It waits for none with a place that
/// others need.
fn wait_for_reads(
    ctx: &Context,
    binding: &Binding,
    desired: &DesiredBinding,
    memory: &mut Memory,
) -> Option<AzureState> {
    let id = desired.granted.identity();
    let places = role_assignment_scopes::to_read(id, binding, Last::No);
    let short = ctx.clients.azure.gate().admit(&of_look(id, places.keys())).err()?;
    memory
        .azure
        .wait_for_budget(ctx.books.slots.drift_interval(), short.ready_in)
}

/// The state of Azure that needs no read, because the status says it.
fn recorded(ctx: &Context, binding: &Binding, desired: &DesiredBinding) -> Option<(AzureState, Knowledge)> {
    let state = known_state::from_status(desired, binding)?;
    Some((state.clone(), Knowledge::after_restart(state, ctx.pace())))
}

/// The state that is known, when a read that was due only because time went by could not be had, and others have not failed for long.
fn put_off(ctx: &Context, fault: Fault, memory: &mut Memory) -> Result<AzureState, Fault> {
    let disposition = disposition(&fault);
    if !facts(disposition.reason()).defers_read || !memory.looks.failed().is_none_or(FailedLooks::may_go_on) {
        return Err(fault);
    }
    let retry_after = match disposition {
        Disposition::Retry { after, .. } => after,
        Disposition::Wait { .. } | Disposition::Stalled { .. } => None,
    };
    match memory.azure.put_off(ctx.books.slots.drift_interval(), retry_after) {
        Some(state) => {
            tracing::info!(%fault, "the drift check is put off");
            Ok(state)
        }
        None => Err(fault),
    }
}

async fn read_and_remember(
    ctx: &Context,
    binding: &Binding,
    desired: &DesiredBinding,
    memory: &mut Memory,
) -> Result<AzureState, Fault> {
    let mut state = match ctx
        .clients
        .azure
        .observe(binding, desired.granted.identity(), Last::No)
        .await
    {
        Ok(state) => state,
        Err(fault) => {
            // One that was not sent says nothing of Azure, however long its turn does not come.
            if !fault.was_not_sent() {
                memory.looks.failed_for(disposition(&fault).reason());
            }
            return Err(fault);
        }
    };
    let roles = roles_as_before(&state, memory);
    if let Some(roles) = roles {
        state.role_assignments = roles;
        memory.azure = Knowledge::read(state.clone(), ctx.pace());
        memory.azure.put_off(ctx.books.slots.drift_interval(), None);
    } else {
        memory.looks.went_well();
        memory.azure = Knowledge::read(state.clone(), ctx.pace());
        // Somebody else may create it at any moment.
        if state.identity == ObservedIdentity::Absent && desired.identity == DesiredIdentity::Existing {
            memory.azure.suspect(Duration::ZERO);
        }
        if state.role_assignments.complete().is_none() {
            // It is looked for again at the next try, and not only when drift is.
            memory.azure.suspect(Duration::ZERO);
        }
    }
    Ok(state)
}

/// The role assignments as they were seen before, where they could not be listed for a reason that puts a look off.
fn roles_as_before(state: &AzureState, memory: &mut Memory) -> Option<ObservedRoleAssignments> {
    let (_, unread) = state.role_assignments.unread().next()?;
    let reason = disposition(&Fault::Azure(unread.why.clone())).reason();
    let Knowledge::Known { state: before, .. } = &memory.azure else {
        return None;
    };
    let before = before.state();
    let known = before.role_assignments.complete().is_some();
    if !known || !facts(reason).defers_read {
        return None;
    }
    memory.looks.failed_for(reason);
    let may_go_on = memory.looks.failed().is_some_and(FailedLooks::may_go_on);
    may_go_on.then(|| before.role_assignments.clone())
}
