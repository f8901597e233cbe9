//! The cluster under test: one of our own, or one that the person who runs the tests names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kube::Client;
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, client};
use crate::kubeconfig::{self, Credential, Server};
use crate::paths::repository;
use crate::scratch::Scratch;
use crate::token::TokenRequest;
use crate::tools::{Helm, Kubectl};
use crate::wait::until;

/// Names the kubeconfig of an existing cluster. `KUBECONFIG` itself is not taken: who has it set means another cluster with
/// it than one for tests, and these tests install custom resources and an admission webhook.
pub const EXISTING: &str = "WIO_E2E_KUBECONFIG";

/// The label of what the harness installs.
pub(crate) const MADE_HERE: &str = "workloadidentity.dev/e2e";

const LISTED_DEADLINE: Duration = Duration::from_secs(30);

const CRD: &str = "workloadidentitybindings.workloadidentity.dev";
/// The custom resource definition of policies.
pub const POLICIES_CRD: &str = "workloadidentitypolicies.workloadidentity.dev";
const EFFECTIVE_CRD: &str = "workloadidentityeffectivepolicies.workloadidentity.dev";

/// As long as the longest run.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// A cluster, as its administrator sees it.
pub struct Cluster {
    /// A client with the administrator's access.
    pub client: Client,
    /// kubectl with the administrator's access.
    pub kubectl: Kubectl,
    /// Helm with the administrator's access.
    pub helm: Helm,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    server: Server,
    own: Option<ControlPlane>,
}

// === impl Cluster ===

impl Cluster {
    /// Starts a control plane, or takes the cluster that [`EXISTING`] names.
    pub async fn start(scratch: &Scratch) -> Result<Self> {
        let (own, kubeconfig) = if let Some(path) = std::env::var_os(EXISTING) {
            (None, PathBuf::from(path))
        } else {
            let (own, kubeconfig) = ControlPlane::start(scratch).await?;
            (Some(own), kubeconfig)
        };
        let kubectl = Kubectl::new(scratch, &kubeconfig)?;
        let server = server(scratch, &kubectl).await?;
        let cluster = Self {
            client: client(&kubeconfig).await?,
            helm: Helm::new(scratch, &kubeconfig)?,
            kubectl,
            kubeconfig,
            server,
            own,
        };
        if cluster.own.is_some() {
            cluster
                .kubectl
                .apply(include_str!("manifests/issuer-discovery.yaml"))
                .await?;
        }
        Ok(cluster)
    }

    /// The control plane, when it is our own: only then is there an audit log, and only then can the API server be restarted.
    #[must_use]
    pub fn own(&self) -> Option<&ControlPlane> {
        self.own.as_ref()
    }

    /// The authority that signed the API server's certificate, in PEM.
    #[must_use]
    pub fn authority(&self) -> &Path {
        &self.server.authority
    }

    /// The issuer of service account tokens, byte for byte as the discovery document has it.
    pub async fn issuer(&self) -> Result<String> {
        let request = http::Request::get("/.well-known/openid-configuration").body(Vec::new())?;
        let document: Value = self
            .client
            .request(request)
            .await
            .context("reading the discovery document")?;
        let issuer = document.get("issuer").and_then(Value::as_str);
        issuer
            .map(str::to_owned)
            .context("the discovery document names no issuer")
    }

    /// Makes a namespace. It is removed at the end.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let manifest = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": name, "labels": { MADE_HERE: "true" } },
        });
        self.kubectl.apply(&manifest.to_string()).await.map(drop)
    }

    /// Installs the custom resources, the operator's roles and the rules of admission from `config`, as a person would.
    pub(crate) async fn install(&self) -> Result<()> {
        // What an interrupted run left carries the label.
        let theirs = self
            .kubectl
            .run(&["get", "crd", &format!("--selector=!{MADE_HERE}"), "--output=name"])
            .await?;
        for crd in [CRD, POLICIES_CRD, EFFECTIVE_CRD] {
            ensure!(
                !theirs.contains(crd),
                "the cluster has {crd} already, which these tests would take away at their end; use another cluster"
            );
        }
        for folder in ["crd", "rbac", "admission"] {
            let path = repository().join("config").join(folder);
            let path = path.to_str().context("the repository's path is not Unicode")?;
            self.kubectl
                .run(&["apply", "--server-side", "--kustomize", path])
                .await?;
            if self.own.is_none() {
                let label = format!("{MADE_HERE}=true");
                self.kubectl
                    .run(&["label", "--overwrite", "--kustomize", path, &label])
                    .await?;
            }
        }
        // `kubectl wait` fails on a kind that was made so recently that it has no conditions, and an established one is
        // listed among the kinds only a moment later.
        until("kubectl to know the custom resources", LISTED_DEADLINE, async || {
            self.kubectl.run(&["get", POLICIES_CRD]).await?;
            self.kubectl.run(&["get", EFFECTIVE_CRD]).await?;
            self.kubectl.run(&["get", CRD, "--all-namespaces"]).await.map(Some)
        })
        .await
        .map(drop)
    }

    /// Removes what the harness and the tests installed, unless the cluster goes with it. The operator must still run:
    /// it takes away what bindings made.
    pub(crate) async fn clean(&self) -> Result<()> {
        if self.own.is_some() {
            return Ok(());
        }
        self.kubectl
            .run(&["delete", CRD, "--all", "--all-namespaces", "--timeout=120s"])
            .await?;
        let label = format!("--selector={MADE_HERE}=true");
        let kinds = "mutatingwebhookconfigurations,validatingadmissionpolicybindings,validatingadmissionpolicies,namespaces,\
                     clusterrolebindings,clusterroles,customresourcedefinitions";
        self.kubectl
            .run(&["delete", kinds, &label, "--timeout=120s"])
            .await
            .map(drop)
    }

    /// Writes a kubeconfig with which a program is this service account, and may do what its roles allow and nothing else.
    pub async fn kubeconfig_of(&self, scratch: &Scratch, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = TokenRequest {
            seconds: Some(TOKEN_SECONDS),
            ..TokenRequest::default()
        };
        let token = token.mint(&self.client, namespace, name).await?;
        let file = scratch.write(&format!("tokens/{namespace}-{name}"), token)?;
        kubeconfig::write(scratch, &self.server, name, &Credential::TokenFile(&file))
    }
}

/// What the kubeconfig says of the server, with the authority in a file of ours.
async fn server(scratch: &Scratch, kubectl: &Kubectl) -> Result<Server> {
    let view = kubectl
        .run(&["config", "view", "--raw", "--minify", "--flatten", "--output=json"])
        .await?;
    let view: Value = serde_json::from_str(&view).context("reading the kubeconfig")?;
    let cluster = view
        .pointer("/clusters/0/cluster")
        .context("the kubeconfig names no cluster")?;
    let field = |name: &str| cluster.get(name).and_then(Value::as_str);
    let url = field("server").context("the kubeconfig names no server")?.to_owned();
    let authority = field("certificate-authority-data").context("the kubeconfig names no certificate authority")?;
    let authority = BASE64_STANDARD
        .decode(authority)
        .context("the kubeconfig's certificate authority")?;
    ensure!(url.starts_with("https://"), "{url} is not an https address");
    Ok(Server {
        url,
        authority: scratch.write("pki/api-server-authority.crt", authority)?,
    })
}
