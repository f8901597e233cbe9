//! The first step: everything that a decision rests on, from the caches, at one moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use wio_api::{Reason, WorkloadIdentityBinding};
use wio_core::binding::{Binding, Finalizer};
use wio_core::case::{Candidate, Case, Rival};
use wio_core::cluster::Cluster;
use wio_core::config::OperatorConfig;
use wio_core::fault::{Blocked, Fault};
use wio_core::held::Unwished;
use wio_core::names::{BindingUid, IdentityId, Namespace, ServiceAccountName};
use wio_core::policy::{Limits, NamespaceFacts};
use wio_core::rules::Rules;
use wio_core::settings_change::{MANY, loses};
use wio_core::spec::IdentityRef;

use super::knowledge::Slots;
use crate::caches::stores::Caches;
use crate::runtime::request::malformed;

/// Parses a binding. It succeeds for every object that an API server stored.
pub(crate) fn parse(object: &WorkloadIdentityBinding, cluster: &Cluster, slots: &Slots) -> Result<Binding, Fault> {
    let mut binding = Binding::parse(object, &cluster.id).map_err(|invalid| {
        let fields: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        malformed("read the binding".to_owned(), &fields.join("; "))
    })?;
    if binding.lifecycle.finalizer == Finalizer::Missing && slots.finalizer_is_released(&binding.owner.uid) {
        binding.lifecycle.finalizer = Finalizer::Released;
    }
    Ok(binding)
}

/// Takes everything that a decision about a binding rests on out of the caches: owned, and of one moment.
///
/// # Errors
/// Why nothing can be decided yet.
pub(crate) fn dereference(caches: &Caches, cluster: &Cluster, binding: Binding) -> Result<Case, Blocked> {
    let rules = rules(caches, cluster, &binding.owner.namespace)?;
    let rivals = rivals(caches, &rules, &binding);
    let labelled = caches.surroundings.accounts.marked(&binding.owner);
    let limits = rules.limits();
    let neighbours = neighbours(caches, &rules, &binding, &labelled);
    let candidate = |binding| candidate(caches, &limits, binding);
    let neighbours: Vec<Candidate> = neighbours.into_iter().map(candidate).collect();
    let candidate = candidate(binding);
    Ok(Case {
        held: held(caches, &rules, &candidate, &neighbours),
        neighbours,
        candidate,
        labelled,
        rivals,
        rules,
        now: (caches.learned.clock)(),
    })
}

/// A binding as far as it can be decided about alone, with the rules that it is decided by.
///
/// # Errors
/// Why nothing can be decided yet.
fn candidate_of(caches: &Caches, cluster: &Cluster, binding: Binding) -> Result<(Candidate, Rules), Blocked> {
    let rules = rules(caches, cluster, &binding.owner.namespace)?;
    Ok((candidate(caches, &rules.limits(), binding), rules))
}

/// How many bindings lose what they have since the settings of before, as far as that matters.
pub(crate) fn losing(caches: &Caches, before: &Arc<OperatorConfig>) -> usize {
    let cluster = caches.learned.cluster();
    let loses = |object: &WorkloadIdentityBinding| {
        let binding = Binding::parse(object, &cluster.id).ok()?;
        let (candidate, rules) = candidate_of(caches, &cluster, binding).ok()?;
        Some(loses(&candidate, &rules, before))
    };
    let bindings = caches.bindings.all();
    bindings.filter(|object| loses(object) == Some(true)).take(MANY).count()
}

fn rules(caches: &Caches, cluster: &Cluster, of: &Namespace) -> Result<Rules, Blocked> {
    let policies = caches.learned.policies.borrow().clone();
    let policies = policies.ok_or_else(|| undecided("the policies are"))?;
    let facts = namespace(caches, of);
    Ok(Rules {
        cluster: cluster.clone(),
        config: caches.learned.config.now(),
        policies,
        namespace: facts.ok_or_else(|| undecided("the labels of the binding's namespace are"))?,
    })
}

/// The other bindings of the namespace that may share something of what a binding claims.
fn neighbours(
    caches: &Caches,
    rules: &Rules,
    binding: &Binding,
    labelled: &BTreeSet<ServiceAccountName>,
) -> Vec<Binding> {
    let accounts = binding.claims.accounts.union(labelled).cloned().collect();
    let recorded = binding.recorded.identity.as_ref().map(|identity| identity.id.clone());
    let asked = binding.spec.as_ref().ok();
    let asked = asked.map(|spec| spec.identity_id(&binding.owner, &rules.config));
    let identities: Vec<IdentityId> = recorded.into_iter().chain(asked).collect();
    let bindings = &caches.bindings;
    let found = bindings
        .index
        .sharing(binding.owner.namespace.as_str(), &accounts, &identities);
    // The binding itself is among them: it is not parsed once more.
    let is_another =
        |object: &WorkloadIdentityBinding| object.metadata.uid.as_deref() != Some(binding.owner.uid.as_str());
    found
        .iter()
        .filter_map(|key| bindings.by_key(key).filter(|object| is_another(object)))
        .filter_map(|object| Binding::parse(&object, &rules.cluster.id).ok())
        .collect()
}

/// Those of the neighbours that keep what they have, though they may not have it, because nobody wished that.
fn held(caches: &Caches, rules: &Rules, of: &Candidate, neighbours: &[Candidate]) -> BTreeSet<BindingUid> {
    let learned = &caches.learned;
    let unwished = Unwished {
        vanished: learned.policy_watch.see(&rules.policies),
        changed: learned.accepted.change(&rules.config),
    };
    unwished.held(of, neighbours, rules, |before| losing(caches, before))
}

/// The other bindings of any namespace that name the managed identity which a binding chose the name of. A derived name no other
/// binding can have.
fn rivals(caches: &Caches, rules: &Rules, binding: &Binding) -> Vec<Rival> {
    let Ok(spec) = &binding.spec else {
        return Vec::new();
    };
    if spec.name_is_derived() || !matches!(spec.identity, IdentityRef::Managed(_)) {
        return Vec::new();
    }
    let identity = spec.identity_id(&binding.owner, &rules.config);
    let bindings = &caches.bindings;
    let found = bindings.index.choosing(&identity.name);
    let rival = |key: &ObjectRef<WorkloadIdentityBinding>| {
        let rival = Binding::parse(&*bindings.by_key(key)?, &rules.cluster.id).ok()?;
        let asked = rival.spec.as_ref().ok();
        let asked = asked.map(|spec| spec.identity_id(&rival.owner, &rules.config));
        let names_it = asked.as_ref() == Some(&identity) || rival.recorded.ids_of(&identity).is_some();
        if rival.owner == binding.owner || !names_it {
            return None;
        }
        let rules = Rules {
            namespace: namespace(caches, &rival.owner.namespace)?,
            ..rules.clone()
        };
        Some(Rival {
            candidate: candidate(caches, &rules.limits(), rival),
            rules,
        })
    };
    found.iter().filter_map(rival).collect()
}

fn candidate(caches: &Caches, limits: &Limits, binding: Binding) -> Candidate {
    let namespace = binding.owner.namespace.as_str();
    let seniority = &binding.lifecycle.seniority;
    Candidate {
        used_before: caches.bindings.index.used_before(namespace, seniority, limits),
        binding,
    }
}

/// Takes the case again, as it is now: whoever shares with the binding, or what it may have, may have changed while the world was
/// read. None when the case is no longer the same one: the binding itself, its labels on service accounts, or, where something is
/// to be taken away, the policies; then what was read is not what is to be known.
pub(crate) fn dereference_again(caches: &Caches, slots: &Slots, case: &Case) -> Option<Case> {
    let before = &case.candidate.binding;
    let owner = &before.owner;
    let object = caches.bindings.get(owner.namespace.as_str(), owner.name.as_str())?;
    let cluster = caches.learned.cluster();
    let now = parse(&object, &cluster, slots).ok()?;
    let (then, later) = (&before.lifecycle, &now.lifecycle);
    if now.owner != *owner || (then.generation, then.deleting) != (later.generation, later.deleting) {
        return None;
    }
    let again = dereference(caches, &cluster, now).ok()?;
    (again.labelled == case.labelled).then_some(again)
}

/// How much a namespace may have, as far as that is known.
pub(crate) fn limits(caches: &Caches, namespace: &str) -> Limits {
    let policies = caches.learned.policies.borrow().clone();
    let facts = namespace.parse().ok().and_then(|name| self::namespace(caches, &name));
    policies
        .zip(facts)
        .map(|(policies, facts)| policies.limits(&facts))
        .unwrap_or_default()
}

fn namespace(caches: &Caches, name: &Namespace) -> Option<NamespaceFacts> {
    let key = ObjectRef::new(name.as_str());
    let found = caches.surroundings.namespaces.get(&key)?;
    Some(NamespaceFacts {
        name: name.clone(),
        labels: found.metadata.labels.clone().unwrap_or_default(),
    })
}

/// Nothing is decided without what it is decided by.
fn undecided(what: &str) -> Blocked {
    Blocked {
        reason: Reason::NotDecided,
        message: format!("{what} not known yet, so what it may have is not decided"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use serde_json::json;
    use tokio::sync::watch;
    use wio_api::{ManagedIdentity, WorkloadIdentityPolicy, keys};
    use wio_core::active_namespaces::ActiveNamespaces;
    use wio_core::binding::usage;
    use wio_core::cluster::Belief;
    use wio_core::config::OperatorConfig;
    use wio_core::policy::Policies;
    use wio_core::snapshot::{Lists, Snapshot};
    use wio_testkit::fixtures::{binding, policy};

    use super::*;
    use crate::caches::accepted::Accepted;
    use crate::caches::accounts::{AccountMeta, Accounts};
    use crate::caches::configured::Configured;
    use crate::caches::policy_watch::PolicyWatch;
    use crate::caches::stores::{Bindings, Learned, NamespaceMeta, Surroundings};
    use crate::caches::visits::Visits;
    use crate::runtime::health::SignIn;
    use crate::settings::Clock;

    const GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared";

    fn cluster() -> Cluster {
        Cluster {
            id: wio_testkit::CLUSTER_UID.parse().unwrap(),
            issuer: wio_testkit::DEFAULT_ISSUER.parse().unwrap(),
            belief: Belief::Believed,
            replaced: BTreeSet::new(),
        }
    }

    fn config() -> OperatorConfig {
        OperatorConfig {
            group: GROUP.parse().unwrap(),
            location: "westeurope".parse().unwrap(),
            require_policy: false,
            audience: "api://AzureADTokenExchange".parse().unwrap(),
            protected_identities: Vec::new(),
            protected_groups: Vec::new(),
            own_cluster: wio_core::config::OwnCluster::Settled,
            former_issuers: BTreeSet::new(),
            allow_private_issuer: false,
            unlocked_roles: BTreeSet::new(),
            default_tags: wio_core::observed::Tags::new(),
            ignored_tags: Vec::new(),
            namespaces: ActiveNamespaces::All,
            verification: wio_api::VerificationMode::None,
        }
    }

    /// A binding with a status, finalizer and service account, as one that is ready has them.
    fn one(namespace: &str, name: &str) -> WorkloadIdentityBinding {
        let built = binding(namespace, name)
            .managed()
            .service_account("a")
            .finalizer(keys::FINALIZER);
        built.uid(&format!("{namespace}-{name}")).generation(1).build()
    }

    fn account_of(binding: &WorkloadIdentityBinding) -> AccountMeta {
        let metadata = &binding.metadata;
        serde_json::from_value(json!({ "metadata": {
            "namespace": metadata.namespace,
            "name": "a",
            "uid": "u",
            "labels": { (keys::BOUND_BY_LABEL): metadata.uid },
        }}))
        .unwrap()
    }

    fn policy_of(namespace: &str) -> WorkloadIdentityPolicy {
        policy(namespace)
            .namespace(namespace)
            .existing(&format!(
                "{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/*"
            ))
            .build()
    }

    /// The caches with three bindings of the namespace "shop" and so many of others, each with its policy.
    fn caches(others: usize) -> (Caches, Visits) {
        let visits = Visits::default();
        let (namespaces, mut namespace_writer) = reflector::store();
        let bindings = Bindings::new(visits.clone());
        let accounts = Accounts::new(visits.clone());
        let shop = ["orders", "invoices", "mails"].map(|name| one("shop", name));
        let of_others = (0..others).map(|n| one(&format!("team-{n}"), "orders"));
        for binding in shop.into_iter().chain(of_others) {
            if binding.metadata.name.as_deref() == Some("orders") {
                accounts.take_in(&Event::Apply(account_of(&binding)));
            }
            let event = Event::Apply(binding);
            bindings.take_in(&event, |_| Limits::default());
        }
        let shop: NamespaceMeta = serde_json::from_value(json!({ "metadata": { "name": "shop" } })).unwrap();
        namespace_writer.apply_watcher_event(&Event::Apply(shop));
        let policies: Vec<_> = (0..others).map(|n| policy_of(&format!("team-{n}"))).collect();
        let caches = Caches {
            bindings,
            surroundings: Surroundings { accounts, namespaces },
            learned: Learned {
                config: Configured::new(config(), None),
                accepted: Accepted::default(),
                cluster: watch::channel(cluster()).1,
                policies: watch::channel(Some(Policies::parse(&policies).into())).1,
                policy_watch: PolicyWatch::default(),
                signed_in: watch::channel(SignIn::NotTried).1,
                clock: Clock::default(),
            },
            filled: watch::channel(true).1,
        };
        (caches, visits)
    }

    /// How many entries of the caches a decision looks at that is asked again, as one is before and between the steps of a plan.
    fn steps(others: usize) -> u64 {
        let (caches, visits) = caches(others);
        let slots = Slots::new(std::time::Duration::from_hours(1));
        let object = caches.bindings.get("shop", "orders").unwrap();
        let before = visits.so_far();
        let case = dereference(&caches, &cluster(), parse(&object, &cluster(), &slots).unwrap()).unwrap();
        assert_eq!(case.labelled.len(), 1, "its service account is found");
        assert_eq!(case.neighbours.len(), 2, "all three claim it");
        assert!(dereference_again(&caches, &slots, &case).is_some());
        visits.so_far() - before
    }

    /// Each decision scanned all cached service accounts: after a restart with 10,000 bindings the operator took a whole core for minutes.
    #[test]
    fn a_decision_looks_at_as_many_entries_whether_there_are_a_hundred_bindings_elsewhere_or_ten_thousand() {
        assert_eq!(steps(100), steps(10_000));
    }

    /// The snapshot of the same cluster, as lists show it.
    fn snapshot(caches: &Caches, objects: &[WorkloadIdentityBinding], policies: &[WorkloadIdentityPolicy]) -> Snapshot {
        let cluster = cluster();
        let parsed =
            |object: &WorkloadIdentityBinding| Some((Binding::parse(object, &cluster.id).ok()?, usage(object)));
        let orders = BTreeSet::from(["a".parse().unwrap()]);
        Snapshot::of(Lists {
            config: caches.learned.config.now(),
            policies: Policies::parse(policies).into(),
            namespaces: ["shop", "mail"]
                .map(|name| (name.parse().unwrap(), BTreeMap::new()))
                .into(),
            bindings: objects.iter().filter_map(parsed).collect(),
            labelled: BTreeMap::from([("shop-orders".to_owned(), orders)]),
            now: (caches.learned.clock)(),
            cluster,
        })
    }

    /// What the plugin foretells must be what the operator does: both ask one verdict, so both must ask it about the same case.
    #[test]
    fn the_caches_give_the_case_that_lists_give() {
        let (caches, _) = caches(0);
        let mail: NamespaceMeta = serde_json::from_value(json!({ "metadata": { "name": "mail" } })).unwrap();
        let (namespaces, mut writer) = reflector::store();
        for name in ["shop", "mail"] {
            let namespace = NamespaceMeta {
                metadata: ObjectMeta {
                    name: Some(name.to_owned()),
                    ..mail.metadata.clone()
                },
                ..mail.clone()
            };
            writer.apply_watcher_event(&Event::Apply(namespace));
        }
        let limited = policy("shop").namespace("shop").existing(&format!(
            "{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/*"
        ));
        let mut limited = limited.build();
        limited.spec.max_federated_credentials = Some(2);
        let policies = [limited, policy_of("mail")];
        let caches = Caches {
            surroundings: Surroundings {
                namespaces,
                ..caches.surroundings
            },
            learned: Learned {
                policies: watch::channel(Some(Policies::parse(&policies).into())).1,
                ..caches.learned
            },
            ..caches
        };
        let named = |namespace: &str, name: &str| {
            let named = ManagedIdentity {
                name: Some("shared-name".to_owned()),
                ..ManagedIdentity::default()
            };
            binding(namespace, name)
                .managed_as(named)
                .service_account("z")
                .finalizer(keys::FINALIZER)
                .uid(&format!("{namespace}-{name}"))
                .generation(1)
                .build()
        };
        let never_allowed = binding("shop", "new")
            .managed()
            .service_account("a")
            .uid("shop-new")
            .generation(1)
            .build();
        let objects = [
            one("shop", "invoices"),
            one("shop", "mails"),
            named("shop", "named"),
            never_allowed,
            one("shop", "orders"),
            named("mail", "named"),
        ];
        for object in &objects {
            caches
                .bindings
                .take_in(&Event::Apply(object.clone()), |_| Limits::default());
        }
        // As the cluster keeps it: nothing vanished, and no settings changed.
        let learned = &caches.learned;
        let stood = policies
            .iter()
            .filter_map(|policy| policy.metadata.name.as_deref()?.parse().ok());
        learned.policy_watch.learn(stood.collect(), BTreeSet::new(), None);
        learned.accepted.learn(None, &learned.config.now(), None);
        let snapshot = snapshot(&caches, &objects, &policies);
        let slots = Slots::new(std::time::Duration::from_hours(1));
        for object in &objects {
            let parsed = parse(object, &cluster(), &slots).unwrap();
            let listed = snapshot.case(&parsed).unwrap();
            let indexed = dereference(&caches, &cluster(), parsed).unwrap();
            assert_eq!(
                Case {
                    now: indexed.now,
                    ..listed
                },
                indexed,
                "{:?}",
                object.metadata.name
            );
        }
        let of = |name: &str| {
            snapshot
                .case(
                    snapshot
                        .binding(&"shop".parse().unwrap(), &name.parse().unwrap())
                        .unwrap(),
                )
                .unwrap()
        };
        assert_eq!(
            (
                of("orders").labelled.len(),
                of("orders").neighbours.len(),
                of("named").rivals.len()
            ),
            (1, 2, 1)
        );
        assert_eq!(
            of("orders").candidate.used_before.federated_credentials,
            2,
            "cut to the limit"
        );
    }
}
