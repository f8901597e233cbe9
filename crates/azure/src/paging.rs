//! Lists in pages: follows `nextLink` until it has them all.

use std::collections::HashSet;

use azure_core::http::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wio_core::fault::AzureCause;

use crate::pipeline::Pipeline;
use crate::telemetry::Operation;
use crate::urls::ListUrl;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    value: Vec<T>,
    next_link: Option<String>,
}

/// A whole list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages<T> {
    /// The entries of all pages.
    pub entries: Vec<T>,
    /// How many requests it took: one for each page.
    pub requests: usize,
}

/// The entries of all pages of a list. A list that comes back to a page, or that has more than `max_pages`, is an error, as is a page that cannot
/// be had: half a list is no list.
pub(crate) async fn list_all<T: DeserializeOwned>(
    pipeline: &Pipeline,
    operation: Operation,
    list: &ListUrl,
    max_pages: usize,
) -> Result<Pages<T>, AzureCause> {
    let (mut entries, mut followed) = (Vec::new(), HashSet::new());
    let mut url: Url = list.first.clone();
    for requests in 1..=max_pages {
        if !followed.insert(url.clone()) {
            return Err(AzureCause::Malformed("the list leads in a circle".to_owned()));
        }
        let page: Page<T> = pipeline.get_json(operation, url).await?;
        entries.extend(page.value);
        match page.next_link.filter(|link| !link.is_empty()) {
            Some(link) => url = list.next_page(&link)?,
            None => return Ok(Pages { entries, requests }),
        }
    }
    Err(AzureCause::Malformed(format!(
        "the list has more than {max_pages} pages"
    )))
}

// === impl Pages ===

impl<T> Pages<T> {
    /// The same list of those that can be read as something.
    pub(crate) fn filter_map<U>(self, read: impl FnMut(T) -> Option<U>) -> Pages<U> {
        Pages {
            entries: self.entries.into_iter().filter_map(read).collect(),
            requests: self.requests,
        }
    }
}
