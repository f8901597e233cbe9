//! The rounds of the controller: a task for each turn, a bounded number of them at once. kube's controller does the same and keeps more of each
//! object: an object in a store, and its name four times over in its scheduler (docs/adr/0037).

use std::future::Future;
use std::hash::Hash;
use std::pin::pin;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::agenda::{Agenda, Asked};

/// Has everybody's turn come who is asked for, so many at once, from the moment on when `begin` completes. A turn tells after what time the next one
/// is to come. When `stop` completes no other turn begins; it returns when those under way have ended.
pub(crate) async fn rounds<K, T>(
    (begin, stop): (impl Future<Output = ()>, impl Future<Output = ()>),
    asked: impl Stream<Item = Asked<K>>,
    at_once: usize,
    turn: impl Fn(K) -> T,
) where
    K: Clone + Ord + Hash + Send + 'static,
    T: Future<Output = Option<Duration>> + Send + 'static,
{
    let (mut begin, mut stop, mut asked) = (pin!(begin.fuse()), pin!(stop), pin!(asked.fuse()));
    let mut agenda: Agenda<K> = Agenda::default();
    let mut turns = JoinSet::new();
    let mut has_begun = false;
    loop {
        let has_room = |turns: &JoinSet<_>| has_begun && turns.len() < at_once;
        while has_room(&turns)
            && let Some(who) = agenda.begin(Instant::now())
        {
            let next = turn(who.clone());
            turns.spawn(async move { (who, next.await) });
        }
        let due = agenda.due(Instant::now()).filter(|_| has_room(&turns));
        tokio::select! {
            // The same order each time, so that what is played again goes the same way.
            biased;
            () = &mut stop => break,
            Some(turn) = turns.join_next() => {
                if let Some((who, next)) = ended(turn) {
                    agenda.ended(who, next.map(|pause| Instant::now() + pause));
                }
            }
            () = &mut begin => has_begun = true,
            Some(asked) = asked.next() => agenda.ask(asked, Instant::now()),
            () = at(due) => {}
        }
    }
    while let Some(turn) = turns.join_next().await {
        ended(turn);
    }
}

/// A turn that ended; nobody cancels one. A panic goes on here.
fn ended<T>(turn: Result<T, JoinError>) -> Option<T> {
    match turn.map_err(JoinError::try_into_panic) {
        Ok(turn) => Some(turn),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::{Arc, Mutex};

    use futures::future::BoxFuture;
    use futures::stream;
    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The turns that there were, with the second in which each began.
    type Seen = Arc<Mutex<Vec<(&'static str, u64)>>>;

    fn seeing(seen: &Seen) -> impl Fn(&'static str) {
        let (seen, start) = (Arc::clone(seen), Instant::now());
        move |who| seen.lock().unwrap().push((who, start.elapsed().as_secs()))
    }

    fn alone<const N: usize>(who: [&'static str; N]) -> impl Stream<Item = Asked<&'static str>> {
        stream::iter(who.map(Asked::Alone))
    }

    /// Turns that take so long, after each of which there is to be no other one.
    fn taking(seen: &Seen, time: Duration) -> impl Fn(&'static str) -> BoxFuture<'static, Option<Duration>> {
        let see = seeing(seen);
        move |who| {
            see(who);
            tokio::time::sleep(time).map(|()| None).boxed()
        }
    }

    async fn within(seconds: u64, rounds: impl Future<Output = ()>) {
        assert!(
            tokio::time::timeout(SECOND * u32::try_from(seconds).unwrap(), rounds)
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_comes_again_after_the_time_that_it_tells_and_none_where_it_tells_none() {
        let seen = Seen::default();
        let see = seeing(&seen);
        let turn = |who| {
            see(who);
            ready((who == "a").then_some(SECOND * 10))
        };
        let asked = alone(["a", "b"]).chain(stream::pending());
        within(25, rounds((ready(()), pending()), asked, 8, turn)).await;
        assert_eq!(*seen.lock().unwrap(), [("a", 0), ("b", 0), ("a", 10), ("a", 20)]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_has_a_turn_before_the_begin_and_who_asked_until_then_has_his() {
        let seen = Seen::default();
        let see = seeing(&seen);
        let turn = |who| {
            see(who);
            ready(None)
        };
        let begin = tokio::time::sleep(SECOND * 5);
        within(9, rounds((begin, pending()), alone(["a", "b", "a"]), 8, turn)).await;
        assert_eq!(*seen.lock().unwrap(), [("a", 5), ("b", 5)]);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_have_a_turn_at_once_and_no_more() {
        let seen = Seen::default();
        let turn = taking(&seen, SECOND * 3);
        within(9, rounds((ready(()), pending()), alone(["a", "b", "c"]), 2, turn)).await;
        assert_eq!(*seen.lock().unwrap(), [("a", 0), ("b", 0), ("c", 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_asked_for_alone_has_a_turn_as_soon_as_there_is_room_and_many_wait_for_it() {
        let seen = Seen::default();
        let turn = taking(&seen, SECOND);
        let many = stream::iter(["a", "b", "c", "d"].map(Asked::AmongMany));
        let then = stream::once(tokio::time::sleep(SECOND / 2)).map(|()| Asked::Alone("deleted"));
        within(9, rounds((ready(()), pending()), many.chain(then), 2, turn)).await;
        let turns = [("a", 0), ("b", 0), ("deleted", 1), ("c", 1), ("d", 2)];
        assert_eq!(*seen.lock().unwrap(), turns);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_stop_no_turn_begins_and_those_under_way_come_to_their_end() {
        let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
        let see = seeing(&seen);
        let turn = |who| {
            see(who);
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await);
                Some(Duration::ZERO)
            }
        };
        let (stop, stopped) = oneshot::channel();
        let stopped = stopped.map(|_: Result<(), _>| ());
        let going = rounds(
            (ready(()), stopped),
            alone(["a", "b"]).chain(stream::pending()),
            1,
            turn,
        );
        let mut going = pin!(going);
        within(1, &mut going).await;
        stop.send(()).unwrap();
        within(1, &mut going).await;
        gate.add_permits(1);
        going.await;
        assert_eq!(*seen.lock().unwrap(), [("a", 0)]);
    }
}
