//! What a server has at its beginning. Our definitions are a thousand fields, each with an owner: what was made for one server is copied for others.

use std::sync::{Arc, OnceLock};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::json::text;
use super::store::{Clock, Store};
use super::user::{USER, options};
use super::{CLUSTER_UID, DEFAULT_START_SECOND, definitions, resource};

/// The beginning of a server whose clock says what most clocks say at first.
static USUAL: OnceLock<Store> = OnceLock::new();

/// Makes the beginning of most servers now, so that none of them has to.
pub fn make_beginning() {
    let _ = usual();
}

fn usual() -> &'static Store {
    USUAL.get_or_init(|| {
        made(Arc::new(|| {
            Timestamp::from_second(DEFAULT_START_SECOND).unwrap_or_default()
        }))
    })
}

/// A store with the built-in resources, our own with their definitions, and the first namespaces.
pub(super) fn of(clock: Clock) -> Store {
    if clock().as_second() == DEFAULT_START_SECOND {
        usual().clone().with_clock(clock)
    } else {
        made(clock)
    }
}

fn made(clock: Clock) -> Store {
    let mut store = Store::new(clock);
    for resource in resource::builtins() {
        store.register(resource);
    }
    for definition in definitions::all() {
        store.register(Arc::clone(&definition.resource));
    }
    let kube_system = json!({"name": "kube-system", "uid": CLUSTER_UID});
    for metadata in [kube_system, json!({"name": "default"})] {
        seed(
            &mut store,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}),
        );
    }
    for definition in definitions::all() {
        seed(&mut store, definition.object.clone());
    }
    store
}

#[allow(clippy::panic, reason = "a server that cannot begin is a fault of this crate")]
fn seed(store: &mut Store, object: Value) {
    let kind = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let Some(resource) = store.by_kind(kind("apiVersion"), kind("kind")) else {
        panic!("no server serves {object}")
    };
    let name = text(&object, "name").unwrap_or_default().to_owned();
    if let Err(status) = store.create(&resource, "", &options(USER), object) {
        panic!("no server can begin with {name:?}: {status}");
    }
}
