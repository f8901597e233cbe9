//! Identities, as the sweep for orphans lists them, compared with what is known of each binding's.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::time::Duration;

use wio_azure::ListedIdentity;
use wio_core::drift::Listed;
use wio_core::names::ResourceGroupId;

use super::waking::{Walk, doubt_of, hold};
use crate::caches::glance::short;
use crate::caches::index::WithIdentity;
use crate::reconcile::context::Context;
use crate::reconcile::knowledge::Shown;

/// Compares what a group was listed with. No binding is unpacked for it.
pub(crate) async fn compare(ctx: &Context, group: &ResourceGroupId, identities: &[ListedIdentity]) {
    if !ctx.books.coverage.is_of_use() {
        return;
    }
    let Some(group) = short(group) else { return };
    let listed = identities
        .iter()
        .filter_map(|identity| Some((short(&identity.id)?, identity)));
    let listed: HashMap<NonZeroU64, &ListedIdentity> = listed.collect();
    let config = ctx.caches.learned.config.now();
    let index = &ctx.caches.bindings.index;
    let mut walk = Walk::default();
    for namespace in index.namespaces() {
        for binding in index.with_identities_in(&namespace, group) {
            let shown = listed.get(&binding.identity).map(|identity| Listed {
                facts: identity.facts.as_ref(),
                tags: &identity.tags,
                ignored: &config.ignored_tags,
            });
            doubt(ctx, &binding, shown);
            walk.step().await;
        }
        walk.step().await;
    }
}

/// These groups were listed whole and compared, and are again after this pause at most.
pub(crate) fn follow(ctx: &Context, groups: impl IntoIterator<Item = ResourceGroupId>, pause: Duration) {
    if ctx.books.coverage.is_of_use() {
        ctx.books.coverage.listed(groups, hold(pause));
        ctx.books.metrics.followed(ctx.books.coverage.counts());
    }
}

fn doubt(ctx: &Context, binding: &WithIdentity, shown: Option<Listed<'_>>) {
    let of = (&binding.key, &binding.uid);
    if doubt_of(&ctx.books, of, ("identities", Shown::Identity(shown))) {
        let (namespace, name) = (&binding.key.namespace, &binding.key.name);
        tracing::info!(
            namespace,
            name,
            "a list shows the identity otherwise than it is known; its binding looks"
        );
    }
}
