//! The proxy on the way to the Kubernetes API server, by the rules of kubectl.

use std::net::IpAddr;

use anyhow::{Context, bail};
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The proxy on the way to a server, by the rules of kubectl: the one that the kubeconfig names, or else that of the environment
/// unless the server is this machine or `NO_PROXY` names it. kube's own choice is not taken: it holds the address of the proxy
/// against `NO_PROXY`, where that of the server is meant.
pub(crate) fn proxy(
    server: &Uri,
    named: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Option<Uri>> {
    let named = named.filter(|named| !named.is_empty()).map(str::to_owned);
    let Some(chosen) = named.or_else(|| by_environment(server, variable)) else {
        return Ok(None);
    };
    let whole = if chosen.contains("://") {
        chosen
    } else {
        format!("http://{chosen}")
    };
    // No message has its text: there may be a password in it.
    let proxy: Uri = whole
        .parse()
        .context("the URL of the proxy to the Kubernetes API server cannot be read")?;
    match proxy.scheme_str() {
        Some("http" | "https" | "socks5") => Ok(Some(proxy)),
        other => {
            let scheme = other.unwrap_or_default();
            bail!(
                "the proxy to the Kubernetes API server must be of http://, https:// or socks5://, and is of {scheme}://"
            )
        }
    }
}

/// The proxy that the environment names for a server.
fn by_environment(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |upper: &str, lower: &str| {
        let values = [upper, lower].into_iter().filter_map(&variable);
        values.into_iter().find(|value| !value.is_empty())
    };
    let proxy = set("HTTPS_PROXY", "https_proxy")?;
    let none = set("NO_PROXY", "no_proxy").unwrap_or_default();
    // The matcher takes a star for names alone.
    let every = none.split(',').any(|one| one.trim() == "*");
    let rules = Matcher::builder().all("http://proxy").no(none).build();
    let direct = every || is_this_machine(server) || rules.intercept(server).is_none();
    (server.scheme_str() == Some("https") && !direct).then_some(proxy)
}

fn is_this_machine(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::{Client, Config};
    use tokio::io::AsyncReadExt;

    use super::*;

    fn proxied(server: &str, named: Option<&str>, environment: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            let mut variables = environment.iter();
            variables
                .find(|(set, _)| *set == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let server = server.parse().unwrap();
        proxy(&server, named, variable).unwrap().map(|proxy| proxy.to_string())
    }

    const SERVER: &str = "https://aks-1.hcp.westeurope.azmk8s.io:443/";
    const HTTP: &str = "http://proxy.corp:3128/";
    const BY_ENVIRONMENT: (&str, &str) = ("HTTPS_PROXY", HTTP);

    #[test]
    fn the_kubeconfigs_proxy_comes_before_the_environments() {
        assert_eq!(proxied(SERVER, None, &[]), None);
        assert_eq!(proxied(SERVER, None, &[BY_ENVIRONMENT]).as_deref(), Some(HTTP));
        assert_eq!(proxied(SERVER, None, &[("https_proxy", HTTP)]).as_deref(), Some(HTTP));
        let socks = "socks5://127.0.0.1:1080/";
        assert_eq!(proxied(SERVER, Some(socks), &[BY_ENVIRONMENT]).as_deref(), Some(socks));
        let bare = [("HTTPS_PROXY", "proxy.corp:3128")];
        assert_eq!(proxied(SERVER, None, &bare).as_deref(), Some(HTTP));
    }

    /// On a workstation with a proxy for Azure the operator could not start at all.
    #[test]
    fn a_server_that_no_proxy_names_is_reached_without_one() {
        for none in ["*", "10.0.0.1,localhost", "10.0.0.0/8"] {
            let environment = [BY_ENVIRONMENT, ("NO_PROXY", none)];
            assert_eq!(proxied("https://10.0.0.1:6443", None, &environment), None, "{none}");
        }
        for none in ["azmk8s.io", ".azmk8s.io"] {
            let environment = [BY_ENVIRONMENT, ("no_proxy", none)];
            assert_eq!(proxied(SERVER, None, &environment), None, "{none}");
        }
        let environment = [BY_ENVIRONMENT, ("NO_PROXY", "proxy.corp")];
        assert_eq!(
            proxied(SERVER, None, &environment).as_deref(),
            Some(HTTP),
            "it is the server that is looked for, not the proxy"
        );
    }

    /// kind and k3s listen on the workstation itself, and kubectl reaches them whatever the environment says.
    #[test]
    fn a_server_on_this_machine_is_reached_without_the_environments_proxy() {
        for server in ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"] {
            assert_eq!(proxied(server, None, &[BY_ENVIRONMENT]), None, "{server}");
            assert_eq!(proxied(server, Some(HTTP), &[]).as_deref(), Some(HTTP), "{server}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_told_without_its_text() {
        let server = SERVER.parse().unwrap();
        for (named, told) in [
            ("http://user:secret @x", "cannot be read"),
            ("ftp://user:secret@x", "ftp://"),
        ] {
            let error = proxy(&server, Some(named), |_| None).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }

    /// What a proxy hears first when the client asks for something through it.
    async fn first_words(scheme: &str) -> Vec<u8> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let named = format!("{scheme}://{}", listener.local_addr().unwrap());
        let mut config = Config::new(SERVER.parse().unwrap());
        config.proxy_url = proxy(&config.cluster_url, Some(&named), |_| None).unwrap();
        let client = Client::try_from(config).unwrap();
        let asked = tokio::spawn(async move { client.apiserver_version().await });
        let accepted = tokio::time::timeout(Duration::from_secs(10), listener.accept()).await;
        let (mut connection, _) = accepted.expect("the client turns to the proxy").unwrap();
        let mut heard = vec![0; 64];
        let length = connection.read(&mut heard).await.unwrap();
        asked.abort();
        heard.truncate(length);
        heard
    }

    #[tokio::test]
    async fn the_client_speaks_to_each_kind_of_proxy() {
        let heard = first_words("http").await;
        assert!(
            heard.starts_with(b"CONNECT aks-1.hcp.westeurope.azmk8s.io:443 HTTP/1.1"),
            "{heard:?}"
        );
        assert!(first_words("https").await.starts_with(&[0x16]), "a TLS handshake");
        assert!(first_words("socks5").await.starts_with(&[5]), "version 5");
    }
}
