//! The words that people read: what is wrong, with which resource, and what to do next.

use std::time::Duration;

use jiff::Timestamp;
use wio_api::{DeletionPolicy, Reason, WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::fault::{
    AzureAnswer, AzureCause, AzureFault, Blocked, Fault, HeldField, KubernetesCause, KubernetesFault,
};
use wio_core::observed::BoundBy;
use wio_core::outcome::{Outcome, Reconciled};
use wio_core::status::{Subject, status};
use wio_core::verdict::Verdict;

use crate::given::{
    EXISTING, accounts_of, by_rival, cluster, denied, desired, existing, gone, lifecycle, managed, name, rules,
    verdict_of,
};
use crate::worlds::{World, account, foreign_credential};

const MADE: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/operator/providers/\
                    Microsoft.ManagedIdentity/userAssignedIdentities/wib-shop-orders-5v47tcb6dry2gzmb";

fn outcome(desired: Desired, named: &DesiredBinding, world: &World) -> Reconciled {
    Reconciled::new(desired, world.observe(&accounts_of(named)), Vec::new())
}

/// The same after something went wrong on the way.
fn with_fault(fault: Fault, reconciled: &Reconciled) -> Reconciled {
    Reconciled::new(reconciled.desired().clone(), reconciled.observed().clone(), vec![fault])
}

fn made(outcome: &Outcome, deleting: bool) -> WorkloadIdentityBindingStatus {
    let subject = Subject {
        previous: None,
        lifecycle: &lifecycle(1, deleting),
        cluster: &cluster(),
        heeded: None,
        failed_looks: None,
        written: false,
        contested: None,
    };
    status(subject, outcome, Timestamp::UNIX_EPOCH)
}

fn unobserved(fault: Fault) -> Outcome {
    Outcome::Unobserved {
        desired: Some(Box::new(Desired::Bound(desired(&managed(&["orders"]))))),
        fault,
    }
}

fn bound(binding: &DesiredBinding, world: &World) -> Reconciled {
    outcome(Desired::Bound(binding.clone()), binding, world)
}

fn azure(operation: &str, cause: AzureCause) -> Fault {
    Fault::Azure(AzureFault {
        operation: operation.to_owned(),
        cause,
    })
}

fn answer(status: u16, code: &str, message: &str) -> AzureCause {
    AzureCause::Answer(AzureAnswer {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
        retry_after: Some(Duration::from_secs(17)),
        request_id: Some("c0ffee".to_owned()),
    })
}

/// Each expected line is a condition's type, status, reason and message.
#[track_caller]
fn reads(outcome: &Outcome, deleting: bool, expected: &[&str]) {
    let made = made(outcome, deleting);
    let line = |c: &wio_api::Condition| format!("{} {} {}: {}", c.type_, c.status, c.reason, c.message);
    let lines: Vec<String> = made.conditions.iter().map(line).collect();
    for expected in expected {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected}\nis not in\n{}",
            lines.join("\n")
        );
    }
    assert!(
        expected.len() >= lines.len().min(2),
        "too little of\n{}",
        lines.join("\n")
    );
}

#[track_caller]
fn after(reconciled: Reconciled, expected: &[&str]) {
    reads(&Outcome::Reconciled(Box::new(reconciled)), false, expected);
}

#[test]
fn a_settled_binding_says_who_gets_tokens_of_what() {
    let two = desired(&managed(&["orders", "mails"]));
    after(
        bound(&two, &World::as_desired(&two)),
        &[
            "Ready True Succeeded: Pods of service accounts mails, orders with the label azure.workload.identity/use: \"true\" \
             get tokens of managed identity wib-shop-orders-5v47tcb6dry2gzmb; pods that started before must be restarted.",
            &format!(
                "IdentityReady True Succeeded: {MADE} exists with client id 00000000-0000-0000-0000-00000000c000."
            ),
            "FederatedCredentialsReady True Succeeded: 2 federated credentials exist; Entra can take two minutes to know a new one.",
            "ServiceAccountsReady True Succeeded: 2 service accounts carry the client id.",
        ],
    );
    let one = desired(&managed(&["orders"]));
    after(
        bound(&one, &World::as_desired(&one)),
        &[
            "FederatedCredentialsReady True Succeeded: 1 federated credential exists; Entra can take two minutes to know a new one.",
            "ServiceAccountsReady True Succeeded: 1 service account carries the client id.",
        ],
    );
}

/// Terraform's credential for the same subject was there first: the binding was ready, and nothing said on what it rested.
#[test]
fn trust_that_rests_on_somebody_elses_credential_is_told_with_its_name() {
    let two = desired(&existing(&["orders", "mails"]));
    let mut world = World::as_desired(&two);
    let credentials = &mut world.identity.as_mut().unwrap().credentials;
    credentials[0].name = name("terraform-orders");
    let outcome = Outcome::Reconciled(Box::new(bound(&two, &world)));
    reads(
        &outcome,
        false,
        &[
            "FederatedCredentialsReady True Succeeded: 2 federated credentials exist; Entra can take two minutes to know a new one. \
             Trust rests on federated credentials that are not of this binding: that of orders on terraform-orders. When one goes, \
             the operator writes its own at its next look.",
            "ServiceAccountsReady True Succeeded: 2 service accounts carry the client id.",
        ],
    );
    let accounts = made(&outcome, false).service_accounts;
    let rests: Vec<_> = accounts
        .iter()
        .map(|one| (one.name.as_str(), one.foreign_credential.as_deref()))
        .collect();
    assert_eq!(rests, [("mails", None), ("orders", Some("terraform-orders"))]);
}

#[test]
fn what_a_service_account_lacks_is_what_the_cluster_shows() {
    let one = desired(&managed(&["orders"]));
    let mut world = World::as_desired(&one);
    world.accounts.get_mut(&name("orders")).unwrap().bound_by = BoundBy::Nobody;
    after(
        bound(&one, &world),
        &[
            "Ready Unknown Progressing: Azure or the cluster changed while the operator was at work; it looks again.",
            "ServiceAccountsReady False Progressing: The client id stands, and the rest is not as asked for, on 1 of 1 service \
             accounts: orders. Azure or the cluster changed while the operator was at work; it looks again.",
        ],
    );
}

#[test]
fn of_an_identity_that_is_anothers_nothing_is_judged() {
    let one = desired(&managed(&["orders"]));
    let mut world = World::as_desired(&one);
    world.identity.as_mut().unwrap().tags.clear();
    let judged = "Not judged while the identity is not this binding's to use; IdentityReady says why.";
    after(
        bound(&one, &world),
        &[
            &format!("FederatedCredentialsReady Unknown IdentityNotOwned: {judged}"),
            &format!("ServiceAccountsReady Unknown IdentityNotOwned: {judged}"),
        ],
    );
}

#[test]
fn a_suspended_binding_says_how_much_waits() {
    let mut object = managed(&["orders", "mails"]);
    object.spec.suspend = true;
    let two = desired(&object);
    let suspended = |world: &World| bound(&two, world);
    after(
        suspended(&World::empty()),
        &[
            "Ready False Suspended: spec.suspend is true and 5 changes wait: create the identity, trust the service account \
             orders, trust the service account mails, annotate the service account orders, annotate the service account mails; \
             set it to false to have them made.",
            "FederatedCredentialsReady False Suspended: Entra does not trust 2 of 2 service accounts: orders, mails; \
             this waits for IdentityReady.",
        ],
    );
    let mut world = World::as_desired(&two);
    world.accounts.remove(&name("mails"));
    after(
        suspended(&world),
        &[
            "Stalled True Suspended: spec.suspend is true and 1 change waits: annotate the service account mails; set it to false to \
             have it made.",
            "ServiceAccountsReady False Suspended: The client id is missing on 1 of 2 service accounts: mails. \
             spec.suspend is true and 1 change waits: annotate the service account mails; set it to false to have it made.",
        ],
    );
}

#[test]
fn a_part_tells_its_own_reasons_and_what_it_waits_for() {
    let two = desired(&existing(&["orders", "mails"]));
    let mut world = World::as_desired(&two);
    world.identity.as_mut().unwrap().credentials.remove(1);
    world.accounts.remove(&name("mails"));
    (0..19).for_each(|n| world.insert(foreign_credential(n)));
    let full = format!(
        "{EXISTING} has no room for the federated credential of service account mails: Azure allows 20, and 19 are not of \
         this binding; remove some, or bind fewer service accounts to it."
    );
    after(
        bound(&two, &world),
        &[
            &format!("Ready False FederatedCredentialQuotaExceeded: {full}"),
            &format!("Stalled True FederatedCredentialQuotaExceeded: {full}"),
            &format!(
                "FederatedCredentialsReady False FederatedCredentialQuotaExceeded: Entra does not trust 1 of 2 service \
                 accounts: mails. {full}"
            ),
            "ServiceAccountsReady False FederatedCredentialQuotaExceeded: The client id is missing on 1 of 2 service accounts: \
             mails; this waits for FederatedCredentialsReady.",
        ],
    );

    // What keeps a service account from its annotation is no reason of a federated credential.
    let held = |empty| KubernetesFault {
        operation: "annotate the service account orders".to_owned(),
        cause: KubernetesCause::FieldsHeld(vec![HeldField {
            manager: "helm".to_owned(),
            field: ".metadata.annotations.azure.workload.identity/client-id".to_owned(),
            empty,
        }]),
    };
    let mut world = World::as_desired(&two);
    world.accounts.remove(&name("orders"));
    world.identity.as_mut().unwrap().credentials.remove(1);
    for (empty, value) in [(false, "another value"), (true, "an empty value")] {
        let told = format!(
            "ServiceAccountsReady False ServiceAccountConflict: The client id is missing on 1 of 2 service accounts: orders. \
             Could not annotate the service account orders: field manager \"helm\" holds \
             .metadata.annotations.azure.workload.identity/client-id with {value}; remove it there, or set \
             conflictPolicy: Force to take it over."
        );
        after(
            with_fault(Fault::Kubernetes(held(empty)), &bound(&two, &world)),
            &[
                "FederatedCredentialsReady False Progressing: Entra does not trust 1 of 2 service accounts: mails.",
                &told,
            ],
        );
    }
}

#[test]
fn what_somebody_else_holds_is_named_with_the_way_out() {
    let one = desired(&existing(&["orders"]));
    let mut world = World::as_desired(&one);
    let credential = &mut world.identity.as_mut().unwrap().credentials[0];
    credential.name = name("terraform");
    credential.audiences = vec!["api://other".to_owned()];
    world.accounts.insert(name("orders"), account(0, by_rival()));
    after(
        bound(&one, &world),
        &[
            &format!(
                "Ready False FederatedCredentialConflict: The federated credential terraform of {EXISTING} is not of this \
                 binding and trusts system:serviceaccount:shop:orders with audience api://other instead of \
                 api://AzureADTokenExchange; delete it, or set spec.audience to its audience. Service account orders is bound \
                 by WorkloadIdentityBinding invoices; a service account has one client id, so remove it from one of the two."
            ),
            "FederatedCredentialsReady False FederatedCredentialConflict: Entra does not trust 1 of 1 service accounts: orders; this \
             waits for ServiceAccountsReady.",
        ],
    );
    let mut world = World::as_desired(&one);
    world.identity.as_mut().unwrap().credentials.clear();
    world.accounts.insert(name("orders"), account(0, by_rival()));
    after(
        bound(&one, &world),
        &[
            "FederatedCredentialsReady False ServiceAccountConflict: Entra does not trust 1 of 1 service accounts: orders; this waits \
             for ServiceAccountsReady.",
            "IdentityReady True Succeeded: /subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shared/providers/\
             Microsoft.ManagedIdentity/userAssignedIdentities/billing exists with client id 00000000-0000-0000-0000-00000000c000.",
        ],
    );
    let mine = desired(&managed(&["orders"]));
    let mut world = World::as_desired(&mine);
    world.identity.as_mut().unwrap().tags.clear();
    let why = format!(
        "{MADE} exists and does not carry this binding's tags; delete it, give the binding another spec.identity.managed.name, \
         or take it over with spec.identity.managed.adopt: true, which needs adopt: true in spec.managedIdentities of a \
         WorkloadIdentityPolicy for this namespace."
    );
    after(
        bound(&mine, &world),
        &[
            &format!("Ready False IdentityNotOwned: {why}"),
            &format!("IdentityReady False IdentityNotOwned: The identity is not ready. {why}"),
        ],
    );
}

#[test]
fn a_tag_that_azure_keeps_otherwise_is_named_where_the_identity_is_told_of() {
    let mut one = desired(&managed(&["orders"]));
    one.tolerate(&["cost", "team"].map(str::to_owned).into());
    after(
        bound(&one, &World::as_desired(&one)),
        &[
            &format!(
                "IdentityReady True Succeeded: {MADE} exists with client id 00000000-0000-0000-0000-00000000c000. Azure keeps another \
                 value of tag cost, team than the one that was written, as an Azure Policy can have it; make the two agree."
            ),
            "ServiceAccountsReady True Succeeded: 1 service account carries the client id.",
        ],
    );
}

#[test]
fn a_part_tells_its_own_reasons_and_those_of_the_parts_that_it_rests_on() {
    let one = desired(&crate::given::managed_with(&[("Reader", crate::given::VAULT)]));
    let mut world = World::as_desired(&one);
    world.identity.as_mut().unwrap().credentials.clear();
    world.roles.clear();
    world.accounts.clear();
    let fault = |reason, message: &str| {
        Fault::Blocked(Blocked {
            reason,
            message: message.to_owned(),
        })
    };
    let faults = vec![
        fault(Reason::IdentityNotFound, "the identity"),
        fault(Reason::FederatedCredentialConflict, "the credential"),
        fault(Reason::RoleAssignmentConflict, "the role"),
        fault(Reason::ServiceAccountConflict, "the account"),
    ];
    let seen = world.observe(&accounts_of(&one));
    let status = made(
        &Outcome::Reconciled(Box::new(Reconciled::new(Desired::Bound(one), seen, faults))),
        false,
    );
    let told = |kind: &str, word: &str| {
        let mut all = status.conditions.iter();
        let told = all.find(|condition| condition.type_ == kind).unwrap();
        assert_eq!(
            (told.status.as_str(), told.reason.as_str()),
            ("False", "IdentityNotFound"),
            "{kind}"
        );
        told.message.contains(word)
    };
    for (kind, own) in [
        ("FederatedCredentialsReady", &["The identity", "The credential"][..]),
        ("RoleAssignmentsReady", &["The identity", "The role"]),
        (
            "ServiceAccountsReady",
            &["The identity", "The credential", "The account"],
        ),
    ] {
        for word in ["The identity", "The credential", "The role", "The account"] {
            // That of a service account begins with a word of its own.
            let is = told(kind, &format!(". {word}."));
            assert_eq!(is, own.contains(&word), "{kind} and {word}: {status:?}");
        }
    }
}

#[test]
fn an_error_of_azure_is_told_in_its_words_with_what_to_do_and_nothing_that_differs_at_each_try() {
    let one = desired(&managed(&["orders"]));
    let failed = |cause| {
        with_fault(
            azure("create the managed identity x", cause),
            &bound(&one, &World::empty()),
        )
    };
    after(
        failed(answer(403, "AuthorizationFailed", "The client 'x' may not do this.")),
        &[
            "Ready False AuthorizationFailed: Could not create the managed identity x: Azure answered 403 AuthorizationFailed: \
             The client 'x' may not do this. Give the operator's own identity a role that allows it; the operator tries again \
             by itself.",
            "ServiceAccountsReady False AuthorizationFailed: The client id is missing on 1 of 1 service accounts: orders; this \
             waits for IdentityReady.",
        ],
    );
    after(
        failed(answer(429, "TooManyRequests", "Please try again after '17' seconds.")),
        &[
            "Ready False Throttled: Could not create the managed identity x: Azure answered 429 TooManyRequests: it asks to slow \
             down. The operator tries again by itself.",
            "Reconciling True ProgressingWithRetry: Could not create the managed identity x: Azure answered 429 TooManyRequests: \
             it asks to slow down. The operator tries again by itself.",
        ],
    );
    let of_entra = "AADSTS700016: Application 'x' was not found in the directory 'y'.\r\nTrace ID: 1\r\nTimestamp: 3";
    reads(
        &unobserved(azure(
            "read the managed identity x",
            AzureCause::Credential(of_entra.to_owned()),
        )),
        false,
        &[
            "Ready False CredentialUnavailable: Could not read the managed identity x: no token for Azure could be had: \
             AADSTS700016: Application 'x' was not found in the directory 'y'. Check the operator's own credentials; it tries \
             again by itself.",
            "IdentityReady Unknown CredentialUnavailable: Not looked at; Ready says why.",
        ],
    );
}

#[test]
fn words_without_end_are_shortened() {
    let long = azure("create x", answer(500, "InternalServerError", &"word, ".repeat(3000)));
    let message = made(&unobserved(long), false).conditions[0].message.clone();
    assert!(message.ends_with(" (shortened)"), "{message}");
    assert!(message.chars().count() < 4200);
}

/// What the verdict holds, as an outcome.
fn held(object: &WorkloadIdentityBinding) -> Outcome {
    match verdict_of(object, rules()) {
        Verdict::Hold(blocked) => Outcome::Held(blocked),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refused_spec_names_its_fields_as_they_are_written() {
    let mut object = managed(&["A", "a"]);
    object.spec.audience = Some("x y".to_owned());
    reads(
        &held(&object),
        false,
        &[
            "Ready False InvalidSpec: spec.serviceAccounts[0].name: \"A\" is not a service account name: it must be a DNS \
             subdomain: 1 to 253 lower-case letters, digits, '-' or '.'; spec.audience: \"x y\" is not an audience: it must be \
             1 to 600 characters without spaces, control characters or '*'.",
            "ServiceAccountsReady Unknown InvalidSpec: Not looked at; Ready says why.",
        ],
    );
    let mut object = existing(&["a"]);
    let elsewhere = EXISTING.replace("shared", "prod");
    let named = object.spec.identity.existing.as_mut().unwrap();
    named.resource_id = Some(elsewhere.clone());
    let why = format!(
        "spec.identity.existing.resourceId is not permitted: no WorkloadIdentityPolicy allows {elsewhere} (generous allows \
         {EXISTING}); ask the platform team to add it to spec.existingIdentities of a WorkloadIdentityPolicy for namespace shop."
    );
    reads(
        &held(&object),
        false,
        &[
            &format!("Ready False NotPermitted: {why}"),
            &format!("Stalled True NotPermitted: {why}"),
            &format!("Authorized False NotPermitted: {why}"),
            "IdentityReady Unknown NotPermitted: Not looked at; Ready says why.",
        ],
    );
    let undecided = Outcome::Held(Blocked {
        reason: Reason::NotDecided,
        message: "namespace shop is not known yet".to_owned(),
    });
    reads(
        &undecided,
        false,
        &[
            "Ready Unknown NotDecided: Namespace shop is not known yet.",
            "Reconciling True Progressing: Namespace shop is not known yet.",
            "Authorized Unknown NotDecided: Not decided; Ready says why.",
        ],
    );
}

#[test]
fn a_binding_says_what_allows_it() {
    let alone = desired(&managed(&["orders"]));
    after(
        bound(&alone, &World::as_desired(&alone)),
        &[
            "Authorized True Succeeded: Allowed without a policy: the operator creates the identity in its own resource group, \
             and it gets no role.",
            "ServiceAccountsReady True Succeeded: 1 service account carries the client id.",
        ],
    );
    let by_policy = desired(&existing(&["orders"]));
    after(
        bound(&by_policy, &World::as_desired(&by_policy)),
        &[
            "Authorized True Succeeded: Allowed by WorkloadIdentityPolicy generous.",
            "ServiceAccountsReady True Succeeded: 1 service account carries the client id.",
        ],
    );
    let unseen = Outcome::Unobserved {
        desired: Some(Box::new(Desired::Bound(by_policy))),
        fault: azure("read the managed identity x", AzureCause::Timeout),
    };
    reads(
        &unseen,
        false,
        &[
            "Authorized True Succeeded: Allowed by WorkloadIdentityPolicy generous.",
            "IdentityReady Unknown AzureUnavailable: Not looked at; Ready says why.",
        ],
    );
}

#[test]
fn a_denied_binding_says_that_its_trust_was_taken_away() {
    let one = desired(&existing(&["orders"]));
    let mut world = World::as_desired(&one);
    let why = "spec.identity.existing.resourceId is not permitted: nobody allows it. Its federated credentials, role assignments \
               and annotations are taken away.";
    let before = outcome(denied(&one), &one, &world);
    after(
        before,
        &[
            &format!(
                "Ready Unknown Progressing: Azure or the cluster changed while the operator was at work; it looks again. {why}"
            ),
            &format!("Authorized False NotPermitted: {why}"),
            "FederatedCredentialsReady False NotPermitted: Being taken away; Authorized says why.",
        ],
    );
    let plan = wio_core::plan::plan(&denied(&one), &world.observe(&accounts_of(&one)));
    world.run(&denied(&one), &plan, usize::MAX).unwrap();
    after(
        outcome(denied(&one), &one, &world),
        &[
            &format!("Ready False NotPermitted: {why}"),
            &format!("Stalled True NotPermitted: {why}"),
            &format!("Authorized False NotPermitted: {why}"),
            "IdentityReady False NotPermitted: The binding may not use it; Authorized says why.",
            "FederatedCredentialsReady False NotPermitted: Taken away; Authorized says why.",
            "ServiceAccountsReady False NotPermitted: Taken away; Authorized says why.",
        ],
    );
}

#[test]
fn a_deletion_says_what_keeps_it() {
    let one = desired(&managed(&["orders"]));
    let gone = gone(&one, DeletionPolicy::Delete);
    let mut world = World::as_desired(&one);
    world.insert(foreign_credential(1));
    let why = format!(
        "{MADE} is still used through federated credentials that are not of this binding: terraform-1; delete them, or set \
         deletionPolicy: RetainIdentity; the annotation workloadidentity.dev/delete-despite-users takes nobody's trust but that of \
         this namespace."
    );
    reads(
        &Outcome::Reconciled(Box::new(outcome(gone.clone(), &one, &world))),
        true,
        &[
            &format!("Ready False DeletionBlocked: {why}"),
            &format!("Stalled True DeletionBlocked: {why}"),
        ],
    );
    reads(
        &Outcome::Reconciled(Box::new(outcome(gone, &one, &World::empty()))),
        true,
        &["Ready False Deleting: Everything of this binding is removed."],
    );
}

/// A role that was given at a resource group goes with the group.
#[test]
fn a_deletion_that_azure_forbids_says_that_its_resource_group_may_be_gone() {
    let one = desired(&managed(&["orders"]));
    let says = |target: Desired, fault: Fault| {
        let desired = Some(Box::new(target));
        made(&Outcome::Unobserved { desired, fault }, true).conditions[0]
            .message
            .contains("section 7")
    };
    let forbidden = || {
        azure(
            "read the managed identity x",
            answer(403, "AuthorizationFailed", "The client 'x' may not do this."),
        )
    };
    let broken = azure(
        "read the managed identity x",
        answer(500, "InternalServerError", "Broken."),
    );
    assert!(says(gone(&one, DeletionPolicy::Delete), forbidden()));
    assert!(!says(Desired::Bound(one.clone()), forbidden()));
    assert!(!says(gone(&one, DeletionPolicy::Delete), broken));
}
