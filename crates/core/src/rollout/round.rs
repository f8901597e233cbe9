//! One round over the owners of a binding's pods: one restart at most, and what is told of all of them.
//!
//! **One after the other.** The next owner is restarted when the rollout of the one before is over and its pods have the token: where a restart does not
//! help, it was one and not all.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{NoTokenReason, RestartResult, RestartStatus, WorkloadsStatus, limits};

use super::owner::{Owner, Restart, Standing};
use crate::names::ClientId;
use crate::workloads::{Candidate, Maker, MakerKind, shortened};

/// The longest message about an owner.
const MESSAGE_CHARS_MAX: usize = 300;

/// Why nobody is restarted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The operator was not told that it may restart anything.
    NotTold,
    /// The binding is suspended.
    Suspended,
    /// The binding is not ready.
    NotReady,
    /// Somebody else changes its service accounts back.
    Contested,
    /// It has not been as it is now for long enough.
    New,
}

/// Somebody who is to be read before anything else is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToRead {
    /// An owner that was restarted, by its name.
    Restarted(MakerKind, String),
    /// One that may be restarted: what made its pods, and where that is a ReplicaSet, the Deployment that made it.
    Candidate(Candidate, Maker),
}

/// What was found there.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// The owner.
    Owner(Box<Owner>),
    /// It is gone.
    Gone,
    /// It could not be read now.
    Unread,
    /// The operator may not read it.
    Forbidden,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was carried out.
    Done,
    /// It was not carried out, because the owner has changed since it was read.
    Overtaken,
    /// It was refused.
    Refused(String),
    /// Nobody knows.
    Unknown,
}

/// A round over the owners of a binding's pods.
#[derive(Debug)]
pub struct Round {
    client_id: ClientId,
    told: BTreeMap<String, Told>,
    queue: VecDeque<ToRead>,
    /// For whom all others wait.
    busy: Option<String>,
}

/// What is told of an owner.
#[derive(Debug)]
struct Told {
    result: RestartResult,
    words: String,
    at: Option<Time>,
}

const NOT_TOLD: &str = "spec.rollout asks for it, and the operator was not told that it may: --rollouts (WIO_ROLLOUTS), rollouts.enabled of the chart";
const ONCE: &str = "it was restarted for this client id, which happens once; its rollout is not over, or pods of it lack a token still";
const UNDER_WAY: &str = "it was restarted for this client id, and its rollout is under way";
const OVER: &str = "it was restarted for this client id";
const FORBIDDEN: &str = "the operator may not read or restart it: its role workload-identity-operator-rollouts is not bound. config/rollouts, or rollouts.enabled \
                         of the chart, does that";
const NO_MAKER: &str = "only Deployments, StatefulSets and DaemonSets are restarted: create its pods anew";
const UNREAD: &str = "it could not be read or written just now, and is looked at again";
const GONE: &str = "it is gone, and its pods go too";

/// Whether some are restarted or wait for it, so that it is looked at again soon.
#[must_use]
pub fn is_unfinished(seen: &WorkloadsStatus) -> bool {
    use RestartResult::{Restarting, Waiting};
    let mut restarts = seen.restarts.iter();
    restarts.any(|one| matches!(one.result, Restarting | Waiting))
}

// === impl Held ===

impl Held {
    const fn told(self) -> (RestartResult, &'static str) {
        let waits = match self {
            Self::NotTold => return (RestartResult::NotRestarted, NOT_TOLD),
            Self::Suspended => "the binding is suspended",
            Self::NotReady => "nobody is restarted until the binding is Ready",
            Self::Contested => "nobody is restarted while somebody changes the service account back again and again",
            Self::New => {
                "nobody is restarted until the binding has been as it is for some minutes: what Azure was told is known everywhere then"
            }
        };
        (RestartResult::Waiting, waits)
    }
}

// === impl Round ===

impl Round {
    /// Begins a round: over what is seen now, and what the status told before.
    #[must_use]
    pub fn begin(
        client_id: ClientId,
        candidates: Vec<Candidate>,
        (seen, previous): (&WorkloadsStatus, Option<&WorkloadsStatus>),
        held: Option<Held>,
    ) -> Self {
        let mut round = Self {
            client_id,
            told: BTreeMap::new(),
            queue: VecDeque::new(),
            busy: None,
        };
        for before in previous.iter().flat_map(|previous| &previous.restarts) {
            round.recall(before, seen, held.is_some());
        }
        for candidate in candidates {
            round.consider(candidate, held);
        }
        round
    }

    /// Takes in what was told of an owner: that it was restarted for the same client id stands, whatever its template says by now.
    fn recall(&mut self, before: &RestartStatus, seen: &WorkloadsStatus, held: bool) {
        use RestartResult::{NotRestarted, Restarted, Restarting, Waiting};
        let same = before.client_id.parse().is_ok_and(|id: ClientId| id == self.client_id);
        match before.result {
            Restarting | Restarted if same => {}
            Restarting | Restarted | Waiting | NotRestarted => return,
        }
        let asks = |reason| reason != NoTokenReason::LabelMissing;
        let mut lacking = seen.lacking.iter();
        let lacks = lacking.any(|one| one.owner == before.owner && asks(one.reason));
        let (result, words) = match before.result {
            _ if lacks => (Restarting, ONCE),
            Restarted => (Restarted, OVER),
            Restarting | Waiting | NotRestarted => (before.result, UNDER_WAY),
        };
        self.told.insert(
            before.owner.clone(),
            Told {
                result,
                words: words.to_owned(),
                at: before.restarted_at.clone(),
            },
        );
        if lacks {
            self.busy = Some(before.owner.clone());
            return;
        }
        let named = before.owner.split_once('/');
        let named = named.and_then(|(kind, name)| Some((MakerKind::named(kind)?, name)));
        if let (Restarting, false, Some((kind, name))) = (before.result, held, named) {
            self.queue.push_front(ToRead::Restarted(kind, name.to_owned()));
        }
    }

    fn consider(&mut self, candidate: Candidate, held: Option<Held>) {
        let owner = candidate.owner.to_string();
        if self.told.contains_key(&owner) {
            return;
        }
        match (held, candidate.maker.clone()) {
            (_, None) => self.tell(&owner, RestartResult::NotRestarted, NO_MAKER),
            (Some(held), Some(_)) => {
                let (result, words) = held.told();
                self.tell(&owner, result, words);
            }
            (None, Some(maker)) => self.queue.push_back(ToRead::Candidate(candidate, maker)),
        }
    }

    /// Who is to be read next; none when nothing more is done in this round.
    pub fn next_to_read(&mut self) -> Option<ToRead> {
        loop {
            let next = self.queue.pop_front()?;
            let ToRead::Candidate(candidate, _) = &next else {
                return Some(next);
            };
            let owner = candidate.owner.to_string();
            match &self.busy {
                Some(busy) => {
                    let words =
                        format!("one is restarted after the other: it waits until the pods of {busy} have their token");
                    self.tell(&owner, RestartResult::Waiting, &words);
                }
                None => return Some(next),
            }
        }
    }

    /// Takes in one that was restarted before.
    pub fn saw_restarted(&mut self, (kind, name): (MakerKind, &str), read: &Read) {
        let owner = format!("{}/{name}", kind.names().0);
        match read {
            Read::Gone => {
                self.told.remove(&owner);
            }
            Read::Owner(found) if found.is_rolled_out() => self.tell(&owner, RestartResult::Restarted, OVER),
            Read::Owner(_) | Read::Unread | Read::Forbidden => self.busy = Some(owner),
        }
    }

    /// Takes in a candidate. What is to be written follows; nothing else may be.
    pub fn saw(&mut self, candidate: &Candidate, read: &Read) -> Option<Restart> {
        use RestartResult::{NotRestarted, Restarting, Waiting};
        let owner = candidate.owner.to_string();
        let (result, words) = match read {
            Read::Gone => (Waiting, GONE.to_owned()),
            Read::Unread => (Waiting, UNREAD.to_owned()),
            Read::Forbidden => (NotRestarted, FORBIDDEN.to_owned()),
            Read::Owner(found) => match found.standing(candidate, self.client_id) {
                Standing::Due(restart) if self.has_room() => return Some(restart),
                Standing::Due(_) => (
                    NotRestarted,
                    "so many others were restarted for this client id: restart it".to_owned(),
                ),
                Standing::Waits(why) => (Waiting, why.to_owned()),
                Standing::Refused(why) => (NotRestarted, why),
                Standing::Restarted => {
                    self.busy = Some(owner.clone());
                    (Restarting, ONCE.to_owned())
                }
            },
        };
        self.tell(&owner, result, &words);
        None
    }

    /// Takes in what became of a restart, at a moment.
    pub fn wrote(&mut self, candidate: &Candidate, written: &Written, now: Timestamp) {
        use RestartResult::{NotRestarted, Restarting, Waiting};
        let owner = candidate.owner.to_string();
        match written {
            Written::Done => {
                let told = Told {
                    result: Restarting,
                    words: UNDER_WAY.to_owned(),
                    at: Some(Time(now)),
                };
                self.told.insert(owner.clone(), told);
                self.busy = Some(owner);
            }
            Written::Overtaken => self.tell(&owner, Waiting, UNREAD),
            Written::Refused(why) => self.tell(&owner, NotRestarted, why),
            Written::Unknown => {
                // Whether it was, its template says at the next look: until then it counts.
                self.tell(&owner, Waiting, UNREAD);
                self.busy = Some(owner);
            }
        }
    }

    /// What the status tells: those that were restarted first, which is what is remembered.
    #[must_use]
    pub fn into_told(self) -> Vec<RestartStatus> {
        let client_id = self.client_id.to_string();
        let mut told: Vec<RestartStatus> = self
            .told
            .into_iter()
            .map(|(owner, told)| RestartStatus {
                owner,
                client_id: client_id.clone(),
                result: told.result,
                restarted_at: told.at,
                message: told.words,
            })
            .collect();
        told.sort_by(|a, b| (!is_done(a.result), &a.owner).cmp(&(!is_done(b.result), &b.owner)));
        told.truncate(limits::TOLD_WORKLOADS_MAX);
        told
    }

    /// Whether one more can be remembered.
    fn has_room(&self) -> bool {
        self.told.values().filter(|told| is_done(told.result)).count() < limits::TOLD_WORKLOADS_MAX
    }

    fn tell(&mut self, owner: &str, result: RestartResult, words: &str) {
        let words = shortened(words, MESSAGE_CHARS_MAX);
        // When it was restarted stays known.
        let before = self.told.remove(owner).filter(|_| is_done(result));
        let at = before.and_then(|before| before.at);
        self.told.insert(owner.to_owned(), Told { result, words, at });
    }
}

const fn is_done(result: RestartResult) -> bool {
    matches!(result, RestartResult::Restarting | RestartResult::Restarted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wio_api::PodsWithoutToken;

    use super::super::fixtures::*;
    use super::*;

    const KIND: MakerKind = MakerKind::Deployment;
    const NOW: Timestamp = Timestamp::MAX;

    fn seen(lacking: &[&str], restarts: Vec<RestartStatus>) -> WorkloadsStatus {
        let lacks = |owner: &&str| PodsWithoutToken {
            owner: (*owner).to_owned(),
            service_account: "orders".to_owned(),
            reason: NoTokenReason::StartedTooEarly,
            message: String::new(),
            pods: 1,
            first_pod: "p".to_owned(),
        };
        WorkloadsStatus {
            lacking: lacking.iter().map(lacks).collect(),
            restarts,
            ..WorkloadsStatus::default()
        }
    }

    fn before(owner: &str, client_id: &str, result: RestartResult) -> RestartStatus {
        RestartStatus {
            owner: owner.to_owned(),
            client_id: client_id.to_owned(),
            result,
            restarted_at: Some(Time(Timestamp::UNIX_EPOCH)),
            message: "before".to_owned(),
        }
    }

    /// Plays a round to its end: each owner is read as it is by default, and each restart carried out. Returns who was restarted, and what is told.
    fn play(lacking: &[&str], previous: Vec<RestartStatus>, held: Option<Held>) -> (Vec<String>, Vec<String>) {
        play_with(lacking, previous, held, &Written::Done)
    }

    fn play_with(
        lacking: &[&str],
        previous: Vec<RestartStatus>,
        held: Option<Held>,
        written: &Written,
    ) -> (Vec<String>, Vec<String>) {
        let (restarted, round) = played(lacking, previous, held, written);
        (restarted, lines(round))
    }

    /// Whom a round restarts whose owners may all be restarted, and the round at its end.
    fn played(
        lacking: &[&str],
        previous: Vec<RestartStatus>,
        held: Option<Held>,
        written: &Written,
    ) -> (Vec<String>, Round) {
        let candidates = lacking.iter().map(|owner| owner.split_once('/').unwrap().1);
        let candidates = candidates.map(|name| candidate_named(KIND, name)).collect();
        let (now, previous) = (seen(lacking, Vec::new()), seen(&[], previous));
        let mut round = Round::begin(OURS.parse().unwrap(), candidates, (&now, Some(&previous)), held);
        let mut restarted = Vec::new();
        while let Some(next) = round.next_to_read() {
            let read = Read::Owner(Box::new(owner(KIND, &json!({}))));
            match next {
                ToRead::Restarted(kind, name) => round.saw_restarted((kind, &name), &read),
                ToRead::Candidate(candidate, _) => {
                    if round.saw(&candidate, &read).is_some() {
                        restarted.push(candidate.owner.to_string());
                        round.wrote(&candidate, written, NOW);
                    }
                }
            }
        }
        (restarted, round)
    }

    fn lines(round: Round) -> Vec<String> {
        let told = round.into_told();
        told.iter()
            .map(|one| format!("{} {:?}", one.owner, one.result))
            .collect()
    }

    #[test]
    fn when_one_was_restarted_is_remembered_and_of_one_that_was_not_nothing_is() {
        let times = |lacking: &[&str], previous: Vec<RestartStatus>| {
            let (_, round) = played(lacking, previous, None, &Written::Done);
            let told = round.into_told().into_iter();
            told.map(|one| one.restarted_at.map(|at| at.0)).collect::<Vec<_>>()
        };
        let before = |result| vec![before("Deployment/a", OURS, result)];
        let then = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(times(&["Deployment/a", "Deployment/b"], vec![]), [Some(NOW), None]);
        // Its rollout is over; or it lacks the token still; or it was over before.
        assert_eq!(times(&[], before(RestartResult::Restarting)), [then]);
        assert_eq!(times(&["Deployment/a"], before(RestartResult::Restarted)), [then]);
        assert_eq!(
            times(&["Deployment/b"], before(RestartResult::Restarted)),
            [then, Some(NOW)]
        );
        // One that only waited has no time, whatever somebody wrote there.
        assert_eq!(times(&["Deployment/a"], before(RestartResult::Waiting)), [Some(NOW)]);
    }

    fn words(round: Round) -> Vec<String> {
        let told = round.into_told().into_iter();
        told.map(|one| one.message).collect()
    }

    #[test]
    fn each_owner_is_told_why_it_is_restarted_or_not() {
        let one = ["Deployment/a"];
        for (held, said) in [
            (Held::NotTold, NOT_TOLD),
            (Held::Suspended, "the binding is suspended"),
            (Held::NotReady, "until the binding is Ready"),
            (Held::Contested, "changes the service account back"),
            (Held::New, "for some minutes"),
        ] {
            let told = words(played(&one, vec![], Some(held), &Written::Done).1);
            assert!(told[0].contains(said), "{told:?}");
        }
        let after = |written| words(played(&one, vec![], None, &written).1).remove(0);
        assert_eq!(after(Written::Done), UNDER_WAY);
        assert_eq!(after(Written::Overtaken), UNREAD);
        assert_eq!(after(Written::Unknown), UNREAD);
        assert_eq!(after(Written::Refused("n".repeat(301))), "n".repeat(MESSAGE_CHARS_MAX));
        let was = |result| vec![before("Deployment/a", OURS, result)];
        assert_eq!(
            words(played(&[], was(RestartResult::Restarting), None, &Written::Done).1),
            [OVER]
        );
        assert_eq!(
            words(played(&one, was(RestartResult::Restarted), None, &Written::Done).1),
            [ONCE]
        );
    }

    #[test]
    fn each_owner_is_told_what_was_found_of_it() {
        let reads = [
            (Read::Gone, "Waiting", GONE),
            (Read::Unread, "Waiting", UNREAD),
            (Read::Forbidden, "NotRestarted", FORBIDDEN),
            (
                Read::Owner(Box::new(owner(KIND, &json!({ "spec": { "paused": true } })))),
                "NotRestarted",
                "it is paused",
            ),
            (
                Read::Owner(Box::new(owner(KIND, &json!({ "status": { "updatedReplicas": 1 } })))),
                "Waiting",
                "a rollout of it is under way: whether its pods have the token then, is seen when it is over",
            ),
        ];
        for (read, result, said) in reads {
            let now = seen(&["Deployment/a"], vec![]);
            let mut round = Round::begin(
                OURS.parse().unwrap(),
                vec![candidate_named(KIND, "a")],
                (&now, None),
                None,
            );
            let Some(ToRead::Candidate(next, _)) = round.next_to_read() else {
                panic!()
            };
            assert_eq!(round.saw(&next, &read), None);
            let told = round.into_told().remove(0);
            assert_eq!(
                (format!("{:?}", told.result).as_str(), told.message.as_str()),
                (result, said)
            );
            assert_eq!((told.client_id.as_str(), told.restarted_at), (OURS, None));
        }
    }

    #[test]
    fn only_those_that_are_restarted_or_wait_are_to_be_looked_at_again_soon() {
        use RestartResult::{NotRestarted, Restarted, Restarting, Waiting};
        let unfinished = |results: &[RestartResult]| {
            let restarts = results.iter().map(|result| before("Deployment/a", OURS, *result));
            is_unfinished(&seen(&[], restarts.collect()))
        };
        assert!(!unfinished(&[]) && !unfinished(&[Restarted, NotRestarted]));
        assert!(unfinished(&[Restarted, Restarting]) && unfinished(&[NotRestarted, Waiting]));
    }

    #[test]
    fn one_is_restarted_after_the_other() {
        let (restarted, told) = play(&["Deployment/a", "Deployment/b"], vec![], None);
        assert_eq!(restarted, ["Deployment/a"]);
        assert_eq!(told, ["Deployment/a Restarting", "Deployment/b Waiting"]);
        // Its pods lack a token still: the next one waits.
        let restarting = before("Deployment/a", OURS, RestartResult::Restarting);
        let (restarted, told) = play(&["Deployment/a", "Deployment/b"], vec![restarting.clone()], None);
        assert_eq!(restarted, [""; 0]);
        assert_eq!(told, ["Deployment/a Restarting", "Deployment/b Waiting"]);
        // They have it, and its rollout is over.
        let (restarted, told) = play(&["Deployment/b"], vec![restarting], None);
        assert_eq!(restarted, ["Deployment/b"]);
        assert_eq!(told, ["Deployment/a Restarted", "Deployment/b Restarting"]);
    }

    #[test]
    fn while_the_rollout_of_one_is_under_way_the_others_wait_and_one_that_is_gone_holds_nobody_up() {
        let restarting = || seen(&[], vec![before("Deployment/a", OURS, RestartResult::Restarting)]);
        let round = || {
            let candidates = vec![candidate_named(KIND, "b")];
            let now = seen(&["Deployment/b"], vec![]);
            let mut round = Round::begin(OURS.parse().unwrap(), candidates, (&now, Some(&restarting())), None);
            assert_eq!(round.next_to_read(), Some(ToRead::Restarted(KIND, "a".to_owned())));
            round
        };
        let mut under_way = round();
        let behind = owner(KIND, &json!({ "status": { "updatedReplicas": 1 } }));
        under_way.saw_restarted((KIND, "a"), &Read::Owner(Box::new(behind)));
        assert_eq!(under_way.next_to_read(), None);
        assert_eq!(lines(under_way), ["Deployment/a Restarting", "Deployment/b Waiting"]);
        let mut gone = round();
        gone.saw_restarted((KIND, "a"), &Read::Gone);
        assert!(matches!(gone.next_to_read(), Some(ToRead::Candidate(..))));
        assert_eq!(lines(gone), [""; 0]);
    }

    #[test]
    fn one_that_the_status_remembers_is_not_restarted_again_though_its_annotation_was_taken_away() {
        for result in [RestartResult::Restarting, RestartResult::Restarted] {
            let (restarted, told) = play(&["Deployment/a"], vec![before("Deployment/a", OURS, result)], None);
            assert_eq!(restarted, [""; 0]);
            assert_eq!(told, ["Deployment/a Restarting"]);
            // For another client id it is.
            let (restarted, _) = play(&["Deployment/a"], vec![before("Deployment/a", OTHER, result)], None);
            assert_eq!(restarted, ["Deployment/a"]);
        }
        for result in [RestartResult::Waiting, RestartResult::NotRestarted] {
            let (restarted, _) = play(&["Deployment/a"], vec![before("Deployment/a", OURS, result)], None);
            assert_eq!(restarted, ["Deployment/a"]);
        }
    }

    #[test]
    fn what_was_restarted_stays_told_while_the_client_id_is_the_same() {
        let was = |id| vec![before("Deployment/a", id, RestartResult::Restarted)];
        assert_eq!(play(&[], was(OURS), None).1, ["Deployment/a Restarted"]);
        assert_eq!(play(&[], was(OTHER), None).1, [""; 0]);
    }

    #[test]
    fn nobody_is_restarted_or_read_while_the_binding_is_held() {
        for (held, result) in [
            (Held::NotTold, "NotRestarted"),
            (Held::Suspended, "Waiting"),
            (Held::NotReady, "Waiting"),
            (Held::Contested, "Waiting"),
            (Held::New, "Waiting"),
        ] {
            let restarting = vec![before("Deployment/b", OURS, RestartResult::Restarting)];
            let (restarted, told) = play(&["Deployment/a"], restarting, Some(held));
            assert_eq!(restarted, [""; 0], "{held:?}");
            let expected = ["Deployment/b Restarting".to_owned(), format!("Deployment/a {result}")];
            assert_eq!(told, expected, "{held:?}");
        }
    }

    #[test]
    fn a_write_that_did_not_happen_lets_the_next_one_be_tried_and_one_of_which_nobody_knows_does_not() {
        let both = ["Deployment/a", "Deployment/b"];
        let refused = Written::Refused("no".to_owned());
        for written in [Written::Overtaken, refused] {
            assert_eq!(play_with(&both, vec![], None, &written).0, both);
        }
        let (tried, told) = play_with(&both, vec![], None, &Written::Unknown);
        assert_eq!(tried, ["Deployment/a"]);
        assert_eq!(told, ["Deployment/a Waiting", "Deployment/b Waiting"]);
    }

    #[test]
    fn one_that_is_annotated_already_counts_as_restarted_though_no_status_tells_of_it() {
        let now = seen(&["Deployment/a", "Deployment/b"], vec![]);
        let candidates = vec![candidate_named(KIND, "a"), candidate_named(KIND, "b")];
        let mut round = Round::begin(OURS.parse().unwrap(), candidates, (&now, None), None);
        let Some(ToRead::Candidate(first, _)) = round.next_to_read() else {
            panic!()
        };
        let annotations = json!({ wio_api::keys::ROLLOUT_ANNOTATION: OURS });
        let annotated = owner(
            KIND,
            &json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } }),
        );
        assert_eq!(round.saw(&first, &Read::Owner(Box::new(annotated))), None);
        assert_eq!(round.next_to_read(), None);
        assert_eq!(lines(round), ["Deployment/a Restarting", "Deployment/b Waiting"]);
    }

    #[test]
    fn who_cannot_be_restarted_is_told_and_holds_nobody_up() {
        let now = seen(&["Job/j", "Deployment/a", "Deployment/b"], vec![]);
        let job = Candidate {
            maker: None,
            ..candidate_named(KIND, "j")
        };
        let candidates = vec![job, candidate_named(KIND, "a"), candidate_named(KIND, "b")];
        let mut round = Round::begin(OURS.parse().unwrap(), candidates, (&now, None), None);
        for read in [Read::Forbidden, Read::Gone] {
            let Some(ToRead::Candidate(next, _)) = round.next_to_read() else {
                panic!()
            };
            assert_eq!(round.saw(&next, &read), None);
        }
        let told = lines(round);
        assert_eq!(
            told,
            [
                "Deployment/a NotRestarted",
                "Deployment/b Waiting",
                "Deployment/j NotRestarted"
            ]
        );
    }

    #[test]
    fn no_more_are_restarted_for_a_client_id_than_can_be_remembered() {
        let many = |n| {
            (0..n)
                .map(|n| before(&format!("Deployment/r{n:02}"), OURS, RestartResult::Restarted))
                .collect()
        };
        assert_eq!(play(&["Deployment/a"], many(19), None).0, ["Deployment/a"]);
        let (restarted, told) = play(&["Deployment/a"], many(20), None);
        assert_eq!((restarted.len(), told.len()), (0, 20));
        assert!(told.iter().all(|one| one.ends_with("Restarted")), "{told:?}");
    }
}
