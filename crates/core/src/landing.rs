//! Landing: whether what the operator wrote has certainly arrived, so that Azure's word that nothing is left is final.

use std::time::Duration;

use crate::absence::Deletion;

/// For how long a request that got no answer may still be carried out, and for how long what was written may be missing from what Azure
/// shows. The operator waits 20 s for the answer to a write, and Azure Resource Manager 60 s for its own providers.
pub const LANDING: Duration = Duration::from_secs(75);

/// The writes for a binding, by their age when a look at it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// The last one; none when it was long ago.
    pub last: Option<Duration>,
    /// The last one of which nobody knows whether it was carried out; none when it was long ago.
    pub unanswered: Option<Duration>,
    /// The last deletion of which nobody knows that; none when it was long ago. It could take what is given anew under the same name.
    pub deletion: Option<Duration>,
    /// The last that an earlier operator can have sent: what it sent right before it ended may still be on its way. None when none did.
    pub by_an_earlier_operator: Option<Duration>,
}

/// What a pass saw of what it took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of it was there, and went.
    Whole,
    /// Something was not there. That can be because it was not there yet.
    Gaps,
}

/// The proof that a binding may go: with it the finalizer is taken off. Only this crate makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed(End);

/// How a binding ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing of it is left in Azure.
    Gone,
    /// Nothing was ever sent to Azure for it.
    NeverBegun,
    /// All of it stays, as it was asked.
    Left,
}

// === impl Confirmed ===

impl Confirmed {
    pub(crate) const fn new(end: End) -> Self {
        Self(end)
    }

    /// How the binding ends.
    #[must_use]
    pub const fn end(self) -> End {
        self.0
    }
}

// === impl Writes ===

impl Writes {
    /// How long it takes until a look is final and nothing that was asked for can be carried out any more; none when that is so.
    #[must_use]
    pub fn until_landed(&self, sight: Sight) -> Option<Duration> {
        self.until_shown(sight).max(self.until_deleted())
    }

    /// How long it takes until a look shows all that was given; none when this one does.
    #[must_use]
    pub fn until_shown(&self, sight: Sight) -> Option<Duration> {
        let recent = match sight {
            Sight::Whole => None,
            Sight::Gaps => self.last,
        };
        let ages = [self.unanswered, self.by_an_earlier_operator, recent];
        ages.into_iter().flatten().filter_map(until_landed).max()
    }

    /// How long it takes until what this operator sent and got no answer to can be carried out no more; none when nothing can.
    #[must_use]
    pub fn until_answered(&self) -> Option<Duration> {
        self.unanswered.and_then(until_landed)
    }

    /// How long it takes until a deletion that got no answer can take nothing any more; none when none can.
    #[must_use]
    pub fn until_deleted(&self) -> Option<Duration> {
        self.deletion.and_then(until_landed)
    }
}

/// How long it takes until a request of this age has certainly landed; none when it has.
#[must_use]
pub fn until_landed(age: Duration) -> Option<Duration> {
    LANDING.checked_sub(age).filter(|left| !left.is_zero())
}

// === impl Sight ===

impl Sight {
    /// What is seen when this is seen as well.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Whole, Self::Whole) => Self::Whole,
            (Self::Gaps, _) | (_, Self::Gaps) => Self::Gaps,
        }
    }
}

impl From<Deletion> for Sight {
    fn from(deletion: Deletion) -> Self {
        match deletion {
            Deletion::SeenGoing => Self::Whole,
            Deletion::NotThere => Self::Gaps,
        }
    }
}
