//! What went wrong, as data. The shell makes these from answers; `reasons` decides what they mean.

use std::fmt;
use std::time::Duration;

use wio_api::Reason;

use crate::names::Scope;

/// Anything that keeps a binding from being as its spec asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A request to Azure did not succeed.
    Azure(AzureFault),
    /// A request to the Kubernetes API server did not succeed.
    Kubernetes(KubernetesFault),
    /// The world is such that the plan cannot go on.
    Blocked(Blocked),
}

/// A request to Azure that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureFault {
    /// What was asked, as a phrase that follows "could not", for example "create the managed identity orders".
    pub operation: String,
    /// How it failed.
    pub cause: AzureCause,
}

/// How a request to Azure failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureCause {
    /// Azure answered with an error.
    Answer(AzureAnswer),
    /// No answer came in time; the request may have been carried out.
    Timeout,
    /// The connection failed; the request may have been carried out.
    Transport(String),
    /// No token for Azure could be had. The text holds no secret.
    Credential(String),
    /// The request or the next page was refused before it left the process: a foreign host, an unsafe path.
    Refused(String),
    /// The write did not leave the process: it may not write now, because it may not lead for as long as a write takes.
    NotAdmitted,
    /// The answer could not be understood.
    Malformed(String),
    /// It was not sent, because what Azure admits is spent for now.
    Budget(BudgetShort),
    /// Azure answered that the operator may not do this with role assignments at a scope.
    RoleAccessDenied {
        /// The operation that its own role, or that role's condition, does not allow.
        action: &'static str,
        /// Where.
        scope: Scope,
    },
    /// Azure answered that what a role is to hold for does not exist.
    RoleScopeNotFound(Scope),
}

/// A budget of Azure that is spent for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetShort {
    /// What Azure counts, for example "writes in subscription x".
    pub budget: String,
    /// About how long it takes until the turn of the request comes.
    pub ready_in: Duration,
}

/// An error that Azure answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureAnswer {
    /// The HTTP status.
    pub status: u16,
    /// `error.code` of the body, or empty.
    pub code: String,
    /// `error.message` of the body, or empty.
    pub message: String,
    /// How long Azure asks to wait.
    pub retry_after: Option<Duration>,
    /// `x-ms-request-id`, for a support case.
    pub request_id: Option<String>,
}

/// A request to the Kubernetes API server that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesFault {
    /// What was asked, as a phrase that follows "could not", for example "annotate the service account orders".
    pub operation: String,
    /// How it failed.
    pub cause: KubernetesCause,
}

/// How a request to the Kubernetes API server failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubernetesCause {
    /// The server answered with a status object.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The status object's reason, for example `Forbidden`.
        reason: String,
        /// The status object's message.
        message: String,
    },
    /// A server-side apply would take fields from other managers.
    FieldsHeld(Vec<HeldField>),
    /// The namespace is being deleted and takes no new objects.
    NamespaceTerminating,
    /// The connection failed or timed out; the request may have been carried out.
    Transport(String),
    /// The answer is not one that an API server gives.
    Malformed(String),
}

/// A field that another field manager holds with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldField {
    /// The other field manager.
    pub manager: String,
    /// The field's path.
    pub field: String,
    /// Whether its value is known to be empty, as that of many a chart's default.
    pub empty: bool,
}

/// A state of the world that somebody else must change before the plan can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The condition reason.
    pub reason: Reason,
    /// What is wrong, with which resource, and what to do next.
    pub message: String,
}

// === impl Fault ===

impl Fault {
    /// Whether a write that failed like this was certainly not carried out.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Azure(fault) => fault.cause.is_refusal(),
            Self::Kubernetes(fault) => fault.cause.is_refusal(),
            Self::Blocked(_) => true,
        }
    }
}

// === impl AzureCause ===

impl AzureCause {
    /// Whether a budget of Azure was spent: it was not sent for that, or Azure answered that it is.
    #[must_use]
    pub const fn is_throttled(&self) -> bool {
        match self {
            Self::Budget(_) => true,
            Self::Answer(answer) => answer.status == 429,
            _ => false,
        }
    }

    /// Whether a write that failed like this was certainly not carried out: it was refused, or never left.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Answer(answer) => answer.is_refusal(),
            Self::Credential(_)
            | Self::Refused(_)
            | Self::Budget(_)
            | Self::NotAdmitted
            | Self::RoleAccessDenied { .. }
            | Self::RoleScopeNotFound(_) => true,
            Self::Timeout | Self::Transport(_) | Self::Malformed(_) => false,
        }
    }
}

// === impl KubernetesCause ===

impl KubernetesCause {
    /// Whether a write that failed like this was certainly not carried out.
    const fn is_refusal(&self) -> bool {
        match self {
            Self::Answer { status, .. } => refuses(*status),
            Self::FieldsHeld(_) | Self::NamespaceTerminating => true,
            Self::Transport(_) | Self::Malformed(_) => false,
        }
    }
}

// === impl AzureAnswer ===

impl AzureAnswer {
    const fn is_refusal(&self) -> bool {
        refuses(self.status)
    }
}

/// Whether an HTTP status says that nothing was done. 408, and 499 of a proxy, say that somebody did not wait for the end.
const fn refuses(status: u16) -> bool {
    matches!(status, 400..=407 | 409..=498)
}

impl Fault {
    /// Whether a request waits for its turn at Azure's budgets: it was not sent.
    #[must_use]
    pub const fn was_not_sent(&self) -> bool {
        matches!(
            self,
            Self::Azure(AzureFault {
                cause: AzureCause::Budget(_),
                ..
            })
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Azure(fault) => fault.fmt(f),
            Self::Kubernetes(fault) => fault.fmt(f),
            Self::Blocked(blocked) => f.write_str(&blocked.message),
        }
    }
}

impl std::error::Error for Fault {}

impl fmt::Display for AzureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: ", self.operation)?;
        match &self.cause {
            AzureCause::Answer(answer) => answer.fmt(f),
            AzureCause::Timeout => f.write_str("Azure did not answer in time"),
            AzureCause::Transport(why) => because(f, "Azure could not be reached", why),
            AzureCause::Credential(why) => because(f, "no token for Azure could be had", why),
            AzureCause::Refused(why) => because(f, "the operator refused to send it", why),
            AzureCause::NotAdmitted => f.write_str("the operator may not write until it has renewed its lease"),
            AzureCause::Malformed(why) => because(f, "Azure's answer could not be read", why),
            AzureCause::Budget(short) => short.fmt(f),
            AzureCause::RoleAccessDenied { action, scope } => {
                write!(f, "the operator's own role does not allow {action} at {scope}")
            }
            AzureCause::RoleScopeNotFound(scope) => write!(f, "{scope} does not exist"),
        }
    }
}

impl std::error::Error for AzureFault {}

impl fmt::Display for BudgetShort {
    /// In coarse steps: a condition's message must not change while nothing changes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60;
        let seconds = self.ready_in.as_secs();
        write!(
            f,
            "Azure's budget of {} is spent for now; its turn comes in ",
            self.budget
        )?;
        if seconds < MINUTE {
            return f.write_str("less than a minute");
        }
        let minutes = seconds.div_ceil(MINUTE);
        write!(f, "about {minutes} minute{}", if minutes == 1 { "" } else { "s" })
    }
}

impl fmt::Display for AzureAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Azure answered {}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        // No request id, and no words of a throttle, which tell the seconds to wait: they differ at each try, and a
        // condition's message must not change while nothing changes.
        if self.status == 429 {
            return f.write_str(": it asks to slow down");
        }
        because(f, "", &self.message)
    }
}

impl fmt::Display for KubernetesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: ", self.operation)?;
        match &self.cause {
            KubernetesCause::Answer {
                status,
                reason,
                message,
            } => because(f, &format!("the API server answered {status} {reason}"), message),
            KubernetesCause::FieldsHeld(fields) => {
                for (index, held) in fields.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    let value = if held.empty { "an empty value" } else { "another value" };
                    write!(
                        f,
                        "{separator}field manager {:?} holds {} with {value}",
                        held.manager, held.field
                    )?;
                }
                f.write_str("; remove it there, or set conflictPolicy: Force to take it over")
            }
            KubernetesCause::NamespaceTerminating => f.write_str("the namespace is being deleted"),
            KubernetesCause::Transport(why) => because(f, "the API server could not be reached", why),
            KubernetesCause::Malformed(why) => because(f, "the API server's answer could not be used", why),
        }
    }
}

impl std::error::Error for KubernetesFault {}

/// What happened and why, when there are words for it: in one line, without what differs at each try.
fn because(f: &mut fmt::Formatter<'_>, what: &str, why: &str) -> fmt::Result {
    /// With these begins what Entra puts after its words, for a support case.
    const FOR_SUPPORT: [&str; 3] = ["Trace ID:", "Correlation ID:", "Timestamp:"];
    let lasting = FOR_SUPPORT
        .iter()
        .fold(why, |why, mark| why.split_once(mark).map_or(why, |(words, _)| words));
    let words: Vec<&str> = lasting.split_whitespace().collect();
    let separator = if words.is_empty() { "" } else { ": " };
    write!(f, "{}{separator}{}", what.trim_end(), words.join(" "))
}
