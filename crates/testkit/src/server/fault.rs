//! Faults: which requests meet them and what then happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kube::core::Status;
use kube::core::response::StatusDetails;

use super::answer::failure;
use super::log::{ApiRequest, Verb};

/// Says which requests a fault is for. Each condition narrows it; without conditions it is every request.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    client: Option<String>,
    verbs: Vec<Verb>,
    path: Option<String>,
    group: Option<String>,
    resource: Option<String>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    writes: bool,
    skip: usize,
    times: Option<usize>,
}

impl Matcher {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Every request that can change something.
    #[must_use]
    pub fn writes() -> Self {
        Self {
            writes: true,
            ..Self::default()
        }
    }

    /// Requests of this verb; called again, of any of the verbs.
    #[must_use]
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verbs.push(verb);
        self
    }

    /// Requests of the client of this name.
    #[must_use]
    pub fn client(mut self, name: &str) -> Self {
        self.client = Some(name.to_owned());
        self
    }

    /// Requests to exactly this path.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Requests about resources of this API group.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// Requests about this resource, by its plural name.
    #[must_use]
    pub fn resource(mut self, plural: &str) -> Self {
        self.resource = Some(plural.to_owned());
        self
    }

    /// Requests to this subresource; empty: to none.
    #[must_use]
    pub fn subresource(mut self, name: &str) -> Self {
        self.subresource = Some(name.to_owned());
        self
    }

    /// Requests in this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Requests about the object of this name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Lets the first `count` matching requests pass.
    #[must_use]
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Ends the fault after `count` requests met it. Default: it stays until it is removed.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.times = Some(count);
        self
    }

    /// As `times(1)`.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn matches(&self, request: &ApiRequest) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        (self.verbs.is_empty() || self.verbs.contains(&request.verb))
            && (!self.writes || request.verb.writes())
            && is(&self.client, &request.client)
            && is(&self.path, &request.path)
            && is(&self.group, &request.group)
            && is(&self.resource, &request.resource)
            && is(&self.subresource, &request.subresource)
            && is(&self.namespace, &request.namespace)
            && is(&self.name, &request.name)
    }
}

/// What a request that meets a fault gets.
#[derive(Clone, Debug)]
pub struct Effect {
    pub(crate) delay: Duration,
    /// The request is carried out before its answer is replaced.
    pub(crate) served: bool,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Answer,
    Status(Box<Status>),
    ConnectionError,
    Hang,
}

impl Effect {
    fn new(outcome: Outcome) -> Self {
        Self {
            delay: Duration::ZERO,
            served: false,
            outcome,
        }
    }

    /// A failure with this HTTP status, reason and message.
    #[must_use]
    pub fn status(code: u16, reason: &str, message: &str) -> Self {
        Self::new(Outcome::Status(failure(code, reason, message)))
    }

    /// 403, as when a role was taken away.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::status(403, "Forbidden", "the request is forbidden")
    }

    /// 409, as when somebody else wrote meanwhile.
    #[must_use]
    pub fn conflict() -> Self {
        let message = "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again";
        Self::status(409, "Conflict", message)
    }

    /// 410, as when a version is too old.
    #[must_use]
    pub fn gone() -> Self {
        Self::status(410, "Expired", "The resourceVersion for the provided watch is too old.")
    }

    /// 429 with `Retry-After` in seconds.
    #[must_use]
    pub fn too_many_requests(retry_after_seconds: u32) -> Self {
        let mut status = failure(429, "TooManyRequests", "the server has received too many requests");
        status.details = Some(StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds,
        });
        Self::new(Outcome::Status(status))
    }

    /// 500.
    #[must_use]
    pub fn internal_error() -> Self {
        Self::status(
            500,
            "InternalError",
            "an error on the server has prevented the request from succeeding",
        )
    }

    /// 503.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::status(
            503,
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        )
    }

    /// The connection breaks: the client gets an error and no answer.
    #[must_use]
    pub fn connection_error() -> Self {
        Self::new(Outcome::ConnectionError)
    }

    /// No answer ever.
    #[must_use]
    pub fn hang() -> Self {
        Self::new(Outcome::Hang)
    }

    /// The usual answer, but later: the request is carried out after the delay.
    #[must_use]
    pub fn delay(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::new(Outcome::Answer)
        }
    }

    /// The request is carried out first: only its answer is lost.
    #[must_use]
    pub fn after_serving(mut self) -> Self {
        self.served = true;
        self
    }
}

/// A fault that was injected.
#[derive(Clone, Debug)]
pub struct Fault {
    hits: Arc<AtomicUsize>,
    removed: Arc<AtomicBool>,
}

impl Fault {
    /// How many requests met it.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// Ends it.
    pub fn remove(&self) {
        self.removed.store(true, Ordering::SeqCst);
    }

    fn is_removed(&self) -> bool {
        self.removed.load(Ordering::SeqCst)
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Matcher, Effect, Fault)>);

impl Faults {
    pub(crate) fn inject(&mut self, matcher: Matcher, effect: Effect) -> Fault {
        let fault = Fault {
            hits: Arc::default(),
            removed: Arc::default(),
        };
        self.0.push((matcher, effect, fault.clone()));
        fault
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The effect of the first fault that the request meets.
    pub(crate) fn meet(&mut self, request: &ApiRequest) -> Option<Effect> {
        self.0
            .retain(|(matcher, _, fault)| !fault.is_removed() && matcher.times != Some(0));
        for (matcher, effect, fault) in &mut self.0 {
            if !matcher.matches(request) {
                continue;
            }
            if matcher.skip > 0 {
                matcher.skip -= 1;
                continue;
            }
            matcher.times = matcher.times.map(|times| times - 1);
            fault.hits.fetch_add(1, Ordering::SeqCst);
            return Some(effect.clone());
        }
        None
    }
}
