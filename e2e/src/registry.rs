//! A registry of images and charts on loopback, which keeps them in memory.

use std::time::Duration;

use anyhow::Result;

use crate::paths::part;
use crate::ports::free_port;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running registry. Dropping it stops it, and all that was pushed is gone.
#[derive(Debug)]
pub struct Registry {
    _process: Process,
    address: String,
}

// === impl Registry ===

impl Registry {
    /// Starts it.
    pub async fn start(scratch: &Scratch) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut process = Program::new(part("crane")?)
            .arg("registry")
            .arg("serve")
            .arg(format!("--address={address}"))
            .start("registry", &scratch.logs())?;
        process
            .until_healthy(&format!("http://{address}/v2/"), START_DEADLINE)
            .await?;
        Ok(Self {
            _process: process,
            address,
        })
    }

    /// Its host and port, as they stand before the name of an image.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}
