//! Our custom resource definitions.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use serde_json::json;
use wio_api::{crd, effective_policy_crd, policy_crd};

use super::super::facts::{Facts, Looked, Unseen, seen};
use super::super::finding::Verdict;

const INSTALL: &str = "kubectl apply --server-side --force-conflicts --kustomize config/crd";
const FLUX: (&str, &str) = ("kustomize.toolkit.fluxcd.io/prune", "disabled");
const ARGO_CD: &str = "argocd.argoproj.io/sync-options";
const HELM: (&str, &str) = ("helm.sh/resource-policy", "keep");

/// Our definitions as this plugin knows them. To make them takes longer than to read them.
pub(in super::super) static OURS: LazyLock<[CustomResourceDefinition; 3]> =
    LazyLock::new(|| [crd(), policy_crd(), effective_policy_crd()]);

pub(super) fn there(facts: &Facts) -> Looked<Verdict> {
    let found = seen(&facts.definitions)?;
    let problems: Vec<String> = OURS.iter().filter_map(|ours| problem(ours, found)).collect();
    Ok(if problems.is_empty() {
        Verdict::green("all 3 are there and served")
    } else {
        Verdict::red("the cluster cannot hold what the operator works on")
            .with_details(problems)
            .fix(INSTALL)
    })
}

fn problem(ours: &CustomResourceDefinition, found: &[CustomResourceDefinition]) -> Option<String> {
    let name = ours.name_any();
    let Some(theirs) = found.iter().find(|one| one.name_any() == name) else {
        return Some(format!("{name} is not there"));
    };
    if theirs.metadata.deletion_timestamp.is_some() {
        return Some(format!("{name} is being deleted, and all its objects with it"));
    }
    let conditions = theirs
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut established = conditions.filter(|condition| condition.type_ == "Established");
    if !established.any(|condition| condition.status == "True") {
        return Some(format!("{name} is not established"));
    }
    let version = ours.spec.versions.first().map(|version| version.name.as_str())?;
    let served = theirs.spec.versions.iter().any(|one| one.name == version && one.served);
    (!served).then(|| format!("{name} does not serve {version}"))
}

/// The schema says what can be asked for: one of another version takes less, or drops what it does not know.
pub(super) fn version(facts: &Facts) -> Looked<Verdict> {
    let found = seen(&facts.definitions)?;
    let differ: Vec<String> = OURS
        .iter()
        .filter(|ours| {
            let theirs = found.iter().find(|one| one.name_any() == ours.name_any());
            theirs.is_some_and(|theirs| schemas(theirs) != schemas(ours))
        })
        .map(ResourceExt::name_any)
        .collect();
    let plugin = env!("CARGO_PKG_VERSION");
    if found.is_empty() {
        return Err(Unseen::nothing("there is none"));
    }
    Ok(if differ.is_empty() {
        Verdict::green(format!("as in {plugin}"))
    } else {
        Verdict::yellow(format!("not those of {plugin}, which this plugin is of"))
            .with_details(differ)
            .fix(INSTALL)
    })
}

fn schemas(definition: &CustomResourceDefinition) -> Vec<serde_json::Value> {
    let versions = definition.spec.versions.iter();
    versions.map(|version| json!([version.name, version.schema])).collect()
}

/// With a definition every object of it goes, and with every binding its identity.
pub(super) fn kept(facts: &Facts) -> Looked<Verdict> {
    let found = seen(&facts.definitions)?;
    let mut verdict = Verdict::green("neither Flux nor Argo CD nor Helm takes them away with it");
    for one in found {
        let set = missing(one);
        if set.is_empty() {
            continue;
        }
        let name = one.name_any();
        if verdict.fix.is_empty() {
            verdict =
                Verdict::yellow("whoever takes the operator away may take every binding and its identity with it");
        }
        verdict = verdict
            .detail(format!("{name} lacks {}", set.join(" and ")))
            .fix(format!("kubectl annotate crd {name} --overwrite {}", set.join(" ")));
    }
    if found.is_empty() {
        Err(Unseen::nothing("there is none"))
    } else {
        Ok(verdict)
    }
}

/// The annotations that it needs and lacks.
fn missing(definition: &CustomResourceDefinition) -> Vec<String> {
    let is = |key: &str, value: &str| definition.annotations().get(key).is_some_and(|one| one == value);
    let options = definition
        .annotations()
        .get(ARGO_CD)
        .map(String::as_str)
        .unwrap_or_default();
    let kept: Vec<&str> = options.split(',').map(str::trim).collect();
    let mut missing = Vec::new();
    if !is(FLUX.0, FLUX.1) {
        missing.push(format!("{}={}", FLUX.0, FLUX.1));
    }
    if !["Prune=false", "Delete=false"]
        .iter()
        .all(|option| kept.contains(option))
    {
        let others = kept
            .iter()
            .filter(|option| !option.is_empty() && !option.starts_with("Prune=") && !option.starts_with("Delete="));
        let all: Vec<&str> = others.copied().chain(["Prune=false", "Delete=false"]).collect();
        missing.push(format!("{ARGO_CD}={}", crate::output::shell::word(&all.join(","))));
    }
    let by_helm = definition
        .labels()
        .get("app.kubernetes.io/managed-by")
        .is_some_and(|by| by == "Helm");
    if by_helm && !is(HELM.0, HELM.1) {
        missing.push(format!("{}={}", HELM.0, HELM.1));
    }
    missing
}
