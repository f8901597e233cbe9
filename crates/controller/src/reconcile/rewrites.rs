//! Has those whose proof rests on a credential hear that it is about to be written anew.

use kube::runtime::reflector::ObjectRef;
use wio_core::desired::Desired;
use wio_core::recorded::Rewrites;
use wio_core::status::told_of;

use super::context::Context;

/// Tells the bindings whose proof rests on credentials that are about to be written, and has them look at what of it still stands. What the status tells
/// of reaches them too, when the cache shows it, and after a restart; this reaches them now.
pub(super) fn tell(ctx: &Context, desired: &Desired, rewrites: &Rewrites) {
    let now = (ctx.clients.api.clock)();
    let namespace = desired.owner().namespace.as_str();
    for (sharer, rewritten) in told_of(desired, rewrites, now) {
        ctx.books.slots.hear(&sharer.uid, &rewritten);
        ctx.books
            .look_at(ObjectRef::new(sharer.name.as_str()).within(namespace));
    }
}
