//! The API server's audit log: who asked for what, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The audit annotation that tells what the authorizer decided.
const DECISION: &str = "authorization.k8s.io/decision";

/// The log of one API server.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(u64);

/// A request that was answered. A request is in the log before its answer leaves the API server.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// The user, such as `system:serviceaccount:shop:orders`.
    pub user: String,
    /// The verb as RBAC names it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group, empty for the core.
    pub group: String,
    /// The resource, such as `serviceaccounts`; empty for a path such as `/readyz`.
    pub resource: String,
    /// The subresource, such as `status`, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty.
    pub name: String,
    /// The path and the query.
    pub uri: String,
    /// The HTTP status.
    pub code: u16,
    /// Whether the user lacked the permission. Admission answers 403 too, such as for a namespace that is being deleted.
    pub unauthorized: bool,
    /// The body that was sent, where the audit policy keeps it.
    pub body: Option<Value>,
    /// When it was answered.
    pub at: Timestamp,
    /// How long the API server took, from the request's arrival until it was answered.
    pub took: Duration,
}

/// As the API server writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<ResponseStatus>,
    request_object: Option<Value>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: u16,
}

// === impl AuditLog ===

impl AuditLog {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
        }
    }

    /// The end of the log as it is now.
    pub fn mark(&self) -> Result<Mark> {
        let metadata = std::fs::metadata(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        Ok(Mark(metadata.len()))
    }

    /// The requests that were answered since the mark.
    pub fn since(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let mut text = String::new();
        let mut file = std::fs::File::open(&self.path).with_context(|| format!("opening {}", self.path.display()))?;
        file.seek(SeekFrom::Start(mark.0)).context("finding the mark")?;
        file.read_to_string(&mut text).context("reading the audit log")?;
        parse(&text)
    }

    /// All requests of the log.
    pub fn all(&self) -> Result<Vec<AuditEvent>> {
        self.since(Mark::default())
    }
}

fn parse(text: &str) -> Result<Vec<AuditEvent>> {
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut events = Vec::new();
    for line in whole.lines() {
        let line: Line = serde_json::from_str(line).with_context(|| format!("a line of the audit log: {line}"))?;
        events.extend(AuditEvent::of(line));
    }
    Ok(events)
}

// === impl AuditEvent ===

impl AuditEvent {
    fn of(line: Line) -> Option<Self> {
        // A watch is told when it begins and again when it ends.
        let counts = match line.verb.as_str() {
            "watch" => line.stage == "ResponseStarted",
            _ => line.stage != "ResponseStarted",
        };
        counts.then(|| Self {
            user: line.user.username,
            verb: line.verb,
            group: line.object_ref.api_group,
            resource: line.object_ref.resource,
            subresource: line.object_ref.subresource,
            namespace: line.object_ref.namespace,
            name: line.object_ref.name,
            uri: line.request_uri,
            code: line.response_status.map_or(0, |status| status.code),
            unauthorized: line
                .annotations
                .get(DECISION)
                .is_some_and(|decision| decision == "forbid"),
            body: line.request_object,
            at: line.stage_timestamp,
            took: line
                .stage_timestamp
                .duration_since(line.request_received_timestamp)
                .try_into()
                .unwrap_or_default(),
        })
    }

    /// Whether it asks to change something.
    #[must_use]
    pub fn writes(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }

    /// Whether it asks what a change would be, and changes nothing.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.uri.contains("dryRun=All")
    }
}

impl fmt::Display for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            user, verb, uri, code, ..
        } = self;
        write!(f, "{user} {verb} {uri}: {code}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: &str =
        r#""requestReceivedTimestamp":"2026-01-01T00:00:00.000100Z","stageTimestamp":"2026-01-01T00:00:00.007100Z""#;

    const PATCH: &str = r#"{"kind":"Event","level":"Request","stage":"ResponseComplete","verb":"patch","requestURI":"/api/v1/namespaces/shop/serviceaccounts/orders?fieldManager=m","user":{"username":"u","groups":["g"]},"objectRef":{"resource":"serviceaccounts","namespace":"shop","name":"orders","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201},"requestObject":{"a":1},"requestReceivedTimestamp":"2026-01-01T00:00:00.000100Z","stageTimestamp":"2026-01-01T00:00:00.007100Z"}"#;

    #[test]
    fn a_request_is_read_with_its_object_and_its_end() {
        let events = parse(&format!("{PATCH}\n{{\"half\"")).unwrap();
        let [event] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(
            event.to_string(),
            "u patch /api/v1/namespaces/shop/serviceaccounts/orders?fieldManager=m: 201"
        );
        assert_eq!(
            (event.resource.as_str(), event.name.as_str()),
            ("serviceaccounts", "orders")
        );
        assert!(event.writes() && event.body.is_some() && event.group.is_empty());
        assert_eq!(event.took, Duration::from_millis(7));
    }

    /// A namespace that was being deleted refused a new service account with 403, and that was taken for a lack of permission.
    #[test]
    fn what_admission_forbids_is_not_a_lack_of_permission() {
        let line = |decision: &str| {
            format!(
                r#"{{"stage":"ResponseComplete","verb":"create","requestURI":"/x","user":{{"username":"u"}},"responseStatus":{{"code":403}},"annotations":{{"{DECISION}":"{decision}"}},{TIMES}}}"#
            ) + "\n"
        };
        let events = parse(&(line("allow") + &line("forbid"))).unwrap();
        let told: Vec<(u16, bool)> = events.iter().map(|event| (event.code, event.unauthorized)).collect();
        assert_eq!(told, [(403, false), (403, true)]);
    }

    #[test]
    fn a_watch_counts_once() {
        let watch = |stage: &str| {
            format!(r#"{{"stage":"{stage}","verb":"watch","requestURI":"/x","user":{{"username":"u"}},{TIMES}}}"#)
                + "\n"
        };
        let both = watch("ResponseStarted") + &watch("ResponseComplete");
        assert_eq!(parse(&both).unwrap().len(), 1);
    }
}
