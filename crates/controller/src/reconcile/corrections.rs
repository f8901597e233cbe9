//! Tells of drift that was put back.

use std::time::Duration;

use wio_api::WorkloadIdentityBinding;
use wio_core::binding::Binding;
use wio_core::drift::Corrections;
use wio_core::plan::Plan;

use super::context::Context;
use super::execute::Executed;

/// Counts what a plan put back, and tells of it by an Event, where all of the plan was carried out.
pub(super) async fn tell(
    ctx: &Context,
    (object, binding): (&WorkloadIdentityBinding, &Binding),
    (plan, executed): (&Plan, &Executed),
) {
    if executed.overtaken || !executed.faults.is_empty() || executed.look_again == Some(Duration::ZERO) {
        return;
    }
    let corrections = Corrections::of(binding, plan);
    for kind in corrections.kinds() {
        ctx.books.metrics.corrected(kind);
    }
    if let Some(told) = corrections.told() {
        ctx.clients.api.events.publish(object, told).await;
    }
}
