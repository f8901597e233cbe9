//! Argo CD's application controller and repository server, with the Lua of `config/argocd`, over a Git repository of their own.
//! `e2e/setup argocd` builds them.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON by keys only, where what is missing is null"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::cluster::Cluster;
use crate::paths::{part, repository};
use crate::ports::free_port;
use crate::process::{Process, Program, output};
use crate::scratch::Scratch;
use crate::tools::Kubectl;
use crate::wait::until;

/// The namespace of Argo CD and of its Applications.
pub const NAMESPACE: &str = "argocd";
const NAME: &str = "argocd-application-controller";
/// Argo CD, as the API server names it.
pub const USER: &str = "system:serviceaccount:argocd:argocd-application-controller";
/// How an Application names the cluster that it is in.
pub const CLUSTER: &str = "https://kubernetes.default.svc";

const START_DEADLINE: Duration = Duration::from_mins(1);
const GIT_DEADLINE: Duration = Duration::from_secs(30);
/// Longer than a sync with all its tries.
const DEADLINE: Duration = Duration::from_mins(2);

/// Argo CD, running.
#[derive(Debug)]
pub struct ArgoCd {
    kubectl: Kubectl,
    program: Program,
    git: Mutex<PathBuf>,
    _controller: Process,
    _repositories: Process,
    _redis: Process,
}

// === impl ArgoCd ===

impl ArgoCd {
    /// Installs Argo CD beside what runs, tells it of our resources as docs/gitops.md says, and starts it.
    pub async fn start(scratch: &Scratch, cluster: &Cluster) -> Result<Self> {
        install(cluster).await?;
        let git = make_repository(scratch).await?;
        let program = program(scratch, kubeconfig(scratch, cluster).await?)?;
        let [redis, repositories] = [free_port()?, free_port()?].map(|port| format!("127.0.0.1:{port}"));
        let process = Program::new(part("argocd-redis")?)
            .arg(&redis)
            .start("argocd-redis", &scratch.logs())?;
        Ok(Self {
            kubectl: cluster.kubectl.clone(),
            _redis: process,
            _repositories: start_repositories(&program, scratch, &repositories, &redis).await?,
            _controller: start_controller(&program, scratch, &repositories, &redis).await?,
            program,
            git: Mutex::new(git),
        })
    }

    /// The address of its repository.
    pub async fn repository(&self) -> String {
        format!("file://{}", self.git.lock().await.display())
    }

    /// Commits a folder of the repository that holds these files and no others.
    pub async fn commit(&self, folder: &str, files: &[(&str, String)]) -> Result<()> {
        let root = self.git.lock().await;
        let place = root.join(folder);
        if place.exists() {
            std::fs::remove_dir_all(&place).with_context(|| format!("emptying {}", place.display()))?;
        }
        for (name, content) in files {
            let file = place.join(name);
            std::fs::create_dir_all(file.parent().unwrap_or(&place)).context("making a folder of the repository")?;
            std::fs::write(&file, content).with_context(|| format!("writing {}", file.display()))?;
        }
        git(&root, &["add", "--all"]).await?;
        git(&root, &["commit", "--quiet", "--allow-empty", "--message", folder])
            .await
            .map(drop)
    }

    /// Applies an Application of a folder of the repository, which syncs by itself, with these changes to its spec.
    pub async fn apply(&self, name: &str, folder: &str, spec: &Value) -> Result<()> {
        let mut application = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": { "name": name, "namespace": NAMESPACE, "finalizers": ["resources-finalizer.argocd.argoproj.io"] },
            "spec": {
                "project": "default",
                "source": { "repoURL": self.repository().await, "targetRevision": "main", "path": folder },
                "destination": { "server": CLUSTER },
                "syncPolicy": { "automated": { "prune": true, "selfHeal": true } },
            },
        });
        merge(&mut application["spec"], spec);
        self.kubectl.apply(&application.to_string()).await.map(drop)
    }

    /// Says how it compares an Application with Git: `ServerSideDiff=true`, or nothing special.
    pub async fn compare(&self, name: &str, options: &str) -> Result<()> {
        let options = format!("argocd.argoproj.io/compare-options={options}");
        let annotate = ["annotate", "application", name, "--namespace", NAMESPACE, "--overwrite"];
        self.kubectl.run(&[&annotate[..], &[&options]].concat()).await.map(drop)
    }

    /// An Application as it is.
    pub async fn application(&self, name: &str) -> Result<Value> {
        self.kubectl.get(&["application", name, "--namespace", NAMESPACE]).await
    }

    /// Has it compare an Application with Git and the cluster anew, and waits until it did.
    pub async fn refresh(&self, name: &str) -> Result<()> {
        const REFRESH: &str = "argocd.argoproj.io/refresh";
        let annotate = ["annotate", "application", name, "--namespace", NAMESPACE, "--overwrite"];
        let asked = format!("{REFRESH}=hard");
        self.kubectl.run(&[&annotate[..], &[&asked]].concat()).await?;
        until(&format!("{name} to be compared"), DEADLINE, async || {
            let application = self.application(name).await?;
            Ok(application["metadata"]["annotations"]
                .get(REFRESH)
                .is_none()
                .then_some(()))
        })
        .await
    }

    /// Waits until an Application is as this says, and returns it. What Git holds is looked at first.
    pub async fn until(&self, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        self.refresh(name).await?;
        until(&format!("{name} to be {what}"), DEADLINE, async || {
            let application = self.application(name).await?;
            ensure!(is(&application), "it is {:#}", application["status"]);
            Ok(Some(application))
        })
        .await
    }

    /// Waits until an Application is in sync and of this health.
    pub async fn synced(&self, name: &str, health: &str) -> Result<Value> {
        self.until(name, &format!("Synced and {health}"), |it| {
            let status = &it["status"];
            status["sync"]["status"] == "Synced"
                && status["health"]["status"] == health
                && status["operationState"]["phase"] == "Succeeded"
        })
        .await
    }

    /// Deletes an Application with all that it holds, and waits until all of that is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let delete = [
            "delete",
            "application",
            name,
            "--namespace",
            NAMESPACE,
            "--timeout=120s",
        ];
        self.kubectl.run(&delete).await.map(drop)
    }

    /// What its command line says: `argocd admin settings resource-overrides …`.
    pub async fn overrides(&self, words: &[&str]) -> Result<String> {
        let all = ["admin", "settings", "resource-overrides"].iter().chain(words);
        let program = self.program.clone().env("ARGOCD_BINARY_NAME", "argocd");
        let program = all.fold(program, |program, word| program.arg(*word));
        output(program, None, DEADLINE).await
    }
}

/// Puts the fields of one object into another one, field by field.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => from.clone_into(into),
    }
}

// === Installing ===

async fn install(cluster: &Cluster) -> Result<()> {
    let (kubectl, files) = (&cluster.kubectl, repository().join(".build/e2e/argocd"));
    cluster.namespace(NAMESPACE).await?;
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in
        std::fs::read_dir(&files).with_context(|| format!("{}: `e2e/setup argocd` makes it", files.display()))?
    {
        found.push(entry.context("reading what Argo CD is installed from")?.path());
    }
    for file in found
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "yaml"))
    {
        apply_file(kubectl, file, &["--namespace", NAMESPACE]).await?;
    }
    kubectl.apply(&access()).await?;
    until("kubectl to know Applications", START_DEADLINE, async || {
        kubectl.apply(&project()).await.map(Some)
    })
    .await?;
    // What somebody else keeps in the same ConfigMap stays.
    let theirs = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "argocd-cm", "namespace": NAMESPACE },
        "data": { "timeout.reconciliation": "30s" },
    });
    kubectl.apply(&theirs.to_string()).await?;
    for file in [
        "config/argocd/argocd-cm.yaml",
        "config/argocd/app-of-apps/argocd-cm.yaml",
    ] {
        let manager = format!("--field-manager={}", file.replace('/', "-"));
        apply_file(kubectl, &repository().join(file), &[&manager]).await?;
    }
    let map = kubectl.get(&["configmap/argocd-cm", "--namespace", NAMESPACE]).await?;
    for key in [
        "timeout.reconciliation",
        "resource.customizations.health.workloadidentity.dev_WorkloadIdentityBinding",
        "resource.customizations.health.argoproj.io_Application",
    ] {
        ensure!(map["data"][key].is_string(), "{key} is not in argocd-cm: {map:#}");
    }
    Ok(())
}

async fn apply_file(kubectl: &Kubectl, file: &Path, more: &[&str]) -> Result<()> {
    let file = file.to_str().context("the path is not Unicode")?;
    let apply = ["apply", "--server-side", "--filename", file];
    kubectl.run(&[&apply[..], more].concat()).await.map(drop)
}

/// Its service account, which may do everything, as Argo CD's own manifests have it.
fn access() -> String {
    let account =
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": NAME, "namespace": NAMESPACE } });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": NAME },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE }],
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [account, binding] }).to_string()
}

/// The project that its API server, which does not run here, would make.
fn project() -> String {
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": { "name": "default", "namespace": NAMESPACE },
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{ "server": "*", "namespace": "*" }],
            "clusterResourceWhitelist": [{ "group": "*", "kind": "*" }],
        },
    })
    .to_string()
}

/// A kubeconfig with its token in it, whose context is its namespace: it takes no other.
async fn kubeconfig(scratch: &Scratch, cluster: &Cluster) -> Result<PathBuf> {
    let file = cluster.kubeconfig_of(scratch, NAMESPACE, NAME).await?;
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).context("reading a kubeconfig")?)?;
    let user = config
        .pointer_mut("/users/0/user")
        .context("the kubeconfig names no user")?;
    let token = user["tokenFile"].as_str().context("the kubeconfig names no token")?;
    let token = std::fs::read_to_string(token).context("reading a token")?;
    *user = json!({ "token": token });
    let context = config
        .pointer_mut("/contexts/0/context")
        .context("the kubeconfig has no context")?;
    context["namespace"] = json!(NAMESPACE);
    scratch.write("argocd/kubeconfig", config.to_string())
}

// === Git ===

async fn make_repository(scratch: &Scratch) -> Result<PathBuf> {
    let root = scratch.folder("argocd/repository")?;
    git(&root, &["init", "--quiet", "--initial-branch=main"]).await?;
    git(&root, &["commit", "--quiet", "--allow-empty", "--message=begin"]).await?;
    Ok(root)
}

/// Git, with no settings of the person who runs the tests.
async fn git(root: &Path, words: &[&str]) -> Result<String> {
    let settings = ["user.name=e2e", "user.email=e2e@example.com", "commit.gpgsign=false"];
    let mut program = Program::new("git")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    program = settings.iter().fold(program.arg("-C").arg(root), |program, setting| {
        program.arg("-c").arg(*setting)
    });
    output(
        words.iter().fold(program, |program, word| program.arg(*word)),
        None,
        GIT_DEADLINE,
    )
    .await
}

// === Starting ===

fn program(scratch: &Scratch, kubeconfig: PathBuf) -> Result<Program> {
    let argocd = part("argocd")?;
    // Helm, and what Argo CD asks of Git.
    let mut path = std::env::join_paths([
        argocd.parent().unwrap_or(&argocd),
        &repository().join(".build/e2e/argocd"),
    ])?;
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut program = Program::new(argocd)
        .env("PATH", path)
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", scratch.folder("argocd/home")?)
        .env("ARGOCD_FAKE_IN_CLUSTER", "true")
        .env("ARGOCD_GPG_ENABLED", "false")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("TMPDIR", scratch.folder("argocd/tmp")?);
    for (variable, folder) in [
        ("ARGOCD_TLS_DATA_PATH", "tls"),
        ("ARGOCD_SSH_DATA_PATH", "ssh"),
        ("ARGOCD_GNUPGHOME", "gpg/keys"),
        ("ARGOCD_GPG_DATA_PATH", "gpg/source"),
    ] {
        program = program.env(variable, scratch.folder(&format!("argocd/{folder}"))?);
    }
    Ok(program)
}

async fn start_repositories(program: &Program, scratch: &Scratch, address: &str, redis: &str) -> Result<Process> {
    let (host, port) = address.split_once(':').context("an address without a port")?;
    let metrics = free_port()?;
    let process = program
        .clone()
        .env("ARGOCD_BINARY_NAME", "argocd-repo-server")
        .flag("address", host)
        .flag("port", port)
        .flag("metrics-address", host)
        .flag("metrics-port", metrics.to_string())
        .flag("redis", redis)
        .flag("client-ca-path", "")
        .arg("--disable-tls")
        .start("argocd-repo-server", &scratch.logs())?;
    ready(process, metrics).await
}

async fn start_controller(program: &Program, scratch: &Scratch, repositories: &str, redis: &str) -> Result<Process> {
    let metrics = free_port()?;
    let process = program
        .clone()
        .env("ARGOCD_BINARY_NAME", NAME)
        .env("HOSTNAME", format!("{NAME}-0"))
        .flag("redis", redis)
        .flag("repo-server", repositories)
        .flag("metrics-port", metrics.to_string())
        .flag("namespace", NAMESPACE)
        .flag("app-resync", "20")
        .flag("app-resync-jitter", "0")
        .arg("--repo-server-plaintext")
        .start(NAME, &scratch.logs())?;
    ready(process, metrics).await
}

async fn ready(mut process: Process, metrics: u16) -> Result<Process> {
    let address = format!("http://127.0.0.1:{metrics}/healthz");
    process.until_healthy(&address, START_DEADLINE).await?;
    Ok(process)
}
