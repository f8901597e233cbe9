//! The exit code.

use std::process::ExitCode;

/// How a command ended: its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was carried out, and all is well: 0.
    Well,
    /// It could not be carried out: 1.
    Failed,
    /// It was carried out, and what was asked for is not so: 2.
    NotSo,
    /// It was not understood: 64.
    NotUnderstood,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Well => 0,
            Ending::Failed => 1,
            Ending::NotSo => 2,
            Ending::NotUnderstood => 64,
        })
    }
}
