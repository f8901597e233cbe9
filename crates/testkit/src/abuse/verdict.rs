//! Verdicts: what a layer came to in a case, as a line of a file, and all of them as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use super::{AtAdmission, Case, cases};

/// The environment variable that names the file to which verdicts are written, a line of JSON each. Without it none are.
pub const VERDICTS_FILE: &str = "WIO_ABUSE_VERDICTS";

/// A layer of defence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Layer {
    /// The reconciler, with an API server that admits everything.
    Reconciler,
    /// Admission, with an operator that never sees the binding.
    Admission,
}

/// What a layer came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The case.
    pub id: String,
    /// The layer.
    pub layer: Layer,
    /// In a word: a condition's reason, or who refused it.
    pub says: String,
    /// What is not as it must be; none when it held.
    pub broken: Option<String>,
}

/// Writes a verdict to the file of verdicts, if one is asked for.
///
/// # Panics
/// When the file cannot be written.
#[allow(clippy::expect_used, reason = "a table without a verdict would say nothing")]
pub fn record(verdict: &Verdict) {
    let Some(path) = std::env::var_os(VERDICTS_FILE) else {
        return;
    };
    let line = serde_json::to_string(verdict).expect("a verdict is plain data");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("the file of verdicts can be opened");
    // One write, so that lines of tests that run side by side do not mix.
    file.write_all(format!("{line}\n").as_bytes())
        .expect("the file of verdicts can be written");
}

/// The table of all cases with the verdicts of both layers, and whether every case held at both.
///
/// # Errors
/// When a line is no verdict.
pub fn table(verdicts: &str) -> serde_json::Result<(String, bool)> {
    let verdicts: Vec<Verdict> = verdicts.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let verdicts: BTreeMap<(&str, Layer), &Verdict> = verdicts
        .iter()
        .map(|verdict| ((verdict.id.as_str(), verdict.layer), verdict))
        .collect();
    Ok(lay_out(cases(), &verdicts))
}

fn lay_out(cases: &[Case], verdicts: &BTreeMap<(&str, Layer), &Verdict>) -> (String, bool) {
    let width = |of: &dyn Fn(&Case) -> usize| cases.iter().map(of).max().unwrap_or_default();
    let ids = width(&|case| case.id.len());
    let attacks = width(&|case| case.attack.chars().count());
    let reasons = width(&|case| case.reconciler.reason.len()).max("NOT HELD".len());
    let mut text = String::new();
    let mut line = |id: &str, attack: &str, reconciler: &str, admission: &str| {
        let columns = format!("{id:<ids$}  {attack:<attacks$}  {reconciler:<reasons$}  {admission}");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", columns.trim_end());
    };
    line("case", "what is tried", "reconciler", "admission");
    let (mut held, mut refused, mut broken) = (0, 0, Vec::new());
    let mut unseen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut group = "";
    for case in cases {
        if case.group != group {
            group = &case.group;
            line("", "", "", "");
            line(&format!("{group}:"), "", "", "");
        }
        let mut shown = |layer| match verdicts.get(&(case.id.as_str(), layer)) {
            Some(Verdict { says, broken: None, .. }) => (says.clone(), true),
            Some(Verdict { broken: Some(why), .. }) => {
                broken.push(format!("{} at {layer:?}: {why}", case.id));
                ("NOT HELD".to_owned(), false)
            }
            None => {
                broken.push(format!("{} at {layer:?}: no verdict", case.id));
                ("not tried".to_owned(), false)
            }
        };
        let (reconciler, holds) = shown(Layer::Reconciler);
        held += usize::from(holds);
        let (admission, answered) = shown(Layer::Admission);
        match &case.admission {
            _ if !answered => {}
            AtAdmission::Unseen(why) => *unseen.entry(why).or_default() += 1,
            AtAdmission::Schema(_) | AtAdmission::Policy(_) | AtAdmission::Rights(_) => refused += 1,
        }
        line(&case.id, &case.attack, &reconciler, &admission);
    }
    let _ = writeln!(text, "\nwhy admission cannot see some:");
    let mut whys: Vec<(&str, usize)> = unseen.into_iter().collect();
    whys.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (why, count) in &whys {
        let _ = writeln!(text, "{count:>4}  {why}");
    }
    for why in &broken {
        let _ = writeln!(text, "\nNOT HELD: {why}");
    }
    let (all, unseen) = (cases.len(), whys.iter().map(|(_, count)| count).sum::<usize>());
    let _ = write!(
        text,
        "\n{all} cases: the reconciler held {held} of {all}; admission refused {refused} early, {unseen} it cannot see\n"
    );
    (text, broken.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(id: &str, layer: Layer, broken: Option<&str>) -> String {
        let verdict = Verdict {
            id: id.to_owned(),
            layer,
            says: "NotPermitted".to_owned(),
            broken: broken.map(str::to_owned),
        };
        serde_json::to_string(&verdict).unwrap_or_default()
    }

    fn all_but(id: &str) -> Vec<String> {
        let both = |case: &Case| [Layer::Reconciler, Layer::Admission].map(|layer| verdict(&case.id, layer, None));
        cases().iter().filter(|case| case.id != id).flat_map(both).collect()
    }

    #[test]
    fn the_table_ends_well_only_when_every_case_was_tried_and_held() {
        let (text, good) = table(&all_but("").join("\n")).unwrap_or_default();
        let all = cases().len();
        assert!(
            good && text.contains(&format!("the reconciler held {all} of {all};")),
            "{text}"
        );

        let mut lines = all_but("identity-by-id");
        let (text, good) = table(&lines.join("\n")).unwrap_or_default();
        assert!(
            !good && text.contains("identity-by-id at Admission: no verdict"),
            "{text}"
        );

        lines.push(verdict("identity-by-id", Layer::Reconciler, Some("it was trusted")));
        lines.push(verdict("identity-by-id", Layer::Admission, None));
        let (text, good) = table(&lines.join("\n")).unwrap_or_default();
        assert!(
            !good && text.contains("identity-by-id at Reconciler: it was trusted"),
            "{text}"
        );
        assert!(text.contains(&format!("held {} of {all};", all - 1)), "{text}");
    }
}
