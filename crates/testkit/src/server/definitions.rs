//! The definitions of our resources as the server serves them, made once for a process: making them takes longer than anything else that a server begins with.

use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::resource::ResourceType;

/// A definition, and the resource that it defines.
pub(super) struct Definition {
    pub(super) object: Value,
    pub(super) resource: Arc<ResourceType>,
}

static MADE: OnceLock<Vec<Definition>> = OnceLock::new();

/// All of them.
pub(super) fn all() -> &'static [Definition] {
    MADE.get_or_init(|| {
        let definitions = [wio_api::crd(), wio_api::policy_crd(), wio_api::effective_policy_crd()];
        definitions.iter().map(|one| defined(json!(one))).collect()
    })
}

fn defined(object: Value) -> Definition {
    let resource = Arc::new(ResourceType::defined(&object));
    Definition { object, resource }
}
