//! The way to a cluster, as kubectl finds it: kubeconfig, context, impersonation, proxy.

mod proxy;

use std::path::PathBuf;

use anyhow::Context;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

const NO_WAY: &str = "no way to the Kubernetes API server: run in a cluster with a service account, or set KUBECONFIG";

/// The choice of a cluster and of who asks it. The default one is what kubectl takes without flags.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The kubeconfig file, instead of those of KUBECONFIG.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it, instead of the current one.
    pub context: Option<String>,
    /// The cluster in it, instead of the context's.
    pub cluster: Option<String>,
    /// The user in it, instead of the context's.
    pub user: Option<String>,
    /// The user as whom requests are made.
    pub impersonate: Option<String>,
    /// The groups as a member of which requests are made.
    pub impersonate_groups: Vec<String>,
}

/// The configuration of a client by the kubeconfig, or else by the service account in a cluster, where no proxy is between and nothing can be chosen.
///
/// # Errors
/// Why there is no way to a cluster.
pub async fn config_or_in_cluster() -> anyhow::Result<Config> {
    match config(&Choice::default()).await {
        Ok(config) => Ok(config),
        Err(in_kubeconfig) => Config::incluster().with_context(|| format!("{NO_WAY} ({in_kubeconfig:#})")),
    }
}

/// The configuration of a client by the kubeconfig.
///
/// # Errors
/// What of the kubeconfig or of the choice cannot be used.
pub async fn config(choice: &Choice) -> anyhow::Result<Config> {
    let mut kubeconfig = match &choice.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?,
        None => Kubeconfig::read()?,
    };
    let context = choice.context.clone().or_else(|| kubeconfig.current_context.clone());
    impersonate(&mut kubeconfig, choice, context.as_deref());
    let named = named(&kubeconfig, choice, context.as_deref());
    let options = KubeConfigOptions {
        context: choice.context.clone(),
        cluster: choice.cluster.clone(),
        user: choice.user.clone(),
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.proxy_url = proxy::proxy(&config.cluster_url, named.as_deref(), |name| std::env::var(name).ok())?;
    Ok(config)
}

/// Writes whom to impersonate into the user that is taken.
fn impersonate(kubeconfig: &mut Kubeconfig, choice: &Choice, context: Option<&str>) {
    let of_context = kubeconfig
        .contexts
        .iter()
        .find(|one| Some(one.name.as_str()) == context);
    let of_context = of_context.and_then(|one| one.context.as_ref()?.user.clone());
    let Some(user) = choice.user.clone().or(of_context) else {
        return;
    };
    let users = kubeconfig.auth_infos.iter_mut().filter(|one| one.name == user);
    for info in users.filter_map(|one| one.auth_info.as_mut()) {
        if let Some(other) = &choice.impersonate {
            info.impersonate = Some(other.clone());
        }
        if !choice.impersonate_groups.is_empty() {
            info.impersonate_groups = Some(choice.impersonate_groups.clone());
        }
    }
}

/// The proxy that the kubeconfig names for the cluster that is taken.
fn named(kubeconfig: &Kubeconfig, choice: &Choice, context: Option<&str>) -> Option<String> {
    let of_context = kubeconfig
        .contexts
        .iter()
        .find(|one| Some(one.name.as_str()) == context);
    let of_context = of_context.and_then(|one| Some(one.context.as_ref()?.cluster.clone()));
    let cluster = choice.cluster.clone().or(of_context)?;
    let cluster = kubeconfig.clusters.iter().find(|one| one.name == cluster)?;
    cluster.cluster.as_ref()?.proxy_url.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "
apiVersion: v1
kind: Config
current-context: one
contexts:
  - {name: one, context: {cluster: first, user: ada, namespace: shop}}
  - {name: two, context: {cluster: second, user: bob}}
clusters:
  - {name: first, cluster: {server: 'https://first.example'}}
  - {name: second, cluster: {server: 'https://second.example', proxy-url: 'http://proxy.example:3128'}}
users:
  - {name: ada, user: {token: a}}
  - {name: bob, user: {token: b}}
";

    async fn chosen(choice: Choice) -> anyhow::Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, TWO).unwrap();
        config(&Choice {
            kubeconfig: Some(path),
            ..choice
        })
        .await
    }

    #[tokio::test]
    async fn another_context_brings_its_own_cluster_and_proxy() {
        let one = chosen(Choice::default()).await.unwrap();
        assert_eq!((one.cluster_url.host(), one.proxy_url), (Some("first.example"), None));
        assert_eq!(one.default_namespace, "shop");
        let two = Choice {
            context: Some("two".to_owned()),
            ..Choice::default()
        };
        let two = chosen(two).await.unwrap();
        assert_eq!(two.cluster_url.host(), Some("second.example"));
        let proxy = two.proxy_url.map(|proxy| proxy.to_string());
        assert_eq!(proxy.as_deref(), Some("http://proxy.example:3128/"));
    }

    #[tokio::test]
    async fn the_user_who_is_taken_impersonates_whom_the_flags_name() {
        let as_carol = Choice {
            user: Some("bob".to_owned()),
            impersonate: Some("carol".to_owned()),
            impersonate_groups: vec!["team".to_owned()],
            ..Choice::default()
        };
        let config = chosen(as_carol).await.unwrap();
        assert_eq!(config.auth_info.impersonate.as_deref(), Some("carol"));
        assert_eq!(config.auth_info.impersonate_groups, Some(vec!["team".to_owned()]));
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_is_named() {
        let none = Choice {
            context: Some("three".to_owned()),
            ..Choice::default()
        };
        let error = format!("{:#}", chosen(none).await.unwrap_err());
        assert!(error.contains("three"), "{error}");
    }
}
