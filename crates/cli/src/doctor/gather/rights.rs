//! Rights: who has which role, and whether the operator may do what it does.

use futures::future;
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;
use wio_api::GROUP;
use wio_core::active_namespaces::ActiveNamespaces;

use super::super::access::{Access, Listed};
use super::super::facts::{Looked, OPERATOR};
use super::reads::Reads;

/// What the operator does in the whole cluster: group, resource, verb. The rest of its roles goes with these and those below.
const NEEDS: [(&str, &str, &str); 7] = [
    (GROUP, "workloadidentitybindings", "watch"),
    (GROUP, "workloadidentitybindings", "patch"),
    (GROUP, "workloadidentitybindings/status", "patch"),
    (GROUP, "workloadidentitypolicies", "watch"),
    (GROUP, "workloadidentitypolicies/status", "patch"),
    (GROUP, "workloadidentityeffectivepolicies", "patch"),
    ("", "namespaces", "watch"),
];
/// The same in the namespaces in which it acts.
const NEEDS_WITHIN: [(&str, &str, &str); 3] = [
    ("", "serviceaccounts", "create"),
    ("", "serviceaccounts", "patch"),
    ("events.k8s.io", "events", "create"),
];

/// The operator, as the API server knows it.
pub(super) struct User<'a> {
    pub(super) namespace: &'a str,
    pub(super) account: &'a str,
}

/// What is asked: in words, and as the API server is asked it.
type Question = (String, SubjectAccessReviewSpec);

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
pub(super) async fn lacks(reads: &Reads, user: User<'_>, namespaces: &ActiveNamespaces) -> Looked<Vec<String>> {
    let reviews: Api<SubjectAccessReview> = Api::all(reads.client.clone());
    let User { namespace, account } = user;
    let ask = async |(what, spec): Question| {
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
    let asked = questions(namespace, namespaces).into_iter().map(ask);
    let answers: Looked<Vec<Option<String>>> = future::join_all(asked).await.into_iter().collect();
    answers.map(|lacking| lacking.into_iter().flatten().collect())
}

/// What the operator needs where it is in a namespace of its own and acts in some or all.
fn questions(own: &str, namespaces: &ActiveNamespaces) -> Vec<Question> {
    let places: Vec<Option<&str>> = match namespaces {
        ActiveNamespaces::Only(namespaces) => namespaces.iter().map(|one| Some(one.as_str())).collect(),
        ActiveNamespaces::All | ActiveNamespaces::AllBut(_) => vec![None],
    };
    let within = places
        .into_iter()
        .flat_map(|place| NEEDS_WITHIN.map(|need| needing(need, place)));
    let everywhere = NEEDS.map(|need| needing(need, None));
    let mut asked: Vec<Question> = everywhere.into_iter().chain(within).collect();
    let lease = ResourceAttributes {
        group: Some("coordination.k8s.io".to_owned()),
        resource: Some("leases".to_owned()),
        verb: Some("update".to_owned()),
        namespace: Some(own.to_owned()),
        name: Some(OPERATOR.to_owned()),
        ..ResourceAttributes::default()
    };
    asked.push((format!("update its Lease in namespace {own}"), of_resource(lease)));
    let discovery = NonResourceAttributes {
        path: Some("/.well-known/openid-configuration".to_owned()),
        verb: Some("get".to_owned()),
    };
    let discovery = SubjectAccessReviewSpec {
        non_resource_attributes: Some(discovery),
        ..SubjectAccessReviewSpec::default()
    };
    asked.push(("read the discovery document".to_owned(), discovery));
    asked
}

/// Whether something may be done in a namespace, or in the whole cluster.
fn needing((group, resource, verb): (&str, &str, &str), namespace: Option<&str>) -> Question {
    let (name, part) = resource
        .split_once('/')
        .map_or((resource, None), |(name, part)| (name, Some(part)));
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(name.to_owned()),
        subresource: part.map(str::to_owned),
        verb: Some(verb.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let place = namespace.map(|namespace| format!(" in namespace {namespace}"));
    (
        format!("{verb} {resource}{}", place.unwrap_or_default()),
        of_resource(attributes),
    )
}

fn of_resource(attributes: ResourceAttributes) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked of service accounts, and where.
    fn of_accounts(namespaces: &ActiveNamespaces) -> Vec<(String, Option<String>)> {
        let asked = questions("platform", namespaces).into_iter();
        asked
            .filter(|(what, _)| what.starts_with("patch serviceaccounts"))
            .map(|(what, spec)| (what, spec.resource_attributes.unwrap().namespace))
            .collect()
    }

    #[test]
    fn rights_in_namespaces_are_asked_for_where_the_operator_acts() {
        let everywhere = [("patch serviceaccounts".to_owned(), None)];
        let named = ["shop", "mail"].map(|name| name.parse().unwrap());
        assert_eq!(of_accounts(&ActiveNamespaces::All), everywhere);
        assert_eq!(of_accounts(&ActiveNamespaces::AllBut(named.clone().into())), everywhere);
        let each = ["mail", "shop"].map(|name| {
            let what = format!("patch serviceaccounts in namespace {name}");
            (what, Some(name.to_owned()))
        });
        assert_eq!(of_accounts(&ActiveNamespaces::Only(named.into())), each);
    }
}
