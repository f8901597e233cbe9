//! What the chart renders for each set of values in its folder `ci`, as snapshots: the first set whole, the others as what they change.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use similar::TextDiff;

use crate::rendered::{CHART, NAMESPACE, output};

const SNAPSHOTS: &str = "crates/xtask/renders";
/// What must be set, and nothing else.
const FIRST: &str = "default";

/// Where renders are not what the snapshots hold, each as a message with a diff. With `renew` the snapshots become what is rendered.
///
/// # Errors
/// When a set of values cannot be rendered, or `helm lint` has something to say of it.
pub(crate) fn differences(root: &Path, helm: &Path, renew: bool) -> anyhow::Result<Vec<String>> {
    let first = render(root, helm, FIRST)?;
    let mut problems = Vec::new();
    for set in sets(root)? {
        let (path, text) = if set == FIRST {
            (snapshot(root, &set, "yaml"), first.clone())
        } else {
            (
                snapshot(root, &set, "diff"),
                changed(&first, &render(root, helm, &set)?),
            )
        };
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if committed == text {
            continue;
        }
        if renew {
            fs::create_dir_all(root.join(SNAPSHOTS))?;
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        } else {
            problems.push(told(&set, &committed, &text));
        }
    }
    Ok(problems)
}

fn told(set: &str, committed: &str, rendered: &str) -> String {
    const REMEDY: &str = "if that is meant, run `cargo xtask compare --renew` and commit the result";
    let diff = TextDiff::from_lines(committed, rendered);
    format!(
        "the chart renders something else for {CHART}/ci/{set}-values.yaml than before: {REMEDY}\n{}",
        diff.unified_diff().header("committed", "rendered")
    )
}

fn snapshot(root: &Path, set: &str, kind: &str) -> PathBuf {
    root.join(SNAPSHOTS).join(format!("{set}.{kind}"))
}

/// The sets of values, in order.
fn sets(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut sets = Vec::new();
    for entry in fs::read_dir(root.join(CHART).join("ci"))? {
        let name = entry?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix("-values.yaml"));
        sets.push(name.context("a file of ci is not named <set>-values.yaml")?.to_owned());
    }
    sets.sort();
    ensure!(sets.len() >= 12, "there are {} sets of values", sets.len());
    Ok(sets)
}

fn render(root: &Path, helm: &Path, set: &str) -> anyhow::Result<String> {
    let chart = root.join(CHART);
    let values = chart.join("ci").join(format!("{set}-values.yaml"));
    output(
        Command::new(helm)
            .args(["lint", "--strict", "--quiet"])
            .arg(&chart)
            .arg("--values")
            .arg(&values),
    )?;
    let rendered = output(
        Command::new(helm)
            .args(["template", "workload-identity-operator"])
            .arg(&chart)
            .args(["--namespace", NAMESPACE, "--values"])
            .arg(&values),
    )?;
    Ok(stable(&rendered))
}

/// A render without what is generated and compared elsewhere, the definitions and rules of admission, and without the checksum that follows
/// from the settings.
fn stable(rendered: &str) -> String {
    let documents: Vec<String> = rendered.split("\n---\n").map(document).collect();
    documents.join("\n---\n")
}

fn document(text: &str) -> String {
    const LONG: [&str; 2] = [
        "\nkind: CustomResourceDefinition\n",
        "\nkind: ValidatingAdmissionPolicy\n",
    ];
    let kept = match text.split_once("\nspec:\n") {
        Some((before, _)) if LONG.iter().any(|kind| text.contains(kind)) => format!("{before}\nspec: ...\n"),
        _ => text.to_owned(),
    };
    let lines: Vec<&str> = kept
        .lines()
        .map(|line| match line.split_once("checksum/settings: ") {
            Some((_, hash)) if hash.len() == 64 => line.strip_suffix(hash).unwrap_or(line).trim_end(),
            _ => line,
        })
        .collect();
    lines.join("\n")
}

/// What a set of values changes. Line numbers would change with everything before them.
fn changed(first: &str, other: &str) -> String {
    let diff = TextDiff::from_lines(first, other);
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        text += "@@\n";
        for change in hunk.iter_changes() {
            let _ = write!(text, "{}{change}", change.tag());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_no_definitions_and_no_checksum() {
        let hash = "0123456789abcdef".repeat(4);
        let rendered = format!(
            "---\nkind: A\n    checksum/settings: {hash}\nspec:\n  a: 1\n---\napiVersion: v1\nkind: CustomResourceDefinition\nspec:\n  long: 1\n"
        );
        assert_eq!(
            stable(&rendered),
            "---\nkind: A\n    checksum/settings:\nspec:\n  a: 1\n---\napiVersion: v1\nkind: CustomResourceDefinition\nspec: ..."
        );
    }

    #[test]
    fn what_values_change_is_told_without_line_numbers() {
        let first = "a\nb\nc\n";
        assert_eq!(changed(first, first), "");
        assert_eq!(changed(first, "a\nx\nc\n"), "@@\n a\n-b\n+x\n c\n");
        assert_eq!(changed("a\n", "a"), changed("a\n", "a"));
    }
}
