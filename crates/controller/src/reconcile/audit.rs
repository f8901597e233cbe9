//! The audit trail: one line at info for each thing that was given to somebody or taken from somebody, with what it was, why, and the
//! ids by which Azure's activity log knows the request. Who it is about, the span says: namespace and name of the binding, or
//! the binding that an orphan is of.

use std::cell::RefCell;
use std::future::Future;

use futures::FutureExt;
use wio_azure::Exchange;
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::names::IdentityId;
use wio_core::plan::Revocation;

tokio::task_local! {
    /// The ids of the last request to Azure of the step that is carried out.
    static REQUEST: RefCell<Ids>;
}

/// The ids by which a request is found in Azure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    correlation: Option<String>,
    request: Option<String>,
}

/// Why something was given or taken away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Why<'a> {
    /// The identity that it is about.
    pub(crate) identity: &'a IdentityId,
    /// The reason.
    pub(crate) reason: &'a str,
}

/// Carries out a step, and tells by which request. It is boxed before anything else has room for it.
pub(crate) fn carried<'a, T: 'a>(
    step: impl Future<Output = T> + Send + 'a,
) -> impl Future<Output = (T, Ids)> + Send + 'a {
    let step = step.boxed();
    let whole = async {
        let done = step.await;
        (done, REQUEST.with(RefCell::take))
    };
    REQUEST.scope(RefCell::default(), whole)
}

/// Takes note of a request to Azure, when it belongs to a step.
pub(crate) fn note(exchange: &Exchange) {
    let ids = Ids {
        correlation: Some(exchange.correlation_id.clone()),
        request: exchange.request_id.clone(),
    };
    // Outside a step nobody asks.
    let _ = REQUEST.try_with(|last| last.replace(ids));
}

/// Tells that something was given.
pub(crate) fn given(what: &str, why: Why<'_>, ids: &Ids) {
    tell("given", what, why, ids);
}

/// Tells that something was taken away.
pub(crate) fn taken(what: &str, why: Why<'_>, ids: &Ids) {
    tell("taken away", what, why, ids);
}

fn tell(done: &str, what: &str, why: Why<'_>, ids: &Ids) {
    tracing::info!(
        what,
        identity = %why.identity,
        why = why.reason,
        correlation_id = ids.correlation,
        request_id = ids.request,
        "{done}"
    );
}

/// Why something is given.
pub(crate) fn why_given(desired: &DesiredBinding) -> String {
    let policies: Vec<String> = desired
        .granted
        .authorized_by()
        .iter()
        .map(ToString::to_string)
        .collect();
    if policies.is_empty() {
        "the spec asks for it, which needs no policy".to_owned()
    } else {
        format!("the spec asks for it, and policy {} allows it", policies.join(", "))
    }
}

/// Why a step takes something away.
pub(crate) fn why_taken(desired: &Desired, step: &Revocation) -> String {
    match (desired, step) {
        (Desired::Bound(bound), Revocation::DeleteCredential(name)) if bound.retired.contains(name) => {
            "the cluster has another issuer, and no token of this one lives any more".to_owned()
        }
        (Desired::Bound(_), _) => "the spec does not ask for it any more".to_owned(),
        (Desired::Denied(denial), _) => denial.why().to_string(),
        (Desired::Gone(_), _) => "the binding is deleted".to_owned(),
    }
}
