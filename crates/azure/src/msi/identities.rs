//! User-assigned managed identities:
//! <https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities>.

use std::collections::BTreeMap;

use azure_mgmt_msi::models::{Identity, IdentityUpdate, TrackedResource};
use azure_mgmt_msi::user_assigned_identities::Client;
use serde::Deserialize;
use serde_json::Value;
use wio_core::absence::{Absence, Deletion, Kind};
use wio_core::authorize::{Granted, Revocable};
use wio_core::fault::{AzureCause, AzureFault};
use wio_core::names::{ClientId, IdentityId, Location, ResourceGroupId, SubscriptionId};
use wio_core::observed::{IdentityFacts, Tags};
use wio_core::orphaned::EndMark;

use crate::answer::deletion;
use crate::client::Azure;
use crate::paging::{Pages, Unlisted, list_all, list_patiently};
use crate::telemetry::Operation;

use super::call::{Call, names};

/// The bound on pages of a list: a resource group has room for tens of thousands of identities, and how many a page holds Azure does not say. These
/// are 100,000 at a hundred a page.
const MAX_PAGES: usize = 1000;

/// A managed identity as Azure shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityView {
    /// Its client id, principal id and tenant.
    pub facts: IdentityFacts,
    /// Its tags.
    pub tags: Tags,
}

/// A managed identity as Azure shows it after a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenIdentity {
    /// The identity.
    pub view: IdentityView,
    /// Whether it was not there before (201 rather than 200).
    pub created: bool,
}

/// A managed identity as the list of its resource group shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedIdentity {
    /// Its resource id.
    pub id: IdentityId,
    /// Its client id, principal id and tenant; none when the list does not tell all of them.
    pub facts: Option<IdentityFacts>,
    /// Its tags.
    pub tags: Tags,
}

/// A managed identity in a list. Not the model of `azure_mgmt_msi`, which demands more of it: one odd foreign identity
/// would break the whole list.
#[derive(Deserialize)]
struct Entry {
    id: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    properties: Option<Properties>,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "clientId")]
    client: Option<String>,
    #[serde(rename = "principalId")]
    principal: Option<String>,
    #[serde(rename = "tenantId")]
    tenant: Option<String>,
}

// === impl Azure ===

impl Azure {
    /// The identity, or nothing when Azure says that it does not exist.
    ///
    /// # Errors
    /// Everything that is neither.
    pub async fn get_identity(&self, id: &IdentityId) -> Result<Option<IdentityView>, AzureFault> {
        let (call, client) = self.identities(Operation::GetIdentity, id);
        let [subscription, group, name] = names(id);
        let read = call.run(client.get(subscription, group, name).into_future()).await;
        match read.and_then(|(_, identity)| view(id, identity)) {
            Ok(view) => Ok(Some(view)),
            Err(cause) if Absence::proven(Kind::Identity, &cause).is_some() => Ok(None),
            Err(cause) => Err(fault("read", id, cause)),
        }
    }

    /// All managed identities in a resource group, ours and others'.
    ///
    /// # Errors
    /// When any page cannot be had: half a list is no list. A resource group that does not exist is an error too, for
    /// nothing says that it was looked for at the right place.
    pub async fn list_identities(&self, group: &ResourceGroupId) -> Result<Pages<ListedIdentity>, Unlisted> {
        let list = self.pipeline.urls.identities(group);
        let listed = list_patiently(&self.pipeline, Operation::ListIdentities, &list, MAX_PAGES).await;
        let what = || format!("list the managed identities in the resource group {}", group.name);
        let entries: Pages<Entry> = listed.map_err(|incomplete| incomplete.when(what()))?;
        Ok(entries.filter_map(|entry| entry.listed(group)))
    }

    /// The managed identity of a subscription that has this client id.
    ///
    /// # Errors
    /// When any page cannot be had: half a list does not say that there is none.
    pub async fn find_identity(
        &self,
        subscription: SubscriptionId,
        client_id: ClientId,
    ) -> Result<Option<ListedIdentity>, AzureFault> {
        let list = self.pipeline.urls.identities_of(subscription);
        let listed = list_all(&self.pipeline, Operation::ListIdentities, &list, MAX_PAGES).await;
        let entries: Pages<Entry> = listed.map_err(|cause| AzureFault {
            operation: format!("list the managed identities in the subscription {subscription}"),
            cause,
        })?;
        let has = |one: &ListedIdentity| one.facts.as_ref().is_some_and(|facts| facts.client_id == client_id);
        Ok(entries.filter_map(Entry::parsed).entries.into_iter().find(has))
    }

    /// Creates the identity, or replaces the tags of one that is there.
    ///
    /// # Errors
    /// Everything but 200 and 201.
    pub async fn put_identity(
        &self,
        granted: &Granted,
        location: &Location,
        tags: &Tags,
    ) -> Result<WrittenIdentity, AzureFault> {
        const CREATED: u16 = 201;
        let id = granted.identity();
        let url = self.pipeline.urls.identity(id);
        let call = Call::creating_in(&self.pipeline, Operation::PutIdentity, url, Some(location.clone()));
        let client = call.client().user_assigned_identities_client();
        let [subscription, group, name] = names(id);
        let mut resource = TrackedResource::new(location.to_string());
        resource.tags = Some(on_the_wire(tags));
        let request = client.create_or_update(subscription, group, name, Identity::new(resource));
        let written = call.run(request.into_future()).await;
        written
            .and_then(|(answer, identity)| {
                Ok(WrittenIdentity {
                    view: view(id, identity)?,
                    created: answer.status == CREATED,
                })
            })
            .map_err(|cause| fault("create", id, cause))
    }

    /// Replaces the identity's tags and nothing else.
    ///
    /// # Errors
    /// Everything but a success.
    pub async fn tag_identity(&self, granted: &Granted, tags: &Tags) -> Result<IdentityView, AzureFault> {
        self.write_tags(granted.identity(), tags).await
    }

    /// Writes on an identity that outlives its binding that it is to stay. One that is not there needs no mark.
    ///
    /// # Errors
    /// Everything but a success.
    pub async fn mark_end(&self, mark: &EndMark) -> Result<(), AzureFault> {
        match self.write_tags(mark.identity(), mark.tags()).await {
            Ok(_) => Ok(()),
            Err(fault) if Absence::proven(Kind::Identity, &fault.cause).is_some() => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    async fn write_tags(&self, id: &IdentityId, tags: &Tags) -> Result<IdentityView, AzureFault> {
        let (call, client) = self.identities(Operation::TagIdentity, id);
        let [subscription, group, name] = names(id);
        let update = IdentityUpdate {
            tags: Some(on_the_wire(tags)),
            ..IdentityUpdate::default()
        };
        let written = call
            .run(client.update(subscription, group, name, update).into_future())
            .await;
        written
            .and_then(|(_, identity)| view(id, identity))
            .map_err(|cause| fault("tag", id, cause))
    }

    /// Deletes the identity, and with it its federated credentials, and tells whether it was there.
    ///
    /// # Errors
    /// Whatever does not say that it is gone.
    pub async fn delete_identity(&self, revocable: &Revocable) -> Result<Deletion, AzureFault> {
        let id = revocable.identity();
        let (call, client) = self.identities(Operation::DeleteIdentity, id);
        let [subscription, group, name] = names(id);
        let deleted = call.run(client.delete(subscription, group, name).send()).await;
        deletion(Kind::Identity, deleted.map(|(answer, _)| answer)).map_err(|cause| fault("delete", id, cause))
    }

    fn identities(&self, operation: Operation, id: &IdentityId) -> (Call, Client) {
        let call = Call::new(&self.pipeline, operation, self.pipeline.urls.identity(id));
        let client = call.client().user_assigned_identities_client();
        (call, client)
    }
}

// === impl Entry ===

impl Entry {
    /// The identity, parsed. None when its id breaks Azure's own rules or is one of another group: such a one can be neither
    /// ours nor written to.
    fn listed(self, group: &ResourceGroupId) -> Option<ListedIdentity> {
        let id = self.id.clone();
        let listed = self.parsed().filter(|listed| listed.id.group == *group);
        if listed.is_none() {
            tracing::debug!(id, "a managed identity is left out");
        }
        listed
    }

    fn parsed(self) -> Option<ListedIdentity> {
        let Self { id, tags, properties } = self;
        Some(ListedIdentity {
            id: parsed(id)?,
            facts: properties.and_then(Properties::facts),
            tags: tags.into_iter().flatten().collect(),
        })
    }
}

impl Properties {
    fn facts(self) -> Option<IdentityFacts> {
        Some(IdentityFacts {
            client_id: parsed(self.client)?,
            principal_id: parsed(self.principal)?,
            tenant_id: parsed(self.tenant)?,
        })
    }
}

fn fault(verb: &str, id: &IdentityId, cause: AzureCause) -> AzureFault {
    AzureFault {
        operation: format!("{verb} the managed identity {}", id.name),
        cause,
    }
}

/// Tags as Azure takes them: an object, also when there are none.
fn on_the_wire(tags: &Tags) -> Value {
    let pairs = tags
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    Value::Object(pairs.collect())
}

fn view(asked: &IdentityId, identity: Identity) -> Result<IdentityView, AzureCause> {
    let malformed = |what: &str| AzureCause::Malformed(format!("the identity has no usable {what}"));
    let resource = identity.tracked_resource;
    let id: IdentityId = resource
        .resource
        .id
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| malformed("id"))?;
    if id != *asked {
        return Err(AzureCause::Malformed(format!("it speaks of {id}")));
    }
    let properties = identity.properties.ok_or_else(|| malformed("properties"))?;
    let facts = IdentityFacts {
        client_id: parsed(properties.client_id).ok_or_else(|| malformed("clientId"))?,
        principal_id: parsed(properties.principal_id).ok_or_else(|| malformed("principalId"))?,
        tenant_id: parsed(properties.tenant_id).ok_or_else(|| malformed("tenantId"))?,
    };
    let tags = match resource.tags {
        None | Some(Value::Null) => Tags::new(),
        Some(tags) => serde_json::from_value::<BTreeMap<_, _>>(tags)
            .map_err(|_| malformed("tags"))?
            .into_iter()
            .collect(),
    };
    Ok(IdentityView { facts, tags })
}

fn parsed<T: std::str::FromStr>(text: Option<String>) -> Option<T> {
    text?.parse().ok()
}
