//! Observing service accounts: through the cache, and by a read of those that are not in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use kube::Client;
use wio_core::case::Case;
use wio_core::fault::Fault;
use wio_core::names::ServiceAccountName;
use wio_core::observed::{BoundBy, ObservedServiceAccount};
use wio_core::owner::Owner;
use wio_core::service_account::{NamedBinding, held};

use super::wire::read;
use crate::caches::accounts::Account;
use crate::caches::kept::account_metadata;
use crate::caches::stores::Caches;
use crate::reconcile::knowledge::{Written, WrittenAccount};
use crate::reconcile::shown::LastShown;

/// What is known of service accounts beside the cache.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) written: &'a Written,
    pub(crate) shown: &'a LastShown,
}

/// The service accounts that were seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Those that there are.
    pub(crate) observed: BTreeMap<ServiceAccountName, ObservedServiceAccount>,
    /// Those that were read; none where there was none.
    pub(crate) read: BTreeMap<ServiceAccountName, Option<ObservedServiceAccount>>,
}

/// The service accounts that a binding has, had or asks for, or that carry its label.
///
/// Those with a label are in the cache. What is not there is read: it may exist without a label.
pub(crate) async fn observe(client: &Client, caches: &Caches, case: &Case, known: Known<'_>) -> Result<Seen, Fault> {
    let owner = &case.candidate.binding.owner;
    let names = case.candidate.binding.claims.accounts.union(&case.labelled);
    let observed = names.map(async |name| {
        let (account, was_read) = observe_one(client, caches, (owner, name), known).await?;
        Ok((name.clone(), account, was_read))
    });
    let mut seen = Seen::default();
    for (name, account, was_read) in try_join_all(observed).await? {
        if was_read {
            seen.read.insert(name.clone(), account.clone());
        }
        seen.observed.extend(account.map(|account| (name, account)));
    }
    Ok(seen)
}

/// Forgets of what was written what the cache shows by now.
pub(crate) fn forget_shown(caches: &Caches, owner: &Owner, written: &mut Written) {
    written.retain(|name, written| {
        let shown = cached(caches, owner, name);
        shown.is_some_and(|shown| is_missing(written, &shown))
    });
}

/// The service account, and whether it was read for that.
async fn observe_one(
    client: &Client,
    caches: &Caches,
    (owner, name): (&Owner, &ServiceAccountName),
    known: Known<'_>,
) -> Result<(Option<ObservedServiceAccount>, bool), Fault> {
    let written = known.written.get(name);
    match (cached(caches, owner, name), written) {
        (Some(shown), Some(written)) if is_missing(written, &shown) => {
            return Ok((Some(written.result.clone()), false));
        }
        (Some(shown), _) => match parse(caches, owner, (name, &shown)) {
            // Who holds what is not in the cache, and matters before it is marked.
            Some(account) if !is_marked(&account) => {}
            account => return Ok((account, false)),
        },
        (None, _) => {}
    }
    match known.shown.account(name) {
        Some(account) => Ok((account.clone(), false)),
        None => Ok((live(client, caches, owner, name).await?, true)),
    }
}

async fn live(
    client: &Client,
    caches: &Caches,
    owner: &Owner,
    name: &ServiceAccountName,
) -> Result<Option<ObservedServiceAccount>, Fault> {
    let live = read(client, &owner.namespace, name).await?;
    Ok(live.and_then(|mut metadata| {
        // Who holds what only the bookkeeping tells, which is not kept.
        let held = held(&metadata);
        account_metadata(&mut metadata);
        let account = parse(caches, owner, (name, &Account::of(&metadata)))?;
        Some(ObservedServiceAccount { held, ..account })
    }))
}

/// Whether it carries the label of a binding that exists.
const fn is_marked(account: &ObservedServiceAccount) -> bool {
    matches!(account.bound_by, BoundBy::Us | BoundBy::Other { .. })
}

/// Whether the cache does not show our last write yet.
fn is_missing(written: &WrittenAccount, cached: &Account) -> bool {
    written.write.is_missing_in(cached.version())
}

fn cached(caches: &Caches, owner: &Owner, name: &ServiceAccountName) -> Option<Arc<Account>> {
    caches.surroundings.accounts.get(&owner.namespace, name)
}

/// What a service account says.
fn parse(
    caches: &Caches,
    owner: &Owner,
    (name, account): (&ServiceAccountName, &Account),
) -> Option<ObservedServiceAccount> {
    let texts = account.texts();
    let named = texts.bound_by.and(texts.binding);
    let named = named.and_then(|named| caches.bindings.get(owner.namespace.as_str(), named));
    texts.observed(owner, named.and_then(|named| NamedBinding::of(&named, name)))
}
