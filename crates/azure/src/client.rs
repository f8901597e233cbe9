//! The client of Azure: how it is made, whether it can sign in, and who is told of its requests.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::http::HttpClient;
use wio_core::fault::AzureFault;
use wio_core::names::ClientId;

use crate::cloud::Endpoints;
use crate::fence::Fence;
use crate::gate::Gate;
use crate::locks::Locks;
use crate::pipeline::Pipeline;
use crate::send_error::SendError;
use crate::sign_in::{CredentialKind, EnvironmentCredential, NotItsIdentity, environment};
use crate::telemetry::{Exchange, Telemetry};
use crate::transport;

/// The client of Azure. Clones are the same client: one token, one pool of connections, one lock an identity.
#[derive(Clone, Debug)]
pub struct Azure {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) locks: Locks,
    /// The client id that the environment configured.
    configured: Option<ClientId>,
    pub(crate) entra: Entra,
}

/// The way to Entra, for proofs.
#[derive(Clone, Debug)]
pub(crate) struct Entra {
    pub(crate) transport: Arc<dyn HttpClient>,
    pub(crate) authority: String,
    pub(crate) endpoints: Endpoints,
}

/// An error of making the client of production.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS cannot be set up, most likely because no trusted certificates were found.
    #[error(
        "cannot make an HTTPS client: {source}; are there trusted certificates, or does SSL_CERT_FILE name a file of them?"
    )]
    Transport {
        /// The error of the HTTP client.
        #[from]
        source: reqwest::Error,
    },
    /// The environment does not make it who it must be.
    #[error(transparent)]
    Identity(#[from] NotItsIdentity),
}

// === impl Azure ===

impl Azure {
    /// A client whose requests `transport` carries and `credential` authorizes. Tests hand in the simulator here; the
    /// bounds on time and size hold for whatever it is.
    pub fn new(transport: Arc<dyn HttpClient>, credential: Arc<dyn TokenCredential>, endpoints: Endpoints) -> Self {
        Self {
            entra: Entra {
                transport: Arc::clone(&transport),
                authority: endpoints.cloud.authority().to_owned(),
                endpoints: endpoints.clone(),
            },
            pipeline: Arc::new(Pipeline::new(transport, credential, endpoints)),
            locks: Locks::default(),
            configured: None,
        }
    }

    /// The client of production: HTTPS, and the credential that the environment names, which must be workload identity as `demanded`
    /// where that is given. The process must have installed its TLS provider before (docs/adr/0003).
    ///
    /// # Errors
    /// When there are no trusted certificates, or the credential is not the one that is demanded. Whether a token can be had, [`Self::probe`] says: a permission that
    /// comes later needs no restart.
    pub fn from_environment(endpoints: Endpoints, demanded: Option<ClientId>) -> Result<Self, StartError> {
        let kind = match demanded {
            Some(client_id) => CredentialKind::demand(client_id, environment)?,
            None => CredentialKind::choose(environment),
        };
        let transport = transport::https()?;
        let credential = EnvironmentCredential::new(kind, Arc::clone(&transport), &endpoints)?;
        tracing::info!(credential = %credential.kind(), endpoint = %endpoints.arm, "how the operator signs in to Azure");
        let configured = credential.kind().client_id();
        let mut client = Self::new(transport, Arc::new(credential), endpoints);
        client.configured = configured;
        if let Some(authority) = environment("AZURE_AUTHORITY_HOST").filter(|host| !host.is_empty()) {
            client.entra.authority = authority;
        }
        Ok(client)
    }

    /// Signs in, if that was not done: whether a token can be had. Asks Entra only when there is none that is good.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn probe(&self) -> Result<(), AzureFault> {
        self.pipeline.tokens.get().await.map(drop).map_err(|why| AzureFault {
            operation: "sign in to Azure".to_owned(),
            cause: SendError::Credential(why).into(),
        })
    }

    /// The application (client) id of the operator's own identity: that to which its tokens for Azure are issued, and before the
    /// first one, or where they name none, that with which the environment configured it. None where neither is known
    /// ([`Self::probe`] gets a token). By the Azure CLI it is the CLI's own.
    #[must_use]
    pub fn signed_in_as(&self) -> Option<ClientId> {
        self.pipeline.tokens.issued_to().or(self.configured)
    }

    /// The gate on Azure's budgets, through which each of its requests goes.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.pipeline.gate
    }

    /// Has `may_write` asked right before each write leaves, whether one may begin that takes as long as `limit`, after which it is
    /// given up. It holds for the client that is returned and for its clones.
    #[must_use]
    pub fn writing_while(self, limit: Duration, may_write: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            pipeline: Arc::new(self.pipeline.with_fence(Fence::new(limit, may_write))),
            ..self
        }
    }

    /// Registers `callback` for telemetry, instead of an earlier one: it is told of each exchange of the client that is
    /// returned and of its clones.
    #[must_use]
    pub fn on_exchange(self, callback: impl Fn(&Exchange) + Send + Sync + 'static) -> Self {
        Self {
            pipeline: Arc::new(self.pipeline.with_telemetry(Telemetry::to(callback))),
            ..self
        }
    }
}
