//! The CRD guard: whether what is to be taken away was wished, or disappeared by accident. A deleted CRD takes all objects of its kind
//! with it, and to the operator that looks like the wish to end every trust in the cluster. In doubt trust stands.

use std::collections::BTreeSet;

use jiff::Timestamp;
use wio_api::{Reason, keys};

use crate::authorize::NotPermitted;
use crate::binding::Binding;
use crate::desired::DesiredRemoval;
use crate::fault::Blocked;
use crate::names::PolicyName;
use crate::policy::Vanished;

/// The state of one of our CRDs, as the API server has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrdState {
    /// It stands.
    Stands {
        /// When it was created.
        since: Option<Timestamp>,
    },
    /// It is being deleted, and every object of its kind with it.
    Going {
        /// Whether somebody wrote on it that this is meant.
        meant: bool,
    },
    /// It does not exist.
    Gone,
}

/// The state of both our CRDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crds {
    /// That of `WorkloadIdentityBinding`.
    pub bindings: CrdState,
    /// That of `WorkloadIdentityPolicy`.
    pub policies: CrdState,
}

/// What is left of the policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoliciesLeft {
    /// Whether there is one at all.
    pub any: bool,
    /// What became of those that stood before.
    pub vanished: Vanished,
}

// === impl CrdState ===

impl CrdState {
    /// Why nothing may be taken away while the CRD is in this state.
    fn withholds(&self, kind: &KindWords) -> Option<Blocked> {
        let name = kind.definition;
        let annotation = keys::ALLOW_DELETION_ANNOTATION;
        match self {
            Self::Stands { .. } | Self::Going { meant: true } => None,
            Self::Going { meant: false } => Some(blocked(format!(
                "the custom resource definition {name} is being deleted, and all {objects} with it. That is taken for an accident \
                 and nothing is taken away. If it is meant, say so: kubectl annotate crd {name} {annotation}=true. If not, {back}",
                objects = kind.objects,
                back = kind.way_back,
            ))),
            Self::Gone => Some(blocked(format!(
                "the custom resource definition {name} does not exist any more. That is taken for an accident and nothing is taken \
                 away. Apply it again{meant}",
                meant = kind.when_meant,
            ))),
        }
    }
}

/// The words for one of our kinds.
struct KindWords {
    definition: &'static str,
    objects: &'static str,
    way_back: &'static str,
    when_meant: &'static str,
}

const BINDINGS: KindWords = KindWords {
    definition: "workloadidentitybindings.workloadidentity.dev",
    objects: "WorkloadIdentityBindings",
    way_back: "the operator's runbook says how to create them again without an interruption",
    when_meant: "",
};

const POLICIES: KindWords = KindWords {
    definition: "workloadidentitypolicies.workloadidentity.dev",
    objects: "WorkloadIdentityPolicies",
    way_back: "apply it and the policies again",
    when_meant: " with the policies; if their end is meant, with one WorkloadIdentityPolicy, which may allow nothing",
};

// === impl Crds ===

impl Crds {
    /// The names of both, first that of bindings.
    pub const NAMES: [&str; 2] = [BINDINGS.definition, POLICIES.definition];

    /// Whether a binding that is being deleted may be taken for one that somebody deleted.
    ///
    /// # Errors
    /// Why it may be an accident, and what to do.
    pub fn confirm(&self) -> Result<(), Blocked> {
        match self
            .bindings
            .withholds(&BINDINGS)
            .or_else(|| self.policies.withholds(&POLICIES))
        {
            Some(blocked) => Err(blocked),
            None => Ok(()),
        }
    }

    /// Whether what no living binding accounts for may be taken for what was left by accident. A definition that was created anew took
    /// all bindings with it: then nothing is taken away before some are there again. It cannot be younger than that of policies
    /// otherwise, which came later.
    ///
    /// # Errors
    /// Why it may be an accident, and what to do.
    pub fn confirm_orphans(&self, living: usize) -> Result<(), Blocked> {
        self.confirm()?;
        let since = |state: &CrdState| match state {
            CrdState::Stands { since } => *since,
            CrdState::Going { .. } | CrdState::Gone => None,
        };
        let anew = matches!((since(&self.bindings), since(&self.policies)), (Some(b), Some(p)) if b > p);
        if living == 0 && anew {
            return Err(blocked(format!(
                "the custom resource definition {name} was created anew, and no binding is left. That is taken for an accident and \
                 nothing is taken away. Create them again",
                name = BINDINGS.definition,
            )));
        }
        Ok(())
    }

    /// Whether a binding that no policy allows any more may be taken for one that somebody denies.
    ///
    /// # Errors
    /// Why it may be an accident, and what to do.
    pub fn confirm_denial(&self, binding: &Binding, left: &PoliciesLeft, why: &NotPermitted) -> Result<(), Blocked> {
        self.confirm()?;
        self.confirm_end_of_policies(binding, &binding.recorded.authorized_by, left)
            .map_err(|blocked| with(blocked, &format!("What would be taken away then: {why}")))
    }

    /// Whether a binding that is being deleted may take away what it shares with others of its namespace, which have it by these policies. As
    /// long as the others wait for policies that vanished, they have to keep what they have.
    ///
    /// # Errors
    /// Why it may be an accident, and what to do.
    pub fn confirm_deletion_of_shared(
        &self,
        binding: &Binding,
        others_by: &BTreeSet<PolicyName>,
        left: &PoliciesLeft,
    ) -> Result<(), Blocked> {
        self.confirm()?;
        self.confirm_end_of_policies(binding, others_by, left)
            .map_err(|blocked| with(blocked, SHARED))
    }

    /// Whether a binding that no policy allows any more may take away what it shares with these others of its namespace. What rests on policies that
    /// vanished counts as theirs ([`crate::held`]); that their definition was created anew only this guard knows.
    ///
    /// # Errors
    /// Why it may be an accident, and what to do.
    pub fn confirm_denial_of_shared<'a>(
        &self,
        mut others: impl Iterator<Item = &'a Binding>,
        left: &PoliciesLeft,
    ) -> Result<(), Blocked> {
        others
            .try_for_each(|other| self.confirm_not_anew(other, &other.recorded.authorized_by, left))
            .map_err(|blocked| with(blocked, SHARED))
    }

    /// Whether policies that are gone were meant to go.
    fn confirm_end_of_policies(
        &self,
        binding: &Binding,
        relied_on: &BTreeSet<PolicyName>,
        left: &PoliciesLeft,
    ) -> Result<(), Blocked> {
        // It was said on the definition that the end of all is meant.
        if matches!(self.policies, CrdState::Going { .. }) {
            return Ok(());
        }
        self.confirm_not_anew(binding, relied_on, left)?;
        left.vanished.confirm(relied_on)
    }

    /// Whether policies did not go with their definition, which is another one now.
    fn confirm_not_anew(
        &self,
        binding: &Binding,
        relied_on: &BTreeSet<PolicyName>,
        left: &PoliciesLeft,
    ) -> Result<(), Blocked> {
        if !left.any && !relied_on.is_empty() && self.policies.is_younger_than(binding) {
            return Err(blocked(format!(
                "no WorkloadIdentityPolicy is left, and their definition {} was created anew after the binding. That is taken for an \
                 accident and nothing is taken away. Create them again; if their end is meant, create one WorkloadIdentityPolicy, \
                 which may allow nothing",
                POLICIES.definition
            )));
        }
        Ok(())
    }
}

const SHARED: &str = "Other bindings of the namespace have the same identity, and would lose it with this one";

fn with(mut blocked: Blocked, more: &str) -> Blocked {
    blocked.message = format!("{}. {more}", blocked.message);
    blocked
}

impl CrdState {
    /// Whether it was created after a binding: then there was another one before it, which took its policies with it.
    fn is_younger_than(&self, binding: &Binding) -> bool {
        let Self::Stands { since: Some(since) } = self else {
            return false;
        };
        let created = binding.lifecycle.seniority.created();
        created.is_some_and(|created| created < *since)
    }
}

/// Whether another binding of the namespace has by a policy what a removal takes away.
#[must_use]
pub fn shares_identity(binding: &Binding, removal: Option<&DesiredRemoval>, other: &Binding) -> bool {
    have_same_identity(binding, removal, other) && !other.recorded.authorized_by.is_empty()
}

/// Whether another binding of the namespace, which is not to go, has the identity that a binding has, or one that is to be removed: its status may not tell of
/// that yet.
#[must_use]
pub fn have_same_identity(binding: &Binding, removal: Option<&DesiredRemoval>, other: &Binding) -> bool {
    let has = binding.recorded.identity.as_ref().map(|identity| &identity.id);
    let removed = removal
        .into_iter()
        .flat_map(|removal| [Some(removal), removal.elsewhere()]);
    let removed = removed.flatten().map(|removal| removal.revocable.identity());
    binding.owner.uid != other.owner.uid
        && !other.lifecycle.deleting
        && binding.owner.namespace == other.owner.namespace
        && has
            .into_iter()
            .chain(removed)
            .any(|identity| other.recorded.ids_of(identity).is_some())
}

const fn blocked(message: String) -> Blocked {
    Blocked {
        reason: Reason::MassDisappearance,
        message,
    }
}
