//! The exploration of one scenario.

use stateright::{Checker, HasDiscoveries, Model};

use crate::model::{Bounds, Operators};
use crate::mutant::Mutant;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Explored {
    /// How many distinct states there were.
    pub states: usize,
    /// How many steps the longest way was.
    pub steps: usize,
    /// Whether these are all that there can be.
    pub whole: bool,
    /// The rule that was broken first, and the way there.
    pub broken: Option<(&'static str, Vec<String>)>,
}

/// Explores all states within bounds, or as many as at most, on so many threads.
///
/// # Errors
/// Why the world cannot be set up.
pub fn explore(bounds: Bounds, mutant: Option<Mutant>, (most, threads): (usize, usize)) -> Result<Explored, String> {
    let model = Operators::new(bounds, mutant)?;
    let checker = model.checker().threads(threads).target_state_count(most);
    let checker = checker.finish_when(HasDiscoveries::Any).spawn_bfs().join();
    let mut broken: Vec<(&str, Vec<String>)> = checker
        .discoveries()
        .into_iter()
        .map(|(rule, path)| {
            let actions = path.into_actions().into_iter();
            (rule, actions.map(|action| format!("{action:?}")).collect())
        })
        .collect();
    broken.sort_unstable();
    Ok(Explored {
        states: checker.unique_state_count(),
        steps: checker.max_depth(),
        whole: checker.state_count() < most,
        broken: broken.into_iter().next(),
    })
}
