//! From what was asked to what it means.

use std::fmt;

use wio_api::{ConditionType, Reason};
use wio_core::entra::{EXPLANATIONS, Explanation, code_in, explanation};
use wio_core::reasons::{AZURE_CODES, Backoff, Kind as Pursuit, ReasonFacts, Voice, facts};

use super::data::{Explained, Kind};
use super::{near, runbook};

/// What was asked for is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    asked: String,
    near: Vec<String>,
    /// The number of a code of Entra's.
    code: Option<u32>,
}

/// Explains a code, a reason, a condition's type, or a message with a code of Entra's in it.
pub(crate) fn explain(asked: &str) -> Result<Explained, Unknown> {
    let word = asked.trim().trim_matches(|c: char| "`\"'.,:;".contains(c));
    let code = code_in(word).or_else(|| word.parse().ok());
    if let Some(code) = code {
        let known = explanation(code).ok_or_else(|| unknown(&format!("AADSTS{code}"), Some(code)))?;
        return Ok(of_entra(code, known));
    }
    let is = |name: &str| name.eq_ignore_ascii_case(word);
    if let Some(reason) = Reason::ALL.iter().find(|one| is(one.as_str())) {
        return Ok(of_reason(*reason));
    }
    if let Some((code, reason)) = AZURE_CODES.iter().find(|(code, _)| is(code)) {
        return Ok(Explained {
            name: (*code).to_owned(),
            kind: Kind::AzureCode,
            reason: Some(reason.to_string()),
            ..of_reason(*reason)
        });
    }
    let condition = ConditionType::ALL.iter().find(|one| is(one.as_str()));
    condition
        .map(|one| of_condition(*one))
        .ok_or_else(|| unknown(word, None))
}

fn unknown(asked: &str, code: Option<u32>) -> Unknown {
    let entra = EXPLANATIONS.iter().flat_map(|one| one.codes);
    let entra = entra.map(|code| format!("AADSTS{code}"));
    let reasons = Reason::ALL.iter().map(ToString::to_string);
    let azure = AZURE_CODES.iter().map(|(code, _)| (*code).to_owned());
    let conditions = ConditionType::ALL.iter().map(ToString::to_string);
    let names: Vec<String> = entra.chain(reasons).chain(azure).chain(conditions).collect();
    Unknown {
        near: near::to(asked, &names),
        asked: asked.to_owned(),
        code,
    }
}

fn of_entra(code: u32, known: &Explanation) -> Explained {
    let others = known.codes.iter().filter(|other| **other != code);
    Explained {
        name: format!("AADSTS{code}"),
        kind: Kind::EntraCode,
        meaning: known.meaning.to_owned(),
        reason: None,
        who_acts: None,
        passes_by_itself: Some(known.passes.to_string()),
        next_step: Some(known.next_step.to_owned()),
        condition: None,
        codes: others.map(|other| format!("AADSTS{other}")).collect(),
        runbook: Vec::new(),
    }
}

fn of_reason(reason: Reason) -> Explained {
    let facts = facts(reason);
    let codes = AZURE_CODES.iter().filter(|(_, leads_to)| *leads_to == reason);
    Explained {
        name: reason.to_string(),
        kind: Kind::Reason,
        meaning: reason.description().to_owned(),
        reason: None,
        who_acts: Some(who_acts(reason, &facts)),
        passes_by_itself: None,
        next_step: facts.next_step.map(str::to_owned),
        condition: facts.part.map(|part| part.to_string()),
        codes: codes.map(|(code, _)| (*code).to_owned()).collect(),
        runbook: runbook::about(reason.as_str()),
    }
}

fn of_condition(condition: ConditionType) -> Explained {
    Explained {
        name: condition.to_string(),
        kind: Kind::Condition,
        meaning: condition.description().to_owned(),
        reason: None,
        who_acts: None,
        passes_by_itself: None,
        next_step: None,
        condition: None,
        codes: Vec::new(),
        runbook: Vec::new(),
    }
}

fn who_acts(reason: Reason, facts: &ReasonFacts) -> String {
    let pauses = match facts.backoff {
        Backoff::Transient => "a second to minutes",
        Backoff::Replication => "seconds to half a minute",
        Backoff::Stalled => "ten seconds to ten minutes",
        Backoff::Exchange => "a quarter of a minute to five minutes",
        Backoff::Forbidden => "a second to ten minutes",
    };
    match (facts.kind, facts.voice) {
        _ if reason == Reason::Succeeded => "nobody".to_owned(),
        _ if reason == Reason::Suspended => "whoever suspended it: the operator does nothing for it".to_owned(),
        (_, Voice::Alarm) => "somebody; everything goes on as before meanwhile".to_owned(),
        (Pursuit::Retry, _) => {
            format!("nobody at first: the operator tries again by itself, in pauses that grow from {pauses}")
        }
        (Pursuit::Wait, _) => {
            format!("nobody: it takes its time, and the operator looks again in pauses that grow from {pauses}")
        }
        (Pursuit::Stalled, _) => {
            format!("somebody: the operator only looks again, in pauses that grow from {pauses}")
        }
    }
}

// === impl Unknown ===

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no code or reason that is known here", self.asked)?;
        if !self.near.is_empty() {
            write!(f, "; near it: {}", self.near.join(", "))?;
        }
        if let Some(code) = self.code {
            write!(
                f,
                ". Microsoft's words: https://login.microsoftonline.com/error?code={code}"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Unknown {}
