//! The operator's rights in Azure: by its role assignments where Azure was asked, and else by what bindings say.

use std::collections::BTreeSet;

use kube::ResourceExt;
use wio_api::{ConditionType, Reason, WorkloadIdentityBinding};

use crate::output::shell;

use super::super::facts::{Facts, Looked, OwnRights, Unseen};
use super::super::finding::Verdict;
use super::super::own_roles::{Lack, OwnRole};
use super::super::words::{counted, some};

/// The parts of a binding that speak of Azure.
const PARTS: [ConditionType; 4] = [
    ConditionType::Ready,
    ConditionType::IdentityReady,
    ConditionType::FederatedCredentialsReady,
    ConditionType::RoleAssignmentsReady,
];
/// The most commands that assign roles: whoever ran them is told of the rest.
const AT_MOST: usize = 20;
/// What stands in the files of roles for the subscription.
const ANY_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

pub(super) fn rights(facts: &Facts) -> Looked<Verdict> {
    match &facts.azure.rights {
        Ok(rights) => Ok(by_roles(facts, rights)),
        Err(Unseen::Unknown(why) | Unseen::Nothing(why)) => by_bindings(facts, why),
    }
}

/// What Azure was asked for says.
fn by_roles(facts: &Facts, rights: &OwnRights) -> Verdict {
    let is_optional = |lack: &&Lack| lack.need.role.is_optional();
    let needed: Vec<&Lack> = rights.lacks.iter().filter(|lack| !is_optional(lack)).collect();
    let spared: Vec<String> = rights.lacks.iter().filter(is_optional).map(told).collect();
    if !needed.is_empty() {
        let says = format!(
            "principal {} lacks {} in Azure",
            rights.principal,
            counted(needed.len(), "role")
        );
        let mut verdict = Verdict::red(says).with_details(some(needed.iter().map(|lack| told(lack))));
        for command in commands(&needed, rights) {
            verdict = verdict.fix(command);
        }
        return verdict;
    }
    let own = facts.own_bindings().unwrap_or_default().into_iter();
    let refused = own.filter(|one| refusal(one).is_some());
    let refused: Vec<String> = refused.map(name).collect();
    let places = counted(rights.places, "place");
    let verdict = if refused.is_empty() {
        Verdict::green(format!("principal {} has what it needs at {places}", rights.principal))
    } else {
        Verdict::yellow(format!(
            "principal {} has the roles at {places}, and Azure refuses {}: an assignment takes up to ten minutes, and a condition may withhold it",
            rights.principal,
            counted(refused.len(), "binding")
        ))
        .with_details(some(refused))
        .fix("kubectl wib status --all-namespaces")
    };
    verdict.with_details(some(spared))
}

/// What bindings say, where Azure was not asked.
fn by_bindings(facts: &Facts, why: &str) -> Looked<Verdict> {
    let bindings = facts.own_bindings()?;
    let refused: Vec<String> = bindings
        .iter()
        .filter_map(|one| Some(format!("{}: {}", name(one), refusal(one)?)))
        .collect();
    if !refused.is_empty() {
        return Ok(Verdict::red(format!(
            "{} that Azure refuses the operator, by their status",
            match refused.len() {
                1 => "1 binding says".to_owned(),
                many => format!("{many} bindings say"),
            }
        ))
        .with_details(some(refused))
        .detail(why)
        .fix("kubectl wib doctor --azure")
        .fix("kubectl wib bootstrap"));
    }
    let ready = |one: &&&WorkloadIdentityBinding| is_ready(one);
    match (&facts.azure.rights, bindings.iter().filter(ready).count()) {
        (Err(Unseen::Unknown(why)), _) => Err(Unseen::Unknown(why.clone())),
        (_, 0) => Err(Unseen::Nothing(why.to_owned())),
        (_, ready) => Ok(Verdict::green(format!(
            "no binding says that Azure refuses the operator, and {} ready; {why}",
            if ready == 1 {
                "1 is".to_owned()
            } else {
                format!("{ready} are")
            }
        ))),
    }
}

/// The reason and the message where Azure refuses something for want of a right, as the operator last said it.
fn refusal(binding: &WorkloadIdentityBinding) -> Option<String> {
    let status = binding.status.as_ref()?;
    let reasons = [Reason::AuthorizationFailed, Reason::RoleAccessDenied].map(Reason::as_str);
    let mut conditions = PARTS.iter().filter_map(|part| status.condition(*part));
    let found = conditions.find(|one| reasons.contains(&one.reason.as_str()))?;
    Some(format!("{}: {}", found.reason, found.message))
}

fn is_ready(binding: &WorkloadIdentityBinding) -> bool {
    let status = binding.status.as_ref();
    let ready = status.and_then(|status| status.condition(ConditionType::Ready));
    ready.is_some_and(|one| one.status == "True")
}

fn name(binding: &WorkloadIdentityBinding) -> String {
    format!("{}/{}", binding.namespace().unwrap_or_default(), binding.name_any())
}

fn told(lack: &Lack) -> String {
    let may_not = lack.actions.join(", ");
    let spared = if lack.need.role.is_optional() {
        "; it works without, and reads far more"
    } else {
        ""
    };
    format!("at {}: {may_not}{spared}", lack.need.at)
}

/// What defines the roles that Azure does not know, and assigns them. What is at one place is not lacking at another for that.
fn commands(lacks: &[&Lack], rights: &OwnRights) -> Vec<String> {
    let undefined = lacks.iter().filter(|lack| !lack.is_defined);
    let undefined: BTreeSet<(OwnRole, String)> = undefined
        .map(|lack| {
            let subscription = lack.need.at.subscription();
            (
                lack.need.role,
                subscription.map_or_else(|| "SUBSCRIPTION".to_owned(), |id| id.to_string()),
            )
        })
        .collect();
    let define = undefined.iter().map(|(role, subscription)| {
        format!(
            "az role definition create --role-definition \"$(sed s/{ANY_SUBSCRIPTION}/{subscription}/ config/azure/roles/{}.json)\"",
            role.file()
        )
    });
    let assign = lacks.iter().filter_map(|lack| assign(lack, rights));
    define.chain(assign.take(AT_MOST)).collect()
}

fn assign(lack: &Lack, rights: &OwnRights) -> Option<String> {
    let role = lack.need.role.defined()?.name;
    let condition = if lack.need.role == OwnRole::RoleAssignments {
        let gives: Vec<String> = lack.need.gives.iter().map(ToString::to_string).collect();
        format!(
            " --condition-version 2.0 --condition \"$(sed 's/ROLES/{}/' config/azure/roles/role-assignments.condition)\"",
            gives.join(", ")
        )
    } else {
        String::new()
    };
    Some(format!(
        "az role assignment create --assignee-object-id {} --assignee-principal-type ServicePrincipal --role {} --scope {}{condition}",
        rights.principal,
        shell::word(&role),
        shell::word(lack.need.at.as_str())
    ))
}
