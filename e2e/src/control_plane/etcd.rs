//! The API server's store.

use anyhow::Result;

use crate::paths::part;
use crate::ports::free_port;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// Starts it; the API server waits by itself until it answers. Returns its address.
pub(super) fn start(scratch: &Scratch) -> Result<(Process, String)> {
    let url = format!("http://127.0.0.1:{}", free_port()?);
    let peers = format!("http://127.0.0.1:{}", free_port()?);
    let program = Program::new(part("etcd")?)
        .flag("data-dir", scratch.folder("etcd")?)
        .flag("listen-client-urls", &url)
        .flag("advertise-client-urls", &url)
        .flag("listen-peer-urls", &peers)
        .flag("initial-advertise-peer-urls", &peers)
        .flag("initial-cluster", format!("default={peers}"))
        // The data is thrown away; nothing has to survive a power cut.
        .arg("--unsafe-no-fsync")
        .flag("log-level", "warn");
    Ok((program.start("etcd", &scratch.logs())?, url))
}
