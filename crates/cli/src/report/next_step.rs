//! The one next step of a person: the first thing that stands between the pods and their tokens.

use wio_api::{Condition, Reason, WorkloadsStatus};
use wio_core::active_namespaces::left_alone;
use wio_core::reasons::{Kind, facts};
use wio_core::status::misses_some;
use wio_core::workloads::is_missed;

use super::data::{Account, AccountState, Phase, Report};

/// What to do next; none when there is nothing to do.
pub(crate) fn next_step(report: &Report) -> Option<String> {
    let by_pods = || report.workloads.as_ref().and_then(of_workloads);
    by_phase(report)
        .or_else(|| report.service_accounts.iter().find_map(of_account))
        .or_else(by_pods)
}

/// By what the operator saw.
fn of_workloads(told: &WorkloadsStatus) -> Option<String> {
    let first = told.lacking.first().filter(|_| misses_some(told))?;
    Some(format!("pod {} of {}: {}", first.first_pod, first.owner, first.message))
}

fn by_phase(report: &Report) -> Option<String> {
    let name = format!("{} -n {}", report.name, report.namespace);
    match (report.phase, &report.ready) {
        (Phase::LeftAlone, _) => Some(format!(
            "{}; whoever installed it can change that",
            left_alone(&report.namespace)
        )),
        (Phase::Suspended, _) => Some(format!("kubectl wib resume {name}")),
        (Phase::NotObserved, None) => Some(
            "the operator has not seen it: wait some seconds; if that does not end, see whether the operator runs"
                .to_owned(),
        ),
        (Phase::NotObserved, Some(_)) => {
            Some("the operator has not seen the last change yet: wait some seconds".to_owned())
        }
        (Phase::Deleting, Some(ready)) => Some(format!("it is being deleted: {}", ready.message)),
        (Phase::Deleting, None) => Some("it is being deleted".to_owned()),
        (Phase::Observed, Some(ready)) if ready.status == "True" => None,
        (Phase::Observed, Some(ready)) => Some(of_condition(ready)),
        (Phase::Observed, None) => Some("the operator has not judged it yet: wait some seconds".to_owned()),
    }
}

/// What the table of reasons says, or else the message, which tells the way out itself.
fn of_condition(ready: &Condition) -> String {
    let reason = Reason::ALL.iter().find(|reason| reason.as_str() == ready.reason);
    let Some(facts) = reason.map(|reason| facts(*reason)) else {
        return ready.message.clone();
    };
    let waits = matches!(facts.kind, Kind::Retry | Kind::Wait);
    match facts.next_step {
        Some(step) => step.to_owned(),
        None if waits => format!("wait: {}", ready.message),
        None => ready.message.clone(),
    }
}

fn of_account(account: &Account) -> Option<String> {
    let name = &account.name;
    match &account.state {
        AccountState::Missing => {
            return Some(format!(
                "service account {name} is gone: wait some seconds until the operator has seen that"
            ));
        }
        AccountState::OtherClientId(_) => {
            return Some(format!(
                "somebody changes service account {name}, or did a moment ago: wait some seconds"
            ));
        }
        AccountState::Annotated | AccountState::Unknown => {}
    }
    let pods = || account.pods.iter().flatten();
    let somebody_has = pods().any(|pod| pod.has_token == Some(true));
    let mut without = pods().filter(|pod| pod.has_token == Some(false) && is_missed(pod.asks, somebody_has));
    let first = without.next()?;
    let others = match without.count() {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    let (why, step) = (first.why.as_deref()?, first.next_step.as_deref()?);
    Some(format!("pod {}{others}: {why}; {step}", first.name))
}
