//! Finds changes behind the operator's back by few requests for many bindings: lists of identities and of role assignments, and the
//! activity log. What they show has a binding look for itself, and nothing else follows from it (docs/adr/0024).

pub(crate) mod identities;
mod log;
mod news;
mod roles;
mod waking;

use crate::reconcile::context::Context;

/// Follows the activity log and the role assignments; never returns. The identities are listed by the sweep for orphans.
pub(crate) async fn keep(ctx: &Context) {
    ctx.caches.filled().await;
    ctx.books.leadership.begins().await;
    if ctx.books.coverage.is_of_use() {
        tokio::join!(Box::pin(log::keep(ctx)), Box::pin(roles::keep(ctx)));
    }
    std::future::pending::<()>().await;
}
