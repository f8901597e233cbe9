//! Lanes: what of the requests goes first when Azure's budgets are short.

/// How many requests are left in a budget by what belongs to no binding: fewer than by the looks that it spares.
pub(super) const LEFT_BY_LISTS: f64 = 32.0;

/// What a request is for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// It takes trust away.
    Revocation,
    /// A person waits for it.
    Asked,
    /// It puts back what somebody changed.
    Mending,
    /// It looks whether somebody changed something.
    Look,
}

// === impl Lane ===

impl Lane {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Revocation, Self::Asked, Self::Mending, Self::Look];

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revocation => "revocation",
            Self::Asked => "asked",
            Self::Mending => "mending",
            Self::Look => "look",
        }
    }

    /// How many requests it leaves in a budget for those before it.
    pub(super) const fn leaves(self) -> f64 {
        match self {
            Self::Revocation => 0.0,
            Self::Asked => 4.0,
            Self::Mending => 16.0,
            Self::Look => 40.0,
        }
    }
}
