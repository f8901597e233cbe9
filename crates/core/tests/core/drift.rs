//! Drift, as lists and the activity log show it: what they say costs a look at most, and no difference goes unseen.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use wio_api::{WorkloadIdentityBinding, keys};
use wio_core::binding::Binding;
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::drift::{
    Change, Changed, CorrectedKind, Corrections, Entry, LOG_SETTLES_IN, Listed, ListedRoles, Share, changed_back,
    differs, is_news, least_pause, sweep_interval,
};
use wio_core::known_state;
use wio_core::names::{PrincipalId, Scope};
use wio_core::observed::{
    AzureState, BoundBy, IdentityFacts, ObservedIdentity, ObservedRoleAssignment, ObservedRoleAssignments, Tags,
};
use wio_core::plan::plan;

use crate::given::{
    CLUSTER, EXISTING, ISSUER, SUBSCRIPTION, VAULT, accounts_of, any_binding, cases, desired, managed_with, name,
    recorded,
};
use crate::plan_roles::{self, made, reconciled};
use crate::worlds::World;

const HOUR: Duration = Duration::from_hours(1);
const OTHER: &str = "1a2b3c4d-0000-4000-8000-00000000aaaa";

/// What is known of a settled binding, and what Azure shows of it.
fn settled(bound: &DesiredBinding) -> AzureState {
    World::as_desired(bound).observe(&accounts_of(bound)).azure
}

fn listed(state: &AzureState) -> (IdentityFacts, Tags) {
    let present = state.identity.present().unwrap();
    (present.facts, present.tags.clone())
}

fn shows(known: &AzureState, (facts, tags): &(IdentityFacts, Tags)) -> bool {
    differs(
        known,
        Some(Listed {
            facts: Some(facts),
            tags,
            ignored: &[],
        }),
    )
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_list_that_shows_what_is_known_asks_for_no_look(object in any_binding()) {
        let known = settled(&desired(&object));
        let shown = listed(&known);
        prop_assert!(!shows(&known, &shown));
        let mut more = shown;
        more.1.insert("somebody-elses".to_owned(), "x".to_owned());
        prop_assert!(!shows(&known, &more), "an Azure Policy that adds a tag to all is no reason to look at all");
    }

    #[test]
    fn a_list_after_a_restart_shows_no_difference_to_what_the_status_says(object in any_binding()) {
        let bound = desired(&object);
        let state = settled(&bound);
        let end = reconciled(wio_core::desired::Desired::Bound(bound.clone()), World::as_desired(&bound).observe(&accounts_of(&bound)), Vec::new());
        let known = known_state::from_status(&bound, &recorded(3, &made(&end, None))).unwrap();
        prop_assert!(!shows(&known, &listed(&state)));
    }

    #[test]
    fn each_change_that_a_list_can_show_is_seen(object in any_binding(), which in 0_usize..6) {
        let known = settled(&desired(&object));
        let mut shown = listed(&known);
        match which {
            0 => shown.0.client_id = name(OTHER),
            1 => shown.0.principal_id = name(OTHER),
            2 => shown.0.tenant_id = name(OTHER),
            3 => drop(shown.1.insert(keys::ADOPTED_TAG.to_owned(), "true".to_owned())),
            4 => {
                let first = shown.1.first().map(|(name, _)| name.clone());
                prop_assume!(first.is_some_and(|name| shown.1.remove(&name).is_some()));
            }
            _ => {
                let first = shown.1.iter_mut().next();
                prop_assume!(first.is_some());
                if let Some((_, value)) = first {
                    value.push('x');
                }
            }
        }
        prop_assert!(shows(&known, &shown));
    }

    /// One look more, whatever the log says: when a look came after a change had settled, no entry about it asks for another.
    #[test]
    fn an_entry_that_comes_again_and_again_costs_two_looks_at_most(
        age in 0_u64..3600, lateness in 0_u64..1200, every in 60_u64..900
    ) {
        let (mut looked, mut looks) = (None::<u64>, 0);
        // Seconds since the change.
        let mut now = lateness.max(age % 60);
        while now < 7200 {
            let since_look = looked.map(|at| Duration::from_secs(now - at));
            if is_news(Duration::from_secs(now), since_look) {
                looks += 1;
                looked = Some(now);
            }
            now += every;
        }
        let settles = LOG_SETTLES_IN.as_secs();
        prop_assert!(looked.is_some_and(|at| at >= settles), "the last look was after it had settled");
        prop_assert!(looks <= 1 + settles.div_ceil(every), "{looks} looks");
    }

    /// The budget: however many bindings and pages there are.
    #[test]
    fn all_looks_for_drift_together_keep_to_the_budget(
        bindings in 0_usize..200_000, page in 1_usize..1000, more in 0_usize..400_000
    ) {
        let pages = bindings.div_ceil(page);
        let minute = Duration::from_mins(1);
        let an_hour = |share, reads: usize| {
            let pause = least_pause(share, reads, minute);
            f64::from(u32::try_from(reads).unwrap()) * HOUR.as_secs_f64() / pause.as_secs_f64()
        };
        let reads = an_hour(Share::Identities, pages)
            + an_hour(Share::Roles, pages)
            + an_hour(Share::Log, 2)
            + an_hour(Share::Sweep, bindings * 2 + more);
        let all: u32 = Share::ALL.into_iter().map(Share::reads_an_hour).sum();
        prop_assert!(all <= 500, "what is left is the sweep's for orphans");
        prop_assert!(reads <= f64::from(all) + 0.1, "{reads}");
    }
}

/// The figures of docs/adr/0024: a subscription with 10,000 bindings, each with an identity, and a hundred identities a page.
#[test]
fn ten_thousand_bindings_cost_no_more_than_six_hundred_reads_an_hour() {
    const DRIFT: Duration = Duration::from_mins(30);
    const LOG: Duration = Duration::from_mins(5);
    let per_hour = |reads: u32, pause: Duration| f64::from(reads) * HOUR.as_secs_f64() / pause.as_secs_f64();
    let sweep = sweep_interval(HOUR * 24, 20_000);
    let reads = per_hour(100, least_pause(Share::Identities, 100, DRIFT))
        + per_hour(1, least_pause(Share::Log, 1, LOG))
        + per_hour(20_000, sweep);
    assert!(reads <= 600.0, "{reads}");
    assert_eq!(sweep.as_secs() / 3600, 71);
    // A thousand bindings are all looked at within the day that is asked for.
    assert_eq!(sweep_interval(HOUR * 24, 2_000), HOUR * 24);
    assert_eq!(least_pause(Share::Identities, 10, DRIFT), DRIFT);
}

#[test]
fn an_identity_that_is_in_no_list_or_unexpectedly_in_one_asks_for_a_look() {
    let known = settled(&desired(&crate::given::managed(&["a"])));
    let shown = listed(&known);
    assert!(differs(&known, None));
    let without_ids = Listed {
        facts: None,
        tags: &shown.1,
        ignored: &[],
    };
    assert!(differs(&known, Some(without_ids)), "one that cannot be compared");
    let absent = AzureState {
        identity: ObservedIdentity::Absent,
        role_assignments: ObservedRoleAssignments::read(Vec::new()),
    };
    assert!(!differs(&absent, None));
    assert!(shows(&absent, &shown));
}

fn entry(resource: &str) -> Option<Changed> {
    let entry = Entry {
        resource: Some(resource),
        at: Some("2026-01-01T00:00:00.1234567Z"),
        ..Entry::default()
    };
    Change::read(&entry).map(|change| change.of)
}

#[test]
fn an_entry_says_of_what_it_is_in_whatever_case() {
    let identity = Some(Changed::Identity(name(EXISTING)));
    assert_eq!(entry(EXISTING), identity);
    assert_eq!(entry(&EXISTING.to_uppercase()), identity);
    assert_eq!(entry(&format!("{EXISTING}/federatedIdentityCredentials/x")), identity);
    assert_eq!(entry(&format!("{EXISTING}/FEDERATEDIDENTITYCREDENTIALS/X")), identity);
    let guid = "05c5a614-a7d6-4502-b150-c2fb455033ff";
    let role = Some(Changed::RoleAssignment(name(guid)));
    assert_eq!(
        entry(&format!(
            "{VAULT}/providers/Microsoft.Authorization/roleAssignments/{guid}"
        )),
        role
    );
    assert_eq!(
        entry(&format!("/providers/microsoft.authorization/ROLEASSIGNMENTS/{guid}")),
        role
    );
    for nothing in [
        "",
        "/",
        "x",
        VAULT,
        &format!("{EXISTING}/federatedIdentityCredentials"),
        &format!("{VAULT}/roleAssignments/{guid}"),
    ] {
        assert_eq!(entry(nothing), None, "{nothing}");
    }
}

#[test]
fn who_was_refused_changed_nothing_and_what_failed_otherwise_may_have_been_done() {
    let read = |status, sub_status| {
        Change::read(&Entry {
            resource: Some(EXISTING),
            at: Some("2026-01-01T00:00:00Z"),
            status: Some(status),
            sub_status: Some(sub_status),
            client: Some(OTHER),
        })
    };
    assert_eq!(read("Failed", "Forbidden"), None);
    for (status, sub_status) in [
        ("Failed", "InternalServerError"),
        ("Started", ""),
        ("Succeeded", "Created"),
    ] {
        assert_eq!(read(status, sub_status).unwrap().by, Some(name(OTHER)), "{status}");
    }
}

#[test]
fn a_change_that_had_settled_when_somebody_looked_is_no_news() {
    let look = Duration::from_mins(7);
    let second = Duration::from_secs(1);
    assert!(is_news(HOUR, None), "nobody looked");
    assert!(is_news(look + LOG_SETTLES_IN, Some(look + second)));
    assert!(!is_news(look + LOG_SETTLES_IN, Some(look)));
}

#[test]
fn an_entry_from_a_clock_that_is_fast_is_from_now() {
    let entry = Entry {
        resource: Some(EXISTING),
        at: Some("2026-01-01T00:10:00Z"),
        ..Entry::default()
    };
    let change = Change::read(&entry).unwrap();
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    assert_eq!(change.age(at("2026-01-01T00:00:00Z")), Duration::ZERO);
    assert_eq!(change.age(at("2026-01-01T00:12:00Z")), Duration::from_mins(2));
}

/// A settled binding with a role at the vault, as its status says it, and the list of its subscription.
fn with_role() -> (Binding, Vec<ObservedRoleAssignment>) {
    let bound = desired(&managed_with(&[("Key Vault Secrets User", VAULT)]));
    let observed = World::as_desired(&bound).observe(&accounts_of(&bound));
    let assigned = observed.azure.role_assignments.known().to_vec();
    let status = made(
        &reconciled(wio_core::desired::Desired::Bound(bound), observed, Vec::new()),
        None,
    );
    (recorded(3, &status), assigned)
}

fn roles_differ(binding: &Binding, listed: Vec<ObservedRoleAssignment>) -> bool {
    let place: Scope = name(&format!("/subscriptions/{SUBSCRIPTION}"));
    ListedRoles::new(place, listed).differ(binding)
}

#[test]
fn a_role_assignment_that_is_gone_or_changed_or_one_of_ours_too_many_asks_for_a_look() {
    let (binding, assigned) = with_role();
    assert_eq!(assigned.len(), 1, "{ISSUER} {CLUSTER}");
    assert!(!roles_differ(&binding, assigned.clone()));
    assert!(roles_differ(&binding, Vec::new()));
    let principal: PrincipalId = name(OTHER);
    let somebody_elses = ObservedRoleAssignment {
        name: name("05c5a614-a7d6-4502-b150-c2fb455033ff"),
        ..assigned[0].clone()
    };
    let beside = vec![assigned[0].clone(), somebody_elses];
    assert!(!roles_differ(&binding, beside), "what others give is theirs");
    let of_another = ObservedRoleAssignment {
        principal,
        ..assigned[0].clone()
    };
    assert!(roles_differ(&binding, vec![of_another]));
    let scope: Scope = name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/shop"));
    let role = assigned[0].definition;
    let one_too_many = ObservedRoleAssignment {
        name: binding.owner.role_assignment_name(&scope, assigned[0].principal, role),
        scope: scope.to_string(),
        ..assigned[0].clone()
    };
    assert!(roles_differ(&binding, vec![assigned[0].clone(), one_too_many]));
    let elsewhere: Scope = name("/subscriptions/0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f77");
    assert!(
        !ListedRoles::new(elsewhere, Vec::new()).differ(&binding),
        "another place says nothing"
    );
}

#[test]
fn a_role_that_holds_on_other_terms_than_are_asked_for_asks_for_a_look() {
    let mut object = managed_with(&[("Key Vault Secrets User", VAULT), ("Reader", VAULT)]);
    object.spec.role_assignments[0].condition = Some("a".to_owned());
    object.spec.role_assignments[0].description = Some("for orders".to_owned());
    let bound = desired(&object);
    object.status = Some(plan_roles::settled(&bound));
    let binding = crate::given::parsed(&object);
    let assigned = World::as_desired(&bound)
        .observe(&accounts_of(&bound))
        .azure
        .role_assignments
        .known()
        .to_vec();
    assert!(!roles_differ(&binding, assigned.clone()));
    let at = assigned
        .iter()
        .position(|one| one.terms.as_ref().is_some_and(|terms| terms.condition.is_some()))
        .unwrap();
    let with = |terms: Option<(Option<&str>, Option<&str>)>| {
        let mut assigned = assigned.clone();
        assigned[at].terms = terms.map(|(condition, description)| wio_core::role_terms::RoleTerms {
            condition: condition.map(str::to_owned),
            description: description.map(str::to_owned),
        });
        roles_differ(&binding, assigned)
    };
    assert!(
        !with(Some((Some("a"), Some("for orders")))) && !with(None),
        "nobody knows"
    );
    assert!(with(Some((Some("b"), Some("for orders")))) && with(Some((None, Some("for orders")))));
    assert!(with(Some((Some("a"), Some("for mails")))) && with(Some((Some("a"), None))));
    let mut unspoken = assigned.clone();
    unspoken[1 - at].terms = Some(wio_core::role_terms::RoleTerms {
        condition: None,
        description: Some("x".to_owned()),
    });
    assert!(roles_differ(&binding, unspoken), "of the other one none is asked for");
}

/// What is put back of a binding whose status tells of this generation, when so much is gone of Azure.
fn corrections(object: &WorkloadIdentityBinding, generation: i64, gone: impl FnOnce(&mut World)) -> Corrections {
    let bound = desired(object);
    let told = plan_roles::settled(&bound);
    let mut world = World::as_desired(&bound);
    gone(&mut world);
    let observed = world.observe(&accounts_of(&bound));
    let plan = plan(&Desired::Bound(bound), &observed);
    Corrections::of(&recorded(generation, &told), &plan)
}

fn kinds(corrections: &Corrections) -> Vec<CorrectedKind> {
    corrections.kinds().collect()
}

#[test]
fn what_a_ready_binding_had_and_azure_has_no_more_is_told_when_it_is_put_back() {
    let object = managed_with(&[("Reader", VAULT)]);
    let whole = corrections(&object, 3, |_| ());
    assert_eq!((kinds(&whole), whole.told()), (Vec::new(), None));
    let gone = |world: &mut World| {
        world.roles.clear();
        world.forget_credentials();
    };
    let put_back = corrections(&object, 3, gone);
    assert_eq!(
        kinds(&put_back),
        [CorrectedKind::FederatedCredential, CorrectedKind::RoleAssignment]
    );
    let told = put_back.told().unwrap();
    assert!(told.warning && told.message.contains("system:serviceaccount:") && told.message.contains(VAULT));
    let all = corrections(&object, 3, |world| *world = World::empty());
    assert_eq!(kinds(&all)[0], CorrectedKind::Identity);
}

#[test]
fn what_an_edit_of_the_spec_asks_for_is_nobody_elses_doing() {
    let object = managed_with(&[("Reader", VAULT)]);
    let edited = corrections(&object, 4, World::forget_credentials);
    assert_eq!(kinds(&edited), []);
}

#[test]
fn each_thing_that_is_put_back_was_just_so_before() {
    let object = managed_with(&[("Reader", VAULT)]);
    let of = |change: &dyn Fn(&mut wio_api::WorkloadIdentityBindingStatus)| {
        let bound = desired(&object);
        let mut told = plan_roles::settled(&bound);
        change(&mut told);
        let observed = World::empty().observe(&accounts_of(&bound));
        let plan = plan(&Desired::Bound(bound), &observed);
        kinds(&Corrections::of(&recorded(3, &told), &plan))
    };
    let all = CorrectedKind::ALL;
    assert_eq!(of(&|_| ()), all);
    assert_eq!(
        all.map(CorrectedKind::as_str),
        ["identity", "federated_credential", "role_assignment"]
    );
    assert_eq!(
        of(&|told| told.identity.as_mut().unwrap().client_id = None)[0],
        all[1],
        "it was announced and never made"
    );
    let without_credential = [all[0], all[2]];
    assert_eq!(of(&|told| told.federated_credentials.clear()), without_credential);
    assert_eq!(
        of(&|told| told.issuer = Some(crate::given::OLD_ISSUER.to_owned())),
        without_credential
    );
    let other = |change: &dyn Fn(&mut wio_api::FederatedCredentialStatus)| {
        of(&|told| change(&mut told.federated_credentials[0]))
    };
    assert_eq!(other(&|one| one.name.push('x')), without_credential);
    assert_eq!(other(&|one| one.subject.push('x')), without_credential);
    assert_eq!(other(&|one| one.audience.push('x')), without_credential);
    assert_eq!(of(&|told| told.role_assignments.clear()), [all[0], all[1]]);
    let elsewhere = format!("/subscriptions/{SUBSCRIPTION}");
    assert_eq!(
        of(&|told| told.role_assignments[0].scope.clone_from(&elsewhere)),
        [all[0], all[1]]
    );
}

#[test]
fn who_changes_a_service_account_back_is_told_from_everything_else_that_marks_it_anew() {
    let object = crate::given::managed(&["a", "b"]);
    let bound = desired(&object);
    let told = plan_roles::settled(&bound);
    let of = |generation, change: &dyn Fn(&mut World)| {
        let mut world = World::as_desired(&bound);
        change(&mut world);
        let observed = world.observe(&accounts_of(&bound));
        let plan = plan(&Desired::Bound(bound.clone()), &observed);
        let names = changed_back(&recorded(generation, &told), &observed, &plan);
        names.into_iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    let unmark = |world: &mut World| world.accounts.get_mut(&name("a")).unwrap().bound_by = BoundBy::Nobody;
    assert_eq!(of(3, &|_| ()), none);
    assert_eq!(of(3, &unmark), ["a"]);
    assert_eq!(of(4, &unmark), none, "the spec was edited since");
    let deleted = |world: &mut World| drop(world.accounts.remove(&name("a")));
    assert_eq!(of(3, &deleted), none);
    let anew = |world: &mut World| {
        unmark(world);
        world.accounts.get_mut(&name("a")).unwrap().uid = name("another");
    };
    assert_eq!(of(3, &anew), none, "another one has its name");
    let other_identity = |world: &mut World| {
        unmark(world);
        world.identity.as_mut().unwrap().facts.client_id = name(OTHER);
    };
    assert_eq!(of(3, &other_identity), none, "it gets another client id");
}

#[test]
fn a_tag_that_is_ignored_may_change_and_go_and_asks_for_no_look() {
    let mut known = settled(&desired(&crate::given::managed(&["a"])));
    if let ObservedIdentity::Present(present) = &mut known.identity {
        present.tags.insert("policy-owner".to_owned(), "one".to_owned());
    }
    let ignored = ["policy-*".parse().unwrap()];
    let shows = |(facts, tags): &(IdentityFacts, Tags), ignored| {
        let facts = Some(facts);
        differs(&known, Some(Listed { facts, tags, ignored }))
    };
    for value in [Some("two"), None] {
        let mut list = listed(&known);
        list.1.remove("policy-owner");
        list.1
            .extend(value.map(|value| ("policy-owner".to_owned(), value.to_owned())));
        assert!(!shows(&list, &ignored), "{value:?}");
        assert!(shows(&list, &[]), "{value:?}");
    }
}
