//! Traces by OTLP over HTTP, where OpenTelemetry's usual environment variables ask for them (docs/traces.md).

#[cfg(test)]
mod tests;

use std::env;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use reqwest::redirect;
use tokio::runtime::Handle;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

const NAME: &str = env!("CARGO_PKG_NAME");

/// How long a request to the collector may take, and how long the operator waits at its end until what it has is sent.
const LIMIT: Duration = Duration::from_secs(5);

/// The longest answer of a collector that is read.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;

/// The traces that are sent, if any are.
pub(crate) struct Traces(Option<SdkTracerProvider>);

// === impl Traces ===

impl Traces {
    /// What the environment asks for: an endpoint, or no traces. The process must have installed its TLS provider before (docs/adr/0003),
    /// and a Tokio runtime must be there.
    ///
    /// # Errors
    /// When what it says cannot be used.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        if !is_asked_for(|name| env::var(name).ok()) {
            return Ok(Self(None));
        }
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(LIMIT)
            .build()
            .context("cannot make a client for traces")?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime {
                client,
                runtime: Handle::current(),
            })
            .build()
            .context("cannot send traces where OTEL_EXPORTER_OTLP_ENDPOINT says")?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(Some(provider)))
    }

    /// What has the operator's spans sent; none when no traces are asked for.
    pub(crate) fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + Send + Sync + for<'a> LookupSpan<'a>,
    {
        let tracer: Tracer = self.0.as_ref()?.tracer(NAME);
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // Nothing here asks OpenTelemetry for the current span, so that none leaves with a request to Azure either.
            .with_context_activation(false);
        Some(layer.with_filter(filter_fn(is_traced).with_max_level_hint(LevelFilter::DEBUG)))
    }

    /// Sends what was not sent yet, and waits for that, but not long.
    pub(crate) async fn flush(self) {
        let Some(provider) = self.0 else { return };
        // It blocks, and what it waits for is done by this runtime.
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LIMIT)).await;
        if let Ok(Err(error)) = sent {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Whether the environment names where traces are to go, and does not forbid them.
fn is_asked_for(variable: impl Fn(&str) -> Option<String>) -> bool {
    let said = |name| variable(name).filter(|value| !value.is_empty());
    let goes_to = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| said("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let disabled = said("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let none = said("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    goes_to.is_some() && !disabled && !none
}

/// The spans that are sent: never an event, whose text may tell more than a trace may hold.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && (metadata.target() == wio_azure::TRACES || metadata.target().starts_with("wio_controller"))
}

/// Who sends them: as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, and otherwise by the operator's own name.
fn resource() -> Resource {
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let name = resource.get(&"service.name".into());
    // What OpenTelemetry says when nothing was said.
    let unnamed = |name: &Value| name.as_str().starts_with("unknown_service");
    if name.as_ref().is_some_and(|name| !unnamed(name)) {
        return resource;
    }
    Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_service_name(NAME)
        .build()
}

/// The HTTP client of the exporter, which works on a thread of its own: requests are carried on the operator's runtime all the same.
#[derive(Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: Handle,
}

// === impl OnRuntime ===

#[async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, request) = (self.client.clone(), request.try_into()?);
        let sent = async move { answer(client.execute(request).await?).await };
        self.runtime.spawn(sent).await?
    }
}

/// The answer of a collector, as far as it is read.
async fn answer(mut response: reqwest::Response) -> Result<Response<Bytes>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_LIMIT_BYTES {
            return Err("the collector's answer is too long".into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut answer = Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        std::mem::swap(headers, response.headers_mut());
    }
    Ok(answer.body(body.into())?)
}
