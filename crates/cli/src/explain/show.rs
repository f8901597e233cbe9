//! What is explained, as a person reads it.

use std::io::{self, Write};

use super::data::{Explained, Kind};
use crate::output::tree::Node;

/// Writes it.
pub(crate) fn write(explained: &Explained, out: &mut impl Write) -> io::Result<()> {
    let from = match explained.kind {
        Kind::EntraCode => " (Entra)",
        Kind::AzureCode => " (Azure)",
        Kind::Reason => "",
        Kind::Condition => " (condition)",
    };
    let codes = match explained.kind {
        Kind::EntraCode => "means the same",
        Kind::AzureCode | Kind::Reason | Kind::Condition => "Azure's codes",
    };
    let codes_of = (!explained.codes.is_empty()).then(|| explained.codes.join(", "));
    let said_elsewhere = matches!(explained.kind, Kind::Reason | Kind::AzureCode);
    let next = explained.next_step.clone();
    let next = next.or_else(|| said_elsewhere.then(|| "what the condition's message says".to_owned()));
    let facts = [
        ("reason", &explained.reason),
        ("who acts", &explained.who_acts),
        ("passes by itself", &explained.passes_by_itself),
        ("speaks of the condition", &explained.condition),
        (codes, &codes_of),
        ("next step", &next),
    ];
    let lines = facts.into_iter().filter_map(|(name, value)| {
        let value = value.as_ref()?;
        Some(Node::plain(format!("{name}: {value}")))
    });
    let title = format!("{}{from}: {}", explained.name, explained.meaning);
    Node::plain(title).with(lines).write(out)?;
    for passage in &explained.runbook {
        writeln!(out, "\nRunbook, {}", passage.section)?;
        for line in passage.text.lines() {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}
