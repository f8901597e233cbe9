//! The controllers that make an API server a cluster: service accounts, namespaces, garbage collection, aggregated roles.

use anyhow::Result;

use super::Keys;
use crate::kubeconfig::{self, Credential, Server};
use crate::paths::part;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

const USER: &str = "system:kube-controller-manager";

/// Starts it. What it does is waited for where it is needed.
pub(super) fn start(scratch: &Scratch, keys: &Keys, server: &Server) -> Result<Process> {
    let certificate = keys.authority.client(scratch, USER, None)?;
    let kubeconfig = kubeconfig::write(scratch, server, USER, &Credential::Certificate(&certificate))?;
    Program::new(part("kube-controller-manager")?)
        .flag("kubeconfig", kubeconfig)
        .flag("use-service-account-credentials", "true")
        .flag("service-account-private-key-file", &keys.service_accounts)
        .flag("root-ca-file", &keys.authority.certificate)
        .flag("leader-elect", "false")
        // No port of its own: its health shows in what it does.
        .flag("secure-port", "0")
        .start("kube-controller-manager", &scratch.logs())
}
