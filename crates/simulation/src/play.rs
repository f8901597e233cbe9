//! Plays a plan.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy, keys};
use wio_azure_sim::{Snapshot, TagPolicy};
use wio_controller::Ended;
use wio_testkit::{Effect, Fault, Matcher, kstatus};

use crate::chance;
use crate::draw::{ACTIVE, WATCHED};
use crate::history::{Cut, History, Moment, Owned, account_in, text};
use crate::plan::{Act, ApiEffect, ApiFault, Candidate, Outlives, Plan, Timed};
use crate::world::{
    DRIFT, ISSUERS, Operator, SOMEBODY, SUBSCRIPTION, World, account_of, binding_of, foreign_account, namespace,
    owners, policies, policy_of,
};

/// How long everything may take that takes its time: the longest pause before a retry is ten minutes.
const DEADLINE: Duration = Duration::from_mins(40);
/// How often the driver looks whether an operator is to end where it is.
const TICK: Duration = Duration::from_millis(500);
/// How long a crashed operator is away.
const AWAY: Duration = Duration::from_secs(3);

/// Plays a plan in this thread, which plays no other one.
///
/// # Errors
/// When it cannot even begin.
pub fn play(plan: &Plan) -> Result<History, String> {
    chance::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(played(plan)))
}

struct Player<'a> {
    plan: &'a Plan,
    world: World,
    first: Option<Operator>,
    second: Option<Operator>,
    /// When the first starts again.
    back_at: Option<Instant>,
    cut: Vec<Fault>,
    crashes: Vec<(Fault, String)>,
    faults: Vec<(Fault, String)>,
    narrowed: Vec<bool>,
    labelled: Vec<bool>,
    vanished: bool,
    issuer: usize,
    history: History,
}

async fn played(plan: &Plan) -> Result<History, String> {
    let mut world = World::new(plan);
    let moments = Rc::new(RefCell::new(vec![moment(&world, None)]));
    let recorder = record(&world, &moments);
    let first = Some(world.launch(plan.operators[0]).await?);
    let owners = owners(plan);
    let permitted = (0..plan.namespaces)
        .map(|n| (namespace(n), vec![(Duration::ZERO, true)]))
        .collect();
    let history = History {
        owners,
        permitted,
        issuers: vec![(Duration::ZERO, ISSUERS[0].to_owned())],
        token: world.token.clone(),
        ..History::default()
    };
    let mut player = Player {
        plan,
        world,
        first,
        second: None,
        back_at: None,
        cut: Vec::new(),
        crashes: Vec::new(),
        faults: Vec::new(),
        narrowed: vec![false; policies(plan)],
        labelled: vec![true; plan.namespaces],
        vanished: false,
        issuer: 0,
        history,
    };
    let ended = async {
        player.act_out().await?;
        player.heal().await?;
        player.converge().await?;
        player.settle().await
    }
    .await;
    recorder.abort();
    let mut history = player.history;
    history.end = ended.err();
    history.sent = player.world.wire.sent();
    history.asked = player.world.cluster.requests();
    for (fault, kind) in player.faults.into_iter().chain(player.crashes) {
        if fault.hits() > 0 {
            player.world.wire.fired(&kind);
        }
    }
    history.fired = player.world.wire.all_fired();
    history.moments = moments.take();
    Ok(history)
}

fn moment(world: &World, last: Option<&Moment>) -> Moment {
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
    }
}

/// Writes down each moment.
fn record(world: &World, moments: &Rc<RefCell<Vec<Moment>>>) -> tokio::task::JoinHandle<()> {
    let (mut azure, mut cluster) = (world.azure.changes(), world.cluster.changes());
    let view = world.clone();
    let moments = Rc::clone(moments);
    tokio::task::spawn_local(async move {
        loop {
            // What exists in Azure is copied and compared only when something changed there: most changes are the lease's.
            let of_azure = tokio::select! {
                biased;
                changed = azure.changed() => changed.map(|()| true),
                changed = cluster.changed() => changed.map(|()| false),
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

fn differs(last: &Moment, now: &Moment) -> bool {
    let same =
        |a: &[Arc<Value>], b: &[Arc<Value>]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b));
    !Arc::ptr_eq(&last.azure, &now.azure)
        || !same(&last.bindings, &now.bindings)
        || !same(&last.accounts, &now.accounts)
}

// === impl Player ===

impl Player<'_> {
    async fn act_out(&mut self) -> Result<(), String> {
        let started = self.world.started;
        for Timed { at, act } in &self.plan.acts {
            self.until(started + *at).await?;
            let done = self.act(act).await?;
            if done {
                let at = self.world.elapsed();
                self.history.acts.push(Timed { at, act: act.clone() });
                if !matches!(act, Act::Azure(_) | Act::Api(_)) {
                    self.world.wire.fired(&act.kind());
                }
            }
        }
        self.until(started + ACTIVE).await
    }

    /// Waits, and ends and starts operators meanwhile.
    async fn until(&mut self, moment: Instant) -> Result<(), String> {
        while Instant::now() < moment {
            let next = (Instant::now() + TICK).min(moment);
            sleep_until(next).await;
            self.look().await?;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), String> {
        let hit = self.crashes.iter().position(|(fault, _)| fault.hits() > 0);
        if let Some(at) = hit {
            let (fault, kind) = self.crashes.remove(at);
            fault.remove();
            self.world.wire.fired(&kind);
            self.crash();
        }
        if self.world.wire.takes_crash() {
            self.crash();
        }
        if self.back_at.is_some_and(|at| at <= Instant::now()) {
            self.back_at = None;
            self.first = Some(self.world.launch(self.candidate(0)).await?);
        }
        if lost(&mut self.first)? {
            self.back_at = Some(Instant::now() + AWAY);
        }
        if lost(&mut self.second)? {
            self.second = Some(self.world.launch(self.candidate(1)).await?);
        }
        Ok(())
    }

    const fn candidate(&self, number: usize) -> Candidate {
        let [first, second] = self.plan.operators;
        if number == 0 { first } else { second }
    }

    fn crash(&mut self) {
        if let Some(operator) = self.first.take() {
            operator.task.abort();
            self.back_at = Some(Instant::now() + AWAY);
        }
    }

    /// Does it, if it can be done now; says whether it was.
    async fn act(&mut self, act: &Act) -> Result<bool, String> {
        match act {
            Act::Create(n) => Ok(self.create(*n)),
            Act::Delete(n) | Act::AddAccount(n) | Act::DropAccount(n) | Act::Suspend(n) | Act::Resume(n) => {
                Ok(self.on_binding(act, *n))
            }
            Act::LoseAccount(n) | Act::Claim(n) | Act::Unclaim(n) => Ok(self.on_account(act, *n)),
            Act::Narrow(n) | Act::Widen(n) => Ok(self.on_policy(*n, matches!(act, Act::Narrow(_)))),
            Act::Unlabel(n) | Act::Label(n) => Ok(self.on_label(*n, matches!(act, Act::Label(_)))),
            Act::PoliciesVanish => Ok(self.vanish()),
            Act::PoliciesReturn => Ok(self.come_back()),
            Act::Issuer(n) => Ok(self.say_issuer(*n)),
            Act::LoseCredential | Act::EditCredential | Act::LoseIdentity | Act::TagPolicy => Ok(self.on_azure(act)),
            Act::Crash => {
                let runs = self.first.is_some();
                self.crash();
                Ok(runs)
            }
            Act::Second => {
                let begins = self.second.is_none();
                if begins {
                    self.second = Some(self.world.launch(self.candidate(1)).await?);
                }
                Ok(begins)
            }
            Act::SecondEnds => Ok(self.second.take().map(|second| second.task.abort()).is_some()),
            Act::CutOff | Act::Reconnect => Ok(self.on_connection(matches!(act, Act::CutOff))),
            Act::Azure(fault) => {
                self.world.wire.arm(fault.clone(), act.kind());
                Ok(true)
            }
            Act::Api(fault) => {
                self.arm_api(fault, act.kind());
                Ok(true)
            }
            Act::Lag(by) => {
                self.world
                    .azure
                    .reconfigure(|config| (config.list_lag, config.read_lag) = (*by, *by));
                Ok(true)
            }
            Act::LoseEvent(_) | Act::HoldEvents(_) | Act::ReleaseEvents(_) | Act::BreakWatches | Act::Relist => {
                Ok(self.on_watches(act))
            }
        }
    }

    fn on_watches(&self, act: &Act) -> bool {
        let cluster = &self.world.cluster;
        match act {
            Act::LoseEvent(what) => cluster.lose_events(what, 1),
            Act::HoldEvents(what) => cluster.hold_events(what),
            Act::ReleaseEvents(what) => cluster.release_events(what),
            Act::Relist => {
                cluster.compact();
                cluster.expire_watches();
            }
            _ => cluster.break_watches(),
        }
        true
    }

    fn create(&self, n: usize) -> bool {
        let Some(planned) = self.plan.bindings.get(n) else {
            return false;
        };
        let (namespace, cluster) = (namespace(planned.namespace), &self.world.cluster);
        if !cluster
            .get_json::<WorkloadIdentityBinding>(&namespace, &format!("b{n}"))
            .is_null()
        {
            return false;
        }
        let account = account_of(n, planned, 0);
        if planned.foreign && cluster.get_json::<ServiceAccount>(&namespace, &account).is_null() {
            cluster.seed(foreign_account(n, planned));
        }
        cluster.seed(binding_of(n, planned));
        true
    }

    /// What somebody does to the first service account of a binding.
    fn on_account(&self, act: &Act, n: usize) -> bool {
        let Some(planned) = self.plan.bindings.get(n) else {
            return false;
        };
        let (namespace, name) = (namespace(planned.namespace), account_of(n, planned, 0));
        let cluster = &self.world.cluster;
        let there = cluster.get_json::<ServiceAccount>(&namespace, &name);
        let claimed = there
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(keys::CLIENT_ID_ANNOTATION))
            .is_some_and(|value| value == SOMEBODY);
        if there.is_null() || claimed != matches!(act, Act::Unclaim(_)) && !matches!(act, Act::LoseAccount(_)) {
            return false;
        }
        if matches!(act, Act::LoseAccount(_)) {
            cluster.delete::<ServiceAccount>(&namespace, &name);
            return true;
        }
        cluster.edit::<ServiceAccount>(&namespace, &name, |object| {
            if claimed {
                if let Some(all) = object
                    .pointer_mut("/metadata/annotations")
                    .and_then(Value::as_object_mut)
                {
                    all.remove(keys::CLIENT_ID_ANNOTATION);
                }
            } else if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                let all = metadata.entry("annotations").or_insert_with(|| json!({}));
                if let Some(all) = all.as_object_mut() {
                    all.insert(keys::CLIENT_ID_ANNOTATION.to_owned(), json!(SOMEBODY));
                }
            }
        });
        true
    }

    fn on_binding(&self, act: &Act, n: usize) -> bool {
        let Some(planned) = self.plan.bindings.get(n) else {
            return false;
        };
        let (namespace, name) = (namespace(planned.namespace), format!("b{n}"));
        let cluster = &self.world.cluster;
        let there = cluster.get_json::<WorkloadIdentityBinding>(&namespace, &name);
        if there.is_null() || there.pointer("/metadata/deletionTimestamp").is_some() {
            return false;
        }
        if matches!(act, Act::Delete(_)) {
            cluster.delete::<WorkloadIdentityBinding>(&namespace, &name);
            return true;
        }
        if matches!(act, Act::Suspend(_) | Act::Resume(_)) {
            return self.suspend((&namespace, &name), matches!(act, Act::Suspend(_)));
        }
        let mut accounts = there
            .pointer("/spec/serviceAccounts")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if matches!(act, Act::AddAccount(_)) {
            accounts.push(json!({"name": account_of(n, planned, accounts.len())}));
        } else if accounts.len() > 1 {
            accounts.pop();
        } else {
            return false;
        }
        cluster.edit::<WorkloadIdentityBinding>(&namespace, &name, |object| {
            if let Some(spec) = object.pointer_mut("/spec/serviceAccounts") {
                *spec = Value::Array(accounts);
            }
        });
        true
    }

    fn suspend(&self, (namespace, name): (&str, &str), suspend: bool) -> bool {
        let mut done = false;
        self.world
            .cluster
            .edit::<WorkloadIdentityBinding>(namespace, name, |object| {
                if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
                    done = spec
                        .insert("suspend".to_owned(), json!(suspend))
                        .unwrap_or(json!(false))
                        != json!(suspend);
                }
            });
        done
    }

    fn on_policy(&mut self, n: usize, narrow: bool) -> bool {
        let Some(narrowed) = self
            .narrowed
            .get_mut(n)
            .filter(|narrowed| **narrowed != narrow && !self.vanished)
        else {
            return false;
        };
        *narrowed = narrow;
        let spec = json!(policy_of(n, narrow)).get("spec").cloned().unwrap_or_default();
        self.world
            .cluster
            .edit::<WorkloadIdentityPolicy>("", &format!("p{n}"), |object| {
                if let Some(place) = object.get_mut("spec") {
                    *place = spec;
                }
            });
        self.note_permission(n);
        true
    }

    fn on_label(&mut self, n: usize, label: bool) -> bool {
        let Some(labelled) = self.labelled.get_mut(n).filter(|labelled| **labelled != label) else {
            return false;
        };
        *labelled = label;
        let value = if label { namespace(n) } else { "none".to_owned() };
        self.world.cluster.edit::<Namespace>("", &namespace(n), |object| {
            if let Some(team) = object.pointer_mut("/metadata/labels/team") {
                *team = json!(value);
            }
        });
        self.note_permission(n);
        true
    }

    fn note_permission(&mut self, n: usize) {
        let is = self.narrowed.get(n) == Some(&false) && self.labelled.get(n) == Some(&true);
        let at = self.world.elapsed();
        self.history.permitted.entry(namespace(n)).or_default().push((at, is));
    }

    fn vanish(&mut self) -> bool {
        if self.vanished {
            return false;
        }
        self.vanished = true;
        for n in 0..policies(self.plan) {
            self.world
                .cluster
                .delete::<WorkloadIdentityPolicy>("", &format!("p{n}"));
        }
        true
    }

    fn come_back(&mut self) -> bool {
        if !self.vanished {
            return false;
        }
        self.vanished = false;
        for (n, narrowed) in self.narrowed.iter().enumerate() {
            self.world.cluster.seed(policy_of(n, *narrowed));
        }
        true
    }

    fn say_issuer(&mut self, n: usize) -> bool {
        let Some(issuer) = ISSUERS.get(n).filter(|_| n != self.issuer) else {
            return false;
        };
        self.issuer = n;
        self.world.cluster.set_issuer(issuer);
        let at = self.world.elapsed();
        self.history.issuers.push((at, (*issuer).to_owned()));
        true
    }

    fn on_azure(&self, act: &Act) -> bool {
        if matches!(act, Act::TagPolicy) {
            self.world.azure.reconfigure(|config| {
                config.tag_policies = vec![TagPolicy {
                    scope: format!("/subscriptions/{SUBSCRIPTION}"),
                    tag: "costcenter".to_owned(),
                    value: Some("42".to_owned()),
                }];
            });
            return true;
        }
        let mut done = false;
        self.world.change_azure(|azure| {
            if matches!(act, Act::LoseIdentity) {
                let ours = |name: &str| self.history.owners.iter().any(|owned| owned.identity == name);
                let at = azure.identities.iter().position(|identity| ours(&identity.id.name));
                done = at.map(|at| azure.identities.remove(at)).is_some();
                return;
            }
            for identity in &mut azure.identities {
                let at = identity
                    .credentials
                    .iter()
                    .position(|credential| self.history.owner(&credential.name).is_some());
                let Some(at) = at else { continue };
                if matches!(act, Act::LoseCredential) {
                    identity.credentials.remove(at);
                } else if let Some(credential) = identity.credentials.get_mut(at) {
                    credential.audiences = vec!["api://somebody-elses".to_owned()];
                }
                done = true;
                return;
            }
        });
        done
    }

    fn on_connection(&mut self, cut: bool) -> bool {
        if !cut {
            let was = !self.cut.is_empty();
            self.cut.drain(..).for_each(|fault| fault.remove());
            if was {
                self.crash();
            }
            return was;
        }
        let Some(first) = self.first.as_ref().filter(|_| self.cut.is_empty()) else {
            return false;
        };
        let at = self.world.elapsed();
        self.history.cuts.push(Cut {
            life: first.life,
            at,
            until: at + first.lease,
        });
        let all = Matcher::any().client(&first.client);
        self.cut.push(self.world.cluster.inject(all, Effect::hang()));
        self.world.cluster.break_watches();
        true
    }

    fn arm_api(&mut self, fault: &ApiFault, kind: String) {
        let writes = Matcher::writes().skip(fault.skip).once();
        let effect = match fault.effect {
            ApiEffect::Status(409) => Effect::conflict(),
            ApiEffect::Status(422) => Effect::status(422, "Invalid", "the object is invalid"),
            ApiEffect::Status(429) => Effect::too_many_requests(2),
            ApiEffect::Status(503) => Effect::unavailable(),
            ApiEffect::Status(_) => Effect::internal_error(),
            ApiEffect::Drop => Effect::connection_error(),
            ApiEffect::Hang | ApiEffect::Crash => Effect::hang(),
        };
        let effect = if fault.executed { effect.after_serving() } else { effect };
        let armed = self.world.cluster.inject(writes, effect);
        if fault.effect == ApiEffect::Crash {
            self.crashes.push((armed, kind));
        } else {
            self.faults.push((armed, kind));
        }
    }

    /// All faults end.
    async fn heal(&mut self) -> Result<(), String> {
        self.world.wire.disarm();
        self.world.cluster.clear_faults();
        self.world
            .azure
            .reconfigure(|config| (config.list_lag, config.read_lag) = (Duration::ZERO, Duration::ZERO));
        for watched in WATCHED {
            self.world.cluster.release_events(watched);
            self.world.cluster.lose_events(watched, 0);
        }
        self.come_back();
        for n in 0..self.plan.bindings.len() {
            for act in [Act::Resume(n), Act::Unclaim(n)] {
                if self.act(&act).await? {
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
        // What is under way lands by then.
        let landed = Instant::now() + Duration::from_secs(80);
        self.until(landed).await
    }

    async fn converge(&mut self) -> Result<(), String> {
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
        let now = moment(&self.world, None);
        let issuer = ISSUERS.get(self.issuer).copied().unwrap_or_default();
        for owned in &self.history.owners {
            let permitted = self.history.permitted.get(&owned.namespace).and_then(|all| all.last());
            let may = !owned.needs_policy || permitted.is_some_and(|(_, is)| *is);
            match History::binding(&now, owned) {
                Some(binding) if may => trusted(&self.history, (&now, owned), binding, issuer)?,
                other => without(&self.history, &now, owned, other)?,
            }
        }
        Ok(())
    }

    /// Nothing is written when nothing is to be done.
    async fn settle(&mut self) -> Result<(), String> {
        // What others changed is told at the next look, at the latest.
        self.until(Instant::now() + DRIFT * 3 / 2).await?;
        let (asked, sent) = (self.world.cluster.requests().len(), self.world.wire.count());
        let before = moment(&self.world, None);
        sleep(DRIFT * 2).await;
        self.look().await?;
        let now = moment(&self.world, Some(&before));
        let requests = self.world.cluster.requests();
        let wrote = requests
            .iter()
            .skip(asked)
            .find(|request| request.verb.writes() && !["events", "leases"].contains(&request.resource.as_str()));
        if let Some(wrote) = wrote {
            return Err(format!("rule 7: a pass too many wrote: {wrote}"));
        }
        match self
            .world
            .wire
            .sent()
            .iter()
            .skip(sent)
            .find(|sent| sent.method != "GET")
        {
            Some(wrote) => Err(format!(
                "rule 7: a pass too many wrote to Azure: {} {}",
                wrote.method, wrote.path
            )),
            None if differs(&before, &now) => Err("rule 7: a pass too many changed something".to_owned()),
            None => Ok(()),
        }
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

/// Takes an operator out of its place that ended because it lost its lease, and tells whether it did. It ends in no other way by itself.
fn lost(place: &mut Option<Operator>) -> Result<bool, String> {
    let Some(operator) = place.take_if(|operator| operator.task.is_finished()) else {
        return Ok(false);
    };
    match operator.task.now_or_never() {
        Some(Ok(Err(Ended::LeaseLost))) => Ok(true),
        other => Err(format!("an operator ended by itself, or panicked: {other:?}")),
    }
}
