//! Election: which of several operators leads, by one record that the API server keeps. Pure: time is what a monotonic clock of this
//! process says since some moment, and what is written for people about the time of day decides nothing.
//!
//! Never do two hold the record at one moment, as long as their monotonic clocks run equally fast within [`Terms::DRIFT`]: a holder
//! counts from before it sent the renewal that was answered, and a candidate from after it saw the record as it is.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

/// The terms of a lease; all times follow from its duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms(Duration);

/// The record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; nobody when empty.
    pub holder: String,
    /// For how long its holder does, from each renewal.
    pub duration: Duration,
    /// The version, which changes with each write.
    pub version: String,
}

/// The next step in an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the record.
    Look,
    /// Write a record with [`Election::NOBODY_KNOWN`] for its holder, where there must be none: whoever held one that somebody deleted
    /// may not know yet, so this one is taken as any other is, when it stood for all of its time.
    Create,
    /// Write oneself into the record of this version.
    Hold(String),
    /// Nothing, for so long, unless the record is seen to change.
    Wait(Duration),
    /// The lease is lost.
    Lost,
}

/// The answer to a write of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It stands, with this version.
    Stands(String),
    /// Another one stands, or none.
    Overtaken,
    /// Nobody knows.
    Unknown,
}

/// An election as one candidate sees it.
#[derive(Clone, Debug)]
pub struct Election {
    me: String,
    terms: Terms,
    /// What was last seen, and since when it stands unchanged.
    seen: Seen,
    /// When the last renewal was sent that was answered; none unless this one leads.
    renewed: Option<Duration>,
    /// Nothing is sent before this.
    not_before: Duration,
    lost: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// It must be read.
    Nothing,
    /// There is none.
    Absent,
    /// It is this one, since so long.
    Record(Record, Duration),
}

// === impl Terms ===

impl Terms {
    /// By how much of a lease the clock of a holder may be slower than that of a candidate: a thirtieth.
    pub const DRIFT: u32 = 30;
    /// The shortest lease: the API counts whole seconds, and a request takes its time.
    pub const SHORTEST: Duration = Duration::from_secs(3);

    /// The terms of a lease of this duration, in whole seconds.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        Self(Duration::from_secs(duration.max(Self::SHORTEST).as_secs()))
    }

    /// For how long a record must stand unchanged before somebody else may take it.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// For how long its holder counts on it.
    #[must_use]
    pub fn held(self) -> Duration {
        self.0.saturating_sub(self.0 / Self::DRIFT)
    }

    /// How often it is renewed, and for how long an answer is waited for.
    #[must_use]
    pub fn renewal(self) -> Duration {
        self.0 / 6
    }

    /// How long a write may take that is sent under the lease: it is sent only while the lease is held for longer than this.
    #[must_use]
    pub fn write_limit(self) -> Duration {
        self.0 / 3 * 2
    }

    /// The pause before something is tried again.
    fn pause(self) -> Duration {
        self.0 / 30
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

// === impl Election ===

impl Election {
    /// The holder of a record that was made because there was none.
    pub const NOBODY_KNOWN: &str = "nobody-known";

    /// A candidate, whose name no other process has or ever had.
    #[must_use]
    pub const fn new(me: String, terms: Terms) -> Self {
        Self {
            me,
            terms,
            seen: Seen::Nothing,
            renewed: None,
            not_before: Duration::ZERO,
            lost: false,
        }
    }

    /// What to do now.
    #[must_use]
    pub fn next(&self, now: Duration) -> Step {
        if self.lost || self.renewed.is_some_and(|renewed| now >= renewed + self.terms.held()) {
            return Step::Lost;
        }
        let (step, due) = match &self.seen {
            Seen::Nothing => (Step::Look, self.not_before),
            Seen::Absent => (Step::Create, self.not_before),
            Seen::Record(record, since) => (Step::Hold(record.version.clone()), self.due(record, *since)),
        };
        let due = due.max(self.not_before);
        // Whoever holds it wakes also to see it end.
        let ends = self.renewed.map(|renewed| renewed + self.terms.held());
        if now >= due {
            step
        } else {
            Step::Wait(ends.map_or(due, |ends| due.min(ends)).saturating_sub(now))
        }
    }

    fn due(&self, record: &Record, since: Duration) -> Duration {
        if record.holder.is_empty() {
            Duration::ZERO
        } else if record.holder == self.me {
            self.renewed.map_or(Duration::ZERO, |sent| sent + self.terms.renewal())
        } else {
            since + self.terms.duration().max(record.duration)
        }
    }

    /// Takes in the record as an answer or a watch shows it; none when there is none.
    pub fn saw(&mut self, now: Duration, record: Option<Record>) {
        let is_mine = record.as_ref().is_some_and(|record| record.holder == self.me);
        self.lost |= self.renewed.is_some() && !is_mine;
        self.seen = match (record, std::mem::replace(&mut self.seen, Seen::Nothing)) {
            (None, _) => Seen::Absent,
            (Some(record), Seen::Record(before, since)) if before == record => Seen::Record(record, since),
            (Some(record), Seen::Nothing | Seen::Absent | Seen::Record(..)) => Seen::Record(record, now),
        };
    }

    /// Takes in that the record could not be read.
    pub fn saw_nothing(&mut self, now: Duration) {
        self.not_before = now + self.terms.pause();
    }

    /// Takes in the answer to a write that was sent at a moment.
    pub fn wrote(&mut self, sent: Duration, now: Duration, answer: Written) {
        match answer {
            Written::Stands(version) => {
                self.renewed = Some(sent);
                let (holder, duration) = (self.me.clone(), self.terms.duration());
                let record = Record {
                    holder,
                    duration,
                    version,
                };
                self.seen = Seen::Record(record, now);
            }
            Written::Overtaken => self.seen = Seen::Nothing,
            Written::Unknown => self.not_before = now + self.terms.pause(),
        }
    }

    /// Until when this one leads; none when it does not.
    #[must_use]
    pub fn leads_until(&self) -> Option<Duration> {
        let renewed = self.renewed.filter(|_| !self.lost)?;
        Some(renewed + self.terms.held())
    }

    /// Who is seen to lead; none when nobody is.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        match &self.seen {
            Seen::Record(record, _) => Some(record.holder.as_str()).filter(|holder| !holder.is_empty()),
            Seen::Nothing | Seen::Absent => None,
        }
    }

    /// Gives the lease up: the version of the record from which this one is to be taken out. It leads no more, whatever comes of that.
    pub fn give_up(&mut self) -> Option<String> {
        self.renewed.take()?;
        let lost = std::mem::replace(&mut self.lost, true);
        match &self.seen {
            Seen::Record(record, _) if !lost && record.holder == self.me => Some(record.version.clone()),
            Seen::Nothing | Seen::Absent | Seen::Record(..) => None,
        }
    }
}
