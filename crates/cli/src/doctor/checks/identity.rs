//! The operator's own identity: it signs in as every workload does.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use wio_api::keys;

use crate::output::shell;

use super::super::facts::{DEMANDED_CLIENT, Facts, GIVEN_CLIENT, Looked, Unseen, seen, variable};
use super::super::finding::Verdict;
use super::super::words::{some, upgrade};

const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// A pod that the webhook did not see has no token, and never takes the node's identity.
pub(super) fn identity(facts: &Facts) -> Looked<Verdict> {
    let deployment = facts.found_deployment()?;
    let namespace = &facts.operator.namespace;
    let settings = facts.operator.settings.as_ref();
    let demanded = settings.ok().and_then(|settings| settings.get(DEMANDED_CLIENT));
    let pods = seen(&facts.operator.pods)?;
    let living: Vec<&Pod> = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .collect();
    if living.is_empty() {
        return Err(Unseen::nothing("it has no pods"));
    }
    let anew = format!(
        "kubectl rollout restart deployment {} --namespace {namespace}",
        deployment.name_any()
    );
    if let Some(verdict) = bare(&living) {
        return Ok(verdict.fix(anew));
    }
    let Some(demanded) = demanded else {
        return Ok(match settings {
            Err(_) => Verdict::green(signs_in(living.len())),
            Ok(_) => Verdict::yellow("its settings name no client id, so nothing holds it to one identity")
                .detail(format!(
                    "{DEMANDED_CLIENT} is not set; the chart's value is azure.clientId"
                ))
                .fix(format!("{} --set azure.clientId=CLIENT_ID", upgrade(namespace))),
        });
    };
    let Some(verdict) = somebody_else(&living, demanded) else {
        return Ok(Verdict::green(format!(
            "{} as client id {demanded}",
            signs_in(living.len())
        )));
    };
    let annotate = format!(
        "kubectl annotate serviceaccount {} --namespace {namespace} --overwrite {}={}",
        facts.account(),
        keys::CLIENT_ID_ANNOTATION,
        shell::word(demanded)
    );
    Ok(verdict.fix(annotate).fix(anew))
}

/// What is said when some have no token.
fn bare(pods: &[&Pod]) -> Option<Verdict> {
    let bare = pods.iter().filter(|pod| variable(pod, TOKEN_FILE).is_none());
    let bare: Vec<String> = bare.map(|pod| format!("pod {}", pod.name_any())).collect();
    let have = match bare.len() {
        0 => return None,
        1 => "1 pod has".to_owned(),
        many => format!("{many} pods have"),
    };
    let says = format!("{have} no token: the pod webhook did not see it when it was created");
    Some(Verdict::red(says).with_details(some(bare)))
}

/// What is said when some are another identity than the settings demand.
fn somebody_else(pods: &[&Pod], demanded: &str) -> Option<Verdict> {
    let others = pods.iter().filter_map(|pod| {
        let given = variable(pod, GIVEN_CLIENT).unwrap_or("nobody");
        (!given.eq_ignore_ascii_case(demanded)).then(|| format!("pod {} is {given}", pod.name_any()))
    });
    let others: Vec<String> = others.collect();
    let says = format!("its settings say client id {demanded}, and its pods are somebody else");
    (!others.is_empty()).then(|| Verdict::red(says).with_details(some(others)))
}

fn signs_in(pods: usize) -> String {
    if pods == 1 {
        "its pod signs in".to_owned()
    } else {
        format!("its {pods} pods sign in")
    }
}
