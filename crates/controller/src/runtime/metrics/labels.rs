//! The labels of metrics.

use prometheus_client::encoding::EncodeLabelSet;

/// How bindings are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(super) struct BindingLabels {
    pub(super) ready: &'static str,
    pub(super) reason: &'static str,
}

/// What is done about what bindings left.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OrphanLabels {
    pub(super) state: &'static str,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WatchLabels {
    pub(super) resource: &'static str,
}

/// For what cause something is held.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HeldLabels {
    pub(super) cause: &'static str,
}

/// How sure the issuer is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct IssuerLabels {
    pub(super) state: &'static str,
}

/// What a reconcile came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReconcileLabels {
    pub(super) reason: &'static str,
}

/// What was asked of Azure, and answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) operation: &'static str,
    pub(super) outcome: &'static str,
}

/// What was asked of Azure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OperationLabels {
    pub(super) operation: &'static str,
}

/// Azure's budgets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BudgetLabels {
    pub(super) kind: &'static str,
}

/// How changes are followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FeedLabels {
    pub(super) feed: &'static str,
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CorrectedLabels {
    pub(super) kind: &'static str,
}

/// What came of exchanging a service account's token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProofLabels {
    pub(super) outcome: &'static str,
}

/// What goes first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LaneLabels {
    pub(super) lane: &'static str,
}
