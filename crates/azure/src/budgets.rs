//! Rate-limit budgets: how many requests Azure Resource Manager says that it still admits.

use azure_core::http::headers::{HeaderName, Headers};

/// How many requests Azure Resource Manager still admits, as an answer said it: the lower one of the older and the newer
/// header. <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets {
    /// Reads.
    pub reads: Option<u64>,
    /// Writes.
    pub writes: Option<u64>,
    /// Deletions.
    pub deletes: Option<u64>,
}

// === impl Budgets ===

impl Budgets {
    pub(crate) fn of(headers: &Headers) -> Self {
        let left = |names: [&'static str; 2]| {
            let read = |name| {
                headers
                    .get_optional_str(&HeaderName::from_static(name))?
                    .trim()
                    .parse()
                    .ok()
            };
            names.into_iter().filter_map(read).min()
        };
        Self {
            reads: left([
                "x-ms-ratelimit-remaining-subscription-reads",
                "x-ms-ratelimit-remaining-subscription-global-reads",
            ]),
            writes: left([
                "x-ms-ratelimit-remaining-subscription-writes",
                "x-ms-ratelimit-remaining-subscription-global-writes",
            ]),
            deletes: left([
                "x-ms-ratelimit-remaining-subscription-deletes",
                "x-ms-ratelimit-remaining-subscription-global-deletes",
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_one_of_both_families_of_headers_is_what_is_left() {
        let mut headers = Headers::new();
        headers.insert("x-ms-ratelimit-remaining-subscription-reads", "249");
        headers.insert("x-ms-ratelimit-remaining-subscription-global-reads", "3749");
        headers.insert("x-ms-ratelimit-remaining-subscription-global-writes", "12");
        headers.insert("x-ms-ratelimit-remaining-subscription-deletes", "many");
        let budgets = Budgets {
            reads: Some(249),
            writes: Some(12),
            deletes: None,
        };
        assert_eq!(Budgets::of(&headers), budgets);
        assert_eq!(Budgets::of(&Headers::new()), Budgets::default());
    }
}
