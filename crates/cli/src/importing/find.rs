//! Looking for what other tools made, with the caller's own rights.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use wio_azure::Azure;
use wio_core::fault::AzureFault;
use wio_core::names::{IdentityId, ResourceGroupId};

use super::found::Found;
use super::resources::Operator;
use super::{accounts, pod_identity, resources, terraform};
use crate::pages::{list, list_metadata};
use crate::pods::pods;
use crate::session::{Session, told};

/// Where to look.
pub(crate) struct Asked<'a> {
    /// Everywhere, or in the session's namespace.
    pub(crate) everywhere: bool,
    /// States of Terraform.
    pub(crate) states: &'a [PathBuf],
    /// Resource groups whose identities are looked up, and how.
    pub(crate) groups: &'a [ResourceGroupId],
    pub(crate) azure: Option<&'a Azure>,
    /// The cluster's issuer, where it is known.
    pub(crate) issuer: Option<&'a str>,
}

/// The versions in which a kind was served, the newest first.
struct Kind {
    group: &'static str,
    versions: &'static [&'static str],
    name: &'static str,
    plural: &'static str,
}

const fn pod_identity(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: "aadpodidentity.k8s.io",
        versions: &["v1"],
        name: kind,
        plural,
    }
}

const fn of(operator: Operator, kind: &'static str, plural: &'static str) -> Kind {
    let (group, versions): (_, &'static [&'static str]) = match operator {
        Operator::AzureServiceOperator => (
            "managedidentity.azure.com",
            &["v1api20230131", "v1api20220131preview", "v1api20181130"],
        ),
        Operator::Crossplane => ("managedidentity.azure.upbound.io", &["v1beta1"]),
    };
    Kind {
        group,
        versions,
        name: kind,
        plural,
    }
}

/// Looks for it.
///
/// # Errors
/// What could not be read.
pub(crate) async fn find(asked: &Asked<'_>, session: &Session) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let everywhere = asked.everywhere;
    let api: Api<ServiceAccount> = if everywhere {
        Api::all(session.client.clone())
    } else {
        Api::namespaced(session.client.clone(), &session.namespace)
    };
    match list_metadata(&api, &ListParams::default()).await {
        Ok(listed) => accounts::take_in(&listed, &mut found),
        Err(error) => not_read("the service accounts", error, &mut found)?,
    }

    let here = (everywhere, session);
    let identities = of_kind(&pod_identity("AzureIdentity", "azureidentities"), here, &mut found).await?;
    let bindings = pod_identity("AzureIdentityBinding", "azureidentitybindings");
    let bindings = of_kind(&bindings, here, &mut found).await?;
    let pods = if bindings.is_empty() {
        None
    } else {
        let within = (!everywhere).then_some(session.namespace.as_str());
        let labelled = ListParams::default().labels("aadpodidbinding");
        pods(session, within, &labelled).await.ok()
    };
    pod_identity::take_in(&identities, &bindings, pods.as_deref(), &mut found);

    for operator in [Operator::AzureServiceOperator, Operator::Crossplane] {
        // Crossplane's are in no namespace.
        let here = (everywhere || operator == Operator::Crossplane, session);
        let identities = of(operator, "UserAssignedIdentity", "userassignedidentities");
        let identities = of_kind(&identities, here, &mut found).await?;
        let credentials = of(operator, "FederatedIdentityCredential", "federatedidentitycredentials");
        let credentials = of_kind(&credentials, here, &mut found).await?;
        resources::take_in(operator, &identities, &credentials, asked.issuer, &mut found);
    }
    for path in asked.states {
        let state = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        terraform::take_in(&state, asked.issuer, &mut found).with_context(|| path.display().to_string())?;
    }
    if let Some(azure) = asked.azure {
        look_up(azure, asked, &mut found).await?;
    }
    Ok(found)
}

/// Looks up identities by their client ids, and whether they trust the service accounts that name them.
async fn look_up(azure: &Azure, asked: &Asked<'_>, found: &mut Found) -> anyhow::Result<()> {
    let told = |fault: AzureFault| anyhow::anyhow!("{fault}");
    for group in asked.groups {
        let listed = azure.list_identities(group).await;
        for identity in listed.map_err(|unlisted| told(unlisted.fault))?.entries {
            if let Some(facts) = identity.facts {
                found.identities.insert(facts.client_id, identity.id);
            }
        }
    }
    let claimed: BTreeSet<IdentityId> = found
        .trusts
        .iter()
        .filter(|one| !one.stands)
        .filter_map(|one| found.id(one))
        .collect();
    for id in claimed {
        let credentials = azure.list_credentials(&id).await.map_err(told)?;
        let known = found.identities.clone();
        for trust in found
            .trusts
            .iter_mut()
            .filter(|one| one.id(&known).as_ref() == Some(&id))
        {
            let subject = format!("system:serviceaccount:{}:{}", trust.namespace, trust.account);
            let issuer = asked.issuer.unwrap_or_default();
            if let Some(credential) = credentials.iter().find(|one| one.trusts(issuer, &subject)) {
                trust.stands = true;
                trust.audience = trust.audience.take().or(credential.audiences.first().cloned());
            }
        }
    }
    Ok(())
}

/// The objects of a kind; none where the cluster does not know it or the caller may not read them, which is said then.
async fn of_kind(
    kind: &Kind,
    (everywhere, session): (bool, &Session),
    found: &mut Found,
) -> anyhow::Result<Vec<DynamicObject>> {
    for version in kind.versions {
        let which = GroupVersionKind::gvk(kind.group, version, kind.name);
        let resource = ApiResource::from_gvk_with_plural(&which, kind.plural);
        let api: Api<DynamicObject> = if everywhere {
            Api::all_with(session.client.clone(), &resource)
        } else {
            Api::namespaced_with(session.client.clone(), &session.namespace, &resource)
        };
        match list(&api, &ListParams::default()).await {
            Ok(listed) => return Ok(listed),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            // Whoever may not read a kind hears that also where there is none.
            Err(_) if !is_served(kind.group, session).await => break,
            Err(error) => {
                not_read(&format!("{} of {}", kind.plural, kind.group), error, found)?;
                break;
            }
        }
    }
    Ok(Vec::new())
}

/// Whether the cluster has a group, as far as it tells.
async fn is_served(group: &str, session: &Session) -> bool {
    let groups = session.client.list_api_groups().await;
    groups.map_or(true, |groups| groups.groups.iter().any(|one| one.name == group))
}

/// Names what the caller may not read.
///
/// # Errors
/// What is wrong otherwise.
fn not_read(what: &str, error: kube::Error, found: &mut Found) -> anyhow::Result<()> {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            found.leave(what, format!("they could not be read: {}", status.message));
            Ok(())
        }
        error => Err(told(error).context(what.to_owned())),
    }
}
