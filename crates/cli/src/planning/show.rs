//! Forecasts, as people and programs read them.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::change::Refusal;
use super::foresee::{Basis, Forecast, Word};
use super::world::Key;
use crate::output::plain;

/// All forecasts of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Forecasts {
    pub(crate) bindings: Vec<Named>,
    /// What the API server would not take.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<Refusal>,
    /// The bindings of whose namespace nothing is known, so that nothing is foretold for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) without_ground: Vec<String>,
    /// What could not be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) not_read: Vec<String>,
}

/// The forecast for a binding, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Named {
    pub(crate) namespace: String,
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) forecast: Forecast,
}

// === impl Named ===

impl Named {
    pub(crate) fn new((namespace, name): &Key, forecast: Forecast) -> Self {
        Self {
            namespace: namespace.to_string(),
            name: name.to_string(),
            forecast,
        }
    }
}

// === impl Forecasts ===

impl Forecasts {
    /// Whether nothing would change.
    pub(crate) fn is_still(&self) -> bool {
        let quiet = |one: &Named| !one.forecast.changes_something() && one.forecast.azure != Basis::Unknown;
        self.refused.is_empty() && self.without_ground.is_empty() && self.bindings.iter().all(quiet)
    }
}

/// Writes them for people.
pub(crate) fn write(forecasts: &Forecasts, out: &mut impl Write) -> anyhow::Result<()> {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    let (red, green, yellow) = (
        colour(AnsiColor::Red),
        colour(AnsiColor::Green),
        colour(AnsiColor::Yellow),
    );
    for refusal in &forecasts.refused {
        writeln!(out, "{red}✗{red:#} {}: {}", plain(&refusal.object), plain(&refusal.why))?;
    }
    for one in &forecasts.without_ground {
        writeln!(
            out,
            "{yellow}!{yellow:#} WorkloadIdentityBinding {one}: nothing is foretold, because its namespace is not known"
        )?;
    }
    for one in &forecasts.bindings {
        let forecast = &one.forecast;
        writeln!(
            out,
            "WorkloadIdentityBinding {}/{}: {}",
            one.namespace,
            one.name,
            plain(&said(forecast))
        )?;
        for step in &forecast.takes_away {
            writeln!(out, "  {red}-{red:#} {}", plain(step))?;
        }
        for step in &forecast.gives {
            writeln!(out, "  {green}+{green:#} {}", plain(step))?;
        }
        for account in &forecast.proves {
            writeln!(
                out,
                "  {yellow}~{yellow:#} a token of service account {}, exchanged with Microsoft Entra to prove that it is ready",
                plain(account)
            )?;
        }
        for owner in &forecast.restarts {
            writeln!(
                out,
                "  {yellow}~{yellow:#} {}, restarted when its turn comes and where the operator may (--rollouts): its pods lack the token",
                plain(owner)
            )?;
        }
        for blocked in &forecast.blocked {
            writeln!(out, "  {yellow}!{yellow:#} {}", plain(blocked))?;
        }
        writeln!(out, "  {}", basis(forecast))?;
    }
    for what in &forecasts.not_read {
        writeln!(out, "not read: {}", plain(what))?;
    }
    Ok(writeln!(out, "{}", sum(forecasts))?)
}

fn said(forecast: &Forecast) -> String {
    let word = match forecast.verdict {
        Word::Granted => "may have what it asks for",
        Word::Denied => "may not have what it asks for; what it has is taken away",
        Word::Held => "nothing is given and nothing is taken away",
        Word::LeftAlone => "is left alone",
        Word::Suspended => "is suspended: nothing is written",
        Word::Deleted => "goes, and what it has with it",
        Word::Orphaned => "goes, and what it has stays",
        Word::Released => "goes; it has nothing",
    };
    match &forecast.why {
        Some(why) => format!("{word}: {why}"),
        None => word.to_owned(),
    }
}

fn basis(forecast: &Forecast) -> String {
    let identity = forecast.identity.as_deref().unwrap_or_default();
    match forecast.azure {
        Basis::Read => format!("identity {identity}, as Azure shows it now"),
        Basis::Status => format!("identity {identity}, as the status tells it (--azure reads Azure)"),
        Basis::Nothing => format!("identity {identity}; nothing was made for it yet (--azure reads what stands there)"),
        Basis::Unknown => format!(
            "what would be done to identity {identity} depends on Azure, and the status of a binding that is not ready does not tell: \
             --azure reads it with your login"
        ),
        Basis::NotNeeded => "Azure does not matter for this".to_owned(),
    }
}

fn sum(forecasts: &Forecasts) -> String {
    let all = || forecasts.bindings.iter().map(|one| &one.forecast);
    let gives: usize = all().map(|one| one.gives.len()).sum();
    let takes: usize = all().map(|one| one.takes_away.len()).sum();
    let proves: usize = all().map(|one| one.proves.len()).sum();
    let restarts: usize = all().map(|one| one.restarts.len()).sum();
    let blocked: usize = all().map(|one| one.blocked.len()).sum();
    if forecasts.is_still() {
        return "Plan: nothing to do.".to_owned();
    }
    let unknown = all().filter(|one| one.azure == Basis::Unknown).count();
    let counts = [
        (gives, "to give"),
        (takes, "to take away"),
        (proves, "to prove"),
        (restarts, "to restart"),
        (blocked, "blocked"),
        (forecasts.refused.len(), "refused"),
        (unknown + forecasts.without_ground.len(), "not known"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    format!("Plan: {}.", counts.join(", "))
}
