//! Plans: a small world, and what happens in it and when.

use std::fmt;
use std::time::Duration;

/// What is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything random that is not drawn into the plan follows from it.
    pub seed: u64,
    /// How many namespaces there are.
    pub namespaces: usize,
    /// The bindings that acts create.
    pub bindings: Vec<Planned>,
    /// The first operator, and the second.
    pub operators: [Candidate; 2],
    /// What happens, in the order of time.
    pub acts: Vec<Timed>,
}

/// How an operator is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// By how many seconds its clock is wrong.
    pub skew: i64,
    /// How many seconds its lease lasts.
    pub lease: u64,
}

/// A binding that a plan creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The number of its namespace.
    pub namespace: usize,
    /// Whether it has the identity that others share; otherwise it manages its own.
    pub existing: bool,
    /// How many service accounts it begins with.
    pub accounts: usize,
    /// Whether it asks for a role.
    pub role: bool,
    /// What outlives it.
    pub outlives: Outlives,
    /// Whether somebody else made its first service account before.
    pub foreign: bool,
}

/// What is to outlive a binding, by its deletion policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlives {
    /// Nothing of it.
    Nothing,
    /// A managed identity.
    Identity,
    /// All of it.
    Everything,
}

/// An act at its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When, from the start.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Somebody creates the binding, unless it is there.
    Create(usize),
    /// Somebody deletes it.
    Delete(usize),
    /// Somebody adds a service account to its spec.
    AddAccount(usize),
    /// Somebody takes the last service account out of its spec.
    DropAccount(usize),
    /// Somebody suspends it.
    Suspend(usize),
    /// Somebody lets it go on.
    Resume(usize),
    /// Somebody deletes its first service account.
    LoseAccount(usize),
    /// Somebody writes another client id on its first service account.
    Claim(usize),
    /// Somebody takes that off again.
    Unclaim(usize),
    /// Somebody narrows the policy of the namespace to nothing.
    Narrow(usize),
    /// Somebody widens it again.
    Widen(usize),
    /// Somebody takes the label off the namespace by which the policy selects it.
    Unlabel(usize),
    /// Somebody puts it back.
    Label(usize),
    /// All policies are deleted.
    PoliciesVanish,
    /// They are back.
    PoliciesReturn,
    /// The API server says this issuer.
    Issuer(usize),
    /// Somebody deletes a federated credential of ours in Azure.
    LoseCredential,
    /// Somebody changes the subject of a federated credential of ours in Azure.
    EditCredential,
    /// Somebody deletes a managed identity of ours in Azure.
    LoseIdentity,
    /// An Azure Policy begins to modify the tags of identities.
    TagPolicy,
    /// A request to Azure goes wrong.
    Azure(AzureFault),
    /// Lists and GETs of Azure lag behind so far.
    Lag(Duration),
    /// A request to the API server goes wrong.
    Api(ApiFault),
    /// The watch of this resource never hears of the next change.
    LoseEvent(&'static str),
    /// The watches of this resource hear of nothing until the next release.
    HoldEvents(&'static str),
    /// They hear of it.
    ReleaseEvents(&'static str),
    /// All watches break.
    BreakWatches,
    /// All watches have to begin anew.
    Relist,
    /// The operator ends at once and starts again a little later.
    Crash,
    /// A second operator starts beside the first.
    Second,
    /// The second one ends.
    SecondEnds,
    /// The first operator is cut off from the API server.
    CutOff,
    /// It is not any more, and begins anew.
    Reconnect,
}

/// What goes wrong with a request to Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureFault {
    /// The method.
    pub method: &'static str,
    /// How many such requests pass first.
    pub skip: u32,
    /// Whether Azure carries it out all the same.
    pub executed: bool,
    /// What the operator meets.
    pub effect: AzureEffect,
}

/// What the operator meets instead of Azure's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AzureEffect {
    /// This status, with a code as Azure has it.
    Status(u16),
    /// No answer.
    Hang,
    /// The connection breaks.
    Drop,
    /// The answer comes so much later.
    Slow(Duration),
    /// No answer, and the request is carried out so much later.
    Late(Duration),
    /// The operator ends there, as by SIGKILL.
    Crash,
}

/// What goes wrong with a write to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiFault {
    /// How many writes pass first.
    pub skip: usize,
    /// Whether it is carried out all the same.
    pub executed: bool,
    /// What the operator meets.
    pub effect: ApiEffect,
}

/// What the operator meets instead of the API server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiEffect {
    /// This status.
    Status(u16),
    /// The connection breaks.
    Drop,
    /// No answer.
    Hang,
    /// The operator ends there.
    Crash,
}

// === impl Act ===

impl Act {
    /// The kind, for the table of what was drawn.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Azure(fault) => {
                let executed = if fault.executed { ", carried out" } else { "" };
                match fault.effect {
                    AzureEffect::Status(status) => format!("Azure answers {status}{executed}"),
                    AzureEffect::Hang => format!("Azure hangs{executed}"),
                    AzureEffect::Drop => format!("Azure's connection breaks{executed}"),
                    AzureEffect::Slow(_) => "Azure is slow".to_owned(),
                    AzureEffect::Late(_) => "a late write in Azure".to_owned(),
                    AzureEffect::Crash => format!("a crash at a call to Azure{executed}"),
                }
            }
            Self::Api(fault) => {
                let executed = if fault.executed { ", carried out" } else { "" };
                match fault.effect {
                    ApiEffect::Status(status) => format!("the API server answers {status}{executed}"),
                    ApiEffect::Drop => format!("the API server's connection breaks{executed}"),
                    ApiEffect::Hang => format!("the API server hangs{executed}"),
                    ApiEffect::Crash => format!("a crash at a write to the API server{executed}"),
                }
            }
            Self::Lag(_) => "lists and GETs lag".to_owned(),
            Self::LoseEvent(what) => format!("an event of {what} is lost"),
            Self::HoldEvents(what) => format!("events of {what} are held back"),
            other => {
                let text = format!("{other:?}");
                text.split('(').next().unwrap_or_default().to_owned()
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} namespaces", self.seed, self.namespaces)?;
        writeln!(f, "  operators: {:?}", self.operators)?;
        for (n, binding) in self.bindings.iter().enumerate() {
            writeln!(f, "  b{n}: {binding:?}")?;
        }
        for Timed { at, act } in &self.acts {
            writeln!(f, "  {:>8.1} s  {act:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
