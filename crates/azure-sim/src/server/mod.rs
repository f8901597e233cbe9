//! The simulator as an HTTPS server.

mod certificates;
mod connections;
mod issuer_client;
mod state_file;
mod whole_file;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::simulator::Simulator;
use certificates::Authority;
use issuer_client::IssuerClient;
use state_file::StateFile;
use whole_file::write_whole;

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// The settings that the cloud begins with.
    pub config: Config,
    /// The authorities, in PEM, that signed the certificates of token issuers; `None` trusts those of the system.
    pub issuer_authority: Option<PathBuf>,
    /// A folder into which the server's own authority is written as `ca.pem`.
    pub certificate_folder: Option<PathBuf>,
    /// A file into which the port is written as soon as connections are accepted.
    pub port_file: Option<PathBuf>,
    /// A file that holds what exists: read at the start, written after each change.
    pub state_file: Option<PathBuf>,
}

/// A server that accepts connections as soon as [`Server::run`] is called.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    simulator: Simulator,
    state_file: Option<StateFile>,
}

// === impl Server ===

impl Server {
    /// Makes the authority and the certificate, reads the state file and begins to listen; then writes the files that
    /// tell others so. The process must have a default cryptography provider of rustls.
    ///
    /// # Errors
    ///
    /// When the address is taken, or a file cannot be read or written.
    pub async fn start(options: Options) -> Result<Self> {
        let Options {
            listen,
            config,
            issuer_authority,
            certificate_folder,
            port_file,
            state_file,
        } = options;
        let issuers = IssuerClient::new(issuer_authority.as_deref())?;
        let state_file = state_file.map(StateFile::new);
        let simulator = Simulator::with_issuers(config, Arc::new(issuers));
        if let Some(file) = &state_file
            && let Some(snapshot) = file.read()?
        {
            simulator.restore(snapshot);
        }
        let authority = Authority::generate()?;
        let tls = authority.server_config()?;
        if let Some(folder) = certificate_folder {
            std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
            write_whole(&folder.join("ca.pem"), authority.certificate().as_bytes())?;
        }
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("listening on {listen}"))?;
        let server = Self {
            listener,
            tls,
            simulator,
            state_file,
        };
        if let Some(file) = port_file {
            write_whole(&file, server.address()?.port().to_string().as_bytes())?;
        }
        Ok(server)
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// When the operating system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().context("asking for the address")
    }

    /// The simulated cloud that it serves.
    #[must_use]
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// Serves until `stop` ends; then lets the requests under way end, and writes the state file a last time.
    ///
    /// # Errors
    ///
    /// When the state file cannot be written.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let Self {
            listener,
            tls,
            simulator,
            state_file,
        } = self;
        let serving = connections::serve(&listener, tls, &simulator, stop);
        match state_file {
            None => serving.await,
            Some(file) => {
                tokio::select! {
                    () = serving => {}
                    () = file.follow(&simulator) => {}
                }
                file.write(&simulator)?;
            }
        }
        Ok(())
    }
}
