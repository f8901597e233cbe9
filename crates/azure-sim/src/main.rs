//! `azure-sim`: a simulated Azure for clients that speak HTTPS.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use uuid::Uuid;
use wio_azure_sim::Config;
use wio_azure_sim::server::{Options, Server};

const EXAMPLES: &str = "\
Try it:
  azure-sim --cert-out /tmp/azure-sim --static-token me
In another terminal:
  export CURL_CA_BUNDLE=/tmp/azure-sim/ca.pem
  sub=https://localhost:8443/subscriptions/00000000-0000-0000-0000-000000000001
  curl -X PUT -H 'Authorization: Bearer me' -H 'Content-Type: application/json' -d '{\"location\": \"westeurope\"}' \\
    \"$sub/resourceGroups/shop?api-version=2021-04-01\"
  curl https://localhost:8443/_sim/snapshot

Point a client at it:
  AZURE_AUTHORITY_HOST=https://localhost:8443/
  SSL_CERT_FILE=/tmp/azure-sim/ca.pem
  Azure Resource Manager: https://localhost:8443
  instance metadata service: https://localhost:8443/metadata

The Azure CLI, signed in as a managed identity that exists, by its client id:
  export REQUESTS_CA_BUNDLE=/tmp/azure-sim/ca.pem AZURE_POD_IDENTITY_AUTHORITY_HOST=https://localhost:8443
  az cloud register --name simulated --endpoint-resource-manager https://localhost:8443
  az cloud set --name simulated
  az login --identity --client-id CLIENT_ID

Its own API, for tests and for people:
  curl https://localhost:8443/_sim
Settings change while it runs; for example, lists that show what was a minute ago, and a disabled subscription:
  curl -X PATCH https://localhost:8443/_sim/config -d '{\"listLagMs\": 60000,
    \"subscriptionStates\": {\"00000000-0000-0000-0000-000000000001\": \"disabled\"}}'";

/// A simulated Azure: Azure Resource Manager (resource groups, user-assigned managed identities, federated credentials,
/// role assignments), Entra's token endpoint and the managed-identity endpoint, over HTTPS on one port.
///
/// It keeps Azure's rules, limits, delays and error codes, verifies the tokens that workloads present, and can be told to
/// fail. It makes a certificate authority at each start; --cert-out says where to find it.
#[derive(Debug, Parser)]
#[command(name = "azure-sim", version, after_long_help = EXAMPLES)]
struct Arguments {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// The tenant; there is only one.
    #[arg(long, value_name = "GUID")]
    tenant_id: Option<Uuid>,
    /// A bearer token that is accepted as it stands; can be given several times.
    #[arg(long = "static-token", value_name = "TOKEN")]
    static_tokens: Vec<String>,
    /// How long a call to Azure Resource Manager takes, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    latency_ms: u64,
    /// Authorities, in PEM, that signed the certificates of token issuers; without it, the system's are trusted.
    #[arg(long, value_name = "FILE")]
    issuer_ca: Option<PathBuf>,
    /// A folder for ca.pem, the authority that signs this server's certificate.
    #[arg(long, value_name = "DIR")]
    cert_out: Option<PathBuf>,
    /// A file for the port, written when the server listens.
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// A file that keeps what exists over restarts.
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,
    /// What to log, as info or wio_azure_sim=debug, which shows each request.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_new(&arguments.log).context("--log")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("another cryptography provider is installed already"))?;
    let mut stop = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = Server::start(arguments.options()).await?;
    tracing::info!("listening on https://{}", server.address()?);
    let stopped = async move {
        tokio::select! {
            _ = stop.0.recv() => {}
            _ = stop.1.recv() => {}
        }
        tracing::info!("stopping");
    };
    server.run(stopped).await
}

// === impl Arguments ===

impl Arguments {
    fn options(self) -> Options {
        let mut config = Config {
            latency: Duration::from_millis(self.latency_ms),
            ..Config::default()
        };
        if let Some(tenant_id) = self.tenant_id {
            config.tenant_id = tenant_id;
        }
        for token in &self.static_tokens {
            config = config.with_static_token(token);
        }
        Options {
            listen: self.listen,
            config,
            issuer_authority: self.issuer_ca,
            certificate_folder: self.cert_out,
            port_file: self.port_file,
            state_file: self.state_file,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Arguments::command().debug_assert();
    }
}
