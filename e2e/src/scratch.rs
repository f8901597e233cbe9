//! The folder of one run.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::paths::repository;

/// Waits until the harness is gone, however it went, and removes the folder. The servers are killed at the same moment and may
/// still be writing: hence again, until it is gone.
const JANITOR: &str = r#"
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf -- "$1" 2>/dev/null && exit 0
    sleep 0.2
done
"#;

/// A folder for keys, data and logs of one run. It is removed when this is dropped, and also when the harness is killed.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    janitor: Child,
    /// Open as long as the harness lives.
    lifeline: Option<ChildStdin>,
}

// === impl Scratch ===

impl Scratch {
    /// Makes the folder, below `.build/e2e/run`.
    pub fn new() -> Result<Self> {
        let runs = repository().join(".build/e2e/run");
        std::fs::create_dir_all(&runs).with_context(|| format!("making {}", runs.display()))?;
        let folder = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(&runs)
            .context("making the run's folder")?;
        std::fs::create_dir(folder.path().join("logs")).context("making the folder of logs")?;
        let mut janitor = Command::new("/bin/sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at a terminal reaches the whole group, and must not reach this one.
            .process_group(0)
            .spawn()
            .context("starting the janitor")?;
        let lifeline = janitor.stdin.take();
        Ok(Self {
            folder,
            janitor,
            lifeline,
        })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the parts' logs lie.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }

    /// A new folder in it.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file in it, which only its owner may read. Returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        use std::os::unix::fs::OpenOptionsExt;

        let path = self.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        file.write_all(content.as_ref())
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // What the janitor did not manage, the folder's own drop reports to nobody: there is nobody left to tell.
        let _ = self.janitor.wait();
    }
}
