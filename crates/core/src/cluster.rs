//! The cluster, as the operator learned it from the API server, and what it takes to believe that its issuer changed.
//!
//! One look proves little: API servers behind one address are restarted one after the other, and each of them may say another
//! issuer for as long as that takes. Every credential of the cluster follows the issuer, so another one is believed only after
//! several looks in a row that saw nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::names::{ClusterId, Issuer};

/// Which cluster this is and who issues its tokens: asked of the API server, never of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Which cluster it is.
    pub id: ClusterId,
    /// Who issues its service account tokens.
    pub issuer: Issuer,
    /// Whether that is believed.
    pub belief: Belief,
    /// The issuers that it had before: this process saw how they were replaced, or was told of them.
    pub replaced: BTreeSet<Issuer>,
}

/// The issuers of credentials that are the cluster's own: the one that it has, and those that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuers {
    current: Issuer,
    replaced: BTreeSet<Issuer>,
    recorded: BTreeSet<Issuer>,
}

/// Whether an issuer that was seen is believed to be the cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// It is.
    Believed,
    /// Not yet: it is none of those that are recorded, and was not seen often enough. Nothing is given for it.
    Unconfirmed,
}

/// What is believed of a cluster's issuer, and what was seen since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerWatch {
    cluster: ClusterId,
    believed: Believed,
    replaced: BTreeSet<Issuer>,
    row: Row,
    /// How often another issuer was seen than at the look before, since the believed one was last seen [`LOOKS`] times in a row.
    turns: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Believed {
    Issuer(Issuer),
    /// Nothing yet: what is read is none of these, which were believed before a restart.
    NoneOf(BTreeSet<Issuer>),
}

/// The last looks, as far as they saw the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    issuer: Issuer,
    looks: u32,
    since: Duration,
}

/// What a look at the issuer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is as it was believed to be.
    AsBelieved,
    /// Another one was seen, and is not believed yet.
    Unconfirmed,
    /// Another one is believed from now on.
    Changed {
        /// The one that was believed before; none after a restart.
        from: Option<Issuer>,
        /// The one that is believed now.
        to: Issuer,
    },
    /// Another cluster answered. Nothing follows from it.
    OtherCluster,
}

/// How sure the issuer is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerState {
    /// Every look sees the one that is believed.
    Settled,
    /// Another one was seen lately.
    Changing,
    /// The looks see now this one, now that one.
    Alternating,
}

/// How many looks in a row must see another issuer before it is believed.
pub const LOOKS: u32 = 5;
/// How long they must have seen it, at least.
pub const LONG_ENOUGH: Duration = Duration::from_mins(2);
/// How many turns make an alternation: there, back and there again.
const ALTERNATION: u32 = 3;
/// The pause between looks when nothing else than the believed issuer was seen.
const SELDOM: Duration = Duration::from_mins(5);
/// The pause between looks since another one was seen.
const OFTEN: Duration = Duration::from_secs(30);

// === impl Cluster ===

impl Cluster {
    /// A cluster whose issuer is believed, and which had no other.
    #[must_use]
    pub const fn new(id: ClusterId, issuer: Issuer) -> Self {
        Self {
            id,
            issuer,
            belief: Belief::Believed,
            replaced: BTreeSet::new(),
        }
    }
}

// === impl Issuers ===

impl Issuers {
    /// Those that a cluster has and had, and those that are recorded of what was made.
    pub fn new<'a>(cluster: &Cluster, recorded: impl IntoIterator<Item = &'a Issuer>) -> Self {
        Self {
            current: cluster.issuer.clone(),
            replaced: cluster.replaced.clone(),
            recorded: recorded.into_iter().cloned().collect(),
        }
    }

    /// The one that the cluster has.
    #[must_use]
    pub const fn current(&self) -> &Issuer {
        &self.current
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Issuer> {
        let before = self.replaced.union(&self.recorded);
        std::iter::once(&self.current).chain(before.filter(|issuer| **issuer != self.current))
    }

    /// Whether it is the one that the cluster has.
    #[must_use]
    pub fn is_current(&self, issuer: &str) -> bool {
        self.current.as_str() == issuer
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn contains(&self, issuer: &str) -> bool {
        self.all().any(|known| known.as_str() == issuer)
    }

    /// Whether it was replaced, for certain: nobody has it any more. One that is only recorded may be another cluster's, whose etcd this
    /// one was restored from.
    #[must_use]
    pub fn was_replaced(&self, issuer: &str) -> bool {
        !self.is_current(issuer) && self.replaced.iter().any(|known| known.as_str() == issuer)
    }
}

// === impl IssuerWatch ===

impl IssuerWatch {
    /// Begins with the first look. What bindings' statuses record was believed before the operator was started anew: an issuer
    /// that is none of theirs is not believed yet, and where nothing is recorded there is nothing to lose by believing it. The
    /// replaced ones are those that somebody told us of.
    #[must_use]
    pub fn begin(
        cluster: ClusterId,
        seen: Issuer,
        recorded: BTreeSet<Issuer>,
        replaced: BTreeSet<Issuer>,
        now: Duration,
    ) -> Self {
        let row = Row {
            issuer: seen.clone(),
            looks: 1,
            since: now,
        };
        let known = recorded.is_empty() || recorded.contains(&seen);
        Self {
            cluster,
            row,
            replaced,
            turns: u32::from(!known),
            believed: if known {
                Believed::Issuer(seen)
            } else {
                Believed::NoneOf(recorded)
            },
        }
    }

    /// Takes in a look: which cluster answered, and which issuer it said. `now` is the time since whatever moment, always the same.
    pub fn look(&mut self, cluster: &ClusterId, seen: &Issuer, now: Duration) -> Sight {
        if *cluster != self.cluster {
            return Sight::OtherCluster;
        }
        if self.row.issuer == *seen {
            self.row.looks = self.row.looks.saturating_add(1);
        } else {
            self.turns = self.turns.saturating_add(1);
            self.row = Row {
                issuer: seen.clone(),
                looks: 1,
                since: now,
            };
        }
        let lasted = self.row.looks >= LOOKS && now.saturating_sub(self.row.since) >= LONG_ENOUGH;
        let (from, believes) = match &self.believed {
            Believed::Issuer(believed) if believed == seen => {
                if self.row.looks >= LOOKS {
                    self.turns = 0;
                }
                return Sight::AsBelieved;
            }
            Believed::Issuer(believed) => (Some(believed.clone()), lasted),
            Believed::NoneOf(recorded) => (None, lasted || recorded.contains(seen)),
        };
        if !believes {
            return Sight::Unconfirmed;
        }
        self.believed = Believed::Issuer(seen.clone());
        self.replaced.extend(from.clone());
        if lasted {
            self.turns = 0;
        }
        Sight::Changed { from, to: seen.clone() }
    }

    /// The cluster, as far as it is believed.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        let (issuer, belief) = match &self.believed {
            Believed::Issuer(issuer) => (issuer, Belief::Believed),
            Believed::NoneOf(_) => (&self.row.issuer, Belief::Unconfirmed),
        };
        let replaced = self.replaced.iter().filter(|replaced| *replaced != issuer);
        Cluster {
            id: self.cluster.clone(),
            issuer: issuer.clone(),
            belief,
            replaced: replaced.cloned().collect(),
        }
    }

    /// How sure the issuer is.
    #[must_use]
    pub const fn state(&self) -> IssuerState {
        match self.turns {
            0 => IssuerState::Settled,
            1..ALTERNATION => IssuerState::Changing,
            ALTERNATION.. => IssuerState::Alternating,
        }
    }

    /// How long to wait before the next look.
    #[must_use]
    pub const fn pause(&self) -> Duration {
        match self.state() {
            IssuerState::Settled => SELDOM,
            IssuerState::Changing | IssuerState::Alternating => OFTEN,
        }
    }
}

// === impl IssuerState ===

impl IssuerState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Settled, Self::Changing, Self::Alternating];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Changing => "changing",
            Self::Alternating => "alternating",
        }
    }
}
