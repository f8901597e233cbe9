//! The simulator itself: from a request to its answer.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::access::built_in_roles::built_in_roles;
use crate::access::caller::{self, Caller};
use crate::answer::{Answer, Outcome};
use crate::cloud::Cloud;
use crate::config::Config;
use crate::entra::access_token;
use crate::entra::issuers::{IssuerDocuments, KnownIssuers};
use crate::faults::{Effect, Fault};
use crate::incoming::{Incoming, Service};
use crate::log::LoggedRequest;
use crate::model::Snapshot;
use crate::{admin, arm, cloud_metadata, entra, instance_metadata};

/// A simulated cloud. Cloning is cheap; the clones are one cloud.
#[derive(Clone)]
pub struct Simulator {
    cloud: Cloud,
}

/// The connection ended before there was an answer, by [`Effect::Drop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was dropped before there was an answer")]
pub struct ConnectionDropped;

/// Makes what all clouds have in common now, the built-in roles and the key of Entra, so that none of them has to.
pub fn make_beginning() {
    let _ = built_in_roles();
    access_token::make_key();
}

/// What becomes of a request.
enum End {
    Answered(Answer),
    Hangs,
    Dropped,
}

// === impl Simulator ===

impl Simulator {
    /// An empty cloud, whose Entra reaches no token issuer; [`Simulator::with_issuers`] makes one that does.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::with_issuers(config, Arc::new(KnownIssuers::default()))
    }

    /// An empty cloud, whose Entra reads the documents of token issuers in this way.
    #[must_use]
    pub fn with_issuers(config: Config, issuers: Arc<dyn IssuerDocuments>) -> Self {
        Self {
            cloud: Cloud::new(config, issuers),
        }
    }

    /// Answers a request. Needs a tokio runtime. What the request began goes on when the caller goes away, as in Azure:
    /// a write takes effect also when nobody waits for its answer.
    ///
    /// # Errors
    ///
    /// [`ConnectionDropped`] when a fault says so.
    pub async fn handle(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ConnectionDropped> {
        let incoming = Incoming::new(request);
        if incoming.service == Service::Admin {
            return Ok(admin::serve(&self.cloud, &incoming).into_response());
        }
        let fault = self.cloud.faults().take(&incoming);
        let caller = match incoming.service {
            Service::Arm(_) => Some(caller::authenticate(&self.cloud, &incoming)),
            _ => None,
        };
        let principal = caller
            .as_ref()
            .and_then(|caller| caller.as_ref().ok())
            .map(|caller| caller.principal.clone());
        let sequence = self
            .cloud
            .log()
            .begin(&incoming, principal, fault.is_some(), self.now());
        let simulator = self.clone();
        let end = tokio::spawn(async move {
            let end = simulator.meet(&incoming, caller, fault).await;
            if let End::Answered(answer) = &end {
                simulator.cloud.log().end(sequence, answer);
            }
            end
        });
        match end.await {
            Ok(End::Answered(answer)) => Ok(answer.into_response()),
            Ok(End::Hangs) => std::future::pending().await,
            Ok(End::Dropped) | Err(_) => Err(ConnectionDropped),
        }
    }

    async fn meet(&self, incoming: &Incoming, caller: Option<Outcome<Caller>>, fault: Option<Fault>) -> End {
        let Some(Fault {
            effect,
            execute,
            execute_after,
            ..
        }) = fault
        else {
            return End::Answered(self.serve(incoming, caller).await);
        };
        if let Effect::Delay(duration) = effect {
            if execute {
                tokio::time::sleep(execute_after).await;
                let answer = self.serve(incoming, caller).await;
                tokio::time::sleep(duration).await;
                return End::Answered(answer);
            }
            tokio::time::sleep(duration).await;
            return End::Answered(self.serve(incoming, caller).await);
        }
        if execute && execute_after.is_zero() {
            self.serve(incoming, caller).await;
        } else if execute {
            let (simulator, incoming) = (self.clone(), incoming.clone());
            tokio::spawn(async move {
                tokio::time::sleep(execute_after).await;
                simulator.serve(&incoming, caller).await;
            });
        }
        match effect {
            Effect::Respond {
                status,
                code,
                message,
                headers,
            } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let answer = scripted(incoming, status, &code, message, self.now());
                let with =
                    |answer: Answer, (name, value): (String, String)| answer.with_header(&name.to_lowercase(), value);
                End::Answered(headers.into_iter().fold(answer, with))
            }
            Effect::Drop => End::Dropped,
            Effect::Hang | Effect::Delay(_) => End::Hangs,
        }
    }

    async fn serve(&self, incoming: &Incoming, caller: Option<Outcome<Caller>>) -> Answer {
        match &incoming.service {
            Service::Arm(target) => {
                let caller = caller.unwrap_or_else(|| caller::authenticate(&self.cloud, incoming));
                let answer = arm::serve(&self.cloud, incoming, target, caller).await;
                if incoming.writes() && answer.status.is_success() {
                    self.cloud.changed();
                }
                arm::headers::complete(incoming, answer, self.now())
            }
            Service::Entra(path) => entra::serve(&self.cloud, incoming, path).await,
            Service::InstanceMetadata => instance_metadata::serve(&self.cloud, incoming),
            Service::CloudMetadata => cloud_metadata::serve(incoming, self.cloud.settings().tenant_id),
            Service::Admin => admin::serve(&self.cloud, incoming),
        }
    }

    /// Scripts a fault. Faults act in the order in which they were injected.
    pub fn inject(&self, fault: Fault) {
        self.cloud.faults().inject(fault);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.cloud.faults().clear();
    }

    /// The faults that are not used up, with what is left of their counts.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.cloud.faults().remaining()
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.cloud.log().requests()
    }

    /// Empties the log of requests.
    pub fn clear_requests(&self) {
        self.cloud.log().clear();
    }

    /// Everything that exists.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.cloud.snapshot()
    }

    /// Puts a snapshot in the place of everything that exists. Its credentials and roles count at once.
    pub fn restore(&self, snapshot: Snapshot) {
        self.cloud.restore(snapshot);
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::clone(&self.cloud.settings())
    }

    /// Changes settings; they count from the next request on.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        self.cloud.reconfigure(change);
    }

    /// The time by which requests are logged.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.cloud.now()
    }

    /// Counts up with each change of what exists.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.cloud.changes()
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

/// A fault's answer, in the form of the part that was asked.
fn scripted(incoming: &Incoming, status: StatusCode, code: &str, message: String, now: Timestamp) -> Answer {
    match incoming.service {
        Service::Entra(_) | Service::InstanceMetadata => entra::errors::scripted(incoming, status, code, &message, now),
        Service::Arm(_) | Service::CloudMetadata | Service::Admin => {
            arm::headers::complete(incoming, Answer::error(status, code, message), now)
        }
    }
}
