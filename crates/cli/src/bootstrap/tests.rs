//! The commands, against the page that a test runs.

use std::process::Command;

use super::script::Plan;
use super::{shell_script, terraform};

fn plan() -> Plan {
    Plan {
        subscription: None,
        location: "westeurope".to_owned(),
        group: "workload-identities".to_owned(),
        operator_group: "workload-identity-operator".to_owned(),
        cluster: "shop".to_owned(),
        issuer: "https://issuer.example/".to_owned(),
        registry: Some("myregistry".to_owned()),
        unreachable: None,
    }
}

fn quickstart() -> String {
    std::fs::read_to_string(format!("{}/../../docs/quickstart.md", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The commands of a section of the page.
fn section(page: &str, heading: &str) -> Vec<String> {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let blocks = section
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split_once("```").unwrap().0);
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// `make quickstart` runs the page with the real tools; what the plugin prints is tried by that as well.
#[test]
fn the_commands_are_those_of_the_quick_start_line_for_line() {
    let page = quickstart();
    let expected: Vec<String> = [
        "2 The resource groups",
        "3 The operator's own identity",
        "4 Its roles",
        "6 Install the operator",
    ]
    .iter()
    .flat_map(|heading| section(&page, heading))
    .collect();
    let printed = shell_script(&plan());
    let (variables, commands) = printed.split_once("\n# The resource groups").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert_eq!(commands, expected);
    let of_page = page.split("```sh\n").nth(1).unwrap().split_once("```").unwrap().0;
    let without_comment = |line: &str| line.split(" #").next().unwrap().trim().to_owned();
    let of_page: Vec<String> = of_page.lines().map(without_comment).collect();
    for line in variables
        .lines()
        .filter(|line| !line.starts_with("ISSUER=") && !line.starts_with("REGISTRY="))
    {
        assert!(of_page.contains(&line.to_owned()), "{line} is not in {of_page:?}");
    }
}

/// Whoever answers as an API server chooses the issuer, and a person pastes what is printed.
#[test]
fn what_is_filled_in_stays_a_word_of_the_shell_and_a_text_of_terraform() {
    let evil = Plan {
        subscription: Some("'; touch /tmp/owned; '".to_owned()),
        issuer: "https://a/$(id)`id`\"${path.root}%{ if true }'\nid".to_owned(),
        cluster: "a b".to_owned(),
        ..plan()
    };
    let printed = shell_script(&evil);
    let (variables, _) = printed.split_once("\n# The resource groups").unwrap();
    // The one command among the variables is left to a function.
    let script = format!("az() {{ :; }}\n{variables}\nprintf '%s|%s|%s' \"$SUBSCRIPTION\" \"$CLUSTER\" \"$ISSUER\"");
    let said = Command::new("sh").args(["-c", &script]).output().unwrap();
    let expected = format!(
        "{}|{}|{}",
        evil.subscription.clone().unwrap(),
        evil.cluster,
        evil.issuer
    );
    assert_eq!(String::from_utf8(said.stdout).unwrap(), expected);
    let module = terraform(&evil);
    assert!(
        module.contains(r#""a b" = "https://a/$(id)`id`\"$${path.root}%%{ if true }' id""#),
        "{module}"
    );
}

#[test]
fn terraform_calls_the_module_with_arguments_that_it_takes() {
    let takes = std::fs::read_to_string(format!(
        "{}/../../config/azure/variables.tf",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap();
    let printed = terraform(&plan());
    let arguments = printed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.contains("value ="));
    let arguments: Vec<&str> = arguments.map(|line| line.trim().split(' ').next().unwrap()).collect();
    assert_eq!(
        arguments,
        [
            "source",
            "subscription_id",
            "location",
            "issuers",
            "resource_group",
            "operator_resource_group"
        ]
    );
    for argument in arguments.iter().skip(1) {
        assert!(takes.contains(&format!("variable \"{argument}\"")), "{argument}");
    }
    assert!(printed.contains("subscription_id = var.subscription_id"), "{printed}");
}

#[test]
fn no_image_is_guessed_and_an_issuer_that_entra_cannot_reach_is_told() {
    let bare = Plan {
        registry: None,
        unreachable: Some("it is not https"),
        ..plan()
    };
    let printed = shell_script(&bare);
    assert!(
        printed.starts_with("# https://issuer.example/: it is not https"),
        "{printed}"
    );
    assert!(printed.contains("\n: \"${REGISTRY:?"), "{printed}");
    assert!(terraform(&bare).starts_with("# https://issuer.example/: it is not https"));
}
