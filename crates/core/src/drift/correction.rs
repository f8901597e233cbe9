//! Drift that is put back: what stood when the binding was last ready, and somebody else deleted or edited in Azure.

use wio_api::Reason;

use crate::binding::Binding;
use crate::desired::{DesiredCredential, DesiredRole};
use crate::names::ServiceAccountName;
use crate::observed::{BoundBy, Observed};
use crate::plan::{GrantStep, Plan};
use crate::recorded::Recorded;
use crate::status::Told;

/// What is put back, by what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corrections(Vec<(CorrectedKind, String)>);

/// A kind of thing that is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrectedKind {
    /// The managed identity.
    Identity,
    /// A federated credential.
    FederatedCredential,
    /// A role assignment.
    RoleAssignment,
}

impl CorrectedKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Identity, Self::FederatedCredential, Self::RoleAssignment];

    /// Its name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::FederatedCredential => "federated_credential",
            Self::RoleAssignment => "role_assignment",
        }
    }
}

// === impl Corrections ===

impl Corrections {
    /// What of a plan puts back what the status says of a binding that is ready. What the spec, a policy or a setting asks for since is not
    /// among it, and neither is what the status does not tell of. Tags and service accounts are not counted: others may have a say in them.
    #[must_use]
    pub fn of(binding: &Binding, plan: &Plan) -> Self {
        let recorded = &binding.recorded;
        if recorded.progress.ready != Some(binding.lifecycle.generation) {
            return Self::default();
        }
        let put_back = plan.grants.iter().filter_map(|step| {
            let kind = match step {
                GrantStep::CreateIdentity { .. } if had_identity(recorded) => CorrectedKind::Identity,
                GrantStep::PutCredential(wanted) if had_credential(recorded, wanted) => {
                    CorrectedKind::FederatedCredential
                }
                GrantStep::PutRoleAssignment(role) if had_role(recorded, role) => CorrectedKind::RoleAssignment,
                GrantStep::CreateIdentity { .. }
                | GrantStep::TagIdentity { .. }
                | GrantStep::PutCredential(_)
                | GrantStep::ReplaceCredential { .. }
                | GrantStep::PutRoleAssignment(_)
                | GrantStep::ApplyServiceAccount(_)
                | GrantStep::ApplyExport(_) => return None,
            };
            Some((kind, step.to_string()))
        });
        Self(put_back.collect())
    }

    /// The kinds of what is put back, one for each thing.
    pub fn kinds(&self) -> impl Iterator<Item = CorrectedKind> {
        self.0.iter().map(|(kind, _)| *kind)
    }

    /// What people are told of it; none when nothing is put back.
    #[must_use]
    pub fn told(&self) -> Option<Told> {
        if self.0.is_empty() {
            return None;
        }
        let what: Vec<&str> = self.0.iter().map(|(_, what)| what.as_str()).collect();
        Some(Told {
            warning: true,
            reason: Reason::DriftCorrected.to_string(),
            message: format!(
                "Somebody else deleted or edited in Azure what this binding has, and it was put back: {}. Azure's activity log of the identity says who.",
                what.join("; ")
            ),
        })
    }
}

/// The service accounts that a plan marks again though the binding is ready with them, marked as they are to be: somebody else changed them
/// back. One that was deleted and is made anew is none of them, and neither is one with the mark of another binding, which is taken over when that
/// one goes.
#[must_use]
pub fn changed_back<'a>(binding: &Binding, observed: &Observed, plan: &'a Plan) -> Vec<&'a ServiceAccountName> {
    let recorded = &binding.recorded;
    let identity = recorded.identity.as_ref();
    let same_identity = observed.azure.identity.present().is_some_and(|present| {
        let client = identity.and_then(|identity| identity.ids.client.as_ref());
        client == Some(&present.facts.client_id)
    });
    if recorded.progress.ready != Some(binding.lifecycle.generation) || !same_identity {
        return Vec::new();
    }
    let was_marked = |name: &ServiceAccountName| {
        let had = recorded.service_accounts.iter().find(|had| had.name == *name);
        had.is_some_and(|had| {
            observed
                .service_accounts
                .get(name)
                .is_some_and(|seen| seen.uid == had.uid && matches!(seen.bound_by, BoundBy::Us | BoundBy::Nobody))
        })
    };
    let applied = plan.grants.iter().filter_map(|step| match step {
        GrantStep::ApplyServiceAccount(account) => Some(&account.name),
        GrantStep::CreateIdentity { .. }
        | GrantStep::TagIdentity { .. }
        | GrantStep::PutCredential(_)
        | GrantStep::ReplaceCredential { .. }
        | GrantStep::PutRoleAssignment(_)
        | GrantStep::ApplyExport(_) => None,
    });
    applied.filter(|name| was_marked(name)).collect()
}

fn had_identity(recorded: &Recorded) -> bool {
    let identity = recorded.identity.as_ref();
    identity.is_some_and(|identity| identity.ids.client.is_some())
}

fn had_credential(recorded: &Recorded, wanted: &DesiredCredential) -> bool {
    let mut credentials = recorded.credentials.iter();
    recorded.issuer.as_ref() == Some(&wanted.issuer)
        && credentials
            .any(|had| had.name == wanted.name && had.subject == wanted.subject && had.audience == wanted.audience)
}

fn had_role(recorded: &Recorded, role: &DesiredRole) -> bool {
    let mut assignments = recorded.role_assignments.iter();
    assignments.any(|had| had.definition == role.definition() && had.scope == *role.scope())
}
