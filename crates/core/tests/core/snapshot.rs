//! The cases that follow from lists of a cluster: whom a binding may share something with, and what comes before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{
    DeletionPolicy, IdentityOrigin, IdentityStatus, ManagedIdentity, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus, keys,
};
use wio_core::binding::Binding;
use wio_core::names::Namespace;
use wio_core::policy::Policies;
use wio_core::snapshot::{Lists, Snapshot};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::given::{EXISTING, NOW, cluster, config, deleted, name, parsed, usage_of, written};

fn begun(namespace: &str, name: &str) -> BindingBuilder {
    let start = binding(namespace, name).uid(&format!("{namespace}-{name}"));
    start.finalizer(keys::FINALIZER).status(written())
}

fn chosen() -> ManagedIdentity {
    ManagedIdentity {
        name: Some("shop_orders".to_owned()),
        ..ManagedIdentity::default()
    }
}

/// Namespaces shop and bank, of which shop may have five credentials.
fn snapshot(objects: &[WorkloadIdentityBinding]) -> Snapshot {
    let limited = policy("p").namespace("shop").max_federated_credentials(5).build();
    let namespace = |text: &str| (name::<Namespace>(text), BTreeMap::new());
    Snapshot::of(Lists {
        cluster: cluster(),
        config: Arc::new(config()),
        policies: Arc::new(Policies::parse([&limited])),
        namespaces: [namespace("shop"), namespace("bank")].into(),
        bindings: objects
            .iter()
            .map(|object| (parsed(object), usage_of(object)))
            .collect(),
        labelled: BTreeMap::from([("shop-bills".to_owned(), BTreeSet::from([name("left")]))]),
        now: NOW,
    })
}

fn names<'a>(bindings: impl Iterator<Item = &'a Binding>) -> Vec<String> {
    bindings.map(|one| one.owner.name.to_string()).collect()
}

#[test]
fn a_case_has_those_that_may_share_an_account_or_the_identity_and_nobody_else() {
    let at = |mut object: WorkloadIdentityBinding, second| {
        object.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        object
    };
    let all = [
        at(
            begun("shop", "orders")
                .managed()
                .service_account("a")
                .service_account("b")
                .build(),
            1,
        ),
        at(
            begun("shop", "mails").existing(EXISTING).service_account("a").build(),
            2,
        ),
        at(
            begun("shop", "bills").existing(EXISTING).service_account("z").build(),
            3,
        ),
        at(begun("shop", "left").managed().service_account("left").build(), 4),
        deleted(
            begun("shop", "going").managed().service_account("a"),
            DeletionPolicy::Delete,
        ),
        binding("shop", "new")
            .uid("shop-new")
            .managed()
            .service_account("a")
            .build(),
        begun("bank", "orders").existing(EXISTING).service_account("a").build(),
    ];
    let snapshot = snapshot(&all);
    let case = |at: usize| snapshot.case(&parsed(&all[at])).unwrap();
    let near = |at: usize| names(case(at).neighbours.iter().map(|one| &one.binding));
    assert_eq!(near(0), ["mails", "going"], "what it has counts until it is gone");
    assert_eq!(near(1), ["orders", "bills", "going"]);
    assert_eq!(near(2), ["mails", "left"], "an account carries its label still");
    assert_eq!(case(2).labelled, BTreeSet::from([name("left")]));
    assert_eq!(case(6).neighbours, []);
    let before = |at: usize| case(at).candidate.used_before.federated_credentials;
    assert_eq!([before(0), before(1), before(2), before(3)], [0, 2, 3, 4]);
    assert_eq!(case(1).neighbours[1].used_before.federated_credentials, 3);
    assert_eq!((case(1).now, case(1).rivals), (NOW, vec![]));
    let found = snapshot.binding(&name("bank"), &name("orders")).unwrap();
    assert_eq!(found.owner.namespace, name("bank"));
    assert_eq!(snapshot.binding(&name("bank"), &name("mails")), None);
    let elsewhere = begun("nowhere", "orders").managed().service_account("a").build();
    assert_eq!(snapshot.case(&parsed(&elsewhere)), None);
}

/// What it has and does not ask for is to be taken away, and others may rely on it.
#[test]
fn a_binding_meets_those_of_the_identity_that_it_has_whatever_it_asks_for_now() {
    let having = |object: BindingBuilder, id: &str| {
        let status = WorkloadIdentityBindingStatus {
            identity: Some(IdentityStatus {
                resource_id: id.to_owned(),
                name: String::new(),
                client_id: None,
                principal_id: None,
                tenant_id: None,
                origin: IdentityOrigin::Created,
            }),
            ..written()
        };
        object.status(status).build()
    };
    let shop_orders = parsed(
        &begun("shop", "orders")
            .managed_as(chosen())
            .service_account("c")
            .build(),
    );
    let asked = shop_orders
        .spec
        .as_ref()
        .unwrap()
        .identity_id(&shop_orders.owner, &config());
    let all = [
        having(begun("shop", "moved").managed().service_account("a"), EXISTING),
        begun("shop", "mails").existing(EXISTING).service_account("b").build(),
        begun("shop", "orders")
            .managed_as(chosen())
            .service_account("c")
            .build(),
        having(
            begun("bank", "moved").managed().service_account("a"),
            &asked.to_string(),
        ),
    ];
    let snapshot = snapshot(&all);
    let case = |at: usize| snapshot.case(&parsed(&all[at])).unwrap();
    assert_eq!(names(case(0).neighbours.iter().map(|one| &one.binding)), ["mails"]);
    assert_eq!(names(case(1).neighbours.iter().map(|one| &one.binding)), ["moved"]);
    assert_eq!(
        names(case(2).rivals.iter().map(|one| &one.candidate.binding)),
        ["moved"]
    );
}

#[test]
fn whoever_names_the_managed_identity_that_was_chosen_is_a_rival_in_whatever_namespace() {
    let all = [
        begun("shop", "orders")
            .managed_as(chosen())
            .service_account("a")
            .build(),
        begun("bank", "thief").managed_as(chosen()).service_account("a").build(),
        begun("bank", "other").managed().service_account("a").build(),
    ];
    let snapshot = snapshot(&all);
    let rivals = |at: usize| {
        let case = snapshot.case(&parsed(&all[at])).unwrap();
        let told = case.rivals.iter();
        told.map(|rival| format!("{} {}", rival.rules.namespace.name, rival.candidate.binding.owner.name))
            .collect::<Vec<_>>()
    };
    assert_eq!(rivals(0), ["bank thief"]);
    assert_eq!(rivals(1), ["shop orders"]);
    assert_eq!(rivals(2), [""; 0], "nobody else has a derived name");
    let looked_at = snapshot.looked_at();
    assert!((2..20).contains(&looked_at), "{looked_at}");
}
