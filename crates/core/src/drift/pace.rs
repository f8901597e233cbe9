//! The pace of looks for drift, so that they cost no more of Azure's budget however many bindings there are.

use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// What looks for drift may cost, in reads an hour, each for its own: with the looks of the sweep for orphans not more than 600 together. The log
/// may exceed its share, for it is read at least once in a drift interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Lists of identities.
    Identities,
    /// Lists of role assignments.
    Roles,
    /// The activity log.
    Log,
    /// Looks of each binding for itself.
    Sweep,
}

impl Share {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Identities, Self::Roles, Self::Log, Self::Sweep];

    /// The reads an hour.
    #[must_use]
    pub const fn reads_an_hour(self) -> u32 {
        match self {
            Self::Identities => 120,
            Self::Roles => 40,
            Self::Log => 60,
            Self::Sweep => 280,
        }
    }

    /// The time in which so many reads are within the share.
    fn time_for(self, reads: usize) -> Duration {
        let reads = u32::try_from(reads).unwrap_or(u32::MAX);
        (HOUR / self.reads_an_hour()).saturating_mul(reads)
    }
}

/// The pause after a round that cost so many reads, when at least so much time is to be between two.
#[must_use]
pub fn least_pause(share: Share, reads: usize, least: Duration) -> Duration {
    share.time_for(reads).max(least)
}

/// How often each binding looks for itself, when it is asked for so often and all of them together take so many reads.
#[must_use]
pub fn sweep_interval(asked: Duration, reads: usize) -> Duration {
    least_pause(Share::Sweep, reads, asked)
}
