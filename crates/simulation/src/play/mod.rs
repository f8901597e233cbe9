//! Plays a plan.

mod asked;
mod ending;
mod exports;
mod faults;
mod people;
mod recorder;
mod workloads;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, sleep_until};
use wio_controller::Ended;
use wio_testkit::Fault;

use self::recorder::{moment, record};
use self::workloads::Workloads;
use crate::chance;
use crate::history::History;
use crate::plan::{Act, Candidate, Plan, Timed};
use crate::world::{ISSUERS, Operator, World, namespace, owners, policies};

/// How often the driver looks whether an operator is to end where it is.
const TICK: Duration = Duration::from_millis(500);
/// More than any play asks of the API server.
const ASKED_AT_MOST: u64 = 100_000;
/// How long a crashed operator is away.
const AWAY: Duration = Duration::from_secs(3);

/// Plays a plan in this thread, which plays no other one.
///
/// # Errors
/// When it cannot even begin.
pub fn play(plan: &Plan) -> Result<History, String> {
    chance::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    let history = runtime.block_on(tokio::task::LocalSet::new().run_until(played(plan)));
    // The process ends with the play: taking what runs apart would cost as much as some seconds of it.
    std::mem::forget(runtime);
    history
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
    workloads: Workloads,
    history: History,
}

async fn played(plan: &Plan) -> Result<History, String> {
    let mut world = World::new(plan);
    let moments = Rc::new(RefCell::new(vec![moment(&world, None)]));
    let recorder = record(&world, &moments);
    let first = Some(world.launch(plan.operators[0])?);
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
        workloads: Workloads::default(),
        history,
    };
    let restless = restless(player.world.cluster.activity());
    let ended = tokio::select! {
        ended = player.play_out() => ended,
        () = restless => Err(format!("the API server is asked again and again: {}", last(&player.world))),
    };
    recorder.abort();
    let mut history = player.history;
    history.end = ended.err();
    history.sent = player.world.wire.sent();
    history.exchanges = player.world.wire.exchanges();
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

/// Ends when more was asked of the API server than any play needs: then somebody asks again and again, and time may not even go on.
async fn restless(mut activity: tokio::sync::watch::Receiver<u64>) {
    while *activity.borrow_and_update() < ASKED_AT_MOST {
        if activity.changed().await.is_err() {
            break;
        }
    }
}

/// What was asked last.
fn last(world: &World) -> String {
    let asked = world.cluster.requests();
    let last = asked.iter().rev().take(6).map(ToString::to_string);
    last.collect::<Vec<String>>().join("; ")
}

// === impl Player ===

impl Player<'_> {
    async fn play_out(&mut self) -> Result<(), String> {
        self.act_out().await?;
        self.heal().await?;
        self.converge().await?;
        self.settle().await
    }

    async fn act_out(&mut self) -> Result<(), String> {
        let started = self.world.started;
        for Timed { at, act } in &self.plan.acts {
            self.until(started + *at).await?;
            let done = self.act(act)?;
            if done {
                let at = self.world.elapsed();
                self.history.acts.push(Timed { at, act: act.clone() });
                if !matches!(act, Act::Azure(_) | Act::Api(_)) {
                    self.world.wire.fired(&act.kind());
                }
            }
        }
        self.until(started + self.plan.faults_end).await
    }

    /// Waits, and ends and starts operators meanwhile.
    async fn until(&mut self, moment: Instant) -> Result<(), String> {
        while Instant::now() < moment {
            let next = (Instant::now() + TICK).min(moment);
            sleep_until(next).await;
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        if self.workloads.control(&self.world.cluster) {
            self.collect_garbage();
        }
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
            self.first = Some(self.world.launch(self.candidate(0))?);
        }
        if lost(&mut self.first)? {
            self.back_at = Some(Instant::now() + AWAY);
        }
        if lost(&mut self.second)? {
            self.second = Some(self.world.launch(self.candidate(1))?);
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
    fn act(&mut self, act: &Act) -> Result<bool, String> {
        match act {
            Act::Create(n) => Ok(self.create(*n)),
            Act::Delete(n) | Act::AddAccount(n) | Act::DropAccount(n) => Ok(self.on_binding(act, *n)),
            Act::Suspend(n) | Act::Resume(n) | Act::Ask(n, _) | Act::Unask(n, _) | Act::ExportInto(n, _) => {
                Ok(self.on_spec(act, *n))
            }
            Act::MakeMap(n) | Act::EditMap(n) | Act::LoseMap(n) | Act::ReleaseMap(n) => Ok(self.on_map(act, *n)),
            Act::Deploy(n, ..) | Act::Undeploy(n) | Act::LosePod(n) | Act::Unmark(n) => Ok(self.on_pods(act, *n)),
            Act::LoseAccount(n) | Act::Claim(n) | Act::Unclaim(n) => Ok(self.on_account(act, *n)),
            Act::Narrow(n) | Act::Widen(n) => Ok(self.on_policy(*n, matches!(act, Act::Narrow(_)))),
            Act::Unlabel(n) | Act::Label(n) => Ok(self.on_label(*n, matches!(act, Act::Label(_)))),
            Act::PoliciesVanish => Ok(self.vanish()),
            Act::PoliciesReturn => Ok(self.come_back()),
            Act::Issuer(n) => Ok(self.say_issuer(*n)),
            Act::LoseCredential | Act::EditCredential | Act::LoseIdentity | Act::TagPolicy => Ok(self.on_azure(act)),
            Act::Withdraw | Act::Publish | Act::Unheard(_) | Act::Lag(_) => Ok(self.on_cloud(act)),
            Act::Crash => {
                let runs = self.first.is_some();
                self.crash();
                Ok(runs)
            }
            Act::Second => {
                let begins = self.second.is_none();
                if begins {
                    self.second = Some(self.world.launch(self.candidate(1))?);
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
            Act::LoseEvent(_) | Act::HoldEvents(_) | Act::ReleaseEvents(_) | Act::BreakWatches | Act::Relist => {
                Ok(self.on_watches(act))
            }
        }
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
