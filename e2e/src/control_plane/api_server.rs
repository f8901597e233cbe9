//! The API server, which can be stopped and started again on the same port.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;

use super::Keys;
use crate::kubeconfig::Server;
use crate::paths::part;
use crate::ports::free_port;
use crate::process::{Process, Program, Signal};
use crate::scratch::Scratch;

const START_DEADLINE: Duration = Duration::from_secs(90);
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Everything that the operator asks, down to the reads, and what anybody writes. Bodies are kept of the operator alone.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
  - level: Request
    users: ["system:serviceaccount:workload-identity-system:workload-identity-operator"]
  - level: None
    verbs: [get, list, watch]
  - level: Metadata
"#;

/// A kube-apiserver.
#[derive(Debug)]
pub struct ApiServer {
    program: Program,
    process: Option<Process>,
    server: Server,
    audit_log: PathBuf,
    logs: PathBuf,
}

// === impl ApiServer ===

impl ApiServer {
    /// Chooses its port, which it keeps.
    pub(super) fn prepare(scratch: &Scratch, keys: &Keys, etcd: &str) -> Result<Self> {
        let port = free_port()?;
        let url = format!("https://127.0.0.1:{port}");
        let audit_log = scratch.logs().join("audit.jsonl");
        let program = Program::new(part("kube-apiserver")?)
            .flag("etcd-servers", etcd)
            .flag("bind-address", "127.0.0.1")
            .flag("secure-port", port.to_string())
            // A loopback address cannot be advertised to pods, and there are none that run.
            .flag("endpoint-reconciler-type", "none")
            .flag("service-cluster-ip-range", "10.96.0.0/16")
            .flag("tls-cert-file", &keys.serving.certificate)
            .flag("tls-private-key-file", &keys.serving.key)
            .flag("client-ca-file", &keys.authority.certificate)
            .flag("authorization-mode", "Node,RBAC")
            // With a slash at its end, as AKS has it.
            .flag("service-account-issuer", format!("{url}/"))
            .flag("service-account-jwks-uri", format!("{url}/openid/v1/jwks"))
            .flag("service-account-key-file", &keys.service_accounts)
            .flag("service-account-signing-key-file", &keys.service_accounts)
            .flag("audit-policy-file", scratch.write("audit-policy.yaml", AUDIT_POLICY)?)
            .flag("audit-log-path", &audit_log)
            .flag("profiling", "false");
        let server = Server {
            url,
            authority: keys.authority.certificate.clone(),
        };
        Ok(Self {
            program,
            process: None,
            server,
            audit_log,
            logs: scratch.logs(),
        })
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn start(&mut self, client: &Client) -> Result<()> {
        let process = self.process.insert(self.program.start("kube-apiserver", &self.logs)?);
        process
            .until_ready(START_DEADLINE, async || {
                let request = http::Request::get("/readyz").body(Vec::new())?;
                Ok((client.request_text(request).await? == "ok").then_some(()))
            })
            .await
    }

    /// Ends it at once.
    pub(super) async fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the API server does not run")?;
        process.stop(Signal::Kill, KILL_DEADLINE).await.map(drop)
    }

    pub(super) fn server(&self) -> Server {
        self.server.clone()
    }

    pub(super) fn audit_log(&self) -> &Path {
        &self.audit_log
    }
}
