//! What `config/default` and the chart install, rendered by kubectl and Helm and compared: where they overlap they agree.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use similar::TextDiff;

use crate::remote_base;

pub(crate) const CHART: &str = "charts/workload-identity-operator";
const CONFIG: &str = "config/default";
/// The example of an overlay, with settings and a namespace of its own.
pub(crate) const OVERLAY: &str = "config/overlay";
pub(crate) const NAMESPACE: &str = "workload-identity-system";

/// Objects by kind and name.
type Objects = BTreeMap<String, Value>;

/// Where the two differ, each as a message with a diff, and what does not reach all of it from an overlay.
///
/// # Errors
/// When one of them cannot be rendered.
pub(crate) fn differences(root: &Path, kubectl: &Path, helm: &Path) -> anyhow::Result<Vec<String>> {
    let config = objects(&output(Command::new(kubectl).arg("kustomize").arg(root.join(CONFIG)))?)?;
    let values = chart_values(&config)?;
    let chart = objects(&output(
        Command::new(helm)
            .args(["template", "workload-identity-operator"])
            .arg(root.join(CHART))
            .args(["--namespace", NAMESPACE, "--set-json"])
            .arg(format!("azure={values}")),
    )?)?;
    let mut problems = compare(&config, &chart);
    let overlay = output(Command::new(kubectl).arg("kustomize").arg(root.join(OVERLAY)))?;
    problems.extend(unreached(&overlay)?);
    problems.extend(remote_base::difference(root, kubectl, &overlay)?);
    Ok(problems)
}

/// What of an overlay's settings does not reach everything: its client id the service account, its namespace all that names one.
fn unreached(overlay: &str) -> anyhow::Result<Vec<String>> {
    let objects = objects(overlay)?;
    let object = |name: &str| objects.get(name).with_context(|| format!("{OVERLAY} has no {name}"));
    let settings = object(&format!("ConfigMap {SETTINGS}"))?;
    let account = object("ServiceAccount workload-identity-operator")?;
    let mut problems = Vec::new();
    if account["metadata"]["annotations"]["azure.workload.identity/client-id"] != settings["data"]["WIO_CLIENT_ID"] {
        problems.push(format!(
            "{OVERLAY}: the client id does not reach the service account: {account}"
        ));
    }
    for (name, object) in &objects {
        if object.to_string().contains(NAMESPACE) {
            problems.push(format!("{OVERLAY}: its namespace does not reach {name}: {object}"));
        }
    }
    Ok(problems)
}

pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn objects(yaml: &str) -> anyhow::Result<Objects> {
    let mut objects = Objects::new();
    for document in serde_yaml_ng::Deserializer::from_str(yaml) {
        let object = Value::deserialize(document)?;
        let (Some(kind), Some(name)) = (object["kind"].as_str(), object["metadata"]["name"].as_str()) else {
            continue;
        };
        // What Helm alone runs.
        if object["metadata"]["annotations"]["helm.sh/hook"].is_string() {
            continue;
        }
        objects.insert(format!("{kind} {}", without_hash(name)), object);
    }
    Ok(objects)
}

/// A name without the hash that kustomize puts behind the names of what it generates.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((before, hash)) if before == SETTINGS && hash.len() == 10 => before,
        _ => name,
    }
}

const SETTINGS: &str = "workload-identity-operator-settings";

/// The chart's values that mean what `config` holds.
fn chart_values(config: &Objects) -> anyhow::Result<Value> {
    let settings = &config
        .get(&format!("ConfigMap {SETTINGS}"))
        .context("config has no settings")?["data"];
    let account = config
        .get("ServiceAccount workload-identity-operator")
        .context("config has no service account")?;
    Ok(json!({
        "subscriptionId": settings["AZURE_SUBSCRIPTION_ID"],
        "resourceGroup": settings["WIO_RESOURCE_GROUP"],
        "location": settings["WIO_LOCATION"],
        "clientId": account["metadata"]["annotations"]["azure.workload.identity/client-id"],
    }))
}

fn compare(config: &Objects, chart: &Objects) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, object) in config {
        match chart.get(name) {
            // Helm makes the namespace itself, with --create-namespace.
            None if name.starts_with("Namespace ") => {}
            None => problems.push(format!("{name} is in {CONFIG} and not in {CHART}")),
            Some(other) => problems.extend(difference(name, &essence(object), &essence(other))),
        }
    }
    for name in chart.keys().filter(|name| !config.contains_key(*name)) {
        problems.push(format!("{name} is in {CHART} and not in {CONFIG}"));
    }
    problems
}

fn difference(name: &str, config: &Value, chart: &Value) -> Option<String> {
    if config == chart {
        return None;
    }
    let text = |object: &Value| serde_json::to_string_pretty(object).unwrap_or_default() + "\n";
    let (config, chart) = (text(config), text(chart));
    let diff = TextDiff::from_lines(&config, &chart);
    Some(format!(
        "{name} differs:\n{}",
        diff.unified_diff().header(CONFIG, CHART)
    ))
}

/// What an object does: without the labels and annotations with which each tool marks what it installs, and without the
/// hash in the name of the settings, for which the chart has a checksum.
fn essence(object: &Value) -> Value {
    const TOOLS: [&str; 5] = [
        "app.kubernetes.io/instance",
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/version",
        "helm.sh/",
        "checksum/",
    ];
    match object {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !TOOLS.iter().any(|tool| key.starts_with(tool)))
            .map(|(key, value)| (key.clone(), essence(value)))
            .filter(|(key, value)| !(["annotations", "labels"].contains(&key.as_str()) && *value == json!({})))
            .collect(),
        Value::Array(items) => items.iter().map(essence).collect(),
        Value::String(text) => json!(without_hash(text)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG_MAP: &str =
        "kind: ConfigMap\nmetadata:\n  name: workload-identity-operator-settings-k2t8m9d5fh\ndata: {A: b}\n";

    #[test]
    fn what_marks_the_tool_makes_no_difference() {
        let config = objects(CONFIG_MAP).unwrap();
        let chart = objects(
            "kind: ConfigMap\nmetadata:\n  name: workload-identity-operator-settings\n  labels: {helm.sh/chart: x, app.kubernetes.io/managed-by: Helm}\ndata: {A: b}\n",
        )
        .unwrap();
        assert_eq!(compare(&config, &chart), Vec::<String>::new());
    }

    #[test]
    fn another_value_is_shown() {
        let config = objects(CONFIG_MAP).unwrap();
        let chart = objects(&CONFIG_MAP.replace("A: b", "A: c")).unwrap();
        let problems = compare(&config, &chart);
        assert!(
            matches!(problems.as_slice(), [one] if one.contains("-    \"A\": \"b\"\n+    \"A\": \"c\"")),
            "{problems:?}"
        );
    }

    /// An overlay's client id did not reach the service account, so that the operator signed in as whom the base named.
    #[test]
    fn what_an_overlay_does_not_reach_is_named() {
        let overlay = |account: &str, namespace: &str| {
            let settings = CONFIG_MAP.replace("A: b", "WIO_CLIENT_ID: mine");
            unreached(&format!(
                "{settings}---\nkind: ServiceAccount\nmetadata:\n  name: workload-identity-operator\n  namespace: {namespace}\n  \
                 annotations: {{azure.workload.identity/client-id: {account}}}\n"
            ))
            .unwrap()
        };
        assert_eq!(overlay("mine", "platform"), Vec::<String>::new());
        assert!(overlay("base", "platform")[0].contains("client id"));
        assert!(overlay("mine", NAMESPACE)[0].contains("does not reach ServiceAccount"));
    }

    #[test]
    fn an_object_that_only_one_installs_is_named() {
        let one = objects(CONFIG_MAP).unwrap();
        let none = Objects::new();
        assert!(compare(&one, &none)[0].contains("not in charts/"));
        assert!(compare(&none, &one)[0].contains("not in config/"));
    }
}
