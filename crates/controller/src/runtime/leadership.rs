//! Leadership: whether this operator leads, and for how much longer. Everything that writes asks here.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;
use tokio::time::Instant;

/// Whether this operator leads. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    term: Arc<watch::Sender<Option<Term>>>,
    /// How long a write may take: it begins only while this is left.
    write_limit: Duration,
    /// Nothing more is begun.
    stops: Arc<AtomicBool>,
}

/// A term of leading: an operator has one at most.
#[derive(Clone, Copy, Debug)]
struct Term {
    since: Instant,
    /// None where nobody is elected.
    until: Option<Instant>,
}

/// The error of a write to the API server that does not leave.
#[derive(Debug, thiserror::Error)]
#[error("the operator may not write until it has renewed its lease")]
struct NotAdmitted;

// === impl Leadership ===

impl Leadership {
    /// That of the only operator.
    pub(crate) fn alone() -> Self {
        let term = Term {
            since: Instant::now(),
            until: None,
        };
        Self {
            term: Arc::new(watch::Sender::new(Some(term))),
            write_limit: Duration::ZERO,
            stops: Arc::default(),
        }
    }

    /// That of a candidate, which stands by.
    pub(crate) fn candidate(write_limit: Duration) -> Self {
        Self {
            term: Arc::new(watch::Sender::new(None)),
            write_limit,
            stops: Arc::default(),
        }
    }

    /// It leads until this moment, or no more.
    pub(crate) fn set(&self, until: Option<Instant>) {
        self.term.send_modify(|term| {
            let since = term.map_or_else(Instant::now, |term| term.since);
            *term = until.map(|until| Term {
                since,
                until: Some(until),
            });
        });
    }

    /// Since when it leads; none when it stands by.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.term.borrow().map(|term| term.since)
    }

    /// Whether a write may begin.
    pub(crate) fn may_write(&self) -> bool {
        let term = *self.term.borrow();
        term.is_some_and(|term| term.until.is_none_or(|until| Instant::now() + self.write_limit < until))
    }

    /// Whether another operator may lead by now.
    fn is_over(&self) -> bool {
        let term = *self.term.borrow();
        term.is_none_or(|term| term.until.is_some_and(|until| Instant::now() >= until))
    }

    /// Whether a step of a plan may begin. After a stop was asked for none does: what is left of a plan is the next operator's.
    pub(crate) fn may_begin(&self) -> bool {
        self.may_write() && !self.stops.load(Ordering::Relaxed)
    }

    /// Lets no further step begin.
    pub(crate) fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    /// Completes when it leads.
    pub(crate) async fn begins(&self) {
        // It cannot fail: the sender is here.
        let _ = self.term.subscribe().wait_for(Option::is_some).await;
    }
}

/// The same client, which writes only while this operator leads for longer than a write can take.
pub(crate) fn writing_while(client: Client, leadership: &Leadership) -> Client {
    let leadership = leadership.clone();
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, leadership) = (client.clone(), leadership.clone());
        async move {
            if request.method().is_safe() {
                client.send(request).await
            } else if leadership.may_write() {
                unless_over(&leadership, client.send(request)).await
            } else {
                Err(not_admitted())
            }
        }
    });
    Client::new(service, namespace)
}

/// What a write gives while this operator leads. It is asked before each step of it: a process that was stopped and goes on would send what it had
/// begun to send under a lease that is over.
async fn unless_over<T>(leadership: &Leadership, write: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let mut write = Box::pin(write);
    poll_fn(|context| {
        if leadership.is_over() {
            Poll::Ready(Err(not_admitted()))
        } else {
            write.as_mut().poll(context)
        }
    })
    .await
}

fn not_admitted() -> kube::Error {
    kube::Error::Service(Box::new(NotAdmitted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_begins_only_while_the_lease_is_held_for_longer_than_it_can_take() {
        let leadership = Leadership::candidate(Duration::from_secs(20));
        assert!(!leadership.may_write() && leadership.since().is_none(), "it stands by");
        leadership.set(Some(Instant::now() + Duration::from_secs(29)));
        assert!(leadership.may_write());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!leadership.may_write());
        assert!(leadership.since().is_some(), "it leads all the same");
        leadership.set(Some(Instant::now() + Duration::from_secs(29)));
        assert!(leadership.may_write());
        leadership.set(None);
        assert!(!leadership.may_write() && leadership.since().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_that_runs_alone_always_leads() {
        let leadership = Leadership::alone();
        tokio::time::advance(Duration::from_hours(1)).await;
        leadership.begins().await;
        assert!(leadership.may_write() && leadership.may_begin());
        leadership.stop();
        assert!(!leadership.may_begin());
        assert!(leadership.may_write(), "what was begun is written down");
    }

    /// A leader that was held up wrote an old status when it went on, over the one of its successor.
    #[tokio::test(start_paused = true)]
    async fn a_write_whose_next_step_is_due_after_the_lease_is_not_sent() {
        let sent = Arc::new(AtomicBool::new(false));
        let sends = Arc::clone(&sent);
        let service = tower::service_fn(move |_: Request<Body>| {
            let sends = Arc::clone(&sends);
            async move {
                // The connection is there, and the process was stopped meanwhile.
                tokio::time::sleep(Duration::from_secs(10)).await;
                sends.store(true, Ordering::Relaxed);
                Ok::<_, kube::Error>(http::Response::new(Body::empty()))
            }
        });
        let leadership = Leadership::candidate(Duration::from_secs(1));
        leadership.set(Some(Instant::now() + Duration::from_secs(5)));
        let client = writing_while(Client::new(service, "default"), &leadership);
        let write = Request::put("http://localhost/api").body(Body::empty()).unwrap();
        assert!(client.send(write).await.is_err());
        assert!(!sent.load(Ordering::Relaxed));
    }
}
