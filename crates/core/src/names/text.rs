//! What all names have in common: a text, a rule, and an error that tells both.

use std::borrow::Cow;
use std::fmt;

/// A text that breaks the rule of the name it was meant to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName {
    /// What it was meant to be, for example "resource group name".
    pub what: &'static str,
    /// The text, shortened to what fits in a message.
    pub value: String,
    /// The rule it breaks.
    pub rule: Cow<'static, str>,
}

impl InvalidName {
    pub(crate) fn new(what: &'static str, value: &str, rule: impl Into<Cow<'static, str>>) -> Self {
        const SHOWN_CHARS: usize = 80;
        let mut shown: String = value.chars().take(SHOWN_CHARS).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self {
            what,
            value: shown,
            rule: rule.into(),
        }
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let article = if self.what.starts_with(['a', 'i']) { "an" } else { "a" };
        write!(f, "{:?} is not {article} {}: {}", self.value, self.what, self.rule)
    }
}

impl std::error::Error for InvalidName {}

/// Implements a string newtype whose only constructor is `FromStr` with the given rule.
macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);
        $crate::names::text::text_newtype!(@impl $name, $what, $rule, $accepts);
    };
    (@impl $name:ident, $what:literal, $rule:expr, $accepts:expr) => {
        impl $name {
            /// The text as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::names::text::InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err($crate::names::text::InvalidName::new($what, text, $rule))
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// As `text_newtype`, for names that Azure compares without regard to case: it may answer in another case than was sent.
macro_rules! caseless_newtype {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(String);
        $crate::names::text::text_newtype!(@impl $name, $what, $rule, $accepts);

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.eq_ignore_ascii_case(&other.0)
            }
        }

        impl Eq for $name {}

        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.0.to_ascii_lowercase().hash(state);
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.0.to_ascii_lowercase().cmp(&other.0.to_ascii_lowercase())
            }
        }
    };
}

pub(crate) use caseless_newtype;
pub(crate) use text_newtype;
