//! Connections, from the handshake to the last answer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::answer::Answer;
use crate::simulator::{ConnectionDropped, Simulator};

/// What Azure Resource Manager takes, too.
const LARGEST_BODY: usize = 4 * 1024 * 1024;
/// What the simulator's own API takes: a snapshot holds all that exists.
const LARGEST_SNAPSHOT: usize = 256 * 1024 * 1024;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long the requests under way have to end when the server is to stop; a fault may hold one for ever.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after a connection could not be accepted, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` ends, and then the requests under way.
pub(super) async fn serve(
    listener: &TcpListener,
    tls: Arc<rustls::ServerConfig>,
    simulator: &Simulator,
    stop: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            stream = accept(listener) => stream,
            () = &mut stop => break,
        };
        tokio::spawn(serve_one(
            stream,
            acceptor.clone(),
            simulator.clone(),
            graceful.watcher(),
        ));
    }
    end(graceful).await;
}

/// The next connection that can be accepted.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Lets the requests under way come to their end.
async fn end(graceful: GracefulShutdown) {
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        warn!("some requests were still under way at the end");
    }
}

async fn serve_one(stream: TcpStream, acceptor: TlsAcceptor, simulator: Simulator, watcher: Watcher) {
    let connection = async {
        let stream = handshake(&acceptor, stream).await?;
        let service = service_fn(|request| answer(&simulator, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        watcher.watch(connection).await.map_err(anyhow::Error::from)
    };
    if let Err(error) = connection.await {
        debug!("a connection ended: {error:#}");
    }
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> anyhow::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    Ok(timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await??)
}

/// Answers a request. An error ends the connection without an answer, which is what it stands for.
async fn answer(simulator: &Simulator, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, ConnectionDropped> {
    let (parts, body) = request.into_parts();
    let largest = if parts.uri.path().starts_with("/_sim/") {
        LARGEST_SNAPSHOT
    } else {
        LARGEST_BODY
    };
    let Ok(body) = Limited::new(body, largest).collect().await else {
        let message = format!("The request content is larger than {largest} bytes or did not come to its end.");
        let refused = Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "RequestContentTooLarge", message);
        return Ok(refused.into_response().map(Full::new));
    };
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let answer = simulator.handle(Request::from_parts(parts, body.to_bytes())).await;
    let end = answer
        .as_ref()
        .map_or_else(ToString::to_string, |answer| answer.status().to_string());
    debug!("{method} {path}: {end}");
    answer.map(|answer| answer.map(Full::new))
}
