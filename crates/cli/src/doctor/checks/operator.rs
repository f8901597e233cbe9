//! The operator as it is installed.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::facts::{Facts, Looked, OPERATOR, WATCHED, seen, version_of};
use super::super::finding::Verdict;
use super::super::words::{ago, counted, some, upgrade};

/// How often a lease may have run out since it was renewed before it is said that nobody leads.
const LEASES: i32 = 2;
const LEASE_SECONDS: i32 = 30;

pub(super) fn replicas(facts: &Facts) -> Looked<Verdict> {
    let found = seen(&facts.operator.deployments)?;
    let namespace = &facts.operator.namespace;
    let Some(deployment) = found.first() else {
        return Ok(outside(facts));
    };
    if let Some(second) = found.get(1) {
        let other = second.namespace().unwrap_or_default();
        return Ok(Verdict::red(format!(
            "two are installed, in namespaces {namespace} and {other}: each undoes what the other does"
        ))
        .fix(format!("helm list --namespace {other} --filter {OPERATOR}")));
    }
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = deployment
        .status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or_default();
    let says = format!("{ready} of {wanted} ready in namespace {namespace}");
    let name = deployment.name_any();
    Ok(match (wanted, ready) {
        (0, _) => Verdict::red(format!(
            "it was scaled to 0 in namespace {namespace}: nothing is done for any binding"
        ))
        .fix(format!(
            "kubectl scale deployment {name} --namespace {namespace} --replicas 2"
        )),
        (wanted, ready) if ready >= wanted => Verdict::green(says),
        (_, ready) => {
            let verdict = if ready == 0 {
                Verdict::red(says)
            } else {
                Verdict::yellow(says)
            };
            verdict
                .with_details(some(facts.operator.pods.iter().flatten().filter_map(why_not_ready)))
                .fix(format!(
                    "kubectl describe pods --namespace {namespace} --selector app.kubernetes.io/name={OPERATOR}"
                ))
                .fix(format!(
                    "kubectl logs deployment/{name} --namespace {namespace} --tail 50"
                ))
        }
    })
}

/// What is said where there is no Deployment: one may run elsewhere, as on a workstation, and be seen by its Lease alone.
fn outside(facts: &Facts) -> Verdict {
    let led = facts.operator.lease.as_ref().ok().and_then(Option::as_ref);
    match led.map(|lease| Led::of(lease, facts.there())) {
        Some(Led::Now { holder, age }) => Verdict::yellow(format!(
            "no Deployment of it is in the cluster; one runs elsewhere: {holder} renewed the Lease {} ago",
            ago(age)
        ))
        .fix("kubectl wib bootstrap"),
        _ => Verdict::red("no Deployment of it is in the cluster: nothing is done for any binding")
            .detail("one that runs elsewhere, as on a workstation, is not seen from here where it takes no part in an election")
            .fix("kubectl wib bootstrap"),
    }
}

/// Who leads, as a Lease says.
enum Led {
    /// Nobody: the last leader gave it back.
    GivenBack,
    /// Somebody who never renewed it.
    Never { holder: String },
    /// Nobody any more.
    Before {
        holder: String,
        renewed: Timestamp,
        age: SignedDuration,
    },
    /// Somebody.
    Now { holder: String, age: SignedDuration },
}

// === impl Led ===

impl Led {
    fn of(lease: &Lease, now: Timestamp) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        if holder.is_empty() {
            return Self::GivenBack;
        }
        let Some(renewed) = spec.renew_time else {
            return Self::Never { holder };
        };
        let age = now.duration_since(renewed.0);
        let duration = SignedDuration::from_secs(spec.lease_duration_seconds.unwrap_or(LEASE_SECONDS).into());
        if age > duration * LEASES {
            Self::Before {
                holder,
                renewed: renewed.0,
                age,
            }
        } else {
            Self::Now { holder, age }
        }
    }
}

fn why_not_ready(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let bad = conditions.find(|one| ["Ready", "PodScheduled"].contains(&one.type_.as_str()) && one.status != "True");
    let mut containers = status
        .container_statuses
        .iter()
        .flatten()
        .filter_map(|one| one.state.as_ref());
    let waiting = containers.find_map(|state| state.waiting.as_ref());
    let why = match (waiting, bad) {
        (Some(waiting), _) => [waiting.reason.clone(), waiting.message.clone()],
        (None, Some(condition)) => [condition.reason.clone(), condition.message.clone()],
        (None, None) => return None,
    };
    let why: Vec<String> = why.into_iter().flatten().collect();
    Some(format!("pod {}: {}", pod.name_any(), why.join(": ")))
}

pub(super) fn version(facts: &Facts) -> Looked<Verdict> {
    let deployment = facts.found_deployment()?;
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let image = pod
        .and_then(|pod| pod.containers.first()?.image.as_deref())
        .ok_or("it names no image")?;
    let label = deployment.labels().get("app.kubernetes.io/version");
    let plugin = env!("CARGO_PKG_VERSION");
    let version = version_of(image).map(|tag| tag.trim_start_matches('v'));
    let version = version
        .or(label.map(String::as_str))
        .ok_or("neither its image nor its labels tell a version")?;
    let release = |text: &str| text.split('-').next().map(str::to_owned);
    if let Some(label) = label.filter(|label| release(label) != release(version)) {
        return Ok(Verdict::yellow(format!(
            "the image is {version}, and what was installed around it is of {label}"
        ))
        .detail(format!("image {image}"))
        .fix(upgrade(&facts.operator.namespace)));
    }
    Ok(if release(version) == release(plugin) {
        Verdict::green(version)
    } else {
        Verdict::yellow(format!(
            "{version}, and this plugin is {plugin}: it may judge by other rules"
        ))
        .detail(format!("image {image}"))
        .fix(upgrade(&facts.operator.namespace))
    })
}

pub(super) fn disruptions(facts: &Facts) -> Looked<Verdict> {
    let deployment = facts.found_deployment()?;
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let budgets = seen(&facts.operator.budgets)?;
    Ok(if !budgets.is_empty() {
        Verdict::green("a PodDisruptionBudget lets one replica go at a time")
    } else if wanted < 2 {
        Verdict::yellow("one replica: nobody leads while it moves to another node")
            .fix(format!("{} --set replicas=2", upgrade(&facts.operator.namespace)))
    } else {
        Verdict::yellow("no PodDisruptionBudget: a drain may take all replicas at once").fix(format!(
            "kubectl apply --server-side --filename config/manager/pod_disruption_budget.yaml --namespace {}",
            facts.operator.namespace
        ))
    })
}

pub(super) fn lease(facts: &Facts) -> Looked<Verdict> {
    let namespace = &facts.operator.namespace;
    let look = format!("kubectl get lease {OPERATOR} --namespace {namespace} --output yaml");
    let logs = format!("kubectl logs --namespace {namespace} --selector app.kubernetes.io/name={OPERATOR} --tail 50");
    let Some(lease) = seen(&facts.operator.lease)? else {
        return Ok(Verdict::red(format!("there is no Lease {namespace}/{OPERATOR}: no replica ever led")).fix(logs));
    };
    Ok(match Led::of(lease, facts.there()) {
        Led::GivenBack => Verdict::red("nobody leads: the last leader gave the lease back")
            .fix(look)
            .fix(logs),
        Led::Never { holder } => Verdict::red(format!("{holder} holds the lease and never renewed it"))
            .fix(look)
            .fix(logs),
        Led::Before { holder, renewed, age } => Verdict::red(format!(
            "nobody leads: {holder} renewed the lease {} ago, at {}",
            ago(age),
            second(renewed)
        ))
        .fix(look)
        .fix(logs),
        Led::Now { holder, age } => Verdict::green(format!("{holder}, which renewed the lease {} ago", ago(age))),
    })
}

fn second(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

pub(super) fn rights(facts: &Facts) -> Looked<Verdict> {
    let lacking = seen(&facts.operator.lacks)?;
    let user = format!("system:serviceaccount:{}:{}", facts.operator.namespace, facts.account());
    Ok(if lacking.is_empty() {
        Verdict::green("the API server allows it what it does")
    } else {
        Verdict::red(format!("the API server refuses it {}", counted(lacking.len(), "thing")))
            .with_details(lacking.iter().map(|what| format!("{user} may not {what}")))
            .fix(
                match seen(&facts.operator.settings).map(|settings| settings.contains_key(WATCHED)) {
                    // The chart alone knows the namespaces: config would give it everything everywhere.
                    Ok(true) => upgrade(&facts.operator.namespace),
                    _ => "kubectl apply --server-side --kustomize config/rbac".to_owned(),
                },
            )
    })
}
