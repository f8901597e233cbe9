//! The scenarios: how much may happen beside the passes. Each is explored from every world that the model begins with.

use crate::model::Bounds;
use crate::world::Budget;

/// A scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What may happen.
    pub bounds: Bounds,
}

const fn scenario(name: &'static str, (faults, people, terms): (u8, u8, u8), at_once: bool) -> Scenario {
    Scenario {
        name,
        bounds: Bounds {
            budget: Budget { faults, people, terms },
            reborn: 1,
            at_once,
        },
    }
}

/// The smallest one, which is explored within seconds.
pub const SMALLEST: Scenario = scenario("somebody changes something", (0, 1, 0), false);

/// The next one: what one write, read or operator does that fails, beside one change.
pub const WITH_A_FAULT: Scenario = scenario("somebody changes something, with a fault", (1, 1, 0), false);
const WITHOUT_THE_LEASE: Scenario = scenario(
    "somebody changes something, the lease is lost, a fault",
    (1, 1, 1),
    false,
);

const TWICE_WITH_A_FAULT: Scenario = scenario("two things are changed, with a fault", (1, 2, 0), false);

/// All of them, the smaller ones first.
pub const ALL: [Scenario; 7] = [
    SMALLEST,
    WITH_A_FAULT,
    scenario("two things are changed", (0, 2, 0), false),
    scenario("somebody changes something, both passes at once", (0, 1, 0), true),
    scenario("somebody changes something, the lease is lost", (0, 1, 1), false),
    TWICE_WITH_A_FAULT,
    WITHOUT_THE_LEASE,
];

/// Those in which a rule that is left out is looked for, one after the other.
pub const FOR_MUTANTS: [Scenario; 4] = [SMALLEST, WITH_A_FAULT, TWICE_WITH_A_FAULT, WITHOUT_THE_LEASE];
