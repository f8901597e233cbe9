//! The example of an overlay with the component taken from a Git repository by its URL, as somebody's repository takes it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::rendered::{OVERLAY, output};

/// What the example names here, and names by a URL elsewhere.
const COMPONENT: &str = "../component";

/// How an overlay of the remote component differs from that of the one beside it.
///
/// # Errors
/// When Git cannot keep a copy of `config`, or kubectl cannot render it.
pub(crate) fn difference(root: &Path, kubectl: &Path, beside: &str) -> anyhow::Result<Option<String>> {
    let folder = tempfile::tempdir().context("a folder for a repository")?;
    let (repository, overlay) = (folder.path().join("repository"), folder.path().join("overlay"));
    std::fs::create_dir(&repository).context("making the repository")?;
    output(
        Command::new("cp")
            .arg("-R")
            .arg(root.join("config"))
            .arg(repository.join("config")),
    )?;
    output(Command::new("cp").arg("-R").arg(root.join(OVERLAY)).arg(&overlay))?;
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &[
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@example.com",
            "commit",
            "--quiet",
            "--message=x",
        ],
    ] {
        output(Command::new("git").arg("-C").arg(&repository).args(arguments))?;
    }
    let kustomization = overlay.join("kustomization.yaml");
    let text = std::fs::read_to_string(&kustomization).context("reading the overlay")?;
    ensure!(text.contains(COMPONENT), "{OVERLAY} does not name {COMPONENT}");
    let url = format!("file://{}//config/component?ref=main", repository.display());
    std::fs::write(&kustomization, text.replace(COMPONENT, &url)).context("writing the overlay")?;
    let remote = output(Command::new(kubectl).arg("kustomize").arg(&overlay))?;
    Ok((remote != beside).then(|| format!("{OVERLAY} with the component by its URL is another one:\n{remote}")))
}
