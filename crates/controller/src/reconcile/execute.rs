//! Carrying out a plan. Every write to Azure is in this file.

use std::time::Duration;

use kube::Client;
use wio_azure::Azure;
use wio_core::absence::Deletion;
use wio_core::authorize::Revocable;
use wio_core::desired::{Desired, DesiredBinding, DesiredCredential, DesiredServiceAccount};
use wio_core::fault::Fault;
use wio_core::landing::Sight;
use wio_core::names::{BindingUid, ConfigMapName, CredentialName, IdentityId, Namespace, ServiceAccountName};
use wio_core::observed::{Observed, PresentIdentity};
use wio_core::orphaned::{EndMark, Orphaned};
use wio_core::orphans::Removal;
use wio_core::plan::{GrantStep, Obstacles, Plan, Revocation};

use super::audit;
use super::context::{Clients, Context};
use super::exports;
use super::footing::Footing;
use super::knowledge::WrittenAccount;
use super::service_accounts::{apply, release};
use super::shown::LastShown;
use super::writes::Write;

/// How long after an identity of a chosen name was tagged it is looked at again: whoever wrote at the same moment has come to light.
const SEEN_BY_ALL: Duration = Duration::from_secs(30);

/// The result of carrying out a plan.
pub(crate) struct Executed {
    /// The world as the steps left it.
    pub(crate) observed: Observed,
    /// What went wrong.
    pub(crate) faults: Vec<Fault>,
    /// When Azure must be read again because the world was found to differ from what the plan was made from, or may.
    pub(crate) look_again: Option<Duration>,
    /// Whether what was decided does not hold any more: the steps that were left are not to be carried out.
    pub(crate) overtaken: bool,
    /// What was seen of what was taken away.
    pub(crate) sight: Sight,
    /// Whether a write was sent that gave something and was not certainly refused.
    pub(crate) has_given: bool,
    /// The service accounts that were written.
    pub(crate) written: Vec<(ServiceAccountName, Box<WrittenAccount>)>,
}

/// Carries out the plan, step by step, and keeps what was observed true. One refused revocation stops no other, and nothing is given
/// while something of Azure could not be taken away. The grants stop at the first fault of Azure: what follows depends on it. A fault
/// of one service account does not keep the others from theirs.
/// **Between the steps the decision is asked again**, and the binding is read before the first grant, unless the API server has just
/// shown it.
pub(super) async fn execute(
    ctx: &Context,
    mut footing: Footing<'_>,
    plan: Plan,
    observed: Observed,
    shown: &mut LastShown,
) -> Executed {
    let mut executed = Executed {
        observed,
        faults: Vec::new(),
        look_again: None,
        overtaken: false,
        sight: Sight::Whole,
        has_given: false,
        written: Vec::new(),
    };
    let desired = footing.desired();
    let goes_on = take_all_away(ctx, &mut footing, &plan.revocations, &mut executed).await;
    if let Desired::Bound(binding) = desired
        && goes_on
        && !plan.grants.is_empty()
        && executed.is_live(&footing, shown).await
    {
        give_all(ctx, (binding, &mut footing), plan.grants, &mut executed).await;
    }
    executed
}

/// Carries the revocations out, and tells whether something may be given after them.
async fn take_all_away(
    ctx: &Context,
    footing: &mut Footing<'_>,
    steps: &[Revocation],
    executed: &mut Executed,
) -> bool {
    let desired = footing.desired();
    let revocable = desired.revocable();
    let reason = |step: &Revocation| audit::why_taken(desired, step);
    let target = Target {
        uid: Some(&desired.owner().uid),
        revocable: &revocable,
        namespace: &desired.owner().namespace,
    };
    let mut begun = false;
    let (overtaken, observed, sight) = (&mut executed.overtaken, &mut executed.observed, &mut executed.sight);
    // The first one goes without asking: a pass that is overtaken again and again goes on all the same.
    let may = |_: &Revocation| {
        *overtaken = begun && !footing.holds();
        begun = true;
        !*overtaken
    };
    let taken = |step: &Revocation, deletion: Deletion| {
        step.fold(observed);
        *sight = sight.and(deletion.into());
    };
    let obstacles = take_each(ctx, target, (steps, reason), may, taken).await;
    let goes_on = !executed.overtaken && !obstacles.bar_grants();
    executed.faults = obstacles.into_faults();
    goes_on
}

/// Carries the grants out, one after the other, as long as the decision holds.
async fn give_all(
    ctx: &Context,
    (binding, footing): (&DesiredBinding, &mut Footing<'_>),
    steps: Vec<GrantStep>,
    executed: &mut Executed,
) {
    let reason = audit::why_given(binding);
    for step in steps {
        if !footing.holds() {
            executed.overtaken = true;
            return;
        }
        let what = step.to_string();
        let writes = step.writes_to_azure();
        let granting = Box::pin(grant(&ctx.clients, binding, step, executed));
        let granting = async {
            if writes {
                let uid = Some(&binding.owner.uid);
                ctx.books.writes.watch(uid, Write::Gives, granting).await
            } else {
                granting.await
            }
        };
        let (done, ids) = audit::carried(granting).await;
        executed.has_given |= !matches!(&done, Err(fault) if fault.is_refusal());
        if matches!(done, Ok(Progress::Done)) {
            let why = audit::Why {
                identity: binding.granted.identity(),
                reason: &reason,
            };
            audit::given(&what, why, &ids);
        }
        if executed.ends_after(done) {
            return;
        }
    }
}

/// The progress of a step.
enum Progress {
    Done,
    /// The world is not as the plan was made from.
    PlanIsStale,
}

impl Executed {
    /// Takes in how a step went, and tells whether no other may follow.
    fn ends_after(&mut self, step: Result<Progress, Fault>) -> bool {
        match step {
            Ok(Progress::Done) => false,
            Ok(Progress::PlanIsStale) => {
                self.look_again = Some(Duration::ZERO);
                true
            }
            Err(fault) => {
                let ends = !matches!(fault, Fault::Kubernetes(_));
                self.faults.push(fault);
                ends
            }
        }
    }

    /// Whether the binding is as it was decided about, before anything is given.
    async fn is_live(&mut self, footing: &Footing<'_>, shown: &mut LastShown) -> bool {
        match footing.is_live(shown.is_live()).await {
            Ok(true) => {
                shown.see_binding(true);
                return true;
            }
            Ok(false) => self.overtaken = true,
            Err(fault) => self.faults.push(fault),
        }
        false
    }

    fn identity(&self) -> Option<&PresentIdentity> {
        self.observed.azure.identity.present()
    }
}

/// Of what something is taken away.
#[derive(Clone, Copy)]
struct Target<'a> {
    /// The binding; none when it is gone.
    uid: Option<&'a BindingUid>,
    revocable: &'a Revocable,
    namespace: &'a Namespace,
}

/// Carries revocations out for a reason, one after the other and as long as they may go on, and tells of each that is done. One that is
/// refused stops no other that can be tried all the same.
async fn take_each(
    ctx: &Context,
    target: Target<'_>,
    (steps, reason): (&[Revocation], impl Fn(&Revocation) -> String),
    mut may: impl FnMut(&Revocation) -> bool,
    mut taken: impl FnMut(&Revocation, Deletion),
) -> Obstacles {
    let identity = target.revocable.identity();
    let mut obstacles = Obstacles::default();
    for step in steps {
        if !obstacles.allow(step) {
            continue;
        }
        if !may(step) {
            break;
        }
        let revoking = Box::pin(revoke(&ctx.clients, target, step));
        let revoking = async {
            match deletes(step, identity) {
                Some(kind) => ctx.books.writes.watch(target.uid, kind, revoking).await,
                None => revoking.await,
            }
        };
        let (done, ids) = audit::carried(revoking).await;
        match done {
            Ok(deletion) => {
                if deletion == Deletion::SeenGoing {
                    let reason = &reason(step);
                    audit::taken(&step.to_string(), audit::Why { identity, reason }, &ids);
                }
                taken(step, deletion);
            }
            Err(fault) => obstacles.meet(step, fault),
        }
    }
    obstacles
}

/// What a revocation deletes in Azure; none when that is nothing.
const fn deletes<'a>(step: &Revocation, identity: &'a IdentityId) -> Option<Write<'a>> {
    match step {
        Revocation::DeleteCredential(_) | Revocation::DeleteRoleAssignment { .. } => Some(Write::Deletes),
        Revocation::DeleteIdentity => Some(Write::DeletesIdentity(identity)),
        Revocation::ReleaseServiceAccount { .. } | Revocation::DeleteExport { .. } => None,
    }
}

async fn revoke(clients: &Clients, target: Target<'_>, step: &Revocation) -> Result<Deletion, Fault> {
    let azure = &clients.azure;
    let Target {
        revocable, namespace, ..
    } = target;
    match step {
        Revocation::ReleaseServiceAccount {
            name,
            uid,
            label,
            delete,
        } => {
            let account = release::Account { name, uid, label };
            let ending = if *delete {
                release::Ending::DeleteIfCreated
            } else {
                release::Ending::Keep
            };
            release::release(&clients.api.client, namespace, account, ending).await?;
            // The API server answers at once and by what is.
            Ok(Deletion::SeenGoing)
        }
        Revocation::DeleteExport { name, uid, label } => {
            exports::delete(&clients.api.client, namespace, (name, uid, label)).await?;
            Ok(Deletion::SeenGoing)
        }
        Revocation::DeleteCredential(name) => azure.delete_credential(revocable, name).await.map_err(Fault::Azure),
        Revocation::DeleteRoleAssignment { scope, name } => azure
            .delete_role_assignment(revocable, scope, *name)
            .await
            .map_err(Fault::Azure),
        Revocation::DeleteIdentity => azure.delete_identity(revocable).await.map_err(Fault::Azure),
    }
}

/// Has the identity that an orphaned binding leaves say that all of it is to stay, where its tag may not say so yet.
pub(crate) async fn mark_orphan(azure: &Azure, orphaned: &Orphaned) -> Result<(), Fault> {
    let Some(id) = &orphaned.unmarked else { return Ok(()) };
    let present = azure.get_identity(id).await.map_err(Fault::Azure)?;
    mark_end(azure, present.and_then(|present| orphaned.mark(&present.tags))).await
}

/// Has an identity that outlives its binding say so, where it does not.
pub(crate) async fn mark_end(azure: &Azure, mark: Option<EndMark>) -> Result<(), Fault> {
    match mark {
        Some(mark) => azure.mark_end(&mark).await.map_err(Fault::Azure),
        None => Ok(()),
    }
}

/// What came of taking away what a dead binding left.
pub(crate) struct Taken {
    /// What was taken away.
    pub(crate) steps: Vec<Revocation>,
    /// What went wrong.
    pub(crate) faults: Vec<Fault>,
}

/// Takes away what is left of a dead binding, as far as it goes and as long as it is an orphan.
pub(crate) async fn take_away(ctx: &Context, removal: &Removal, is_orphan: impl FnMut(&Revocation) -> bool) -> Taken {
    let target = Target {
        uid: None,
        revocable: &removal.revocable,
        namespace: &removal.namespace,
    };
    let reason = |_: &Revocation| "its binding is gone without having been deleted".to_owned();
    let planned = (removal.revocations.as_slice(), reason);
    let mut steps = Vec::new();
    let taken = |step: &Revocation, deletion| {
        if deletion == Deletion::SeenGoing {
            steps.push(step.clone());
        }
    };
    let obstacles = take_each(ctx, target, planned, is_orphan, taken).await;
    let faults = obstacles.into_faults();
    Taken { steps, faults }
}

async fn grant(
    clients: &Clients,
    desired: &DesiredBinding,
    step: GrantStep,
    executed: &mut Executed,
) -> Result<Progress, Fault> {
    let Clients { api, azure, .. } = clients;
    let granted = &desired.granted;
    match step {
        GrantStep::CreateIdentity { location, tags } => {
            let put = azure
                .put_identity(granted, &location, &tags)
                .await
                .map_err(Fault::Azure)?;
            // It was not there when it was looked at, and somebody was faster: whose it is, is to be seen.
            if !put.created {
                return Ok(Progress::PlanIsStale);
            }
            executed.observed.identity_written(put.view.facts, put.view.tags);
            return had(azure, desired, executed).await;
        }
        GrantStep::TagIdentity { tags } => {
            let view = azure.tag_identity(granted, &tags).await.map_err(Fault::Azure)?;
            executed.observed.identity_written(view.facts, view.tags);
            return had(azure, desired, executed).await;
        }
        GrantStep::PutCredential(credential) => {
            let written = azure.put_credential(granted, &credential).await.map_err(Fault::Azure)?;
            executed.observed.credential_written(written);
        }
        GrantStep::ReplaceCredential { former, wanted } => {
            tell_no_room(&former, &wanted);
            let revocable = granted.revocable();
            let (done, ids) = audit::carried(azure.delete_credential(&revocable, &former)).await;
            if done.map_err(Fault::Azure)? == Deletion::SeenGoing {
                let why = audit::Why {
                    identity: granted.identity(),
                    reason: "the identity has no room for it beside the credential for the issuer of today",
                };
                audit::taken(&Revocation::DeleteCredential(former.clone()).to_string(), why, &ids);
            }
            executed.observed.credential_deleted(&former);
            let written = azure.put_credential(granted, &wanted).await.map_err(Fault::Azure)?;
            executed.observed.credential_written(written);
        }
        GrantStep::PutRoleAssignment(role) => {
            let Some(present) = executed.identity() else {
                return Ok(Progress::PlanIsStale);
            };
            let assigned = azure
                .put_role_assignment(granted, &desired.owner, &role, present.facts.principal_id)
                .await
                .map_err(Fault::Azure)?;
            executed.observed.role_assigned(assigned);
        }
        GrantStep::ApplyServiceAccount(account) => {
            return apply_account(&api.client, desired, &account, executed).await;
        }
        GrantStep::ApplyExport(name) => return apply_export(&api.client, desired, name, executed).await,
    }
    Ok(Progress::Done)
}

/// Makes sure that an identity whose name others may choose is had by this binding, after its tags were written: two that look and
/// write at once both find it free. The last one to write has it.
async fn had(azure: &Azure, desired: &DesiredBinding, executed: &mut Executed) -> Result<Progress, Fault> {
    if desired.identity.name_is_derived() {
        return Ok(Progress::Done);
    }
    executed.look_again = Some(SEEN_BY_ALL);
    let found = azure.get_identity(desired.granted.identity()).await;
    match found.map_err(Fault::Azure)? {
        Some(view) if !desired.owner.owns(&view.tags) => Ok(Progress::PlanIsStale),
        // What was written a moment ago may not be shown yet; it is looked at again.
        Some(_) | None => Ok(Progress::Done),
    }
}

fn tell_no_room(former: &CredentialName, wanted: &DesiredCredential) {
    let account = &wanted.account;
    tracing::warn!(%former, %account, "no room for the credential of the cluster's issuer beside one of a former issuer; it is replaced at once");
}

async fn apply_export(
    client: &Client,
    desired: &DesiredBinding,
    name: ConfigMapName,
    executed: &mut Executed,
) -> Result<Progress, Fault> {
    let Some(present) = executed.identity() else {
        return Ok(Progress::PlanIsStale);
    };
    let seen = executed.observed.exports.get(&name);
    let written = exports::apply(client, &desired.owner, (&name, seen), &present.facts).await?;
    executed.observed.exported(name, written);
    Ok(Progress::Done)
}

async fn apply_account(
    client: &Client,
    desired: &DesiredBinding,
    account: &DesiredServiceAccount,
    executed: &mut Executed,
) -> Result<Progress, Fault> {
    let Some(present) = executed.identity() else {
        return Ok(Progress::PlanIsStale);
    };
    let seen = executed.observed.service_accounts.get(&account.name);
    let applied = apply::apply(client, &desired.owner, account, seen, &present.facts).await?;
    if let Some(write) = applied.write {
        let result = applied.account.clone();
        executed
            .written
            .push((account.name.clone(), Box::new(WrittenAccount { write, result })));
    }
    executed.observed.account_applied(account.name.clone(), applied.account);
    Ok(Progress::Done)
}
