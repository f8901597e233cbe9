//! E: workload identity as Azure has it.

use super::super::facts::{Facts, Looked, seen};
use super::super::finding::Verdict;
use super::super::words::{counted, some};

/// Azure and the API server may say different issuers while the one of a cluster changes.
pub(super) fn issuer(facts: &Facts) -> Looked<Verdict> {
    let profile = &seen(&facts.azure.cluster)?.properties.oidc_issuer_profile;
    if !profile.enabled {
        return Ok(Verdict::red("AKS does not publish it, so Entra cannot read its keys")
            .fix(facts.aks_update("--enable-oidc-issuer")));
    }
    let there = profile.issuer_url.as_deref().unwrap_or_default();
    let here = &seen(&facts.discovery)?.issuer;
    Ok(if there == here {
        Verdict::green("AKS publishes it, as the API server says it")
    } else {
        Verdict::red("AKS publishes another one than the API server says, and Entra compares byte for byte")
            .detail(format!("AKS: {there}"))
            .detail(format!("the API server: {here}"))
            .fix("kubectl get --raw /.well-known/openid-configuration")
    })
}

pub(super) fn workload_identity(facts: &Facts) -> Looked<Verdict> {
    let on = seen(&facts.azure.cluster)?
        .properties
        .security_profile
        .workload_identity
        .enabled;
    Ok(if on {
        Verdict::green("on: AKS runs the pod webhook")
    } else if facts.webhook.configurations.iter().flatten().next().is_some() {
        Verdict::green("off: the pod webhook is somebody's own")
    } else {
        Verdict::red("off, and there is no pod webhook of one's own")
            .fix(facts.aks_update("--enable-workload-identity"))
    })
}

/// Whoever may run as that service account is that identity, and no binding takes it away.
pub(super) fn strangers(facts: &Facts) -> Looked<Verdict> {
    let strangers = seen(&facts.azure.strangers)?;
    Ok(if strangers.is_empty() {
        Verdict::green("none on identities of bindings")
    } else {
        Verdict::yellow(format!("{} on identities of bindings, which nobody takes away", counted(strangers.len(), "credential")))
            .with_details(some(strangers.iter().cloned()))
            .fix("az identity federated-credential delete --resource-group RESOURCE_GROUP --identity-name IDENTITY --name CREDENTIAL --yes")
    })
}
