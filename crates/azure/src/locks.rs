//! Locks of identities, for one writer at a time: concurrent writes of federated credentials on one identity are
//! answered with 409 `ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity`, on different ones they are
//! independent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use wio_core::names::IdentityId;

/// The locks: a fair one for each identity that is being written to, and none for the others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locks(Arc<Mutex<HashMap<IdentityId, Arc<AsyncMutex<()>>>>>);

/// The guard of one identity's lock, which is the right to write to it.
#[derive(Debug)]
pub(crate) struct WriteGuard {
    // Dropped in this order: the lock is released before its entry is looked at.
    _guard: OwnedMutexGuard<()>,
    _user: LockUser,
}

/// A user of a lock, who holds it or waits for it.
#[derive(Debug)]
struct LockUser {
    locks: Locks,
    identity: IdentityId,
    lock: Arc<AsyncMutex<()>>,
}

// === impl Locks ===

impl Locks {
    /// Waits until nobody else writes to the identity. First come, first served.
    pub(crate) async fn hold(&self, identity: &IdentityId) -> WriteGuard {
        let user = LockUser {
            locks: self.clone(),
            identity: identity.clone(),
            lock: Arc::clone(self.entries().entry(identity.clone()).or_default()),
        };
        WriteGuard {
            _guard: Arc::clone(&user.lock).lock_owned().await,
            _user: user,
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<IdentityId, Arc<AsyncMutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl LockUser ===

impl Drop for LockUser {
    fn drop(&mut self) {
        const ENTRY_AND_OURS: usize = 2;
        let mut entries = self.locks.entries();
        if Arc::strong_count(&self.lock) == ENTRY_AND_OURS {
            entries.remove(&self.identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn id(name: &str) -> IdentityId {
        format!(
            "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/operator/providers/\
             Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        )
        .parse()
        .unwrap()
    }

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first_whatever_the_case_of_its_name_and_others_do_not() {
        let locks = Locks::default();
        let first = locks.hold(&id("orders")).await;
        let shouted = id("ORDERS");
        let mut second = pin!(locks.hold(&shouted));
        assert!(poll(second.as_mut()).is_pending());
        drop(locks.hold(&id("mails")).await);
        drop(first);
        assert!(poll(second.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn they_are_served_in_the_order_in_which_they_came() {
        let locks = Locks::default();
        let orders = id("orders");
        let first = locks.hold(&orders).await;
        let mut second = pin!(locks.hold(&orders));
        let mut third = pin!(locks.hold(&orders));
        assert!(poll(second.as_mut()).is_pending());
        assert!(poll(third.as_mut()).is_pending());
        drop(first);
        assert!(poll(third.as_mut()).is_pending());
        let Poll::Ready(held) = poll(second.as_mut()) else {
            panic!("the second is next")
        };
        drop(held);
        assert!(poll(third.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_lock_that_nobody_holds_or_waits_for() {
        let locks = Locks::default();
        let orders = id("orders");
        let first = locks.hold(&orders).await;
        {
            let mut given_up = Box::pin(locks.hold(&orders));
            assert!(poll(given_up.as_mut()).is_pending());
            drop(first);
        }
        assert_eq!(locks.entries().len(), 0, "also when a waiter gave up");
        drop(locks.hold(&orders).await);
        assert_eq!(locks.entries().len(), 0);
    }
}
