//! Whether what is to be taken away was wished, or disappeared by accident: a deleted definition takes all objects of its kind
//! with it, and to the operator that looks like the wish to end every trust in the cluster. In doubt trust stands.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wio_api::{Reason, WorkloadIdentityBinding, keys};

use crate::authorize::NotPermitted;
use crate::fault::Blocked;
use crate::names::IdentityId;

/// The definition of one of our kinds, as the API server has it now.
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

/// The definitions of bindings and of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crds {
    /// That of `WorkloadIdentityBinding`.
    pub bindings: CrdState,
    /// That of `WorkloadIdentityPolicy`.
    pub policies: CrdState,
}

/// What is left of the policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoliciesLeft {
    /// At least one. Policies that go one by one are meant to go.
    Some,
    /// None.
    None {
        /// Two policies of different names by which bindings have what they have, if there are two: they stood at the same time.
        stood: Option<[String; 2]>,
    },
}

// === impl CrdState ===

impl CrdState {
    /// The definition with this metadata; none when the API server says that there is no such definition.
    #[must_use]
    pub fn of(metadata: Option<&ObjectMeta>) -> Self {
        let Some(metadata) = metadata else { return Self::Gone };
        if metadata.deletion_timestamp.is_some() {
            let annotations = metadata.annotations.as_ref();
            let value = annotations.and_then(|all| all.get(keys::ALLOW_DELETION_ANNOTATION));
            return Self::Going {
                meant: value.is_some_and(|value| value == "true"),
            };
        }
        Self::Stands {
            since: metadata.creation_timestamp.as_ref().map(|time| time.0),
        }
    }

    /// Why nothing may be taken away as long as it is like this.
    fn withholds(&self, kind: &Kind) -> Option<Blocked> {
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

/// How one of our kinds is spoken of.
struct Kind {
    definition: &'static str,
    objects: &'static str,
    way_back: &'static str,
    when_meant: &'static str,
}

const BINDINGS: Kind = Kind {
    definition: "workloadidentitybindings.workloadidentity.dev",
    objects: "WorkloadIdentityBindings",
    way_back: "the operator's runbook says how to create them again without an interruption",
    when_meant: "",
};

const POLICIES: Kind = Kind {
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
    /// Why not, and what to do.
    pub fn deletion(&self) -> Result<(), Blocked> {
        match self
            .bindings
            .withholds(&BINDINGS)
            .or_else(|| self.policies.withholds(&POLICIES))
        {
            Some(blocked) => Err(blocked),
            None => Ok(()),
        }
    }

    /// Whether a binding that no policy allows any more may be taken for one that somebody denies.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn denial(
        &self,
        binding: &WorkloadIdentityBinding,
        left: &PoliciesLeft,
        why: &NotPermitted,
    ) -> Result<(), Blocked> {
        self.deletion()?;
        match self.vanished(binding, left) {
            Some(gone) => Err(blocked(format!("{gone}. What would be taken away then: {why}"))),
            None => Ok(()),
        }
    }

    /// Whether a binding that is being deleted may take away what it shares with others of its namespace. As long as the others
    /// wait for policies that vanished, they have to keep what they have.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn deletion_of_shared(&self, binding: &WorkloadIdentityBinding, left: &PoliciesLeft) -> Result<(), Blocked> {
        self.deletion()?;
        match self.vanished(binding, left) {
            Some(gone) => Err(blocked(format!(
                "{gone}. Other bindings of the namespace have the same identity, and would lose it with this one"
            ))),
            None => Ok(()),
        }
    }

    /// That the policies did not go one by one, and what to do; none when that is not to be thought.
    fn vanished(&self, binding: &WorkloadIdentityBinding, left: &PoliciesLeft) -> Option<String> {
        const MEANT: &str =
            "Create them again; if their end is meant, create one WorkloadIdentityPolicy, which may allow nothing";
        let PoliciesLeft::None { stood } = left else {
            return None;
        };
        // It was said on the definition that the end of all is meant.
        if matches!(self.policies, CrdState::Going { .. }) {
            return None;
        }
        let how = match stood {
            Some([one, other]) => format!("though {one}, {other} or more stood at the same time"),
            None if self.policies.is_younger_than(binding) => {
                format!(
                    "and their definition {} was created anew after the binding",
                    POLICIES.definition
                )
            }
            None => return None,
        };
        Some(format!(
            "no WorkloadIdentityPolicy is left, {how}. That is taken for an accident and nothing is taken away. {MEANT}"
        ))
    }
}

impl CrdState {
    /// Whether it was created after a binding that has something by a policy: then there was another one before it, which took
    /// its policies with it.
    fn is_younger_than(&self, binding: &WorkloadIdentityBinding) -> bool {
        let Self::Stands { since: Some(since) } = self else {
            return false;
        };
        let created = binding.metadata.creation_timestamp.as_ref();
        !authorized_by(binding).is_empty() && created.is_some_and(|created| created.0 < *since)
    }
}

// === impl PoliciesLeft ===

impl PoliciesLeft {
    /// What is left when no policy is: `find` finds a binding in the cache.
    pub fn none<B: std::ops::Deref<Target = WorkloadIdentityBinding>>(
        find: impl Fn(&dyn Fn(&WorkloadIdentityBinding) -> bool) -> Option<B>,
    ) -> Self {
        let first = find(&|binding| !authorized_by(binding).is_empty());
        let one = first.and_then(|first| authorized_by(&first).first().cloned());
        let stood = one.and_then(|one| {
            let other = find(&|binding| authorized_by(binding).iter().any(|name| *name != one))?;
            let other = authorized_by(&other).iter().find(|name| **name != one)?.clone();
            let mut both = [one, other];
            both.sort();
            Some(both)
        });
        Self::None { stood }
    }
}

/// Whether two bindings of a namespace have the same identity, the other one by a policy.
#[must_use]
pub fn shares(binding: &WorkloadIdentityBinding, other: &WorkloadIdentityBinding) -> bool {
    let identity = |binding: &WorkloadIdentityBinding| {
        let identity = binding.status.as_ref()?.identity.as_ref()?;
        identity.resource_id.parse::<IdentityId>().ok()
    };
    let has = identity(binding);
    binding.metadata.uid != other.metadata.uid
        && binding.metadata.namespace == other.metadata.namespace
        && !authorized_by(other).is_empty()
        && has.is_some()
        && has == identity(other)
}

/// The policies by which a binding has what it has.
fn authorized_by(binding: &WorkloadIdentityBinding) -> &[String] {
    binding
        .status
        .as_ref()
        .map_or(&[], |status| status.authorized_by.as_slice())
}

const fn blocked(message: String) -> Blocked {
    Blocked {
        reason: Reason::MassDisappearance,
        message,
    }
}
