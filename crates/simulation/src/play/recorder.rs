//! What was, written down moment by moment.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use serde_json::Value;
use wio_api::WorkloadIdentityBinding;
use wio_azure_sim::Snapshot;

use crate::history::Moment;
use crate::world::World;

/// What is now, with what the last moment has of it.
pub(super) fn moment(world: &World, last: Option<&Moment>) -> Moment {
    let azure = world.snapshot();
    let same = last.map(|last| &last.azure).filter(|last| **last == azure);
    moment_with(world, same.cloned().unwrap_or(azure))
}

fn moment_with(world: &World, azure: Arc<Snapshot>) -> Moment {
    Moment {
        at: world.elapsed(),
        azure,
        bindings: world.cluster.objects::<WorkloadIdentityBinding>(),
        accounts: world.cluster.objects::<ServiceAccount>(),
        maps: world.cluster.objects::<ConfigMap>(),
    }
}

/// Writes down each moment.
pub(super) fn record(world: &World, moments: &Rc<RefCell<Vec<Moment>>>) -> tokio::task::JoinHandle<()> {
    let (mut azure, cluster) = (world.azure.changes(), &world.cluster);
    let mut bindings = cluster.changes_of::<WorkloadIdentityBinding>();
    let mut accounts = cluster.changes_of::<ServiceAccount>();
    let mut maps = cluster.changes_of::<ConfigMap>();
    let view = world.clone();
    let moments = Rc::clone(moments);
    tokio::task::spawn_local(async move {
        loop {
            // What exists in Azure is copied and compared only when something changed there.
            let of_azure = tokio::select! {
                biased;
                changed = azure.changed() => changed.map(|()| true),
                changed = bindings.changed() => changed.map(|()| false),
                changed = accounts.changed() => changed.map(|()| false),
                changed = maps.changed() => changed.map(|()| false),
            };
            let Ok(of_azure) = of_azure else { return };
            let mut moments = moments.borrow_mut();
            let now = match moments.last() {
                Some(last) if !of_azure => moment_with(&view, Arc::clone(&last.azure)),
                last => moment(&view, last),
            };
            if moments.last().is_none_or(|last| differs(last, &now)) {
                moments.push(now);
            }
        }
    })
}

pub(super) fn differs(last: &Moment, now: &Moment) -> bool {
    let same =
        |a: &[Arc<Value>], b: &[Arc<Value>]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b));
    !Arc::ptr_eq(&last.azure, &now.azure)
        || !same(&last.bindings, &now.bindings)
        || !same(&last.accounts, &now.accounts)
        || !same(&last.maps, &now.maps)
}
