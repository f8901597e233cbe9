//! Lists in pages: follows `nextLink` until it has them all.

use std::collections::HashSet;
use std::time::Duration;

use azure_core::http::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use wio_core::fault::{AzureCause, AzureFault};

use crate::pipeline::Pipeline;
use crate::telemetry::Operation;
use crate::urls::ListUrl;

/// How often a page of a long list is asked for.
const TRIES: usize = 3;

/// How long it is until it is asked for again, when Azure does not say it, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

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
    /// How many requests it took: one for each page, and one for each time that one was asked for again.
    pub requests: usize,
}

/// A list that could not be had whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted {
    /// Why.
    pub fault: AzureFault,
    /// How many requests it took all the same.
    pub requests: usize,
}

/// The same, before it is said what was listed.
pub(crate) struct Incomplete {
    cause: AzureCause,
    requests: usize,
}

/// A list that is being read.
struct Reading<'a> {
    pipeline: &'a Pipeline,
    operation: Operation,
    tries: usize,
    requests: usize,
}

/// The entries of all pages of a list. A list that comes back to a page, or that has more than `max_pages`, is an error, as is a page that cannot
/// be had: half a list is no list.
pub(crate) async fn list_all<T: DeserializeOwned>(
    pipeline: &Pipeline,
    operation: Operation,
    list: &ListUrl,
    max_pages: usize,
) -> Result<Pages<T>, AzureCause> {
    let listed = read((pipeline, operation), list, (max_pages, 1)).await;
    listed.map_err(|incomplete| incomplete.cause)
}

/// The same for a list that may be long and that no binding waits for: a page is asked for again when that may help, for with one of many the
/// whole list would be lost.
pub(crate) async fn list_patiently<T: DeserializeOwned>(
    pipeline: &Pipeline,
    operation: Operation,
    list: &ListUrl,
    max_pages: usize,
) -> Result<Pages<T>, Incomplete> {
    read((pipeline, operation), list, (max_pages, TRIES)).await
}

async fn read<T: DeserializeOwned>(
    (pipeline, operation): (&Pipeline, Operation),
    list: &ListUrl,
    (max_pages, tries): (usize, usize),
) -> Result<Pages<T>, Incomplete> {
    let mut reading = Reading {
        pipeline,
        operation,
        tries,
        requests: 0,
    };
    let read = reading.all(list, max_pages).await;
    let requests = reading.requests;
    match read {
        Ok(entries) => Ok(Pages { entries, requests }),
        Err(cause) => Err(Incomplete { cause, requests }),
    }
}

/// How long it is until a page may be had that could not be had; none where asking again does not help.
fn again_in(cause: &AzureCause) -> Option<Duration> {
    match cause {
        AzureCause::Answer(answer) if matches!(answer.status, 429 | 500..=599) => {
            Some(answer.retry_after.map_or(PAUSE, |asked| asked.min(PAUSE_MAX)))
        }
        AzureCause::Timeout | AzureCause::Transport(_) => Some(PAUSE),
        _ => None,
    }
}

/// Whether a request that failed like this was sent.
const fn was_sent(cause: &AzureCause) -> bool {
    !matches!(
        cause,
        AzureCause::Budget(_) | AzureCause::Credential(_) | AzureCause::Refused(_)
    )
}

// === impl Reading ===

impl Reading<'_> {
    async fn all<T: DeserializeOwned>(&mut self, list: &ListUrl, max_pages: usize) -> Result<Vec<T>, AzureCause> {
        let (mut entries, mut followed) = (Vec::new(), HashSet::new());
        let mut url: Url = list.first.clone();
        for _ in 0..max_pages {
            if !followed.insert(url.clone()) {
                return Err(AzureCause::Malformed("the list leads in a circle".to_owned()));
            }
            let page: Page<T> = self.page(url).await?;
            entries.extend(page.value);
            match page.next_link.filter(|link| !link.is_empty()) {
                Some(link) => url = list.next_page(&link)?,
                None => return Ok(entries),
            }
        }
        Err(AzureCause::Malformed(format!(
            "the list has more than {max_pages} pages"
        )))
    }

    async fn page<T: DeserializeOwned>(&mut self, url: Url) -> Result<Page<T>, AzureCause> {
        for _ in 1..self.tries {
            match self.once(url.clone()).await {
                Err(cause) => match again_in(&cause) {
                    Some(pause) => sleep(pause).await,
                    None => return Err(cause),
                },
                page => return page,
            }
        }
        self.once(url).await
    }

    async fn once<T: DeserializeOwned>(&mut self, url: Url) -> Result<Page<T>, AzureCause> {
        let page = self.pipeline.get_json(self.operation, url).await;
        self.requests += usize::from(page.as_ref().err().is_none_or(was_sent));
        page
    }
}

// === impl Incomplete ===

impl Incomplete {
    /// It was this that could not be done.
    pub(crate) fn when(self, operation: String) -> Unlisted {
        let Self { cause, requests } = self;
        let fault = AzureFault { operation, cause };
        Unlisted { fault, requests }
    }

    /// The same for another cause, or the same one in other words.
    pub(crate) fn because(self, reword: impl FnOnce(AzureCause) -> AzureCause) -> Self {
        Self {
            cause: reword(self.cause),
            ..self
        }
    }
}

// === impl Unlisted ===

impl From<Unlisted> for AzureFault {
    fn from(unlisted: Unlisted) -> Self {
        unlisted.fault
    }
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
