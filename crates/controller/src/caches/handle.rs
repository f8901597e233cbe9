//! A binding by its name alone, in one text: of each that is to be looked at one is kept.

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use wio_api::WorkloadIdentityBinding;

/// The name of a binding and that of its namespace. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle(Arc<str>);

/// Stands between both names; none of a binding has it.
const BETWEEN: char = '/';

// === impl Handle ===

impl Handle {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}{BETWEEN}{name}").into())
    }

    pub(crate) fn namespace(&self) -> &str {
        self.parts().0
    }

    pub(crate) fn name(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.rsplit_once(BETWEEN).unwrap_or_default()
    }
}

impl From<ObjectRef<WorkloadIdentityBinding>> for Handle {
    fn from(key: ObjectRef<WorkloadIdentityBinding>) -> Self {
        Self::new(key.namespace.as_deref().unwrap_or_default(), &key.name)
    }
}
