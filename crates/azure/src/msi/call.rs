//! `azure_mgmt_msi`, carried over our pipeline (docs/adr/0002): its request builders and models, never its transport.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azure_core::http::{Method, Request, Url};
use azure_core::time::OffsetDateTime;
use azure_core_legacy as legacy;
use azure_core_legacy::error::{Error, ErrorKind};
use azure_mgmt_msi::Client;
use wio_core::fault::AzureCause;
use wio_core::names::{IdentityId, Location};

use crate::answer::Answer;
use crate::pipeline::Pipeline;
use crate::telemetry::Operation;

/// One request that `azure_mgmt_msi` builds and our pipeline sends.
#[derive(Clone, Debug)]
pub(super) struct Call(Arc<Carrier>);

/// The transport of one call. It keeps what the old client would throw away: the status of a success, and all of an
/// error.
#[derive(Debug)]
struct Carrier {
    pipeline: Arc<Pipeline>,
    operation: Operation,
    url: Url,
    region: Option<Location>,
    seen: Mutex<Option<Result<Answer, AzureCause>>>,
}

/// A credential that does nothing: the old client insists on one. The real one is in the pipeline, behind the guard.
#[derive(Debug)]
struct Placeholder;

// === impl Call ===

impl Call {
    /// A call that may ask for `url` and nothing else.
    pub(super) fn new(pipeline: &Arc<Pipeline>, operation: Operation, url: Url) -> Self {
        Self::creating_in(pipeline, operation, url, None)
    }

    /// A call that may create a managed identity in a region.
    pub(super) fn creating_in(
        pipeline: &Arc<Pipeline>,
        operation: Operation,
        url: Url,
        region: Option<Location>,
    ) -> Self {
        Self(Arc::new(Carrier {
            pipeline: Arc::clone(pipeline),
            operation,
            url,
            region,
            seen: Mutex::new(None),
        }))
    }

    /// A client that sends one request, by this call.
    pub(super) fn client(&self) -> Client {
        let carrier = Arc::clone(&self.0) as Arc<dyn legacy::HttpClient>;
        let options =
            legacy::ClientOptions::new(legacy::TransportOptions::new(carrier)).retry(legacy::RetryOptions::none());
        Client::new(
            self.0.pipeline.urls.endpoint(),
            Arc::new(Placeholder),
            Vec::new(),
            options,
        )
    }

    /// Waits for what the client makes of the answer, and gives the answer too.
    pub(super) async fn run<T>(
        self,
        sending: impl Future<Output = legacy::Result<T>>,
    ) -> Result<(Answer, T), AzureCause> {
        let result = sending.await;
        let seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (seen, result) {
            (Some(Ok(answer)), Ok(model)) => Ok((answer, model)),
            (Some(Ok(_)), Err(error)) => Err(AzureCause::Malformed(error.to_string())),
            (Some(Err(cause)), _) => Err(cause),
            (None, Err(error)) => Err(AzureCause::Refused(error.to_string())),
            (None, Ok(_)) => Err(AzureCause::Malformed("there was no answer".to_owned())),
        }
    }
}

// === impl Carrier ===

impl Carrier {
    async fn carry(&self, old: &legacy::Request) -> Result<Answer, AzureCause> {
        // The old client pastes names into a path, where `a/../b` and `%2f` would lead elsewhere. What it made must be
        // what was meant, segment for segment.
        if *old.url() != self.url {
            return Err(AzureCause::Refused(format!(
                "{} is not the path that was meant",
                old.url().path()
            )));
        }
        let method = match old.method() {
            legacy::Method::Get => Method::Get,
            legacy::Method::Put => Method::Put,
            legacy::Method::Patch => Method::Patch,
            legacy::Method::Delete => Method::Delete,
            other => return Err(AzureCause::Refused(format!("{other} requests are not sent"))),
        };
        let mut request = Request::new(self.url.clone(), method);
        if let legacy::Body::Bytes(body) = old.body()
            && !body.is_empty()
        {
            request.insert_header("content-type", "application/json");
            request.set_body(body.clone());
        }
        self.pipeline
            .send_in(self.operation, request, self.region.as_ref())
            .await
    }
}

#[async_trait]
impl legacy::HttpClient for Carrier {
    async fn execute_request(&self, request: &legacy::Request) -> legacy::Result<legacy::Response> {
        let outcome = self.carry(request).await;
        let reply = match &outcome {
            Ok(answer) => reply(answer),
            Err(_) => Err(Error::message(ErrorKind::Other, "not a success; the call knows more")),
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        reply
    }
}

/// The parts of an identity's id, as the generated builders want them.
pub(super) fn names(id: &IdentityId) -> [String; 3] {
    [
        id.group.subscription.to_string(),
        id.group.name.to_string(),
        id.name.to_string(),
    ]
}

fn reply(answer: &Answer) -> legacy::Result<legacy::Response> {
    let status = legacy::StatusCode::try_from(answer.status).map_err(|_| {
        Error::message(
            ErrorKind::DataConversion,
            format!("status {} is unknown", answer.status),
        )
    })?;
    let body = Box::pin(legacy::BytesStream::new(answer.body.clone()));
    Ok(legacy::Response::new(status, legacy::headers::Headers::new(), body))
}

// === impl Placeholder ===

#[async_trait]
impl legacy::auth::TokenCredential for Placeholder {
    async fn get_token(&self, _: &[&str]) -> legacy::Result<legacy::auth::AccessToken> {
        Ok(legacy::auth::AccessToken::new("placeholder", OffsetDateTime::now_utc()))
    }

    async fn clear_cache(&self) -> legacy::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use wio_testkit::azure::{credential, transport};

    use super::*;
    use crate::cloud::{ApiVersion, Cloud, Endpoints};

    /// A name `a/../b` fetched `b` when the generated client was given it. The newtypes of the domain hold no such name;
    /// this is the second lock on the same door.
    #[tokio::test]
    async fn a_path_that_is_not_the_one_that_was_meant_never_leaves() {
        let nowhere = transport(|request| async move {
            panic!("{} left", request.uri());
            #[expect(unreachable_code, reason = "it says what the future would give")]
            Ok::<http::Response<bytes::Bytes>, Infallible>(http::Response::default())
        });
        let endpoints = Endpoints::new(Cloud::Public, None, ApiVersion::default()).unwrap();
        let pipeline = Arc::new(Pipeline::new(nowhere, credential("t"), endpoints));
        let id = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/operator/providers/\
                  Microsoft.ManagedIdentity/userAssignedIdentities/orders";
        let id = id.parse().unwrap();
        for name in [
            "mails/../orders2",
            "../orders",
            "..",
            "orders%2f",
            "orders%2F..",
            "orders?x=y",
            "orders#",
            "orders/federatedIdentityCredentials/x",
        ] {
            let call = Call::new(&pipeline, Operation::DeleteIdentity, pipeline.urls.identity(&id));
            let client = call.client().user_assigned_identities_client();
            let sending = client
                .delete("6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11", "operator", name)
                .send();
            let cause = call.run(sending).await.map(|_| ()).unwrap_err();
            assert!(matches!(&cause, AzureCause::Refused(_)), "{name}: {cause:?}");
        }
    }
}
