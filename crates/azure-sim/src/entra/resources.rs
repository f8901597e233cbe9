//! What tokens can be for: the resources that have a principal in the tenant.

use super::errors::EntraError;
use crate::access::caller::is_arm_audience;
use crate::config::Config;

/// Some of Microsoft's own, besides Azure Resource Manager; a tenant has many more. Whatever else a test asks for is a setting.
const OF_MICROSOFT: [&str; 12] = [
    "api://azureadtokenexchange",
    "https://api.loganalytics.io",
    "https://azconfig.io",
    "https://containerregistry.azure.net",
    "https://database.windows.net",
    "https://eventhubs.azure.net",
    "https://graph.microsoft.com",
    "https://graph.windows.net",
    "https://ossrdbms-aad.database.windows.net",
    "https://servicebus.azure.net",
    "https://storage.azure.com",
    "https://vault.azure.net",
];

/// Refuses a token for what is not there.
pub(super) fn require(config: &Config, resource: &str) -> Result<(), EntraError> {
    let plain = |name: &str| name.trim_end_matches('/').to_lowercase();
    let wanted = plain(resource);
    let is_there = is_arm_audience(config, resource)
        || OF_MICROSOFT.contains(&wanted.as_str())
        || config.resources.iter().any(|one| plain(one) == wanted);
    if is_there {
        return Ok(());
    }
    let message = format!(
        "The resource principal named {resource} was not found in the tenant named {}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.",
        config.tenant_id
    );
    Err(EntraError::new("invalid_resource", 500_011, message))
}
