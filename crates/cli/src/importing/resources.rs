//! Resources of other operators: Azure Service Operator and Crossplane.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;

use super::found::{Credential, Found};

/// The operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// <https://azure.github.io/azure-service-operator/reference/managedidentity/>
    AzureServiceOperator,
    /// <https://marketplace.upbound.io/providers/upbound/provider-azure-managedidentity>
    Crossplane,
}

/// Takes in the identities and the credentials of an operator.
pub(super) fn take_in(
    operator: Operator,
    identities: &[DynamicObject],
    credentials: &[DynamicObject],
    own_issuer: Option<&str>,
    found: &mut Found,
) {
    let mut ids: BTreeMap<(String, String), String> = BTreeMap::new();
    for identity in identities {
        let (client, id) = match operator {
            Operator::AzureServiceOperator => ("/status/clientId", "/status/id"),
            Operator::Crossplane => ("/status/atProvider/clientId", "/status/atProvider/id"),
        };
        found.identity(text(identity, client), text(identity, id));
        if let Some(id) = text(identity, id) {
            ids.insert(
                (identity.namespace().unwrap_or_default(), identity.name_any()),
                id.to_owned(),
            );
        }
    }
    for credential in credentials {
        let read = match operator {
            Operator::AzureServiceOperator => of_service_operator(credential, &ids),
            Operator::Crossplane => of_crossplane(credential, &ids),
        };
        found.credential(place(credential), &read, own_issuer);
    }
}

fn of_service_operator<'a>(object: &'a DynamicObject, ids: &'a BTreeMap<(String, String), String>) -> Credential<'a> {
    let owner = text(object, "/spec/owner/name").map(|name| (object.namespace().unwrap_or_default(), name.to_owned()));
    let owner = owner.and_then(|owner| ids.get(&owner)).map(String::as_str);
    Credential {
        made: text(object, "/status/id"),
        identity: text(object, "/spec/owner/armId").or(owner),
        // A value that comes from a ConfigMap is in the status as Azure has it.
        issuer: text(object, "/status/issuer").or(text(object, "/spec/issuer")),
        subject: text(object, "/status/subject").or(text(object, "/spec/subject")),
        audience: text(object, "/status/audiences/0").or(text(object, "/spec/audiences/0")),
    }
}

fn of_crossplane<'a>(object: &'a DynamicObject, ids: &'a BTreeMap<(String, String), String>) -> Credential<'a> {
    let named = text(object, "/spec/forProvider/parentIdRef/name");
    let named = named.map(|name| (object.namespace().unwrap_or_default(), name.to_owned()));
    let named = named.and_then(|named| ids.get(&named)).map(String::as_str);
    let field = |name: &str| {
        let observed = object.data.pointer(&format!("/status/atProvider/{name}"));
        let asked = object.data.pointer(&format!("/spec/forProvider/{name}"));
        observed.and_then(Value::as_str).or(asked.and_then(Value::as_str))
    };
    Credential {
        made: text(object, "/status/atProvider/id"),
        identity: field("parentId").or(named),
        issuer: field("issuer"),
        subject: field("subject"),
        audience: field("audience/0"),
    }
}

fn text<'a>(object: &'a DynamicObject, path: &str) -> Option<&'a str> {
    object.data.pointer(path).and_then(Value::as_str)
}

fn place(object: &DynamicObject) -> String {
    match object.namespace() {
        Some(namespace) => format!("FederatedIdentityCredential {namespace}/{}", object.name_any()),
        None => format!("FederatedIdentityCredential {}", object.name_any()),
    }
}
