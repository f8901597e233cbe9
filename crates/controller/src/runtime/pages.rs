//! Pages of lists, measured in bytes: many small objects come in few pages, and a page of big ones stays small.
//!
//! A page is in memory as text and as objects at once, with all that is dropped right after (`caches/kept`). Whoever may write objects may make
//! each of them 1.5 MB long, so a page that becomes too long on its way is given up, and asked for again with few objects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;

/// How many objects a page holds as long as it is not known how long they are. The longest such page decides how much memory a start takes.
pub(crate) const FEW: u32 = 20;

/// The most objects of a page: as many as kubectl asks for.
const MANY: u32 = 500;

/// The length of a page, in bytes: ten thousand objects of 4 KB come in eighty.
const LENGTH: usize = 512 * 1024;

/// The length at which a page of more than a few objects is given up.
const TOO_LONG: usize = 4 * LENGTH;

/// How many objects the next page of each list is to hold, by the path of the list.
#[derive(Debug, Default)]
struct Sizes(Mutex<HashMap<Box<str>, u32>>);

/// The same client, of which whoever asks for pages of [`FEW`] objects gets pages of the right length.
pub(crate) fn by_length(client: Client) -> Client {
    let sizes = Arc::new(Sizes::default());
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, sizes) = (client.clone(), Arc::clone(&sizes));
        async move {
            let (parts, body) = request.into_parts();
            if asks_for_few(&parts.uri) {
                page(&client, &parts, &sizes).await
            } else {
                client.send(Request::from_parts(parts, body)).await
            }
        }
    });
    Client::new(service, namespace)
}

/// A page of a list. What asks for it has no body.
async fn page(client: &Client, asked: &Parts, sizes: &Sizes) -> kube::Result<Response<Body>> {
    let path = asked.uri.path();
    let size = sizes.next(path);
    // Whatever goes wrong, the next page is a small one.
    sizes.set(path, FEW);
    if size > FEW {
        let (head, body) = client.send(with_limit(asked, size)).await?.into_parts();
        match Limited::new(body, TOO_LONG).collect().await {
            Ok(text) => return Ok(sizes.learn((path, size), head, text.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {}
            Err(error) => return Err(kube::Error::Service(error)),
        }
    }
    let (head, body) = client.send(with_limit(asked, FEW)).await?.into_parts();
    Ok(sizes.learn((path, FEW), head, body.collect().await?.to_bytes()))
}

// === impl Sizes ===

impl Sizes {
    fn next(&self, path: &str) -> u32 {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(path).copied().unwrap_or(FEW)
    }

    fn set(&self, path: &str, size: u32) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.insert(path.into(), size);
    }

    /// The answer, of which the size of the next page is learned.
    fn learn(&self, (path, size): (&str, u32), head: http::response::Parts, text: Bytes) -> Response<Body> {
        if head.status.is_success() {
            self.set(path, next_size(size, text.len()));
        }
        Response::from_parts(head, Body::from(text))
    }
}

/// How many objects make a page of the right length, when so many made one of this length.
fn next_size(size: u32, length: usize) -> u32 {
    let fitting = LENGTH.saturating_mul(size as usize) / length.max(1);
    u32::try_from(fitting).unwrap_or(MANY).clamp(FEW, MANY)
}

/// Whether a request asks for a page of [`FEW`] objects.
fn asks_for_few(uri: &Uri) -> bool {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    parameters.any(|parameter| limit_of(parameter) == Some(FEW))
}

fn limit_of(parameter: &str) -> Option<u32> {
    parameter.strip_prefix("limit=")?.parse().ok()
}

/// The same request, for a page of so many objects.
fn with_limit(asked: &Parts, size: u32) -> Request<Body> {
    let query = asked.uri.query().unwrap_or_default().split('&');
    let limited = |parameter: &str| match limit_of(parameter) {
        Some(_) => format!("limit={size}"),
        None => parameter.to_owned(),
    };
    let query: Vec<String> = query.map(limited).collect();
    let mut uri = asked.uri.clone().into_parts();
    uri.path_and_query = format!("{}?{}", asked.uri.path(), query.join("&")).parse().ok();
    let mut parts = asked.clone();
    // One that differs in a number is an address as well.
    parts.uri = Uri::from_parts(uri).unwrap_or(parts.uri);
    Request::from_parts(parts, Body::empty())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::StreamExt;
    use http::StatusCode;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    /// What an API server was asked for, and how many bytes of its answers were read.
    #[derive(Debug, Default)]
    struct Heard {
        limits: Mutex<Vec<u32>>,
        read: Mutex<usize>,
    }

    /// A client of an API server whose nth page has objects of this many bytes, or is refused.
    fn client(length: impl Fn(usize) -> Option<usize> + Clone + Send + 'static) -> (Client, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        let hearing = Arc::clone(&heard);
        let service = tower::service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default();
            let limit = query.split('&').find_map(limit_of).unwrap_or_default();
            let mut limits = hearing.limits.lock().unwrap();
            limits.push(limit);
            let length = length(limits.len());
            let (status, count) = length.map_or((StatusCode::GATEWAY_TIMEOUT, 0), |_| (StatusCode::OK, limit));
            let hearing = Arc::clone(&hearing);
            let frames = futures::stream::iter(0..count).map(move |_| {
                *hearing.read.lock().unwrap() += length.unwrap_or_default();
                Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; length.unwrap_or_default()])))
            });
            let response = Response::builder()
                .status(status)
                .body(StreamBody::new(frames))
                .unwrap();
            async move { Ok::<_, Infallible>(response) }
        });
        (by_length(Client::new(service, "default")), heard)
    }

    async fn get(client: &Client, query: &str) -> (StatusCode, usize) {
        let request = Request::get(format!("/api/v1/serviceaccounts{query}"))
            .body(Body::empty())
            .unwrap();
        let (head, body) = client.send(request).await.unwrap().into_parts();
        (head.status, body.collect().await.unwrap().to_bytes().len())
    }

    async fn pages(client: &Client, count: usize) {
        for _ in 0..count {
            get(client, "?limit=20&labelSelector=a&continue=b").await;
        }
    }

    #[tokio::test]
    async fn ten_thousand_small_objects_come_in_few_pages() {
        let (client, heard) = client(|_| Some(4096));
        let listed = async {
            while heard.limits.lock().unwrap().iter().sum::<u32>() < 10_000 {
                pages(&client, 1).await;
            }
        };
        listed.await;
        let limits = heard.limits.lock().unwrap();
        assert!(limits.len() < 90, "{limits:?}");
        assert_eq!(limits.first(), Some(&FEW), "nothing is known of the first page");
    }

    /// Whoever makes his objects long after the pages have become large gains no memory by that.
    #[tokio::test]
    async fn a_page_that_becomes_too_long_is_given_up_and_asked_for_with_few_objects() {
        const LONG: usize = 1_500_000;
        let (client, heard) = client(|page| Some(if page < 3 { 1024 } else { LONG }));
        pages(&client, 2).await;
        let before = *heard.read.lock().unwrap();
        let (status, length) = get(&client, "?limit=20").await;
        assert_eq!((status, length), (StatusCode::OK, LONG * 20));
        let given_up = *heard.read.lock().unwrap() - before - length;
        assert!(given_up <= TOO_LONG + LONG, "{given_up}");
        pages(&client, 1).await;
        assert_eq!(*heard.limits.lock().unwrap(), [20, 500, 500, 20, 20]);
    }

    #[tokio::test]
    async fn a_page_that_is_refused_is_followed_by_a_small_one() {
        let (client, heard) = client(|page| (page != 2).then_some(1024));
        pages(&client, 3).await;
        assert_eq!(*heard.limits.lock().unwrap(), [20, 500, 20]);
    }

    #[tokio::test]
    async fn what_asks_for_no_page_of_few_is_asked_as_it_is() {
        let (client, heard) = client(|_| Some(10));
        for query in ["?limit=1", "", "?watch=true", "?limit=200"] {
            get(&client, query).await;
        }
        assert_eq!(*heard.limits.lock().unwrap(), [1, 0, 0, 200]);
    }
}
