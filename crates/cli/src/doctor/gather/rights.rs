//! Rights: who has which role, and whether the operator may do what it does.

use futures::future;
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use wio_api::GROUP;

use super::super::access::{Access, Listed};
use super::super::facts::{Looked, OPERATOR};
use super::reads::Reads;

/// What the operator does in the cluster: group, resource, verb. The rest of its role goes with these.
pub(in super::super) const NEEDS: [(&str, &str, &str); 9] = [
    (GROUP, "workloadidentitybindings", "watch"),
    (GROUP, "workloadidentitybindings", "patch"),
    (GROUP, "workloadidentitybindings/status", "patch"),
    (GROUP, "workloadidentitypolicies", "watch"),
    (GROUP, "workloadidentitypolicies/status", "patch"),
    (GROUP, "workloadidentityeffectivepolicies", "patch"),
    ("", "serviceaccounts", "create"),
    ("", "serviceaccounts", "patch"),
    ("", "namespaces", "watch"),
];

pub(super) async fn access(reads: &Reads) -> Looked<Access> {
    let (cluster_roles, cluster_role_bindings, roles, role_bindings) =
        future::join4(reads.list(), reads.list(), reads.list(), reads.list()).await;
    Ok(Access::of(&Listed {
        cluster_roles: cluster_roles?,
        cluster_role_bindings: cluster_role_bindings?,
        roles: roles?,
        role_bindings: role_bindings?,
    }))
}

/// What of it the API server would refuse the operator, whichever way it decides.
pub(super) async fn lacks(reads: &Reads, namespace: &str, account: &str) -> Looked<Vec<String>> {
    let mut asked: Vec<(String, SubjectAccessReviewSpec)> = Vec::new();
    for (group, resource, verb) in NEEDS {
        let (name, part) = resource
            .split_once('/')
            .map_or((resource, None), |(name, part)| (name, Some(part)));
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(name.to_owned()),
            subresource: part.map(str::to_owned),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        asked.push((format!("{verb} {resource}"), of_resource(attributes)));
    }
    let lease = ResourceAttributes {
        group: Some("coordination.k8s.io".to_owned()),
        resource: Some("leases".to_owned()),
        verb: Some("update".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(OPERATOR.to_owned()),
        ..ResourceAttributes::default()
    };
    asked.push((format!("update its Lease in namespace {namespace}"), of_resource(lease)));
    let discovery = NonResourceAttributes {
        path: Some("/.well-known/openid-configuration".to_owned()),
        verb: Some("get".to_owned()),
    };
    let discovery = SubjectAccessReviewSpec {
        non_resource_attributes: Some(discovery),
        ..SubjectAccessReviewSpec::default()
    };
    asked.push(("read the discovery document".to_owned(), discovery));
    let reviews: Api<SubjectAccessReview> = Api::all(reads.client.clone());
    let ask = async |(what, spec): (String, SubjectAccessReviewSpec)| {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{account}")),
                groups: Some(vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ]),
                ..spec
            },
            ..SubjectAccessReview::default()
        };
        let answer = reads.told(reviews.create(&PostParams::default(), &review).await)?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        Ok((!allowed).then_some(what))
    };
    let answers: Looked<Vec<Option<String>>> = future::join_all(asked.into_iter().map(ask)).await.into_iter().collect();
    answers.map(|lacking| lacking.into_iter().flatten().collect())
}

fn of_resource(attributes: ResourceAttributes) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    }
}
