//! The stages of a pass, each of which is a span of its trace and in no log.

use std::future::Future;

use tracing::instrument::Instrumented;
use tracing::{Instrument, Span, debug_span};
use wio_azure::TRACES;

/// A stage, to be entered.
pub(super) fn stage(name: &'static str) -> Span {
    debug_span!(target: TRACES, "stage", otel.name = name)
}

/// Work that is a stage.
pub(super) fn in_stage<F: Future>(name: &'static str, work: F) -> Instrumented<F> {
    work.instrument(stage(name))
}
