//! What the checks find, as data: what `-o json` and `-o yaml` say.

use serde::Serialize;

use super::facts::Unseen;

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Examination {
    /// Whether nothing is red, and nothing unknown.
    pub well: bool,
    pub red: usize,
    pub yellow: usize,
    pub green: usize,
    pub unknown: usize,
    pub not_looked_at: usize,
    pub checks: Vec<Finding>,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    pub id: &'static str,
    pub scenario: Scenario,
    pub title: &'static str,
    pub level: Level,
    /// What was found, or why it could not be looked at.
    pub says: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The commands that mend it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
    /// The page that explains it.
    pub page: String,
}

/// What a check is about: the installation, or one of the five scenarios of identities in an AKS cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Scenario {
    Installation,
    Callers,
    Rights,
    Resource,
    ClusterIdentities,
    WorkloadIdentity,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Level {
    Green,
    /// It works, and somebody should look at it.
    Yellow,
    /// It does not work, or it is open to people whom it must not be open to.
    Red,
    /// It was to be looked at, and could not be.
    Unknown,
    /// Nobody asked for it, or there is nothing to look at.
    NotLookedAt,
}

/// What a check found, before it is known which check it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(super) level: Level,
    pub(super) says: String,
    pub(super) details: Vec<String>,
    pub(super) fix: Vec<String>,
}

// === impl Scenario ===

impl Scenario {
    pub(crate) const ALL: [Self; 6] = [
        Self::Installation,
        Self::Callers,
        Self::Rights,
        Self::Resource,
        Self::ClusterIdentities,
        Self::WorkloadIdentity,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Installation => "The installation",
            Self::Callers => "A  Who calls the Kubernetes API",
            Self::Rights => "B  What they may do",
            Self::Resource => "C  Who may act on the AKS resource",
            Self::ClusterIdentities => "D  By which identities the cluster acts",
            Self::WorkloadIdentity => "E  Workload identity",
        }
    }
}

// === impl Verdict ===

impl Verdict {
    fn new(level: Level, says: impl Into<String>) -> Self {
        Self {
            level,
            says: says.into(),
            details: Vec::new(),
            fix: Vec::new(),
        }
    }

    /// What could not be looked at, or was not to be.
    pub(super) fn unseen(why: Unseen) -> Self {
        match why {
            Unseen::Unknown(why) => Self::new(Level::Unknown, why),
            Unseen::Nothing(why) => Self::new(Level::NotLookedAt, why),
        }
    }

    pub(super) fn green(says: impl Into<String>) -> Self {
        Self::new(Level::Green, says)
    }

    pub(super) fn yellow(says: impl Into<String>) -> Self {
        Self::new(Level::Yellow, says)
    }

    pub(super) fn red(says: impl Into<String>) -> Self {
        Self::new(Level::Red, says)
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    pub(super) fn with_details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// A command that mends it, or that shows what is to be decided.
    pub(super) fn fix(mut self, command: impl Into<String>) -> Self {
        self.fix.push(command.into());
        self
    }
}

// === impl Examination ===

impl Examination {
    pub(super) fn of(checks: Vec<Finding>) -> Self {
        let count = |level| checks.iter().filter(|one| one.level == level).count();
        let (red, unknown) = (count(Level::Red), count(Level::Unknown));
        Self {
            well: red == 0 && unknown == 0,
            red,
            unknown,
            yellow: count(Level::Yellow),
            green: count(Level::Green),
            not_looked_at: count(Level::NotLookedAt),
            checks,
        }
    }
}
