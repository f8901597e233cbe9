//! Elections: candidates with clocks of their own, pauses, lost answers and partitions, and one record.

use std::time::Duration;

use proptest::prelude::*;
use wio_core::election::{Election, Record, Step, Terms, Written};

const LEASE: Duration = Duration::from_secs(30);
const MS: u64 = 1;

fn terms() -> Terms {
    Terms::new(LEASE)
}

fn record(holder: &str, version: &str) -> Record {
    Record {
        holder: holder.to_owned(),
        duration: LEASE,
        version: version.to_owned(),
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn leader() -> Election {
    let mut election = Election::new("a".to_owned(), terms());
    election.saw(secs(0), Some(record("", "1")));
    assert_eq!(election.next(secs(0)), Step::Hold("1".to_owned()));
    election.wrote(secs(0), secs(1), Written::Stands("2".to_owned()));
    election
}

#[test]
fn a_lease_that_nobody_holds_is_taken_at_once_and_renewed() {
    let election = leader();
    assert_eq!(election.leads_until(), Some(secs(29)), "from before it was sent");
    assert_eq!(election.next(secs(1)), Step::Wait(secs(4)));
    assert_eq!(election.next(secs(5)), Step::Hold("2".to_owned()));
}

#[test]
fn somebody_elses_lease_is_taken_when_it_stood_unchanged_for_all_of_its_time() {
    let mut election = Election::new("b".to_owned(), terms());
    election.saw(secs(100), Some(record("a", "1")));
    assert_eq!(election.next(secs(100)), Step::Wait(LEASE));
    election.saw(secs(120), Some(record("a", "2")));
    election.saw(secs(140), Some(record("a", "2")));
    assert_eq!(election.next(secs(149)), Step::Wait(secs(1)), "from the last change");
    assert_eq!(election.next(secs(150)), Step::Hold("2".to_owned()));
    election.saw(secs(150), Some(record("", "3")));
    assert_eq!(election.next(secs(150)), Step::Hold("3".to_owned()));
}

/// Whoever holds it by longer terms counts on them.
#[test]
fn the_terms_of_the_holder_hold_when_they_are_longer() {
    let mut election = Election::new("b".to_owned(), terms());
    let held = Record {
        duration: secs(60),
        ..record("a", "1")
    };
    election.saw(secs(0), Some(held));
    assert_eq!(election.next(secs(59)), Step::Wait(secs(1)));
}

/// Its holder may not have heard yet that somebody deleted it.
#[test]
fn a_lease_that_is_not_there_is_made_and_taken_after_all_of_its_time() {
    let mut election = Election::new("b".to_owned(), terms());
    assert_eq!(election.next(secs(0)), Step::Look);
    election.saw(secs(1), None);
    assert_eq!(election.next(secs(1)), Step::Create);
    election.saw(secs(2), Some(record(Election::NOBODY_KNOWN, "1")));
    assert_eq!(election.next(secs(2)), Step::Wait(LEASE));
    assert_eq!(election.next(secs(32)), Step::Hold("1".to_owned()));
}

#[test]
fn a_leader_whose_renewals_get_no_answer_tries_again_and_ends_in_time() {
    let mut election = leader();
    election.wrote(secs(5), secs(10), Written::Unknown);
    assert_eq!(election.next(secs(11)), Step::Hold("2".to_owned()));
    // The first one was carried out, though its answer was lost.
    election.wrote(secs(11), secs(12), Written::Overtaken);
    assert_eq!(election.next(secs(12)), Step::Look);
    election.saw(secs(13), Some(record("a", "3")));
    assert_eq!(election.leads_until(), Some(secs(29)), "a look renews nothing");
    assert_eq!(election.next(secs(13)), Step::Hold("3".to_owned()));
    assert_eq!(election.next(secs(29)), Step::Lost);
}

#[test]
fn whoever_hears_nothing_waits_a_thirtieth_of_the_lease() {
    let pause = LEASE / 30;
    let mut election = leader();
    election.wrote(secs(5), secs(10), Written::Unknown);
    assert_eq!(election.next(secs(10)), Step::Wait(pause));
    assert_eq!(election.next(secs(10) + pause), Step::Hold("2".to_owned()));
    let mut candidate = Election::new("b".to_owned(), terms());
    candidate.saw_nothing(secs(1));
    assert_eq!(candidate.next(secs(1)), Step::Wait(pause));
    assert_eq!(candidate.next(secs(1) + pause), Step::Look);
}

#[test]
fn a_write_is_sent_while_two_thirds_of_the_lease_are_left() {
    assert_eq!(terms().write_limit(), LEASE * 2 / 3);
}

#[test]
fn who_leads_is_what_the_record_says() {
    let mut election = Election::new("a".to_owned(), terms());
    assert_eq!(election.holder(), None);
    election.saw(secs(0), Some(record("b", "1")));
    assert_eq!(election.holder(), Some("b"));
    election.saw(secs(1), Some(record("", "2")));
    assert_eq!(election.holder(), None, "it was given back");
    election.saw(secs(2), None);
    assert_eq!(election.holder(), None);
}

#[test]
fn a_leader_that_sees_another_or_no_record_has_lost() {
    for shown in [Some(record("b", "7")), None] {
        let mut election = leader();
        election.wrote(secs(5), secs(6), Written::Overtaken);
        election.saw(secs(6), shown);
        assert_eq!(election.next(secs(6)), Step::Lost);
        assert_eq!(election.leads_until(), None);
        assert_eq!(election.give_up(), None, "it is not ours to release");
    }
}

/// Another one may have led meanwhile, and may have the record yet.
#[test]
fn a_leader_that_has_lost_gives_nothing_up_though_the_record_names_it_again() {
    let mut election = leader();
    election.saw(secs(6), Some(record("b", "7")));
    election.saw(secs(7), Some(record("a", "8")));
    assert_eq!(election.next(secs(7)), Step::Lost);
    assert_eq!(election.give_up(), None);
}

#[test]
fn whoever_gives_up_leads_no_more_whatever_becomes_of_the_record() {
    let mut election = leader();
    assert_eq!(election.give_up(), Some("2".to_owned()));
    assert_eq!(election.leads_until(), None);
    assert_eq!(election.next(secs(2)), Step::Lost);
    let mut candidate = Election::new("b".to_owned(), terms());
    candidate.saw(secs(0), Some(record("a", "2")));
    assert_eq!(candidate.give_up(), None);
}

#[test]
fn a_write_that_is_admitted_ends_before_the_lease_does() {
    for seconds in 1..200 {
        let terms = Terms::new(secs(seconds));
        assert!(terms.held() < terms.duration());
        assert!(
            terms.write_limit() + terms.renewal() < terms.held(),
            "a renewal may fail"
        );
    }
}

/// One candidate in the simulated world, with a clock of its own.
struct Candidate {
    election: Election,
    offset: u64,
    /// Its clock runs faster or slower by so many thousandths.
    rate: i64,
    asleep_until: u64,
    /// What is on its way, and when it arrives: (kind, sent by its own clock, version).
    flying: Option<Flying>,
    /// When its answer arrives.
    answer: Option<(u64, Duration, Answer)>,
    name: String,
}

struct Flying {
    name: String,
    arrives: u64,
    lost: bool,
    sent: Duration,
    step: Step,
    back: u64,
}

enum Answer {
    Saw(Option<Record>),
    Failed,
    Wrote(Written),
}

impl Candidate {
    fn clock(&self, now: u64) -> Duration {
        let ran = i64::try_from(now).unwrap() * (1000 + self.rate) / 1000;
        Duration::from_millis(self.offset + u64::try_from(ran).unwrap())
    }

    fn leads(&self, now: u64) -> bool {
        self.election.leads_until().is_some_and(|until| self.clock(now) < until)
    }

    fn hear(&mut self, now: u64) {
        let at = self.clock(now);
        match self.answer.take_if(|(arrives, ..)| *arrives <= now) {
            Some((_, _, Answer::Saw(record))) => self.election.saw(at, record),
            Some((_, _, Answer::Failed)) => self.election.saw_nothing(at),
            Some((_, sent, Answer::Wrote(written))) => self.election.wrote(sent, at, written),
            None => {}
        }
    }

    fn act(&mut self, now: u64, (there, back, lost): (u64, u64, bool)) {
        if self.flying.is_some() || self.answer.is_some() {
            return;
        }
        let sent = self.clock(now);
        let step = self.election.next(sent);
        if matches!(step, Step::Look | Step::Create | Step::Hold(_)) {
            let arrives = now + there;
            self.flying = Some(Flying {
                name: self.name.clone(),
                arrives,
                lost,
                sent,
                step,
                back,
            });
        }
    }

    fn arrive(&mut self, now: u64, server: &mut (Option<Record>, u64)) {
        let Some(flying) = self.flying.take_if(|flying| flying.arrives <= now) else {
            return;
        };
        let (stored, version) = server;
        let is_look = flying.step == Step::Look;
        let stands = match &flying.step {
            Step::Create => stored.is_none(),
            Step::Hold(expected) => stored.as_ref().is_some_and(|stored| stored.version == *expected),
            Step::Look | Step::Wait(_) | Step::Lost => false,
        };
        let answer = if is_look {
            Answer::Saw(stored.clone())
        } else if stands && flying.step == Step::Create {
            *version += 1;
            *stored = Some(record(Election::NOBODY_KNOWN, &version.to_string()));
            Answer::Saw(stored.clone())
        } else if stands {
            *version += 1;
            *stored = Some(record(&flying.name, &version.to_string()));
            Answer::Wrote(Written::Stands(version.to_string()))
        } else {
            Answer::Wrote(Written::Overtaken)
        };
        let answer = match answer {
            _ if flying.lost && is_look => Answer::Failed,
            _ if flying.lost => Answer::Wrote(Written::Unknown),
            answer => answer,
        };
        // A process that ended hears nothing.
        if flying.name == self.name {
            self.answer = Some((now + flying.back, flying.sent, answer));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pauses, slow and lost answers, clocks that start anywhere and differ by a hundredth, a record that is deleted: never do two lead.
    #[test]
    fn never_do_two_lead_at_one_moment(
        rates in prop::array::uniform2(-10_i64..=10),
        offsets in prop::array::uniform2(0_u64..1_000_000_000),
        events in prop::collection::vec((0_u8..12, 1_u64..45_000, 0_usize..2), 1..60),
    ) {
        let mut candidates: Vec<Candidate> = ["a", "b"]
            .into_iter()
            .zip(rates.into_iter().zip(offsets))
            .map(|(name, (rate, offset))| Candidate {
                election: Election::new(name.to_owned(), terms()),
                offset,
                rate,
                asleep_until: 0,
                flying: None,
                answer: None,
                name: name.to_owned(),
            })
            .collect();
        let mut server: (Option<Record>, u64) = (Some(record("", "0")), 0);
        let mut now = 0;
        for (event, millis, which) in events {
            let mut way = (20, 20, false);
            match event {
                0 | 1 => candidates[which].asleep_until = now + millis,
                2 => way = (millis, 20, false),
                3 => way = (20, millis, false),
                4 | 5 => way = (20, 5_000, true),
                6 => server.0 = None,
                7 => if let Some(stored) = &mut server.0 {
                    server.1 += 1;
                    *stored = Record { version: server.1.to_string(), ..stored.clone() };
                },
                _ => {}
            }
            let until = now + millis;
            while now < until {
                now += 100 * MS;
                for candidate in &mut candidates {
                    // What it sent arrives while it sleeps.
                    candidate.arrive(now, &mut server);
                    if candidate.asleep_until <= now {
                        candidate.hear(now);
                        if candidate.election.next(candidate.clock(now)) == Step::Lost {
                            // Another process, of another name. What this one sent may still arrive.
                            candidate.name.push('\'');
                            candidate.election = Election::new(candidate.name.clone(), terms());
                            candidate.answer = None;
                        }
                        candidate.act(now, way);
                    }
                }
                let leading = candidates.iter().filter(|candidate| candidate.leads(now)).count();
                prop_assert!(leading < 2, "two lead at {now} ms");
            }
        }
    }
}
