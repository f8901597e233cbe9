//! Lists in pages, as kubectl takes them: an API server that has to write out a hundred thousand objects at once gives up, or is slow for all others.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{ListParams, ObjectList};
use serde::de::DeserializeOwned;

/// The objects of a page.
const PAGE: u32 = 500;

/// All objects of a list.
///
/// # Errors
/// What the API server answers.
pub(crate) async fn list<K>(api: &Api<K>, asked: &ListParams) -> kube::Result<Vec<K>>
where
    K: Clone + Debug + DeserializeOwned,
{
    paged(asked, async |page| api.list(&page).await).await
}

/// The metadata of all objects of a list.
///
/// # Errors
/// What the API server answers.
pub(crate) async fn list_metadata<K>(api: &Api<K>, asked: &ListParams) -> kube::Result<Vec<ObjectMeta>>
where
    K: Clone + Debug + DeserializeOwned,
{
    let objects = paged(asked, async |page| api.list_metadata(&page).await).await?;
    Ok(objects.into_iter().map(|object| object.metadata).collect())
}

async fn paged<K: Clone>(
    asked: &ListParams,
    ask: impl AsyncFn(ListParams) -> kube::Result<ObjectList<K>>,
) -> kube::Result<Vec<K>> {
    let first = asked.clone().limit(PAGE);
    let (mut page, mut objects) = (first.clone(), Vec::new());
    loop {
        let listed = match ask(page).await {
            // The pages show one moment, which the API server keeps for some minutes: past them the list is taken whole.
            Err(kube::Error::Api(status)) if status.code == 410 => return Ok(ask(asked.clone()).await?.items),
            listed => listed?,
        };
        objects.extend(listed.items);
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = first.clone().continue_token(&token),
            None => return Ok(objects),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ServiceAccount;
    use wio_testkit::fixtures::service_account;
    use wio_testkit::{Effect, FakeApiServer, Matcher, Verb};

    use super::*;

    #[tokio::test]
    async fn every_page_is_read_and_the_whole_list_where_the_pages_are_over() {
        let server = FakeApiServer::new();
        server.create_namespace("shop");
        for number in 0..1001 {
            server.seed(service_account("shop", &format!("a{number}")).build());
        }
        let api: Api<ServiceAccount> = Api::all(server.client());
        let all = ListParams::default();
        assert_eq!(list(&api, &all).await.unwrap().len(), 1001);
        assert_eq!(server.requests().len(), 3, "five hundred, five hundred and one");
        let second = Matcher::any().verb(Verb::List).skip(1).times(1);
        server.inject(
            second,
            Effect::status(410, "Expired", "The provided continue parameter is too old"),
        );
        assert_eq!(list_metadata(&api, &all).await.unwrap().len(), 1001);
    }
}
