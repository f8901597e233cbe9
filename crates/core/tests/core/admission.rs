//! The rules of `config/admission`, evaluated as an API server does, against the operator's own verdicts.

use std::collections::BTreeMap;

use kube_cel::KubeCelExt;
use kube_cel::cel::extractors::Arguments;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, ExecutionError, Program, Value, to_value};
use proptest::prelude::*;
use serde_json::json;
use wio_api::{
    DeletionPolicy, ManagedIdentity, ManagedIdentityPermission, NamespaceRequirement, NamespaceSelector,
    SelectorOperator, WorkloadIdentityBinding, WorkloadIdentityPolicy,
};
use wio_core::authorize::{Granted, NotPermitted};
use wio_core::config::OperatorConfig;
use wio_core::policy::{NamespaceFacts, Policies, merge};
use wio_testkit::fixtures::{BindingBuilder, PolicyBuilder, binding, policy};

use crate::authorize_properties::{any_asked, any_grant, guarded};
use crate::given::{EXISTING, SUBSCRIPTION, UID, VAULT, ask, cases, rules_by, shop};

const POLICY: &str = include_str!("../../../../config/admission/policy.yaml");

thread_local! {
    static RULES: Rules = Rules::parse(POLICY);
}

/// What of a ValidatingAdmissionPolicy says yes or no.
struct Rules {
    conditions: Vec<Program>,
    variables: Vec<(String, Program)>,
    validations: Vec<Validation>,
}

struct Validation {
    holds: Program,
    message: Program,
}

/// A request to write a binding.
struct Request<'a> {
    config: &'a OperatorConfig,
    new: &'a WorkloadIdentityBinding,
    old: Option<&'a WorkloadIdentityBinding>,
    policies: &'a [WorkloadIdentityPolicy],
    namespace: &'a NamespaceFacts,
}

impl Rules {
    fn parse(yaml: &str) -> Self {
        let policy: serde_json::Value = serde_yaml_ng::from_str(yaml).unwrap();
        let each = |field: &str| policy["spec"][field].as_array().unwrap().clone();
        let program = |item: &serde_json::Value, field: &str| {
            let text = item[field].as_str().unwrap();
            Program::compile(text).unwrap_or_else(|error| panic!("{error}: {text}"))
        };
        let expression = |item: &serde_json::Value| program(item, "expression");
        Self {
            conditions: each("matchConditions").iter().map(expression).collect(),
            variables: each("variables")
                .iter()
                .map(|item| (item["name"].as_str().unwrap().to_owned(), expression(item)))
                .collect(),
            validations: each("validations")
                .iter()
                .map(|item| Validation {
                    holds: expression(item),
                    message: program(item, "messageExpression"),
                })
                .collect(),
        }
    }

    /// The message of the first validation that does not hold.
    fn refusal(&self, request: &Request<'_>) -> Option<String> {
        let params = merge(request.config, &Policies::parse(request.policies));
        let NamespaceFacts { name, labels } = request.namespace;
        let operation = if request.old.is_some() { "UPDATE" } else { "CREATE" };
        let mut context = Context::default().with_all();
        // Says to the type checker that something can be anything.
        context.add_function("dyn", |Arguments(arguments): Arguments| {
            Ok::<_, ExecutionError>(arguments[0].clone())
        });
        for (variable, value) in [
            ("object", json!(request.new)),
            ("oldObject", json!(request.old)),
            ("request", json!({ "operation": operation })),
            ("params", json!({ "spec": params })),
            (
                "namespaceObject",
                json!({ "metadata": { "name": name.as_str(), "labels": labels } }),
            ),
        ] {
            context.add_variable_from_value(variable, to_value(value).unwrap());
        }
        if !self.conditions.iter().all(|condition| is_true(condition, &context)) {
            return None;
        }
        let mut variables = std::collections::HashMap::new();
        for (name, program) in &self.variables {
            let value = program
                .execute(&context)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            variables.insert(Key::String(name.clone().into()), value);
            let all = Value::Map(Map {
                map: variables.clone().into(),
            });
            context.add_variable_from_value("variables", all);
        }
        let broken = self.validations.iter().find(|one| !is_true(&one.holds, &context))?;
        match broken.message.execute(&context).unwrap() {
            Value::String(message) => Some(message.to_string()),
            other => panic!("{other:?} is no message"),
        }
    }
}

pub fn is_true(program: &Program, context: &Context<'_>) -> bool {
    match program.execute(context).unwrap() {
        Value::Bool(is) => is,
        other => panic!("{other:?} is neither true nor false"),
    }
}

pub fn refusal(
    new: &WorkloadIdentityBinding,
    old: Option<&WorkloadIdentityBinding>,
    policies: &[WorkloadIdentityPolicy],
) -> Option<String> {
    let namespace = &shop();
    RULES.with(|rules| {
        rules.refusal(&Request {
            config: &guarded(),
            new,
            old,
            policies,
            namespace,
        })
    })
}

fn labelled(labels: &[(&str, &str)]) -> NamespaceFacts {
    let labels: BTreeMap<String, String> = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    NamespaceFacts { labels, ..shop() }
}

fn any_requirement() -> impl Strategy<Value = NamespaceRequirement> {
    let operator = prop::sample::select(vec![
        SelectorOperator::In,
        SelectorOperator::NotIn,
        SelectorOperator::Exists,
        SelectorOperator::DoesNotExist,
    ]);
    let values = prop::sample::subsequence(vec!["shop", "bank"], 1..=2);
    ("team|tier", operator, values).prop_map(|(key, operator, values)| NamespaceRequirement {
        key,
        operator,
        values: match operator {
            SelectorOperator::In | SelectorOperator::NotIn => values.into_iter().map(str::to_owned).collect(),
            SelectorOperator::Exists | SelectorOperator::DoesNotExist => Vec::new(),
        },
    })
}

/// A policy with all that can be in one.
fn any_policy() -> impl Strategy<Value = WorkloadIdentityPolicy> {
    let selector = prop::option::weighted(0.3, prop::collection::vec(any_requirement(), 0..3));
    let limit = prop::option::weighted(0.2, 0..3_i64);
    let identities = prop::option::weighted(0.1, 0..2_i64);
    // Two ways to write one role are one to the operator and two to admission.
    let roles = prop::option::weighted(0.2, prop::sample::select(vec![0, 2_i64]));
    let limits = (limit, identities, roles);
    (any_grant(), selector, limits, any::<bool>()).prop_map(|(mut policy, selector, limits, orphan)| {
        if let Some(match_expressions) = selector {
            policy.spec.namespaces.selector = Some(NamespaceSelector {
                match_expressions,
                ..NamespaceSelector::default()
            });
        }
        (
            policy.spec.max_federated_credentials,
            policy.spec.max_managed_identities,
            policy.spec.max_role_assignments,
        ) = limits;
        policy.spec.allow_orphan = orphan;
        policy
    })
}

/// A binding in any writing of its ids.
fn any_binding() -> impl Strategy<Value = WorkloadIdentityBinding> {
    (
        any_asked(),
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(mut asked, loud, orphan, adopted)| {
            if adopted && asked.spec.identity.managed.is_some() {
                asked.status = Some(serde_json::from_value(json!({"identity": {
                    "resourceId": EXISTING, "name": "", "clientId": "", "principalId": "", "tenantId": "", "origin": "Adopted",
                }})).unwrap());
            }
            if orphan {
                asked.spec.deletion_policy = DeletionPolicy::Orphan;
            }
            if loud {
                if let Some(existing) = &mut asked.spec.identity.existing {
                    existing.resource_id = existing.resource_id.as_ref().map(|id| id.to_uppercase());
                }
                if let Some(name) = asked.spec.identity.managed.as_mut().and_then(|it| it.name.as_mut()) {
                    *name = name.to_uppercase();
                }
                for role in &mut asked.spec.role_assignments {
                    role.scope = role.scope.to_uppercase();
                }
            }
            asked
        })
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn admission_takes_what_the_operator_permits_and_nothing_else(
        asked in any_binding(), policies in prop::collection::vec(any_policy(), 0..4),
        labels in prop::sample::subsequence(vec![("team", "shop"), ("tier", "bank")], 0..=2),
        require_policy in prop::bool::weighted(0.2),
    ) {
        let namespace = labelled(&labels);
        let config = OperatorConfig { require_policy, ..guarded() };
        let permitted = operator(&asked, &config, &policies, &namespace);
        let refusal = RULES.with(|rules| {
            let (new, policies) = (&asked, &policies);
            rules.refusal(&Request { config: &config, new, old: None, policies, namespace: &namespace })
        });
        prop_assert_eq!(
            permitted.is_ok(),
            refusal.is_none(),
            "the operator: {:?}, admission: {:?}", permitted.map(|_| ()), refusal
        );
    }
}

/// What the operator says of a binding before which none comes.
fn operator(
    asked: &WorkloadIdentityBinding,
    config: &OperatorConfig,
    policies: &[WorkloadIdentityPolicy],
    namespace: &NamespaceFacts,
) -> Result<Granted, NotPermitted> {
    let rules = wio_core::rules::Rules {
        namespace: namespace.clone(),
        ..rules_by(config.clone(), policies)
    };
    ask(asked, &rules, 0)
}

/// Whether the binding is taken, when both say the same.
#[track_caller]
fn taken(asked: &WorkloadIdentityBinding, policy: WorkloadIdentityPolicy, namespace: &NamespaceFacts) -> bool {
    let policies = [policy];
    let permitted = operator(asked, &guarded(), &policies, namespace);
    let refusal = RULES.with(|rules| {
        rules.refusal(&Request {
            config: &guarded(),
            new: asked,
            old: None,
            policies: &policies,
            namespace,
        })
    });
    assert_eq!(
        permitted.is_ok(),
        refusal.is_none(),
        "{permitted:?}, {refusal:?}, {policies:?}"
    );
    permitted.is_ok()
}

// What chance seldom hits.

fn asks(account: &str) -> BindingBuilder {
    binding("shop", "orders")
        .existing(EXISTING)
        .service_account(account)
        .uid(UID)
}

fn own() -> BindingBuilder {
    binding("shop", "orders").managed().service_account("orders").uid(UID)
}

fn for_shop() -> PolicyBuilder {
    policy("p").namespace("shop")
}

#[test]
fn a_selector_means_to_admission_what_it_means_to_the_operator() {
    let requirement = |operator, values: &[&str]| NamespaceRequirement {
        key: "team".to_owned(),
        operator,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let mut verdicts = BTreeMap::new();
    for (operator, values) in [
        (SelectorOperator::In, &["shop", "mall"][..]),
        (SelectorOperator::NotIn, &["shop", "mall"]),
        (SelectorOperator::Exists, &[]),
        (SelectorOperator::DoesNotExist, &[]),
    ] {
        let selector = NamespaceSelector {
            match_expressions: vec![requirement(operator, values)],
            ..NamespaceSelector::default()
        };
        let selected = policy("p").selector(selector).existing(EXISTING).build();
        let each = [&[][..], &[("team", "mall")], &[("team", "bank")], &[("other", "shop")]]
            .map(|labels| taken(&asks("orders").build(), selected.clone(), &labelled(labels)));
        verdicts.insert(format!("{operator:?}"), each);
    }
    let expected = [
        ("DoesNotExist", [true, false, false, true]),
        ("Exists", [false, true, true, false]),
        ("In", [false, true, false, false]),
        ("NotIn", [true, false, true, true]),
    ];
    assert_eq!(
        verdicts,
        expected.map(|(operator, each)| (operator.to_owned(), each)).into()
    );
}

#[test]
fn a_service_account_pattern_means_to_admission_what_it_means_to_the_operator() {
    for (pattern, account, is) in [
        ("orders", "orders", true),
        ("orders", "orders2", false),
        ("orders-*", "orders-v2", true),
        ("orders-*", "orders", false),
        ("*-job", "night-job", true),
        ("*-job", "night-job-2", false),
        ("*ight*", "night-job", true),
        ("*ight*", "day-job", false),
        ("*", "anything", true),
    ] {
        let policy = for_shop().service_account(pattern).existing(EXISTING).build();
        assert_eq!(
            taken(&asks(account).build(), policy, &shop()),
            is,
            "{pattern} {account}"
        );
    }
}

#[test]
fn an_identity_pattern_means_to_admission_what_it_means_to_the_operator() {
    for (group, name, is) in [
        ("shared", "billing", true),
        ("SHARED", "Billing", true),
        ("sha*", "*", true),
        ("*red", "*ing", true),
        ("*har*", "*illi*", true),
        ("*", "bill*", true),
        ("hared", "billing", false),
        ("har*", "billing", false),
        ("*sha", "billing", false),
        ("shared", "*bill", false),
        ("shared", "ill*", false),
        ("*x*", "billing", false),
        ("shared", "*x*", false),
    ] {
        let pattern = EXISTING
            .replace("/shared/", &format!("/{group}/"))
            .replace("billing", name);
        let policy = for_shop().existing(&pattern).build();
        assert_eq!(taken(&asks("orders").build(), policy, &shop()), is, "{group} {name}");
    }
}

#[test]
fn a_role_is_to_admission_whichever_way_it_is_named_what_it_is_to_the_operator() {
    let id = |subscription: &str| {
        format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/ACDD72A7-3385-48EF-BD42-F606FBA81AE7")
    };
    for asked in [
        "Reader".to_owned(),
        "reader".to_owned(),
        "acdd72a7-3385-48ef-bd42-f606fba81ae7".to_owned(),
        id(""),
        id("/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11"),
    ] {
        for (given, is) in [("reader", true), (id("").as_str(), true), ("AcrPull", false)] {
            let policy = for_shop().role(given, &[VAULT]).build();
            assert_eq!(
                taken(&own().role(&asked, VAULT).build(), policy, &shop()),
                is,
                "{asked} {given}"
            );
        }
    }
}

#[test]
fn leaving_trust_behind_needs_to_admission_what_it_needs_to_the_operator() {
    let adopting = || {
        binding("shop", "orders")
            .managed_as(ManagedIdentity {
                adopt: true,
                ..ManagedIdentity::default()
            })
            .service_account("orders")
            .uid(UID)
    };
    let adoption = ManagedIdentityPermission {
        adopt: true,
        ..at("operator")
    };
    for allow_orphan in [false, true] {
        let policy = || {
            let mut built = for_shop()
                .managed(adoption.clone())
                .service_account("orders")
                .existing(EXISTING)
                .role("Reader", &[VAULT])
                .build();
            built.spec.allow_orphan = allow_orphan;
            built
        };
        let orphan = DeletionPolicy::Orphan;
        for (asked, is) in [
            (own().deletion_policy(orphan).build(), true),
            (adopting().deletion_policy(orphan).build(), allow_orphan),
            (
                adopting().service_account("mails").deletion_policy(orphan).build(),
                true,
            ),
            (own().service_account("mails").deletion_policy(orphan).build(), true),
            (
                own().role("Reader", VAULT).deletion_policy(orphan).build(),
                allow_orphan,
            ),
            (asks("orders").deletion_policy(orphan).build(), allow_orphan),
            (
                asks("orders").deletion_policy(DeletionPolicy::RetainIdentity).build(),
                true,
            ),
        ] {
            assert_eq!(taken(&asked, policy(), &shop()), is, "{allow_orphan} {:?}", asked.spec);
        }
    }
}

pub fn at(group: &str) -> ManagedIdentityPermission {
    ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: group.to_owned(),
        ..ManagedIdentityPermission::default()
    }
}
