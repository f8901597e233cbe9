//! Changed settings of the operator: whether what they take from many bindings is acted upon. A mistyped value of the installation is no
//! binding's wish, and no policy's.

use std::collections::BTreeSet;
use std::sync::Arc;

use wio_api::{AcceptedSettings, EFFECTIVE_POLICY_NAME, EffectiveDefaults, Reason, keys};

use crate::active_namespaces::ActiveNamespaces;
use crate::authorize::NotPermitted;
use crate::case::Candidate;
use crate::config::{OperatorConfig, OwnCluster};
use crate::fault::Blocked;
use crate::listing::first;
use crate::names::{Audience, InvalidName, RoleDefinitionGuid, hash};
use crate::own_cluster::protections;
use crate::rules::Rules;
use crate::tags::IgnoredTag;
use crate::verdict::denial;

/// How many bindings that would lose what they have by changed settings are taken for an accident.
pub const MANY: usize = 3;

/// The settings by which bindings have what they have. They are kept in the cluster (on the effective policy, which only the operator
/// writes), so that those of an operator that ended are known to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// None before it was read.
    accepted: Option<Arc<OperatorConfig>>,
    /// The word that a change is meant, as it stands in the cluster.
    word: Option<String>,
}

/// The change of the settings since they were accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsChange {
    /// There is none, or it is meant.
    None,
    /// There is one.
    Since {
        /// The settings that were accepted.
        before: Arc<OperatorConfig>,
        /// The word by which just this change is said to be meant.
        word: String,
    },
    /// What was accepted is not known yet.
    Unknown,
}

// === impl Acceptance ===

impl Acceptance {
    /// Takes in what the cluster keeps: the settings that were accepted, and the word. Where nothing is kept the settings of now are
    /// accepted: an operator that kept none decided by none.
    pub fn learn(&mut self, kept: Option<OperatorConfig>, now: &Arc<OperatorConfig>, word: Option<String>) {
        self.accepted
            .get_or_insert_with(|| kept.map_or_else(|| Arc::clone(now), Arc::new));
        self.word = word;
    }

    /// The change from what was accepted to the settings of now.
    #[must_use]
    pub fn change(&self, now: &OperatorConfig) -> SettingsChange {
        let Some(before) = &self.accepted else {
            return SettingsChange::Unknown;
        };
        if decide_alike(before, now) {
            return SettingsChange::None;
        }
        let word = word(before, now);
        if self.word.as_ref() == Some(&word) {
            return SettingsChange::None;
        }
        SettingsChange::Since {
            before: Arc::clone(before),
            word,
        }
    }

    /// Accepts the settings of now: their change is meant, or takes nothing from anybody.
    pub fn accept(&mut self, now: &Arc<OperatorConfig>) {
        self.accepted = Some(Arc::clone(now));
    }

    /// The settings to keep in the cluster; none before it is known what is kept there.
    #[must_use]
    pub fn accepted(&self) -> Option<&OperatorConfig> {
        self.accepted.as_deref()
    }
}

/// Whether two configurations decide alike about what bindings have. Resource ids are the same in any case of letters.
fn decide_alike(one: &OperatorConfig, other: &OperatorConfig) -> bool {
    (&one.group, &one.location, one.require_policy) == (&other.group, &other.location, other.require_policy)
        && one.unlocked_roles == other.unlocked_roles
        && one.protected_identities == other.protected_identities
        && one.protected_groups == other.protected_groups
        && one.namespaces == other.namespaces
}

/// The word by which just this change is said to be meant: one that was given for another says nothing about it.
fn word(before: &OperatorConfig, now: &OperatorConfig) -> String {
    let parts = |settings| {
        let kept = written(settings);
        let lists = [
            kept.protected_identities,
            kept.protected_resource_groups,
            kept.unlocked_roles,
            kept.watch_namespaces,
            kept.exclude_namespaces,
        ];
        let lists = lists.map(|list| list.join("\n"));
        [
            vec![kept.resource_group_id, kept.location, kept.require_policy.to_string()],
            lists.to_vec(),
        ]
        .concat()
    };
    let all = [parts(before), parts(now)].concat();
    hash(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

// === impl SettingsChange ===

impl SettingsChange {
    /// Whether what a binding loses may be taken away. It may not when it loses that by this change and so do many others, nor when it loses it because
    /// identities are made elsewhere now: where they are made is no decision about those that stand. `losing` counts the bindings that lose
    /// what they have since the settings of before, as far as [`MANY`].
    ///
    /// # Errors
    /// Why not before somebody says that it is meant, or before it is known what was accepted.
    pub fn confirm(
        &self,
        candidate: &Candidate,
        rules: &Rules,
        losing: impl FnOnce(&Arc<OperatorConfig>) -> usize,
    ) -> Result<(), Blocked> {
        let (before, word) = match self {
            Self::None => return Ok(()),
            Self::Unknown => return Err(unknown()),
            Self::Since { before, word } => (before, word),
        };
        let Some(why) = lost(candidate, rules, before) else {
            return Ok(());
        };
        let now = &rules.config;
        let by_place = denial(candidate, &with(rules, made_where(before, now))).is_none();
        if !by_place && losing(before) < MANY {
            return Ok(());
        }
        Err(Blocked {
            reason: Reason::MassDisappearance,
            message: format!(
                "the operator's settings changed, or what the cluster that they name acts by: {}. By that bindings would lose what they have, without an edit of their own. That is taken for an accident and nothing is taken away. Set the settings back; if \
                 their change is meant, say so: kubectl annotate workloadidentityeffectivepolicy {EFFECTIVE_POLICY_NAME} --overwrite \
                 {}={word}. What would be taken away then: {why}",
                differences(before, now),
                keys::CONFIRM_LOSS_ANNOTATION,
            ),
        })
    }
}

fn unknown() -> Blocked {
    Blocked {
        reason: Reason::NotDecided,
        message: "by what settings bindings were decided before is not known yet, so what it may have is not decided"
            .to_owned(),
    }
}

fn with(rules: &Rules, config: Arc<OperatorConfig>) -> Rules {
    Rules {
        config,
        ..rules.clone()
    }
}

/// The settings of now, with identities made where they were made before.
fn made_where(before: &OperatorConfig, now: &OperatorConfig) -> Arc<OperatorConfig> {
    Arc::new(OperatorConfig {
        group: before.group.clone(),
        location: before.location.clone(),
        ..now.clone()
    })
}

/// Whether a binding would lose what it has by settings that changed, and by nothing else: by those of before it might have it.
#[must_use]
pub fn loses(candidate: &Candidate, rules: &Rules, before: &Arc<OperatorConfig>) -> bool {
    lost(candidate, rules, before).is_some()
}

/// What a binding would lose so.
fn lost(candidate: &Candidate, rules: &Rules, before: &Arc<OperatorConfig>) -> Option<NotPermitted> {
    let recorded = &candidate.binding.recorded;
    let has_something = !recorded.credentials.is_empty() || !recorded.role_assignments.is_empty();
    let namespace = candidate.binding.owner.namespace.as_str();
    // Where the operator does not act nobody loses anything.
    if !has_something || candidate.binding.lifecycle.deleting || !rules.config.namespaces.contains(namespace) {
        return None;
    }
    // Where it did not act before, nothing was taken of what was denied meanwhile.
    let was_left_alone = !before.namespaces.contains(namespace);
    denial(candidate, rules).filter(|_| was_left_alone || denial(candidate, &with(rules, Arc::clone(before))).is_none())
}

/// Settings as they are kept in the cluster.
#[must_use]
pub fn written(config: &OperatorConfig) -> AcceptedSettings {
    let (watch_namespaces, exclude_namespaces) = config.namespaces.names();
    AcceptedSettings {
        resource_group_id: config.group.to_string(),
        location: config.location.to_string(),
        require_policy: config.require_policy,
        protected_identities: texts(&config.protected_identities),
        protected_resource_groups: texts(&config.protected_groups),
        unlocked_roles: texts(&config.unlocked_roles),
        watch_namespaces,
        exclude_namespaces,
    }
}

/// Settings as they were kept in the cluster. What is not kept, because nothing is denied by it, is as it is now.
///
/// # Errors
/// A part that does not parse: another version of the operator wrote it.
pub fn read(kept: &AcceptedSettings, now: &OperatorConfig) -> Result<OperatorConfig, InvalidName> {
    let (protected_identities, protected_groups) = protections(kept)?;
    let roles: Result<_, _> = kept
        .unlocked_roles
        .iter()
        .map(|text| text.parse::<RoleDefinitionGuid>())
        .collect();
    Ok(OperatorConfig {
        group: kept.resource_group_id.parse()?,
        location: kept.location.parse()?,
        require_policy: kept.require_policy,
        audience: Audience::clone(&now.audience),
        protected_identities,
        protected_groups,
        own_cluster: now.own_cluster.clone(),
        former_issuers: now.former_issuers.clone(),
        allow_private_issuer: now.allow_private_issuer,
        unlocked_roles: roles?,
        default_tags: now.default_tags.clone(),
        ignored_tags: now.ignored_tags.clone(),
        namespaces: ActiveNamespaces::parse(&kept.watch_namespaces, &kept.exclude_namespaces)?,
        verification: now.verification,
    })
}

/// The operator's configuration as far as it decides about bindings, as the effective policy keeps it, for whoever is not the operator.
///
/// # Errors
/// A part that does not parse: another version of the operator wrote it.
pub fn in_force(kept: &AcceptedSettings, defaults: &EffectiveDefaults) -> Result<OperatorConfig, InvalidName> {
    let tags: Result<Vec<IgnoredTag>, _> = defaults.ignored_tags.iter().map(|text| text.parse()).collect();
    let filled = OperatorConfig {
        group: kept.resource_group_id.parse()?,
        location: kept.location.parse()?,
        require_policy: kept.require_policy,
        audience: defaults.audience.parse()?,
        protected_identities: Vec::new(),
        protected_groups: Vec::new(),
        own_cluster: OwnCluster::Settled,
        former_issuers: BTreeSet::new(),
        allow_private_issuer: defaults.allow_private_issuer,
        unlocked_roles: BTreeSet::new(),
        default_tags: defaults.tags.clone().into_iter().collect(),
        ignored_tags: tags?,
        namespaces: ActiveNamespaces::parse(&defaults.watch_namespaces, &defaults.exclude_namespaces)?,
        verification: defaults.verification,
    };
    let in_force = read(kept, &filled)?;
    // Where it acts is what it was told last: only what it takes by that waits.
    Ok(OperatorConfig {
        namespaces: filled.namespaces,
        ..in_force
    })
}

fn texts<T: ToString>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    all.into_iter().map(|one| one.to_string()).collect()
}

/// The differences that can take something away, in words that do not grow with their number.
fn differences(before: &OperatorConfig, now: &OperatorConfig) -> String {
    const NAMED: usize = 5;
    let mut told = Vec::new();
    if before.group != now.group {
        told.push(format!(
            "identities are made in {} instead of {}",
            now.group, before.group
        ));
    }
    if before.location != now.location {
        told.push(format!(
            "identities are made in {} instead of {}",
            now.location, before.location
        ));
    }
    if now.require_policy && !before.require_policy {
        told.push("each managed identity needs a policy".to_owned());
    }
    let groups = now
        .protected_groups
        .iter()
        .filter(|group| !before.protected_groups.contains(group));
    told.extend(groups.map(|group| format!("{group} is protected")));
    let identities = now
        .protected_identities
        .iter()
        .filter(|identity| !before.protected_identities.contains(identity));
    told.extend(identities.map(|identity| format!("{identity} is protected")));
    if now.namespaces != before.namespaces {
        told.push("the operator acts in other namespaces".to_owned());
    }
    let roles = before.unlocked_roles.difference(&now.unlocked_roles);
    told.extend(roles.map(|role| match role.built_in_name() {
        Some(name) => format!("role {name} is locked"),
        None => format!("role {role} is locked"),
    }));
    first(&told, NAMED)
}
