//! The election of the operator that leads, by a Lease. What to do when, [`Election`] knows.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::{Timestamp, ToSpan};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};
use wio_api::keys;
use wio_core::election::{Election, Record, Step, Terms, Written};

use crate::caches::watches;
use crate::runtime::leadership::Leadership;
use crate::runtime::metrics::Metrics;
use crate::settings::{Clock, LeaseSettings};

/// The name of the Lease.
const NAME: &str = keys::FIELD_MANAGER;

/// A candidate and its Lease.
pub(crate) struct Candidate {
    api: Api<Lease>,
    me: String,
    terms: Terms,
    clock: Clock,
    started: Instant,
    election: Election,
    /// The Lease as it was last read or written.
    lease: Option<Lease>,
}

/// A stream of what the Lease is when it changes.
type Watched = Pin<Box<dyn Stream<Item = Option<Lease>> + Send>>;

// === impl Candidate ===

impl Candidate {
    pub(crate) fn new(client: Client, settings: &LeaseSettings, clock: Clock) -> Self {
        Self {
            api: Api::namespaced(client, &settings.namespace),
            me: settings.identity.clone(),
            terms: settings.terms,
            clock,
            started: Instant::now(),
            election: Election::new(settings.identity.clone(), settings.terms),
            lease: None,
        }
    }

    /// Takes part in the election until the lease that was had is lost, or until a stop was asked for before it was had.
    pub(crate) async fn run(&mut self, leadership: &Leadership, metrics: &Metrics, mut stopped: watch::Receiver<bool>) {
        let mut watched: Option<Watched> = None;
        loop {
            self.publish(leadership, metrics);
            let leads = leadership.since().is_some();
            if !leads && *stopped.borrow() {
                return pending().await;
            }
            match self.election.next(self.now()) {
                Step::Lost => return,
                Step::Look => self.look().await,
                Step::Create => self.create().await,
                Step::Hold(version) => self.hold(version).await,
                Step::Wait(pause) => {
                    // Whoever leads hears of all by its renewals.
                    if leads {
                        watched = None;
                    } else {
                        watched.get_or_insert_with(|| self.watch());
                    }
                    tokio::select! {
                        () = sleep(pause) => {}
                        Some(lease) = shown(watched.as_mut()) => self.see(lease),
                        _ = stopped.changed(), if !leads => {}
                    }
                }
            }
        }
    }

    /// Gives the lease back, so that another one can have it at once.
    pub(crate) async fn release(&mut self, leadership: &Leadership, metrics: &Metrics) {
        let given_up = self.election.give_up();
        self.publish(leadership, metrics);
        let Some(version) = given_up else { return };
        let released = match self.take_out(version).await {
            // A renewal whose answer was still on its way made another version.
            Ok(false) => match self.mine().await {
                Some(version) => self.take_out(version).await,
                None => Ok(false),
            },
            other => other,
        };
        tell_released(&released);
    }

    /// Takes this candidate out of the Lease of a version, and tells whether that was the one that stood.
    async fn take_out(&self, version: String) -> Result<bool, String> {
        let replaced = self.replace(String::new(), version).await;
        Ok(replaced?.is_some())
    }

    /// The version of the Lease that stands, when this candidate holds it.
    async fn mine(&self) -> Option<String> {
        let record = record_of(&self.read().await.ok()??);
        (record.holder == self.me).then_some(record.version)
    }

    async fn read(&self) -> Result<Option<Lease>, String> {
        let read = timeout(self.terms.renewal(), self.api.get_opt(NAME)).await;
        answered(read, &[]).map(Option::flatten)
    }

    /// Writes a holder into the Lease of a version. None when another one stands, or none.
    async fn replace(&self, holder: String, version: String) -> Result<Option<Lease>, String> {
        let lease = self.record(holder, Some(version));
        let parameters = PostParams::default();
        let replaced = timeout(self.terms.renewal(), self.api.replace(NAME, &parameters, &lease)).await;
        answered(replaced, &[404, 409])
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn publish(&self, leadership: &Leadership, metrics: &Metrics) {
        let did = leadership.since().is_some();
        let until = self.election.leads_until().map(|until| self.started + until);
        leadership.set(until);
        let transitions = self.spec().and_then(|spec| spec.lease_transitions);
        metrics.led(until.is_some(), transitions.unwrap_or_default());
        match (did, until.is_some()) {
            (false, true) => tell_leads(&self.me),
            (true, false) => tell_ended(),
            _ => {}
        }
    }

    fn watch(&self) -> Watched {
        tell_stands_by(self.election.holder());
        Box::pin(watches::one("the lease", self.api.clone(), NAME))
    }

    fn see(&mut self, lease: Option<Lease>) {
        let before = self.election.holder().map(str::to_owned);
        self.election.saw(self.now(), lease.as_ref().map(record_of));
        self.lease = lease;
        if before.as_deref() != self.election.holder() {
            tell_stands_by(self.election.holder());
        }
    }

    async fn look(&mut self) {
        match self.read().await {
            Ok(lease) => {
                self.election.saw(self.now(), lease.as_ref().map(record_of));
                self.lease = lease;
            }
            Err(error) => {
                tell_failed(&error);
                self.election.saw_nothing(self.now());
            }
        }
    }

    /// Makes the Lease that is not there.
    async fn create(&mut self) {
        let sent = self.now();
        let lease = self.record(Election::NOBODY_KNOWN.to_owned(), None);
        let parameters = PostParams::default();
        let made = timeout(self.terms.renewal(), self.api.create(&parameters, &lease)).await;
        match answered(made, &[409]) {
            Ok(Some(made)) => self.see(Some(made)),
            Ok(None) => self.election.wrote(sent, self.now(), Written::Overtaken),
            Err(error) => {
                tell_failed(&error);
                self.election.wrote(sent, self.now(), Written::Unknown);
            }
        }
    }

    /// Writes this candidate into the Lease of a version.
    async fn hold(&mut self, version: String) {
        let sent = self.now();
        let answer = match self.replace(self.me.clone(), version).await {
            Ok(Some(written)) => {
                let version = written.metadata.resource_version.clone().unwrap_or_default();
                self.lease = Some(written);
                Written::Stands(version)
            }
            Ok(None) => Written::Overtaken,
            Err(error) => {
                tell_failed(&error);
                Written::Unknown
            }
        };
        self.election.wrote(sent, self.now(), answer);
    }

    fn spec(&self) -> Option<&LeaseSpec> {
        self.lease.as_ref()?.spec.as_ref()
    }

    /// The Lease with this holder. The time is for people, but it always goes on: a write that changes nothing would have no new version.
    fn record(&self, holder: String, version: Option<String>) -> Lease {
        let before = self.spec();
        let same = before.and_then(|spec| spec.holder_identity.as_deref()) == Some(holder.as_str());
        let last = before.and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
        let now = later((self.clock)(), last);
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        let acquired = before.and_then(|spec| spec.acquire_time.clone()).filter(|_| same);
        let metadata = self.lease.as_ref().map(|lease| lease.metadata.clone());
        Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                resource_version: version,
                managed_fields: None,
                ..metadata.unwrap_or_default()
            },
            spec: Some(LeaseSpec {
                acquire_time: Some(acquired.unwrap_or(MicroTime(now))),
                holder_identity: Some(holder).filter(|holder| !holder.is_empty()),
                lease_duration_seconds: i32::try_from(self.terms.duration().as_secs()).ok(),
                lease_transitions: Some(if same {
                    transitions
                } else {
                    transitions.saturating_add(1)
                }),
                renew_time: Some(MicroTime(now)),
                ..LeaseSpec::default()
            }),
        }
    }
}

/// This time, or one right after the last, whichever is later. The API keeps microseconds.
fn later(now: Timestamp, last: Option<Timestamp>) -> Timestamp {
    let next = last.and_then(|last| last.checked_add(1.microsecond()).ok());
    next.map_or(now, |next| next.max(now))
}

/// What a request came to; none when it was refused with one of these codes.
fn answered<T>(answer: Result<kube::Result<T>, Elapsed>, refusals: &[u16]) -> Result<Option<T>, String> {
    match answer {
        Ok(Ok(done)) => Ok(Some(done)),
        Ok(Err(Error::Api(status))) if refusals.contains(&status.code) => Ok(None),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

async fn shown(watched: Option<&mut Watched>) -> Option<Option<Lease>> {
    match watched {
        Some(watched) => watched.next().await,
        None => pending().await,
    }
}

fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    Record {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn tell_leads(me: &str) {
    tracing::info!(holder = me, "this operator leads");
}

fn tell_ended() {
    tracing::info!("this operator leads no more");
}

fn tell_stands_by(holder: Option<&str>) {
    tracing::info!(holder, "this operator stands by");
}

fn tell_released(released: &Result<bool, String>) {
    let what = match released {
        Ok(true) => "the lease is released",
        Ok(false) => "the lease is another one's already",
        Err(_) => "the lease could not be released; it ends by itself",
    };
    tracing::info!(error = released.as_ref().err(), "{what}");
}

fn tell_failed(error: &str) {
    tracing::warn!(error, "the lease could not be read or written; trying again");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A renewal with the same time changes nothing, so it has no new version, and a candidate takes its holder for dead.
    #[test]
    fn a_clock_that_stands_still_or_goes_back_does_not_keep_a_renewal_from_being_seen() {
        let last: Timestamp = "2026-11-27T10:00:00.000001Z".parse().unwrap();
        let next: Timestamp = "2026-11-27T10:00:00.000002Z".parse().unwrap();
        assert_eq!(later(last, Some(last)), next);
        assert_eq!(later(Timestamp::UNIX_EPOCH, Some(last)), next);
        assert_eq!(later(next, Some(last)), next);
        assert_eq!(later(last, None), last);
    }
}
