//! The log of what was asked of the server, as an audit log would tell it.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

/// What a request does, in the audit log's words; an apply, which that calls a patch, is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Reads one object, or a path that is no resource.
    Get,
    /// Reads many objects.
    List,
    /// Follows changes.
    Watch,
    /// Creates an object.
    Create,
    /// Replaces an object.
    Update,
    /// Merge patch or JSON patch.
    Patch,
    /// Server-side apply.
    Apply,
    /// Deletes an object.
    Delete,
    /// Deletes many objects.
    DeleteCollection,
}

impl Verb {
    /// Whether the request can change something.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Apply => "apply",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        })
    }
}

/// A request that came to the server, and how it was answered.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// The client that asked; see [`FakeApiServer::client_named`](super::FakeApiServer::client_named).
    pub client: String,
    /// When it came, in tokio's time.
    pub at: Instant,
    /// What it does.
    pub verb: Verb,
    /// The path without the query.
    pub path: String,
    /// The API group, empty for the core group and for paths that are no resource.
    pub group: String,
    /// The resource's plural name, empty for paths that are no resource.
    pub resource: String,
    /// The subresource, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty when the request is about many or the server chooses the name.
    pub name: String,
    /// The field manager that the request names, or empty.
    pub field_manager: String,
    /// The request forces an apply.
    pub force: bool,
    /// The request is a dry run.
    pub dry_run: bool,
    /// The request's body, null when it has none.
    pub body: Arc<Value>,
    /// The HTTP status of the answer; None while there is none, and when the client never got one.
    pub status: Option<u16>,
    /// The request changed the store.
    pub changed: bool,
}

impl fmt::Display for ApiRequest {
    /// One line: `apply serviceaccounts shop/orders by workload-identity-operator: 200`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.resource.is_empty() {
            write!(f, "{} {}", self.verb, self.path)?;
        } else {
            write!(f, "{} {}", self.verb, self.resource)?;
            if !self.subresource.is_empty() {
                write!(f, "/{}", self.subresource)?;
            }
            write!(f, " {}/{}", self.namespace, self.name)?;
        }
        if !self.field_manager.is_empty() {
            write!(f, " by {}", self.field_manager)?;
        }
        match self.status {
            Some(status) => write!(f, ": {status}"),
            None => f.write_str(": no answer"),
        }
    }
}

/// The requests so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    requests: Vec<ApiRequest>,
    /// Requests that were cleared: numbers go on from there.
    cleared: usize,
}

impl Log {
    /// Adds a request; returns the number under which its answer can be entered.
    pub(crate) fn add(&mut self, request: ApiRequest) -> usize {
        self.requests.push(request);
        self.cleared + self.requests.len() - 1
    }

    pub(crate) fn answer(&mut self, number: usize, status: Option<u16>) {
        if let Some(request) = self.request(number) {
            request.status = status;
        }
    }

    pub(crate) fn changed(&mut self, number: usize) {
        if let Some(request) = self.request(number) {
            request.changed = true;
        }
    }

    fn request(&mut self, number: usize) -> Option<&mut ApiRequest> {
        self.requests.get_mut(number.checked_sub(self.cleared)?)
    }

    pub(crate) fn requests(&self) -> &[ApiRequest] {
        &self.requests
    }

    pub(crate) fn clear(&mut self) {
        self.cleared += self.requests.len();
        self.requests.clear();
    }
}
