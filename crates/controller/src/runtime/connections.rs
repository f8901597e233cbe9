//! The connections to the API server. Each request has one to itself until its answer was read, and each stays open for a minute and a half after
//! that: a hundred passes at once would leave a hundred, of 70 KB each.

use std::sync::Arc;

use http::{Request, Uri};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use tokio::sync::Semaphore;

/// The most requests at once beside watches. With 5 ms for each, that is 1,600 in a second, and Azure admits 10 writes.
const AT_ONCE: usize = 8;

/// The same client, which asks for few things at once. Whoever comes first is asked for first; watches, which last, are not counted.
pub(crate) fn few(client: Client) -> Client {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, places) = (client.clone(), Arc::clone(&places));
        async move {
            let place = if watches(request.uri()) {
                None
            } else {
                // Nobody closes it.
                places.acquire_owned().await.ok()
            };
            let response = client.send(request).await?;
            Ok::<_, kube::Error>(response.map(|body| {
                body.map_frame(move |frame| {
                    // It is held as long as the body is.
                    let _ = &place;
                    frame
                })
            }))
        }
    });
    Client::new(service, namespace)
}

fn watches(uri: &Uri) -> bool {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    parameters.any(|parameter| parameter == "watch=true")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::future::join_all;
    use http::Response;
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn a_hundred_requests_have_few_connections_and_watches_take_none_of_them() {
        let (answers, answered) = watch::channel(false);
        let [asked, most] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let (asking, highest) = (Arc::clone(&asked), Arc::clone(&most));
        let server = tower::service_fn(move |request: Request<Body>| {
            let mut answered = answered.clone();
            let (asking, highest) = (Arc::clone(&asking), Arc::clone(&highest));
            async move {
                let lasts = watches(request.uri());
                if !lasts {
                    highest.fetch_max(asking.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    answered.wait_for(|answered| *answered).await.unwrap();
                    asking.fetch_sub(1, Ordering::SeqCst);
                }
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        });
        let client = few(Client::new(server, "default"));
        let get = |query: &str| {
            let request = Request::get(format!("/api/v1/serviceaccounts{query}"));
            client.send(request.body(Body::empty()).unwrap())
        };
        let watching = join_all((0..100).map(|_| get("?watch=true"))).await;
        assert!(watching.iter().all(Result::is_ok));
        let gets = join_all((0..100).map(|_| async { get("").await.map(drop) }));
        let release = async {
            while asked.load(Ordering::SeqCst) < AT_ONCE {
                tokio::task::yield_now().await;
            }
            answers.send_replace(true);
        };
        let (gets, ()) = tokio::join!(gets, release);
        assert!(gets.iter().all(Result::is_ok));
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        drop(watching);
    }
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_not_read_has_its_connection_still() {
        let server = tower::service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
        let client = few(Client::new(server, "default"));
        let get = || client.send(Request::get("/version").body(Body::empty()).unwrap());
        let mut unread = join_all((0..AT_ONCE).map(|_| get())).await;
        let soon = Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, get()).await.is_err());
        unread.pop();
        assert!(tokio::time::timeout(soon, get()).await.is_ok());
    }
}
