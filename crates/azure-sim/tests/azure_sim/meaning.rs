//! Compares what the simulator answers with what Azure answered, by meaning.

use std::collections::BTreeMap;

use serde_json::Value;

/// How the values of one comparison, or of a whole recording, are matched.
#[derive(Debug, Default)]
pub(crate) struct Meaning {
    /// Fields whose values Azure makes up. They are not ignored: each value of Azure stands for one value of the
    /// simulator, in every place and in every answer.
    generated: &'static [&'static str],
    /// Fields that the answer may have though the original lacks them.
    optional: &'static [&'static str],
    bound: BTreeMap<(String, String), String>,
}

// === impl Meaning ===

impl Meaning {
    /// Fields are named by the end of their path, as `properties.clientId`.
    pub(crate) fn new(generated: &'static [&'static str], optional: &'static [&'static str]) -> Self {
        Self {
            generated,
            optional,
            bound: BTreeMap::new(),
        }
    }

    /// What differs; nothing, when both mean the same.
    pub(crate) fn differences(&mut self, original: &Value, answer: &Value) -> Vec<String> {
        let mut differences = Vec::new();
        self.compare("", original, answer, &mut differences);
        differences
    }

    fn compare(&mut self, path: &str, original: &Value, answer: &Value, differences: &mut Vec<String>) {
        match (original, answer) {
            (Value::Object(fields), Value::Object(found)) => {
                for (name, field) in fields {
                    let path = join(path, name);
                    match found.get(name) {
                        Some(value) => self.compare(&path, field, value, differences),
                        None => differences.push(format!("{path} is missing")),
                    }
                }
                let extra = found
                    .keys()
                    .filter(|name| !fields.contains_key(*name))
                    .map(|name| join(path, name));
                differences.extend(
                    extra
                        .filter(|path| !named(path, self.optional))
                        .map(|path| format!("Azure has no {path}")),
                );
            }
            (Value::Array(entries), Value::Array(found)) if entries.len() == found.len() => {
                for (index, (entry, value)) in entries.iter().zip(found).enumerate() {
                    self.compare(&format!("{path}[{index}]"), entry, value, differences);
                }
            }
            (Value::String(original), Value::String(found)) if named(path, self.generated) => {
                differences.extend(self.bind(path, original, found));
            }
            _ if original == answer => {}
            _ => differences.push(format!("{path} is {original} in Azure and {answer} here")),
        }
    }

    /// Ties a generated value of Azure to ours; says so when either is tied to another already.
    fn bind(&mut self, path: &str, original: &str, found: &str) -> Option<String> {
        if found.len() != original.len() || uuid::Uuid::try_parse(found).is_err() {
            return Some(format!("{path} is not a GUID: {found}"));
        }
        let field = path.rsplit('.').next().unwrap_or(path).to_owned();
        let other = self
            .bound
            .iter()
            .find(|((name, known), value)| *name == field && (known == original) != (value.as_str() == found));
        if let Some(((_, known), value)) = other {
            return Some(format!(
                "{path}: {known} was {value} before, and now {original} is {found}"
            ));
        }
        self.bound.insert((field, original.to_owned()), found.to_owned());
        None
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn named(path: &str, names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| path == *name || path.ends_with(&format!(".{name}")))
}

mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "11111111-1111-1111-1111-111111111111";
    const B: &str = "22222222-2222-2222-2222-222222222222";

    #[test]
    fn a_generated_id_must_stay_the_same_and_be_nobody_elses() {
        let id = |id: &str| json!({"properties": {"clientId": id}});
        let mut meaning = Meaning::new(&["properties.clientId"], &[]);
        assert_eq!(meaning.differences(&id(A), &id(B)), [""; 0]);
        assert_eq!(meaning.differences(&id(A), &id(B)), [""; 0]);
        assert_eq!(
            meaning.differences(&id(A), &id(A)).len(),
            1,
            "another id in the same place"
        );
        assert_eq!(
            meaning.differences(&id(B), &id(B)).len(),
            1,
            "the same id in another place"
        );
        assert_eq!(meaning.differences(&id(A), &id("")).len(), 1, "no id at all");
    }

    #[test]
    fn a_missing_an_extra_and_another_value_are_differences() {
        let mut meaning = Meaning::new(&[], &["note"]);
        let original = json!({"tags": {}, "list": [{"a": 1}]});
        assert_eq!(
            meaning.differences(&original, &json!({"list": [{"a": 1}], "tags": {}, "note": 1})),
            [""; 0]
        );
        assert_eq!(
            meaning.differences(&original, &json!({"list": [{"a": 1}]})),
            ["tags is missing"]
        );
        assert_eq!(
            meaning
                .differences(&original, &json!({"tags": {"x": 1}, "list": [{"a": 2}]}))
                .len(),
            2
        );
        assert_eq!(
            meaning.differences(&original, &json!({"tags": {}, "list": []})).len(),
            1
        );
    }
}
