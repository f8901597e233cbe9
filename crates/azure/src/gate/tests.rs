use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use wio_core::names::{Location, SubscriptionId};

use super::budget::{Budget, Call, Need, Provider};
use super::lane::Lane;
use super::state::{Asker, Drawn, Refusal, Standing, State};
use crate::budgets::Budgets;

const LATENCY: Duration = Duration::from_millis(200);

fn subscription() -> SubscriptionId {
    "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11".parse().unwrap()
}

fn region() -> Location {
    "westeurope".parse().unwrap()
}

fn budgets(call: Call) -> [Budget; 2] {
    let subscription = Some(subscription());
    [
        Budget::calls(subscription, call),
        Budget::of_provider(subscription, Provider::ManagedIdentity, call),
    ]
}

fn creation() -> Vec<Budget> {
    let creation = Budget::creations(subscription(), region());
    budgets(Call::Write).into_iter().chain([creation]).collect()
}

fn asker(lane: Lane, namespace: &str) -> Asker {
    Asker::of(lane, namespace)
}

fn draw(state: &mut State, lane: Lane, budgets: &[Budget], now: Instant) -> Option<Drawn> {
    state
        .draw(&asker(lane, "shop"), (budgets, &[]), Standing::Outside, now)
        .ok()
}

/// As many as are admitted at this moment.
fn drain(state: &mut State, who: &Asker, budgets: &[Budget], now: Instant) -> Vec<Drawn> {
    std::iter::from_fn(|| state.draw(who, (budgets, &[]), Standing::Outside, now).ok()).collect()
}

fn left(writes: u64) -> Budgets {
    Budgets {
        writes: Some(writes),
        ..Budgets::default()
    }
}

const fn refused(seconds: u64) -> Refusal {
    Refusal {
        retry_after: Duration::from_secs(seconds),
    }
}

/// Azure's side of the writes of a subscription, as documented.
struct Server {
    tokens: f64,
    at: Instant,
    per_second: f64,
}

impl Server {
    fn new(now: Instant, per_second: f64) -> Self {
        Self {
            tokens: 200.0,
            at: now,
            per_second,
        }
    }

    /// Whether a write that arrives now is admitted, and how many are left.
    fn admit(&mut self, now: Instant) -> (bool, u64) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(200.0);
        self.at = self.at.max(now);
        let admits = self.tokens >= 1.0;
        if admits {
            self.tokens -= 1.0;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is at most 200"
        )]
        (admits, self.tokens as u64)
    }
}

/// Plays a client that sends whatever the gate admits, for so long, and counts what Azure admitted and refused.
fn play(server: &mut Server, state: &mut State, (begun, time): (Instant, Duration), jitter: &[u64]) -> (u32, u32) {
    let mut flying: VecDeque<(Instant, Drawn)> = VecDeque::new();
    let (mut admitted, mut refusals) = (0, 0);
    let mut jitter = jitter.iter().cycle();
    let mut now = begun;
    while now < begun + time {
        while let Some(drawn) = draw(state, Lane::Asked, &budgets(Call::Write), now) {
            let trip = LATENCY + Duration::from_millis(*jitter.next().unwrap());
            flying.push_back((now + trip, drawn));
        }
        now += Duration::from_millis(20);
        flying.make_contiguous().sort_by_key(|(arrives, _)| *arrives);
        while flying.front().is_some_and(|(arrives, _)| *arrives <= now) {
            let (arrives, drawn) = flying.pop_front().unwrap();
            let (admits, rest) = server.admit(arrives);
            let refusal = (!admits).then(|| refused(1));
            state.hear(drawn, left(rest), refusal, now);
            *(if admits { &mut admitted } else { &mut refusals }) += 1;
        }
    }
    (admitted, refusals)
}

proptest! {
    // Each case is a minute of requests or more.
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Two of three writes were refused, because each binding learned of Azure's budget by itself.
    #[test]
    fn whoever_is_alone_uses_the_whole_budget_and_is_never_refused(
        jitter in prop::collection::vec(0_u64..300, 1..20),
    ) {
        let now = Instant::now();
        let (mut server, mut state) = (Server::new(now, 10.0), State::default());
        let (admitted, refusals) = play(&mut server, &mut state, (now, Duration::from_mins(1)), &jitter);
        prop_assert_eq!(refusals, 0);
        // 200 at once and 10 a second, but for those that are left to revocations and those on their way.
        prop_assert!(admitted >= 780, "{}", admitted);
    }

    /// With others on the budget the gate learns what is left for it instead of running into refusals again and again.
    #[test]
    fn beside_other_writers_it_settles(rate in 2.0_f64..9.0) {
        let now = Instant::now();
        let (mut server, mut state) = (Server::new(now, rate), State::default());
        play(&mut server, &mut state, (now, Duration::from_mins(3)), &[0, 70, 30]);
        let later = now + Duration::from_mins(3);
        let (admitted, refusals) = play(&mut server, &mut state, (later, Duration::from_mins(5)), &[0, 70, 30]);
        prop_assert!(refusals * 20 <= admitted, "{} refused beside {}", refusals, admitted);
        prop_assert!(f64::from(admitted) >= rate * 300.0 * 0.5, "{} at {}/s", admitted, rate);
    }

    /// A promise that came back is there for others, whatever was drawn meanwhile.
    #[test]
    fn nothing_is_lost_or_made_by_promises(counts in prop::collection::vec((1_u32..8, 0_u32..8), 1..30)) {
        let now = Instant::now();
        let mut state = State::default();
        let who = asker(Lane::Revocation, "shop");
        let mut sent = 0;
        for (promised, used) in counts {
            let mut need = Need::default();
            (0..promised).for_each(|_| need.write(subscription()));
            prop_assert!(state.promise(&who, &need, Standing::Outside, now).is_ok());
            let budgets = budgets(Call::Write);
            for _ in 0..used.min(promised) {
                let drawn = state.draw(&who, (&budgets, &budgets), Standing::InTurn { waiting: 1 }, now);
                prop_assert!(drawn.is_ok());
                sent += 1;
            }
            let mut rest = Need::default();
            (used.min(promised)..promised).for_each(|_| rest.write(subscription()));
            state.take_back(&rest, now);
            if sent > 150 { break }
        }
        prop_assert_eq!(drain(&mut state, &who, &budgets(Call::Write), now).len(), 200 - sent);
    }
}

#[test]
fn a_refusal_closes_its_budget_for_everybody_and_no_other() {
    let now = Instant::now();
    let mut state = State::default();
    let drawn = draw(&mut state, Lane::Asked, &budgets(Call::Write), now).unwrap();
    state.hear(drawn, left(0), Some(refused(30)), now);
    let who = asker(Lane::Revocation, "elsewhere");
    let can = |state: &mut State, call, now| state.draw(&who, (&budgets(call), &[]), Standing::Outside, now).is_ok();
    assert!(!can(&mut state, Call::Write, now + Duration::from_secs(29)));
    assert!(can(&mut state, Call::Delete, now));
    assert!(can(&mut state, Call::Read, now));
    assert!(can(&mut state, Call::Write, now + Duration::from_secs(31)));
}

/// The header of the refusal says that Azure Resource Manager would have admitted more.
#[test]
fn a_refused_creation_closes_the_creations_and_not_the_writes() {
    let now = Instant::now();
    let mut state = State::default();
    let drawn = draw(&mut state, Lane::Asked, &creation(), now).unwrap();
    state.hear(drawn, left(150), Some(refused(17)), now);
    assert!(draw(&mut state, Lane::Asked, &creation(), now + Duration::from_secs(16)).is_none());
    assert!(draw(&mut state, Lane::Asked, &budgets(Call::Write), now).is_some());
    assert!(draw(&mut state, Lane::Asked, &creation(), now + Duration::from_secs(18)).is_some());
}

#[test]
fn a_refusal_of_the_provider_closes_its_own_calls_and_not_those_of_others() {
    let now = Instant::now();
    let mut state = State::default();
    let drawn = draw(&mut state, Lane::Asked, &budgets(Call::Write), now).unwrap();
    state.hear(drawn, left(150), Some(refused(10)), now);
    assert!(draw(&mut state, Lane::Asked, &budgets(Call::Write), now).is_none());
    let role = [
        Budget::calls(Some(subscription()), Call::Write),
        Budget::of_provider(Some(subscription()), Provider::Authorization, Call::Write),
    ];
    assert!(draw(&mut state, Lane::Asked, &role, now).is_some());
}

#[test]
fn eighty_identities_are_created_in_any_twenty_seconds() {
    let now = Instant::now();
    let mut state = State::default();
    let who = |n: usize| asker(Lane::Asked, &format!("team{n}"));
    let mut flying = Vec::new();
    for n in 0..100 {
        flying.extend(state.draw(&who(n), (&creation(), &[]), Standing::Outside, now).ok());
    }
    assert_eq!(flying.len(), 80);
    let answered = now + LATENCY;
    for drawn in flying {
        state.hear(drawn, Budgets::default(), None, answered);
    }
    let window = Duration::from_secs(20);
    let early = answered + window - Duration::from_millis(1);
    assert!(
        state
            .draw(&who(101), (&creation(), &[]), Standing::Outside, early)
            .is_err()
    );
    assert!(
        state
            .draw(&who(101), (&creation(), &[]), Standing::Outside, answered + window)
            .is_ok()
    );
}

/// Another team's single binding waited for the next window.
#[test]
fn one_roll_out_leaves_some_creations_to_other_namespaces() {
    let now = Instant::now();
    let mut state = State::default();
    let drawn = drain(&mut state, &asker(Lane::Asked, "roll-out"), &creation(), now);
    assert_eq!(drawn.len(), 75);
    for team in ["one", "two", "three", "four", "five"] {
        assert!(
            state
                .draw(&asker(Lane::Asked, team), (&creation(), &[]), Standing::Outside, now)
                .is_ok()
        );
    }
    assert!(
        state
            .draw(&asker(Lane::Asked, "six"), (&creation(), &[]), Standing::Outside, now)
            .is_err()
    );
}

/// A team's second binding waited for the next window, because it was no newcomer after its first.
#[test]
fn a_few_bindings_of_one_namespace_do_not_wait_for_anothers_roll_out() {
    let now = Instant::now();
    let mut state = State::default();
    drain(&mut state, &asker(Lane::Asked, "roll-out"), &creation(), now);
    let few = drain(&mut state, &asker(Lane::Asked, "few"), &creation(), now);
    assert_eq!(few.len(), 3);
    let others = ["one", "two", "three"].map(|team| {
        let drawn = state.draw(&asker(Lane::Asked, team), (&creation(), &[]), Standing::Outside, now);
        drawn.is_ok()
    });
    assert_eq!(
        others,
        [true, true, false],
        "what the few leave is for who created nothing"
    );
}

/// As many as are promised in turn in so many seconds, when so many wait; each is drawn at once.
fn in_turn(state: &mut State, waiting: usize, (mut now, seconds): (Instant, u64)) -> usize {
    let who = asker(Lane::Asked, "roll-out");
    let end = now + Duration::from_secs(seconds);
    let mut count = 0;
    while now < end {
        match state.draw(&who, (&creation(), &[]), Standing::InTurn { waiting }, now) {
            Ok(drawn) => {
                state.hear(drawn, Budgets::default(), None, now);
                count += 1;
            }
            Err(shortage) => now += shortage.ready_in.max(Duration::from_millis(1)),
        }
    }
    count
}

/// The sixth binding beside a roll-out of hours waited for the next window each time.
#[test]
fn a_long_roll_out_draws_evenly_on_a_window_and_a_short_one_at_once() {
    let now = Instant::now();
    for (waiting, expected) in [(300, [75, 0]), (301, [4, 76])] {
        let mut state = State::default();
        let first = in_turn(&mut state, waiting, (now, 1));
        let then = in_turn(&mut state, waiting, (now + Duration::from_secs(1), 19));
        assert_eq!([first, then], expected, "{waiting} wait");
    }
}

#[test]
fn who_is_less_urgent_leaves_something_to_who_is_more() {
    let now = Instant::now();
    let mut state = State::default();
    let mut before = 0;
    for lane in Lane::ALL.into_iter().rev() {
        let drawn = drain(&mut state, &asker(lane, "shop"), &budgets(Call::Read), now);
        assert!(!drawn.is_empty(), "{lane:?}");
        before += drawn.len();
    }
    assert_eq!(before, 250);
}

/// Of fifty thousand bindings each looked for itself until there was a list, and left no reads to it.
#[test]
fn a_list_goes_before_the_looks_that_it_spares() {
    let now = Instant::now();
    let mut state = State::default();
    let reads = budgets(Call::Read);
    drain(&mut state, &asker(Lane::Look, "shop"), &reads, now);
    let list = drain(&mut state, &Asker::of_nobody(), &reads, now).len();
    assert!(list > 0);
    assert!(!drain(&mut state, &asker(Lane::Mending, "shop"), &reads, now).is_empty());
}

/// Those that came later took what those in the queue were saving up for.
#[test]
fn nobody_overtakes_the_queue_but_who_is_more_urgent() {
    let now = Instant::now();
    let mut state = State::default();
    let [writes, _] = budgets(Call::Write);
    draw(&mut state, Lane::Asked, &budgets(Call::Write), now).unwrap();
    state.want(&HashMap::from([(writes, Lane::Asked)]));
    assert!(draw(&mut state, Lane::Asked, &budgets(Call::Write), now).is_none());
    assert!(draw(&mut state, Lane::Mending, &budgets(Call::Write), now).is_none());
    assert!(draw(&mut state, Lane::Revocation, &budgets(Call::Write), now).is_some());
    state.want(&HashMap::new());
    assert!(draw(&mut state, Lane::Asked, &budgets(Call::Write), now).is_some());
}
