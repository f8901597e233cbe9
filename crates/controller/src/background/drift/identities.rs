//! Identities, as the sweep for orphans lists them, compared with what is known of each binding's.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::time::Duration;

use wio_azure::ListedIdentity;
use wio_core::drift::Listed;
use wio_core::names::ResourceGroupId;

use super::waking::{doubt_of, hold, identity_of};
use crate::caches::glance::short;
use crate::caches::index::WithIdentity;
use crate::caches::stores::Bindings;
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
    let listed = identities
        .iter()
        .filter_map(|identity| Some((short(&identity.id)?, identity)));
    let listed: HashMap<NonZeroU64, &ListedIdentity> = listed.collect();
    let config = ctx.caches.learned.config.now();
    let bindings = &ctx.caches.bindings;
    for namespace in bindings.index.namespaces() {
        for binding in bindings.index.with_identities(&namespace) {
            let shown = listed.get(&binding.identity);
            // Only one that no list shows is unpacked, for its group.
            if shown.is_none() && !is_within(bindings, &binding, &groups) {
                continue;
            }
            let shown = shown.map(|identity| Listed {
                facts: identity.facts.as_ref(),
                tags: &identity.tags,
                ignored: &config.ignored_tags,
            });
            if doubt_of(
                &ctx.books,
                (&binding.key, &binding.uid),
                ("identities", Shown::Identity(shown)),
            ) {
                let (namespace, name) = (&binding.key.namespace, &binding.key.name);
                tracing::info!(
                    namespace,
                    name,
                    "a list shows the identity otherwise than it is known; its binding looks"
                );
            }
        }
    }
    ctx.books.coverage.listed(groups, hold(pause));
    ctx.books.metrics.followed(ctx.books.coverage.counts());
}

/// Whether the identity of a binding is of one of these groups.
fn is_within(bindings: &Bindings, binding: &WithIdentity, groups: &BTreeSet<ResourceGroupId>) -> bool {
    let object = bindings.by_key(&binding.key);
    let id = object.and_then(|object| identity_of(&object));
    id.is_some_and(|id| groups.contains(&id.group))
}
