//! The way to a cluster, as kubectl finds it: kubeconfig, context, impersonation, proxy.

mod proxy;

use std::path::PathBuf;

use anyhow::{Context, bail};
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

/// The configuration of a client by the kubeconfig, or where there is none by the service account in a cluster, where no proxy is between and nothing
/// can be chosen but whom to impersonate.
///
/// # Errors
/// Why there is no way to a cluster.
pub async fn config_or_in_cluster(choice: &Choice) -> anyhow::Result<Config> {
    match config(choice).await {
        Err(in_kubeconfig) if !choice.is_of_a_kubeconfig() && files().is_empty() => {
            let config = Config::incluster().with_context(|| format!("{NO_WAY} ({in_kubeconfig:#})"));
            Ok(choice.impersonating(config?))
        }
        found => found,
    }
}

/// The configuration of a client by the kubeconfig.
///
/// # Errors
/// What of the kubeconfig or of the choice cannot be used.
pub async fn config(choice: &Choice) -> anyhow::Result<Config> {
    let kubeconfig = match &choice.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?,
        None => merged(files())?,
    };
    // Without this the request would be nobody's.
    if let Some(user) = choice.user.as_ref().filter(|user| !has_user(&kubeconfig, user)) {
        bail!("the kubeconfig has no user {user}");
    }
    let context = choice.context.clone().or_else(|| kubeconfig.current_context.clone());
    let named = named(&kubeconfig, choice, context.as_deref());
    let options = KubeConfigOptions {
        context: choice.context.clone(),
        cluster: choice.cluster.clone(),
        user: choice.user.clone(),
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    config.proxy_url = proxy::proxy(&config.cluster_url, named.as_deref(), |name| std::env::var(name).ok())?;
    Ok(choice.impersonating(config))
}

/// The files of KUBECONFIG that are there, or else the usual one. kubectl passes over those that are not there.
fn files() -> Vec<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<PathBuf> = std::env::split_paths(&listed)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    let files = if listed.is_empty() {
        std::env::home_dir()
            .map(|home| home.join(".kube/config"))
            .into_iter()
            .collect()
    } else {
        listed
    };
    files.into_iter().filter(|path| path.exists()).collect()
}

fn merged(files: Vec<PathBuf>) -> anyhow::Result<Kubeconfig> {
    if files.is_empty() {
        bail!("no kubeconfig is there");
    }
    files.into_iter().try_fold(Kubeconfig::default(), |merged, path| {
        let read = Kubeconfig::read_from(&path).with_context(|| path.display().to_string())?;
        Ok(merged.merge(read)?)
    })
}

fn has_user(kubeconfig: &Kubeconfig, user: &str) -> bool {
    kubeconfig.auth_infos.iter().any(|one| one.name == user)
}

// === impl Choice ===

impl Choice {
    /// Whether it says something that only a kubeconfig can fulfil.
    const fn is_of_a_kubeconfig(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || self.cluster.is_some() || self.user.is_some()
    }

    /// A configuration with whom to impersonate.
    fn impersonating(&self, mut config: Config) -> Config {
        if let Some(other) = &self.impersonate {
            config.auth_info.impersonate = Some(other.clone());
        }
        if !self.impersonate_groups.is_empty() {
            config.auth_info.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        config
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
  - {name: three, context: {cluster: first}}
  - {name: four, context: {cluster: first, user: nobody}}
clusters:
  - {name: first, cluster: {server: 'https://first.example'}}
  - {name: second, cluster: {server: 'https://second.example', proxy-url: 'http://proxy.example:3128'}}
users:
  - {name: ada, user: {token: a}}
  - {name: bob, user: {token: b}}
  - {name: nobody}
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
            context: Some("five".to_owned()),
            ..Choice::default()
        };
        let error = format!("{:#}", chosen(none).await.unwrap_err());
        assert!(error.contains("five"), "{error}");
    }

    /// Requests went out with the caller's own rights, and the answer was taken for that of another user.
    #[tokio::test]
    async fn whoever_is_named_is_impersonated_also_where_the_context_has_no_user() {
        for context in ["three", "four"] {
            let as_carol = Choice {
                context: Some(context.to_owned()),
                impersonate: Some("carol".to_owned()),
                ..Choice::default()
            };
            let config = chosen(as_carol).await.unwrap();
            assert_eq!(config.auth_info.impersonate.as_deref(), Some("carol"), "{context}");
        }
    }

    #[tokio::test]
    async fn a_user_who_is_not_there_is_named() {
        let none = Choice {
            user: Some("dave".to_owned()),
            ..Choice::default()
        };
        let error = format!("{:#}", chosen(none).await.unwrap_err());
        assert!(error.contains("dave"), "{error}");
    }

    #[test]
    fn several_files_are_one_kubeconfig_and_the_first_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let one = write(
            "one",
            "{kind: Config, current-context: a, users: [{name: ada, user: {token: a}}]}",
        );
        let two = write(
            "two",
            "{kind: Config, current-context: b, users: [{name: ada}, {name: bob}]}",
        );
        let both = merged(vec![one, two]).unwrap();
        assert_eq!((both.current_context.as_deref(), both.auth_infos.len()), (Some("a"), 2));
        assert!(both.auth_infos[0].auth_info.is_some());
        assert!(merged(Vec::new()).is_err());
    }
}
