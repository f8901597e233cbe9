//! Identities in a list, compared with what is known of a binding's.

use wio_api::GROUP;

use crate::observed::{AzureState, IdentityFacts, Tags, tag, with_tags};
use crate::tags::{IgnoredTag, is_ignored};

/// An identity as the list of its resource group shows it.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// What Azure gave it; none when the list does not tell all of it.
    pub facts: Option<&'a IdentityFacts>,
    /// Its tags.
    pub tags: &'a Tags,
    /// The tags that say nothing.
    pub ignored: &'a [IgnoredTag],
}

/// Whether a list of the whole resource group shows another identity than is known, or none, or one where none is known. Tags that
/// others add say nothing, as long as they are not the operator's own words.
#[must_use]
pub fn differs(known: &AzureState, listed: Option<Listed<'_>>) -> bool {
    match (known.identity.present(), listed) {
        (None, None) => false,
        (None, Some(_)) | (Some(_), None) => true,
        (Some(present), Some(listed)) => {
            listed.facts != Some(&present.facts)
                || with_tags(listed.tags, &said(&present.tags, listed.ignored)).is_some()
                || has_other_words(listed.tags, &present.tags)
        }
    }
}

/// The tags that say something.
fn said(tags: &Tags, ignored: &[IgnoredTag]) -> Tags {
    let said = tags.iter().filter(|(name, _)| !is_ignored(ignored, name));
    said.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether there are tags by which the operator tells whose an identity is that were not there before.
fn has_other_words(listed: &Tags, known: &Tags) -> bool {
    let is_word = |name: &str| {
        let begins = name.get(..GROUP.len());
        begins.is_some_and(|begin| begin.eq_ignore_ascii_case(GROUP))
    };
    listed.keys().any(|name| is_word(name) && tag(known, name).is_none())
}
