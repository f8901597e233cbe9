//! The operator's own binary, with the access that `config/rbac` and `config/azure` grant it and nothing more.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_testkit::abuse;

use crate::cluster::{Cluster, MADE_HERE};
use crate::paths::built;
use crate::ports::free_port;
use crate::process::{Process, Program, Signal};
use crate::scratch::Scratch;
use crate::simulator::{
    LOCATION, PLATFORM_GROUP, Principal, RESOURCE_GROUP, RESTRICTED_GROUP, SUBSCRIPTION, Simulator, TENANT, cluster_id,
    group_id, identity_id,
};
use crate::token::TokenRequest;

/// The operator's namespace, as in `config/rbac`.
pub const NAMESPACE: &str = "workload-identity-system";
/// The operator's service account and cluster role, as in `config/rbac`.
pub const NAME: &str = "workload-identity-operator";
/// The operator, as the API server names it.
pub const USER: &str = "system:serviceaccount:workload-identity-system:workload-identity-operator";
/// The setting of how often Azure is looked at for each binding.
pub const DRIFT_INTERVAL: &str = "WIO_DRIFT_INTERVAL";
/// The setting of the Lease's namespace, without which an operator runs alone.
const LEASE_NAMESPACE: &str = "WIO_LEASE_NAMESPACE";
const LEASE_DURATION: &str = "WIO_LEASE_DURATION";
/// Short, so that a test does not wait for long, and longer than the simulator takes for any write.
pub const LEASE: Duration = Duration::from_secs(6);
/// The cluster's node resource group, in which no binding may have an identity.
pub const NODE_GROUP: &str = "MC_cluster_nodes";
/// Short, so that drift is found while a test waits, and long enough for the bindings of all tests together to stay
/// within Azure's budget of reads.
pub const SHORT: &str = "4s";
/// The setting of how often each binding is looked at by itself where lists and the activity log are followed. When it is the drift
/// interval nothing is followed, and a test waits for no log that comes late.
pub const SWEEP_INTERVAL: &str = "WIO_SWEEP_INTERVAL";

/// The setting of whether pods are looked at.
pub const WORKLOADS: &str = "WIO_WORKLOADS";

/// What the operator's and the workloads' tokens are for.
pub const AUDIENCE: &str = "api://AzureADTokenExchange";
const POD_NAME: &str = "POD_NAME";
const LISTEN: &str = "WIO_LISTEN";
const START_DEADLINE: Duration = Duration::from_mins(1);
/// A little more than the operator grants itself.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// The operator, which can be killed and started again.
#[derive(Debug)]
pub struct Operator {
    name: String,
    program: Program,
    process: Option<Process>,
    logs: PathBuf,
    address: String,
    web: reqwest::Client,
    principal: Principal,
}

/// What the platform team lets every namespace have: its own identities, and one role where those are.
#[must_use]
pub fn platform_policy() -> Value {
    let identities = |group| format!("{}*", identity_id(group, ""));
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityPolicy",
        "metadata": { "name": "platform", "labels": { MADE_HERE: "true" } },
        "spec": {
            "namespaces": { "selector": {} },
            "existingIdentities": [identities(PLATFORM_GROUP), identities(RESTRICTED_GROUP)],
            "roles": [{ "role": "Key Vault Secrets User", "scopes": [group_id(PLATFORM_GROUP)] }],
        },
    })
}

// === impl Operator ===

impl Operator {
    /// Installs the custom resource and the roles, starts the operator and waits until it is ready.
    pub async fn start(scratch: &Scratch, cluster: &Cluster, simulator: &Simulator) -> Result<Self> {
        cluster.install().await?;
        cluster.kubectl.apply(&platform_policy().to_string()).await?;
        Self::start_installed(scratch, cluster, simulator).await
    }

    /// Starts the operator where somebody else installed the custom resources and the roles, and waits until it is ready.
    pub async fn start_installed(scratch: &Scratch, cluster: &Cluster, simulator: &Simulator) -> Result<Self> {
        let principal = simulator
            .make_operator(&cluster.issuer().await?, USER, AUDIENCE)
            .await?;
        let token = TokenRequest {
            audience: Some(AUDIENCE.to_owned()),
            seconds: Some(24 * 60 * 60),
            pod: None,
        };
        let token = token.mint(&cluster.client, NAMESPACE, NAME).await?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let program = Program::new(built("workload-identity-operator", "workload-identity-operator")?)
            .flag("subscription-id", SUBSCRIPTION)
            .flag("resource-group", RESOURCE_GROUP)
            .flag("location", LOCATION)
            .flag("arm-endpoint", simulator.url())
            .env(LISTEN, &listen)
            .env("KUBECONFIG", cluster.kubeconfig_of(scratch, NAMESPACE, NAME).await?)
            .env(POD_NAME, "operator")
            .env(DRIFT_INTERVAL, SHORT)
            .env(SWEEP_INTERVAL, SHORT)
            .env("WIO_TEST_PACE", "1")
            .env(WORKLOADS, "true")
            .env("WIO_ROLLOUTS", "true")
            .env("WIO_ALLOW_PRIVATE_ISSUER", "true")
            .env(
                "WIO_PROTECTED_RESOURCE_GROUPS",
                [group_id(NODE_GROUP), group_id(abuse::NODE_GROUP)].join(","),
            )
            .env("WIO_PROTECTED_IDENTITIES", abuse::control_plane())
            .env("WIO_CLUSTER_ID", cluster_id())
            .env("NO_COLOR", "1")
            .env("WIO_LOG", "info,wio_controller=debug,wio_azure=debug")
            .env("WIO_LOG_FORMAT", "text")
            .env("AZURE_CLIENT_ID", &principal.client_id)
            .env("AZURE_TENANT_ID", TENANT)
            .env(
                "AZURE_FEDERATED_TOKEN_FILE",
                scratch.write("tokens/operator-azure", token)?,
            )
            .env("AZURE_AUTHORITY_HOST", simulator.url())
            .env("SSL_CERT_FILE", simulator.authority());
        let web = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("making an HTTP client")?;
        let address = format!("http://{listen}");
        let mut operator = Self {
            name: "operator".to_owned(),
            program,
            process: None,
            logs: scratch.logs(),
            address,
            web,
            principal,
        };
        operator.run().await?;
        Ok(operator)
    }

    /// Changes a setting by its environment variable, from the next start on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.program = self.program.clone().env(variable, value);
    }

    /// Is another build, from the next start on.
    pub fn replace(&mut self, binary: &Path) {
        self.program = self.program.clone().replaced(binary);
    }

    /// Takes part in the election of one that leads, or runs alone, from the next start on.
    pub fn elect(&mut self, elects: bool) {
        let program = self.program.clone();
        self.program = if elects {
            let duration = format!("{}s", LEASE.as_secs());
            program.env(LEASE_NAMESPACE, NAMESPACE).env(LEASE_DURATION, duration)
        } else {
            program.without_env(LEASE_NAMESPACE).without_env(LEASE_DURATION)
        };
    }

    /// The variables by which it signs in to Azure.
    #[must_use]
    pub fn sign_in(&self) -> Vec<(&'static str, OsString)> {
        const VARIABLES: [&str; 5] = [
            "AZURE_CLIENT_ID",
            "AZURE_TENANT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST",
            "SSL_CERT_FILE",
        ];
        let value = |name| Some((name, self.program.variable(name)?.clone()));
        VARIABLES.into_iter().filter_map(value).collect()
    }

    /// Another replica of it, which does not run yet.
    pub fn replica(&self, name: &str) -> Result<Self> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        Ok(Self {
            name: name.to_owned(),
            program: self.program.clone().env(LISTEN, &listen).env(POD_NAME, name),
            process: None,
            logs: self.logs.clone(),
            address: format!("http://{listen}"),
            web: self.web.clone(),
            principal: self.principal.clone(),
        })
    }

    /// Its name, with which it stands in the Lease.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process
            .as_mut()
            .context("the operator does not run")?
            .signal(signal)
    }

    /// Waits until it has ended by itself. Returns its exit code and the end of its log.
    pub async fn has_ended(&mut self) -> Result<(i32, String)> {
        let mut process = self.process.take().context("the operator does not run")?;
        let code = process.until_ended(STOP_DEADLINE).await?;
        Ok((code, process.log_tail()))
    }

    /// Limits its memory from the next start on: the bytes of heap and stacks, beyond which it gets none.
    pub fn limit_data(&mut self, bytes: Option<u64>) {
        self.program = self.program.clone().data_limit(bytes);
    }

    /// Starts the operator, which does not run, and waits until it is ready.
    pub async fn run(&mut self) -> Result<()> {
        let (ready, web) = (format!("{}/readyz", self.address), &self.web);
        let process = self.process.insert(self.program.start(&self.name, &self.logs)?);
        process
            .until_ready(START_DEADLINE, async || {
                let answer = web.get(&ready).send().await?;
                let status = answer.status();
                ensure!(status.is_success(), "{status}: {}", answer.text().await?);
                Ok(Some(()))
            })
            .await
    }

    /// Ends the operator: at once, or by asking it to. Returns its exit code.
    pub async fn end(&mut self, signal: Signal) -> Result<i32> {
        let mut process = self.process.take().context("the operator does not run")?;
        process.stop(signal, STOP_DEADLINE).await
    }

    /// Ends the operator and starts it again.
    pub async fn restart(&mut self, signal: Signal) -> Result<()> {
        self.end(signal).await?;
        self.run().await
    }

    /// Starts it anew with a variable of its environment, or without it.
    pub async fn restart_with(&mut self, variable: &str, value: Option<&str>) -> Result<()> {
        match value {
            Some(value) => self.set(variable, value),
            None => self.program = self.program.clone().without_env(variable),
        }
        self.restart(Signal::Terminate).await
    }

    /// What /metrics says.
    pub async fn metrics(&self) -> Result<String> {
        let answer = self.web.get(format!("{}/metrics", self.address)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Where it serves /livez, /readyz and /metrics.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub fn id(&self) -> Result<u32> {
        self.process.as_ref().context("the operator does not run")?.id()
    }

    /// Who it is in Azure.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }
}
