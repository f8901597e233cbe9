//! Plans: a small world, and what happens in it and when.

use std::collections::BTreeSet;
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
    /// What both were told.
    pub setup: Setup,
    /// What happens, in the order of time.
    pub acts: Vec<Timed>,
    /// When all faults end.
    pub faults_end: Duration,
}

/// How an operator is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// By how many seconds its clock is wrong.
    pub skew: i64,
    /// How many seconds its lease lasts.
    pub lease: u64,
}

/// What the operators of a plan were told at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Whether they look at pods.
    pub workloads: bool,
    /// Whether they restart owners of pods.
    pub rollouts: bool,
    /// Whether they know which cluster is theirs, and read by which identities it acts.
    pub cluster: bool,
}

/// A binding that a plan creates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is drawn for itself")]
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
    /// Whether it asks for an identity by which the cluster itself acts.
    pub barred: bool,
    /// What else it asks for.
    pub asks: BTreeSet<Asked>,
}

/// What a binding may ask for beside its trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// That its identity's ids are exported.
    Export,
    /// That its readiness is proven.
    Proof,
    /// That owners of its pods are restarted.
    Restart,
    /// That its role holds under a condition.
    Condition,
}

/// What makes pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A Deployment, by its ReplicaSet.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
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

/// Pods that somebody runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// What makes them.
    pub maker: Maker,
    /// How many.
    pub replicas: usize,
    /// How long a rollout of them takes.
    pub takes: Duration,
    /// Whether they never get a client id, however often they are made anew.
    pub hopeless: bool,
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
    /// Somebody has it ask for this too.
    Ask(usize, Asked),
    /// Somebody has it ask for this no more.
    Unask(usize, Asked),
    /// Somebody has it export into the ConfigMap of another one.
    ExportInto(usize, usize),
    /// Somebody makes a ConfigMap of the name that it exports into, unless there is one.
    MakeMap(usize),
    /// Somebody changes an id in the ConfigMap of that name.
    EditMap(usize),
    /// Somebody deletes the ConfigMap of that name.
    LoseMap(usize),
    /// Somebody deletes the ConfigMap of that name that he made.
    ReleaseMap(usize),
    /// Somebody runs pods of its first service account.
    Deploy(usize, Deployed),
    /// Somebody deletes what makes these pods, and they go.
    Undeploy(usize),
    /// A pod of its first service account is made anew by what made it.
    LosePod(usize),
    /// Somebody takes the mark of a restart off again.
    Unmark(usize),
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
    /// Entra cannot reach the issuers any more.
    Withdraw,
    /// It can.
    Publish,
    /// Entra hears so much later of federated credentials.
    Unheard(Duration),
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
    /// Entra refuses the exchange.
    Refused,
    /// The operator ends there, as by SIGKILL.
    Crash,
}

/// With which requests to the API server something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Struck {
    /// Writes.
    Writes,
    /// Lists of pods.
    Pods,
    /// Reads and writes of what makes pods.
    Makers,
    /// Writes of what makes pods: restarts.
    Restarts,
    /// Requests for tokens of service accounts.
    Tokens,
    /// Reads and writes of ConfigMaps.
    ConfigMaps,
}

/// What goes wrong with a request to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiFault {
    /// With which.
    pub struck: Struck,
    /// How many such requests pass first.
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

// === impl Plan, impl Struck, impl Act ===

impl Plan {
    /// Leaves only these acts, by their numbers.
    pub fn keep(&mut self, acts: &[usize]) {
        let mut number = 0..;
        self.acts.retain(|_| number.next().is_some_and(|n| acts.contains(&n)));
    }
}

impl Struck {
    const fn words(self) -> &'static str {
        match self {
            Self::Writes => "a write",
            Self::Pods => "a list of pods",
            Self::Makers => "what makes pods",
            Self::Restarts => "a restart",
            Self::Tokens => "a request for a token",
            Self::ConfigMaps => "a ConfigMap",
        }
    }
}

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
                    AzureEffect::Refused => "Entra refuses an exchange".to_owned(),
                    AzureEffect::Crash => format!("a crash at a call to Azure{executed}"),
                }
            }
            Self::Api(fault) => {
                let executed = if fault.executed { ", carried out" } else { "" };
                let what = fault.struck.words();
                match fault.effect {
                    ApiEffect::Status(status) => format!("the API server answers {status} to {what}{executed}"),
                    ApiEffect::Drop => format!("the API server's connection breaks at {what}{executed}"),
                    ApiEffect::Hang => format!("the API server hangs at {what}{executed}"),
                    ApiEffect::Crash => format!("a crash at {what}{executed}"),
                }
            }
            Self::Lag(_) => "lists and GETs lag".to_owned(),
            Self::Ask(_, what) => format!("Ask {what:?}"),
            Self::Unask(_, what) => format!("Unask {what:?}"),
            Self::Deploy(_, what) => format!("Deploy {:?}", what.maker),
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
        writeln!(f, "  operators: {:?}, {:?}", self.operators, self.setup)?;
        for (n, binding) in self.bindings.iter().enumerate() {
            writeln!(f, "  b{n}: {binding:?}")?;
        }
        for Timed { at, act } in &self.acts {
            writeln!(f, "  {:>8.1} s  {act:?}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
