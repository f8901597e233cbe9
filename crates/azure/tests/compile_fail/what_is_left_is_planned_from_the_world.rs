//! What a reconcile came to is made from the world as it was left, and nobody says by himself that nothing is left to do.

use wio_core::desired::Desired;
use wio_core::outcome::Reconciled;
use wio_core::plan::Plan;

fn finished(desired: Desired) -> Reconciled {
    Reconciled {
        desired,
        faults: Vec::new(),
        rest: Plan::default(),
    }
}

fn unseen(desired: Desired) -> Reconciled {
    Reconciled::new(desired, Vec::new())
}

fn main() {}
