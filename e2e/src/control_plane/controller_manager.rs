//! The controllers that make an API server a cluster: service accounts, namespaces, garbage collection, aggregated roles.

use anyhow::Result;

use super::Keys;
use crate::kubeconfig::{self, Credential, Server};
use crate::paths::{has_assets, part};
use crate::process::{Process, Program};
use crate::scratch::Scratch;

const USER: &str = "system:kube-controller-manager";

/// Starts it. What it does is waited for where it is needed. None when the API server is one that was there before and came, as those
/// for tests do, without it.
pub(super) fn start(scratch: &Scratch, keys: &Keys, server: &Server) -> Result<Option<Process>> {
    let program = match part("kube-controller-manager") {
        Ok(program) => program,
        Err(_) if has_assets() => return Ok(None),
        Err(missing) => return Err(missing),
    };
    let certificate = keys.authority.client(scratch, USER, None)?;
    let kubeconfig = kubeconfig::write(scratch, server, USER, &Credential::Certificate(&certificate))?;
    Program::new(program)
        .flag("kubeconfig", kubeconfig)
        .flag("use-service-account-credentials", "true")
        .flag("service-account-private-key-file", &keys.service_accounts)
        .flag("root-ca-file", &keys.authority.certificate)
        .flag("leader-elect", "false")
        // No port of its own: its health shows in what it does.
        .flag("secure-port", "0")
        .start("kube-controller-manager", &scratch.logs())
        .map(Some)
}
