//! How answers are written: trees for people, JSON and YAML for programs.

pub(crate) mod shell;
pub(crate) mod tree;

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

/// The form of an answer for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// The names of what is answered about, as kubectl takes them.
    Name,
}

/// A text of the cluster as it may stand on a line: it cannot move the cursor, end a comment of YAML, or be read in another order than it is
/// written.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect()
}

/// Whether a character is seen where it stands. For YAML a line ends at U+2028 and U+2029 as well.
fn is_plain(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !turns
}

/// Writes the name of a binding as kubectl takes it.
pub(crate) fn write_name(name: &str, out: &mut impl Write) -> anyhow::Result<()> {
    Ok(writeln!(out, "workloadidentitybinding.workloadidentity.dev/{name}")?)
}

/// The form of an answer for programs that has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DataFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Writes an answer as JSON or YAML.
pub(crate) fn write_data(answer: &impl Serialize, yaml: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if yaml {
        write!(out, "{}", serde_yaml_ng::to_string(answer)?)?;
    } else {
        writeln!(out, "{}", serde_json::to_string_pretty(answer)?)?;
    }
    Ok(())
}
