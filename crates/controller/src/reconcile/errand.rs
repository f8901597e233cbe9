//! What passes ask of Azure, and when it does not want to be asked.

use tokio::time::Instant;
use wio_core::desired::Desired;

/// What a pass asks of Azure. Azure counts them apart: one that was told to wait with what it gives takes away all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// It gives, and takes away what is in the way.
    Gives,
    /// It only takes away.
    TakesAway,
}

/// The moments before which Azure does not want to be asked again, by errand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NotBefore {
    gives: Option<Instant>,
    takes_away: Option<Instant>,
}

// === impl Errand ===

impl Errand {
    pub(crate) const fn of(desired: &Desired) -> Self {
        match desired {
            Desired::Bound(_) => Self::Gives,
            Desired::Denied(_) | Desired::Gone(_) => Self::TakesAway,
        }
    }
}

// === impl NotBefore ===

impl NotBefore {
    pub(crate) const fn of(self, errand: Errand) -> Option<Instant> {
        match errand {
            Errand::Gives => self.gives,
            Errand::TakesAway => self.takes_away,
        }
    }

    /// A pass that asked nothing of Azure learned nothing.
    pub(crate) const fn set(&mut self, errand: Option<Errand>, not_before: Option<Instant>) {
        match errand {
            Some(Errand::Gives) => self.gives = not_before,
            Some(Errand::TakesAway) => self.takes_away = not_before,
            None => {}
        }
    }
}
