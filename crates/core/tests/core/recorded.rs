//! What was written down is read back as it was, and what this operator did not write is left out and noted.

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;
use wio_api::{IdentityOrigin, Reason, ServiceAccountOrigin, WorkloadIdentityBindingStatus};
use wio_core::desired::DesiredBinding;
use wio_core::known_state;
use wio_core::names::{Namespace, ServiceAccountName, Subject};
use wio_core::recorded::{
    CredentialUsage, Progress, Recorded, RecordedCredential, RecordedIdentity, RecordedIds, RecordedRoleAssignment,
    RecordedServiceAccount, RetiringCredential, Rewrites,
};

use wio_core::recorded::{Pending, RecordedExchange};

use crate::given::{EXISTING, ISSUER, OLD_ISSUER, ROLES, cases, desired, managed, managed_with, name, recorded};
use crate::plan_roles::{READER, SECRETS, settled};

fn any_account() -> impl Strategy<Value = ServiceAccountName> {
    "[a-z]([a-z0-9-]{0,20}[a-z0-9])?".prop_map(|text| name(&text))
}

fn any_identity() -> impl Strategy<Value = RecordedIdentity> {
    let origin = prop::sample::select(vec![
        IdentityOrigin::Created,
        IdentityOrigin::Adopted,
        IdentityOrigin::Referenced,
    ]);
    let called = prop::sample::select(vec!["billing", "Bank", "orders-v2"]);
    (called, 1..u128::MAX, 1..u128::MAX, 1..u128::MAX, origin).prop_map(
        |(called, client, principal, tenant, origin)| RecordedIdentity {
            id: name(&EXISTING.replace("billing", called)),
            ids: RecordedIds {
                client: Some(Uuid::from_u128(client).into()),
                principal: Some(Uuid::from_u128(principal).into()),
                tenant: Some(Uuid::from_u128(tenant).into()),
            },
            origin,
        },
    )
}

fn any_credential() -> impl Strategy<Value = RecordedCredential> {
    let audience = "api://[A-Za-z]{1,20}".prop_map(|text| name(&text));
    ("[A-Za-z][A-Za-z0-9-]{2,119}", any_account(), audience).prop_map(|(called, account, audience)| {
        RecordedCredential {
            name: name(&called),
            subject: Subject::of(&name::<Namespace>("shop"), &account),
            account,
            audience,
        }
    })
}

fn any_retiring() -> impl Strategy<Value = RetiringCredential> {
    let until = prop::option::of((0..4_000_000_000_i64).prop_map(|second| Timestamp::from_second(second).unwrap()));
    (any_credential(), prop::sample::select(vec![ISSUER, OLD_ISSUER]), until).prop_map(|(credential, issuer, until)| {
        RetiringCredential {
            name: credential.name,
            account: credential.account,
            issuer: name(issuer),
            subject: credential.subject,
            audience: credential.audience,
            until,
        }
    })
}

fn any_service_account() -> impl Strategy<Value = RecordedServiceAccount> {
    let origin = prop::sample::select(vec![ServiceAccountOrigin::Created, ServiceAccountOrigin::Adopted]);
    (any_account(), "[a-z0-9-]{1,36}", origin).prop_map(|(account, uid, origin)| RecordedServiceAccount {
        foreign_credential: None,
        name: account,
        uid: name(&uid),
        origin,
    })
}

fn any_role_assignment() -> impl Strategy<Value = RecordedRoleAssignment> {
    (prop::sample::select(ROLES.to_vec()), any::<u128>()).prop_map(|((role, scope), n)| {
        let called = Uuid::from_u128(n);
        RecordedRoleAssignment {
            id: format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{called}"),
            name: called.into(),
            role: role.to_owned(),
            definition: name(role),
            scope: name(scope),
        }
    })
}

/// Everything that a status can say but how the last pass ended, which its conditions do.
fn any_exchange() -> impl Strategy<Value = RecordedExchange> {
    let time = (1_700_000_000..1_800_000_000_i64).prop_map(|second| Timestamp::from_second(second).unwrap());
    let reason = prop::sample::select(vec![Reason::TokenExchangeAwaited, Reason::TokenRequestForbidden]);
    let pending = (time.clone(), reason).prop_map(|(since, reason)| Pending {
        since,
        reason,
        message: "why".to_owned(),
    });
    ("[a-z]{1,9}", prop::option::of(time), prop::option::of(pending)).prop_map(|(account, verified_at, pending)| {
        RecordedExchange {
            account: name(&account),
            facts: "abcdefgh".to_owned(),
            verified_at,
            pending,
        }
    })
}

fn any_rewrites() -> impl Strategy<Value = Rewrites> {
    let one = ("[a-z]{1,9}", 1_700_000_000..1_800_000_000_i64);
    prop::collection::vec(one, 0..3).prop_map(|all| {
        let mut rewrites = Rewrites::default();
        for (account, second) in all {
            rewrites.note(&name(&account), Timestamp::from_second(second).unwrap());
        }
        rewrites
    })
}

fn any_recorded() -> impl Strategy<Value = Recorded> {
    let usage = prop::option::of((any::<u32>(), any::<u32>()));
    let usage = usage.prop_map(|usage| usage.map(|(ours, foreign)| CredentialUsage { ours, foreign }));
    let issuer = prop::option::of(prop::sample::select(vec![ISSUER, OLD_ISSUER]));
    let scopes = prop::sample::subsequence(ROLES.to_vec(), 0..=ROLES.len());
    let policies = prop::collection::btree_set("[a-z]{1,9}", 0..4);
    (
        prop::option::of(any_identity()),
        issuer,
        prop::collection::vec(any_credential(), 0..4),
        prop::collection::vec(any_retiring(), 0..4),
        usage,
        prop::collection::vec(any_service_account(), 0..4),
        prop::collection::vec(any_role_assignment(), 0..4),
        scopes,
        (
            policies,
            prop::option::of(Just("2026-11-26T22:00:00Z")),
            prop::collection::btree_set("[a-z]{1,9}", 0..3),
            prop::collection::vec(any_exchange(), 0..3),
            any_rewrites(),
        ),
    )
        .prop_map(
            |(
                identity,
                issuer,
                credentials,
                retiring,
                credential_usage,
                service_accounts,
                role_assignments,
                scopes,
                (policies, heeded, exports, exchanges, rewrites),
            )| {
                Recorded {
                    identity,
                    issuer: issuer.map(name),
                    credentials,
                    retiring,
                    credential_usage,
                    service_accounts,
                    exchanges,
                    rewrites,
                    exports: exports.iter().map(|export| name(export)).collect(),
                    role_assignments,
                    role_assignment_scopes: scopes.into_iter().map(|(_, scope)| name(scope)).collect(),
                    authorized_by: policies.iter().map(|policy| name(policy)).collect(),
                    progress: Progress::default(),
                    heeded: heeded.map(str::to_owned),
                    former_principals: BTreeSet::new(),
                    written: true,
                    unreadable: BTreeSet::new(),
                }
            },
        )
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn what_is_written_is_read_back_as_it_was(recorded in any_recorded()) {
        let mut status = WorkloadIdentityBindingStatus::default();
        recorded.write(&mut status);
        prop_assert_eq!(&Recorded::from(&status), &recorded);
        let mut again = status.clone();
        Recorded::from(&status).write(&mut again);
        prop_assert_eq!(again, status, "in the same writing");
    }

    #[test]
    fn what_is_written_replaces_what_was_there_and_leaves_the_conditions(before in any_recorded(), now in any_recorded()) {
        let mut status = settled(&bound());
        let conditions = status.conditions.clone();
        before.write(&mut status);
        now.write(&mut status);
        let read = Recorded::from(&status);
        let issuer = read.issuer.clone();
        prop_assert_eq!(Recorded { issuer: now.issuer.clone(), progress: Progress::default(), ..read }, now.clone());
        // The issuer is the cluster's and never forgotten.
        prop_assert_eq!(issuer, now.issuer.or(before.issuer).or(Some(name(ISSUER))));
        prop_assert_eq!(status.conditions, conditions);
    }
}

fn bound() -> DesiredBinding {
    desired(&managed_with(&[SECRETS, READER]))
}

/// The status of a binding that has something of everything.
fn full() -> WorkloadIdentityBindingStatus {
    let status = WorkloadIdentityBindingStatus {
        authorized_by: vec!["a".to_owned(), "b".to_owned()],
        ..settled(&bound())
    };
    let read = Recorded::from(&status);
    assert!(read.identity.as_ref().unwrap().facts().is_some() && read.issuer.is_some() && read.unreadable.is_empty());
    assert!(!read.credentials.is_empty() && !read.service_accounts.is_empty() && !read.role_assignments.is_empty());
    assert!(!read.role_assignment_scopes.is_empty() && read.authorized_by.len() == 2);
    status
}

/// Makes one part of a status one that no operator writes.
type Break = fn(&mut WorkloadIdentityBindingStatus);

fn is_known(status: &WorkloadIdentityBindingStatus) -> bool {
    known_state::from_status(&bound(), &recorded(3, status)).is_some()
}

#[test]
fn an_entry_of_which_a_part_does_not_parse_is_left_out_and_noted_and_all_else_is_kept() {
    fn push<T: Clone>(list: &mut Vec<T>, change: impl FnOnce(&mut T)) {
        let mut broken = list[0].clone();
        change(&mut broken);
        list.push(broken);
    }
    const CREDENTIALS: &str = "federatedCredentials";
    const ACCOUNTS: &str = "serviceAccounts";
    const ROLES: &str = "roleAssignments";
    let good = full();
    assert!(is_known(&good));
    let breaks: [(&str, Break); 11] = [
        (CREDENTIALS, |s| {
            push(&mut s.federated_credentials, |one| one.name = "no name".to_owned());
        }),
        (CREDENTIALS, |s| {
            push(&mut s.federated_credentials, |one| {
                one.service_account = "No".to_owned();
            });
        }),
        (CREDENTIALS, |s| {
            push(&mut s.federated_credentials, |one| one.subject = String::new());
        }),
        (CREDENTIALS, |s| {
            push(&mut s.federated_credentials, |one| one.audience = "a b".to_owned());
        }),
        (ACCOUNTS, |s| {
            push(&mut s.service_accounts, |one| one.name = "No".to_owned());
        }),
        (ACCOUNTS, |s| {
            push(&mut s.service_accounts, |one| one.uid = String::new());
        }),
        (ROLES, |s| push(&mut s.role_assignments, |one| one.id.push('x'))),
        (ROLES, |s| {
            push(&mut s.role_assignments, |one| one.role = "No Such Role".to_owned());
        }),
        (ROLES, |s| {
            push(&mut s.role_assignments, |one| one.scope = "/".to_owned());
        }),
        ("roleAssignmentScopes", |s| {
            s.role_assignment_scopes.push("/".to_owned());
        }),
        ("authorizedBy", |s| s.authorized_by.push("No Name".to_owned())),
    ];
    for (field, break_it) in breaks {
        let mut status = good.clone();
        break_it(&mut status);
        let expected = Recorded {
            unreadable: BTreeSet::from([field]),
            ..Recorded::from(&good)
        };
        assert_eq!(Recorded::from(&status), expected, "{field}");
        assert!(!is_known(&status), "{field}");
    }
}

#[test]
fn an_identity_or_issuer_that_does_not_parse_is_none_and_noted_and_all_else_is_kept() {
    let good = full();
    let read = Recorded::from(&good);
    let without = |change: fn(&mut RecordedIds)| {
        let mut identity = read.identity.clone().unwrap();
        change(&mut identity.ids);
        Some(identity)
    };
    let breaks: [(Break, Option<RecordedIdentity>); 4] = [
        (
            |s| s.identity.as_mut().unwrap().resource_id = "/subscriptions/x".to_owned(),
            None,
        ),
        (
            |s| s.identity.as_mut().unwrap().client_id = None,
            without(|ids| ids.client = None),
        ),
        (
            |s| s.identity.as_mut().unwrap().principal_id = Some("x".to_owned()),
            without(|ids| ids.principal = None),
        ),
        (
            |s| s.identity.as_mut().unwrap().tenant_id = Some("0".to_owned()),
            without(|ids| ids.tenant = None),
        ),
    ];
    for (break_it, identity) in breaks {
        let mut status = good.clone();
        break_it(&mut status);
        let expected = Recorded {
            identity,
            unreadable: BTreeSet::from(["identity"]),
            ..read.clone()
        };
        let now = Recorded::from(&status);
        assert_eq!(now, expected);
        assert!(now.identity.as_ref().and_then(RecordedIdentity::facts).is_none());
        assert!(now.names_identity(), "something was made");
        assert!(!is_known(&status));
    }
    let mut status = good;
    status.issuer = Some("no issuer".to_owned());
    let expected = Recorded {
        issuer: None,
        unreadable: BTreeSet::from(["issuer"]),
        ..read
    };
    assert_eq!(Recorded::from(&status), expected);
    assert!(!is_known(&status));
}

/// Another version of the operator may have written it, and it may be all that tells of a role that stands.
#[test]
fn a_credential_or_role_that_does_not_parse_stays_in_the_status() {
    let mut before = settled(&bound());
    before.federated_credentials[0].subject = "of a later version".to_owned();
    before.role_assignments[0].role = "No Such Role".to_owned();
    before.role_assignment_scopes.push("/".to_owned());
    let mut next = settled(&bound());
    Recorded::keep_unreadable(&before, &mut next);
    let once = next.clone();
    Recorded::keep_unreadable(&before, &mut next);
    assert_eq!(next, once, "once");
    assert!(next.federated_credentials.contains(&before.federated_credentials[0]));
    assert!(next.role_assignments.contains(&before.role_assignments[0]));
    assert!(next.role_assignment_scopes.contains(&"/".to_owned()));
    let good = settled(&bound());
    let mut same = good.clone();
    Recorded::keep_unreadable(&good, &mut same);
    assert_eq!(same, good);
}

#[test]
fn how_the_last_pass_ended_is_read_from_the_conditions() {
    let status = settled(&bound());
    let ended = |change: Break| {
        let mut status = status.clone();
        change(&mut status);
        Recorded::from(&status).progress
    };
    let good = Progress {
        observed_generation: Some(3),
        ready: Some(3),
        has_conditions: true,
        has_roles_condition: true,
        accounts_ready: true,
    };
    assert_eq!(ended(|_| {}), good);
    assert_eq!(
        ended(|s| s.conditions[0].status = "Unknown".to_owned()),
        Progress { ready: None, ..good }
    );
    assert_eq!(
        ended(|s| s.conditions[0].observed_generation = Some(2)),
        Progress { ready: Some(2), ..good }
    );
    assert_eq!(
        ended(|s| drop(s.conditions.pop())),
        Progress {
            has_roles_condition: false,
            ..good
        }
    );
    assert_eq!(
        ended(|s| *s = WorkloadIdentityBindingStatus::default()),
        Progress::default()
    );
    assert_eq!(Recorded::from(None).progress, Progress::default());
}

#[test]
fn roles_were_given_when_one_is_left_or_a_condition_still_speaks_of_them() {
    let with_roles = Recorded::from(&settled(&bound()));
    let without = Recorded::from(&settled(&desired(&managed_with(&[]))));
    assert!(with_roles.had_roles() && !without.had_roles() && !Recorded::default().had_roles());
    let condition_alone = Recorded {
        role_assignments: Vec::new(),
        ..with_roles.clone()
    };
    let assignment_alone = Recorded {
        progress: Progress::default(),
        ..with_roles
    };
    assert!(condition_alone.had_roles() && assignment_alone.had_roles());
}

/// A newer operator wrote it: it is not for this one to take for known, and not to lose.
#[test]
fn a_field_that_this_version_cannot_read_is_noted() {
    let status = serde_json::json!({ "identity": { "resourceId": "x", "origin": "Imported" } });
    let status: WorkloadIdentityBindingStatus = serde_json::from_value(status).unwrap();
    let recorded = Recorded::from(&status);
    assert!(recorded.names_identity());
}

/// An identity is announced by its name before it is made, and has ids only afterwards.
#[test]
fn an_identity_that_is_only_named_was_not_written() {
    let mut status = WorkloadIdentityBindingStatus {
        identity: full().identity,
        ..WorkloadIdentityBindingStatus::default()
    };
    assert!(!Recorded::from(&status).nothing_was_written());
    let identity = status.identity.as_mut().unwrap();
    identity.client_id = None;
    identity.principal_id = None;
    identity.tenant_id = None;
    assert!(Recorded::from(&status).nothing_was_written());
}

#[test]
fn the_issuer_of_a_binding_is_the_one_that_its_status_names() {
    let mut object = managed(&["a"]);
    assert_eq!(Recorded::issuer_of(&object), None);
    object.status = Some(full());
    assert_eq!(Recorded::issuer_of(&object), Some(name(ISSUER)));
}
