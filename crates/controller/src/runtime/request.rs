//! Requests to the API server: bounded in time, and their errors as the core's faults.

use std::future::Future;
use std::time::Duration;

use kube::core::Status;
use wio_core::fault::{Fault, HeldField, KubernetesCause, KubernetesFault};

/// No single request is worth more: the API server's own limit is 60 s, and a reconcile holds a slot meanwhile.
const REQUEST_CAP: Duration = Duration::from_secs(20);

/// Runs a request; `operation` is a phrase that follows "could not". It is boxed here, before it is a part of any other future: each of those
/// would have room for it twice, and a hundred passes are under way at once.
pub(crate) fn request<T>(
    operation: impl FnOnce() -> String,
    request: impl Future<Output = kube::Result<T>>,
) -> impl Future<Output = Result<T, Fault>> {
    let request = Box::pin(request);
    async move {
        let cause = match tokio::time::timeout(REQUEST_CAP, request).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => cause(error),
            Err(_) => KubernetesCause::Transport(format!("no answer within {} s", REQUEST_CAP.as_secs())),
        };
        Err(Fault::Kubernetes(KubernetesFault {
            operation: operation(),
            cause,
        }))
    }
}

fn cause(error: kube::Error) -> KubernetesCause {
    match error {
        kube::Error::Api(status) => answer(*status),
        // The outer text names the kind of failure, the innermost one the cause that a person can act on.
        other => KubernetesCause::Transport(innermost(&other)),
    }
}

fn answer(status: Status) -> KubernetesCause {
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") {
        return KubernetesCause::NamespaceTerminating;
    }
    let held: Vec<HeldField> = causes
        .into_iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| HeldField {
            manager: manager_of(&cause.message),
            field: cause.field,
            // The API server does not say.
            empty: false,
        })
        .collect();
    if held.is_empty() {
        KubernetesCause::Answer {
            status: status.code,
            reason: status.reason,
            message: status.message,
        }
    } else {
        KubernetesCause::FieldsHeld(held)
    }
}

/// The API server says `conflict with "helm" using v1` and gives the manager nowhere else.
fn manager_of(message: &str) -> String {
    message.split('"').nth(1).unwrap_or(message).to_owned()
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Whether the object was not there.
pub(crate) const fn is_not_found(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Kubernetes(KubernetesFault {
            cause: KubernetesCause::Answer { status: 404, .. },
            ..
        })
    )
}

/// Whether it was refused for want of a right.
pub(crate) const fn is_forbidden(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Kubernetes(KubernetesFault {
            cause: KubernetesCause::Answer { status: 403, .. },
            ..
        })
    )
}

/// The fault of an answer that an API server does not give.
pub(crate) fn malformed(operation: String, why: &str) -> Fault {
    Fault::Kubernetes(KubernetesFault {
        operation,
        cause: KubernetesCause::Malformed(why.to_owned()),
    })
}
