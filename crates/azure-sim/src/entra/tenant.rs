//! The one tenant there is.

use uuid::Uuid;

use super::errors::EntraError;
use crate::config::Config;

/// Refuses requests to another tenant, in Entra's words.
pub(super) fn require_tenant(config: &Config, tenant: &str) -> Result<(), EntraError> {
    if tenant == config.tenant_id.to_string() {
        return Ok(());
    }
    if tenant == "common" || tenant == "organizations" {
        let message =
            "No tenant-identifying information found in either the request or implied by any provided credentials.";
        return Err(EntraError::invalid_request(50_059, message));
    }
    if Uuid::try_parse(tenant).is_err() && !tenant.contains('.') {
        let message =
            format!("Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain.");
        return Err(EntraError::invalid_request(900_023, message));
    }
    let message = format!(
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
    );
    Err(EntraError::invalid_request(90_002, message))
}
