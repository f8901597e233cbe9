//! Federated identity credentials:
//! <https://learn.microsoft.com/rest/api/managedidentity/federated-identity-credentials>.

use azure_mgmt_msi::federated_identity_credentials::Client;
use azure_mgmt_msi::models::{FederatedIdentityCredential, FederatedIdentityCredentialProperties};
use serde::Deserialize;
use wio_core::absence::{Deletion, Kind};
use wio_core::authorize::{Granted, Revocable};
use wio_core::desired::DesiredCredential;
use wio_core::fault::{AzureCause, AzureFault};
use wio_core::names::{CredentialName, IdentityId};
use wio_core::observed::ObservedCredential;

use crate::answer::deletion;
use crate::client::Azure;
use crate::paging::{Pages, list_all};
use crate::telemetry::Operation;

use super::call::{Call, names};

/// The bound on pages of a list: an identity has at most 20 credentials, and a list of more pages leads in a circle.
const MAX_PAGES: usize = 40;

/// A federated credential in a list. `azure_mgmt_msi` cannot read every list: its models demand a subject, and a flexible credential
/// has none.
#[derive(Deserialize)]
struct Credential {
    name: String,
    #[serde(default)]
    properties: Properties,
}

/// The properties of a federated credential. Of a foreign one nothing is taken for granted.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Properties {
    issuer: Option<String>,
    subject: Option<String>,
    audiences: Option<Vec<String>>,
}

// === impl Azure ===

impl Azure {
    /// All federated credentials of an identity, ours and others', flexible ones among them.
    ///
    /// # Errors
    /// When any page cannot be had: half a list is no list.
    pub async fn list_credentials(&self, id: &IdentityId) -> Result<Vec<ObservedCredential>, AzureFault> {
        let list = self.pipeline.urls.federated_credentials(id);
        let listed = list_all(&self.pipeline, Operation::ListCredentials, &list, MAX_PAGES).await;
        let credentials: Pages<Credential> = listed.map_err(|cause| AzureFault {
            operation: format!("list the federated credentials of the managed identity {}", id.name),
            cause,
        })?;
        Ok(credentials.filter_map(Credential::observed).entries)
    }

    /// Creates or replaces a federated credential. Writes to one identity are made one after the other.
    ///
    /// # Errors
    /// Everything but a success.
    pub async fn put_credential(
        &self,
        granted: &Granted,
        credential: &DesiredCredential,
    ) -> Result<ObservedCredential, AzureFault> {
        let id = granted.identity();
        let _only_writer = self.locks.hold(id).await;
        let (call, client) = self.credentials(Operation::PutCredential, id, &credential.name);
        let [subscription, group, identity] = names(id);
        let mut body = FederatedIdentityCredential::new();
        body.properties = Some(FederatedIdentityCredentialProperties::new(
            credential.issuer.to_string(),
            credential.subject.to_string(),
            vec![credential.audience.to_string()],
        ));
        let request = client.create_or_update(subscription, group, identity, credential.name.to_string(), body);
        let written = call.run(request.into_future()).await;
        written
            .and_then(|(_, written)| observed(&credential.name, written))
            .map_err(|cause| fault("write", id, &credential.name, cause))
    }

    /// Deletes a federated credential, and tells whether it was there. Where it may not be deleted it is read: one that Azure refused to write
    /// is not there.
    ///
    /// # Errors
    /// Whatever does not say that it is gone.
    pub async fn delete_credential(
        &self,
        revocable: &Revocable,
        name: &CredentialName,
    ) -> Result<Deletion, AzureFault> {
        let id = revocable.identity();
        let _only_writer = self.locks.hold(id).await;
        let (call, client) = self.credentials(Operation::DeleteCredential, id, name);
        let [subscription, group, identity] = names(id);
        let request = client.delete(subscription, group, identity, name.to_string());
        let deleted = call.run(request.send()).await;
        let deleted = deletion(Kind::Credential, deleted.map(|(answer, _)| answer));
        let read = (
            Operation::GetCredential,
            self.pipeline.urls.federated_credential(id, name),
        );
        let deleted = self
            .pipeline
            .read_where_forbidden(Kind::Credential, deleted, read)
            .await;
        deleted.map_err(|cause| fault("delete", id, name, cause))
    }

    fn credentials(&self, operation: Operation, id: &IdentityId, name: &CredentialName) -> (Call, Client) {
        let call = Call::new(
            &self.pipeline,
            operation,
            self.pipeline.urls.federated_credential(id, name),
        );
        let client = call.client().federated_identity_credentials_client();
        (call, client)
    }
}

// === impl Credential ===

impl Credential {
    /// None when its name breaks Azure's own rule: such a one can be neither ours nor written to.
    fn observed(self) -> Option<ObservedCredential> {
        let Self { name, properties } = self;
        let name = name
            .parse()
            .inspect_err(|error| tracing::debug!(%error, "a federated credential is left out"))
            .ok()?;
        Some(ObservedCredential {
            name,
            issuer: properties.issuer.unwrap_or_default(),
            subject: properties.subject,
            audiences: properties.audiences.unwrap_or_default(),
        })
    }
}

fn observed(asked: &CredentialName, written: FederatedIdentityCredential) -> Result<ObservedCredential, AzureCause> {
    let malformed = |what: &str| AzureCause::Malformed(format!("the federated credential has no usable {what}"));
    let name = written.proxy_resource.resource.name.and_then(|name| name.parse().ok());
    let name: CredentialName = name.ok_or_else(|| malformed("name"))?;
    if name != *asked {
        return Err(AzureCause::Malformed(format!("it speaks of {name}")));
    }
    let properties = written.properties.ok_or_else(|| malformed("properties"))?;
    Ok(ObservedCredential {
        name,
        issuer: properties.issuer,
        subject: Some(properties.subject),
        audiences: properties.audiences,
    })
}

fn fault(verb: &str, id: &IdentityId, name: &CredentialName, cause: AzureCause) -> AzureFault {
    AzureFault {
        operation: format!(
            "{verb} the federated credential {name} of the managed identity {}",
            id.name
        ),
        cause,
    }
}
