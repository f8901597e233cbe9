//! Whose newer versions Dependabot is to tell of: every folder with requirements of its own, but those that are raised by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

/// Where it is told.
const FILE: &str = ".github/dependabot.yaml";

/// What each file of requirements is to Dependabot.
const ECOSYSTEMS: [(&str, &str); 3] = [
    ("Cargo.lock", "cargo"),
    ("go.mod", "gomod"),
    ("requirements.txt", "pip"),
];

/// Modules that are ours, and lie here.
const OURS: &str = "workloadidentity.dev/";

/// The folders that are left out, and why.
const LEFT_OUT: [(&str, &str); 9] = [
    (
        "/e2e/tools/argocd",
        "its toolchain in setup.py goes with it, and only `make gitops` would try it",
    ),
    (
        "/e2e/tools/azure-service-operator",
        "docs/bench/peers.md compares with this version, which setup.py names too",
    ),
    (
        "/e2e/tools/controller-gen",
        "the version that Azure Service Operator is generated with",
    ),
    ("/e2e/tools/kubernetes", STAGING),
    ("/e2e/tools/kubernetes-1.33", STAGING),
    ("/e2e/tools/kubernetes-1.35", STAGING),
    ("/e2e/tools/kubernetes-1.36", STAGING),
    (
        "/e2e/tools/kustomize-controller",
        "source-controller in setup.py goes with it, and its libraries with tools/kubernetes",
    ),
    (
        "/e2e/tools/webhook/mlog",
        "a stand-in that is written here, for what the webhook asks of it",
    ),
];
const STAGING: &str = "each of its staging modules is replaced by its own release, which Dependabot leaves as it is";

/// What Dependabot is told.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    updates: Vec<Update>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Update {
    package_ecosystem: String,
    directory: Option<String>,
    #[serde(default)]
    directories: Vec<String>,
    #[serde(default)]
    allow: Vec<Allowed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Allowed {
    dependency_name: String,
    dependency_type: String,
}

/// The requirements that lie in the repository: by ecosystem and folder, the modules whose programs are built there.
type Required = BTreeMap<(&'static str, String), BTreeSet<String>>;

/// What is not as it should be.
pub(crate) fn problems(root: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    let told = serde_yaml_ng::from_str(&text).with_context(|| format!("cannot parse {FILE}"))?;
    let mut required = Required::new();
    collect(root, "", &mut required)?;
    Ok(differences(&told, &required, &LEFT_OUT))
}

/// Adds what lies in a folder and below it, but in what is built or hidden.
fn collect(root: &Path, folder: &str, required: &mut Required) -> anyhow::Result<()> {
    let path = root.join(folder.trim_start_matches('/'));
    for entry in fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && name != "target" {
                collect(root, &format!("{folder}/{name}"), required)?;
            }
        } else if let Some((_, ecosystem)) = ECOSYSTEMS.iter().find(|(file, _)| *file == name) {
            let text = fs::read_to_string(entry.path()).with_context(|| format!("cannot read {folder}/{name}"))?;
            let folder = if folder.is_empty() { "/" } else { folder };
            required.insert((ecosystem, folder.to_owned()), tools(&text));
        }
    }
    Ok(())
}

/// The modules of the programs that a go.mod has as tools.
fn tools(text: &str) -> BTreeSet<String> {
    let mut block = "";
    let (mut programs, mut modules) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (block, words.as_slice()) {
            ("", [word @ ("tool" | "require"), "("]) => block = word,
            (_, [")"]) => block = "",
            ("", ["tool", program]) | ("tool", [program]) => programs.push(*program),
            ("", ["require", module, ..]) | ("require", [module, ..]) => modules.push(*module),
            _ => {}
        }
    }
    let module_of = |program: &str| {
        let holds = |module: &&&str| program == **module || program.starts_with(&format!("{module}/"));
        modules.iter().filter(holds).max_by_key(|module| module.len()).copied()
    };
    let theirs = programs.iter().filter(|program| !program.starts_with(OURS));
    theirs
        .map(|program| module_of(program).unwrap_or(program).to_owned())
        .collect()
}

fn differences(told: &Told, required: &Required, left_out: &[(&str, &str)]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut named = BTreeSet::new();
    for update in &told.updates {
        for folder in update.directory.iter().chain(&update.directories) {
            named.insert(folder.as_str());
            let found = required
                .iter()
                .find(|((ecosystem, place), _)| *ecosystem == update.package_ecosystem && place == folder);
            match found {
                Some((_, tools)) => problems.extend(tools.iter().filter(|tool| !allows(update, tool)).map(|tool| {
                    format!("{FILE}: {folder} builds {tool}, which is indirect to Go: name it under `allow` with `dependency-type: all`")
                })),
                None if update.package_ecosystem == "github-actions" => {}
                None => problems.push(format!("{FILE}: {folder} holds nothing of {}", update.package_ecosystem)),
            }
        }
    }
    let left: BTreeSet<&str> = left_out.iter().map(|(folder, _)| *folder).collect();
    for (ecosystem, folder) in required.keys() {
        let (is_named, is_left) = (named.contains(folder.as_str()), left.contains(folder.as_str()));
        if !is_named && !is_left {
            problems.push(format!(
                "{FILE} does not name {folder} ({ecosystem}): name it, or say in crates/xtask/src/dependabot.rs why not"
            ));
        }
        if is_named && is_left {
            problems.push(format!(
                "{FILE} names {folder}, which crates/xtask/src/dependabot.rs leaves out"
            ));
        }
    }
    let there: BTreeSet<&str> = required.keys().map(|(_, folder)| folder.as_str()).collect();
    let gone = left.difference(&there);
    problems.extend(gone.map(|folder| format!("crates/xtask/src/dependabot.rs leaves out {folder}, where nothing is")));
    problems
}

/// Whether a version of something that is not a direct dependency is told of.
fn allows(update: &Update, module: &str) -> bool {
    let mut allowed = update.allow.iter();
    allowed.any(|it| it.dependency_name == module && it.dependency_type == "all")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRANE: &str = "module here\ntool example.com/crane/v2/cmd/crane\nrequire (\n\texample.com/crane v1.0.0 // indirect\n\texample.com/crane/v2 v2.0.0 // indirect\n)\n";

    fn told(folder: &str, module: &str) -> Told {
        let text = format!(
            "updates: [{{package-ecosystem: gomod, directories: [{folder}], allow: [{{dependency-name: {module}, dependency-type: all}}]}}]"
        );
        serde_yaml_ng::from_str(&text).unwrap()
    }

    fn required(folder: &str) -> Required {
        Required::from([(("gomod", folder.to_owned()), tools(CRANE))])
    }

    #[test]
    fn the_module_of_a_tool_is_the_longest_that_holds_it_and_ours_are_none() {
        let text = format!(
            "{CRANE}tool (\n\texample.com/x/cmd\n\tworkloadidentity.dev/e2e/tools/x/y\n)\nrequire example.com/x v1.0.0\n"
        );
        assert_eq!(
            tools(&text),
            ["example.com/crane/v2", "example.com/x"].map(str::to_owned).into()
        );
    }

    #[test]
    fn a_folder_that_is_neither_named_nor_left_out_is_told() {
        let told = told("/crane", "example.com/crane/v2");
        assert_eq!(differences(&told, &required("/crane"), &[]), Vec::<String>::new());
        let problems = differences(&told, &required("/crane/two"), &[]).join("\n");
        assert!(problems.contains("does not name /crane/two (gomod)"), "{problems}");
        assert!(problems.contains("/crane holds nothing of gomod"), "{problems}");
        let both = differences(&told, &required("/crane"), &[("/crane", "why"), ("/gone", "why")]).join("\n");
        assert!(
            both.contains("names /crane, which") && both.contains("leaves out /gone, where nothing is"),
            "{both}"
        );
    }

    #[test]
    fn a_tool_whose_module_is_not_allowed_is_told() {
        let problems = differences(&told("/crane", "example.com/crane"), &required("/crane"), &[]).join("\n");
        assert!(problems.contains("/crane builds example.com/crane/v2"), "{problems}");
    }
}
