//! Where things lie: the repository, the parts that `e2e/setup` made, the binaries that cargo built.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The files of a folder of the repository, by their paths below it.
pub fn files_below(folder: &str) -> Result<Vec<(String, String)>> {
    let root = repository().join(folder);
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .strip_prefix(&root)?
                .to_str()
                .context("a name that is not Unicode")?;
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            found.push((name.to_owned(), text));
        }
    }
    Ok(found)
}

/// Names a folder whose binaries are taken before those that `e2e/setup` made. `KUBEBUILDER_ASSETS` itself is not taken here: it is
/// set on many machines, and the tests are for the versions that are pinned.
const ASSETS: &str = "WIO_E2E_ASSETS";

/// A binary that `e2e/setup` made, such as `kube-apiserver`, or that was there before.
pub fn part(name: &str) -> Result<PathBuf> {
    let given = std::env::var_os(ASSETS).map(|folder| Path::new(&folder).join(name));
    match given {
        Some(path) if path.exists() => Ok(path),
        _ => there(repository().join(".build/e2e/bin").join(name), "make setup"),
    }
}

/// The folder of the definitions of Flux's kinds.
pub fn flux_definitions() -> Result<PathBuf> {
    there(repository().join(".build/e2e/flux"), "make setup")
}

/// The folder of what Azure Service Operator is installed from.
pub(crate) fn azure_service_operator() -> Result<PathBuf> {
    let how = "e2e/setup azure-service-operator";
    there(repository().join(".build/e2e/azure-service-operator"), how)
}

/// Whether binaries are taken that were there before.
#[must_use]
pub fn has_assets() -> bool {
    std::env::var_os(ASSETS).is_some()
}

/// The Python interpreter that has Azure's clients.
pub fn python() -> Result<PathBuf> {
    there(repository().join(".build/venv/bin/python"), "make setup")
}

/// A binary of this workspace, of the profile with which the running program was built.
pub fn built(name: &str, package: &str) -> Result<PathBuf> {
    let running = std::env::current_exe().context("the path of the running program")?;
    // Tests run in `target/<profile>/deps`, programs in `target/<profile>`.
    let folder = running
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .context("the build folder")?;
    there(folder.join(name), &format!("cargo build --package {package}"))
}

fn there(path: PathBuf, how: &str) -> Result<PathBuf> {
    ensure!(path.exists(), "{} is missing; `{how}` makes it", path.display());
    Ok(path)
}
