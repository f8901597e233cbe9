//! Whether Ready is proven where a proof is asked for.

use std::sync::Arc;

use serde_json::Value;

use super::Judged;
use crate::history::{History, Moment, is_ready, text};

/// A binding that asks for a proof says that it is ready only after Entra gave a token for each of its service accounts, as they are now.
pub(super) fn ready(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (before, now) in history.steps() {
        for binding in &now.bindings {
            let asks = text(binding, "/spec/verification/mode") == "TokenExchange" && is_ready(binding);
            let as_before = before.bindings.iter().any(|was| Arc::ptr_eq(was, binding));
            if !asks || as_before || binding.pointer("/metadata/deletionTimestamp").is_some() {
                continue;
            }
            let accounts = binding.pointer("/spec/serviceAccounts").and_then(Value::as_array);
            for account in accounts.into_iter().flatten() {
                let account = text(account, "/name");
                judged.case(is_proven(history, now, binding, account), || {
                    format!(
                        "{:.1} s: {}/{} is ready, and Entra gave no token for {account}",
                        now.at.as_secs_f64(),
                        text(binding, "/metadata/namespace"),
                        text(binding, "/metadata/name")
                    )
                });
            }
        }
    }
    judged
}

/// Whether Entra gave a token of the identity for one of the account since the binding's own credential for it was made. What is about to be written is
/// told of before, in the same moment. One that is mended in its place, which Azure answers with 200, does not count: another binding that rests on it may have
/// mended it, and this one does not hear of that.
fn is_proven(history: &History, now: &Moment, binding: &Value, account: &str) -> bool {
    let subject = format!(
        "system:serviceaccount:{}:{account}",
        text(binding, "/metadata/namespace")
    );
    let written = history.sent.iter().rev().find(|sent| {
        let name = sent.path.rsplit('/').next().unwrap_or_default();
        let owned = history.owner(name);
        let is_own = owned.is_some_and(|owned| owned.name == text(binding, "/metadata/name"));
        let mends = sent.status == Some(200);
        sent.method == "PUT" && !mends && sent.begun < now.at && is_own && is_of(binding, account, name)
    });
    let issuer = text(binding, "/status/issuer");
    history.exchanges.iter().any(|exchange| {
        exchange.passed.is_some_and(|passed| passed <= now.at)
            && written.is_none_or(|written| written.begun <= exchange.begun)
            && exchange.client == text(binding, "/status/identity/clientId")
            && exchange.issuer == issuer
            && exchange.subject == subject
    })
}

/// Whether a federated credential of this name, in lower case, stands in the status for the account.
fn is_of(binding: &Value, account: &str, name: &str) -> bool {
    let credentials = binding
        .pointer("/status/federatedCredentials")
        .and_then(Value::as_array);
    let mut of_account = credentials
        .into_iter()
        .flatten()
        .filter(|one| text(one, "/serviceAccount") == account);
    of_account.any(|one| text(one, "/name").eq_ignore_ascii_case(name))
}
