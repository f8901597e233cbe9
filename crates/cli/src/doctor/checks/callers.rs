//! A: who calls the Kubernetes API.

use super::super::facts::{Facts, Looked, seen};
use super::super::finding::Verdict;
use super::super::words::{counted, some};

/// The group that no role limits.
const MASTERS: &str = "system:masters";

/// Without Entra everybody comes in by one certificate, or by what a file holds.
pub(super) fn entra(facts: &Facts) -> Looked<Verdict> {
    let cluster = seen(&facts.azure.cluster)?;
    Ok(match &cluster.properties.aad_profile {
        Some(profile) if profile.managed => Verdict::green("Entra integration is on"),
        Some(_) => Verdict::yellow("Entra integration is of the kind that AKS no longer supports")
            .fix(facts.aks_update("--enable-aad")),
        None => Verdict::yellow("there is no Entra integration: who is called is not who is known to Azure")
            .fix(facts.aks_update("--enable-aad")),
    })
}

pub(super) fn local_accounts(facts: &Facts) -> Looked<Verdict> {
    let cluster = seen(&facts.azure.cluster)?;
    Ok(if cluster.properties.disable_local_accounts {
        Verdict::green("they are off")
    } else {
        Verdict::yellow(
            "they are on: whoever has the administrator's certificate may do everything, and no log tells who it was",
        )
        .detail("turn them off when everybody can sign in by Entra")
        .fix(facts.aks_update("--disable-local-accounts"))
    })
}

/// Whoever such an issuer names may come in as the file of issuers says. The API server shows that file to nobody.
pub(super) fn other_issuers(facts: &Facts) -> Looked<Verdict> {
    let found = seen(&facts.other_issuers)?;
    let verdict = match (found.tried.len(), found.configured) {
        (0, false) => return Ok(Verdict::green("the API server's metrics tell of none")),
        (0, true) => Verdict::yellow("the API server has a file of them, and no token of any was tried yet"),
        (count, _) => Verdict::yellow(format!(
            "tokens of {} were tried: whoever they name may come in",
            counted(count, "other issuer")
        ))
        .with_details(some(found.tried.iter().map(|hash| format!("an issuer with {hash}")))),
    };
    let (group, name) = facts.aks_names();
    Ok(verdict
        .fix("kubectl get --raw /metrics | grep ^apiserver_authentication_")
        .fix(format!(
            "az aks jwtauthenticator list --resource-group {group} --cluster-name {name} --output table"
        )))
}

/// AKS gives its local administrator's certificate this group: it is one for all people, and no log tells who it was.
pub(super) fn caller(facts: &Facts) -> Looked<Verdict> {
    let caller = seen(&facts.caller)?;
    let name = &caller.name;
    Ok(if caller.groups.iter().any(|group| group == MASTERS) {
        Verdict::yellow(format!(
            "{name}, of group {MASTERS}: a local account, which no role limits and no log tells apart from others"
        ))
        .detail("on AKS: sign in by Entra instead, without --admin")
        .fix("az aks get-credentials --resource-group RESOURCE_GROUP --name CLUSTER --overwrite-existing")
    } else {
        Verdict::green(name)
    })
}
