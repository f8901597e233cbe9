//! What of it is done: asked of the cluster, and of Azure with the caller's login. Reads alone.

use wio_azure::Azure;
use wio_core::fault::AzureFault;
use wio_core::names::{
    Audience, IdentityId, IdentityName, PrincipalId, ResourceGroupId, ResourceGroupName, SubscriptionId,
};
use wio_core::observed::ObservedCredential;

use crate::doctor::{Examination, Facts, Finding, Level, OwnRole, Unseen, lacks_at};
use crate::output::tree::{Mark, Node};
use crate::report::Looked;

use super::script::{Aks, Plan};

const IDENTITY: &str = "workload-identity-operator";
const SUBJECT: &str = "system:serviceaccount:workload-identity-system:workload-identity-operator";

/// A step, and whether it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) title: &'static str,
    pub(crate) found: Found,
}

/// What was found of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is done: this is there.
    Done(String),
    /// It is not done: this is missing.
    Missing(String),
    /// It could not be looked at.
    Unknown(String),
}

/// The checks of the doctor that tell of what the last commands make, and of what they rest on.
const IN_CLUSTER: [&str; 9] = [
    "issuer",
    "webhook",
    "definitions",
    "admission",
    "operator",
    "operator-identity",
    "operator-rights",
    "lease",
    "effective-policy",
];

/// The steps in the cluster.
pub(crate) fn in_cluster(plan: &Plan, facts: &Facts, examined: &Examination) -> Vec<Step> {
    let of_it = IN_CLUSTER
        .iter()
        .filter_map(|id| examined.checks.iter().find(|check| check.id == *id));
    let step = |check: &Finding| Step {
        title: check.title,
        found: match check.level {
            Level::Green | Level::Yellow => Found::Done(check.says.clone()),
            // What is not there cannot be looked at either.
            Level::Red | Level::NotLookedAt => Found::Missing(check.says.clone()),
            Level::Unknown => Found::Unknown(check.says.clone()),
        },
    };
    of_it.map(step).chain(named(plan, facts)).collect()
}

/// Whether the operator was told which cluster of AKS it is in.
fn named(plan: &Plan, facts: &Facts) -> Option<Step> {
    let Aks::Is(id) = &plan.aks else { return None };
    let found = match facts.named_cluster() {
        Ok(Some(named)) if named.parse().as_ref() == Ok(id) => Found::Done(named.to_owned()),
        Ok(Some(other)) => Found::Missing(format!("its settings name {other}")),
        Ok(None) | Err(Unseen::Nothing(_)) => Found::Missing("not there: azure.clusterId of the chart".to_owned()),
        Err(Unseen::Unknown(why)) => Found::Unknown(why),
    };
    Some(Step {
        title: "The cluster, in the operator's settings",
        found,
    })
}

/// The steps in Azure.
pub(crate) async fn in_azure(plan: &Plan, azure: Looked<&Azure>) -> Vec<Step> {
    let place = azure.and_then(|azure| Ok((azure, places(plan)?)));
    let (azure, (identity, group)) = match place {
        Ok(place) => place,
        Err(why) => {
            let found = Found::Unknown(why);
            let step = |title| Step {
                title,
                found: found.clone(),
            };
            return titles(plan).map(step).collect();
        }
    };
    let listed = azure.list_identities(&group).await;
    let of_group = listed
        .map(|_| Some(group.to_string()))
        .or_else(|unlisted| absent(&unlisted.fault));
    let view = azure.get_identity(&identity).await.map_err(|fault| told(&fault));
    let client_id = view
        .clone()
        .map(|view| view.map(|view| format!("client id {}", view.facts.client_id)));
    let credential = match &view {
        Ok(None) => Ok(None),
        Err(why) => Err(why.clone()),
        Ok(Some(_)) => azure
            .list_credentials(&identity)
            .await
            .map_err(|fault| told(&fault))
            .map(|all| trusted(&all, plan)),
    };
    let of_role = async |role_file, at: String| match &view {
        Ok(None) => Found::from(Ok(None)),
        Err(why) => Found::Unknown(why.clone()),
        Ok(Some(view)) => role(azure, role_file, &at, view.facts.principal_id).await,
    };
    let at_group = of_role(OwnRole::Identities, group.to_string()).await;
    let at_cluster = match &plan.aks {
        Aks::Is(id) => of_role(OwnRole::ClusterReader, id.to_string()).await,
        Aks::Not | Aks::Unsaid => Found::Unknown("say which cluster it is, with --cluster-id".to_owned()),
    };
    let found = [of_group, client_id, credential].map(Found::from);
    let found = found.into_iter().chain([at_group, at_cluster]);
    titles(plan)
        .zip(found)
        .map(|(title, found)| Step { title, found })
        .collect()
}

/// Of what is looked at: the last one is of AKS alone.
fn titles(plan: &Plan) -> impl Iterator<Item = &'static str> {
    let last = usize::from(plan.aks == Aks::Not);
    TITLES.into_iter().take(TITLES.len() - last)
}

const TITLES: [&str; 5] = [
    "The resource group of the identities of bindings",
    "The operator's own identity",
    "Its trust in the operator's service account",
    "Its role where the identities of bindings are",
    "Its role at the cluster, to protect the identities by which that acts",
];

fn places(plan: &Plan) -> Looked<(IdentityId, ResourceGroupId)> {
    let subscription = plan
        .subscription
        .as_ref()
        .ok_or("say which subscription, with --subscription")?;
    let subscription: SubscriptionId = subscription
        .parse()
        .map_err(|error| format!("--subscription: {error}"))?;
    let named = |name: &str| -> Looked<ResourceGroupName> { name.parse().map_err(|error| format!("{name}: {error}")) };
    let name: IdentityName = IDENTITY.parse().map_err(|error| format!("{IDENTITY}: {error}"))?;
    let group = |name| ResourceGroupId { subscription, name };
    let identity = IdentityId {
        group: group(named(&plan.operator_group)?),
        name,
    };
    Ok((identity, group(named(&plan.group)?)))
}

/// The credential by which Entra trusts the operator's tokens, compared as Entra compares.
fn trusted(all: &[ObservedCredential], plan: &Plan) -> Option<String> {
    let mut all = all.iter();
    let found = all.find(|one| {
        let audience = one.audiences.iter().any(|audience| audience == Audience::DEFAULT);
        one.issuer == plan.issuer && one.subject.as_deref() == Some(SUBJECT) && audience
    });
    found.map(|one| format!("federated credential {}", one.name))
}

/// What it may do at a place, if that is all that one of its roles allows.
async fn role(azure: &Azure, role: OwnRole, at: &str, principal: PrincipalId) -> Found {
    match lacks_at(azure, principal, role, at).await {
        Ok(lacks) if lacks.is_empty() => Found::Done(format!("it may do what it does at {at}")),
        Ok(lacks) => Found::Missing(format!("it may not {} at {at}", lacks.join(", "))),
        Err(why) => Found::Unknown(why.to_string()),
    }
}

fn told(fault: &AzureFault) -> String {
    fault.to_string()
}

/// Nothing, when that is what the answer means.
fn absent(fault: &AzureFault) -> Looked<Option<String>> {
    match &fault.cause {
        wio_core::fault::AzureCause::Answer(answer) if answer.status == 404 => Ok(None),
        _ => Err(told(fault)),
    }
}

/// The steps as people read them.
pub(crate) fn trees(azure: &[Step], cluster: &[Step]) -> [Node; 2] {
    let line = |step: &Step| match &step.found {
        Found::Done(what) => Node::new(Mark::Good, format!("{}: {what}", step.title)),
        Found::Missing(what) => Node::new(Mark::Bad, format!("{}: {what}", step.title)),
        Found::Unknown(why) => Node::new(Mark::Waiting, format!("{}: unknown: {why}", step.title)),
    };
    let tree = |title: &str, steps: &[Step]| Node::plain(title).with(steps.iter().map(line));
    [tree("In Azure", azure), tree("In the cluster", cluster)]
}

// === impl Found ===

impl From<Looked<Option<String>>> for Found {
    fn from(looked: Looked<Option<String>>) -> Self {
        match looked {
            Ok(Some(what)) => Self::Done(what),
            Ok(None) => Self::Missing("not there".to_owned()),
            Err(why) => Self::Unknown(why),
        }
    }
}
