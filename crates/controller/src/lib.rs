//! The shell: watches, observation, execution, status, events, finalizer, metrics.
