//! What of it is done: asked of the cluster, and of Azure with the caller's login. Reads alone.

use wio_azure::Azure;
use wio_core::fault::AzureFault;
use wio_core::names::{
    Audience, IdentityId, IdentityName, PrincipalId, ResourceGroupId, ResourceGroupName, Scope, SubscriptionId,
};
use wio_core::observed::ObservedCredential;

use crate::doctor::{Examination, Finding, Level};
use crate::output::tree::{Mark, Node};
use crate::report::Looked;

use super::script::Plan;

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
pub(crate) fn in_cluster(examined: &Examination) -> Vec<Step> {
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
    of_it.map(step).collect()
}

/// The steps in Azure.
pub(crate) async fn in_azure(plan: &Plan, azure: Looked<&Azure>) -> Vec<Step> {
    let place = azure.and_then(|azure| Ok((azure, places(plan)?)));
    let (azure, (identity, group)) = match place {
        Ok(place) => place,
        Err(why) => {
            let found = Found::Unknown(why);
            return TITLES
                .map(|title| Step {
                    title,
                    found: found.clone(),
                })
                .into();
        }
    };
    let listed = azure.list_identities(&group).await;
    let of_group = listed.map(|_| Some(group.to_string())).or_else(|fault| absent(&fault));
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
    let role = match &view {
        Ok(None) => Ok(None),
        Err(why) => Err(why.clone()),
        Ok(Some(view)) => roles(azure, &group, view.facts.principal_id).await,
    };
    let found = [of_group, client_id, credential, role];
    TITLES
        .into_iter()
        .zip(found)
        .map(|(title, found)| Step {
            title,
            found: Found::from(found),
        })
        .collect()
}

const TITLES: [&str; 4] = [
    "The resource group of the identities of bindings",
    "The operator's own identity",
    "Its trust in the operator's service account",
    "Its role where the identities of bindings are",
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

async fn roles(azure: &Azure, group: &ResourceGroupId, principal: PrincipalId) -> Looked<Option<String>> {
    let scope: Scope = group.to_string().parse().map_err(|error| format!("{group}: {error}"))?;
    let listed = azure
        .list_role_assignments(&scope, principal)
        .await
        .map_err(|fault| told(&fault))?;
    let held = listed
        .iter()
        .filter(|one| scope.to_string().to_lowercase().starts_with(&one.scope.to_lowercase()));
    let roles: Vec<String> = held.map(|one| format!("role {}", one.definition)).collect();
    Ok((!roles.is_empty()).then(|| roles.join(", ")))
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
