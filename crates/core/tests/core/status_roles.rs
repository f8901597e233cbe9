//! What the status says of roles, and of credentials that are nearly too many.

use wio_api::{DeletionPolicy, Reason, RoleAssignmentStatus, WorkloadIdentityBindingStatus};
use wio_core::desired::Desired;
use wio_core::fault::{AzureAnswer, AzureCause, AzureFault, Fault};
use wio_core::observed::ObservedRoleAssignment;
use wio_core::plan::plan;

use crate::given::{ROLES, VAULT, denied, desired, gone, managed, managed_with, name};
use crate::plan_roles::{GROUP, READER, SECRETS, made, observed, reconciled, settled, unread};
use crate::worlds::{World, foreign_assignment, foreign_credential};

fn line(status: &WorkloadIdentityBindingStatus, kind: &str) -> Option<String> {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind)?;
    Some(format!("{} {}: {}", found.status, found.reason, found.message))
}

fn roles_line(status: &WorkloadIdentityBindingStatus) -> Option<String> {
    line(status, "RoleAssignmentsReady")
}

#[test]
fn roles_that_could_not_be_seen_are_neither_given_nor_taken_and_the_trust_goes_on() {
    let bound = desired(&managed_with(&[SECRETS]));
    let mut seen = observed(&bound, &World::empty());
    seen.azure.role_assignments = unread(false, Vec::new());
    let target = Desired::Bound(bound.clone());
    let planned = plan(&target, &seen);
    assert_eq!(planned.grants.len(), 3, "identity, credential, service account");
    let mut world = World::empty();
    world.run(&target, &planned, usize::MAX).unwrap();
    let mut seen = observed(&bound, &world);
    seen.azure.role_assignments = unread(true, World::as_desired(&bound).roles);
    let outcome = reconciled(target, seen, Vec::new());
    assert!(!outcome.problems().is_empty());
    let why = format!(
        "Could not list the role assignments of principal x at y: the operator's own role does not allow \
         Microsoft.Authorization/roleAssignments/read at {GROUP}. Give the operator's own identity a role that allows it, and \
         whose condition allows this role; the operator tries again by itself."
    );
    let left = made(&outcome, Some(&settled(&bound)));
    assert_eq!(line(&left, "Ready"), Some(format!("False RoleAccessDenied: {why}")));
    assert_eq!(
        roles_line(&left),
        Some(format!(
            "False RoleAccessDenied: The role assignments could not be looked at. {why}"
        ))
    );
    assert!(line(&left, "ServiceAccountsReady").unwrap().starts_with("True"));
    assert_eq!(
        left.role_assignments.len(),
        1,
        "what was not seen stays as it was last seen"
    );
}

/// Ours is known by its name wherever nobody could look; of somebody else's only the record tells.
#[test]
fn a_role_that_somebody_else_gave_stays_told_of_while_nobody_can_look() {
    let bound = desired(&managed_with(&[SECRETS]));
    let mut world = World::as_desired(&bound);
    let principal = world.identity.as_ref().unwrap().facts.principal_id;
    world.roles = vec![ObservedRoleAssignment {
        principal,
        ..foreign_assignment(1, SECRETS.0, SECRETS.1)
    }];
    let told = |seen, before| made(&reconciled(Desired::Bound(bound.clone()), seen, Vec::new()), before);
    let before = told(observed(&bound, &world), None);
    assert_eq!(before.role_assignments.len(), 1);
    let mut unseen = observed(&bound, &world);
    unseen.azure.role_assignments = unread(false, Vec::new());
    assert_eq!(told(unseen, Some(&before)).role_assignments, before.role_assignments);
}

#[test]
fn the_status_tells_the_roles_as_the_spec_names_them() {
    let bound = desired(&managed_with(&[("key vault secrets user", VAULT), ROLES[3]]));
    let left = settled(&bound);
    assert_eq!(
        roles_line(&left).unwrap(),
        "True Succeeded: The identity has 2 roles; a new role can take 10 minutes to work."
    );
    let ours = &World::as_desired(&bound).roles[0];
    assert_eq!(
        left.role_assignments[0],
        RoleAssignmentStatus {
            id: format!(
                "{VAULT}/providers/Microsoft.Authorization/roleAssignments/{}",
                ours.name
            ),
            role: "key vault secrets user".to_owned(),
            scope: VAULT.to_owned(),
        }
    );
    assert_eq!(left.role_assignments[1].role, ROLES[3].0);
    assert_eq!(
        roles_line(&settled(&desired(&managed(&["a"])))),
        None,
        "it asks for none"
    );
}

/// Azure may answer in another case than was sent, and nobody is to wonder whether that is the scope of the spec.
#[test]
fn the_status_tells_a_scope_as_the_spec_names_it_in_whatever_case_azure_answers() {
    let bound = desired(&managed_with(&[SECRETS]));
    let mut world = World::as_desired(&bound);
    world.roles[0].scope = VAULT.to_uppercase();
    let outcome = reconciled(Desired::Bound(bound.clone()), observed(&bound, &world), Vec::new());
    let [told] = made(&outcome, None).role_assignments.try_into().unwrap();
    assert_eq!((told.scope.as_str(), told.id), (VAULT, world.roles[0].id()));
}

#[test]
fn a_role_that_is_missing_is_named_with_the_reason_and_hinders_nothing_else() {
    let bound = desired(&managed_with(&[SECRETS, READER]));
    let mut world = World::as_desired(&bound);
    world.roles.pop();
    let give = |cause| {
        Fault::Azure(AzureFault {
            operation: format!("give the managed identity orders the role Reader at {GROUP}"),
            cause,
        })
    };
    let answer = |status, code: &str, message: &str| {
        AzureCause::Answer(AzureAnswer {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            ..AzureAnswer::default()
        })
    };
    let denied = AzureCause::RoleAccessDenied {
        action: "Microsoft.Authorization/roleAssignments/write",
        scope: name(GROUP),
    };
    for (cause, reason, words) in [
        (
            answer(
                400,
                "RoleAssignmentLimitExceeded",
                "No more role assignments can be created.",
            ),
            Reason::RoleAssignmentLimitExceeded,
            "Azure allows 4000 role assignments in a subscription",
        ),
        (
            answer(400, "PrincipalNotFound", "Principal x does not exist."),
            Reason::PrincipalNotFound,
            "Azure can take some minutes to know a new identity as one that can have roles",
        ),
        (
            answer(409, "RoleAssignmentExists", "The role assignment already exists."),
            Reason::RoleAssignmentExists,
            "Somebody else assigned the same role",
        ),
        (
            answer(400, "RoleAssignmentUpdateNotPermitted", "Not allowed to be updated."),
            Reason::RoleAssignmentConflict,
            "Another assignment has the name that is derived for this one",
        ),
        (
            denied,
            Reason::RoleAccessDenied,
            "the operator's own role does not allow Microsoft.Authorization/roleAssignments/write at /subscriptions/",
        ),
        (
            AzureCause::RoleScopeNotFound(name(GROUP)),
            Reason::RoleScopeNotFound,
            "does not exist. Create it, or correct the scope",
        ),
    ] {
        let outcome = reconciled(
            Desired::Bound(bound.clone()),
            observed(&bound, &world),
            vec![give(cause)],
        );
        let left = made(&outcome, None);
        let said = roles_line(&left).unwrap();
        let missing =
            format!("False {reason}: The identity does not have 1 of 2 roles: Reader at {GROUP}. Could not give");
        assert!(said.starts_with(&missing) && said.contains(words), "{said}");
        assert!(line(&left, "Ready").unwrap().contains(words));
        for kind in ["IdentityReady", "FederatedCredentialsReady", "ServiceAccountsReady"] {
            assert!(
                line(&left, kind).unwrap().starts_with("True"),
                "{reason} hinders {kind}"
            );
        }
        assert_eq!(left.role_assignments.len(), 1);
    }
}

/// Azure is asked for the role first, and what it refuses ends the pass.
#[test]
fn a_service_account_that_waits_for_a_role_says_so() {
    let bound = desired(&managed_with(&[SECRETS]));
    let mut world = World::as_desired(&bound);
    world.roles.clear();
    world.accounts.clear();
    let fault = Fault::Azure(AzureFault {
        operation: "give it".to_owned(),
        cause: AzureCause::RoleScopeNotFound(name(VAULT)),
    });
    let left = made(
        &reconciled(Desired::Bound(bound.clone()), observed(&bound, &world), vec![fault]),
        None,
    );
    assert_eq!(
        line(&left, "ServiceAccountsReady").unwrap(),
        "False RoleScopeNotFound: The client id is missing on 1 of 1 service accounts: a; this waits for RoleAssignmentsReady."
    );
}

#[test]
fn an_assignment_that_could_not_be_taken_away_stays_in_the_status() {
    let before = desired(&managed_with(&[SECRETS]));
    let now = desired(&managed(&["a"]));
    let world = World::as_desired(&before);
    let fault = Fault::Azure(AzureFault {
        operation: "delete the role assignment".to_owned(),
        cause: AzureCause::Timeout,
    });
    let left = made(
        &reconciled(Desired::Bound(now.clone()), observed(&now, &world), vec![fault.clone()]),
        Some(&settled(&before)),
    );
    assert_eq!(left.role_assignments, settled(&before).role_assignments);
    let said = roles_line(&left).unwrap();
    assert!(
        said.contains("1 role assignment is left that the spec does not ask for any more"),
        "{said}"
    );
    let gone = gone(&now, DeletionPolicy::RetainIdentity);
    let left = made(
        &reconciled(gone.clone(), observed(&now, &world), vec![fault]),
        Some(&left),
    );
    assert_eq!(left.role_assignments.len(), 1);
    let mut after = observed(&now, &world);
    plan(&gone, &after.clone())
        .revocations
        .iter()
        .for_each(|step| step.fold(&mut after));
    let left = made(&reconciled(gone, after, Vec::new()), Some(&left));
    assert_eq!(left.role_assignments, []);
}

/// Whose roles may be left is known by this alone when an identity was made anew.
#[test]
fn the_principal_that_the_identity_had_before_is_told_of_while_roles_of_it_may_be_left() {
    let bound = desired(&managed_with(&[SECRETS]));
    let before = settled(&bound);
    let mut world = World::as_desired(&bound);
    let old = world.identity.as_ref().unwrap().facts.principal_id;
    world.identity.as_mut().unwrap().facts.principal_id = name("1a2b3c4d-0000-4000-8000-00000000aaaa");
    let told = |seen| {
        made(
            &reconciled(Desired::Bound(bound.clone()), seen, Vec::new()),
            Some(&before),
        )
        .former_principal_ids
    };
    assert_eq!(told(observed(&bound, &world)), [old.to_string()]);
    world.roles[0].name = name("05c5a614-a7d6-4502-b150-c2fb455033ff");
    assert_eq!(told(observed(&bound, &world)), [""; 0], "somebody else gave it");
    world.roles.clear();
    assert_eq!(told(observed(&bound, &world)), [""; 0]);
    let mut unseen = observed(&bound, &world);
    unseen.azure.role_assignments = unread(true, Vec::new());
    assert_eq!(told(unseen), [old.to_string()], "nobody could look");
}

/// Once told of, the roles of a denied binding are told of to the end, so that nobody takes their absence for their having been kept.
#[test]
fn a_denied_binding_tells_of_its_roles_when_it_had_some_also_after_they_are_gone() {
    let bound = desired(&managed_with(&[SECRETS]));
    let told = |before: Option<&WorkloadIdentityBindingStatus>, world: &World| {
        made(&reconciled(denied(&bound), observed(&bound, world), Vec::new()), before)
    };
    let mut world = World::as_desired(&bound);
    let before = settled(&bound);
    let being = told(Some(&before), &world);
    assert_eq!(
        roles_line(&being).unwrap(),
        "False NotPermitted: Being taken away; Authorized says why."
    );
    assert_eq!(being.role_assignments.len(), 1);
    let planned = plan(&denied(&bound), &observed(&bound, &world));
    world.run(&denied(&bound), &planned, usize::MAX).unwrap();
    let gone = told(Some(&being), &world);
    assert_eq!(
        roles_line(&gone).unwrap(),
        "False NotPermitted: Taken away; Authorized says why."
    );
    assert_eq!(
        (gone.role_assignments.len(), told(Some(&gone), &world)),
        (0, gone.clone())
    );
    assert_eq!(roles_line(&told(None, &World::empty())), None, "it never had any");
}

#[test]
fn an_identity_that_is_nearly_full_of_credentials_says_so() {
    let bound = desired(&managed(&["a"]));
    let said = |foreign: usize| {
        let mut world = World::as_desired(&bound);
        (0..foreign).for_each(|n| world.insert(foreign_credential(n)));
        let outcome = reconciled(Desired::Bound(bound.clone()), observed(&bound, &world), Vec::new());
        line(&made(&outcome, None), "FederatedCredentialsReady").unwrap()
    };
    let usual = "True Succeeded: 1 federated credential exists; Entra can take two minutes to know a new one.";
    assert_eq!(said(16), usual);
    assert_eq!(
        said(17),
        format!(
            "{usual} 18 of the 20 federated credentials that Azure allows in one identity are used; bind further service \
             accounts to another identity."
        )
    );
}
