//! Microsoft's Azure Service Operator, unpatched and run as its chart runs it: the bench sets it beside the operator.

mod definitions;
mod private_files;
mod relay;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::cluster::Cluster;
use crate::operator::AUDIENCE;
use crate::paths::part;
use crate::ports::free_port;
use crate::process::{Process, Program, Signal};
use crate::scratch::Scratch;
use crate::simulator::{LOCATION, Principal, RESOURCE_GROUP, SUBSCRIPTION, Simulator, TENANT, Trusted, group_id};
use crate::token::TokenRequest;
use crate::wait::until;

use private_files::with_files;
use relay::Relay;

/// It, as the API server names it.
pub const USER: &str = "system:serviceaccount:azureserviceoperator-system:azureserviceoperator-default";
/// The group of its kinds of identities and federated credentials.
pub const GROUP: &str = "managedidentity.azure.com";
/// The version of them in which a person writes.
pub const VERSION: &str = "v1api20230131";
/// The version in which they are stored.
pub const STORED: &str = "v1api20230131storage";
/// The setting of how often all that it has is written to Azure again.
pub const SYNC_PERIOD: &str = "AZURE_SYNC_PERIOD";

const NAMESPACE: &str = "azureserviceoperator-system";
const SERVICE_ACCOUNT: &str = "azureserviceoperator-default";
/// Where it looks for its token, whatever it is told: `FederatedTokenFilePath` in its sources.
const TOKEN_FILE: &str = "/var/run/secrets/tokens/azure-identity";
/// Where a program in a pod reads in which namespace its Lease lies.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
const TOKEN_SECONDS: i64 = 24 * 60 * 60;
const START_DEADLINE: Duration = Duration::from_mins(2);
/// A little more than it grants itself.
const STOP_DEADLINE: Duration = Duration::from_secs(40);

/// A running Azure Service Operator, which can be ended and started again.
pub struct AzureServiceOperator {
    program: Program,
    process: Option<Process>,
    logs: PathBuf,
    health: String,
    principal: Principal,
    _relay: Relay,
}

/// What a person writes for one workload's identity with so many service accounts: the identity, and then a federated credential for each
/// account. `issuer` is the cluster's.
#[must_use]
pub fn objects(namespace: &str, name: &str, accounts: usize, issuer: &str) -> Vec<Value> {
    let api_version = format!("{GROUP}/{VERSION}");
    let identity = json!({
        "apiVersion": api_version,
        "kind": "UserAssignedIdentity",
        "metadata": { "namespace": namespace, "name": name },
        "spec": { "location": LOCATION, "azureName": name, "owner": { "armId": group_id(RESOURCE_GROUP) } },
    });
    let credential = |i| {
        json!({
            "apiVersion": api_version,
            "kind": "FederatedIdentityCredential",
            "metadata": { "namespace": namespace, "name": format!("{name}-{i}") },
            "spec": {
                "owner": { "name": name },
                "issuer": issuer,
                "subject": format!("system:serviceaccount:{namespace}:{name}-{i}"),
                "audiences": [AUDIENCE],
            },
        })
    };
    std::iter::once(identity).chain((0..accounts).map(credential)).collect()
}

// === impl AzureServiceOperator ===

impl AzureServiceOperator {
    /// Installs its kinds and its access, starts it and waits until its webhooks answer.
    pub async fn start(scratch: &Scratch, cluster: &Cluster, simulator: &Simulator) -> Result<Self> {
        cluster
            .kubectl
            .apply(include_str!("../manifests/azure-service-operator.yaml"))
            .await?;
        let issuer = cluster.issuer().await?;
        let trusted = Trusted {
            issuer: &issuer,
            subject: USER,
            audience: AUDIENCE,
        };
        let principal = simulator.make_owner("azure-service-operator", trusted).await?;
        let relay = Relay::start(simulator.url()).await?;
        let (webhooks, health) = (free_port()?, free_port()?);
        let authority = Authority::new(scratch, "aso-authority")?;
        let serving = authority.server(scratch, "aso")?;
        let certificates = scratch.folder("aso")?;
        std::fs::copy(&serving.certificate, certificates.join("tls.crt")).context("copying a certificate")?;
        std::fs::copy(&serving.key, certificates.join("tls.key")).context("copying a key")?;
        definitions::install(cluster, &authority.certificate, webhooks).await?;
        // As the deployment of its chart has it.
        let program = with_files(&Self::files(scratch, cluster).await?, &part("azure-service-operator")?)
            .await?
            .flag("crd-management", "none")
            .flag("webhook-port", webhooks.to_string())
            .flag("webhook-cert-dir", certificates)
            .flag("health-addr", format!("127.0.0.1:{health}"))
            .flag("metrics-addr", format!("127.0.0.1:{}", free_port()?))
            .flag("secure-metrics", "true")
            .arg("--enable-leader-election")
            .flag("v", "2")
            .env("GOMEMLIMIT", "400MiB")
            .env(
                "KUBECONFIG",
                cluster.kubeconfig_of(scratch, NAMESPACE, SERVICE_ACCOUNT).await?,
            )
            .env("POD_NAMESPACE", NAMESPACE)
            .env("USE_WORKLOAD_IDENTITY_AUTH", "true")
            .env("AZURE_CLIENT_ID", &principal.client_id)
            .env("AZURE_TENANT_ID", TENANT)
            .env("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
            .env("AZURE_RESOURCE_MANAGER_ENDPOINT", simulator.url().trim_end_matches('/'))
            .env("HTTPS_PROXY", relay.url())
            .env("SSL_CERT_FILE", simulator.authority());
        let mut started = Self {
            program,
            process: None,
            logs: scratch.logs(),
            health: format!("http://127.0.0.1:{health}/readyz"),
            principal,
            _relay: relay,
        };
        started.run().await?;
        let tried = Value::from(objects("default", "tried", 1, &issuer));
        let tried = json!({ "apiVersion": "v1", "kind": "List", "items": tried }).to_string();
        until("its webhooks to answer", START_DEADLINE, async || {
            cluster.kubectl.try_out(&tried).await.map(Some)
        })
        .await?;
        Ok(started)
    }

    /// The files that a pod of it has: where it is to find them, and where they lie.
    async fn files(scratch: &Scratch, cluster: &Cluster) -> Result<[(&'static str, PathBuf); 2]> {
        let token = TokenRequest {
            audience: Some(AUDIENCE.to_owned()),
            seconds: Some(TOKEN_SECONDS),
            pod: None,
        };
        let token = token.mint(&cluster.client, NAMESPACE, SERVICE_ACCOUNT).await?;
        Ok([
            (TOKEN_FILE, scratch.write("tokens/aso-azure", token)?),
            (NAMESPACE_FILE, scratch.write("aso/namespace", NAMESPACE)?),
        ])
    }

    /// Changes a setting by its environment variable, from the next start on.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.program = self.program.clone().env(variable, value);
    }

    /// Starts it, which does not run, and waits until it says that it is ready.
    pub async fn run(&mut self) -> Result<()> {
        let process = self
            .process
            .insert(self.program.start("azure-service-operator", &self.logs)?);
        process.until_healthy(&self.health, START_DEADLINE).await
    }

    /// Asks it to end, and waits until it has.
    pub async fn end(&mut self) -> Result<()> {
        let mut process = self.process.take().context("Azure Service Operator does not run")?;
        process.stop(Signal::Terminate, STOP_DEADLINE).await.map(drop)
    }

    /// Its process id.
    pub fn id(&self) -> Result<u32> {
        self.process
            .as_ref()
            .context("Azure Service Operator does not run")?
            .id()
    }

    /// Who it is in Azure.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }
}
