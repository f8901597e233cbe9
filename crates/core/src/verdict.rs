//! The verdict: the one decision about a binding, and, by the same function, about each binding that shares with it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use wio_api::{DeletionPolicy, IdentityOrigin, Reason, VerificationMode};

use crate::authorize::{
    Granted, NotPermitted, Revocable, authorize, authorize_orphan, authorize_recorded, is_protected,
};
use crate::binding::{Binding, Finalizer};
use crate::case::{Candidate, Case};
use crate::cluster::{Belief, Issuers};
use crate::desired::{Desired, DesiredBinding, DesiredDenial, DesiredRemoval, Ending};
use crate::fault::Blocked;
use crate::landing::{Confirmed, End};
use crate::names::{IdentityId, Namespace, ServiceAccountName};
use crate::orphaned::Orphaned;
use crate::policy::Seniority;
use crate::recorded::{Recorded, RecordedCredential, RecordedIdentity, Rewrites};
use crate::rules::Rules;
use crate::sharing::{Claim, Sharer, Sharing};
use crate::spec::{IdentityRef, InvalidField, Spec};
use crate::traces::Traces;

/// The verdict: what is to become of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The world is brought to this: trust is given or taken away.
    Pursue(Box<Desired>),
    /// It is deleted, and its trust stays.
    Orphan(Box<Orphaned>),
    /// It is deleted, and nothing was ever made for it, or nothing of it is left: the deletion may end.
    Release(Confirmed),
    /// Nothing is given and nothing is taken away, for this reason.
    Hold(Blocked),
}

/// The standing of a binding: what it may have, whoever asks, itself or one that shares with it.
enum Standing<'a> {
    /// What its spec asks for.
    Granted(&'a Spec, Granted),
    /// What was recorded of it goes on, and its spec is not carried out.
    Recorded(Blocked),
    /// Nothing.
    Denied(NotPermitted),
}

/// Decides what is to become of a binding.
#[must_use]
pub fn verdict(case: &Case) -> Verdict {
    let binding = &case.candidate.binding;
    if binding.lifecycle.deleting {
        return deletion(case);
    }
    let standing = match standing(&case.candidate, &case.rules) {
        Standing::Granted(spec, granted) => match outranked(case, granted.identity()) {
            Some(why) => Standing::Denied(why),
            None => Standing::Granted(spec, granted),
        },
        other @ (Standing::Recorded(_) | Standing::Denied(_)) => other,
    };
    match standing {
        Standing::Granted(spec, granted) => {
            let sharing = sharing(case, granted.identity());
            let desired = DesiredBinding::new(case, spec, granted, sharing);
            let desired = DesiredBinding {
                rewritten: rewritten(case, desired.granted.identity()),
                ..desired.retiring(&binding.recorded, case.now)
            };
            Verdict::Pursue(Box::new(Desired::Bound(desired)))
        }
        Standing::Recorded(blocked) => Verdict::Hold(blocked),
        Standing::Denied(why) => match removal(case).filter(|_| may_stand(binding)) {
            Some(removal) => Verdict::Pursue(Box::new(Desired::Denied(DesiredDenial::new(removal, why)))),
            // There is nothing to take away, and nothing is read that it may not have.
            None => Verdict::Hold(refused(binding, &why, case.now)),
        },
    }
}

/// How long after its creation a binding's policy may follow. Who applies both at once applies bindings first, by the alphabet, and to
/// tools that wait for readiness a binding that is stalled has failed. Admission refuses such a binding, where it is asked.
const POLICY_FOLLOWS: SignedDuration = SignedDuration::from_secs(15);

/// How long a binding waits for its policy yet that was created then; none when it does not any more.
#[must_use]
pub fn policy_follows_within(created: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let age = now.duration_since(created?);
    (age.abs() < POLICY_FOLLOWS).then(|| POLICY_FOLLOWS.saturating_sub(age).unsigned_abs())
}

/// Why a binding that never had anything gets nothing.
fn refused(binding: &Binding, why: &NotPermitted, now: Timestamp) -> Blocked {
    let created = binding.lifecycle.seniority.created();
    if !why.awaits_policy || policy_follows_within(created, now).is_none() {
        return Blocked {
            reason: Reason::NotPermitted,
            message: why.to_string(),
        };
    }
    Blocked {
        reason: Reason::PolicyAwaited,
        message: format!(
            "{why}. One may be on its way: the binding counts as refused {} s after it was created",
            POLICY_FOLLOWS.as_secs()
        ),
    }
}

/// Decides what is to become of a binding that is being deleted.
fn deletion(case: &Case) -> Verdict {
    let binding = &case.candidate.binding;
    let ours = binding.lifecycle.finalizer == Finalizer::Set || binding.lost_finalizer();
    // Also where Azure refuses every request: what was never sent needs no word of it.
    if !ours || !may_stand(binding) {
        return Verdict::Release(Confirmed::new(End::NeverBegun));
    }
    let Some(removal) = removal(case) else {
        return Verdict::Hold(nowhere());
    };
    if binding.lifecycle.deletion_policy != DeletionPolicy::Orphan {
        return Verdict::Pursue(Box::new(Desired::Gone(removal)));
    }
    match authorize_orphan(binding, &case.rules) {
        Ok(()) => Verdict::Orphan(Box::new(Orphaned {
            unmarked: unmarked(binding, &removal),
            owner: removal.owner,
            sharing: removal.sharing,
        })),
        Err(_) if let Some(blocked) = not_told(binding, &case.rules) => Verdict::Hold(blocked),
        Err(why) => Verdict::Pursue(Box::new(Desired::Gone(DesiredRemoval {
            orphan_denied: Some(why),
            ..removal
        }))),
    }
}

/// Why a binding is not let go that may have something where nobody knows: neither its spec nor its status names an identity.
fn nowhere() -> Blocked {
    Blocked {
        reason: Reason::DeletionBlocked,
        message: "something may have been written to Azure for it, and neither spec.identity nor status.identity says on which identity; set \
                  spec.identity to the one that it had"
            .to_owned(),
    }
}

/// Whether anything may have been made for a binding. Labels on service accounts say nothing: whoever may write those could have the
/// operator read what he may not have.
fn may_stand(binding: &Binding) -> bool {
    binding.may_have_something() && !binding.recorded.nothing_was_written()
}

/// Whether a binding has nothing and may have nothing: what stands under its names was made for an earlier one.
#[must_use]
pub fn keeps_nothing(case: &Case) -> bool {
    !may_stand(&case.candidate.binding) && matches!(standing(&case.candidate, &case.rules), Standing::Denied(_))
}

/// The managed identity whose tag may not say what the spec does. It does when the binding was ready for that spec: the tag is among
/// what it is ready by. A deletion raises the generation by one.
fn unmarked(binding: &Binding, removal: &DesiredRemoval) -> Option<IdentityId> {
    let generation = binding.lifecycle.generation;
    let ready = binding.recorded.progress.ready;
    let marked = ready == Some(generation) || ready == Some(generation - 1);
    (removal.managed && !marked).then(|| removal.revocable.identity().clone())
}

/// Why a binding may not have what it asks for or has; none when it may, or when that cannot be told.
pub(crate) fn denial(candidate: &Candidate, rules: &Rules) -> Option<NotPermitted> {
    match standing(candidate, rules) {
        Standing::Denied(why) => Some(why),
        Standing::Granted(..) | Standing::Recorded(_) => None,
    }
}

/// Whether a binding may have a managed identity, or has it by what was recorded.
fn may_have(candidate: &Candidate, rules: &Rules, identity: &IdentityId) -> bool {
    let binding = &candidate.binding;
    let recorded = binding.recorded.ids_of(identity);
    if !rules.config.namespaces.contains(binding.owner.namespace.as_str()) {
        // Where the operator does not act nothing is made: only what was made before counts, and not what was only announced.
        return recorded.is_some_and(|ids| ids.principal.is_some());
    }
    match standing(candidate, rules) {
        Standing::Granted(spec, granted) => {
            matches!(spec.identity, IdentityRef::Managed(_)) && granted.identity() == identity
        }
        Standing::Recorded(_) => recorded.is_some(),
        Standing::Denied(_) => false,
    }
}

/// The other binding of the cluster that has the identity before this one; none when this one does. Asked before Azure is: two that
/// look at the same moment both find the name free.
fn outranked(case: &Case, identity: &IdentityId) -> Option<NotPermitted> {
    let own = rank(&case.candidate.binding, identity);
    let first = case
        .rivals
        .iter()
        .filter(|rival| rank(&rival.candidate.binding, identity) < own)
        .find(|rival| may_have(&rival.candidate, &rival.rules, identity))?;
    let other = &first.candidate.binding.owner;
    Some(NotPermitted {
        field: "spec.identity.managed.name".to_owned(),
        awaits_policy: false,
        message: format!(
            "WorkloadIdentityBinding {}/{} has the identity {identity}, by a spec that is older or was carried out before; create this \
             binding anew with another name",
            other.namespace, other.name
        ),
    })
}

/// The rank of a binding among those that name one identity: the one that has it, and before it is anybody's the eldest.
fn rank<'a>(binding: &'a Binding, identity: &IdentityId) -> (bool, &'a Seniority, &'a Namespace) {
    let has_it = binding
        .recorded
        .ids_of(identity)
        .is_some_and(|ids| ids.principal.is_some());
    (!has_it, &binding.lifecycle.seniority, &binding.owner.namespace)
}

/// The one decision: what a binding may have by these rules.
fn standing<'a>(candidate: &'a Candidate, rules: &Rules) -> Standing<'a> {
    let binding = &candidate.binding;
    let spec = match &binding.spec {
        Ok(spec) => spec,
        Err(invalid) => return recorded_standing(binding, &binding.recorded, rules, invalid_spec(invalid)),
    };
    match authorize(spec, binding, &candidate.used_before, rules) {
        Err(why) => denied(binding, rules, why),
        Ok(granted) => match moved(binding, granted.identity()) {
            Some(moved) => recorded_standing(binding, &elsewhere(binding, spec, granted.identity()), rules, moved),
            None => match unusable_issuer(rules) {
                Some(blocked) => recorded_standing(binding, &binding.recorded, rules, blocked),
                None => Standing::Granted(spec, granted),
            },
        },
    }
}

/// The standing by what was recorded. Whoever makes a spec unusable must not keep what a policy takes away.
fn recorded_standing<'a>(binding: &Binding, recorded: &Recorded, rules: &Rules, blocked: Blocked) -> Standing<'a> {
    let policy = binding.lifecycle.deletion_policy;
    match authorize_recorded(&binding.owner, recorded, policy, rules) {
        Ok(()) => Standing::Recorded(blocked),
        Err(why) => denied(binding, rules, why),
    }
}

/// The standing of what no policy allows that can be read.
fn denied<'a>(binding: &Binding, rules: &Rules, why: NotPermitted) -> Standing<'a> {
    match not_told(binding, rules) {
        Some(blocked) => Standing::Recorded(blocked),
        None => Standing::Denied(why),
    }
}

/// Why it cannot be told that what a binding has is not permitted any more: a policy by which it has it stands and cannot be read.
/// That is nobody's wish to end its trust.
fn not_told(binding: &Binding, rules: &Rules) -> Option<Blocked> {
    let recorded = &binding.recorded;
    let name = rules.policies.unreadable(recorded.authorized_by.iter())?;
    let identity = recorded.identity.as_ref()?;
    (!is_protected(&identity.id, &rules.config)).then(|| Blocked {
        reason: Reason::NotDecided,
        message: format!(
            "it has what it has by WorkloadIdentityPolicy {name}, which this version of the operator cannot read: whether it may go on is \
             not known, so nothing is given and nothing is taken away. Change what cannot be read there (the operator's log names the \
             field), or run an operator that can read it"
        ),
    })
}

fn invalid_spec(fields: &[InvalidField]) -> Blocked {
    let list: Vec<String> = fields.iter().map(ToString::to_string).collect();
    Blocked {
        reason: Reason::InvalidSpec,
        message: list.join("; "),
    }
}

/// Why nothing may be written when the binding already has an identity and now means another one: the operator's
/// defaults were changed since. A second identity beside the first would leave the first one trusted, and nobody
/// would take it away.
fn moved(binding: &Binding, now: &IdentityId) -> Option<Blocked> {
    let before = &binding.recorded.identity.as_ref()?.id;
    (before != now).then(|| Blocked {
        reason: Reason::IdentityMoved,
        message: format!(
            "the identity of this binding is {before}, and by the spec with the operator's defaults it would now be {now}; \
             set the operator's subscription and resource group back, or delete the binding and create it anew"
        ),
    })
}

/// A binding with its record as if its identity stood where it would be made now. Where the spec leaves the place to the operator's
/// defaults, the place is the operator's doing and not the binding's: a default that was changed takes nothing away.
fn elsewhere<'a>(binding: &'a Binding, spec: &Spec, now: &IdentityId) -> Cow<'a, Recorded> {
    let recorded = &binding.recorded;
    match &recorded.identity {
        Some(identity) if spec.identity.follows_defaults() && identity.origin != IdentityOrigin::Referenced => {
            Cow::Owned(Recorded {
                identity: Some(RecordedIdentity {
                    id: now.clone(),
                    ..identity.clone()
                }),
                ..recorded.clone()
            })
        }
        _ => Cow::Borrowed(recorded),
    }
}

/// Why nothing may be given to the tokens of the cluster's issuer. What was given to those of another one stays.
fn unusable_issuer(rules: &Rules) -> Option<Blocked> {
    let issuer = &rules.cluster.issuer;
    let unreachable = issuer.unreachable().filter(|_| !rules.config.allow_private_issuer);
    let (reason, message) = match (rules.cluster.belief, unreachable) {
        (Belief::Unconfirmed, _) => (
            Reason::IssuerUnconfirmed,
            format!(
                "the API server says that {issuer} issues its tokens, and no binding was made for that issuer; it is believed when it \
                 was seen for some minutes"
            ),
        ),
        (Belief::Believed, Some(why)) => (
            Reason::IssuerUnreachable,
            format!(
                "Microsoft Entra cannot reach the issuer of this cluster's tokens, {issuer}: {why}; on AKS run az aks update \
                 --enable-oidc-issuer, and on kind, k3s or kubeadm start the API server with a --service-account-issuer whose \
                 /.well-known/openid-configuration and keys are public; for a test set-up with an Entra of its own set the operator's \
                 --allow-private-issuer"
            ),
        ),
        (Belief::Believed, None) => return None,
    };
    Some(Blocked { reason, message })
}

/// The removal of what a binding has: what was recorded, and what its spec means. No other field of the spec is needed for it: whoever
/// makes one unusable must not keep what was made before.
fn removal(case: &Case) -> Option<DesiredRemoval> {
    let binding = &case.candidate.binding;
    let had = binding.recorded.identity.as_ref();
    let had = had.map(|recorded| (recorded.id.clone(), recorded.origin != IdentityOrigin::Referenced));
    let meant = binding.identity.as_ref().map(|identity| {
        (
            identity.id(&binding.owner, &case.rules.config),
            matches!(identity, IdentityRef::Managed(_)),
        )
    });
    match (had, meant) {
        (Some(had), Some(meant)) if had.0 != meant.0 && !is_moved(binding, &had.0, &meant.0) => Some(DesiredRemoval {
            elsewhere: Some(Box::new(removal_from(case, meant))),
            ..removal_from(case, had)
        }),
        (had, meant) => Some(removal_from(case, had.or(meant)?)),
    }
}

/// Whether the identity that a spec means is the one that a binding had, elsewhere only because the operator has other defaults: there it never had one.
fn is_moved(binding: &Binding, had: &IdentityId, meant: &IdentityId) -> bool {
    binding.identity.as_ref().is_some_and(IdentityRef::follows_defaults) && had.name == meant.name
}

fn removal_from(case: &Case, (identity, managed): (IdentityId, bool)) -> DesiredRemoval {
    let binding = &case.candidate.binding;
    let lifecycle = &binding.lifecycle;
    let sharing = sharing(case, &identity);
    DesiredRemoval {
        wanted_by_others: wanted_by_others(case),
        traces: Traces::of(case, &identity, &sharing),
        sharing,
        recorded: binding.recorded.ids_of(&identity),
        revocable: Revocable::new(identity),
        owner: binding.owner.clone(),
        managed,
        ending: match (lifecycle.deletion_policy, lifecycle.despite_users) {
            (DeletionPolicy::Delete, false) => Ending::Delete,
            (DeletionPolicy::Delete, true) => Ending::DeleteDespiteUsers,
            (DeletionPolicy::RetainIdentity | DeletionPolicy::Orphan, _) => Ending::Retain,
        },
        orphan_denied: None,
        elsewhere: None,
    }
}

/// The service accounts that any other binding of the namespace asks for. Also one that may not have them now, or waits for them: pods
/// run as them, with tokens that end with the account.
fn wanted_by_others(case: &Case) -> BTreeSet<ServiceAccountName> {
    let owner = &case.candidate.binding.owner;
    let neighbours = case.neighbours.iter().map(|neighbour| &neighbour.binding);
    neighbours
        .filter(|other| other.owner.namespace == owner.namespace && other.owner.uid != owner.uid)
        .filter(|other| !other.lifecycle.deleting)
        .flat_map(|other| other.claims.accounts.iter().cloned())
        .collect()
}

/// The sharing of a binding: what it claims through an identity, and the other bindings of its namespace that may have some of it, the eldest
/// first.
fn sharing(case: &Case, identity: &IdentityId) -> Sharing {
    let binding = &case.candidate.binding;
    let mut claims = binding.claims.clone();
    claims.accounts.extend(case.labelled.iter().cloned());
    let mut neighbours: Vec<&Candidate> = case
        .neighbours
        .iter()
        .filter(|neighbour| may_share(&neighbour.binding, binding))
        .collect();
    neighbours.sort_by(|one, other| one.binding.lifecycle.seniority.cmp(&other.binding.lifecycle.seniority));
    // One of the same identity may rely on a credential that this binding made, and no longer claims: its status tells only of
    // what it wants.
    let sharers = neighbours.into_iter().filter_map(|neighbour| {
        let claims_the_same = neighbour.binding.claims.meet(&claims);
        sharer(neighbour, case).filter(|sharer| claims_the_same || sharer.identity == *identity)
    });
    let sharers = sharers.collect();
    // A neighbour may have recorded an issuer that this one never had a credential of: what both share is known to both.
    let recorded = std::iter::once(binding).chain(case.neighbours.iter().map(|neighbour| &neighbour.binding));
    let recorded = recorded
        .filter(|other| other.owner.namespace == binding.owner.namespace)
        .flat_map(|other| other.recorded.issuers());
    let issuers = Issuers::new(&case.rules.cluster, recorded);
    Sharing::new(&binding.owner, identity, issuers, claims, sharers)
}

/// Whether a neighbour is another binding that may have a part in anything. One that never had our finalizer has nothing yet, and
/// would go without taking anything away.
fn may_share(neighbour: &Binding, binding: &Binding) -> bool {
    neighbour.owner.namespace == binding.owner.namespace
        && neighbour.owner.uid != binding.owner.uid
        && !neighbour.lifecycle.deleting
        && neighbour.may_have_something()
}

/// The part of a neighbour in what is shared. **Only what is authorized counts, or held**: two bindings that may not have what they share would keep each
/// other's trust alive.
fn sharer(neighbour: &Candidate, case: &Case) -> Option<Sharer> {
    let binding = &neighbour.binding;
    let rules = &case.rules;
    match standing(neighbour, rules) {
        Standing::Granted(spec, granted) => Some(sharer_by_spec(binding, spec, &granted, rules)),
        // What was made for a spec that says nothing to decide on stands as long as it may.
        Standing::Recorded(_) => sharer_by_record(binding, rules),
        Standing::Denied(_) if case.held.contains(&binding.owner.uid) => held_sharer(binding, rules),
        Standing::Denied(_) => None,
    }
}

/// The part of a neighbour that is held: what was recorded of it, and what its spec asks for, of which some may be written and not told of yet.
fn held_sharer(binding: &Binding, rules: &Rules) -> Option<Sharer> {
    let mut sharer = sharer_by_record(binding, rules)?;
    if let Ok(spec) = &binding.spec {
        let asked = claims_by_spec(spec, rules);
        let is_new = |asked: &Claim| sharer.accounts.iter().all(|had| had.account != asked.account);
        let new: Vec<Claim> = asked.filter(is_new).collect();
        sharer.accounts.extend(new);
    }
    Some(sharer)
}

/// The service accounts that a spec asks for.
fn claims_by_spec<'a>(spec: &'a Spec, rules: &'a Rules) -> impl Iterator<Item = Claim> + use<'a> {
    let audience = spec.audience.as_ref().unwrap_or(&rules.config.audience);
    spec.service_accounts.iter().map(|account| Claim {
        account: account.name.clone(),
        audience: audience.clone(),
        token_expiration: account.token_expiration,
    })
}

fn sharer_by_spec(binding: &Binding, spec: &Spec, granted: &Granted, rules: &Rules) -> Sharer {
    let verification = spec.verification.unwrap_or(rules.config.verification);
    Sharer {
        name: binding.owner.name.clone(),
        uid: binding.owner.uid.clone(),
        generation: binding.lifecycle.generation,
        identity: granted.identity().clone(),
        issuers: Issuers::new(&rules.cluster, binding.recorded.issuers()),
        accounts: claims_by_spec(spec, rules).collect(),
        roles: granted
            .roles()
            .iter()
            .map(|role| (role.definition(), role.scope().clone()))
            .collect(),
        told: told(&binding.recorded),
        proofs: proofs(&binding.recorded, verification),
        prefix: binding.owner.credential_prefix(),
        is_active: !binding.lifecycle.suspended,
    }
}

/// The service accounts of whose trust a status tells, through the identity that it tells of: one that names none has never had it, though it tells of
/// what it would take away. A mark is no trust: it is seen on the account at once, and the credential when a list shows it.
fn told(recorded: &Recorded) -> BTreeSet<ServiceAccountName> {
    let has_identity = recorded.identity.is_some();
    recorded.trusted_accounts().filter(|_| has_identity).cloned().collect()
}

/// When a token was last given for each service account; none where no proof is asked for, nor told of.
fn proofs(recorded: &Recorded, mode: VerificationMode) -> Option<BTreeMap<ServiceAccountName, Timestamp>> {
    let exchanges = recorded.exchanges.iter();
    let given = exchanges.filter_map(|exchange| Some((exchange.account.clone(), exchange.verified_at?)));
    let is_asked_for = mode == VerificationMode::TokenExchange || !recorded.exchanges.is_empty();
    is_asked_for.then(|| given.collect())
}

/// When other bindings last wrote the credentials of an identity on which this one may rest, or were about to. Also one that goes, or that may have nothing any more,
/// wrote what it wrote.
fn rewritten(case: &Case, identity: &IdentityId) -> Rewrites {
    let mut all = Rewrites::default();
    let namespace = &case.candidate.binding.owner.namespace;
    for neighbour in case.neighbours.iter().map(|neighbour| &neighbour.binding) {
        let had = neighbour.recorded.identity.as_ref();
        if neighbour.owner.namespace == *namespace && had.is_none_or(|had| had.id == *identity) {
            all.merge(&neighbour.recorded.rewrites);
        }
    }
    all
}

fn sharer_by_record(binding: &Binding, rules: &Rules) -> Option<Sharer> {
    let recorded = &binding.recorded;
    let claim = |credential: &RecordedCredential| Claim {
        account: credential.account.clone(),
        audience: credential.audience.clone(),
        token_expiration: binding.token_expirations.get(&credential.account).copied(),
    };
    Some(Sharer {
        name: binding.owner.name.clone(),
        uid: binding.owner.uid.clone(),
        generation: binding.lifecycle.generation,
        identity: recorded.identity.as_ref()?.id.clone(),
        issuers: Issuers::new(&rules.cluster, recorded.issuers()),
        accounts: recorded.credentials.iter().map(claim).collect(),
        roles: recorded
            .role_assignments
            .iter()
            .map(|assignment| (assignment.definition, assignment.scope.clone()))
            .collect(),
        told: told(recorded),
        proofs: proofs(recorded, VerificationMode::None),
        prefix: binding.owner.credential_prefix(),
        is_active: false,
    })
}
