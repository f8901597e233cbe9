//! What the API server showed in a pass, beside the watches. When Azure's budgets refuse the pass, the next try a moment later does not ask
//! for it again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wio_core::names::ServiceAccountName;
use wio_core::observed::ObservedServiceAccount;

/// How long what was shown is good for another try: not longer than one that Azure keeps waiting goes on by it anyway.
const FRESH: Duration = Duration::from_secs(10);

/// What was shown.
#[derive(Debug, Default)]
pub(crate) struct LastShown {
    /// Since when it is known, and for which generation of the spec.
    since: Option<(Instant, i64)>,
    /// Whether the binding stood there as it was decided about.
    live: bool,
    /// The service accounts that were read; none where there was none.
    accounts: BTreeMap<ServiceAccountName, Option<ObservedServiceAccount>>,
    /// Whether the pass was refused for want of budget.
    refused: bool,
}

// === impl LastShown ===

impl LastShown {
    /// A pass begins over this generation of the spec: what an earlier one was shown is forgotten, unless that one was refused just now.
    pub(crate) fn begin(&mut self, generation: i64) {
        let refused = std::mem::take(&mut self.refused);
        let is_fresh = |(since, of): (Instant, i64)| of == generation && since.elapsed() < FRESH;
        if !refused || !self.since.is_some_and(is_fresh) {
            *self = Self::default();
        }
        self.since.get_or_insert((Instant::now(), generation));
    }

    /// The generation of the spec that the pass is about.
    pub(crate) fn generation(&self) -> Option<i64> {
        self.since.map(|(_, generation)| generation)
    }

    /// The pass is over: only a try that follows a refusal asks for what was shown in it.
    pub(crate) fn end(&mut self) {
        if !self.refused {
            *self = Self::default();
        }
    }

    /// The pass is refused for want of budget.
    pub(crate) const fn refuse(&mut self) {
        self.refused = true;
    }

    /// The binding was shown, as it was decided about or not.
    pub(crate) const fn see_binding(&mut self, as_decided: bool) {
        self.live |= as_decided;
    }

    /// Whether the binding was shown as it was decided about.
    pub(crate) const fn is_live(&self) -> bool {
        self.live
    }

    /// Service accounts were read.
    pub(crate) fn see_accounts(&mut self, read: BTreeMap<ServiceAccountName, Option<ObservedServiceAccount>>) {
        self.accounts.extend(read);
    }

    /// The service account that was read, or that there was none; none when it was not read.
    pub(crate) fn account(&self, name: &ServiceAccountName) -> Option<&Option<ObservedServiceAccount>> {
        self.accounts.get(name)
    }

    /// A service account has changed, or was written.
    pub(crate) fn forget_accounts(&mut self) {
        self.accounts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> LastShown {
        let mut shown = LastShown::default();
        shown.begin(1);
        shown.see_binding(true);
        shown.see_accounts([("a".parse().unwrap(), None)].into());
        shown.refuse();
        shown
    }

    fn knows(shown: &LastShown) -> (bool, bool) {
        (shown.is_live(), shown.account(&"a".parse().unwrap()).is_some())
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_try_is_repeated_by_what_was_shown_a_moment_ago() {
        let mut shown = refused();
        tokio::time::advance(FRESH / 2).await;
        shown.begin(1);
        assert_eq!(knows(&shown), (true, true));
        shown.refuse();
        tokio::time::advance(FRESH / 2).await;
        shown.begin(1);
        assert_eq!(knows(&shown), (false, false), "counted from when it was shown");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_was_not_refused_and_one_for_another_spec_ask_again() {
        let mut shown = refused();
        shown.begin(2);
        assert_eq!(knows(&shown), (false, false));
        let mut shown = refused();
        shown.begin(1);
        shown.begin(1);
        assert_eq!(knows(&shown), (false, false));
    }
}
