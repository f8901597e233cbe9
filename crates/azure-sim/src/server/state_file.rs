//! What exists, kept in a file.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tracing::warn;

use super::whole_file::write_whole;
use crate::model::Snapshot;
use crate::simulator::Simulator;

/// The file. The clones are one.
#[derive(Debug, Clone)]
pub(super) struct StateFile {
    path: PathBuf,
    /// Held from the look at what exists to the end of its writing, so that a younger state is never written over by
    /// an older one.
    writing: Arc<Mutex<()>>,
}

// === impl StateFile ===

impl StateFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            writing: Arc::default(),
        }
    }

    /// Reads it; `None` when there is none yet.
    pub(super) fn read(&self) -> Result<Option<Snapshot>> {
        let context = || format!("reading {}", self.path.display());
        let text = match std::fs::read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(context)?,
        };
        serde_json::from_slice(&text).map(Some).with_context(context)
    }

    /// Writes what exists now.
    pub(super) fn write(&self, simulator: &Simulator) -> Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = serde_json::to_vec_pretty(&simulator.snapshot()).context("writing down what exists")?;
        text.push(b'\n');
        write_whole(&self.path, &text)
    }

    /// Writes it after each change, and never ends. Changes that come while it is written share the next writing.
    pub(super) async fn follow(&self, simulator: &Simulator) {
        let mut changes = simulator.changes();
        while changes.changed().await.is_ok() {
            let (file, simulator) = (self.clone(), simulator.clone());
            let written = tokio::task::spawn_blocking(move || file.write(&simulator)).await;
            if let Ok(Err(error)) = written {
                warn!("{error:#}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_file_that_is_not_there_is_no_error_and_one_that_is_spoilt_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(folder.path().join("state.json"));
        assert_eq!(file.read().unwrap(), None);
        file.write(&Simulator::new(Config::default())).unwrap();
        assert_eq!(file.read().unwrap(), Some(Snapshot::default()));
        std::fs::write(&file.path, "{").unwrap();
        assert!(format!("{:#}", file.read().unwrap_err()).contains("state.json"));
    }
}
