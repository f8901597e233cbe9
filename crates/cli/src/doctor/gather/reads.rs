//! One read each. What cannot be read is said in the API server's words.

use std::fmt::Debug;

use futures::future;
use http::{Request, header};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, PostParams};
use kube::client::Body;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::pages::list;
use crate::session::{self, Discovery, told};

use super::super::facts::{Caller, Looked, OtherIssuers};

const METRICS: &str = "/metrics";
const VERSION: &str = "/version";

/// A reader.
pub(super) struct Reads {
    pub(super) client: Client,
}

// === impl Reads ===

impl Reads {
    pub(super) const fn new(client: Client) -> Self {
        Self { client }
    }

    #[allow(clippy::unused_self, reason = "it reads as what it is beside the others")]
    pub(super) fn told<T>(&self, read: Result<T, kube::Error>) -> Looked<T> {
        read.map_err(|error| told(error).to_string().into())
    }

    /// All objects of a kind, of all namespaces where it has some.
    pub(super) async fn list<K>(&self) -> Looked<Vec<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let all: Api<K> = Api::all(self.client.clone());
        self.told(list(&all, &ListParams::default()).await)
    }

    /// The objects with a label: of all namespaces or, where those may not be listed, of one.
    pub(super) async fn labelled<K>(&self, namespace: &str, label: &str) -> Looked<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let labelled = ListParams::default().labels(label);
        let all: Api<K> = Api::all(self.client.clone());
        let listed = match list(&all, &labelled).await {
            Err(kube::Error::Api(status)) if status.code == 403 => list(&self.within(namespace), &labelled).await,
            listed => listed,
        };
        self.told(listed)
    }

    pub(super) fn within<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// An object of the cluster; none when it is not there.
    pub(super) async fn get<K>(&self, name: &str) -> Looked<Option<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let all: Api<K> = Api::all(self.client.clone());
        self.told(all.get_opt(name).await)
    }

    /// Those of the named definitions that are there. One is as large as all other objects of an installation, so no more are read.
    pub(super) async fn definitions(&self, names: &[String]) -> Looked<Vec<CustomResourceDefinition>> {
        let read = names.iter().map(|name| self.get(name));
        let read: Looked<Vec<Option<CustomResourceDefinition>>> = future::join_all(read).await.into_iter().collect();
        read.map(|found| found.into_iter().flatten().collect())
    }

    pub(super) async fn discovery(&self) -> Looked<Discovery> {
        let read = session::discovery(&self.client).await;
        read.map_err(|error| format!("{error:#}").into())
    }

    /// How far the clock of the API server is ahead of the one here, to the second.
    pub(super) async fn ahead(&self) -> Looked<SignedDuration> {
        let request = Request::get(VERSION)
            .body(Body::empty())
            .map_err(|error| error.to_string())?;
        let answer = self.told(self.client.send(request).await)?;
        let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.ok_or("the API server's answers carry no date")?;
        let there = DateTimeParser::new().parse_timestamp(date);
        let there = there.map_err(|error| error.to_string())?;
        Ok(there.duration_since(Timestamp::now()))
    }

    /// What its metrics tell of issuers of others. They are many, and each API server has its own.
    pub(super) async fn other_issuers(&self) -> Looked<OtherIssuers> {
        let request = Request::get(METRICS)
            .body(Vec::new())
            .map_err(|error| error.to_string())?;
        let text = self.told(self.client.request_text(request).await)?;
        Ok(OtherIssuers::of_metrics(&text))
    }

    /// Who the API server takes the caller for.
    pub(super) async fn caller(&self) -> Looked<Caller> {
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = self.told(
            reviews
                .create(&PostParams::default(), &SelfSubjectReview::default())
                .await,
        )?;
        let user = review
            .status
            .and_then(|status| status.user_info)
            .ok_or("the API server does not say it")?;
        Ok(Caller {
            name: user.username.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
        })
    }
}
