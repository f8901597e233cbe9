//! Lists in messages: a message is read by people, and a policy can hold hundreds.

use std::fmt::Display;

/// The first few of a list, and how many more there are.
pub(crate) fn first<T: Display>(items: &[T], shown: usize) -> String {
    let texts: Vec<String> = items.iter().take(shown).map(ToString::to_string).collect();
    let texts = texts.join(", ");
    match items.len().saturating_sub(shown) {
        0 => texts,
        more => format!("{texts} and {more} more"),
    }
}
