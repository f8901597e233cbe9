//! Policies that vanished: whether their end is acted upon. One that is edited says what is meant; one that is gone says nothing, and so
//! does a whole set that goes one by one because a tool lost it.

use std::collections::BTreeSet;
use std::time::Duration;

use wio_api::{EFFECTIVE_POLICY_NAME, Reason, keys};

use super::policies::Policies;
use crate::fault::Blocked;
use crate::listing::first;
use crate::names::{PolicyName, hash};

/// How long nothing more may have vanished or come back before the end of a policy is acted upon. A policy that is deleted and created
/// anew, and a set that is deleted one by one, are whole changes by then.
pub const QUIET: Duration = Duration::from_secs(30);

/// How many policies that vanish together, one within [`QUIET`] of the other, are taken for an accident.
pub const MASS: usize = 3;

/// The policies that are believed to stand, which of them vanished, and since when.
///
/// What is believed is kept in the cluster (on the effective policy, which only the operator writes), so that it outlives the operator. No status
/// of a binding counts here: its owner can freeze it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vanishing {
    /// None before it was read.
    believed: Option<BTreeSet<PolicyName>>,
    /// Those of them that are not there.
    vanished: BTreeSet<PolicyName>,
    /// When one of them vanished or came back last, by the operator's clock.
    changed: Duration,
    /// Whether so many vanished that it was taken for an accident: policies that come meanwhile do not change that.
    held: bool,
    /// The names that a list showed when the set was quiet; none before it was asked for. A watch may be behind, and what it does not tell of has vanished
    /// as well, or has come back.
    shown: Option<BTreeSet<PolicyName>>,
    /// The word that an end is meant, as it stands in the cluster.
    word: Option<String>,
}

/// Whether what rested on policies that vanished may be taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vanished {
    /// None did, or their end was meant.
    None,
    /// Some did a moment ago: what rested on them waits until the set is quiet.
    Settling(BTreeSet<PolicyName>),
    /// Some did, and no list has shown that and no more yet.
    Unproven(BTreeSet<PolicyName>),
    /// So many did that it is taken for an accident until this word is given.
    Held(BTreeSet<PolicyName>, String),
    /// What stood before is not known yet.
    Unknown,
}

// === impl Vanishing ===

impl Vanishing {
    /// Takes in what the cluster keeps: the policies that stood, those that had vanished by then, and the word. After a restart several
    /// that had vanished are held, as they may have been before.
    pub fn learn(&mut self, stood: BTreeSet<PolicyName>, vanished: BTreeSet<PolicyName>, word: Option<String>) {
        if self.believed.is_none() {
            self.held = vanished.len() > 1;
            self.believed = Some(stood.into_iter().chain(vanished).collect());
        }
        self.word = word;
    }

    /// The names to keep in the cluster; none before it is known what is kept there.
    #[must_use]
    pub const fn believed(&self) -> Option<&BTreeSet<PolicyName>> {
        self.believed.as_ref()
    }

    /// Takes in the policies as they are at this time of the operator's clock, and says what became of those that stood before.
    pub fn see(&mut self, policies: &Policies, time: Duration) -> Vanished {
        let now = policies.names();
        let Some(believed) = &mut self.believed else {
            return Vanished::Unknown;
        };
        believed.extend(now.iter().cloned());
        let vanished: BTreeSet<PolicyName> = believed.difference(&now).cloned().collect();
        if vanished != self.vanished {
            self.changed = time;
            self.shown = None;
            self.vanished.clone_from(&vanished);
        }
        if vanished.is_empty() {
            self.held = false;
            return Vanished::None;
        }
        if time.saturating_sub(self.changed) < QUIET {
            return Vanished::Settling(vanished);
        }
        let all_of_several = now.is_empty() && vanished.len() > 1;
        self.held |= vanished.len() >= MASS || all_of_several;
        let word = word(&vanished);
        if self.held && self.word.as_ref() != Some(&word) {
            return Vanished::Held(vanished, word);
        }
        // Whoever gives the word has seen which ones.
        if !self.held && !self.shown.as_ref().is_some_and(|shown| shows(shown, &now, &vanished)) {
            return Vanished::Unproven(vanished);
        }
        self.held = false;
        *believed = now;
        Vanished::None
    }

    /// Takes in the names that a list showed that was asked for because something was [`Vanished::Unproven`].
    pub fn prove(&mut self, shown: BTreeSet<PolicyName>) {
        self.shown = Some(shown);
    }

    /// How long it takes from this time of the operator's clock until the set has been quiet for long enough.
    #[must_use]
    pub const fn quiet_in(&self, time: Duration) -> Duration {
        QUIET.saturating_sub(time.saturating_sub(self.changed))
    }
}

/// Whether a list shows all that are believed to stand and none of those that vanished. It may show more: one that cannot be read, or one that came right then.
fn shows(shown: &BTreeSet<PolicyName>, standing: &BTreeSet<PolicyName>, vanished: &BTreeSet<PolicyName>) -> bool {
    shown.is_superset(standing) && shown.is_disjoint(vanished)
}

/// The word by which the end of just these policies is said to be meant: one that was given for others says nothing about them. It
/// stands in the cluster and is the same for every operator that reads it there.
fn word(vanished: &BTreeSet<PolicyName>) -> String {
    let names: Vec<&str> = vanished.iter().map(PolicyName::as_str).collect();
    hash(&names)
}

// === impl Vanished ===

impl Vanished {
    /// Whether what was allowed by these policies may be taken away.
    ///
    /// # Errors
    /// Why not yet, or not before somebody says that it is meant.
    pub fn confirm(&self, allowed_by: &BTreeSet<PolicyName>) -> Result<(), Blocked> {
        let relied_on = |vanished: &BTreeSet<PolicyName>| !vanished.is_disjoint(allowed_by);
        match self {
            Self::Settling(vanished) if relied_on(vanished) => Err(Blocked {
                reason: Reason::NotDecided,
                message: format!(
                    "{} a moment ago; what rests on it is decided when no other one disappeared or came back for {} seconds",
                    gone(vanished),
                    QUIET.as_secs()
                ),
            }),
            Self::Unproven(vanished) if relied_on(vanished) => Err(Blocked {
                reason: Reason::NotDecided,
                message: format!(
                    "{}; what rests on it is decided when a list of the policies shows the same and no more",
                    gone(vanished)
                ),
            }),
            Self::Held(vanished, word) if relied_on(vanished) => Err(Blocked {
                reason: Reason::MassDisappearance,
                message: format!(
                    "{} together. That is taken for an accident and nothing is taken away. Create them again; if their end is meant, say so: \
                     kubectl annotate workloadidentityeffectivepolicy {EFFECTIVE_POLICY_NAME} --overwrite {}={word}",
                    gone(vanished),
                    keys::CONFIRM_LOSS_ANNOTATION,
                ),
            }),
            Self::None | Self::Settling(_) | Self::Unproven(_) | Self::Held(..) => Ok(()),
            Self::Unknown => Err(Blocked {
                reason: Reason::NotDecided,
                message: "which policies stood before is not known yet, so what it may have is not decided".to_owned(),
            }),
        }
    }
}

/// Which policies disappeared, in words that do not grow with their number.
fn gone(vanished: &BTreeSet<PolicyName>) -> String {
    const NAMED: usize = 5;
    let names: Vec<&PolicyName> = vanished.iter().collect();
    let noun = if vanished.len() == 1 {
        "WorkloadIdentityPolicy"
    } else {
        "WorkloadIdentityPolicies"
    };
    format!("{noun} {} disappeared", first(&names, NAMED))
}
