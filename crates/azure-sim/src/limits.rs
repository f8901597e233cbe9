//! Token buckets and windows.

use std::collections::HashMap;

use http::Method;
use jiff::Timestamp;

use crate::clock::{after, seconds_between};
use crate::config::{Budget, Limits, Quota, Rates};
use crate::target::Target;

/// What is left of every budget that was ever drawn upon.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    buckets: HashMap<String, Bucket>,
    windows: HashMap<String, Window>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

#[derive(Debug)]
struct Window {
    ends: Timestamp,
    used: u32,
}

/// The three kinds of call that ARM counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    Reads,
    Writes,
    Deletes,
}

/// How long to wait, in whole seconds and at least one, until the budget holds a call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) retry_after: u64,
}

// === impl CallKind ===

impl CallKind {
    pub(crate) fn of(method: &Method, target: &Target) -> Self {
        match (method, target) {
            (&Method::GET | &Method::HEAD, _) => Self::Reads,
            // Recorded: a POST that lists draws on no writes.
            (&Method::POST, Target::IdentityAction(_, action)) if action.to_lowercase().starts_with("list") => {
                Self::Reads
            }
            (&Method::DELETE, _) => Self::Deletes,
            _ => Self::Writes,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Deletes => "deletes",
        }
    }

    fn budget(self, limits: &Limits) -> Budget {
        match self {
            Self::Reads => limits.reads,
            Self::Writes => limits.writes,
            Self::Deletes => limits.deletes,
        }
    }

    fn shared_budget(self, limits: &Limits) -> Budget {
        match self {
            Self::Reads => limits.shared_reads,
            Self::Writes => limits.shared_writes,
            Self::Deletes => limits.shared_deletes,
        }
    }
}

// === impl Throttle ===

impl Throttle {
    /// Draws one call on ARM's budget of the principal in the subscription; says how many whole calls are left.
    pub(crate) fn draw(
        &mut self,
        limits: &Limits,
        kind: CallKind,
        (principal, subscription): (&str, &str),
        now: Timestamp,
    ) -> Result<u64, Exhausted> {
        let key = format!("arm {} {principal} {}", kind.name(), subscription.to_lowercase());
        self.take(&key, kind.budget(limits), now)
    }

    /// Draws one call on the budget that all principals of the subscription share.
    /// <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>
    pub(crate) fn draw_global(
        &mut self,
        limits: &Limits,
        kind: CallKind,
        subscription: &str,
        now: Timestamp,
    ) -> Result<u64, Exhausted> {
        let key = format!("arm {} {}", kind.name(), subscription.to_lowercase());
        self.take(&key, kind.shared_budget(limits), now)
    }

    /// Draws one call on ARM's budget of the principal in the tenant; says how many whole calls are left. How Azure refuses one
    /// too many is not known: none is refused.
    pub(crate) fn draw_tenant(&mut self, limits: &Limits, kind: CallKind, principal: &str, now: Timestamp) -> u64 {
        let key = format!("arm {} {principal} tenant", kind.name());
        self.take(&key, kind.budget(limits), now).unwrap_or_default()
    }

    /// Draws one call on the managed-identity provider's rates, when they are enforced: on each circle, or on none.
    pub(crate) fn draw_provider(
        &mut self,
        limits: &Limits,
        method: &Method,
        target: &Target,
        now: Timestamp,
    ) -> Result<(), Exhausted> {
        let Some(provider) = &limits.provider else {
            return Ok(());
        };
        let (list, resource) = match target {
            Target::Identities { subscription, group } => {
                (true, format!("{subscription}/{}", group.as_deref().unwrap_or_default()))
            }
            Target::Credentials(id) => (true, id.key()),
            Target::Identity(id) | Target::IdentityAction(id, _) | Target::Credential(id, _) => (false, id.key()),
            _ => return Ok(()),
        };
        let (name, rates): (&str, Rates) = match CallKind::of(method, target) {
            CallKind::Reads if list => ("list", provider.list),
            CallKind::Reads => ("get", provider.get),
            CallKind::Writes => ("write", provider.write),
            CallKind::Deletes => ("delete", provider.delete),
        };
        let subscription = target.subscription().unwrap_or_default().to_lowercase();
        let circles = [
            (format!("msi {name} tenant"), rates.tenant),
            (format!("msi {name} {subscription}"), rates.subscription),
            (format!("msi {name} on {}", resource.to_lowercase()), rates.resource),
        ];
        for (key, per_second) in &circles {
            self.look(
                key,
                Budget {
                    capacity: 1.max(whole(*per_second)),
                    per_second: *per_second,
                },
                now,
            )?;
        }
        for (key, per_second) in &circles {
            let per_second = *per_second;
            self.take(
                key,
                Budget {
                    capacity: 1.max(whole(per_second)),
                    per_second,
                },
                now,
            )?;
        }
        Ok(())
    }

    /// Counts the creation of an identity in the subscription's and in the tenant's window of the region.
    pub(crate) fn count_creation(
        &mut self,
        limits: &Limits,
        subscription: &str,
        region: &str,
        now: Timestamp,
    ) -> Result<(), Exhausted> {
        let circles = [
            (
                format!("creations {} {region}", subscription.to_lowercase()),
                limits.creations_in_subscription,
            ),
            (format!("creations in the tenant {region}"), limits.creations_in_tenant),
        ];
        for (key, quota) in &circles {
            let window = self.window(key, *quota, now);
            if window.used >= quota.count {
                return Err(Exhausted {
                    retry_after: wait(seconds_between(now, window.ends)),
                });
            }
        }
        for (key, quota) in &circles {
            self.window(key, *quota, now).used += 1;
        }
        Ok(())
    }

    fn window(&mut self, key: &str, quota: Quota, now: Timestamp) -> &mut Window {
        let fresh = || Window {
            ends: after(now, quota.window),
            used: 0,
        };
        let window = self.windows.entry(key.to_owned()).or_insert_with(fresh);
        if window.ends <= now {
            *window = fresh();
        }
        window
    }

    fn refilled(&mut self, key: &str, budget: Budget, now: Timestamp) -> &mut Bucket {
        let capacity = f64::from(budget.capacity);
        let bucket = self.buckets.entry(key.to_owned()).or_insert(Bucket {
            tokens: capacity,
            at: now,
        });
        bucket.tokens = (bucket.tokens + seconds_between(bucket.at, now) * budget.per_second).min(capacity);
        bucket.at = now;
        bucket
    }

    fn look(&mut self, key: &str, budget: Budget, now: Timestamp) -> Result<(), Exhausted> {
        let tokens = self.refilled(key, budget, now).tokens;
        // A refill is a sum of fractions: a call that is due must not be refused for the last bit of it.
        if tokens + 1e-9 < 1.0 {
            return Err(Exhausted {
                retry_after: wait((1.0 - tokens) / budget.per_second),
            });
        }
        Ok(())
    }

    fn take(&mut self, key: &str, budget: Budget, now: Timestamp) -> Result<u64, Exhausted> {
        self.look(key, budget, now)?;
        let bucket = self.refilled(key, budget, now);
        bucket.tokens = (bucket.tokens - 1.0).max(0.0);
        Ok(u64::from(whole(bucket.tokens)))
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and rates are small"
)]
fn whole(number: f64) -> u32 {
    number.floor() as u32
}

fn wait(seconds: f64) -> u64 {
    u64::from(whole(seconds.ceil())).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::ProviderLimits;

    #[test]
    fn a_bucket_is_empty_after_its_capacity_and_refills_by_the_second() {
        let (limits, now) = (Limits::default(), Timestamp::UNIX_EPOCH);
        let mut throttle = Throttle::default();
        for left in (0..200).rev() {
            assert_eq!(throttle.draw(&limits, CallKind::Writes, ("p", "s"), now), Ok(left));
        }
        let refused = Err(Exhausted { retry_after: 1 });
        assert_eq!(throttle.draw(&limits, CallKind::Writes, ("p", "s"), now), refused);
        assert!(throttle.draw(&limits, CallKind::Deletes, ("p", "s"), now).is_ok());
        assert!(throttle.draw(&limits, CallKind::Writes, ("q", "s"), now).is_ok());
        let later = after(now, Duration::from_secs(1));
        for left in (0..10).rev() {
            assert_eq!(throttle.draw(&limits, CallKind::Writes, ("p", "S"), later), Ok(left));
        }
        assert_eq!(throttle.draw(&limits, CallKind::Writes, ("p", "s"), later), refused);
    }

    #[test]
    fn eighty_identities_are_created_in_a_window() {
        let (limits, now) = (Limits::default(), Timestamp::UNIX_EPOCH);
        let mut throttle = Throttle::default();
        for _ in 0..80 {
            assert_eq!(throttle.count_creation(&limits, "s", "westeurope", now), Ok(()));
        }
        let soon = after(now, Duration::from_secs(5));
        let refused = Err(Exhausted { retry_after: 15 });
        assert_eq!(throttle.count_creation(&limits, "s", "westeurope", soon), refused);
        assert_eq!(throttle.count_creation(&limits, "s", "northeurope", soon), Ok(()));
        assert_eq!(
            throttle.count_creation(&limits, "s", "westeurope", after(now, Duration::from_secs(20))),
            Ok(())
        );
    }

    #[test]
    fn the_providers_rate_on_one_resource_is_one_write_in_four_seconds() {
        let limits = Limits {
            provider: Some(ProviderLimits::default()),
            ..Limits::default()
        };
        let target = Target::Identity(crate::IdentityId::new("s", "g", "n"));
        let mut throttle = Throttle::default();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(throttle.draw_provider(&limits, &Method::PUT, &target, now), Ok(()));
        let refused = Err(Exhausted { retry_after: 4 });
        assert_eq!(throttle.draw_provider(&limits, &Method::PUT, &target, now), refused);
        let later = after(now, Duration::from_secs(4));
        assert_eq!(throttle.draw_provider(&limits, &Method::PUT, &target, later), Ok(()));
    }
}
