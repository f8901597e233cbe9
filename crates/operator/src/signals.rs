//! Signals: the first one asks for an orderly end, the second one for an end at once.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Listens for signals. The first future completes at the first one, and the second one, which must be polled for both, at the
/// next.
///
/// # Errors
/// When the system lets nobody listen.
pub(crate) fn listen() -> std::io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (ask, asked) = oneshot::channel::<()>();
    let first = async move {
        // Whoever asks ends with the operator.
        let _ = asked.await;
    };
    let second = async move {
        next(&mut terminate, &mut interrupt).await;
        // Whoever listens ends with the operator.
        let _ = ask.send(());
        next(&mut terminate, &mut interrupt).await;
    };
    Ok((first, second))
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
