//! What came of an exchange, and what that means for a binding. Pure.

use std::time::Duration;

use wio_api::Reason;

use super::exchange::Exchange;
use crate::entra::{Claim, Explanation, Passes, explanation};

/// What came of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Entra gave a token.
    Passed,
    /// Entra refused.
    Refused(Refused),
    /// Entra, or the API server for a token of the service account, gave no answer that proves anything: why.
    NotTried(String),
    /// The operator may not mint tokens of service accounts: the API server's words.
    Forbidden(String),
    /// The service account is not there any more.
    AccountGone,
}

/// A refusal of Entra.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The number behind `AADSTS`, if there is one.
    pub code: Option<u32>,
    /// Entra's words.
    pub words: String,
    /// What the token of the service account said of itself.
    pub presented: Presented,
}

/// The claims of a service account's token that a federated credential is found by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`.
    pub audiences: Vec<String>,
}

/// What an answer that proves nothing says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) reason: Reason,
    pub(super) message: String,
}

/// How long a refusal may be one that passes by itself, from when a token was first waited for. Entra was seen to take two minutes to know a credential.
const MINUTES: Duration = Duration::from_mins(10);
/// The same where the issuer or its keys are new: Entra keeps an issuer's keys for up to an hour.
const AN_HOUR: Duration = Duration::from_mins(70);
/// The codes by which Entra says that it is busy or in trouble: nothing is proven by them.
const IN_TROUBLE: u32 = 90_033;
/// The code for an identity that has no credential that matches.
const NONE_MATCHES: u32 = 70_021;
const UNKNOWN_APPLICATION: u32 = 700_016;
const NOT_IN_TIME: u32 = 700_024;
/// The longest text of others in a message.
const WORDS_CHARS: usize = 300;

impl Answer {
    /// What it says of the exchange, when a token has been waited for so long; none when it passed.
    pub(super) fn judge(&self, exchange: &Exchange, waited: Duration) -> Option<Verdict> {
        let account = &exchange.account;
        let verdict = |reason, message| Some(Verdict { reason, message });
        match self {
            Self::Passed => None,
            Self::Refused(refused) => Some(refused.judge(exchange, waited)),
            Self::NotTried(why) => verdict(
                Reason::TokenExchangeNotTried,
                format!(
                    "no token was exchanged for service account {account}: {}. The operator tries again by itself",
                    shortened(why)
                ),
            ),
            Self::Forbidden(why) => verdict(
                Reason::TokenRequestForbidden,
                format!(
                    "the operator may not mint a token of service account {account}: {}. Set verification.enabled of the chart, or apply \
                     config/verification; or set spec.verification.mode to None",
                    shortened(why)
                ),
            ),
            Self::AccountGone => verdict(
                Reason::TokenExchangeAwaited,
                format!("service account {account} is not there any more; the operator looks again"),
            ),
        }
    }
}

// === impl Refused ===

impl Refused {
    fn judge(&self, exchange: &Exchange, waited: Duration) -> Verdict {
        let known = self.code.and_then(explanation);
        let reason = match known {
            Some(known) if known.codes.contains(&IN_TROUBLE) => Reason::TokenExchangeNotTried,
            known if waited < patience(known) => Reason::TokenExchangeAwaited,
            _ => Reason::TokenExchangeRefused,
        };
        let what = match (self.code, known) {
            (Some(code), Some(known)) => format!("AADSTS{code}, {}", known.meaning),
            (Some(code), None) => format!("AADSTS{code}: {}", shortened(&self.words)),
            (None, _) => shortened(&self.words),
        };
        let next = if reason == Reason::TokenExchangeAwaited {
            "Entra may not know yet what was written a moment ago; the operator asks again, with growing pauses"
                .to_owned()
        } else {
            self.next_step(known, exchange)
        };
        Verdict {
            reason,
            message: format!(
                "Microsoft Entra refuses the token of service account {}: {what}. {next}",
                exchange.account
            ),
        }
    }

    fn next_step(&self, known: Option<&Explanation>, exchange: &Exchange) -> String {
        let Some(known) = known else {
            return match self.code {
                Some(code) => format!("Microsoft's words: https://login.microsoftonline.com/error?code={code}"),
                None => "The operator asks again, seldom".to_owned(),
            };
        };
        if known.claim.is_some() || known.codes.contains(&NONE_MATCHES) {
            return self.about_credentials(exchange);
        }
        match self.code {
            Some(UNKNOWN_APPLICATION) => format!(
                "Nobody with client id {} is in tenant {}: where somebody deleted the identity, kubectl wib reconcile has it made anew",
                exchange.client, exchange.tenant
            ),
            Some(NOT_IN_TIME) => "The token is a moment old: set the clock of the API server right".to_owned(),
            _ => sentence(known.next_step),
        }
    }

    /// What the token says otherwise than the credential.
    fn about_credentials(&self, exchange: &Exchange) -> String {
        let Presented {
            issuer,
            subject,
            audiences,
        } = &self.presented;
        let differs = |claim: Claim, token: Option<&str>, credential: &str| {
            let token = token.filter(|token| *token != credential)?;
            Some(format!(
                "the token's {claim} is {:?}, the federated credential's {credential:?}",
                shortened(token)
            ))
        };
        let audience = audiences.first().map(String::as_str);
        let differences: Vec<String> = [
            differs(Claim::Issuer, issuer.as_deref(), exchange.issuer.as_str()),
            differs(Claim::Subject, subject.as_deref(), exchange.subject.as_str()),
            differs(Claim::Audience, audience, exchange.audience.as_str()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if differences.is_empty() {
            return format!(
                "The token says what federated credential {} is recorded with, so somebody edited or deleted it in Azure: kubectl wib reconcile has it put \
                 back, and kubectl wib verify shows both side by side",
                exchange.credential
            );
        }
        format!("They differ: {}", differences.join("; "))
    }
}

/// How long a refusal may be one that passes by itself. Nobody knows that of a code that the table does not have.
fn patience(known: Option<&Explanation>) -> Duration {
    match known.map_or(Passes::WithinMinutes, |known| known.passes) {
        Passes::No => Duration::ZERO,
        Passes::WithinMinutes => MINUTES,
        Passes::WithinAnHour => AN_HOUR,
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).collect()
}

fn shortened(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let beginning: String = text.chars().take(WORDS_CHARS).collect();
    if beginning.len() < text.len() {
        return format!("{beginning} …");
    }
    beginning
}
