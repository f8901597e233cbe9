//! Errors of sending a request: why no answer came.

use std::error::Error;

use wio_core::fault::AzureCause;

/// Why a request to Azure got no answer. An answer with an error status is an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// No answer came in time; the request may have been carried out.
    Timeout,
    /// The connection failed; the request may have been carried out.
    Transport(String),
    /// No token could be had. The text holds no secret.
    Credential(String),
    /// The guard did not let the request out.
    Refused(String),
    /// The fence did not let the write out.
    NotAdmitted,
    /// The answer broke a rule of HTTP, or the bound on its size.
    Malformed(String),
}

// === impl SendError ===

impl From<SendError> for AzureCause {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Timeout => Self::Timeout,
            SendError::Transport(why) => Self::Transport(why),
            SendError::Credential(why) => Self::Credential(why),
            SendError::Refused(why) => Self::Refused(why),
            SendError::NotAdmitted => Self::NotAdmitted,
            SendError::Malformed(why) => Self::Malformed(why),
        }
    }
}

/// The words of an error and of what it came from, each reason once.
pub(crate) fn reasons(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let reason = cause.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        source = cause.source();
    }
    text
}
