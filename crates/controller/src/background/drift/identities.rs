//! Identities, as the sweep for orphans lists them, compared with what is known of each binding's.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use wio_azure::ListedIdentity;
use wio_core::drift::Listed;
use wio_core::names::{IdentityId, ResourceGroupId};

use super::waking::{doubt, hold, identity_of};
use crate::reconcile::context::Context;
use crate::reconcile::knowledge::Shown;

/// Compares what these groups were listed with; the next list comes after this pause.
pub(crate) fn compare(
    ctx: &Context,
    groups: BTreeSet<ResourceGroupId>,
    identities: &[ListedIdentity],
    pause: Duration,
) {
    if !ctx.books.coverage.is_of_use() {
        return;
    }
    let listed: HashMap<&IdentityId, &ListedIdentity> =
        identities.iter().map(|identity| (&identity.id, identity)).collect();
    let config = ctx.caches.learned.config.now();
    for binding in ctx.caches.bindings.all() {
        let Some(id) = identity_of(&binding).filter(|id| groups.contains(&id.group)) else {
            continue;
        };
        let shown = listed.get(&id).map(|identity| Listed {
            facts: identity.facts.as_ref(),
            tags: &identity.tags,
            ignored: &config.ignored_tags,
        });
        if doubt(&ctx.books, &binding, ("identities", Shown::Identity(shown))) {
            tracing::info!(identity = %id, "a list shows the identity otherwise than it is known; its binding looks");
        }
    }
    ctx.books.coverage.listed(groups, hold(pause));
    ctx.books.metrics.followed(ctx.books.coverage.counts());
}
