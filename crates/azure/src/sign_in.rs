//! Signing in: the operator's own credential, chosen by the environment, never by trying one after the other.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::{ClientOptions, HttpClient, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, ClientAssertionCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

use wio_core::names::ClientId;

use crate::cloud::Endpoints;
use crate::transport::{Capped, instance_metadata};

/// The ways in which the operator can sign in to Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A service account token, exchanged at Entra.
    WorkloadIdentity {
        /// The application that trusts the service account.
        client_id: String,
        /// Its tenant.
        tenant_id: String,
        /// Where the token lies. It is replaced before it expires.
        token_file: PathBuf,
    },
    /// The managed identity of the node.
    ManagedIdentity {
        /// Which one, when the node has several.
        client_id: Option<String>,
    },
    /// The login of a person's Azure CLI.
    AzureCli,
}

/// The operator's own credential, of the kind that the environment chooses.
///
/// Each token is asked for by a new client: those of `azure_identity` keep the service account's token for ten minutes,
/// and a token of Azure until it expires, even one that Azure rejects.
#[derive(Debug)]
pub struct EnvironmentCredential {
    kind: CredentialKind,
    authority: String,
    transport: Arc<dyn HttpClient>,
}

// === impl CredentialKind ===

impl CredentialKind {
    /// The client id that the environment names; none where it names none, or what is no GUID, which Entra refuses in its own
    /// words.
    pub(crate) fn client_id(&self) -> Option<ClientId> {
        match self {
            Self::WorkloadIdentity { client_id, .. } => client_id.parse().ok(),
            Self::ManagedIdentity { client_id } => client_id.as_deref()?.parse().ok(),
            Self::AzureCli => None,
        }
    }

    /// Chooses by variables of the environment: workload identity when `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and
    /// `AZURE_FEDERATED_TOKEN_FILE` are set, as the pod webhook sets them; else the node's managed identity when
    /// `KUBERNETES_SERVICE_HOST` is set, as it is in every pod; else the Azure CLI.
    pub fn choose(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let client_id = set("AZURE_CLIENT_ID");
        match (client_id, set("AZURE_TENANT_ID"), set("AZURE_FEDERATED_TOKEN_FILE")) {
            (Some(client_id), Some(tenant_id), Some(token_file)) => Self::WorkloadIdentity {
                client_id,
                tenant_id,
                token_file: token_file.into(),
            },
            (client_id, _, _) if set("KUBERNETES_SERVICE_HOST").is_some() => Self::ManagedIdentity { client_id },
            _ => Self::AzureCli,
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkloadIdentity { client_id, .. } => write!(f, "workload identity {client_id}"),
            Self::ManagedIdentity {
                client_id: Some(client_id),
            } => write!(f, "managed identity {client_id} of the node"),
            Self::ManagedIdentity { client_id: None } => f.write_str("managed identity of the node"),
            Self::AzureCli => f.write_str("login of the Azure CLI"),
        }
    }
}

// === impl EnvironmentCredential ===

impl EnvironmentCredential {
    /// Reads the process's environment. Entra is where `AZURE_AUTHORITY_HOST` says, or else the cloud's own.
    pub(crate) fn new(https: Arc<dyn HttpClient>, endpoints: &Endpoints) -> reqwest::Result<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let kind = CredentialKind::choose(variable);
        let transport = match kind {
            CredentialKind::ManagedIdentity { .. } => instance_metadata()?,
            CredentialKind::WorkloadIdentity { .. } | CredentialKind::AzureCli => https,
        };
        let authority = variable("AZURE_AUTHORITY_HOST").filter(|host| !host.is_empty());
        Ok(Self::with(
            kind,
            authority.unwrap_or_else(|| endpoints.cloud.authority().to_owned()),
            transport,
        ))
    }

    /// A credential of the given kind that asks the given authority, for example `https://login.microsoftonline.com`.
    #[must_use]
    pub fn with(kind: CredentialKind, authority: String, transport: Arc<dyn HttpClient>) -> Self {
        Self {
            kind,
            authority,
            transport: Arc::new(Capped(transport)),
        }
    }

    /// The way in which it signs in.
    #[must_use]
    pub const fn kind(&self) -> &CredentialKind {
        &self.kind
    }

    fn once(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host.clone_from(&self.authority);
        let client_options = ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::clone(&self.transport))),
            cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
            ..ClientOptions::default()
        };
        Ok(match self.kind.clone() {
            CredentialKind::WorkloadIdentity {
                client_id,
                tenant_id,
                token_file,
            } => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: Some(client_id),
                tenant_id: Some(tenant_id),
                token_file_path: Some(token_file),
            }))?,
            CredentialKind::ManagedIdentity { client_id } => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.map(UserAssignedId::ClientId),
                    client_options,
                }))?
            }
            CredentialKind::AzureCli => AzureCliCredential::new(None)?,
        })
    }
}

#[async_trait]
impl TokenCredential for EnvironmentCredential {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.once()?.get_token(scopes, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> CredentialKind {
        CredentialKind::choose(|name| {
            variables
                .iter()
                .find(|(given, _)| *given == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_chooses_the_credential() {
        let pod = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        let client = ("AZURE_CLIENT_ID", "c");
        let tenant = ("AZURE_TENANT_ID", "t");
        let file = ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/token");
        let workload = CredentialKind::WorkloadIdentity {
            client_id: "c".to_owned(),
            tenant_id: "t".to_owned(),
            token_file: file.1.into(),
        };
        let of_the_node = |client: Option<&str>| CredentialKind::ManagedIdentity {
            client_id: client.map(str::to_owned),
        };
        assert_eq!(chosen(&[client, tenant, file, pod]), workload);
        assert_eq!(chosen(&[client, tenant, file]), workload, "also outside a cluster");
        assert_eq!(chosen(&[client, tenant, pod]), of_the_node(Some("c")));
        assert_eq!(chosen(&[pod]), of_the_node(None));
        assert_eq!(
            chosen(&[pod, client, tenant, ("AZURE_FEDERATED_TOKEN_FILE", "")]),
            of_the_node(Some("c"))
        );
        assert_eq!(chosen(&[client, tenant]), CredentialKind::AzureCli);
        assert_eq!(chosen(&[]), CredentialKind::AzureCli);
    }
}
