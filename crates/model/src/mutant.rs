//! The mutants: each breaks one rule on purpose, so that it can be seen that the model catches it.

/// A rule of the operator that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// The finalizer is not set before the first write.
    NoFinalizer,
    /// The finalizer goes though what was written may still arrive.
    NoSecondLook,
    /// What an earlier operator may have sent is not waited for.
    PredecessorForgotten,
    /// What was remembered before the lease was lost is believed when it is held again.
    MemoryOutlivesTheLease,
    /// A deletion that found nothing counts as one that did.
    AbsenceUnproven,
    /// What stands and no list shows is not deleted by its name.
    OnlyWhatIsListedGoes,
    /// Nothing is announced before it is written.
    NothingAnnounced,
    /// A write that was refused counts as done.
    FaultsIgnored,
    /// The lease is not asked before a write to Azure.
    LeaseNotAsked,
    /// The lease is not asked before a service account is marked.
    LeaseNotAskedForAccounts,
    /// The binding is not read before something is given.
    NotReadBeforeGrant,
    /// The decision is not asked again between the steps.
    NotAskedBetweenSteps,
    /// Those to whom something is left are not read before it is forgotten.
    HeirsNotRead,
    /// Who shares the trust is forgotten.
    SharersAreForgotten,
    /// The tags of an identity are taken for the binding's.
    ForeignIsTaken,
    /// A service account is marked before it is trusted.
    AnnotationFirst,
    /// What is taken away goes in the opposite order.
    TrustEndsLast,
    /// Nothing is taken away.
    RevocationsWait,
    /// A status is written anew though nothing changed.
    WritesWithoutDifference,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::NoFinalizer,
        Self::NoSecondLook,
        Self::PredecessorForgotten,
        Self::MemoryOutlivesTheLease,
        Self::AbsenceUnproven,
        Self::OnlyWhatIsListedGoes,
        Self::NothingAnnounced,
        Self::FaultsIgnored,
        Self::LeaseNotAsked,
        Self::LeaseNotAskedForAccounts,
        Self::NotReadBeforeGrant,
        Self::NotAskedBetweenSteps,
        Self::HeirsNotRead,
        Self::SharersAreForgotten,
        Self::ForeignIsTaken,
        Self::AnnotationFirst,
        Self::TrustEndsLast,
        Self::RevocationsWait,
        Self::WritesWithoutDifference,
    ];

    /// What is left out, in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoFinalizer => "no finalizer before the first write",
            Self::NoSecondLook => "no second look before the finalizer goes",
            Self::PredecessorForgotten => "a predecessor's writes are not waited for",
            Self::MemoryOutlivesTheLease => "what was remembered before the lease was lost is believed",
            Self::AbsenceUnproven => "what was not found counts as seen going",
            Self::OnlyWhatIsListedGoes => "only what a list shows is deleted",
            Self::NothingAnnounced => "nothing is announced before it is written",
            Self::FaultsIgnored => "a refused deletion counts as done",
            Self::LeaseNotAsked => "the lease is not asked before a write to Azure",
            Self::LeaseNotAskedForAccounts => "the lease is not asked before an annotation",
            Self::NotReadBeforeGrant => "the binding is not read before a grant",
            Self::NotAskedBetweenSteps => "the decision is not asked between steps",
            Self::HeirsNotRead => "those to whom something is left are not read",
            Self::SharersAreForgotten => "who shares the trust is forgotten",
            Self::ForeignIsTaken => "an identity without tags is taken for ours",
            Self::AnnotationFirst => "the annotation comes before the credential",
            Self::TrustEndsLast => "what is taken away goes in opposite order",
            Self::RevocationsWait => "nothing is taken away",
            Self::WritesWithoutDifference => "a credential that stands is written again",
        }
    }
}
