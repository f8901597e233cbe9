//! What is explained, as data: what `-o json` and `-o yaml` say.

use serde::Serialize;

/// What a code or a reason means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explained {
    /// It, as it is written.
    pub name: String,
    pub kind: Kind,
    pub meaning: String,
    /// The reason that it leads to; none for a reason, and for what leads to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who has to act, and what the operator does meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who_acts: Option<String>,
    /// Whether it passes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes_by_itself: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// The condition that it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Other codes that mean the same, or that lead to the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    /// What the runbook says of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runbook: Vec<Passage>,
}

/// What is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Kind {
    /// A code of Entra's.
    EntraCode,
    /// A code of Azure Resource Manager's.
    AzureCode,
    /// A reason of a condition, an Event and a metric.
    Reason,
    /// The type of a condition.
    Condition,
}

/// A passage of the runbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Passage {
    pub section: String,
    pub text: String,
}
