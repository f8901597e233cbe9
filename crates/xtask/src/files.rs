//! The generated files: what they hold, and how what is committed differs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;
use similar::TextDiff;

use crate::{argocd, azure, built_in_roles, chart, cli, deployment, rbac, reference, values};

/// A file that is generated.
#[derive(Debug)]
pub(crate) struct GeneratedFile {
    /// Where it lies, from the repository's root.
    pub(crate) path: &'static str,
    /// What it holds.
    pub(crate) text: String,
}

impl GeneratedFile {
    /// Writes the file when it holds something else, and says whether it did.
    pub(crate) fn write_under(&self, root: &Path) -> anyhow::Result<bool> {
        let path = root.join(self.path);
        if fs::read_to_string(&path).is_ok_and(|committed| committed == self.text) {
            return Ok(false);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&path, &self.text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(true)
    }
}

/// Every generated file.
pub(crate) fn generated() -> anyhow::Result<Vec<GeneratedFile>> {
    let crds = [wio_api::crd(), wio_api::policy_crd(), wio_api::effective_policy_crd()];
    let [binding, policy, effective] = [yaml(&crds[0])?, yaml(&crds[1])?, yaml(&crds[2])?];
    let mut files = vec![
        GeneratedFile {
            path: "config/crd/workloadidentity.dev_workloadidentitybindings.yaml",
            text: format!("{NOTICE}{}", kept(&binding)?),
        },
        GeneratedFile {
            path: "config/crd/workloadidentity.dev_workloadidentitypolicies.yaml",
            text: format!("{NOTICE}{}", kept(&policy)?),
        },
        GeneratedFile {
            path: "config/crd/workloadidentity.dev_workloadidentityeffectivepolicies.yaml",
            text: format!("{NOTICE}{}", kept(&effective)?),
        },
        GeneratedFile {
            path: "config/rbac/role.yaml",
            text: format!("{NOTICE}{}", rbac::yaml(rbac::ROLES)),
        },
        GeneratedFile {
            path: "docs/api.md",
            text: reference::markdown(&crds)?,
        },
        GeneratedFile {
            path: "docs/cli.md",
            text: cli::markdown(),
        },
        GeneratedFile {
            path: "crates/core/src/names/built_in_roles_table.rs",
            text: built_in_roles::table()?,
        },
    ];
    files.extend(of_the_chart([&binding, &policy, &effective])?);
    files.extend(of_azure()?);
    files.extend(of_argocd());
    Ok(files)
}

/// Those of `config/argocd`.
fn of_argocd() -> [GeneratedFile; 3] {
    [
        GeneratedFile {
            path: "config/argocd/argocd-cm.yaml",
            text: argocd::of_our_resources(),
        },
        GeneratedFile {
            path: "config/argocd/app-of-apps/argocd-cm.yaml",
            text: argocd::of_applications(),
        },
        GeneratedFile {
            path: "config/argocd/resource_customizations/workloadidentity.dev/WorkloadIdentityPolicy/health.lua",
            text: argocd::policy_health(),
        },
    ]
}

/// Those of `config/azure`.
fn of_azure() -> anyhow::Result<Vec<GeneratedFile>> {
    let mut files = vec![
        GeneratedFile {
            path: "config/azure/permissions.md",
            text: azure::markdown(),
        },
        GeneratedFile {
            path: "config/azure/roles/role-assignments.condition",
            text: azure::assignments_condition(),
        },
        GeneratedFile {
            path: "config/azure/people/binding-editor.condition",
            text: azure::bindings_condition(),
        },
        GeneratedFile {
            path: "config/azure/main.json",
            text: deployment::template()?,
        },
    ];
    for role in azure::OPERATOR.iter().chain([&azure::BINDING_EDITOR]) {
        files.push(GeneratedFile {
            path: role.path,
            text: azure::definition(role)?,
        });
    }
    Ok(files)
}

/// A definition that GitOps tools leave in the cluster when it leaves Git: with it every binding would go, at a moment when nobody is
/// there to take away what bindings have in Azure.
fn kept(crd: &str) -> anyhow::Result<String> {
    let (before, after) = crd.split_once("metadata:\n").context("the CRD has no metadata")?;
    Ok(format!(
        "{before}metadata:\n  \
           annotations:\n    \
             kustomize.toolkit.fluxcd.io/prune: disabled\n    \
             argocd.argoproj.io/sync-options: Prune=false,Delete=false\n\
         {after}"
    ))
}

/// What of the chart is generated, with the definitions' YAML.
fn of_the_chart([binding, policy, effective]: [&str; 3]) -> anyhow::Result<Vec<GeneratedFile>> {
    Ok(vec![
        GeneratedFile {
            path: "charts/workload-identity-operator/templates/crds.yaml",
            text: format!(
                "{NOTICE}{}---\n{}---\n{}",
                chart::crd(binding)?,
                chart::crd(policy)?,
                chart::crd(effective)?
            ),
        },
        GeneratedFile {
            path: "charts/workload-identity-operator/templates/admission.yaml",
            text: chart::admission(ADMISSION)?,
        },
        GeneratedFile {
            path: "charts/workload-identity-operator/templates/roles.yaml",
            text: format!("{NOTICE}{}", chart::roles(&rbac::yaml(rbac::ROLES))?),
        },
        GeneratedFile {
            path: "charts/workload-identity-operator/README.md",
            text: values::readme()?,
        },
        GeneratedFile {
            path: "charts/workload-identity-operator/values.schema.json",
            text: values::schema()?,
        },
    ])
}

fn yaml(crd: &CustomResourceDefinition) -> anyhow::Result<String> {
    Ok(serde_yaml_ng::to_string(&with_whole_numbers(serde_json::to_value(
        crd,
    )?))?)
}

/// Limits are floating-point numbers in the types, and whole in what is written.
fn with_whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            #[allow(clippy::cast_possible_truncation, reason = "it is whole and small")]
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => Value::from(float as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(with_whole_numbers).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, with_whole_numbers(value)))
            .collect(),
        other => other,
    }
}

/// What is written by hand in `config/admission`.
const ADMISSION: [&str; 3] = [
    include_str!("../../../config/admission/policy.yaml"),
    include_str!("../../../config/admission/binding.yaml"),
    include_str!("../../../config/admission/record.yaml"),
];

/// The first line of a generated file in YAML.
pub(crate) const NOTICE: &str = "# Generated by `cargo xtask generate`: change it there.\n";

/// What is committed and differs, each as a message with a diff.
pub(crate) fn differences(root: &Path, files: &[GeneratedFile]) -> Vec<String> {
    files.iter().filter_map(|file| difference(root, file)).collect()
}

fn difference(root: &Path, file: &GeneratedFile) -> Option<String> {
    const REMEDY: &str = "run `cargo xtask generate` and commit the result";
    let committed = match fs::read_to_string(root.join(file.path)) {
        Ok(committed) if committed == file.text => return None,
        Ok(committed) => committed,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Some(format!("{} is missing: {REMEDY}", file.path));
        }
        Err(error) => return Some(format!("{} cannot be read: {error}", file.path)),
    };
    let diff = TextDiff::from_lines(&committed, &file.text);
    Some(format!(
        "{} is not what is generated: {REMEDY}\n{}",
        file.path,
        diff.unified_diff().header("committed", "generated")
    ))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn file(text: &str) -> GeneratedFile {
        GeneratedFile {
            path: "folder/file.yaml",
            text: text.to_owned(),
        }
    }

    #[test]
    fn what_was_generated_does_not_differ_and_is_not_written_again() {
        let root = tempfile::tempdir().unwrap();
        assert!(file("a\n").write_under(root.path()).unwrap());
        assert!(!file("a\n").write_under(root.path()).unwrap());
        assert_eq!(difference(root.path(), &file("a\n")), None);
    }

    #[test]
    fn a_difference_names_the_file_the_line_and_the_command() {
        let root = tempfile::tempdir().unwrap();
        file("same\nold\n").write_under(root.path()).unwrap();
        let message = difference(root.path(), &file("same\nnew\n")).unwrap();
        for part in ["folder/file.yaml", "cargo xtask generate", "-old\n", "+new\n"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        let message = difference(root.path(), &file("a\n")).unwrap();
        assert!(message.contains("folder/file.yaml is missing"), "{message}");
    }

    #[test]
    fn what_is_generated_is_yaml_that_parses_again() {
        for file in generated().unwrap() {
            if file.path.starts_with("config/") && Path::new(file.path).extension().is_some_and(|it| it == "yaml") {
                for document in serde_yaml_ng::Deserializer::from_str(&file.text) {
                    let object = Value::deserialize(document).unwrap();
                    assert!(object["kind"].is_string(), "{object}");
                }
            }
        }
    }
}
