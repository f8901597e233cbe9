//! The terms of a role assignment: what of it can be changed while it stands. Scope, role and principal cannot, and name it.

use wio_api::limits::{CONDITION_CHARS_MAX, ROLE_DESCRIPTION_CHARS_MAX};

/// The terms of a role assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleTerms {
    /// Under which it holds; always when there is none.
    pub condition: Option<String>,
    /// What it says for people.
    pub description: Option<String>,
}

impl RoleTerms {
    /// The terms that a spec asks for, or what is wrong with which of its fields.
    pub(crate) fn parse(
        condition: Option<&str>,
        description: Option<&str>,
        mut tell: impl FnMut(&'static str, String),
    ) -> Self {
        let mut text = |field, text: Option<&str>, max| match text.map(|text| (text, problem(text, max))) {
            Some((_, Some(problem))) => {
                tell(field, problem);
                None
            }
            Some((text, None)) => Some(text.to_owned()),
            None => None,
        };
        Self {
            condition: text("condition", condition, CONDITION_CHARS_MAX),
            description: text("description", description, ROLE_DESCRIPTION_CHARS_MAX),
        }
    }

    /// The same as Azure shows them: an empty text is none.
    #[must_use]
    pub fn shown(condition: Option<String>, description: Option<String>) -> Self {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            condition: said(condition),
            description: said(description),
        }
    }
}

fn problem(text: &str, max: usize) -> Option<String> {
    let is_bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.is_empty() || text.chars().count() > max {
        return Some(format!(
            "it has {} characters; 1 to {max} are possible",
            text.chars().count()
        ));
    }
    (text.trim() != text || text.contains(is_bad))
        .then(|| "it has white space at an end, or a control character; take those out".to_owned())
}
