//! What lies between an operator and Azure: it writes down each request, and makes one go wrong where a plan says so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use tokio::time::Instant;
use wio_azure_sim::{ConnectionDropped, Fault, Simulator};

use crate::history::{Exchange, Sent};
use crate::plan::{AzureEffect, AzureFault};

/// The wire. Clones are the same.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Shared>);

struct Shared {
    azure: Simulator,
    started: Instant,
    sent: Mutex<Vec<Sent>>,
    exchanges: Mutex<Vec<Exchange>>,
    armed: Mutex<Vec<(AzureFault, String)>>,
    fired: Mutex<BTreeMap<String, usize>>,
    /// When the last request was sent that may land long after that.
    drags: Mutex<Option<Instant>>,
    crash: AtomicBool,
}

/// Writes down when a request ended, however it did.
struct Pending<'a> {
    wire: &'a Wire,
    index: usize,
}

// === impl Wire, impl Pending ===

impl Wire {
    pub(crate) fn new(azure: Simulator) -> Self {
        Self(Arc::new(Shared {
            azure,
            started: Instant::now(),
            sent: Mutex::default(),
            exchanges: Mutex::default(),
            armed: Mutex::default(),
            fired: Mutex::default(),
            drags: Mutex::default(),
            crash: AtomicBool::new(false),
        }))
    }

    pub(crate) fn arm(&self, fault: AzureFault, kind: String) {
        lock(&self.0.armed).push((fault, kind));
    }

    pub(crate) fn disarm(&self) {
        lock(&self.0.armed).clear();
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        lock(&self.0.sent).clone()
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.0.exchanges).clone()
    }

    /// The first request after so many that is no GET: its method and path.
    pub(crate) fn write_after(&self, count: usize) -> Option<String> {
        let sent = lock(&self.0.sent);
        let write = sent.iter().skip(count).find(|sent| sent.method != "GET");
        write.map(|sent| format!("{} {}", sent.method, sent.path))
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.0.sent).len()
    }

    pub(crate) fn fired(&self, kind: &str) {
        *lock(&self.0.fired).entry(kind.to_owned()).or_default() += 1;
    }

    pub(crate) fn all_fired(&self) -> BTreeMap<String, usize> {
        lock(&self.0.fired).clone()
    }

    /// When the last request was sent that may land long after that: one that hangs, is slow or late.
    pub(crate) fn drags_since(&self) -> Option<Instant> {
        *lock(&self.0.drags)
    }

    /// Whether the operator is to end where it is; asked once.
    pub(crate) fn takes_crash(&self) -> bool {
        self.0.crash.swap(false, Ordering::SeqCst)
    }

    fn take(&self, method: &str) -> Option<AzureFault> {
        let mut armed = lock(&self.0.armed);
        for at in 0..armed.len() {
            let Some((fault, kind)) = armed.get_mut(at) else { break };
            if fault.method != method {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            let (fault, kind) = (fault.clone(), kind.clone());
            armed.remove(at);
            drop(armed);
            self.fired(&kind);
            return Some(fault);
        }
        None
    }

    pub(crate) async fn carry(self, life: u32, request: Request<Bytes>) -> Result<Response<Bytes>, ConnectionDropped> {
        let method = request.method().to_string();
        let index = {
            let mut sent = lock(&self.0.sent);
            sent.push(Sent {
                life,
                method: method.clone(),
                path: request.uri().path().to_lowercase(),
                begun: self.0.started.elapsed(),
                ended: None,
                status: None,
            });
            sent.len() - 1
        };
        let _pending = Pending { wire: &self, index };
        let shown = shown(&request, self.0.started.elapsed()).map(|exchange| {
            let mut exchanges = lock(&self.0.exchanges);
            exchanges.push(exchange);
            exchanges.len() - 1
        });
        if let Some(fault) = self.take(&method) {
            match fault.effect {
                AzureEffect::Crash => self.0.crash.store(true, Ordering::SeqCst),
                AzureEffect::Hang | AzureEffect::Slow(_) | AzureEffect::Late(_) => {
                    *lock(&self.0.drags) = Some(Instant::now());
                }
                _ => {}
            }
            // The simulator takes it when it is asked, which is the next thing that happens.
            self.0.azure.inject(scripted(&fault));
        }
        let answer = self.0.azure.handle(request).await;
        if let (Ok(answer), Some(sent)) = (&answer, lock(&self.0.sent).get_mut(index)) {
            sent.status = Some(answer.status().as_u16());
        }
        let passed = answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::OK);
        if let Some(shown) = shown.filter(|_| passed)
            && let Some(exchange) = lock(&self.0.exchanges).get_mut(shown)
        {
            exchange.passed = Some(self.0.started.elapsed());
        }
        answer
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let now = self.wire.0.started.elapsed();
        if let Some(sent) = lock(&self.wire.0.sent).get_mut(self.index) {
            sent.ended = Some(now);
        }
    }
}

/// The token that a request shows to Entra.
fn shown(request: &Request<Bytes>, begun: Duration) -> Option<Exchange> {
    if request.method() != Method::POST || !request.uri().path().ends_with("/token") {
        return None;
    }
    let form = std::str::from_utf8(request.body()).ok()?;
    let field = |name: &str| {
        form.split('&')
            .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    };
    let token = field("client_assertion")?;
    let claims = wio_azure::Token::from(token.to_owned()).claims()?;
    Some(Exchange {
        begun,
        passed: None,
        client: field("client_id")?.to_owned(),
        issuer: claims.issuer?,
        subject: claims.subject?,
        token: token.to_owned(),
    })
}

/// The fault as the simulator takes it.
fn scripted(fault: &AzureFault) -> Fault {
    let scripted = match fault.effect {
        AzureEffect::Status(409) => Fault::any().respond(
            409,
            "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
        ),
        AzureEffect::Status(429) => Fault::any().respond(429, "TooManyRequests").header("Retry-After", "7"),
        AzureEffect::Status(503) => Fault::any().respond(503, "ServiceUnavailable"),
        AzureEffect::Refused => Fault::any().respond(400, "invalid_request"),
        AzureEffect::Status(status) => Fault::any().respond(status, "InternalServerError"),
        AzureEffect::Hang | AzureEffect::Crash => Fault::any().hang(),
        AzureEffect::Drop => Fault::any().drop_connection(),
        AzureEffect::Slow(by) => Fault::any().delay(by.min(Duration::from_secs(40))),
        AzureEffect::Late(by) => return Fault::any().hang().execute_after(by),
    };
    if fault.executed { scripted.execute() } else { scripted }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
