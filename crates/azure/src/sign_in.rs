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

/// Why the environment does not make a pod the identity that it must have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotItsIdentity {
    /// The pod webhook did not set what it sets.
    #[error(
        "this pod must sign in to Azure as {client_id}, and {missing} is not set: the workload identity webhook did not mutate the pod when \
         it was created. See that the webhook runs (on AKS: az aks update --enable-workload-identity), that the pod has the label \
         azure.workload.identity/use: \"true\" and its service account the annotation azure.workload.identity/client-id, then delete the \
         pod: the new one is mutated"
    )]
    NotMutated {
        /// Who it must be.
        client_id: ClientId,
        /// The first variable that is missing.
        missing: &'static str,
    },
    /// It would be somebody else.
    #[error(
        "this pod must sign in to Azure as {client_id}, and AZURE_CLIENT_ID is {given}: correct the annotation \
         azure.workload.identity/client-id of its service account, then delete the pod"
    )]
    Another {
        /// Who it must be.
        client_id: ClientId,
        /// Who it would be.
        given: String,
    },
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

    /// Workload identity as `client_id`, and nothing else: a pod that the webhook did not mutate is never taken for the node.
    ///
    /// # Errors
    /// When `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` or `AZURE_FEDERATED_TOKEN_FILE` is not set, or names another identity.
    pub fn demand(client_id: ClientId, variable: impl Fn(&str) -> Option<String>) -> Result<Self, NotItsIdentity> {
        let set = |name: &'static str| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.ok_or(NotItsIdentity::NotMutated {
                client_id,
                missing: name,
            })
        };
        let token_file = set("AZURE_FEDERATED_TOKEN_FILE")?.into();
        let given = set("AZURE_CLIENT_ID")?;
        if given.parse() != Ok(client_id) {
            return Err(NotItsIdentity::Another { client_id, given });
        }
        Ok(Self::WorkloadIdentity {
            client_id: given,
            tenant_id: set("AZURE_TENANT_ID")?,
            token_file,
        })
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
    /// A credential of the given kind. Entra is where `AZURE_AUTHORITY_HOST` says, or else the cloud's own.
    pub(crate) fn new(
        kind: CredentialKind,
        https: Arc<dyn HttpClient>,
        endpoints: &Endpoints,
    ) -> reqwest::Result<Self> {
        let transport = match kind {
            CredentialKind::ManagedIdentity { .. } => instance_metadata()?,
            CredentialKind::WorkloadIdentity { .. } | CredentialKind::AzureCli => https,
        };
        let authority = environment("AZURE_AUTHORITY_HOST").filter(|host| !host.is_empty());
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

/// A variable of the process.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
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
    use std::collections::HashMap;

    use super::*;

    fn set(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let variables: HashMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        move |name| variables.get(name).cloned()
    }

    fn chosen(variables: &[(&str, &str)]) -> CredentialKind {
        CredentialKind::choose(set(variables))
    }

    /// A pod that the webhook did not mutate signed in as the node, whose kubelet's identity may have rights of its own.
    #[test]
    fn a_pod_that_the_webhook_did_not_mutate_is_never_the_node() {
        const OWN: &str = "2b7c1a52-8d4e-4f30-9a61-5c0e7d9b3f14";
        let own: ClientId = OWN.parse().unwrap();
        let pod = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        let client = ("AZURE_CLIENT_ID", OWN);
        let tenant = ("AZURE_TENANT_ID", "t");
        let file = ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/token");
        let demanded = |variables: &[(&str, &str)]| CredentialKind::demand(own, set(variables));
        assert_eq!(
            demanded(&[pod, client, tenant, file]),
            Ok(chosen(&[pod, client, tenant, file]))
        );
        for (without, variables) in [
            ("AZURE_FEDERATED_TOKEN_FILE", vec![pod]),
            ("AZURE_FEDERATED_TOKEN_FILE", vec![pod, client, tenant]),
            ("AZURE_CLIENT_ID", vec![pod, tenant, file]),
            ("AZURE_CLIENT_ID", vec![("AZURE_CLIENT_ID", ""), tenant, file]),
            ("AZURE_TENANT_ID", vec![pod, client, file]),
        ] {
            let refused = demanded(&variables).unwrap_err().to_string();
            for part in [without, OWN, "webhook did not mutate", "delete the pod"] {
                assert!(refused.contains(part), "{variables:?}: {part} is not in {refused}");
            }
        }
        let other = ("AZURE_CLIENT_ID", "00000000-0000-0000-0000-00000000000a");
        let refused = demanded(&[pod, other, tenant, file]).unwrap_err().to_string();
        assert!(refused.contains(OWN) && refused.contains(other.1), "{refused}");
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
