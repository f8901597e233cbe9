//! The identities by which the cluster itself acts on Azure, as its own resource names them: no binding may have one of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use wio_api::{AcceptedSettings, Reason};

use crate::config::{OperatorConfig, OwnCluster};
use crate::fault::{AzureCause, AzureFault, Blocked};
use crate::names::{IdentityId, InvalidName, ResourceGroupId, RoleDefinitionGuid};

/// The identities by which a cluster acts: of its control plane, kubelets and add-ons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterIdentities {
    /// Each of them, once.
    pub identities: BTreeSet<IdentityId>,
    /// The resource group of its nodes.
    pub nodes: ResourceGroupId,
}

/// What is known of the protected identities, from which the configuration of now follows.
#[derive(Clone, Debug)]
pub struct Protections {
    /// The configuration as the operator was given it.
    given: Arc<OperatorConfig>,
    /// The resource of the cluster; none when nobody named it.
    cluster: Option<String>,
    /// What it named when it was read last.
    read: Option<ClusterIdentities>,
    /// What whoever leads, or led before, protects; none when it was not told, or was read anew since this operator leads.
    before: Option<(Vec<IdentityId>, Vec<ResourceGroupId>)>,
    /// Whether it was read while this operator leads.
    is_fresh: bool,
    /// Why it could not be read.
    why: String,
}

/// What is withheld from a binding while it is not known by which identities the cluster acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Why.
    pub why: Blocked,
    /// The roles with which one gets the tokens of identities where they hold.
    pub roles: BTreeSet<RoleDefinitionGuid>,
}

// === impl Protections ===

impl Protections {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(given: OperatorConfig, cluster: Option<String>) -> Self {
        Self {
            given: Arc::new(given),
            cluster,
            read: None,
            before: None,
            is_fresh: false,
            why: "it was not read yet".to_owned(),
        }
    }

    /// Takes in what the cluster's resource names now, read by one that leads or by one that stands by.
    pub fn learn(&mut self, read: ClusterIdentities, leads: bool) {
        self.read = Some(read);
        if leads {
            self.before = None;
            self.is_fresh = true;
        }
    }

    /// Takes in that it could not be read. What was known stays known.
    pub fn miss(&mut self, fault: &AzureFault) {
        self.why = in_few_words(&fault.cause);
    }

    /// Takes in the settings that whoever leads accepted, or led before: what was protected stays so until this operator leads and has read for
    /// itself. What it read while it stood by may be older.
    pub fn remember(&mut self, accepted: &AcceptedSettings) {
        if self.cluster.is_some() && !self.is_fresh {
            self.before = protections(accepted).ok();
        }
    }

    /// The configuration that follows: what was given with everything else that is to be protected.
    #[must_use]
    pub fn config(&self) -> OperatorConfig {
        let mut config = OperatorConfig::clone(&self.given);
        let Some(cluster) = &self.cluster else {
            return config;
        };
        if let Some((identities, groups)) = &self.before {
            add(&mut config.protected_identities, identities);
            add(&mut config.protected_groups, groups);
        }
        match &self.read {
            Some(read) => {
                add(&mut config.protected_identities, &read.identities);
                add(&mut config.protected_groups, [&read.nodes]);
            }
            None => config.own_cluster = OwnCluster::Unknown(unknown(cluster, &self.why).into()),
        }
        config
    }
}

/// The identities and resource groups that no policy can give, as they were kept in the cluster.
///
/// # Errors
/// A part that does not parse: another version of the operator wrote it.
pub(crate) fn protections(kept: &AcceptedSettings) -> Result<(Vec<IdentityId>, Vec<ResourceGroupId>), InvalidName> {
    let identities: Result<_, _> = kept.protected_identities.iter().map(|text| text.parse()).collect();
    let groups: Result<_, _> = kept.protected_resource_groups.iter().map(|text| text.parse()).collect();
    Ok((identities?, groups?))
}

/// Adds what is not there yet, in any case of letters.
fn add<'a, T: Clone + PartialEq + 'a>(all: &mut Vec<T>, more: impl IntoIterator<Item = &'a T>) {
    for one in more {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}

fn unknown(cluster: &str, why: &str) -> String {
    format!(
        "by which identities the cluster acts on Azure is not known yet, so nothing new is given through an identity that stands, and \
         nothing is taken away: {cluster} could not be read: {why}. Give the operator's identity \
         Microsoft.ContainerService/managedClusters/read there, or correct --cluster-id; or name those identities with \
         --protected-identity and --protected-resource-group in place of --cluster-id"
    )
}

/// Why a read failed, in words that are the same for the same cause: they stand in the status of many bindings.
#[must_use]
pub fn in_few_words(cause: &AzureCause) -> String {
    match cause {
        AzureCause::Answer(answer) if answer.code.is_empty() => format!("Azure answered {}", answer.status),
        AzureCause::Answer(answer) => format!("Azure answered {} {}", answer.status, answer.code),
        AzureCause::Timeout => "no answer came in time".to_owned(),
        AzureCause::Transport(_) => "the connection failed".to_owned(),
        AzureCause::Credential(_) => "no token for Azure could be had".to_owned(),
        AzureCause::Malformed(what) => what.clone(),
        AzureCause::Budget(_) => "what Azure admits is spent for now".to_owned(),
        AzureCause::Refused(_)
        | AzureCause::NotAdmitted
        | AzureCause::RoleAccessDenied { .. }
        | AzureCause::RoleScopeNotFound(_) => "the request was refused".to_owned(),
    }
}

// === impl Withheld ===

impl Withheld {
    /// What is withheld by a configuration; none when all that is to be protected is.
    pub(crate) fn by(config: &OperatorConfig) -> Option<Self> {
        let OwnCluster::Unknown(why) = &config.own_cluster else {
            return None;
        };
        Some(Self {
            why: Blocked {
                reason: Reason::NotDecided,
                message: why.to_string(),
            },
            roles: config.roles_locked_at_identities().copied().collect(),
        })
    }
}
