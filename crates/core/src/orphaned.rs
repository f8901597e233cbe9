//! What outlives a deleted binding: all of it by `deletionPolicy: Orphan`, the identity by `RetainIdentity`. The tags of the identity say
//! which, because nothing else will when the binding is gone.

use wio_api::DeletionPolicy;

use crate::desired::{DesiredRemoval, Ending};
use crate::landing::{Confirmed, End};
use crate::names::IdentityId;
use crate::observed::{Tags, with_tags};
use crate::owner::{Owner, deletion_policy_tag};
use crate::sharing::Sharing;

/// A binding that is deleted and whose trust stays: nothing in Azure is touched but one tag, and that only when it may be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Orphaned {
    /// Whose it was.
    pub owner: Owner,
    /// The managed identity whose tag may not say yet that all of it is to stay; none when there is none or its tag is right.
    pub unmarked: Option<IdentityId>,
    /// What it shares with other bindings.
    pub(crate) sharing: Sharing,
}

/// The tags of an identity that outlives its binding: as they were, but for the one that says so. Only this module makes them: they are
/// the permission to write them, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndMark {
    identity: IdentityId,
    tags: Tags,
}

// === impl Orphaned, impl DesiredRemoval, impl EndMark ===

impl Orphaned {
    /// All of it is to stay: the binding may go.
    #[must_use]
    pub const fn left(&self) -> Confirmed {
        Confirmed::new(End::Left)
    }

    /// The tags to write so that an identity with these says that it is to stay; none when it does, or is not this binding's.
    #[must_use]
    pub fn mark(&self, present: &Tags) -> Option<EndMark> {
        let identity = self.unmarked.as_ref()?;
        EndMark::new(identity, &self.owner, present, DeletionPolicy::Orphan)
    }
}

impl DesiredRemoval {
    /// The tags to write so that an identity with these says that it is to stay without our trust; none when it does, or is not this
    /// binding's, or is not to stay. Without them a spec that was edited and deleted at once would be forgotten.
    #[must_use]
    pub fn mark(&self, present: &Tags) -> Option<EndMark> {
        let stays = self.managed && self.ending == Ending::Retain;
        let mark = || {
            EndMark::new(
                self.revocable.identity(),
                &self.owner,
                present,
                DeletionPolicy::RetainIdentity,
            )
        };
        stays.then(mark).flatten()
    }
}

impl EndMark {
    fn new(identity: &IdentityId, owner: &Owner, present: &Tags, policy: DeletionPolicy) -> Option<Self> {
        let wanted = [deletion_policy_tag(policy)].into_iter().collect();
        Some(Self {
            identity: identity.clone(),
            tags: with_tags(present, &wanted).filter(|_| owner.owns(present))?,
        })
    }

    /// The identity.
    #[must_use]
    pub const fn identity(&self) -> &IdentityId {
        &self.identity
    }

    /// Its tags, those of others among them.
    #[must_use]
    pub const fn tags(&self) -> &Tags {
        &self.tags
    }
}
