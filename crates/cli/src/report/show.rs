//! The report as a tree.

use wio_api::{Condition, IdentityOrigin, IdentityStatus, NoTokenReason, RestartResult, WorkloadsStatus};
use wio_core::status::misses_some;

use super::data::{Account, AccountState, Phase, PodReport, Report, Restarts, Role};
use crate::output::tree::{Mark, Node};

/// The tree of a report.
pub(crate) fn tree(report: &Report) -> Node {
    let mut parts: Vec<Node> = Vec::new();
    parts.extend(report.ready.iter().map(|ready| condition("Ready", ready)));
    parts.extend(report.waits_for.iter().map(|one| condition(&one.type_, one)));
    parts.extend(report.identity.as_ref().map(|one| identity(one, report)));
    parts.push(credentials(report));
    parts.extend((!report.roles.is_empty()).then(|| roles(&report.roles)));
    parts.push(accounts(&report.service_accounts));
    parts.extend(report.workloads.as_ref().map(workloads));
    parts.extend(report.restarts.as_ref().map(restarts));
    parts.extend(
        report
            .not_looked_at
            .iter()
            .map(|what| Node::new(Mark::Waiting, format!("not looked at: {what}"))),
    );
    let next = report.next_step.as_deref();
    let next = next.unwrap_or(if report.well {
        "nothing to do"
    } else {
        "nothing to do for what could be looked at"
    });
    parts.push(Node::plain(format!("Next step: {next}")));
    Node::new(mark(report), title(report)).with(parts)
}

fn mark(report: &Report) -> Mark {
    let stalled = report.ready.as_ref().is_some_and(|ready| ready.status == "False");
    match (report.well, report.phase) {
        (true, _) => Mark::Good,
        (false, _) if report.next_step.is_none() => Mark::Waiting,
        (false, Phase::Observed) if stalled || report.ready.as_ref().is_some_and(|ready| ready.status == "True") => {
            Mark::Bad
        }
        (false, _) => Mark::Waiting,
    }
}

fn title(report: &Report) -> String {
    let phase = match report.phase {
        Phase::Observed => "",
        Phase::NotObserved => " (not seen by the operator yet)",
        Phase::LeftAlone => " (left alone by the operator)",
        Phase::Suspended => " (suspended)",
        Phase::Deleting => " (being deleted)",
    };
    format!("WorkloadIdentityBinding {}/{}{phase}", report.namespace, report.name)
}

fn condition(name: &str, condition: &Condition) -> Node {
    let mark = match condition.status.as_str() {
        "True" => Mark::Good,
        "False" => Mark::Bad,
        _ => Mark::Waiting,
    };
    Node::new(mark, format!("{name}: {}: {}", condition.reason, condition.message))
}

fn identity(identity: &IdentityStatus, report: &Report) -> Node {
    let origin = match identity.origin {
        IdentityOrigin::Created => "made by the operator",
        IdentityOrigin::Adopted => "taken over by the operator",
        IdentityOrigin::Referenced => "somebody else's",
    };
    let line = |name: &str, value: &Option<String>| {
        let value = value.as_deref().unwrap_or("not known yet");
        Node::plain(format!("{name} {value}"))
    };
    let by = if report.authorized_by.is_empty() {
        "allowed by default".to_owned()
    } else {
        format!("allowed by {}", report.authorized_by.join(", "))
    };
    Node::new(
        Mark::of(identity.client_id.is_some()),
        format!("Identity {} ({origin}, {by})", identity.name),
    )
    .with([
        line("client id", &identity.client_id),
        line("principal id", &identity.principal_id),
        line("tenant id", &identity.tenant_id),
        Node::plain(identity.resource_id.clone()),
    ])
}

fn credentials(report: &Report) -> Node {
    let title = match &report.credential_usage {
        Some(usage) => format!(
            "Federated credentials: {} of {} used, {} of them this binding's",
            usage.ours + usage.foreign,
            usage.limit,
            usage.ours
        ),
        None => "Federated credentials".to_owned(),
    };
    let accounts = report.service_accounts.iter().map(|account| {
        let text = match (&account.credential, &account.subject) {
            (Some(name), Some(subject)) => {
                let audience = account.audience.as_deref().unwrap_or_default();
                format!("{name}: {subject}, audience {audience}")
            }
            (Some(name), None) => format!("{name}: somebody else's, for service account {}", account.name),
            (None, _) => format!("none for service account {}", account.name),
        };
        Node::new(Mark::of(account.credential.is_some()), text)
    });
    let issuer = report
        .issuer
        .iter()
        .map(|issuer| Node::plain(format!("issuer {issuer}")));
    let shared = &report.shares_identity_with;
    let shared = (!shared.is_empty()).then(|| Node::plain(format!("in the same identity: {}", shared.join(", "))));
    let whole = report
        .service_accounts
        .iter()
        .all(|account| account.credential.is_some());
    Node::new(Mark::of(whole), title).with(issuer.chain(accounts).chain(shared))
}

fn roles(roles: &[Role]) -> Node {
    let lines = roles.iter().map(|role| {
        let mark = Mark::of(role.assignment.is_some());
        Node::new(mark, format!("{} at {}", role.name, role.scope))
    });
    let whole = roles.iter().all(|role| role.assignment.is_some());
    Node::new(Mark::of(whole), "Roles").with(lines)
}

fn accounts(accounts: &[Account]) -> Node {
    let whole = accounts.iter().all(|account| account.state == AccountState::Annotated);
    Node::new(Mark::of(whole), "Service accounts").with(accounts.iter().map(account))
}

/// The pods as the operator saw them.
fn workloads(told: &WorkloadsStatus) -> Node {
    let lines = told.lacking.iter().map(|one| {
        let asks = one.reason != NoTokenReason::LabelMissing;
        let mark = if asks { Mark::Bad } else { Mark::Waiting };
        let text = format!(
            "{} of {}, first {}: {}",
            one.pods, one.owner, one.first_pod, one.message
        );
        Node::new(mark, text)
    });
    let title = format!(
        "Pods, as the operator saw them: {} of {} have their token",
        told.with_token, told.pods
    );
    Node::new(Mark::of(!misses_some(told)), title).with(lines)
}

/// What becomes of the owners of pods that the operator is to restart.
fn restarts(told: &Restarts) -> Node {
    const TITLE: &str = "Restarts, as spec.rollout asks";
    if let Some(why) = &told.unknown {
        return Node::new(Mark::Waiting, format!("{TITLE}: nothing is known of them: {why}"));
    }
    let lines = told.owners.iter().map(|one| {
        let (mark, word) = match one.result {
            RestartResult::Restarted => (Mark::Good, "restarted"),
            RestartResult::Restarting => (Mark::Waiting, "restarting"),
            RestartResult::Waiting => (Mark::Waiting, "waiting"),
            RestartResult::NotRestarted => (Mark::Bad, "not restarted"),
        };
        let at = one.restarted_at.as_ref().map(|at| format!(" at {}", at.0));
        let text = format!("{}: {word}{}: {}", one.owner, at.unwrap_or_default(), one.message);
        Node::new(mark, text)
    });
    let lines: Vec<Node> = lines.collect();
    if lines.is_empty() {
        return Node::plain(format!(
            "{TITLE}: nobody was restarted for this client id, and nobody waits for it"
        ));
    }
    Node::plain(TITLE).with(lines)
}

fn account(account: &Account) -> Node {
    let (mark, state) = match &account.state {
        AccountState::Annotated => (Mark::Good, "carries the client id".to_owned()),
        AccountState::OtherClientId(Some(other)) => (Mark::Bad, format!("carries another client id, {other}")),
        AccountState::OtherClientId(None) => (Mark::Bad, "carries no client id".to_owned()),
        AccountState::Missing => (Mark::Bad, "is not there".to_owned()),
        AccountState::Unknown => (Mark::Waiting, "is not known".to_owned()),
    };
    let pods: Vec<Node> = match &account.pods {
        Some(pods) if pods.is_empty() => vec![Node::plain("no pod runs as it")],
        Some(pods) => pods.iter().map(pod).collect(),
        None => Vec::new(),
    };
    Node::new(mark, format!("{} {state}", account.name)).with(pods)
}

fn pod(pod: &PodReport) -> Node {
    let (mark, text) = match (pod.has_token, &pod.why) {
        (Some(true), _) => (Mark::Good, "has its token".to_owned()),
        (Some(false), Some(why)) if pod.asks => (Mark::Bad, format!("has no token: {why}")),
        (Some(false), Some(why)) => (Mark::Waiting, format!("has no token: {why}")),
        _ => (
            Mark::Waiting,
            "is not judged before the identity has a client id".to_owned(),
        ),
    };
    Node::new(mark, format!("pod {} {text}", pod.name))
}
