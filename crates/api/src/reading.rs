//! Reading what a newer schema let in: field by field, so that a field which this version cannot read hides neither the others nor
//! any other object. A list of a hundred objects must not fail for one of them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// How much of what is wrong with a field is told.
const PROBLEM_CHARS_MAX: usize = 200;

/// A field of a spec that this version cannot read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableField {
    /// Its name.
    pub field: String,
    /// What is wrong with its value.
    pub problem: String,
}

/// The fields of an object, taken out one by one.
pub(crate) struct Fields {
    fields: Map<String, Value>,
    unreadable: Vec<(UnreadableField, Value)>,
}

// === impl Fields ===

impl Fields {
    /// The fields of a value; one that is no object has none, and cannot be read.
    pub(crate) fn of(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self {
                fields,
                unreadable: Vec::new(),
            },
            other => Self {
                fields: Map::new(),
                unreadable: vec![(unreadable("", "it is not an object"), other)],
            },
        }
    }

    /// A field: its default when it is not there, and also, noted, when it cannot be read.
    pub(crate) fn take<T: DeserializeOwned + Default>(&mut self, field: &str) -> T {
        self.take_or(field, T::default)
    }

    /// A field: its default when it is not there, and something else, noted, when it cannot be read.
    pub(crate) fn take_or<T: DeserializeOwned + Default>(&mut self, field: &str, unread: impl Fn() -> T) -> T {
        let Some(value) = self.fields.remove(field).filter(|value| !value.is_null()) else {
            return T::default();
        };
        T::deserialize(&value).unwrap_or_else(|problem| {
            self.unreadable.push((unreadable(field, &problem.to_string()), value));
            unread()
        })
    }

    /// A list: of an item that cannot be read, what can be salvaged, noted.
    pub(crate) fn list<T: DeserializeOwned>(&mut self, field: &str, salvage: impl Fn(&Value) -> Option<T>) -> Vec<T> {
        let Some(Value::Array(items)) = self.fields.get_mut(field).map(Value::take) else {
            return self.take(field);
        };
        let mut read = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match T::deserialize(&item) {
                Ok(item) => read.push(item),
                Err(problem) => {
                    read.extend(salvage(&item));
                    let field = format!("{field}[{index}]");
                    self.unreadable.push((unreadable(&field, &problem.to_string()), item));
                }
            }
        }
        read
    }

    /// What could not be read.
    pub(crate) fn unreadable(self) -> Vec<UnreadableField> {
        self.unreadable.into_iter().map(|(field, _)| field).collect()
    }

    /// What could not be read, as it stands.
    pub(crate) fn into_what_stands(self) -> Map<String, Value> {
        self.unreadable
            .into_iter()
            .filter(|(unreadable, _)| !unreadable.field.is_empty())
            .map(|(unreadable, value)| (unreadable.field, value))
            .collect()
    }
}

/// Notes on what was read are no part of the object.
pub(crate) const fn is_a_note(_: &[UnreadableField]) -> bool {
    true
}

fn unreadable(field: &str, problem: &str) -> UnreadableField {
    UnreadableField {
        field: field.to_owned(),
        problem: problem.chars().take(PROBLEM_CHARS_MAX).collect(),
    }
}
