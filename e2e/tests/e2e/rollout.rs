//! Many bindings at once, and what they must end in, whatever happened on the way.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_api::keys::{BINDING_TAG, CLIENT_ID_ANNOTATION};
use wio_azure_sim::Identity;
use wio_e2e::namespace::Namespace;
use wio_e2e::operator::AUDIENCE;
use wio_e2e::world::World;

/// Bindings of one service account each, in a namespace of their own.
pub(crate) struct Rollout<'w> {
    world: &'w World,
    pub(crate) namespace: Namespace<'w>,
    names: Vec<String>,
}

impl<'w> Rollout<'w> {
    pub(crate) async fn new(world: &'w World, namespace: &str, bindings: usize) -> Result<Self> {
        Ok(Self {
            world,
            namespace: world.namespace(namespace).await?,
            names: (0..bindings).map(|number| format!("shop-{number:02}")).collect(),
        })
    }

    /// Applies all bindings.
    pub(crate) async fn apply(&self) -> Result<()> {
        let spec = |name: &str| json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": name }] });
        let bindings = self.names.iter().map(|name| (name.clone(), spec(name)));
        self.namespace.bind_all(bindings).await
    }

    /// The identities in Azure that are of this namespace.
    pub(crate) async fn identities(&self) -> Result<Vec<Identity>> {
        let mut identities = self.world.simulator.snapshot().await?.identities;
        identities.retain(|identity| self.binding_of(identity).is_some());
        Ok(identities)
    }

    fn binding_of<'i>(&self, identity: &'i Identity) -> Option<&'i str> {
        let (namespace, binding) = identity.tags.get(BINDING_TAG)?.split_once('/')?;
        (namespace == self.namespace.name).then_some(binding)
    }

    /// How many writes to Azure are done: an identity and a credential for each binding.
    pub(crate) async fn progress(&self) -> Result<usize> {
        let identities = self.identities().await?;
        Ok(identities.len()
            + identities
                .iter()
                .map(|identity| identity.credentials.len())
                .sum::<usize>())
    }

    /// Deletes all bindings. So many, looked at so often, would use up Azure's budget of reads for the tests that follow.
    pub(crate) async fn remove(&self) -> Result<()> {
        self.namespace
            .kubectl(&["delete", "wib", "--all", "--timeout=120s"])
            .await?;
        let left = self.identities().await?;
        ensure!(left.is_empty(), "identities are left: {left:#?}");
        Ok(())
    }

    /// Fails unless the world is as the bindings ask: each part once, and nothing else.
    pub(crate) async fn must_be_complete(&self) -> Result<()> {
        let issuer = self.world.cluster.issuer().await?;
        let identities = self.identities().await?;
        let bound: BTreeSet<&str> = identities.iter().filter_map(|it| self.binding_of(it)).collect();
        ensure!(
            identities.len() == self.names.len(),
            "there are {} identities",
            identities.len()
        );
        ensure!(
            bound.len() == self.names.len(),
            "a binding has two identities: {bound:?}"
        );
        for identity in &identities {
            let name = self.binding_of(identity).unwrap_or_default();
            let status = self.namespace.binding(name).await?.status.unwrap_or_default();
            let told = status.identity.with_context(|| format!("{name} has no identity"))?;
            ensure!(
                told.principal_id == Some(identity.principal_id.to_string()),
                "{told:?}, {identity:?}"
            );
            let [credential] = identity.credentials.as_slice() else {
                anyhow::bail!("{name} should have one credential: {identity:#?}");
            };
            let subject = format!("system:serviceaccount:{}:{name}", self.namespace.name);
            ensure!(credential.subject.as_deref() == Some(&subject), "{credential:?}");
            ensure!(credential.issuer == issuer, "{credential:?}");
            ensure!(credential.audiences == [AUDIENCE], "{credential:?}");
            let told: Vec<&str> = status.federated_credentials.iter().map(|it| it.name.as_str()).collect();
            ensure!(told == [credential.name.as_str()], "{told:?}, {credential:?}");
            let carried = self.namespace.annotation(name, CLIENT_ID_ANNOTATION).await?;
            ensure!(
                carried == Some(identity.client_id.to_string()),
                "{name}: {carried:?}, {identity:?}"
            );
        }
        Ok(())
    }
}
