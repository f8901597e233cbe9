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

/// Makes them now, so that no server has to.
pub fn make_definitions() {
    let _ = all();
}

/// The definitions as text, for another process of the same program.
#[must_use]
pub fn definitions() -> String {
    let all: Vec<&Value> = all().iter().map(|one| &one.object).collect();
    json!(all).to_string()
}

/// Takes the definitions as another process of the same program made them, before the first server is made.
///
/// # Errors
/// When the text is none of that kind.
pub fn take_definitions(text: &str) -> Result<(), serde_json::Error> {
    let objects: Vec<Value> = serde_json::from_str(text)?;
    let _ = MADE.set(objects.into_iter().map(defined).collect());
    Ok(())
}

fn defined(object: Value) -> Definition {
    let resource = Arc::new(ResourceType::defined(&object));
    Definition { object, resource }
}
