//! The look at Azure: what is listed, and what of it no living binding accounts for.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wio_azure::ListedIdentity;
use wio_core::cluster::Cluster;
use wio_core::fault::AzureFault;
use wio_core::names::{IdentityId, Namespace, ResourceGroupId};
use wio_core::observed::ObservedCredential;
use wio_core::orphans::{
    Fate, Orphan, binding_of_tags, by_credentials, by_tags, may_be_bound, namespace_of_credential, places,
};
use wio_core::policy::Policies;
use wio_core::recorded::Recorded;

use super::memory::{Looked, Memory};
use super::now::{has_nothing, living};
use crate::background::drift::identities;
use crate::caches::glance::Mark;
use crate::caches::stores::Caches;
use crate::reconcile::context::Context;

/// Looks at Azure.
pub(super) async fn look(ctx: &Context, memory: &mut Memory) -> Looked {
    let Some(policies) = ctx.caches.learned.policies.borrow().clone() else {
        return Looked::default();
    };
    memory.begin();
    let cluster = ctx.caches.learned.cluster();
    let (listed, requests) = list(ctx, &policies, memory).await;
    let of_tags = tagged(ctx, &cluster, &listed);
    let theirs: HashSet<IdentityId> = of_tags.iter().map(|orphan| orphan.identity.clone()).collect();
    let mut looked = Looked {
        requests,
        ..Looked::default()
    };
    credentials(
        ctx,
        (&cluster, &policies),
        to_look_at(&ctx.caches, (&listed, &policies), &theirs, memory),
        (memory, &mut looked),
    )
    .await;
    let staying = of_tags.iter().filter(|orphan| orphan.fate == Fate::Retain);
    memory.keep_settled(&staying.map(|orphan| orphan.identity.clone()).collect());
    for orphan in of_tags {
        if orphan.fate != Fate::Leave && !is_as_wanted(ctx, &orphan, memory).await {
            looked.orphans.push(orphan);
        }
    }
    looked
}

/// The identities of all resource groups that can be listed, and how many requests that took. One that cannot has none: half a list is no
/// list. What each list shows of living bindings is compared with what is known of theirs as soon as it is there.
async fn list(ctx: &Context, policies: &Policies, memory: &mut Memory) -> (Vec<ListedIdentity>, usize) {
    let (mut listed, mut groups, mut requests) = (Vec::new(), BTreeSet::new(), 0);
    for group in places(&ctx.caches.learned.config.now(), policies) {
        match ctx.clients.azure.list_identities(&group).await {
            Ok(identities) => {
                memory.was_listed(&group);
                requests += identities.requests;
                identities::compare(ctx, &group, &identities.entries).await;
                identities::follow(ctx, [group.clone()], memory.longest_pause(requests));
                listed.extend(identities.entries);
                groups.insert(group);
            }
            Err(unlisted) => {
                requests += unlisted.requests;
                let is_news = memory.begins_to_be_unlisted(&group);
                let tell = if is_news { warn_unlisted } else { still_unlisted };
                tell(&group, &unlisted.fault);
            }
        }
    }
    // Now it is known when they come again.
    identities::follow(ctx, groups, memory.longest_pause(requests));
    (listed, requests)
}

fn warn_unlisted(group: &ResourceGroupId, fault: &AzureFault) {
    tracing::warn!(%fault, %group, "what bindings left there that are gone is not looked for");
}

fn still_unlisted(group: &ResourceGroupId, fault: &AzureFault) {
    tracing::debug!(%fault, %group, "what bindings left there that are gone is not looked for");
}

/// The identities whose tags name a binding that is gone. Where each has the binding that its tags name, by that one's status, none is unpacked
/// for it; else a namespace's bindings are parsed once.
fn tagged(ctx: &Context, cluster: &Cluster, listed: &[ListedIdentity]) -> Vec<Orphan> {
    let mut by_namespace: BTreeMap<Namespace, Vec<&ListedIdentity>> = BTreeMap::new();
    for identity in listed {
        let named = binding_of_tags(cluster, &identity.tags);
        if let Some((namespace, name)) = named
            && !ctx
                .caches
                .bindings
                .index
                .has_identity(namespace.as_str(), name, &identity.id)
        {
            by_namespace.entry(namespace).or_default().push(identity);
        }
    }
    let config = &ctx.caches.learned.config.now();
    let orphans = by_namespace.into_iter().flat_map(|(namespace, identities)| {
        let living = living(&ctx.caches, cluster, &namespace);
        let orphan = |identity: &ListedIdentity| by_tags(&identity.id, &identity.tags, &living, config);
        identities.into_iter().filter_map(orphan).collect::<Vec<_>>()
    });
    orphans.collect()
}

/// The identities on which credentials of dead bindings may be: those that policies let bindings have, and those that living ones have
/// though somebody else owns them; and those with something that is to go. What is on a managed identity of a living binding, its own drift check looks at.
fn to_look_at(
    caches: &Caches,
    (listed, policies): (&[ListedIdentity], &Policies),
    orphans: &HashSet<IdentityId>,
    memory: &Memory,
) -> BTreeSet<IdentityId> {
    let allowed = listed.iter().map(|identity| &identity.id);
    let allowed = allowed.filter(|id| may_be_bound(policies, id));
    let recorded = caches.bindings.all_with(Mark::Referenced);
    let recorded = recorded.filter_map(|binding| Some(Recorded::from(binding.status.as_ref()).identity?.id));
    let all = allowed.chain(memory.pursued()).cloned().chain(recorded);
    all.filter(|id| !orphans.contains(id)).collect()
}

/// Looks at the federated credentials of as many identities as a sweep may.
async fn credentials(
    ctx: &Context,
    rules: (&Cluster, &Policies),
    all: BTreeSet<IdentityId>,
    (memory, looked): (&mut Memory, &mut Looked),
) {
    let chosen = memory.choose(&all);
    for id in all {
        if !chosen.contains(&id) {
            looked.passed_over.insert(id);
            continue;
        }
        match ctx.clients.azure.list_credentials(&id).await {
            Ok(credentials) => looked.orphans.extend(of_credentials(ctx, rules, &id, &credentials)),
            // Not looked at is not forgotten: it is gone from no list.
            Err(fault) => {
                tracing::debug!(%fault, "what bindings left there that are gone is not looked for");
                looked.passed_over.insert(id);
            }
        }
    }
}

fn of_credentials(
    ctx: &Context,
    (cluster, policies): (&Cluster, &Policies),
    id: &IdentityId,
    credentials: &[ObservedCredential],
) -> Vec<Orphan> {
    let namespaces: BTreeSet<Namespace> = credentials
        .iter()
        .filter_map(|credential| namespace_of_credential(cluster, credential))
        .collect();
    let of = |namespace: Namespace| {
        let living = living(&ctx.caches, cluster, &namespace);
        by_credentials(id, credentials, &living, (policies, &ctx.caches.learned.config.now()))
    };
    namespaces.into_iter().flat_map(of).collect()
}

/// Whether nothing of ours is on an identity that its binding wanted to stay. That is looked at once, at a sweep that
/// has the time: nobody puts anything there any more.
async fn is_as_wanted(ctx: &Context, orphan: &Orphan, memory: &mut Memory) -> bool {
    if orphan.fate != Fate::Retain {
        return false;
    }
    if memory.is_settled(&orphan.identity) || !memory.may_look() {
        return true;
    }
    match has_nothing(ctx, orphan).await {
        Ok(true) => {
            memory.settle(&orphan.identity);
            true
        }
        Ok(false) => false,
        Err(fault) => {
            tracing::debug!(%fault, "what bindings left there that are gone is not looked for");
            true
        }
    }
}
