//! Scripted faults.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::incoming::Incoming;
use crate::target::ResourceKind;

/// What is to go wrong, for which requests and how often. Built by [`Fault::on`] and its followers; in JSON
/// `{"when": {"method": "PUT", "kind": "credential"}, "skip": 1, "times": 2, "execute": true,
///   "executeAfterMs": 0, "effect": {"respond": {"status": 500, "code": "InternalServerError", "message": "…", "headers": {}}}}`.
///
/// The faults are tried in the order in which they were injected; the first that matches and is not used up acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Which requests.
    #[serde(default)]
    pub when: Matcher,
    /// How many of them pass before the first fault.
    #[serde(default)]
    pub skip: u32,
    /// How many of them fail then; `None`: all.
    #[serde(default)]
    pub times: Option<u32>,
    /// Whether the request is carried out all the same, and only its answer is lost.
    #[serde(default)]
    pub execute: bool,
    /// With [`Fault::execute`]: how much later it is carried out, when the caller has met the effect long since.
    #[serde(rename = "executeAfterMs", with = "crate::config::millis", default)]
    pub execute_after: Duration,
    /// What the caller meets.
    pub effect: Effect,
}

/// Which requests a fault is for: all that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Matcher {
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Text that the path contains, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Text with which the path ends, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// The kind of thing that the request is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ResourceKind>,
}

/// What a caller meets instead of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// An error in the form of the service that was asked.
    Respond {
        /// The HTTP status.
        status: u16,
        /// `error.code`; for Entra `error`.
        code: String,
        /// `error.message`; for Entra `error_description`.
        #[serde(default)]
        message: String,
        /// Further headers, as `Retry-After`.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// No answer, ever; the connection stays open.
    Hang,
    /// The connection ends without an answer ([`crate::ConnectionDropped`]).
    Drop,
    /// The proper answer, so much later.
    Delay(#[serde(with = "crate::config::millis")] Duration),
}

/// The faults that wait for their requests.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    scripted: Mutex<Vec<Fault>>,
}

// === impl Fault ===

impl Fault {
    /// A fault for requests of this method: once, answered with 500 `InternalServerError`, until said otherwise.
    #[must_use]
    pub fn on(method: &str) -> Self {
        let when = Matcher {
            method: Some(method.to_owned()),
            ..Matcher::default()
        };
        Self { when, ..Self::any() }
    }

    /// A fault for every request, with the same beginnings as [`Fault::on`].
    #[must_use]
    pub fn any() -> Self {
        let effect = Effect::Respond {
            status: 500,
            code: "InternalServerError".to_owned(),
            message: "The server encountered an internal error. Please retry the request.".to_owned(),
            headers: BTreeMap::new(),
        };
        Self {
            when: Matcher::default(),
            skip: 0,
            times: Some(1),
            execute: false,
            execute_after: Duration::ZERO,
            effect,
        }
    }

    /// Only when the path contains this text, in any case.
    #[must_use]
    pub fn path(mut self, text: &str) -> Self {
        self.when.path = Some(text.to_owned());
        self
    }

    /// Only when the path ends with this text, in any case.
    #[must_use]
    pub fn suffix(mut self, text: &str) -> Self {
        self.when.suffix = Some(text.to_owned());
        self
    }

    /// Only for this kind of thing.
    #[must_use]
    pub fn kind(mut self, kind: ResourceKind) -> Self {
        self.when.kind = Some(kind);
        self
    }

    /// Lets the first `count` matching requests pass.
    #[must_use]
    pub fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Acts on so many requests.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    /// Acts until the faults are cleared.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.times = None;
        self
    }

    /// The request is carried out, and then its answer is lost to the effect.
    #[must_use]
    pub fn execute(mut self) -> Self {
        self.execute = true;
        self
    }

    /// The caller meets the effect at once, and the request is carried out so much later: a late write. (A
    /// [`Fault::delay`] that is longer than the caller's patience makes one, too.)
    #[must_use]
    pub fn execute_after(mut self, duration: Duration) -> Self {
        self.execute = true;
        self.execute_after = duration;
        self
    }

    /// Answers with this status and error code.
    #[must_use]
    pub fn respond(mut self, status: u16, code: &str) -> Self {
        let message = format!("{code}, as scripted.");
        self.effect = Effect::Respond {
            status,
            code: code.to_owned(),
            message,
            headers: BTreeMap::new(),
        };
        self
    }

    /// Adds a header to the answer of [`Fault::respond`].
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Effect::Respond { headers, .. } = &mut self.effect {
            headers.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Never answers.
    #[must_use]
    pub fn hang(mut self) -> Self {
        self.effect = Effect::Hang;
        self
    }

    /// Ends the connection without an answer.
    #[must_use]
    pub fn drop_connection(mut self) -> Self {
        self.effect = Effect::Drop;
        self
    }

    /// Answers properly, but so much later.
    #[must_use]
    pub fn delay(mut self, duration: Duration) -> Self {
        self.effect = Effect::Delay(duration);
        self
    }
}

// === impl Matcher ===

impl Matcher {
    fn matches(&self, incoming: &Incoming) -> bool {
        let path = incoming.path.to_lowercase();
        self.method
            .as_ref()
            .is_none_or(|method| incoming.method.as_str().eq_ignore_ascii_case(method))
            && self
                .path
                .as_ref()
                .is_none_or(|text| path.contains(&text.to_lowercase()))
            && self
                .suffix
                .as_ref()
                .is_none_or(|text| path.ends_with(&text.to_lowercase()))
            && self.kind.is_none_or(|kind| incoming.kind() == kind)
    }
}

// === impl Faults ===

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        self.lock().push(fault);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// The faults that are not used up, with what is left of their counts.
    pub(crate) fn remaining(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// The fault that this request meets, counted off.
    pub(crate) fn take(&self, incoming: &Incoming) -> Option<Fault> {
        let mut scripted = self.lock();
        for (index, fault) in scripted.iter_mut().enumerate() {
            if !fault.when.matches(incoming) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            let taken = fault.clone();
            if let Some(times) = &mut fault.times {
                *times = times.saturating_sub(1);
                if *times == 0 {
                    scripted.remove(index);
                }
            }
            return Some(taken);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.scripted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::*;

    fn request(method: &str, path: &str) -> Incoming {
        Incoming::new(Request::builder().method(method).uri(path).body(Bytes::new()).unwrap())
    }

    #[test]
    fn a_fault_skips_acts_and_is_used_up() {
        let faults = Faults::default();
        faults.inject(Fault::on("PUT").path("/FOO").skip(1).times(2));
        let hits: Vec<bool> = (0..5)
            .map(|_| faults.take(&request("PUT", "/x/foo")).is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert_eq!(faults.remaining(), []);
    }

    #[test]
    fn a_fault_is_for_its_requests_alone() {
        let faults = Faults::default();
        faults.inject(
            Fault::on("PUT")
                .suffix("/a")
                .kind(ResourceKind::ResourceGroup)
                .forever(),
        );
        assert!(
            faults
                .take(&request("PUT", "/subscriptions/s/resourceGroups/a"))
                .is_some()
        );
        assert!(
            faults
                .take(&request("GET", "/subscriptions/s/resourceGroups/a"))
                .is_none()
        );
        assert!(
            faults
                .take(&request("PUT", "/subscriptions/s/resourceGroups/ab"))
                .is_none()
        );
        assert!(faults.take(&request("PUT", "/tenant/a")).is_none());
    }

    #[test]
    fn a_fault_survives_json() {
        let fault = Fault::any().delay(Duration::from_millis(1500)).execute();
        let json = serde_json::to_string(&fault).unwrap();
        assert!(json.contains(r#""effect":{"delay":1500}"#), "{json}");
        assert_eq!(serde_json::from_str::<Fault>(&json).unwrap(), fault);
        let short: Fault = serde_json::from_str(r#"{"effect": "hang"}"#).unwrap();
        assert_eq!((short.times, short.effect), (None, Effect::Hang));
    }
}
