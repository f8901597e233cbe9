//! The headers of every answer of Azure Resource Manager.

use jiff::Timestamp;
use uuid::Uuid;

use crate::answer::Answer;
use crate::incoming::Incoming;

/// Adds the headers that every answer has. The caller's correlation id comes back.
pub(crate) fn complete(incoming: &Incoming, answer: Answer, now: Timestamp) -> Answer {
    let request_id = Uuid::new_v4().to_string();
    let sent = incoming
        .header("x-ms-correlation-request-id")
        .filter(|sent| !sent.is_empty());
    let correlation_id = sent.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let routing = format!("WESTEUROPE:{}:{}", now.strftime("%Y%m%dT%H%M%SZ"), Uuid::new_v4());
    let wants_client_id = incoming
        .header("x-ms-return-client-request-id")
        .is_some_and(|wish| wish == "true");
    let client_id = incoming
        .header("x-ms-client-request-id")
        .filter(|_| wants_client_id)
        .map(str::to_owned);
    let answer = answer
        .with_header("cache-control", "no-cache")
        .with_header("pragma", "no-cache")
        .with_header("expires", "-1")
        .with_header("strict-transport-security", "max-age=31536000; includeSubDomains")
        .with_header("x-content-type-options", "nosniff")
        .with_header("x-ms-request-id", request_id)
        .with_header("x-ms-correlation-request-id", correlation_id)
        .with_header("x-ms-routing-request-id", routing);
    match client_id {
        Some(client_id) => answer.with_header("x-ms-client-request-id", client_id),
        None => answer,
    }
}

/// Whether ARM itself gave the answer, and no resource provider.
pub(super) fn is_by_gateway(answer: &Answer) -> bool {
    let mut headers = answer.headers.iter();
    headers.any(|(name, value)| name == "x-ms-failure-cause" && value == "gateway")
}

/// By what a resource provider finds the operation again: who asked, where, and an id. That it is there is known; its form is not
/// documented, and nobody may rest on it.
pub(super) fn operation_identifier(tenant: Uuid, principal: &str) -> String {
    format!("tenantId={tenant},objectId={principal}/westeurope/{}", Uuid::new_v4())
}
