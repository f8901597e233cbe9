//! Carrying out a plan. Every write to Azure is in this file.

use wio_core::desired::{Desired, DesiredBinding};
use wio_core::fault::Fault;
use wio_core::observed::{Observed, ObservedIdentity};
use wio_core::plan::{GrantStep, Plan, Revocation};

use crate::accounts;
use crate::context::Context;
use crate::memory::Remembered;

/// What carrying out a plan came to.
#[derive(Debug, Default)]
pub(crate) struct Execution {
    /// What went wrong.
    pub(crate) faults: Vec<Fault>,
    /// The world was found to differ from what the plan was made from: it must be looked at before anything else.
    pub(crate) surprised: bool,
}

/// Carries out the plan, step by step, and keeps `observed` true. It stops at the first fault of Azure: what follows
/// depends on it. A fault of one service account does not keep the others from theirs, but the identity outlives it:
/// trust ends first, and the identity goes last.
pub(crate) async fn execute(
    ctx: &Context,
    desired: &Desired,
    plan: Plan,
    observed: &mut Observed,
    remembered: &mut Remembered,
) -> Execution {
    let mut execution = Execution::default();
    for step in plan.revocations {
        if step == Revocation::DeleteIdentity && !execution.faults.is_empty() {
            return execution;
        }
        match revoke(ctx, desired, &step).await {
            Ok(()) => observed.revoked(&step),
            Err(fault @ Fault::Kubernetes(_)) => execution.faults.push(fault),
            Err(fault) => {
                execution.faults.push(fault);
                return execution;
            }
        }
    }
    let Desired::Bound(binding) = desired else {
        return execution;
    };
    for step in plan.grants {
        match grant(ctx, binding, step, observed, remembered).await {
            Ok(Progress::Done) => {}
            Ok(Progress::Surprised) => {
                execution.surprised = true;
                return execution;
            }
            Err(fault @ Fault::Kubernetes(_)) => execution.faults.push(fault),
            Err(fault) => {
                execution.faults.push(fault);
                return execution;
            }
        }
    }
    execution
}

async fn revoke(ctx: &Context, desired: &Desired, step: &Revocation) -> Result<(), Fault> {
    let authorized = match desired {
        Desired::Bound(binding) => &binding.authorized.revoking(),
        Desired::Denied(denial) => &denial.removal().authorized,
        Desired::Gone(removal) => &removal.authorized,
    };
    match step {
        Revocation::DeleteCredential(name) => ctx
            .azure
            .delete_credential(authorized, name)
            .await
            .map_err(Fault::Azure),
        Revocation::DeleteRoleAssignment { scope, name } => ctx
            .azure
            .delete_role_assignment(authorized, scope, *name)
            .await
            .map_err(Fault::Azure),
        Revocation::DeleteIdentity => ctx.azure.delete_identity(authorized).await.map_err(Fault::Azure),
        Revocation::ReleaseServiceAccount {
            name,
            uid,
            mark,
            delete,
        } => accounts::release(ctx, desired.owner(), name, uid, mark, *delete).await,
    }
}

enum Progress {
    Done,
    Surprised,
}

async fn grant(
    ctx: &Context,
    desired: &DesiredBinding,
    step: GrantStep,
    observed: &mut Observed,
    remembered: &mut Remembered,
) -> Result<Progress, Fault> {
    let authorized = &desired.authorized;
    match step {
        GrantStep::CreateIdentity { location, tags } => {
            let put = ctx
                .azure
                .put_identity(authorized, &location, &tags)
                .await
                .map_err(Fault::Azure)?;
            observed.identity_written(put.view.facts, put.view.tags);
            if !put.created {
                return Ok(Progress::Surprised);
            }
        }
        GrantStep::TagIdentity { tags } => {
            let view = ctx.azure.tag_identity(authorized, &tags).await.map_err(Fault::Azure)?;
            observed.identity_written(view.facts, view.tags);
        }
        GrantStep::PutCredential(credential) => {
            let written = ctx
                .azure
                .put_credential(authorized, &credential)
                .await
                .map_err(Fault::Azure)?;
            observed.credential_written(written);
        }
        GrantStep::PutRoleAssignment(role) => {
            let ObservedIdentity::Present(present) = &observed.identity else {
                return Ok(Progress::Surprised);
            };
            let assigned = ctx
                .azure
                .put_role_assignment(authorized, &desired.owner, &role, present.facts.principal_id)
                .await
                .map_err(Fault::Azure)?;
            observed.role_assigned(assigned);
        }
        GrantStep::ApplyServiceAccount(account) => {
            let ObservedIdentity::Present(present) = &observed.identity else {
                return Ok(Progress::Surprised);
            };
            let seen = observed.service_accounts.get(&account.name);
            let applied = accounts::apply(ctx, &desired.owner, &account, seen, &present.facts, remembered).await?;
            observed.account_applied(account.name, applied);
        }
    }
    Ok(Progress::Done)
}
