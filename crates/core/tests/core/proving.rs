//! The proof that a binding is ready: when a token is exchanged, and what an answer means.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use wio_api::{Reason, Verification, VerificationMode};
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::observed::Observed;
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::recorded::RecordedExchange;
use wio_core::verification::{Answer, Exchange, Presented, Proof, Refused};

use crate::given::{accounts_of, desired, managed};
use crate::worlds::World;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn begun() -> Timestamp {
    "2026-11-28T00:00:00Z".parse().unwrap()
}

fn bound(accounts: &[&str], mode: VerificationMode) -> DesiredBinding {
    let mut object = managed(accounts);
    object.spec.verification = Some(Verification { mode });
    desired(&object)
}

fn proven(accounts: &[&str]) -> DesiredBinding {
    bound(accounts, VerificationMode::TokenExchange)
}

fn observed(bound: &DesiredBinding) -> Observed {
    World::as_desired(bound).observe(&accounts_of(bound))
}

/// The outcome of a pass at a time, with what was recorded.
fn outcome(bound: &DesiredBinding, observed: Observed, recorded: &[RecordedExchange], at: Timestamp) -> Outcome {
    let reconciled = Reconciled::new(Desired::Bound(bound.clone()), observed, Vec::new());
    Outcome::Reconciled(Box::new(reconciled)).recalling(recorded, at)
}

fn reasons(outcome: &Outcome) -> Vec<Reason> {
    let problems = outcome.problems();
    problems.iter().map(|problem| problem.disposition.reason()).collect()
}

fn refused(code: u32) -> Answer {
    Answer::Refused(Refused {
        code: Some(code),
        words: "Entra's own words".to_owned(),
        presented: Presented::default(),
    })
}

/// A story of one service account: what each pass recorded is what the next one recalls.
struct Story {
    bound: DesiredBinding,
    recorded: Vec<RecordedExchange>,
    now: Timestamp,
}

impl Story {
    fn begin() -> Self {
        Self {
            bound: proven(&["a"]),
            recorded: Vec::new(),
            now: begun(),
        }
    }

    /// A pass after so long, in which Entra answers this where it is asked; tells what stands between the binding and being ready.
    fn pass(&mut self, after: SignedDuration, answer: &Answer) -> (Vec<Reason>, String) {
        self.now += after;
        let mut outcome = outcome(&self.bound, observed(&self.bound), &self.recorded, self.now);
        let proof = outcome.provable().unwrap();
        for exchange in proof.due() {
            proof.take_in(&exchange, answer);
        }
        self.recorded = recorded_by(&outcome);
        let problems = outcome.problems();
        let words = problems.first().map(|problem| problem.message.clone());
        (reasons(&outcome), words.unwrap_or_default())
    }
}

/// What a status would record.
fn recorded_by(outcome: &Outcome) -> Vec<RecordedExchange> {
    let Outcome::Reconciled(reconciled) = outcome else {
        panic!("{outcome:?}")
    };
    reconciled.proof().unwrap().records().cloned().collect()
}

fn due(proof: &Proof) -> Vec<String> {
    proof
        .due()
        .iter()
        .map(|exchange: &Exchange| exchange.account.to_string())
        .collect()
}

#[test]
fn where_no_proof_is_asked_for_there_is_none() {
    let bound = bound(&["a"], VerificationMode::None);
    let mut none = outcome(&bound, observed(&bound), &[], begun());
    assert!(none.provable().is_none());
    assert_eq!(reasons(&none), []);
    assert!(!none.is_to_be_proven());
    assert!(outcome(&proven(&["a"]), observed(&proven(&["a"])), &[], begun()).is_to_be_proven());
}

#[test]
fn ready_waits_for_each_service_account_and_is_never_claimed_without_a_proof() {
    let bound = proven(&["a", "b"]);
    let forgotten = Reconciled::new(Desired::Bound(bound.clone()), observed(&bound), Vec::new());
    let forgotten = Outcome::Reconciled(Box::new(forgotten));
    assert_eq!(reasons(&forgotten), [Reason::TokenExchangeAwaited], "by nobody's slip");
    let mut outcome = outcome(&bound, observed(&bound), &[], begun());
    let proof = outcome.provable().unwrap();
    assert_eq!(due(proof), ["a", "b"]);
    let first = proof.due().remove(0);
    proof.take_in(&first, &Answer::Passed);
    assert_eq!(due(proof), ["b"]);
    assert_eq!(reasons(&outcome), [Reason::TokenExchangeAwaited]);
}

#[test]
fn nothing_is_exchanged_while_something_else_is_to_be_done_or_for_an_account_that_carries_something_else() {
    let bound = proven(&["a"]);
    let mut seen = observed(&bound);
    let account = seen.service_accounts.values_mut().next().unwrap();
    account.client_id = Some("somebody-elses".to_owned());
    let mut outcome = outcome(&bound, seen, &[], begun());
    assert!(outcome.provable().is_none());
    assert!(
        recorded_by(&outcome).is_empty(),
        "nor could it be: there is no exchange for it"
    );
    let mut suspended = proven(&["a"]);
    suspended.suspended = true;
    let mut outcome = self::outcome(&suspended, observed(&suspended), &[], begun());
    assert_eq!(due(outcome.provable().unwrap()), Vec::<String>::new());
    assert_eq!(reasons(&outcome), [Reason::Suspended]);
}

#[test]
fn what_passed_is_tried_again_within_a_day_and_not_sooner_than_twenty_hours() {
    let mut story = Story::begin();
    assert_eq!(story.pass(MINUTE, &Answer::Passed).0, []);
    let verified = story.recorded[0].verified_at;
    assert_eq!(verified, Some(begun() + MINUTE));
    story.pass(SignedDuration::from_hours(20) - MINUTE, &Answer::Passed);
    assert_eq!(story.recorded[0].verified_at, verified);
    story.pass(SignedDuration::from_hours(4) + MINUTE, &Answer::Passed);
    assert_ne!(story.recorded[0].verified_at, verified);
    let fresh = outcome(&story.bound, observed(&story.bound), &story.recorded, story.now);
    let Outcome::Reconciled(fresh) = fresh else { panic!() };
    let next = fresh.proof().unwrap().next_due().unwrap();
    assert!((20..=24).contains(&(next.as_secs() / 3600)), "{next:?}");
}

#[test]
fn a_refusal_that_passes_by_itself_is_waited_for_until_it_has_had_its_time() {
    for (code, minutes) in [
        (70_021, 10),
        (700_213, 10),
        (700_016, 10),
        (7_000_272, 70),
        (123_456, 10),
    ] {
        let mut story = Story::begin();
        for _ in 0..minutes {
            assert_eq!(
                story.pass(MINUTE, &refused(code)).0,
                [Reason::TokenExchangeAwaited],
                "{code}"
            );
        }
        assert_eq!(
            story.pass(MINUTE, &refused(code)).0,
            [Reason::TokenExchangeRefused],
            "{code}"
        );
        assert_eq!(story.pass(MINUTE, &Answer::Passed).0, [], "{code}");
        assert_eq!(story.recorded[0].pending, None);
    }
}

#[test]
fn a_refusal_that_needs_a_person_does_not_wait_and_says_what_to_do() {
    let mut story = Story::begin();
    let (reasons, words) = story.pass(MINUTE, &refused(90_061));
    assert_eq!(reasons, [Reason::TokenExchangeRefused]);
    assert!(
        words.contains("AADSTS90061") && words.contains("must be public"),
        "{words}"
    );
}

#[test]
fn what_the_token_says_otherwise_than_the_credential_stands_side_by_side() {
    let mut story = Story::begin();
    let answer = Answer::Refused(Refused {
        code: Some(700_211),
        words: String::new(),
        presented: Presented {
            issuer: Some("https://another/".to_owned()),
            ..Presented::default()
        },
    });
    story.pass(MINUTE, &answer);
    let (_, words) = story.pass(MINUTE * 11, &answer);
    let issuer = story.bound.credentials[0].issuer.to_string();
    assert!(
        words.contains("\"https://another/\"") && words.contains(&issuer),
        "{words}"
    );
}

/// That Entra cannot be reached, or is in trouble, says nothing about pods.
#[test]
fn what_could_not_be_tried_again_is_believed_for_two_days() {
    let untried = [
        Answer::NotTried("no way".to_owned()),
        Answer::Forbidden("no".to_owned()),
        refused(90_033),
    ];
    for answer in untried {
        let mut story = Story::begin();
        story.pass(MINUTE, &Answer::Passed);
        assert_eq!(story.pass(SignedDuration::from_hours(25), &answer).0, [], "{answer:?}");
        assert!(story.recorded[0].pending.is_some(), "and it is tried again");
        assert_ne!(story.pass(SignedDuration::from_hours(23), &answer).0, [], "{answer:?}");
        let mut new = Story::begin();
        assert_ne!(new.pass(MINUTE, &answer).0, [], "{answer:?}");
    }
}

fn foreseen(bound: &DesiredBinding, observed: &Observed, recorded: &[RecordedExchange], now: Timestamp) -> Vec<String> {
    let desired = Desired::Bound(bound.clone());
    let accounts = Proof::foreseen(&desired, observed, recorded, now);
    accounts.iter().map(ToString::to_string).collect()
}

/// The plugin tells of an exchange before the operator does it: of the same ones, and of those that follow from what is still to be written.
#[test]
fn whose_tokens_will_be_exchanged_is_foreseen_by_what_will_stand() {
    let bound = proven(&["a", "b"]);
    let seen = observed(&bound);
    let mut first = outcome(&bound, seen.clone(), &[], begun());
    assert_eq!(foreseen(&bound, &seen, &[], begun()), due(first.provable().unwrap()));
    let mut nothing = seen.clone();
    nothing.azure.identity = wio_core::observed::ObservedIdentity::Absent;
    assert_eq!(
        foreseen(&bound, &nothing, &[], begun()),
        ["a", "b"],
        "there is no identity yet"
    );

    let proof = first.provable().unwrap();
    for exchange in proof.due() {
        proof.take_in(&exchange, &Answer::Passed);
    }
    let recorded = recorded_by(&first);
    let none: [&str; 0] = [];
    assert_eq!(foreseen(&bound, &seen, &recorded, begun()), none);
    assert_eq!(
        foreseen(&bound, &nothing, &recorded, begun()),
        ["a", "b"],
        "it is made anew"
    );
    let mut unannotated = seen.clone();
    unannotated.service_accounts.clear();
    assert_eq!(
        foreseen(&bound, &unannotated, &recorded, begun()),
        none,
        "it is put back as it was"
    );
    let mut lacking = seen.clone();
    let wio_core::observed::ObservedIdentity::Present(present) = &mut lacking.azure.identity else {
        panic!()
    };
    present.credentials.clear();
    assert_eq!(
        foreseen(&bound, &lacking, &recorded, begun()),
        none,
        "and so is the credential"
    );
    let day = begun() + SignedDuration::from_hours(25);
    assert_eq!(foreseen(&bound, &seen, &recorded, day), ["a", "b"]);
    let mut suspended = bound.clone();
    suspended.suspended = true;
    assert_eq!(foreseen(&suspended, &seen, &[], begun()), none);
}

#[test]
fn a_proof_is_of_the_facts_that_it_rested_on() {
    let mut story = Story::begin();
    story.pass(MINUTE, &Answer::Passed);
    let mut other = observed(&story.bound);
    let wio_core::observed::ObservedIdentity::Present(present) = &mut other.azure.identity else {
        panic!()
    };
    present.credentials[0].name = "wib-another-credential".parse().unwrap();
    let again = outcome(&story.bound, other, &story.recorded, story.now);
    assert_eq!(recorded_by(&again)[0].verified_at, None);
    assert_eq!(Duration::from_secs(20), wio_core::verification::SETTLING);
}
