//! The end of a play: all faults end, all is as it should be, and nothing is written any more.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::Value;
use tokio::time::Instant;
use wio_testkit::kstatus;

use super::Player;
use super::recorder::{differs, moment};
use crate::draw::WATCHED;
use crate::history::{History, Moment, Owned, account_in, text};
use crate::plan::{Act, Outlives, Timed};
use crate::world::{DRIFT, ISSUERS};

/// How long everything may take that takes its time: the longest pause before a retry is ten minutes.
const DEADLINE: Duration = Duration::from_mins(40);

/// Within what each binding is looked at once: an interval and a fifth of it, and some more.
const LOOK: Duration = Duration::from_secs(DRIFT.as_secs() * 5 / 4);
/// How many times a look may pass in which something is still written, until all is told.
const LOOKS_UNTIL_SETTLED: usize = 5;

impl Player<'_> {
    /// All faults end.
    pub(super) async fn heal(&mut self) -> Result<(), String> {
        self.world.wire.disarm();
        self.world.cluster.clear_faults();
        self.world.azure.reconfigure(|config| {
            (config.list_lag, config.read_lag) = (Duration::ZERO, Duration::ZERO);
            config.credential_propagation = Duration::ZERO;
        });
        self.world.publish();
        for watched in WATCHED {
            self.world.cluster.release_events(watched);
            self.world.cluster.lose_events(watched, 0);
        }
        self.come_back();
        for n in 0..self.plan.bindings.len() {
            for act in [
                Act::Resume(n),
                Act::Unclaim(n),
                Act::ExportInto(n, n),
                Act::ReleaseMap(n),
            ] {
                if self.act(&act)? {
                    let at = self.world.elapsed();
                    self.history.acts.push(Timed { at, act });
                }
            }
        }
        if let Some(second) = self.second.take() {
            second.task.abort();
        }
        if !self.cut.is_empty() {
            self.on_connection(false);
        }
        self.world.cluster.expire_watches();
        let landed = self.landed();
        self.until(landed).await
    }

    /// When what is under way has landed, at the latest: something that hangs, is slow or late may take more than a minute from when it was sent.
    fn landed(&self) -> Instant {
        let asked = self.world.cluster.requests();
        let unanswered = asked.iter().rev().find(|request| request.status.is_none());
        let drags = unanswered.map(|request| request.at).max(self.world.wire.drags_since());
        let soon = Instant::now() + Duration::from_secs(10);
        drags.map_or(soon, |since| soon.max(since + Duration::from_secs(80)))
    }

    pub(super) async fn converge(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while let Err(missing) = self.converged() {
            if begun.elapsed() > DEADLINE {
                return Err(format!("it does not converge: {missing}"));
            }
            let pause = (begun.elapsed() / 20).clamp(Duration::from_secs(1), Duration::from_secs(20));
            self.until(Instant::now() + pause).await?;
        }
        Ok(())
    }

    fn converged(&self) -> Result<(), String> {
        if !self.leads() {
            return Err("the operator does not lead yet".to_owned());
        }
        let now = moment(&self.world, None);
        let issuer = ISSUERS.get(self.issuer).copied().unwrap_or_default();
        for owned in &self.history.owners {
            let permitted = self.history.permitted.get(&owned.namespace).and_then(|all| all.last());
            let may = !owned.barred && (!owned.needs_policy || permitted.is_some_and(|(_, is)| *is));
            match History::binding(&now, owned) {
                Some(binding) if may => {
                    trusted(&self.history, (&now, owned), binding, issuer)?;
                    self.has_what_it_asks_for(&now, owned, binding)?;
                }
                other => without(&self.history, &now, owned, other)?,
            }
        }
        Self::no_map_is_left(&now)
    }

    /// Whether the operator that runs has the lease: one that ended may have had it when it did, and another waits until that is over.
    fn leads(&self) -> bool {
        let leases = self.world.cluster.objects::<Lease>();
        let holder = leases.first().map(|lease| text(lease, "/spec/holderIdentity"));
        holder.is_some() && holder == self.first.as_ref().map(|operator| operator.client.as_str())
    }

    /// Nothing is written any more when nothing is to be done. Until then some looks may pass: how a restart goes on is told at the next look, and so is
    /// what another binding did meanwhile.
    pub(super) async fn settle(&mut self) -> Result<(), String> {
        for _ in 0..LOOKS_UNTIL_SETTLED {
            if self.is_quiet().await?.is_ok() {
                return Ok(());
            }
        }
        self.is_quiet().await?
    }

    /// Whether nothing is written until each binding was looked at once more.
    async fn is_quiet(&mut self) -> Result<Result<(), String>, String> {
        let (asked, sent) = (self.world.cluster.asked(), self.world.wire.count());
        let before = moment(&self.world, None);
        self.until(Instant::now() + LOOK).await?;
        let now = moment(&self.world, Some(&before));
        let requests = self.world.cluster.requests_after(asked);
        let mut wrote = requests.iter();
        let wrote =
            wrote.find(|request| request.verb.writes() && !["events", "leases"].contains(&request.resource.as_str()));
        Ok(match (wrote, self.world.wire.write_after(sent)) {
            (Some(wrote), _) => Err(format!("rule 7: a pass too many wrote: {wrote}")),
            (None, Some(sent)) => Err(format!("rule 7: a pass too many wrote to Azure: {sent}")),
            (None, None) if differs(&before, &now) => Err("rule 7: a pass too many changed something".to_owned()),
            (None, None) => Ok(()),
        })
    }
}

/// Whether a binding that may have it has what it asks for, and says so.
fn trusted(history: &History, (now, owned): (&Moment, &Owned), binding: &Value, issuer: &str) -> Result<(), String> {
    let name = format!("{}/{}", owned.namespace, owned.name);
    kstatus::check(binding).map_err(|breaches| format!("{name}: {}", breaches.join("; ")))?;
    let status = kstatus::compute(binding);
    if status.state != kstatus::State::Current {
        return Err(format!("{name} is {status}"));
    }
    let accounts = binding
        .pointer("/spec/serviceAccounts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let id = text(binding, "/status/identity/resourceId");
    let identity = now
        .azure
        .identity(id)
        .ok_or_else(|| format!("{name}: no identity {id}"))?;
    for account in accounts {
        let subject = format!("system:serviceaccount:{}:{}", owned.namespace, text(account, "/name"));
        let stands = identity.credentials.iter().any(|credential| {
            credential.subject.as_deref() == Some(&subject)
                && credential.issuer == issuer
                && credential.audiences == ["api://AzureADTokenExchange"]
        });
        if !stands {
            return Err(format!("{name}: nobody trusts {subject} of {issuer}"));
        }
        let annotated = now.accounts.iter().find(|object| {
            text(object, "/metadata/namespace") == owned.namespace
                && text(object, "/metadata/name") == text(account, "/name")
        });
        let client = annotated.map_or("", |object| {
            text(object, "/metadata/annotations/azure.workload.identity~1client-id")
        });
        if client != identity.client_id.to_string() {
            return Err(format!("{name}: {subject} has the client id {client:?}"));
        }
    }
    let surplus = identity.credentials.iter().find(|credential| {
        credential.name.starts_with(&owned.prefix) && !history.is_wanted(now, owned, account_in(credential))
    });
    surplus.map_or(Ok(()), |credential| {
        Err(format!("{name}: {} is too much", credential.name))
    })
}

/// Whether one that is gone or may not has nothing.
fn without(history: &History, now: &Moment, owned: &Owned, binding: Option<&Value>) -> Result<(), String> {
    let name = format!("{}/{}", owned.namespace, owned.name);
    let mut credentials = now.azure.identities.iter().flat_map(|identity| &identity.credentials);
    let permitted = history
        .permitted
        .get(&owned.namespace)
        .and_then(|all| all.last())
        .is_some_and(|(_, is)| *is);
    let left = credentials.find(|one| {
        one.name.starts_with(&owned.prefix) && !(permitted && history.is_wanted(now, owned, account_in(one)))
    });
    if let Some(left) = left.filter(|_| binding.is_some() || !history.was_left(owned, now.at)) {
        return Err(format!("{name}: {} stands", left.name));
    }
    let Some(binding) = binding else {
        if history.was_left(owned, now.at) {
            return Ok(());
        }
        let stands = now
            .azure
            .identities
            .iter()
            .any(|identity| identity.id.name == owned.identity);
        return if stands && owned.outlives != Outlives::Identity {
            Err(format!("{name}: {} stands", owned.identity))
        } else {
            Ok(())
        };
    };
    kstatus::check(binding).map_err(|breaches| format!("{name}: {}", breaches.join("; ")))?;
    match kstatus::compute(binding).state {
        kstatus::State::Current => Err(format!("{name} is ready and may not be")),
        kstatus::State::Terminating => Err(format!("{name} does not go")),
        kstatus::State::InProgress | kstatus::State::Failed => Ok(()),
    }
}
