//! The proof that a binding is ready: when a token is exchanged, and what an answer means.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{
    Condition, ConditionType, IdentityOrigin, IdentityStatus, Reason, TokenExchangeStatus, Verification,
    VerificationMode, WorkloadIdentityBindingStatus,
};
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::observed::{Observed, ObservedIdentity};
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::plan::plan;
use wio_core::recorded::{RecordedExchange, Rewrites};
use wio_core::sharing::Sharer;
use wio_core::status::{rewrites, told_of, unproven, with_rewrites};
use wio_core::verdict::{Verdict, verdict};
use wio_core::verification::{Answer, Exchange, Presented, Proof, Refused};

use crate::given::{self, EXISTING, accounts_of, desired, existing, lifecycle, managed, sibling};
use crate::plan_roles::made;
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

/// A cluster whose bindings were all proven together must not ask for all of them at once for ever.
#[test]
fn what_passed_together_is_tried_again_one_by_one() {
    let bound = proven(&["a", "b", "c", "d", "e", "f"]);
    let mut first = outcome(&bound, observed(&bound), &[], begun());
    let proof = first.provable().unwrap();
    for exchange in proof.due() {
        proof.take_in(&exchange, &Answer::Passed);
    }
    let recorded = recorded_by(&first);
    let due_after = |minutes| {
        let at = begun() + SignedDuration::from_mins(minutes);
        let mut again = outcome(&bound, observed(&bound), &recorded, at);
        due(again.provable().unwrap()).len()
    };
    let counts: BTreeSet<usize> = (20..=24).map(|hours| due_after(hours * 60)).collect();
    assert!(counts.len() > 2 && counts.contains(&6), "{counts:?}");
    assert_eq!(due_after(20 * 60 - 1), 0);
}

/// Not in the same few seconds of each minute.
#[test]
fn what_passed_is_tried_again_at_any_second() {
    let seconds: BTreeSet<u64> = (0..200)
        .map(|later| {
            let mut story = Story::begin();
            story.pass(SignedDuration::from_secs(later), &Answer::Passed);
            let outcome = outcome(&story.bound, observed(&story.bound), &story.recorded, story.now);
            let Outcome::Reconciled(passed) = outcome else { panic!() };
            passed.proof().unwrap().next_due().unwrap().as_secs() % 60
        })
        .collect();
    assert!(seconds.len() > 40, "{seconds:?}");
}

/// What the status says of the proof after a pass with this answer.
fn condition(story: &mut Story, after: SignedDuration, answer: &Answer) -> String {
    story.pass(after, answer);
    let outcome = outcome(&story.bound, observed(&story.bound), &story.recorded, story.now);
    verified(&outcome)
}

fn verified(outcome: &Outcome) -> String {
    let status = crate::plan_roles::made(outcome, None);
    let told = status.condition(ConditionType::TokenExchangeVerified).unwrap();
    format!("{} {}: {}", told.status, told.reason, told.message)
}

#[test]
fn the_status_says_whether_a_token_was_had_and_whether_that_is_still_believed() {
    let mut story = Story::begin();
    let waits = condition(&mut story, MINUTE, &refused(700_016));
    assert!(
        waits.starts_with("Unknown TokenExchangeAwaited: Microsoft Entra refuses"),
        "{waits}"
    );
    let passed = condition(&mut story, MINUTE, &Answer::Passed);
    assert!(
        passed.starts_with(
            "True Succeeded: Microsoft Entra gave a token of the identity in exchange for that of 1 service account: a. "
        ),
        "{passed}"
    );
    let untried = condition(
        &mut story,
        SignedDuration::from_hours(25),
        &Answer::NotTried("no route".to_owned()),
    );
    assert!(
        untried.starts_with("Unknown TokenExchangeNotTried: No token was exchanged")
            && untried.ends_with("The last exchange passed and is believed for two days."),
        "{untried}"
    );
    let refused = condition(&mut story, SignedDuration::from_hours(1), &refused(90_061));
    assert!(refused.starts_with("False TokenExchangeRefused: "), "{refused}");
}

#[test]
fn while_something_else_is_to_be_done_the_proof_is_not_spoken_of() {
    let bound = proven(&["a"]);
    let fault = || {
        wio_core::fault::Fault::Blocked(wio_core::fault::Blocked {
            reason: Reason::RoleAccessDenied,
            message: "x".to_owned(),
        })
    };
    let not_asked = "Unknown RoleAccessDenied: Not asked for while something else is to be done; Ready says what.";
    let faulty = |seen| {
        Outcome::Reconciled(Box::new(Reconciled::new(
            Desired::Bound(bound.clone()),
            seen,
            vec![fault()],
        )))
    };
    assert_eq!(verified(&faulty(observed(&bound)).recalling(&[], begun())), not_asked);
    assert_eq!(verified(&faulty(observed(&bound))), not_asked);
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

/// What is said of an answer while it may pass by itself, and when it had its time.
fn said_of(answer: &Answer) -> (String, String) {
    let mut story = Story::begin();
    let (_, first) = story.pass(MINUTE, answer);
    let (_, last) = story.pass(MINUTE * 71, answer);
    (first, last)
}

fn answered(code: Option<u32>, words: &str, presented: Presented) -> Answer {
    Answer::Refused(Refused {
        code,
        words: words.to_owned(),
        presented,
    })
}

#[test]
fn every_refusal_says_what_it_means_and_what_to_do() {
    let refuses = "Microsoft Entra refuses the token of service account a: ";
    let waits = " Entra may not know yet what was written a moment ago; the operator asks again, with growing pauses";
    let bound = proven(&["a"]);
    let credential = &bound.credentials[0].name;
    for (code, what, next) in [
        (
            Some(700_016),
            "AADSTS700016, no such application in the tenant.",
            "Nobody with client id 00000000-0000-0000-0000-00000000c000 is in tenant ".to_owned(),
        ),
        (
            Some(70_021),
            "AADSTS70021, no federated credential matches; the identity has none.",
            format!(
                "The token says what federated credential {credential} is recorded with, so somebody edited or deleted it in Azure: "
            ),
        ),
        (
            Some(7_000_272),
            "AADSTS7000272, the key that signed the token is not known.",
            "A new cluster, or new keys of one: ".to_owned(),
        ),
        (
            Some(123_456),
            "AADSTS123456: Its own words.",
            "Microsoft's words: https://login.microsoftonline.com/error?code=123456".to_owned(),
        ),
        (None, "Its own words.", "The operator asks again, seldom".to_owned()),
    ] {
        let (first, last) = said_of(&answered(code, " Its own words... ", Presented::default()));
        assert_eq!(first, format!("{refuses}{what}{waits}"));
        let told = format!("{refuses}{what} {next}");
        assert!(last.starts_with(&told), "{last}\nis not\n{told}");
    }
    let (at_once, _) = said_of(&answered(Some(700_024), "", Presented::default()));
    assert_eq!(
        at_once,
        format!(
            "{refuses}AADSTS700024, the token is too old or not yet valid. The token is a moment old: set the clock of the API server right"
        )
    );
}

#[test]
fn only_what_the_token_says_otherwise_is_told_of_its_claims() {
    let bound = proven(&["a"]);
    let wanted = &bound.credentials[0];
    let same = || Presented {
        issuer: Some(wanted.issuer.to_string()),
        subject: Some(wanted.subject.to_string()),
        audiences: vec![wanted.audience.to_string()],
    };
    let told = |presented| said_of(&answered(Some(700_213), "", presented)).1;
    assert!(told(same()).contains("The token says what federated credential"));
    let other = told(Presented {
        subject: Some("system:serviceaccount:shop:b".to_owned()),
        audiences: vec!["x".repeat(301)],
        ..same()
    });
    let differ = format!(
        "They differ: the token's subject is \"system:serviceaccount:shop:b\", the federated credential's \"{}\"; the token's audience is \"{} …\", ",
        wanted.subject,
        "x".repeat(300)
    );
    assert!(other.contains(&differ), "{other}");
    let long = told(Presented {
        audiences: vec!["x".repeat(300)],
        ..same()
    });
    assert!(long.contains(&format!("\"{}\"", "x".repeat(300))), "all of it: {long}");
}

#[test]
fn what_proves_nothing_says_why_and_who_has_to_act() {
    for (answer, reason, words) in [
        (
            Answer::NotTried("no route to host.".to_owned()),
            Reason::TokenExchangeNotTried,
            "no token was exchanged for service account a: no route to host. The operator tries again by itself",
        ),
        (
            Answer::Forbidden("serviceaccounts/token is forbidden.".to_owned()),
            Reason::TokenRequestForbidden,
            "the operator may not mint a token of service account a: serviceaccounts/token is forbidden. Set verification.enabled of \
             the chart, or apply config/verification; or set spec.verification.mode to None",
        ),
        (
            Answer::AccountGone,
            Reason::TokenExchangeAwaited,
            "service account a is not there any more; the operator looks again",
        ),
    ] {
        let (reasons, told) = Story::begin().pass(MINUTE, &answer);
        assert_eq!((reasons, told.as_str()), (vec![reason], words));
    }
}

#[test]
fn the_worst_of_several_answers_comes_first() {
    let bound = proven(&["a", "b", "c", "d"]);
    let mut outcome = outcome(&bound, observed(&bound), &[], begun());
    let proof = outcome.provable().unwrap();
    let answers = [
        Answer::AccountGone,
        Answer::NotTried("no".to_owned()),
        Answer::Forbidden("no".to_owned()),
        refused(90_061),
    ];
    for (exchange, answer) in proof.due().iter().zip(&answers) {
        proof.take_in(exchange, answer);
    }
    let waits = [
        Reason::TokenExchangeAwaited,
        Reason::TokenExchangeNotTried,
        Reason::TokenRequestForbidden,
        Reason::TokenExchangeRefused,
    ];
    assert_eq!(proof.waits_for().collect::<Vec<_>>(), waits);
    assert_eq!(proof.next_due(), None, "none passed");
    let worst: Vec<Reason> = waits.into_iter().rev().collect();
    assert_eq!(reasons(&outcome), worst);
}

#[test]
fn a_binding_of_which_one_account_is_not_as_it_should_be_is_not_proven_by_the_others() {
    let mut bound = proven(&["a", "b"]);
    let mut first = outcome(&bound, observed(&bound), &[], begun());
    let proof = first.provable().unwrap();
    for exchange in proof.due() {
        proof.take_in(&exchange, &Answer::Passed);
    }
    let recorded = recorded_by(&first);
    bound.suspended = true;
    let mut seen = observed(&bound);
    seen.service_accounts.values_mut().next().unwrap().client_id = Some("x".to_owned());
    let told = verified(&outcome(&bound, seen, &recorded, begun()));
    assert!(
        told.starts_with("Unknown Suspended: Spec.suspend is true and Ready is not proven")
            || told.starts_with("Unknown Suspended: spec.suspend"),
        "{told}"
    );
    let whole = verified(&outcome(&bound, observed(&bound), &recorded, begun()));
    assert!(whole.starts_with("True Succeeded"), "{whole}");
}

#[test]
fn a_proof_of_a_suspended_binding_is_believed_and_nothing_waits_for_a_token() {
    let mut story = Story::begin();
    story.pass(MINUTE, &Answer::Passed);
    story.bound.suspended = true;
    let later = story.now + SignedDuration::from_hours(100);
    let mut outcome = outcome(&story.bound, observed(&story.bound), &story.recorded, later);
    assert_eq!(reasons(&outcome), []);
    let proof = outcome.provable().unwrap();
    assert_eq!((proof.next_due(), proof.waits_for().count()), (None, 0));
    story.bound.suspended = false;
    let mut outcome = self::outcome(&story.bound, observed(&story.bound), &story.recorded, later);
    assert_eq!(outcome.provable().unwrap().next_due(), Some(Duration::ZERO), "long ago");
    let problems = outcome.problems();
    assert!(problems[0].message.contains("more than two days old"), "{problems:?}");
}

/// A status with these conditions, each with its value, and as many exchanges.
fn told(conditions: &[(&str, &str)], exchanges: usize) -> WorkloadIdentityBindingStatus {
    let condition = |(kind, value): &(&str, &str)| Condition {
        type_: (*kind).to_owned(),
        status: (*value).to_owned(),
        reason: "Any".to_owned(),
        message: "any".to_owned(),
        observed_generation: Some(1),
        last_transition_time: Time(begun()),
    };
    let exchange = |n: usize| TokenExchangeStatus {
        service_account: format!("a{n}"),
        facts: "facts".to_owned(),
        verified_at: None,
        pending: None,
    };
    WorkloadIdentityBindingStatus {
        conditions: conditions.iter().map(condition).collect(),
        token_exchanges: (0..exchanges).map(exchange).collect(),
        ..WorkloadIdentityBindingStatus::default()
    }
}

/// What each condition of a status says.
fn says(status: &WorkloadIdentityBindingStatus) -> Vec<(&str, &str, Option<i64>)> {
    let conditions = status.conditions.iter();
    conditions
        .map(|one| (one.type_.as_str(), one.status.as_str(), one.observed_generation))
        .collect()
}

#[test]
fn a_status_that_strikes_a_proof_out_says_that_the_binding_is_not_ready() {
    let whole = [
        ("Ready", "True"),
        ("IdentityReady", "True"),
        ("TokenExchangeVerified", "True"),
    ];
    let before = told(&whole, 2);
    let later = begun() + MINUTE;
    let life = lifecycle(2, false);
    let asks = Desired::Bound(proven(&["a"]));
    let next = unproven(told(&whole, 1), Some(&before), (&asks, &life), later);
    let expected = [
        ("Ready", "Unknown", Some(2)),
        ("Reconciling", "True", Some(2)),
        ("IdentityReady", "True", Some(1)),
        ("TokenExchangeVerified", "Unknown", Some(2)),
    ];
    assert_eq!(says(&next), expected);
    assert_eq!((next.token_exchanges.len(), next.observed_generation), (1, Some(2)));
    assert!(next.conditions[0].reason == Reason::TokenExchangeAwaited.as_str());
    assert_eq!(next.conditions[0].last_transition_time.0, later);
    let does_not = Desired::Bound(bound(&["a"], VerificationMode::None));
    let unready = told(&[("Ready", "False")], 2);
    for (previous, announced, desired) in [
        (Some(&before), told(&whole, 2), &asks),
        (Some(&before), told(&whole, 1), &does_not),
        (Some(&unready), told(&[("Ready", "False")], 1), &asks),
        (None, told(&[], 0), &asks),
    ] {
        assert_eq!(
            unproven(announced.clone(), previous, (desired, &life), later),
            announced
        );
    }
}

fn at(seconds: i64) -> Timestamp {
    begun() + SignedDuration::from_secs(seconds)
}

fn rewritten(account: &str, seconds: i64) -> Rewrites {
    let mut rewrites = Rewrites::default();
    rewrites.note(&account.parse().unwrap(), at(seconds));
    rewrites
}

/// The time orders and measures nothing: whoever wrote may have had another clock.
#[test]
fn what_was_proven_before_another_binding_wrote_the_credential_is_proven_once_more_whatever_the_clocks_say() {
    for ahead in [0, 90, 6000] {
        let mut story = Story::begin();
        story.pass(MINUTE, &Answer::Passed);
        let mut asked_after = |rewrites: Rewrites| {
            story.now += MINUTE;
            let mut outcome = outcome(&story.bound, observed(&story.bound), &story.recorded, story.now);
            let proof = outcome.provable().unwrap();
            proof.hear(&rewrites);
            let due = proof.due();
            for exchange in &due {
                proof.take_in(exchange, &Answer::Passed);
            }
            story.recorded = recorded_by(&outcome);
            due.len()
        };
        assert_eq!(asked_after(rewritten("b", 600)), 0, "another account's");
        assert_eq!(asked_after(rewritten("a", 59)), 0, "one of before");
        assert_eq!(asked_after(rewritten("a", 60 + ahead)), 1, "{ahead}");
        assert_eq!(
            asked_after(rewritten("a", 60 + ahead)),
            0,
            "{ahead}: it is proven since"
        );
        assert_eq!(
            asked_after(rewritten("a", 660 + ahead)),
            1,
            "{ahead}: written once more"
        );
    }
}

#[test]
fn what_others_wrote_has_time_to_arrive_before_a_token_is_asked_for() {
    let bound = proven(&["a"]);
    let mut outcome = outcome(&bound, observed(&bound), &[], at(70));
    let proof = outcome.provable().unwrap();
    assert_eq!(proof.settles_within(), Duration::ZERO);
    proof.hear(&rewritten("a", 65));
    assert_eq!(proof.settles_within(), Duration::from_secs(15));
    proof.hear(&rewritten("a", 71));
    assert_eq!(proof.settles_within(), Duration::from_secs(20));
    proof.hear(&rewritten("a", 500));
    assert_eq!(
        proof.settles_within(),
        Duration::ZERO,
        "a clock that is ahead says nothing"
    );
}

/// Another binding that has the same service accounts by the same identity, and told when its proof was given.
fn beside(bound: &DesiredBinding, proofs: Option<&[(&str, i64)]>) -> Desired {
    let proofs = proofs.map(|all| {
        let all = all.iter();
        all.map(|(account, seconds)| (account.parse().unwrap(), at(*seconds)))
            .collect()
    });
    let sharer = Sharer {
        proofs,
        ..sibling(bound)
    };
    Desired::Bound(given::beside(bound.clone(), given::claims_of(bound), vec![sharer]))
}

#[test]
fn a_credential_on_which_a_proof_of_another_binding_rests_is_told_of_before_it_is_written() {
    let bound = desired(&managed(&["a"]));
    let mut seen = observed(&bound);
    let ObservedIdentity::Present(present) = &mut seen.azure.identity else {
        panic!()
    };
    present.credentials[0].audiences = vec!["api://else".to_owned()];
    let told = |proofs: Option<&[(&str, i64)]>, before: Option<&WorkloadIdentityBindingStatus>, now: i64| {
        let desired = beside(&bound, proofs);
        let planned = plan(&desired, &seen);
        assert!(!planned.grants.is_empty(), "{planned:?}");
        let rewrites = rewrites(before, &desired, &planned, at(now));
        let heard: Vec<Rewrites> = told_of(&desired, &rewrites, at(now))
            .into_iter()
            .map(|(_, all)| all)
            .collect();
        (with_rewrites(None, before, &rewrites), heard)
    };
    assert_eq!(
        told(None, None, 5),
        (None, Vec::new()),
        "who asks for no proof hears nothing"
    );
    let (noted, heard) = told(Some(&[("a", 3)]), None, 5);
    let noted = noted.unwrap();
    let when = |status: &WorkloadIdentityBindingStatus| status.credential_rewrites[0].at.0;
    assert_eq!((when(&noted), noted.credential_rewrites.len()), (at(5), 1));
    assert_eq!(heard, [rewritten("a", 5)]);
    let (again, heard) = told(Some(&[("a", 3)]), Some(&noted), 9);
    assert_eq!(
        (again, heard),
        (None, vec![rewritten("a", 9)]),
        "tried again, and noted once"
    );
    let (later, _) = told(Some(&[("a", 50)]), Some(&noted), 9);
    assert_eq!(
        when(&later.unwrap()),
        at(51),
        "after what is proven, whatever the clock says"
    );
    let (unproven, _) = told(Some(&[]), None, 5);
    assert_eq!(when(&unproven.unwrap()), at(5), "a proof may be under way");
}

#[test]
fn a_rewrite_is_told_of_for_two_days_and_of_what_is_still_asked_for() {
    let mut all = rewritten("a", 0);
    all.merge(&rewritten("b", 3600));
    let lasting = |hours: i64, asked: &str| {
        let all = all.lasting(at(hours * 3600), |account| asked.contains(account.as_str()));
        all.iter()
            .map(|(account, _)| account.to_string())
            .collect::<Vec<_>>()
            .concat()
    };
    assert_eq!(
        [lasting(47, "ab"), lasting(48, "ab"), lasting(49, "ab")],
        ["ab", "b", ""]
    );
    assert_eq!(lasting(1, "b"), "b");
}

/// A status would grow with each service account that its binding ever had.
#[test]
fn a_status_forgets_the_rewrites_of_service_accounts_that_its_spec_gave_up() {
    let bound = desired(&managed(&["a"]));
    let mut all = rewritten("a", 0);
    all.merge(&rewritten("b", 0));
    let before = WorkloadIdentityBindingStatus {
        credential_rewrites: all.to_status(),
        ..given::written()
    };
    let outcome = outcome(&bound, observed(&bound), &[], at(0));
    let after = made(&outcome, Some(&before));
    assert_eq!(after.credential_rewrites, rewritten("a", 0).to_status());
}

/// Also of one that goes, or may have nothing any more: what it wrote it wrote.
#[test]
fn what_a_neighbour_tells_of_is_heard_from_its_status() {
    let mut object = managed(&["a"]);
    object.spec.verification = Some(Verification {
        mode: VerificationMode::TokenExchange,
    });
    let heard = |change: &dyn Fn(&mut wio_api::WorkloadIdentityBinding)| {
        let mut other = object.clone();
        other.metadata.name = Some("other".to_owned());
        other.metadata.uid = Some("other-uid".to_owned());
        other.status = Some(WorkloadIdentityBindingStatus {
            credential_rewrites: rewritten("a", 60).to_status(),
            ..WorkloadIdentityBindingStatus::default()
        });
        change(&mut other);
        let Verdict::Pursue(desired) = verdict(&given::case_beside(&object, &[other], given::rules())) else {
            panic!()
        };
        let Desired::Bound(bound) = *desired else { panic!() };
        let recorded = {
            let mut first = outcome(&proven(&["a"]), observed(&proven(&["a"])), &[], at(60));
            let proof = first.provable().unwrap();
            for exchange in proof.due() {
                proof.take_in(&exchange, &Answer::Passed);
            }
            recorded_by(&first)
        };
        due(outcome(&bound, observed(&bound), &recorded, at(70)).provable().unwrap()).len()
    };
    assert_eq!(heard(&|_| ()), 1);
    assert_eq!(
        heard(&|other| other.metadata.deletion_timestamp = Some(Time(begun()))),
        1
    );
    assert_eq!(heard(&|other| other.status = None), 0);
    assert_eq!(
        heard(&|other| other.metadata.namespace = Some("elsewhere".to_owned())),
        0
    );
    let has = |id: &str| {
        let id = id.to_owned();
        move |other: &mut wio_api::WorkloadIdentityBinding| {
            other.status.as_mut().unwrap().identity = Some(IdentityStatus {
                resource_id: id.clone(),
                name: String::new(),
                client_id: None,
                principal_id: None,
                tenant_id: None,
                origin: IdentityOrigin::Created,
            });
        }
    };
    let own = desired(&object).granted.identity().to_string();
    assert_eq!(heard(&has(&own)), 1);
    assert_eq!(
        heard(&has(EXISTING)),
        0,
        "this one's proof rests on no credential there"
    );
}

/// Trust that is written anew must be proved anew, so whoever writes tells each one whose proof rests on it. A spec that asks for a proof may wait for its first token
/// right now, and a status that tells of a proof says Ready by it, whatever the spec says by now.
#[test]
fn a_neighbour_rests_on_its_trust_when_its_spec_asks_for_a_proof_or_its_status_tells_of_one() {
    let token = |verified_at: Option<i64>| TokenExchangeStatus {
        service_account: "a".to_owned(),
        facts: "facts".to_owned(),
        verified_at: verified_at.map(|seconds| Time(at(seconds))),
        pending: None,
    };
    let proofs = |mode: VerificationMode, exchanges: Vec<TokenExchangeStatus>| {
        let other = given::object_of(&desired(&existing(&["a"]))).status(WorkloadIdentityBindingStatus {
            token_exchanges: exchanges,
            ..given::written()
        });
        let mut other = other.build();
        other.metadata.name = Some("other".to_owned());
        other.metadata.uid = Some("other-uid".to_owned());
        other.spec.verification = Some(Verification { mode });
        let Verdict::Pursue(desired) = verdict(&given::case_beside(&existing(&["a"]), &[other], given::rules())) else {
            panic!()
        };
        desired.sharing().sharers()[0].proofs.clone()
    };
    let given = |seconds: i64| BTreeMap::from([("a".parse().unwrap(), at(seconds))]);
    let (none, asked) = (VerificationMode::None, VerificationMode::TokenExchange);
    assert_eq!(proofs(none, Vec::new()), None);
    assert_eq!(
        proofs(asked, Vec::new()),
        Some(BTreeMap::new()),
        "a token may be under way"
    );
    assert_eq!(proofs(asked, vec![token(None)]), Some(BTreeMap::new()));
    assert_eq!(proofs(asked, vec![token(Some(5))]), Some(given(5)));
    assert_eq!(
        proofs(none, vec![token(Some(5))]),
        Some(given(5)),
        "its status still says so"
    );
}
