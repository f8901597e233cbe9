//! The manifests that the documents show.

use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::paths::repository;

const FENCE: &str = "```";
/// Begins and ends a manifest within a command.
const HERE: (&str, &str) = ("<<'YAML'", "YAML");

/// A manifest of a page.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The page.
    pub page: String,
    /// The object.
    pub object: Value,
}

/// Every object in a block of YAML in README.md and the pages of docs, and every one that a command there is given.
pub fn shown() -> Result<Vec<Shown>> {
    let root = repository();
    let mut pages = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs")).context("reading docs")? {
        let path = entry.context("reading docs")?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    let mut found = Vec::new();
    for path in pages {
        let page = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).with_context(|| page.clone())?;
        for manifest in of_page(&text) {
            for object in serde_yaml_ng::Deserializer::from_str(&manifest) {
                let object = Value::deserialize(object).with_context(|| format!("{page}:\n{manifest}"))?;
                found.push(Shown {
                    page: page.clone(),
                    object,
                });
            }
        }
    }
    Ok(found)
}

fn of_page(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in text.lines() {
        match open.take() {
            None if line.trim() == format!("{FENCE}yaml") => open = Some((FENCE, String::new())),
            None if line.contains(HERE.0) => open = Some((HERE.1, String::new())),
            None => {}
            Some((end, manifest)) if line.trim() == end => found.push(manifest),
            Some((end, manifest)) => open = Some((end, format!("{manifest}{line}\n"))),
        }
    }
    found
}

// === impl Shown ===

impl Shown {
    /// Whether it is of one of our kinds, such as `WorkloadIdentityBinding`.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        self.object.get("kind").is_some_and(|own| own == kind)
    }
}

#[cfg(test)]
mod tests {
    use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy};
    use wio_core::policy::Policies;

    use super::*;

    /// Everything in the first value is in the second.
    fn assert_subset(page: &str, part: &Value, whole: &Value) {
        match (part, whole) {
            (Value::Object(part), Value::Object(_)) => {
                part.iter()
                    .for_each(|(key, value)| assert_subset(page, value, &whole[key]));
            }
            (Value::Array(part), Value::Array(whole)) => {
                assert_eq!(part.len(), whole.len(), "{page}");
                part.iter().zip(whole).for_each(|(a, b)| assert_subset(page, a, b));
            }
            _ => assert_eq!(part, whole, "{page}"),
        }
    }

    #[test]
    fn what_the_documents_show_is_read_whole_and_grants_what_it_says() {
        let (mut policies, mut bindings): (Vec<WorkloadIdentityPolicy>, usize) = (Vec::new(), 0);
        for Shown { page, object } in shown().unwrap() {
            match object["kind"].as_str() {
                Some("WorkloadIdentityBinding") => {
                    let binding: WorkloadIdentityBinding = serde_json::from_value(object.clone()).unwrap();
                    assert_subset(&page, &object, &serde_json::to_value(binding).unwrap());
                    bindings += 1;
                }
                Some("WorkloadIdentityPolicy") => {
                    let policy = serde_json::from_value(object.clone()).unwrap();
                    assert_subset(&page, &object, &serde_json::to_value(&policy).unwrap());
                    policies.push(policy);
                }
                _ => {}
            }
        }
        assert!(
            bindings >= 8 && policies.len() >= 2,
            "{bindings} and {}",
            policies.len()
        );
        assert_eq!(Policies::parse(&policies).problems(), []);
    }
}
