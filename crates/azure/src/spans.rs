//! The span of a request to Azure, for traces. It tells the route and never the URL, and holds nothing of what is sent or answered: a trace is
//! read by more people than a token may be.

use std::time::Duration;

use azure_core::http::Request;
use tracing::field::Empty;
use tracing::{Span, debug_span};

use crate::answer::Answer;
use crate::send_error::SendError;
use crate::telemetry::{Operation, label};

/// The target of spans that are for traces alone, and in no log.
pub const TRACES: &str = "wio_traces";

/// The span of a request from when it asks the gate until its answer was read.
pub(crate) fn begin(operation: Operation, request: &Request) -> Span {
    debug_span!(
        target: TRACES,
        "request to Azure",
        otel.name = operation.as_str(),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = request.method().as_ref(),
        url.template = operation.route(),
        http.response.status_code = Empty,
        azure.outcome = Empty,
        azure.correlation_id = Empty,
        azure.request_id = Empty,
        azure.waited_ms = Empty,
    )
}

/// Notes how long the gate had the request wait.
pub(crate) fn admitted(span: &Span, waited: Duration) {
    span.record("azure.waited_ms", millis(waited));
}

/// Notes what came of it.
pub(crate) fn ended(span: &Span, correlation_id: &str, outcome: &Result<Answer, SendError>) {
    span.record("azure.correlation_id", correlation_id);
    span.record("azure.outcome", label(outcome));
    let answer = outcome.as_ref().ok();
    if let Some(answer) = answer {
        span.record("http.response.status_code", answer.status);
        if let Some(id) = &answer.request_id {
            span.record("azure.request_id", id.as_str());
        }
    }
    // What a look does not find is an answer as good as another.
    if !answer.is_some_and(|answer| answer.status < 400 || answer.status == 404) {
        span.record("otel.status_code", "ERROR");
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
