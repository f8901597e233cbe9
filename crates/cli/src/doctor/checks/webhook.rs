//! E: the pod webhook, which puts tokens into pods.

use kube::ResourceExt;

use super::super::facts::{Facts, Looked, mutation, seen, version_of};
use super::super::finding::Verdict;
use super::super::words::some;

const ENABLE: &str = "--enable-oidc-issuer --enable-workload-identity";
const RESTART: &str = "kubectl rollout restart deployment azure-wi-webhook-controller-manager --namespace";

pub(super) fn configuration(facts: &Facts) -> Looked<Verdict> {
    let found = seen(&facts.webhook.configurations)?;
    let Some((configuration, webhook)) = found.first().and_then(|one| Some((one, mutation(one)?))) else {
        return Ok(Verdict::red("there is none: no pod gets a token, whatever bindings say")
            .detail("on AKS the first; elsewhere the second")
            .fix(facts.aks_update(ENABLE))
            .fix("helm install workload-identity-webhook workload-identity-webhook --repo https://azure.github.io/azure-workload-identity/charts --namespace azure-workload-identity-system --create-namespace --set azureTenantID=TENANT_ID"));
    };
    let name = configuration.name_any();
    let policy = webhook.failure_policy.as_deref().unwrap_or("Fail");
    let says = format!("{name}, failure policy {policy}");
    Ok(if policy == "Fail" {
        Verdict::green(says)
    } else {
        Verdict::yellow(format!(
            "{says}: while it is away pods start without a token, and stay so"
        ))
        .fix(format!("kubectl get mutatingwebhookconfiguration {name} --output yaml"))
    })
}

pub(super) fn pods(facts: &Facts) -> Looked<Verdict> {
    let ready = *seen(&facts.webhook.ready)?;
    let service = facts.webhook.configurations.iter().flatten().filter_map(mutation);
    let namespace = service
        .filter_map(|webhook| webhook.client_config.service.as_ref())
        .map(|one| one.namespace.as_str())
        .next();
    let namespace = namespace.unwrap_or("kube-system");
    Ok(match ready {
        0 => Verdict::red("none is ready: pods with the label cannot be created").fix(format!("{RESTART} {namespace}")),
        1 => Verdict::yellow("1 is ready: pods with the label cannot be created while it moves").fix(format!(
            "kubectl get pods --namespace {namespace} --selector azure-workload-identity.io/system=true"
        )),
        many => Verdict::green(format!("{many} are ready")),
    })
}

/// Since 1.0 the label on the pod decides; before, the one on the service account did, which nothing here sets.
pub(super) fn version(facts: &Facts) -> Looked<Verdict> {
    let images = seen(&facts.webhook.images)?;
    let mut versions: Vec<&str> = images.iter().filter_map(|image| version_of(image)).collect();
    versions.sort_unstable();
    versions.dedup();
    let old = versions
        .iter()
        .any(|version| version.trim_start_matches('v').starts_with("0."));
    Ok(match versions.as_slice() {
        [] => return Err("its pods tell no version".into()),
        _ if old => Verdict::red(format!(
            "{}: before 1.0 it looks for the label on service accounts",
            versions.join(", ")
        ))
        .fix(facts.aks_update(ENABLE)),
        [one] => Verdict::green(*one),
        several => Verdict::yellow(format!("several at once: {}", several.join(", ")))
            .with_details(some(images.iter().cloned()))
            .fix("kubectl get pods --all-namespaces --selector azure-workload-identity.io/system=true"),
    })
}
