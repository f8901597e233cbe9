//! What changed settings take from many bindings is held, and nothing else is.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use wio_api::{ManagedIdentityPermission, Reason, VerificationMode, WorkloadIdentityBinding};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::case::Candidate;
use wio_core::config::{LOCKED_ROLES, OperatorConfig, ROLES_LOCKED_AT_IDENTITIES};
use wio_core::names::RoleDefinitionGuid;
use wio_core::policy::{Policies, merge};
use wio_core::rules::Rules;
use wio_core::settings_change::{Acceptance, MANY, SettingsChange, in_force, loses, read, written};
use wio_core::tags::{DefaultTag, default_tags};
use wio_testkit::fixtures::policy;

use crate::given::{SUBSCRIPTION, case_of, cases, config, generous, managed, managed_with, name, permitted, rules_by};
use crate::plan_roles::settled;

/// A binding that has what it asks for.
fn ready() -> WorkloadIdentityBinding {
    made(managed(&["orders"]), rules_of(&config()))
}

fn made(mut object: WorkloadIdentityBinding, rules: Rules) -> WorkloadIdentityBinding {
    object.status = Some(settled(&permitted(&object, rules)));
    object
}

fn candidate(object: &WorkloadIdentityBinding) -> Candidate {
    case_of(object, rules_by(config(), &[])).candidate
}

fn rules_of(config: &OperatorConfig) -> Rules {
    rules_by(config.clone(), &[])
}

fn own_group_protected() -> OperatorConfig {
    OperatorConfig {
        protected_groups: vec![config().group],
        ..config()
    }
}

fn changed(before: &OperatorConfig, now: &OperatorConfig, word: Option<&str>) -> SettingsChange {
    let now = Arc::new(now.clone());
    let mut acceptance = Acceptance::default();
    acceptance.learn(Some(before.clone()), &now, word.map(str::to_owned));
    acceptance.change(&now)
}

/// Why nothing is taken away from a binding that is one of so many.
fn held(before: &OperatorConfig, now: &OperatorConfig, losing: usize) -> Option<String> {
    let asked = changed(before, now, None).confirm(&candidate(&ready()), &rules_of(now), |_| losing);
    asked.err().map(|blocked| {
        assert_eq!(blocked.reason, Reason::MassDisappearance);
        blocked.message
    })
}

fn word_in(message: &str) -> &str {
    let (_, rest) = message.split_once("confirm-loss=").unwrap();
    rest.split('.').next().unwrap()
}

#[test]
fn each_setting_that_takes_something_from_many_is_held_and_named() {
    let strict = OperatorConfig {
        require_policy: true,
        ..config()
    };
    let identity = OperatorConfig {
        protected_identities: vec![candidate(&ready()).binding.recorded.identity.unwrap().id],
        ..config()
    };
    for (now, said) in [
        (own_group_protected(), "is protected"),
        (identity, "is protected"),
        (strict, "each managed identity needs a policy"),
    ] {
        assert_eq!(held(&config(), &now, MANY - 1), None, "of few it is taken at once");
        let message = held(&config(), &now, MANY).unwrap();
        assert!(
            message.contains(said) && message.contains("is not permitted"),
            "{message}"
        );
    }
}

/// A binding that is left alone keeps what it has for good, and so would hold changed settings for good.
#[test]
fn where_the_operator_does_not_act_nothing_is_lost_by_settings() {
    let strict = |namespaces| OperatorConfig {
        require_policy: true,
        namespaces,
        ..config()
    };
    let lost = |now: &OperatorConfig| loses(&candidate(&ready()), &rules_of(now), &Arc::new(config()));
    assert!(lost(&strict(ActiveNamespaces::All)));
    assert!(!lost(&strict(ActiveNamespaces::AllBut(
        ["shop".parse().unwrap()].into()
    ))));
}

/// Policies and settings became narrower while a namespace was left alone. Whoever forgets the list at the next upgrade does not mean to end trust there.
#[test]
fn what_was_denied_while_it_was_left_alone_waits_when_the_operator_acts_there_again() {
    let strict = |namespaces| OperatorConfig {
        require_policy: true,
        namespaces,
        ..config()
    };
    let (all, alone) = (
        strict(ActiveNamespaces::All),
        strict(ActiveNamespaces::AllBut(["shop".parse().unwrap()].into())),
    );
    assert_eq!(held(&alone, &all, MANY - 1), None, "of few it is taken at once");
    let message = held(&alone, &all, MANY).unwrap();
    assert!(message.contains("the operator acts in other namespaces"), "{message}");
    let meant = changed(&alone, &all, Some(word_in(&message)));
    assert_eq!(meant, SettingsChange::None);
}

#[test]
fn a_role_that_is_locked_again_is_held_where_many_have_it() {
    const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
    let vault = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/shop");
    let unlocked = OperatorConfig {
        unlocked_roles: [RoleDefinitionGuid::OWNER].into(),
        ..config()
    };
    let mut policy = generous();
    policy.spec.roles[0].role = OWNER.to_owned();
    policy.spec.roles[0].scopes = vec![vault.clone()];
    let rules = |config: &OperatorConfig| rules_by(config.clone(), std::slice::from_ref(&policy));
    let object = made(managed_with(&[(OWNER, &vault)]), rules(&unlocked));
    let candidate = case_of(&object, rules(&unlocked)).candidate;
    let change = changed(&unlocked, &config(), None);
    let message = change
        .confirm(&candidate, &rules(&config()), |_| MANY)
        .unwrap_err()
        .message;
    assert!(message.contains("role Owner is locked"), "{message}");
    // A tenant that asks for what was locked all the time is denied for its own edit.
    let same = changed(&config(), &config(), None);
    assert_eq!(same.confirm(&candidate, &rules(&config()), |_| MANY), Ok(()));
    assert!(!loses(&candidate, &rules(&config()), &Arc::new(config())));
}

#[test]
fn the_word_is_good_for_just_this_change() {
    let message = held(&config(), &own_group_protected(), MANY).unwrap();
    let word = word_in(&message);
    assert_eq!(
        changed(&config(), &own_group_protected(), Some(word)),
        SettingsChange::None
    );
    let more = OperatorConfig {
        require_policy: true,
        ..own_group_protected()
    };
    assert_ne!(changed(&config(), &more, Some(word)), SettingsChange::None);
}

/// Whoever reads it has to find the change among all that is set.
#[test]
fn just_what_changed_is_named() {
    let in_subscription = |group: &str| format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}");
    let group = config().group;
    let mut object = ready();
    object.spec.identity.managed.as_mut().unwrap().resource_group = Some(group.name.to_string());
    let told = |before: &OperatorConfig, now: &OperatorConfig| {
        let asked = changed(before, now, None).confirm(&candidate(&object), &rules_of(now), |_| MANY);
        let message = asked.unwrap_err().message;
        let (_, words) = message.split_once("acts by: ").unwrap();
        words.split(". By that").next().unwrap().to_owned()
    };
    let protecting = |groups: &[&str]| OperatorConfig {
        protected_groups: groups.iter().map(|group| name(group)).collect(),
        ..config()
    };
    let (aks, own) = (in_subscription("aks"), group.to_string());
    let strict = OperatorConfig {
        require_policy: true,
        ..config()
    };
    let moved = OperatorConfig {
        group: name(&in_subscription("elsewhere")),
        location: name("northeurope"),
        ..config()
    };
    for (before, now, words) in [
        (config(), protecting(&[&own]), format!("{own} is protected")),
        (
            protecting(&[&aks]),
            protecting(&[&aks, &own]),
            format!("{own} is protected"),
        ),
        (config(), strict, "each managed identity needs a policy".to_owned()),
        (
            config(),
            moved,
            format!(
                "identities are made in {} instead of {own}, identities are made in northeurope instead of westeurope",
                in_subscription("elsewhere")
            ),
        ),
    ] {
        assert_eq!(told(&before, &now), words);
    }
}

#[test]
fn what_was_accepted_is_no_change_any_more_and_is_what_is_kept() {
    let (before, now) = (config(), Arc::new(own_group_protected()));
    assert_eq!(changed(&before, &before, None), SettingsChange::None);
    let mut acceptance = Acceptance::default();
    assert_eq!(acceptance.accepted(), None);
    acceptance.learn(Some(before.clone()), &now, None);
    assert_eq!(acceptance.accepted(), Some(&before));
    assert_ne!(acceptance.change(&now), SettingsChange::None);
    acceptance.accept(&now);
    assert_eq!(acceptance.change(&now), SettingsChange::None);
    assert_eq!(acceptance.accepted(), Some(&*now));
}

#[test]
fn another_default_takes_nothing_not_even_from_one() {
    let elsewhere = OperatorConfig {
        group: name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/elsewhere")),
        ..config()
    };
    let mut object = ready();
    let managed = object.spec.identity.managed.as_mut().unwrap();
    managed.resource_group = Some(config().group.name.to_string());
    let asked = changed(&config(), &elsewhere, None).confirm(&candidate(&object), &rules_of(&elsewhere), |_| 1);
    assert!(asked.unwrap_err().message.contains("elsewhere instead of"));
}

/// A policy may allow identities in one region alone.
#[test]
fn another_region_by_default_takes_nothing_not_even_from_one() {
    let place = ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: "team".to_owned(),
        locations: Some(vec![config().location.to_string()]),
        ..ManagedIdentityPermission::default()
    };
    let team = policy("team").namespace("shop").managed(place).build();
    let rules = |config: &OperatorConfig| rules_by(config.clone(), std::slice::from_ref(&team));
    let mut object = managed(&["orders"]);
    object.spec.identity.managed.as_mut().unwrap().resource_group = Some("team".to_owned());
    let object = made(object, rules(&config()));
    let now = OperatorConfig {
        location: name("northeurope"),
        ..config()
    };
    let asked = changed(&config(), &now, None).confirm(&candidate(&object), &rules(&now), |_| 1);
    assert!(asked.unwrap_err().message.contains("northeurope instead of"));
}

#[test]
fn who_has_nothing_or_is_deleted_loses_nothing() {
    let before = Arc::new(config());
    let now = rules_of(&own_group_protected());
    assert!(loses(&candidate(&ready()), &now, &before));
    assert!(
        !loses(&candidate(&managed(&["orders"])), &now, &before),
        "it has nothing"
    );
    let mut going = candidate(&ready());
    going.binding.lifecycle.deleting = true;
    assert!(!loses(&going, &now, &before));
}

#[test]
fn before_it_is_known_what_was_accepted_nothing_is_taken_away() {
    let unknown = Acceptance::default().change(&config());
    let asked = unknown.confirm(&candidate(&ready()), &rules_of(&own_group_protected()), |_| 0);
    assert_eq!(asked.unwrap_err().reason, Reason::NotDecided);
}

fn any_config() -> impl Strategy<Value = OperatorConfig> {
    let group = "[a-zA-Z][a-zA-Zä_.()-]{0,20}[a-z]";
    let id = |group: String| format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}");
    let identity = move |(group, identity): (String, String)| {
        name(&format!(
            "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}",
            id(group)
        ))
    };
    let roles: Vec<RoleDefinitionGuid> = LOCKED_ROLES.into_iter().chain(ROLES_LOCKED_AT_IDENTITIES).collect();
    let some_roles = prop::sample::subsequence(roles.clone(), 0..=roles.len());
    (
        group,
        any::<bool>(),
        vec(group.prop_map(move |group| name(&id(group))), 0..4),
        vec((group, "[a-z][a-z0-9-]{2,20}").prop_map(identity), 0..4),
        some_roles,
    )
        .prop_map(
            move |(group, require_policy, protected_groups, protected_identities, unlocked)| OperatorConfig {
                group: name(&id(group)),
                require_policy,
                protected_groups,
                protected_identities,
                unlocked_roles: unlocked.into_iter().collect(),
                ..config()
            },
        )
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn settings_are_read_back_as_they_were_kept(settings in any_config()) {
        prop_assert_eq!(read(&written(&settings), &config()).unwrap(), settings);
    }

    /// What the plugin foretells by must be what the operator decides by.
    #[test]
    fn others_read_the_whole_configuration_that_the_operator_kept(settings in any_config(), proven in any::<bool>(), private in any::<bool>()) {
        let settings = OperatorConfig {
            audience: name("api://another"),
            allow_private_issuer: private,
            default_tags: default_tags(["team=platform", "env="].map(name::<DefaultTag>)),
            ignored_tags: ["policy-*", "costCenter"].map(name).to_vec(),
            verification: if proven { VerificationMode::TokenExchange } else { VerificationMode::None },
            ..settings
        };
        let defaults = merge(&settings, &Policies::default()).defaults.unwrap();
        prop_assert_eq!(in_force(&written(&settings), &defaults).unwrap(), settings);
    }

    /// Whoever narrows where the operator acts and locks something in one change waits for the latter alone, and the plugin must not foretell
    /// writes to a namespace that the operator leaves alone by now.
    #[test]
    fn others_read_where_the_operator_acts_by_what_it_was_told_last_and_all_else_by_what_was_accepted(accepted in any_config()) {
        let told = OperatorConfig {
            require_policy: !accepted.require_policy,
            namespaces: ActiveNamespaces::AllBut([name("shop")].into()),
            ..accepted.clone()
        };
        let defaults = merge(&told, &Policies::default()).defaults.unwrap();
        let expected = OperatorConfig { namespaces: told.namespaces, ..accepted.clone() };
        prop_assert_eq!(in_force(&written(&accepted), &defaults).unwrap(), expected);
    }

    /// The word that another change was confirmed by must not be good for this one.
    #[test]
    fn other_changes_have_other_words(before in any_config(), now in any_config(), other in any_config()) {
        let word = |now: &OperatorConfig| match changed(&before, now, None) {
            SettingsChange::Since { word, .. } => Some(word),
            SettingsChange::None | SettingsChange::Unknown => None,
        };
        prop_assert_eq!(word(&now) == word(&other), now == other);
    }
}
