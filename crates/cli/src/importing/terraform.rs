//! Terraform's state, format 4: <https://developer.hashicorp.com/terraform/internals/json-format> names the resources in the same words.

use anyhow::{Context, bail};
use serde_json::Value;

use super::found::{Credential, Found};

/// Takes in the identities and credentials of a state.
///
/// # Errors
/// When it is none, or of another format.
pub(super) fn take_in(state: &str, own_issuer: Option<&str>, found: &mut Found) -> anyhow::Result<()> {
    let state: Value = serde_json::from_str(state.trim_start_matches('\u{feff}')).context("it is no JSON")?;
    match state.get("version").and_then(Value::as_u64) {
        Some(4) => {}
        version => bail!("it is no state of format 4, which terraform state pull writes, but of {version:?}"),
    }
    let resources = state
        .get("resources")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    for resource in resources {
        let field = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
        // What a data source reads is somebody else's: it tells ids and no more.
        let kind = field("type");
        let instances = resource
            .get("instances")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        for instance in instances {
            let attribute = |name: &str| instance.pointer(&format!("/attributes/{name}")).and_then(Value::as_str);
            let index = instance
                .get("index_key")
                .map(|key| format!("[{key}]"))
                .unwrap_or_default();
            let by = format!("Terraform's {kind}.{}{index}", field("name"));
            match kind {
                "azurerm_user_assigned_identity" => found.identity(attribute("client_id"), attribute("id")),
                "azurerm_federated_identity_credential" => {
                    let credential = Credential {
                        made: attribute("id"),
                        // Since version 5 of the provider the identity has another name.
                        identity: attribute("parent_id").or(attribute("user_assigned_identity_id")),
                        issuer: attribute("issuer"),
                        subject: attribute("subject"),
                        audience: attribute("audience/0"),
                    };
                    found.credential(by, &credential, own_issuer);
                }
                "azuread_application_federated_identity_credential" => {
                    found.leave(
                        by,
                        "it belongs to an Entra application, which cannot be bound: make a managed identity",
                    );
                }
                _ => {}
            }
        }
    }
    Ok(())
}
