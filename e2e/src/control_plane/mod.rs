//! A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager. There are no nodes, so pods stay pending.

mod api_server;
mod controller_manager;
mod etcd;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::Client;
use tokio::sync::Mutex;

use crate::audit::AuditLog;
use crate::certificates::{Authority, KeyAndCertificate};
use crate::kubeconfig::{self, Credential};
use crate::process::Process;
use crate::scratch::Scratch;

pub use api_server::ApiServer;

/// The administrator of the tests' own cluster: who applies manifests. The operator never is.
const ADMINISTRATOR: (&str, &str) = ("e2e-administrator", "system:masters");

/// A running control plane. Dropping it stops it.
#[derive(Debug)]
pub struct ControlPlane {
    /// Kept in the order in which they stop.
    _controller_manager: Option<Process>,
    api_server: Mutex<ApiServer>,
    _etcd: Process,
    audit: AuditLog,
}

/// What the parts of a control plane share.
struct Keys {
    authority: Authority,
    serving: KeyAndCertificate,
    /// Signs service account tokens.
    service_accounts: PathBuf,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts all three. Returns the control plane and the administrator's kubeconfig.
    pub async fn start(scratch: &Scratch) -> Result<(Self, PathBuf)> {
        let authority = Authority::new(scratch, "cluster-authority")?;
        let keys = Keys {
            serving: authority.server(scratch, "kube-apiserver")?,
            service_accounts: crate::certificates::rsa_key(scratch, "service-accounts").await?,
            authority,
        };
        let (etcd, etcd_url) = etcd::start(scratch)?;
        let mut api_server = ApiServer::prepare(scratch, &keys, &etcd_url)?;
        let server = api_server.server();
        let (user, group) = ADMINISTRATOR;
        let administrator = keys.authority.client(scratch, user, Some(group))?;
        let kubeconfig = kubeconfig::write(scratch, &server, user, &Credential::Certificate(&administrator))?;
        api_server.start(&client(&kubeconfig).await?).await?;
        let controller_manager = controller_manager::start(scratch, &keys, &server)?;
        let audit = AuditLog::new(api_server.audit_log());
        Ok((
            Self {
                _controller_manager: controller_manager,
                api_server: Mutex::new(api_server),
                _etcd: etcd,
                audit,
            },
            kubeconfig,
        ))
    }

    /// Ends the API server as a crash would, and starts it again on the same port. (Asked to end, it would first wait a minute
    /// for its clients to end their watches.)
    pub async fn restart_api_server(&self, client: &Client) -> Result<()> {
        let mut api_server = self.api_server.lock().await;
        api_server.kill().await?;
        api_server.start(client).await
    }

    /// What the API server wrote down about requests.
    #[must_use]
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }
}

/// A client with the access that a kubeconfig gives.
pub(crate) async fn client(kubeconfig: &Path) -> Result<Client> {
    client_as(kubeconfig, None).await
}

/// The same, for what somebody else would be answered.
pub(crate) async fn client_as(kubeconfig: &Path, user: Option<&str>) -> Result<Client> {
    let file =
        kube::config::Kubeconfig::read_from(kubeconfig).with_context(|| format!("reading {}", kubeconfig.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
        .await
        .with_context(|| format!("using {}", kubeconfig.display()))?;
    config.auth_info.impersonate = user.map(str::to_owned);
    Client::try_from(config).context("making a client of the API server")
}
