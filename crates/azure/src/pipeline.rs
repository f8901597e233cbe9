//! The one pipeline: every request to Azure Resource Manager of every kind goes through it.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use azure_core::Error;
use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{ACCEPT, CLIENT_REQUEST_ID, HeaderName};
use azure_core::http::{
    ClientOptions, Context, HttpClient, Method, PipelineSendOptions, Request, RetryOptions, Transport, Url,
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};
use uuid::Uuid;
use wio_core::absence::{Absence, Deletion, Kind};
use wio_core::fault::AzureCause;
use wio_core::names::Location;

use crate::answer::Answer;
use crate::cloud::Endpoints;
use crate::fence::Fence;
use crate::gate::{Budget, Gate};
use crate::policies::{Authorize, Fenced, Guard, NotAdmitted, Refusal};
use crate::send_error::{SendError, reasons};
use crate::spans;
use crate::telemetry::{Operation, Telemetry, label};
use crate::tokens::Tokens;
use crate::transport::Capped;
use crate::urls::Urls;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");

/// The pipeline to Azure Resource Manager. Clones share the token and the connections.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    policies: azure_core::http::Pipeline,
    pub(crate) urls: Urls,
    pub(crate) tokens: Arc<Tokens>,
    telemetry: Telemetry,
    pub(crate) gate: Gate,
    fence: Fence,
}

// === impl Pipeline ===

impl Pipeline {
    pub(crate) fn new(
        transport: Arc<dyn HttpClient>,
        credential: Arc<dyn TokenCredential>,
        endpoints: Endpoints,
    ) -> Self {
        let tokens = Arc::new(Tokens::new(credential, endpoints.cloud.arm_scope()));
        let options = ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::new(Capped(transport)))),
            ..ClientOptions::default()
        };
        let guard = Guard(endpoints.arm.origin());
        let policies = azure_core::http::Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            options,
            Vec::new(),
            vec![
                Arc::new(guard),
                Arc::new(Authorize(Arc::clone(&tokens))),
                Arc::new(Fenced),
            ],
            None,
        );
        Self {
            policies,
            urls: Urls::new(endpoints),
            tokens,
            telemetry: Telemetry::default(),
            gate: Gate::default(),
            fence: Fence::default(),
        }
    }

    /// The same pipeline, whose exchanges `telemetry` is told of.
    pub(crate) fn with_telemetry(&self, telemetry: Telemetry) -> Self {
        Self {
            telemetry,
            ..self.clone()
        }
    }

    /// The same pipeline, whose writes `fence` admits.
    pub(crate) fn with_fence(&self, fence: Fence) -> Self {
        Self { fence, ..self.clone() }
    }

    /// Reads a resource, or a page of a list, and parses the body.
    pub(crate) async fn get_json<T: DeserializeOwned>(&self, operation: Operation, url: Url) -> Result<T, AzureCause> {
        self.send_checked(operation, Request::new(url, Method::Get))
            .await?
            .json()
    }

    /// Sends one request, once, when Azure's budgets admit it, and makes an error of an answer that is no success.
    pub(crate) async fn send_checked(&self, operation: Operation, request: Request) -> Result<Answer, AzureCause> {
        self.send_in(operation, request, None).await
    }

    /// The same, for a request that creates a managed identity in a region.
    pub(crate) async fn send_in(
        &self,
        operation: Operation,
        request: Request,
        region: Option<&Location>,
    ) -> Result<Answer, AzureCause> {
        let span = spans::begin(operation, &request);
        // In a place of its own: what makes many requests would hold room for each of them.
        let sent = Box::pin(self.send_admitted(operation, request, (region, &span)));
        let answer = sent.instrument(span.clone()).await?;
        if answer.is_success() {
            Ok(answer)
        } else {
            Err(answer.error())
        }
    }

    /// Sends one request, once, when the gate lets it pass.
    async fn send_admitted(
        &self,
        operation: Operation,
        request: Request,
        (region, span): (Option<&Location>, &Span),
    ) -> Result<Answer, AzureCause> {
        let budgets = Budget::of(&request, region);
        let asked = Instant::now();
        let leave = self.gate.pass(&budgets).await.map_err(AzureCause::Budget)?;
        spans::admitted(span, asked.elapsed());
        let outcome = self.send((operation, span), request).await;
        leave.ended(outcome.as_ref().ok());
        Ok(outcome?)
    }

    /// What a deletion came to, where it was forbidden by what a read says: what is not there needs no deletion.
    pub(crate) async fn read_where_forbidden(
        &self,
        kind: Kind,
        deleted: Result<Deletion, AzureCause>,
        (operation, url): (Operation, Url),
    ) -> Result<Deletion, AzureCause> {
        if !matches!(&deleted, Err(AzureCause::Answer(answer)) if answer.status == 403) {
            return deleted;
        }
        let read = self.send_checked(operation, Request::new(url, Method::Get)).await;
        match read {
            Err(cause) if Absence::proven(kind, &cause).is_some() => Ok(Deletion::NotThere),
            Ok(_) | Err(_) => deleted,
        }
    }

    /// Sends one request, once. An answer with whatever status is an answer.
    async fn send(&self, (operation, span): (Operation, &Span), mut request: Request) -> Result<Answer, SendError> {
        let correlation_id = Uuid::new_v4().to_string();
        request.insert_header(CLIENT_REQUEST_ID, correlation_id.clone());
        request.insert_header(CORRELATION_ID, correlation_id.clone());
        request.insert_header(ACCEPT, "application/json");
        let started = Instant::now();
        let options = PipelineSendOptions {
            skip_checks: true,
            ..PipelineSendOptions::default()
        };
        let context = Context::new().with_value(self.fence.clone());
        let deadline = started + self.fence.limit(&request);
        let sent = self.policies.send(&context, &mut request, Some(options));
        let outcome = match unless_late(deadline, sent).await {
            Some(Ok(response)) => Ok(Answer::new(response)),
            Some(Err(error)) => Err(send_error(&error)),
            None => Err(SendError::Timeout),
        };
        let duration = started.elapsed();
        tracing::debug!(
            operation = operation.as_str(),
            outcome = label(&outcome),
            status = outcome.as_ref().ok().map(|answer| answer.status),
            correlation_id = correlation_id.as_str(),
            request_id = outcome.as_ref().ok().and_then(|answer| answer.request_id.as_deref()),
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "request to Azure"
        );
        spans::ended(span, &correlation_id, &outcome);
        self.telemetry.record((operation, correlation_id), &outcome, duration);
        outcome
    }
}

/// What a future gives until a deadline; none when that passed. The clock is asked before each step: a process that was stopped and goes
/// on finds its connection ready and its timer not yet run out, and would send what it had begun to send under a lease that is over.
async fn unless_late<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let timely = poll_fn(|context| {
        if Instant::now() >= deadline {
            Poll::Ready(None)
        } else {
            future.as_mut().poll(context).map(Some)
        }
    });
    timeout_at(deadline, timely).await.ok().flatten()
}

fn send_error(error: &Error) -> SendError {
    if let Some(Refusal(why)) = error.downcast_ref() {
        return SendError::Refused(why.clone());
    }
    if error.downcast_ref::<NotAdmitted>().is_some() {
        return SendError::NotAdmitted;
    }
    match error.kind() {
        ErrorKind::Credential => SendError::Credential(error.to_string()),
        ErrorKind::DataConversion => SendError::Malformed(error.to_string()),
        _ => SendError::Transport(reasons(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::time::Duration;

    use super::*;

    /// After a stop of a minute the answer to a step was there, and the next step was taken before the timer ran out.
    #[tokio::test(start_paused = true)]
    async fn a_step_that_is_due_after_the_deadline_is_not_taken() {
        let deadline = Instant::now() + Duration::from_secs(20);
        let polled = Cell::new(0);
        let mut sent = pin!(unless_late(
            deadline,
            poll_fn(|_| {
                polled.set(polled.get() + 1);
                Poll::<()>::Pending
            })
        ));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(sent.as_mut().poll(&mut context).is_pending());
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(sent.as_mut().poll(&mut context), Poll::Ready(None));
        assert_eq!(polled.get(), 1);
    }
}
