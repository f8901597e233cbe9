//! The simulator in the place of Azure, furnished as a platform team would have it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::form_urlencoded;
use wio_azure_sim::{Fault, Identity, LoggedRequest, Snapshot};

use crate::azure_roles::{self, AzureRole, Granted};
use crate::paths::built;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// The subscription of `config/samples`.
pub const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
/// The resource group in which the operator creates identities.
pub const RESOURCE_GROUP: &str = "workload-identities";
/// The resource group of identities that the platform team owns, as in `config/samples`.
pub const PLATFORM_GROUP: &str = "platform";
/// Another one, in which a test may take the operator's permission away without hurting the others.
pub const RESTRICTED_GROUP: &str = "restricted";
/// One that the harness's own policy says nothing about.
pub const OTHER_GROUP: &str = "other";
/// Where the operator's own identity lies, which no role of the operator and no policy reaches.
const OPERATORS_GROUP: &str = "operators";
const GROUPS: [&str; 5] = [
    RESOURCE_GROUP,
    PLATFORM_GROUP,
    RESTRICTED_GROUP,
    OTHER_GROUP,
    OPERATORS_GROUP,
];
/// The cluster's name in Azure.
const CLUSTER: &str = "shop";
/// The resource group of the identities by which it acts, at which no test gives a role.
pub const CLUSTERS_GROUP: &str = "clusters";
/// The identity by which its kubelets act.
pub const KUBELET: &str = "kubelet";
/// Key Vault Secrets User, the one role that the operator may assign, and only in [`PLATFORM_GROUP`].
pub const ROLE_OF_WORKLOADS: &str = "4633458b-17de-408a-b874-0445c86b69e6";
/// The region of everything.
pub const LOCATION: &str = "westeurope";
/// The tenant.
pub const TENANT: &str = "0d8b1f6e-3c55-4b0e-9d3f-6a7f1f5c2b90";

const START_DEADLINE: Duration = Duration::from_secs(30);
const IDENTITY_API: &str = "2024-11-30";
const ROLE_API: &str = "2022-04-01";
const GROUP_API: &str = "2021-04-01";
/// <https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/privileged#owner>
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
/// With this bearer token the harness is the platform team.
pub const PLATFORM_TEAM_TOKEN: &str = "platform-team";
const PLATFORM_TEAM: &str = "3b1de86c-8f0a-4a37-9a6d-5f0c8d5f7e21";

/// Whose token a federated credential trusts.
#[derive(Clone, Copy, Debug)]
pub struct Trusted<'a> {
    /// Who issues the token.
    pub issuer: &'a str,
    /// Whom the token is about.
    pub subject: &'a str,
    /// For whom it is issued.
    pub audience: &'a str,
}

/// As what a client says that it signs in by a token of somebody else.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    _process: Process,
    url: String,
    authority: PathBuf,
    web: reqwest::Client,
}

/// The ids of an identity.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The application id, with which it signs in.
    pub client_id: String,
    /// The object id, to which roles are assigned and which tokens carry.
    pub principal_id: String,
}

// === impl Simulator ===

impl Simulator {
    /// Starts it. `issuer_authority` signed the certificate of the clusters' issuers, in PEM.
    pub async fn start(scratch: &Scratch, issuer_authority: &Path) -> Result<Self> {
        let certificates = scratch.folder("simulator")?;
        let port_file = certificates.join("port");
        let mut process = Program::new(built("azure-sim", "wio-azure-sim")?)
            .flag("listen", "127.0.0.1:0")
            .flag("tenant-id", TENANT)
            .flag("issuer-ca", issuer_authority)
            .flag("cert-out", &certificates)
            .flag("port-file", &port_file)
            .start("simulator", &scratch.logs())?;
        let port = process
            .until_ready(START_DEADLINE, async || {
                let port = std::fs::read_to_string(&port_file).unwrap_or_default();
                Ok(port.trim().parse::<u16>().ok())
            })
            .await?;
        let authority = certificates.join("ca.pem");
        let pem = std::fs::read(&authority).with_context(|| format!("reading {}", authority.display()))?;
        let certificate = reqwest::Certificate::from_pem(&pem).context("the simulator's authority")?;
        let web = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([certificate])
            .build()
            .context("making an HTTP client")?;
        let simulator = Self {
            _process: process,
            url: format!("https://127.0.0.1:{port}/"),
            authority,
            web,
        };
        simulator.furnish().await.context("furnishing the simulated cloud")?;
        Ok(simulator)
    }

    /// The address of Azure Resource Manager and of Entra.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The authority that signed its certificate, in PEM.
    #[must_use]
    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// The variables by which `kubectl wib` finds it.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, &OsStr); 3] {
        [
            ("AZURE_AUTHORITY_HOST", OsStr::new(&self.url)),
            ("WIO_ARM_ENDPOINT", OsStr::new(&self.url)),
            ("SSL_CERT_FILE", self.authority.as_os_str()),
        ]
    }

    /// The platform team, its resource groups and its rights.
    async fn furnish(&self) -> Result<()> {
        self.configure(&json!({ "staticTokens": { PLATFORM_TEAM_TOKEN: PLATFORM_TEAM } }))
            .await?;
        for group in GROUPS {
            self.arm(
                Method::PUT,
                &group_id(group),
                GROUP_API,
                Some(&json!({ "location": LOCATION })),
            )
            .await?;
        }
        // AKS writes resource ids in whatever case.
        let cluster = json!({
            "subscriptionId": SUBSCRIPTION, "resourceGroup": PLATFORM_GROUP, "name": CLUSTER, "location": LOCATION,
            "identity": { "type": "SystemAssigned" },
            "properties": {
                "nodeResourceGroup": "MC_platform_shop",
                "identityProfile": { "kubeletidentity": { "resourceId": identity_id(CLUSTERS_GROUP, KUBELET).to_lowercase() } },
            },
        });
        let mut snapshot = self.snapshot().await?;
        snapshot
            .managed_clusters
            .push(serde_json::from_value(cluster).context("the cluster")?);
        self.restore(&snapshot).await?;
        let subscription = format!("/subscriptions/{SUBSCRIPTION}");
        self.assign(&subscription, OWNER, PLATFORM_TEAM, None).await?;
        // From here on rights count, as in Azure.
        self.configure(&json!({ "authorization": true })).await
    }

    /// Makes the operator's own identity, which trusts this issuer for this subject, and gives it the roles of
    /// `config/azure`, as [`azure_roles::granted`] says.
    pub async fn make_operator(&self, issuer: &str, subject: &str, audience: &str) -> Result<Principal> {
        let id = identity_id(OPERATORS_GROUP, "workload-identity-operator");
        let operator = self.put_identity(&id).await?;
        self.put_credential(
            &id,
            "cluster",
            Trusted {
                issuer,
                subject,
                audience,
            },
        )
        .await?;
        for Granted { file, role, scope } in azure_roles::granted()? {
            let definition = role_definition_id(&role.guid());
            self.arm(Method::PUT, &definition, ROLE_API, Some(&role.body())).await?;
            let condition = if file == azure_roles::ROLE_ASSIGNMENTS {
                Some(azure_roles::condition()?)
            } else {
                None
            };
            self.assign(&scope, &role.guid(), &operator.principal_id, condition)
                .await?;
        }
        Ok(operator)
    }

    /// Makes an identity that may do everything in the subscription, and trusts whose tokens it is told.
    pub async fn make_owner(&self, name: &str, trusted: Trusted<'_>) -> Result<Principal> {
        let id = identity_id(OPERATORS_GROUP, name);
        let owner = self.put_identity(&id).await?;
        self.put_credential(&id, "cluster", trusted).await?;
        let subscription = format!("/subscriptions/{SUBSCRIPTION}");
        self.assign(&subscription, OWNER, &owner.principal_id, None).await?;
        Ok(owner)
    }

    /// Lets the operator bind the identities of a resource group. Returns the id of the role assignment.
    pub async fn permit_operator(&self, group: &str, operator: &Principal) -> Result<String> {
        let role = AzureRole::read(azure_roles::FEDERATED_CREDENTIALS)?;
        self.assign(&group_id(group), &role.guid(), &operator.principal_id, None)
            .await
    }

    async fn assign(&self, scope: &str, role: &str, principal: &str, condition: Option<String>) -> Result<String> {
        let name = uuid::Uuid::new_v5(
            &uuid::Uuid::NAMESPACE_URL,
            format!("{scope} {role} {principal}").as_bytes(),
        );
        let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let mut properties = json!({
            "roleDefinitionId": role_definition_id(role), "principalId": principal, "principalType": "ServicePrincipal",
        });
        if let (Some(condition), Value::Object(properties)) = (condition, &mut properties) {
            properties.insert("condition".to_owned(), Value::String(condition));
            properties.insert("conditionVersion".to_owned(), json!("2.0"));
        }
        self.arm(Method::PUT, &id, ROLE_API, Some(&json!({ "properties": properties })))
            .await?;
        Ok(id)
    }

    /// Makes a managed identity as the platform team.
    pub async fn put_identity(&self, id: &str) -> Result<Principal> {
        let answer = self
            .arm(Method::PUT, id, IDENTITY_API, Some(&json!({ "location": LOCATION })))
            .await?;
        let field = |name: &str| {
            let value = answer.pointer(&format!("/properties/{name}")).and_then(Value::as_str);
            value
                .map(str::to_owned)
                .with_context(|| format!("the answer holds no {name}: {answer}"))
        };
        Ok(Principal {
            client_id: field("clientId")?,
            principal_id: field("principalId")?,
        })
    }

    /// Deletes a managed identity as the platform team.
    pub async fn delete_identity(&self, id: &str) -> Result<()> {
        self.arm(Method::DELETE, id, IDENTITY_API, None).await.map(drop)
    }

    /// Writes a federated credential of an identity as the platform team.
    pub async fn put_credential(&self, id: &str, name: &str, trusted: Trusted<'_>) -> Result<()> {
        let Trusted {
            issuer,
            subject,
            audience,
        } = trusted;
        let body = json!({ "properties": { "issuer": issuer, "subject": subject, "audiences": [audience] } });
        self.arm(Method::PUT, &credential_id(id, name), IDENTITY_API, Some(&body))
            .await
            .map(drop)
    }

    /// Deletes a federated credential of an identity as the platform team.
    pub async fn delete_credential(&self, id: &str, name: &str) -> Result<()> {
        self.arm(Method::DELETE, &credential_id(id, name), IDENTITY_API, None)
            .await
            .map(drop)
    }

    /// Takes a role assignment away as the platform team.
    pub async fn delete_assignment(&self, id: &str) -> Result<()> {
        self.arm(Method::DELETE, id, ROLE_API, None).await.map(drop)
    }

    /// A request to Azure Resource Manager as the platform team.
    async fn arm(&self, method: Method, id: &str, version: &str, body: Option<&Value>) -> Result<Value> {
        let path = format!("{}?api-version={version}", id.trim_start_matches('/'));
        self.send(method, &path, body).await
    }

    // === The admin API ===

    /// What exists.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        self.ask("_sim/snapshot").await
    }

    /// Puts a snapshot in the place of all that exists.
    pub async fn restore(&self, snapshot: &Snapshot) -> Result<()> {
        let snapshot = serde_json::to_value(snapshot).context("writing a snapshot")?;
        self.send(Method::PUT, "_sim/snapshot", Some(&snapshot)).await.map(drop)
    }

    /// An identity, if it exists.
    pub async fn identity(&self, id: &str) -> Result<Option<Identity>> {
        Ok(self.snapshot().await?.identity(id).cloned())
    }

    /// Every request so far, but those of the admin API.
    pub async fn requests(&self) -> Result<Vec<LoggedRequest>> {
        self.ask("_sim/requests").await
    }

    /// The requests so far to Azure Resource Manager whose path contains this text, in any case, such as a resource's name.
    pub async fn requests_about(&self, text: &str) -> Result<Vec<LoggedRequest>> {
        let text = text.to_lowercase();
        let mut requests = self.requests().await?;
        requests.retain(|request| request.path.to_lowercase().contains(&text));
        Ok(requests)
    }

    /// Scripts a fault.
    pub async fn inject(&self, fault: &Fault) -> Result<()> {
        self.send(Method::POST, "_sim/faults", Some(&serde_json::to_value(fault)?))
            .await
            .map(drop)
    }

    /// Changes settings of the simulated cloud.
    pub async fn configure(&self, settings: &Value) -> Result<()> {
        self.send(Method::PATCH, "_sim/config", Some(settings)).await.map(drop)
    }

    /// Has Entra trade a service account's token for one of an application, as Azure's clients do. Gives the status and what was answered.
    pub async fn exchange(&self, client_id: &str, assertion: &str) -> Result<(u16, Value)> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", client_id)
            .append_pair("scope", "https://vault.azure.net/.default")
            .append_pair("client_assertion_type", JWT_BEARER)
            .append_pair("client_assertion", assertion)
            .finish();
        let request = self
            .web
            .post(format!("{}{TENANT}/oauth2/v2.0/token", self.url))
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(form).send().await.context("asking Entra for a token")?;
        Ok((
            answer.status().as_u16(),
            answer.json().await.context("the answer of Entra")?,
        ))
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.send(Method::GET, path, None).await?;
        serde_json::from_value(answer).with_context(|| format!("reading the answer of {path}"))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let what = format!("{method} {path}");
        let mut request = self
            .web
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(PLATFORM_TEAM_TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| what.clone())?;
        let (status, text) = (answer.status(), answer.text().await.with_context(|| what.clone())?);
        ensure!(status.is_success(), "{what}: {status} {text}");
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{what}: {text}"))
    }
}

/// The resource id of the cluster.
#[must_use]
pub fn cluster_id() -> String {
    let group = group_id(PLATFORM_GROUP);
    format!("{group}/providers/Microsoft.ContainerService/managedClusters/{CLUSTER}")
}

/// The id of a resource group of [`SUBSCRIPTION`].
#[must_use]
pub fn group_id(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}")
}

/// The id of an identity in a resource group of [`SUBSCRIPTION`].
#[must_use]
pub fn identity_id(group: &str, name: &str) -> String {
    format!(
        "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
        group_id(group)
    )
}

fn role_definition_id(role: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}")
}

fn credential_id(identity: &str, name: &str) -> String {
    format!("{identity}/federatedIdentityCredentials/{name}")
}
