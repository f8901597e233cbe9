//! The manifests that are written by hand.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use wio_api::{Reason, WorkloadIdentityBinding, WorkloadIdentityPolicy};
use wio_core::config::LOCKED_ROLES;
use wio_core::policy::Policies;
use wio_core::reasons::{Kind, facts};

use crate::{azure, built_in_roles};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words in a text that look like settings of the operator.
fn settings(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.starts_with("WIO_") || word.starts_with("AZURE_SUBSCRIPTION"))
        .collect()
}

#[test]
fn the_chart_and_config_set_what_the_operator_reads() {
    let operator = read("crates/operator/src/arguments.rs");
    let mut readable = settings(&operator);
    // The Deployment names it, by its own namespace.
    readable.remove("WIO_LEASE_NAMESPACE");
    // Tests alone look more often than once a minute.
    readable.remove("WIO_TEST_PACE");
    let chart = read("charts/workload-identity-operator/templates/settings.yaml");
    assert_eq!(settings(&chart), readable);
    let config = read("config/settings/settings.env");
    assert!(settings(&config).is_subset(&readable), "{config}");
}

#[test]
fn a_typo_in_the_charts_values_is_refused_at_every_level() {
    fn open(path: &str, schema: &Value, found: &mut Vec<String>) {
        if schema["properties"].is_object() && schema["additionalProperties"] != false {
            found.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            open(&format!("{path}.{name}"), property, found);
        }
        if schema["items"].is_object() {
            open(&format!("{path}[]"), &schema["items"], found);
        }
    }
    let schema: Value = serde_json::from_str(&read("charts/workload-identity-operator/values.schema.json")).unwrap();
    let mut found = Vec::new();
    open("", &schema, &mut found);
    // Helm hands it to every part of a larger chart, with keys that are for others.
    assert_eq!(found, [".global"]);
}

#[test]
fn every_value_of_the_chart_is_in_its_schema() {
    fn unknown(path: &str, value: &Value, schema: &Value, found: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            match schema["properties"].get(name) {
                Some(property) => unknown(&path, value, property, found),
                None if schema["properties"].is_object() => found.push(path),
                None => {}
            }
        }
    }
    let chart = "charts/workload-identity-operator";
    let values: Value = serde_yaml_ng::from_str(&read(&format!("{chart}/values.yaml"))).unwrap();
    let schema: Value = serde_json::from_str(&read(&format!("{chart}/values.schema.json"))).unwrap();
    let mut found = Vec::new();
    unknown("", &values, &schema, &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_value_of_the_charts_schema_is_described() {
    fn silent(path: &str, schema: &Value, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if !property["description"].is_string() {
                found.push(path.clone());
            }
            silent(&path, property, found);
        }
    }
    let schema: Value = serde_json::from_str(&read("charts/workload-identity-operator/values.schema.json")).unwrap();
    let mut found = Vec::new();
    silent("", &schema, &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_samples_are_bindings_without_unknown_fields() {
    for sample in [
        "config/samples/bindings/orders.yaml",
        "config/samples/bindings/existing.yaml",
        "config/samples/proven/reports.yaml",
    ] {
        let mut bindings = 0;
        for document in serde_yaml_ng::Deserializer::from_str(&read(sample)) {
            let object = Value::deserialize(document).unwrap();
            if object["kind"] == "WorkloadIdentityBinding" {
                let binding: WorkloadIdentityBinding = serde_json::from_value(object.clone()).unwrap();
                assert_subset(&object, &serde_json::to_value(binding).unwrap());
                bindings += 1;
            }
        }
        assert_eq!(bindings, 1, "{sample}");
    }
}

#[test]
fn the_sample_policies_grant_all_that_they_say() {
    let mut policies: Vec<WorkloadIdentityPolicy> = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&read("config/samples/policies/policy.yaml")) {
        let object = Value::deserialize(document).unwrap();
        let policy = serde_json::from_value(object.clone()).unwrap();
        assert_subset(&object, &serde_json::to_value(&policy).unwrap());
        policies.push(policy);
    }
    assert_eq!(policies.len(), 2);
    assert_eq!(Policies::parse(&policies).problems(), []);
}

#[test]
fn terraform_deploys_every_role_of_the_operator_and_refuses_those_that_manage_access() {
    let main = read("config/azure/main.tf");
    for role in azure::OPERATOR {
        let name = Path::new(role.path).file_stem().unwrap().to_str().unwrap();
        let assigned = format!("azurerm_role_definition.operator[\"{name}\"].");
        assert_eq!(main.matches(&assigned).count(), 1, "{name}");
        assert!(
            main.replace(&assigned, "").contains(&format!("\"{name}\"")),
            "{name} is not defined"
        );
    }
    let variables = read("config/azure/variables.tf");
    for role in LOCKED_ROLES {
        assert!(variables.contains(&format!("\"{role}\"")), "{role}");
    }
}

/// Everything in the first value is in the second.
fn assert_subset(part: &Value, whole: &Value) {
    match (part, whole) {
        (Value::Object(part), Value::Object(_)) => {
            part.iter().for_each(|(key, value)| assert_subset(value, &whole[key]));
        }
        (Value::Array(part), Value::Array(whole)) => part.iter().zip(whole).for_each(|(a, b)| assert_subset(a, b)),
        _ => assert_eq!(part, whole),
    }
}

#[test]
fn the_runbook_has_every_reason() {
    let runbook = read("docs/runbook.md");
    let missing: Vec<&str> = Reason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .filter(|reason| !runbook.contains(&format!("`{reason}`")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// The alerts, each with its rule.
fn alerts() -> Vec<(String, Value)> {
    let file: Value = serde_yaml_ng::from_str(&read("charts/workload-identity-operator/files/alerts.yaml")).unwrap();
    let rules = file["groups"][0]["rules"].as_array().unwrap();
    let name = |rule: &Value| rule["alert"].as_str().unwrap().to_owned();
    rules.iter().map(|rule| (name(rule), rule.clone())).collect()
}

#[test]
fn one_alert_tells_of_each_reason_and_none_of_what_is_well() {
    let quiet = [
        Reason::Succeeded,
        Reason::Suspended,
        // A quarter of a minute.
        Reason::PolicyAwaited,
        // By its age, with what is denied.
        Reason::Deleting,
        // Events alone have them.
        Reason::IssuerChanged,
        Reason::ClientIdChanged,
        Reason::DriftCorrected,
        Reason::WorkloadRestarted,
        // Ready never has them; wio_pods_without_token counts the pods.
        Reason::PodsWithoutToken,
        Reason::PodsNotSeen,
    ];
    for reason in Reason::ALL {
        let quoted = ['"', '|'].map(|before| ['"', '|'].map(|after| format!("{before}{}{after}", reason.as_str())));
        let asks = |rule: &Value| {
            let asked = rule["expr"].as_str().unwrap();
            quoted.iter().flatten().any(|quoted| asked.contains(quoted))
        };
        let telling: Vec<String> = alerts()
            .into_iter()
            .filter(|(_, rule)| asks(rule))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            telling.len(),
            usize::from(!quiet.contains(reason)),
            "{reason:?}: {telling:?}"
        );
        let passes = telling.iter().any(|name| name == "WorkloadIdentityNotReady");
        assert!(
            !passes || facts(*reason).kind != Kind::Stalled,
            "{reason:?} does not pass by itself"
        );
    }
}

#[test]
fn each_alert_links_to_a_section_of_the_runbook() {
    let runbook = read("docs/runbook.md");
    let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-');
    let anchor = |title: &str| {
        title
            .to_lowercase()
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    };
    let titles = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    let links: BTreeSet<String> = titles
        .map(|title| format!("docs/runbook.md#{}", anchor(title)))
        .collect();
    for (name, rule) in alerts() {
        let link = rule["annotations"]["runbook_url"].as_str().unwrap_or_default();
        assert!(links.contains(link), "{name}: {link}");
    }
}

/// What stands between two texts, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// The versions of Kubernetes that a text calls the oldest.
fn floors(text: &str) -> impl Iterator<Item = &str> {
    ["Kubernetes ", "Kubernetes | ", "the operator needs "]
        .into_iter()
        .flat_map(|before| text.split(before).skip(1))
        .filter_map(|after| after.split_once(" or newer"))
        .map(|(version, _)| version)
        .filter(|version| version.starts_with("1.") && !version.contains(char::is_whitespace))
}

#[test]
fn the_chart_the_tools_and_the_documents_name_one_oldest_kubernetes() {
    let chart = read("charts/workload-identity-operator/Chart.yaml");
    let floor = between(&chart, "kubeVersion: \">=", ".0-0\"").unwrap();
    for path in [
        "README.md",
        "docs/quickstart.md",
        "docs/compatibility.md",
        "charts/workload-identity-operator/README.md",
        "hack/demo",
    ] {
        let text = read(path);
        let named: Vec<&str> = floors(&text).collect();
        assert!(!named.is_empty(), "{path} names no oldest version of Kubernetes");
        assert!(
            named.iter().all(|version| *version == floor),
            "{path}: {named:?}, and the chart {floor}"
        );
    }
    assert!(
        read("hack/demo").contains(&format!("!= {floor} ]")),
        "what hack/demo compares with"
    );
    // It is what the tests ran on, and the oldest that they can.
    let tested = read("docs/compatibility.md");
    let tested = between(
        &tested,
        "<!-- versions, by `make compat` -->",
        "<!-- end of versions -->",
    )
    .unwrap();
    let oldest = tested.lines().find(|line| line.starts_with("| 1.")).unwrap();
    assert!(
        oldest.starts_with(&format!("| {floor}.")),
        "the oldest that was tested: {oldest}"
    );
    read(&format!("e2e/tools/kubernetes-{floor}/go.mod"));
}

#[test]
fn the_page_on_compatibility_names_what_the_tests_run_on() {
    let setup = read("e2e/tools/setup.py");
    let kubernetes = between(&setup, "KUBERNETES_VERSION = \"", "\"").unwrap();
    let webhook = between(&setup, "the pod webhook of azure-workload-identity ", "\"").unwrap();
    let clients = between(&setup, "\"kubectl ", "\"").unwrap();
    let (kubectl, helm) = clients.split_once(" and Helm ").unwrap();
    let page = read("docs/compatibility.md");
    for tested in [
        format!("| {kubernetes}, in each run"),
        format!("| {webhook} |"),
        format!("kubectl {kubectl} |"),
        format!("| Helm {helm},"),
    ] {
        assert!(page.contains(&tested), "{tested}");
    }
}

#[test]
fn a_list_of_roles_that_means_two_things_makes_no_table() {
    let role = |guid: &str, name: &str| format!("{guid}\t{name}\n");
    let date = "# date: 2026-04-09\n";
    let [one, other] = [
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    ];
    let table = built_in_roles::table_of(&format!("{date}{}", role(one, "Reader\tViewer"))).unwrap();
    assert!(
        table.contains("(\"Reader\", uuid!(\"acdd72a7-3385-48ef-bd42-f606fba81ae7\"))"),
        "{table}"
    );
    assert!(table.contains("\"Viewer\"") && table.contains("2026-04-09"), "{table}");
    for wrong in [
        role(one, "Reader"),
        format!("{date}{}{}", role(one, "Reader"), role(other, "READER")),
        format!("{date}{}{}", role(one, "Reader"), role(one, "Viewer")),
        format!("{date}{}", role("acdd72a7", "Reader")),
        format!("{date}{}", role(one, " Reader")),
    ] {
        assert!(built_in_roles::table_of(&wrong).is_err(), "{wrong}");
    }
}
