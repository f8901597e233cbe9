//! The alert rules as the chart renders them, tried by promtool with the tests beside this crate.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::rendered::{CHART, output};

const TESTS: &str = "crates/xtask/alerts.test.yaml";

/// What is wrong with the rules, or with their tests.
///
/// # Errors
/// When the chart cannot be rendered, or promtool cannot be run.
pub(crate) fn problems(root: &Path, helm: &Path, promtool: &Path) -> anyhow::Result<Vec<String>> {
    let tests = fs::read_to_string(root.join(TESTS)).with_context(|| format!("cannot read {TESTS}"))?;
    let rules = rules(root, helm)?;
    let mut problems = untested(&rules, &serde_yaml_ng::from_str(&tests)?);
    // promtool finds the rules beside their tests.
    let folder = root.join("target/alerts");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("rules.yaml"), serde_json::to_string_pretty(&rules)?)?;
    fs::write(folder.join("test.yaml"), tests)?;
    for (what, file) in [("check", "rules.yaml"), ("test", "test.yaml")] {
        let tried = Command::new(promtool)
            .args([what, "rules"])
            .arg(folder.join(file))
            .output()
            .with_context(|| format!("cannot run {}", promtool.display()))?;
        if !tried.status.success() {
            let said = [tried.stdout, tried.stderr].concat();
            problems.push(format!("promtool {what} rules:\n{}", String::from_utf8_lossy(&said)));
        }
    }
    Ok(problems)
}

/// What the PrometheusRule of the chart holds.
fn rules(root: &Path, helm: &Path) -> anyhow::Result<Value> {
    let rendered = output(
        Command::new(helm)
            .args(["template", "workload-identity-operator"])
            .arg(root.join(CHART))
            .arg("--values")
            .arg(root.join(CHART).join("ci/default-values.yaml"))
            .args(["--set", "prometheusRule.enabled=true"])
            .args(["--show-only", "templates/prometheusrule.yaml"]),
    )?;
    let rule = Value::deserialize(serde_yaml_ng::Deserializer::from_str(&rendered))?;
    ensure!(rule["spec"]["groups"].is_array(), "the chart renders no rules: {rule}");
    Ok(rule["spec"].clone())
}

/// Alerts of which no test sees that they fire, and those of which none sees that they stay silent.
fn untested(rules: &Value, tests: &Value) -> Vec<String> {
    let checks: Vec<&Value> = each(&tests["tests"])
        .flat_map(|test| each(&test["alert_rule_test"]))
        .collect();
    let seen = |fires: bool| -> BTreeSet<&str> {
        checks
            .iter()
            .filter(|check| each(&check["exp_alerts"]).next().is_some() == fires)
            .filter_map(|check| check["alertname"].as_str())
            .collect()
    };
    let (firing, silent) = (seen(true), seen(false));
    let alerts = each(&rules["groups"]).flat_map(|group| each(&group["rules"]));
    let names = alerts.filter_map(|rule| rule["alert"].as_str());
    names
        .filter(|name| !(firing.contains(name) && silent.contains(name)))
        .map(|name| format!("{TESTS} does not see {name} both fire and stay silent"))
        .collect()
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::untested;

    #[test]
    fn an_alert_that_is_only_seen_to_fire_is_told() {
        let rules = json!({"groups": [{"rules": [{"alert": "A"}, {"alert": "B"}, {"alert": "C"}]}]});
        let tests = json!({"tests": [{"alert_rule_test": [
            {"alertname": "A", "exp_alerts": [{}]},
            {"alertname": "A", "exp_alerts": []},
            {"alertname": "B", "exp_alerts": [{}]},
            {"alertname": "C"},
        ]}]});
        let told = untested(&rules, &tests);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains(" B ") && told[1].contains(" C "), "{told:?}");
    }
}
