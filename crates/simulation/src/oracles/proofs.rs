//! Whether Ready is proven where a proof is asked for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::Judged;
use crate::history::{History, Moment, Owned, Sent, is_ready, tells_of, text, wants};

/// How long it may take until one hears that another binding wrote the credential on which its proof rests: a pass that is under way ends first, and a
/// request to the API server may not be answered.
const HEARD_WITHIN: Duration = Duration::from_secs(40);

/// A binding that asks for a proof says that it is ready only after Entra gave a token for each of its service accounts, as they are now. In the end, when nothing is
/// left to do, that holds whoever wrote last.
pub(super) fn ready(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (before, now) in history.steps() {
        for binding in &now.bindings {
            let was = before.bindings.iter().find(|was| is_same(was, binding));
            if was.is_some_and(|was| Arc::ptr_eq(was, binding)) || !asks(binding) {
                continue;
            }
            let told_anew = was.is_none_or(|was| was.pointer("/status") != binding.pointer("/status"));
            let heard = if told_anew { HEARD_WITHIN } else { Duration::MAX };
            judge(history, (now, binding), heard, &mut judged);
        }
    }
    if let (Some(last), None) = (history.moments.last(), &history.end) {
        for binding in last.bindings.iter().filter(|binding| asks(binding)) {
            judge(history, (last, binding), Duration::ZERO, &mut judged);
        }
    }
    judged
}

/// Whether a binding says that it is ready, and asks for a proof of it.
fn asks(binding: &Value) -> bool {
    text(binding, "/spec/verification/mode") == "TokenExchange"
        && is_ready(binding)
        && binding.pointer("/metadata/deletionTimestamp").is_none()
}

fn is_same(one: &Value, other: &Value) -> bool {
    one.pointer("/metadata/uid") == other.pointer("/metadata/uid")
}

/// Judges each of its service accounts. What another binding wrote counts when it had so much time to hear of it.
fn judge(history: &History, (now, binding): (&Moment, &Value), heard: Duration, judged: &mut Judged) {
    let accounts = binding.pointer("/spec/serviceAccounts").and_then(Value::as_array);
    for account in accounts.into_iter().flatten() {
        let account = text(account, "/name");
        judged.case(is_proven(history, (now, binding), account, heard), || {
            format!(
                "{:.1} s: {}/{} is ready, and Entra gave no token for {account}",
                now.at.as_secs_f64(),
                text(binding, "/metadata/namespace"),
                text(binding, "/metadata/name")
            )
        });
    }
}

/// Whether Entra gave a token of the identity for one of the account since a credential for it was written of which the status tells. What the binding itself is about
/// to write is told of before, in the same moment; of what another one writes that rests on the same, it hears.
fn is_proven(history: &History, (now, binding): (&Moment, &Value), account: &str, heard: Duration) -> bool {
    let subject = format!(
        "system:serviceaccount:{}:{account}",
        text(binding, "/metadata/namespace")
    );
    let written = history.sent.iter().rev().find(|sent| {
        let name = sent.path.rsplit('/').next().unwrap_or_default();
        let counts = || sent.begun.saturating_add(heard) <= now.at || !is_shared(history, sent, (binding, account));
        sent.method == "PUT" && sent.begun < now.at && is_of(binding, account, name) && counts()
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

/// Whether another binding may have sent a request: it asked for the same trust then, or had it.
fn is_shared(history: &History, sent: &Sent, (binding, account): (&Value, &str)) -> bool {
    let (namespace, name) = (text(binding, "/metadata/namespace"), text(binding, "/metadata/name"));
    let shares = |one: &&Owned| {
        let is_other = one.existing && one.namespace == namespace && one.name != name;
        let had = |moment: &Moment| {
            History::binding(moment, one).is_some_and(|other| wants(other, account) || tells_of(other, account))
        };
        is_other && history.around(sent.begun).any(had)
    };
    history.owners.iter().any(|one| shares(&one))
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
