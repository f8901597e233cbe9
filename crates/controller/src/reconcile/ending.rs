//! The ends of a pass: the status is written, or the finalizer goes.

use std::time::Duration;

use wio_api::WorkloadIdentityBinding;
use wio_core::binding::{Binding, Finalizer};
use wio_core::fault::Fault;
use wio_core::landing::Confirmed;
use wio_core::outcome::{Outcome, Problem};
use wio_core::status::farewell;

use super::context::{Api, Context};
use super::knowledge::Memory;
use super::stages::in_stage;
use super::{finalizer, status};

/// The end of a pass.
pub(super) enum Ended {
    /// The status says what it came to: these stand between the binding and being ready.
    Told(Box<Outcome>, Vec<Problem>),
    /// Azure does not want to be asked yet; nothing was done.
    Early(Duration),
    /// The binding is let go.
    LetGo,
    /// It waits for a place in its lane, and is begun anew then.
    Queued,
    /// Something changed in the midst of it: it begins anew.
    Overtaken,
}

/// Tells in the status what a pass came to.
pub(super) async fn told(
    api: &Api,
    target: status::Target<'_>,
    outcome: Outcome,
    memory: &mut Memory,
) -> Result<Ended, Fault> {
    let problems = in_stage("status", status::write(api, target, &outcome, memory)).await?;
    Ok(Ended::Told(Box::new(outcome), problems))
}

/// Lets a binding go: nothing of it is left, or nothing was ever made, or it is to stay.
pub(super) async fn release(
    object: &WorkloadIdentityBinding,
    ctx: &Context,
    binding: &Binding,
    confirmed: Confirmed,
) -> Result<Ended, Fault> {
    ctx.books.slots.release_finalizer(&binding.owner.uid);
    if binding.lifecycle.finalizer == Finalizer::Set {
        let api = &ctx.clients.api;
        if let Some(farewell) = farewell(confirmed) {
            api.events.publish(object, farewell).await;
        }
        let told = status::finish_ending(api, object, &binding.lifecycle, confirmed).await?;
        finalizer::release(&api.client, told.as_ref().unwrap_or(object)).await?;
        tracing::info!("the binding is let go");
    }
    Ok(Ended::LetGo)
}
