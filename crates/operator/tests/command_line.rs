//! The command line as a person meets it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::process::{Command, Output};

const REQUIRED: [&str; 6] = [
    "--subscription-id",
    "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11",
    "--resource-group",
    "workload-identities",
    "--location",
    "westeurope",
];

/// The operator with these arguments and nothing in its environment.
fn operator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workload-identity-operator"));
    command.args(arguments).env_clear();
    command
}

fn help() -> String {
    let output = operator(&["--help"]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Each flag of the help, with all that is said of it.
fn flags(help: &str) -> Vec<(String, String)> {
    const INDENT: &str = "      --";
    let mut flags: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        if let Some(flag) = line.strip_prefix(INDENT) {
            flags.push((flag.split(' ').next().unwrap_or_default().to_owned(), String::new()));
        } else if let Some((_, about)) = flags.last_mut() {
            about.push_str(line.trim_start());
            about.push(' ');
        }
    }
    flags
}

#[test]
fn help_says_what_it_is_and_what_to_set() {
    let help = help();
    assert!(
        help.starts_with("Gives the pods of Kubernetes service accounts Microsoft Entra tokens"),
        "{help}"
    );
    for part in [
        "Usage: workload-identity-operator",
        "KUBECONFIG",
        "AZURE_FEDERATED_TOKEN_FILE",
        "For example",
        "Where identities live:",
        "Pace:",
        "Observation:",
    ] {
        assert!(help.contains(part), "{part} is missing in\n{help}");
    }
}

#[test]
fn every_flag_has_a_twin_in_the_environment_and_is_explained() {
    let help = help();
    let flags = flags(&help);
    assert!(flags.len() >= 13, "{flags:#?}");
    for (flag, about) in flags {
        let (explained, twin) = about
            .split_once("[env: ")
            .unwrap_or_else(|| panic!("{flag} has no twin: {about}"));
        assert!(
            explained.split_whitespace().count() >= 3,
            "{flag} is not explained: {about}"
        );
        assert!(
            twin.starts_with(|first: char| first.is_ascii_uppercase()),
            "{flag}: {twin}"
        );
    }
}

#[test]
fn help_fits_a_terminal() {
    for line in help().lines().filter(|line| !line.starts_with("Usage: ")) {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(
        help().contains("    --resource-group workload-identities --location westeurope\n"),
        "the example is whole"
    );
}

#[test]
fn what_is_missing_is_named() {
    let output = operator(&[]).output().unwrap();
    assert!(!output.status.success());
    for flag in ["--subscription-id", "--resource-group", "--location"] {
        assert!(stderr(&output).contains(flag), "{}", stderr(&output));
    }
}

#[test]
fn a_bad_value_is_answered_with_the_flag_the_value_and_the_way_out() {
    for (flag, value, way_out) in [
        ("--subscription-id", "production", "GUID"),
        ("--resource-group", "ends.with.dot.", "resource group name"),
        ("--location", "West Europe!", "westeurope"),
        ("--protected-identity", "kubelet", "userAssignedIdentities/<name>"),
        (
            "--protected-resource-group",
            "MC_aks",
            "/subscriptions/<GUID>/resourceGroups/<name>",
        ),
        ("--unlocked-role", "Emperor", "GUID"),
        ("--former-issuer", "issuer.example", "URL"),
        ("--audience", "a b", "without spaces"),
        ("--cloud", "azure", "usgov"),
        ("--client-id", "orders", "GUID"),
        ("--api-version", "latest", "2023-01-31"),
        ("--drift-interval", "30", "30m"),
        ("--drift-interval", "0s", "from 1m"),
        ("--drift-interval", "59s", "from 1m"),
        ("--drift-interval", "99999999999999999999h", "to 7d"),
        ("--drift-interval", "30m1h", "1h30m"),
        ("--drift-interval", "8d", "to 7d"),
        ("--lease-duration", "1d", "1m30s"),
        ("--default-tag", "team", "name=value"),
        ("--default-tag", "workloadidentity.dev-cluster=x", "operator's own"),
        ("--ignored-tag", "*", "policy-*"),
        ("--ignored-tag", "workloadidentity.*", "cannot be ignored"),
        ("--concurrency", "0", "1.."),
        ("--listen", "8080", "address"),
        ("--log", "info,wio_azure=loud", "info,wio_azure=debug"),
        ("--log-format", "xml", "json"),
    ] {
        let output = operator(&[flag, value]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flag} {value}");
        let told = stderr(&output);
        for part in [flag, value, way_out] {
            assert!(told.contains(part), "{part:?} is missing for {flag} {value}:\n{told}");
        }
    }
}

#[test]
fn namespaces_are_watched_or_excluded_and_not_both() {
    let both = [&REQUIRED[..], &["--watch-namespaces", "shop"]].concat();
    let output = operator(&both).env("WIO_EXCLUDE_NAMESPACES", "bank").output().unwrap();
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(
        said.contains("--watch-namespaces") && said.contains("--exclude-namespaces"),
        "{said}"
    );
}

#[test]
fn a_bad_value_of_the_environment_is_answered_alike() {
    let output = operator(&REQUIRED).env("WIO_DRIFT_INTERVAL", "soon").output().unwrap();
    let told = stderr(&output);
    assert!(
        told.contains("--drift-interval") && told.contains("soon") && told.contains("30m"),
        "{told}"
    );
}

#[test]
fn an_endpoint_that_is_none_is_refused_with_its_flag() {
    let output = operator(&REQUIRED)
        .args(["--arm-endpoint", "http://127.0.0.1", "--log-format", "text"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    for part in ["--arm-endpoint", "http://127.0.0.1", "https://<host>"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
}

/// It signed in as the node, whose kubelet's identity may have rights of its own.
#[test]
fn a_pod_that_the_webhook_did_not_mutate_ends_with_that_sentence() {
    let output = operator(&REQUIRED)
        .env("WIO_CLIENT_ID", "2b7c1a52-8d4e-4f30-9a61-5c0e7d9b3f14")
        .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    for part in [
        "2b7c1a52",
        "AZURE_FEDERATED_TOKEN_FILE",
        "did not mutate",
        "delete the pod",
    ] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
}

#[test]
fn another_cloud_than_that_of_the_webhook_is_refused_with_both() {
    let output = operator(&REQUIRED)
        .args(["--cloud", "public"])
        .env("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    for part in ["--cloud", "public", "usgov", "https://login.microsoftonline.us/"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
}

#[test]
fn without_a_cluster_it_says_how_to_name_one() {
    let output = operator(&REQUIRED).args(["--log-format", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    let last = told.lines().last().unwrap();
    assert!(
        last.starts_with('{') && last.contains("KUBECONFIG") && last.contains("ERROR"),
        "{told}"
    );
}

#[test]
fn main_is_arguments_and_wiring() {
    let main = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/main.rs")).unwrap();
    assert!(
        main.lines().count() <= 50,
        "what is more than wiring belongs into a library"
    );
}
