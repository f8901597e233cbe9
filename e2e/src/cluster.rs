//! The cluster under test: one of our own, or one that the person who runs the tests names.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kube::Client;
use serde_json::{Value, json};

use crate::audit::AuditLog;
use crate::control_plane::{ControlPlane, client};
use crate::kubeconfig::{self, Credential, Server};
use crate::operator;
use crate::paths::repository;
use crate::scratch::Scratch;
use crate::token::TokenRequest;
use crate::tools::{Helm, Kubectl};
use crate::wait::until;
use crate::webhook;

/// Names the kubeconfig of an existing cluster. `KUBECONFIG` itself is not taken: who has it set means another cluster with
/// it than one for tests, and these tests install custom resources and an admission webhook.
pub const EXISTING: &str = "WIO_E2E_KUBECONFIG";

/// The label of what the harness installs.
pub(crate) const MADE_HERE: &str = "workloadidentity.dev/e2e";

const LISTED_DEADLINE: Duration = Duration::from_secs(30);

/// The custom resource definition of bindings.
pub const BINDINGS_CRD: &str = "workloadidentitybindings.workloadidentity.dev";
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
        if own.is_none() {
            must_be_nobodys(&kubectl).await?;
        }
        let cluster = Self {
            client: client(&kubeconfig).await?,
            helm: Helm::new(scratch, &kubeconfig)?,
            kubectl,
            kubeconfig,
            server,
            own,
        };
        cluster
            .kubectl
            .apply(include_str!("manifests/issuer-discovery.yaml"))
            .await?;
        Ok(cluster)
    }

    /// The control plane, when it is our own: only then is there an audit log, and only then can the API server be restarted.
    #[must_use]
    pub fn own(&self) -> Option<&ControlPlane> {
        self.own.as_ref()
    }

    /// The audit log; an error when the control plane is not our own.
    pub fn audit(&self) -> Result<&AuditLog> {
        let own = self.own.as_ref().context("it needs the audit log")?;
        Ok(own.audit())
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
        for folder in [
            "crd",
            "rbac",
            "exports",
            "verification",
            "workloads",
            "rollouts",
            "admission",
        ] {
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
            self.kubectl
                .run(&["get", BINDINGS_CRD, "--all-namespaces"])
                .await
                .map(Some)
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
        clean(&self.kubectl).await
    }

    /// Does the same in the cluster that [`EXISTING`] names, for a run that was interrupted before it had anything to keep.
    pub async fn clean_named() -> Result<()> {
        let Some(kubeconfig) = std::env::var_os(EXISTING) else {
            return Ok(());
        };
        let scratch = Scratch::new()?;
        clean(&Kubectl::new(&scratch, Path::new(&kubeconfig))?).await
    }

    /// Makes a namespace as a person does, who labels it afterwards: whoever applies it later without the label leaves it on. It is
    /// removed at the end.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        self.kubectl.run(&["create", "namespace", name]).await?;
        let label = format!("{MADE_HERE}=true");
        self.kubectl.run(&["label", "namespace", name, &label]).await.map(drop)
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

/// Fails when somebody else's things are in the cluster that a person named and would be taken away at the end. What an interrupted run
/// left carries the label.
async fn must_be_nobodys(kubectl: &Kubectl) -> Result<()> {
    let others = format!("--selector=!{MADE_HERE}");
    let theirs = kubectl.run(&["get", "crd,namespace", &others, "--output=name"]).await?;
    for name in [
        BINDINGS_CRD,
        POLICIES_CRD,
        EFFECTIVE_CRD,
        operator::NAMESPACE,
        webhook::NAMESPACE,
    ] {
        ensure!(
            !theirs.lines().any(|line| line.ends_with(&format!("/{name}"))),
            "the cluster of {EXISTING} has {name} already, which would be taken away at the end; name one to throw away"
        );
    }
    Ok(())
}

/// Removes what carries the label, and bindings first.
async fn clean(kubectl: &Kubectl) -> Result<()> {
    const TIMEOUT: &str = "--timeout=120s";
    let ours = format!("--selector={MADE_HERE}=true");
    let definition = ["get", "crd", &ours, "--output=name"];
    if kubectl.run(&definition).await?.contains(BINDINGS_CRD) {
        kubectl
            .run(&["delete", BINDINGS_CRD, "--all", "--all-namespaces", TIMEOUT])
            .await?;
    }
    let kinds = "mutatingwebhookconfigurations,validatingadmissionpolicybindings,validatingadmissionpolicies,namespaces,\
                 clusterrolebindings,clusterroles,customresourcedefinitions";
    kubectl.run(&["delete", kinds, &ours, TIMEOUT]).await.map(drop)
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
