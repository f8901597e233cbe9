//! Azure's budgets, by name, and what passes need of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use wio_core::names::{Location, SubscriptionId};

use super::bucket::Size;

/// A budget that Azure keeps. <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Budget {
    /// The subscription; none for what is asked of the tenant.
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) kind: Kind,
}

/// What of a subscription is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// What Azure Resource Manager counts, whatever it is about.
    Calls(Call),
    /// What a resource provider counts for itself. It says so only when it refuses.
    Provider(Provider, Call),
    /// New managed identities in a region.
    Creations(Location),
    /// Tokens that Entra is asked for to prove bindings.
    TokenExchanges,
}

/// The kinds of calls that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Call {
    Read,
    Write,
    Delete,
}

/// The resource providers that are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Provider {
    ManagedIdentity,
    Authorization,
    Insights,
}

/// What a pass is about to draw on which budgets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need(pub(super) BTreeMap<Budget, u32>);

/// A budget that is spent for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Which one.
    pub budget: Budget,
    /// How long it takes until it admits what was asked of it, if nobody else draws on it.
    pub ready_in: Duration,
}

/// The most that is promised to one pass of one budget. A pass that needs more draws the rest as it goes, so that nobody waits until that
/// much has gathered.
const MOST_PROMISED: u32 = 8;

// === impl Budget ===

impl Budget {
    pub(super) const fn creations(subscription: SubscriptionId, region: Location) -> Self {
        Self {
            subscription: Some(subscription),
            kind: Kind::Creations(region),
        }
    }

    /// The operator's own pace at Entra, which documents none: ten thousand bindings are proven within twenty minutes.
    pub(crate) const fn token_exchanges() -> Self {
        Self {
            subscription: None,
            kind: Kind::TokenExchanges,
        }
    }

    pub(super) const fn of_provider(subscription: Option<SubscriptionId>, provider: Provider, call: Call) -> Self {
        Self {
            subscription,
            kind: Kind::Provider(provider, call),
        }
    }

    pub(super) const fn calls(subscription: Option<SubscriptionId>, call: Call) -> Self {
        Self {
            subscription,
            kind: Kind::Calls(call),
        }
    }

    pub(super) const fn size(&self) -> Size {
        match self.kind {
            Kind::Calls(Call::Read) => Size::Tokens {
                capacity: 250.0,
                per_second: 25.0,
            },
            Kind::Calls(Call::Write | Call::Delete) => Size::Tokens {
                capacity: 200.0,
                per_second: 10.0,
            },
            // Documented and contradicted: it is learned from what it refuses.
            Kind::Provider(..) => Size::Tokens {
                capacity: 400.0,
                per_second: 100.0,
            },
            Kind::TokenExchanges => Size::Tokens {
                capacity: 50.0,
                per_second: 10.0,
            },
            Kind::Creations(_) => Size::Window {
                count: 80,
                length: Duration::from_secs(20),
            },
        }
    }

    /// How many requests of this kind are left for others by those who leave so many of Azure's.
    pub(super) const fn left_by(&self, leaves: f64) -> f64 {
        match self.kind {
            Kind::Calls(_) => leaves,
            Kind::Provider(..) | Kind::Creations(_) | Kind::TokenExchanges => 0.0,
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Calls(call) => write!(f, "{call}")?,
            Kind::Provider(Provider::ManagedIdentity, call) => write!(f, "{call} of managed identities")?,
            Kind::Provider(Provider::Authorization, call) => write!(f, "{call} of role assignments")?,
            Kind::Provider(Provider::Insights, call) => write!(f, "{call} of the activity log")?,
            Kind::Creations(region) => write!(f, "new managed identities in {region}")?,
            Kind::TokenExchanges => f.write_str("token exchanges")?,
        }
        match &self.subscription {
            Some(subscription) => write!(f, " in subscription {subscription}"),
            None => f.write_str(" in the tenant"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reads",
            Self::Write => "writes",
            Self::Delete => "deletions",
        })
    }
}

// === impl Need ===

impl Need {
    /// One read of a managed identity or of its credentials.
    pub fn read(&mut self, subscription: SubscriptionId) {
        self.request(Some(subscription), Provider::ManagedIdentity, Call::Read);
    }

    /// One write of a managed identity or of a credential.
    pub fn write(&mut self, subscription: SubscriptionId) {
        self.request(Some(subscription), Provider::ManagedIdentity, Call::Write);
    }

    /// One new managed identity in a region.
    pub fn create(&mut self, subscription: SubscriptionId, region: &Location) {
        self.add(Budget::creations(subscription, region.clone()));
        self.write(subscription);
    }

    /// One deletion of a managed identity or of a credential.
    pub fn delete(&mut self, subscription: SubscriptionId) {
        self.request(Some(subscription), Provider::ManagedIdentity, Call::Delete);
    }

    /// One list of role assignments; without a subscription at a management group.
    pub fn list_roles(&mut self, subscription: Option<SubscriptionId>) {
        self.request(subscription, Provider::Authorization, Call::Read);
    }

    /// One role assignment that is given; without a subscription at a management group.
    pub fn write_role(&mut self, subscription: Option<SubscriptionId>) {
        self.request(subscription, Provider::Authorization, Call::Write);
    }

    /// One role assignment that is taken away.
    pub fn delete_role(&mut self, subscription: Option<SubscriptionId>) {
        self.request(subscription, Provider::Authorization, Call::Delete);
    }

    /// One token that Entra is asked for, to prove a binding.
    pub fn exchange_token(&mut self) {
        self.add(Budget::token_exchanges());
    }

    fn request(&mut self, subscription: Option<SubscriptionId>, provider: Provider, call: Call) {
        self.add(Budget::calls(subscription, call));
        self.add(Budget::of_provider(subscription, provider, call));
    }

    pub(super) fn add(&mut self, budget: Budget) {
        let count = self.0.entry(budget).or_default();
        *count = (*count + 1).min(MOST_PROMISED);
    }

    /// Whether nothing is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The budgets that are drawn on.
    pub fn budgets(&self) -> impl Iterator<Item = &Budget> {
        self.0.keys()
    }

    /// How long it takes at the documented rates until as much of it has gathered.
    #[must_use]
    pub fn pace(&self) -> Duration {
        let each = self.0.iter().map(|(budget, count)| budget.size().pace(*count));
        each.max().unwrap_or_default()
    }
}
