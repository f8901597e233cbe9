//! Where the parts of the cloud are, for clients that are told of Azure Resource Manager alone, as `az cloud register`.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::incoming::Incoming;

/// Answers `GET /metadata/endpoints`, which needs no token. Every part is the host that was asked.
pub(crate) fn serve(incoming: &Incoming, tenant: Uuid) -> Answer {
    if incoming.method != Method::GET {
        return Answer::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let base = &incoming.base;
    let authentication = json!({
        "loginEndpoint": base,
        "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
        "tenant": tenant,
        "identityProvider": "AAD",
    });
    let cloud = json!({
        "name": "Simulated",
        "resourceManager": base,
        "authentication": authentication,
        "portal": base,
        "graphAudience": base,
        "graph": base,
        "microsoftGraphResourceId": base,
        "gallery": base,
        "suffixes": { "keyVaultDns": "vault.azure.net", "storage": "core.windows.net" },
    });
    // The first version listed every cloud, the later ones the one that was asked.
    Answer::ok(if incoming.query("api-version") == Some("2019-05-01") {
        Value::Array(vec![cloud])
    } else {
        cloud
    })
}
