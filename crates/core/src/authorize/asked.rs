//! What needs a permission: what a spec asks for, or what was recorded.

use wio_api::{DeletionPolicy, IdentityOrigin};

use crate::binding::Binding;
use crate::config::OperatorConfig;
use crate::names::{IdentityId, Location, RoleDefinitionGuid, Scope, ServiceAccountName, is_identity_name};
use crate::owner::Owner;
use crate::policy::{Policy, Usage};
use crate::recorded::Recorded;
use crate::role_terms::RoleTerms;
use crate::spec::{ExistingRef, IdentityRef, RoleRef, Spec};

/// The permissions that are asked for.
pub(super) struct Asked {
    pub(super) identity: IdentityId,
    pub(super) kind: Kind,
    pub(super) accounts: Vec<ServiceAccountName>,
    pub(super) roles: Vec<RoleRef>,
    /// How much of the namespace comes before this; none when it stands already.
    pub(super) used_before: Option<Usage>,
    /// Whether role assignments may stand already, whichever they are.
    pub(super) may_have_roles: bool,
    /// Whether all of it is to stay when the binding goes.
    pub(super) orphan: bool,
}

/// Whose the identity is.
pub(super) enum Kind {
    /// Someone else's.
    Existing {
        /// The field that says which one.
        field: &'static str,
    },
    /// The operator's.
    Managed {
        /// Whether nobody chose its name.
        derived: bool,
        /// Its region, when it is known.
        location: Option<Location>,
        /// Whether it is to be taken over, or was.
        adopt: Adopt,
    },
}

const BY_ID: &str = "spec.identity.existing.resourceId";

impl Kind {
    const fn existing(existing: &ExistingRef) -> Self {
        let field = match existing {
            ExistingRef::Id(_) => BY_ID,
            ExistingRef::Named { .. } => "spec.identity.existing.name",
        };
        Self::Existing { field }
    }
}

/// Whether an identity that stands there is taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Adopt {
    No,
    /// If it stands there.
    Asked,
    /// It was, and may have roles that no policy gave.
    Done,
}

/// Why a permission is not had.
pub(super) enum Unmet<'a> {
    /// No policy gives it.
    Nowhere,
    /// Some policies give it, and none of them to this service account.
    NotTo(&'a ServiceAccountName, Vec<&'a Policy>),
}

impl Asked {
    /// What a spec asks for. Whether its identity was taken over already, the record says.
    pub(super) fn by_spec(spec: &Spec, owner: &Owner, recorded: &Recorded, config: &OperatorConfig) -> Self {
        let adopted = recorded
            .identity
            .as_ref()
            .is_some_and(|identity| identity.origin == IdentityOrigin::Adopted);
        let kind = match &spec.identity {
            IdentityRef::Existing(existing) => Kind::existing(existing),
            IdentityRef::Managed(managed) => Kind::Managed {
                derived: spec.name_is_derived(),
                location: Some(managed.location.as_ref().unwrap_or(&config.location).clone()),
                adopt: match (adopted, managed.adopt) {
                    (true, _) => Adopt::Done,
                    (false, true) => Adopt::Asked,
                    (false, false) => Adopt::No,
                },
            },
        };
        Self {
            identity: spec.identity_id(owner, config),
            kind,
            accounts: spec
                .service_accounts
                .iter()
                .map(|account| account.name.clone())
                .collect(),
            roles: spec.role_assignments.clone(),
            used_before: None,
            may_have_roles: recorded.may_have_roles(),
            orphan: false,
        }
    }

    /// What a record says that there is; none when it names no identity.
    pub(super) fn by_record(owner: &Owner, recorded: &Recorded) -> Option<Self> {
        let has = recorded.identity.as_ref()?;
        let managed = |adopt| Kind::Managed {
            derived: is_identity_name(&has.id.name, &owner.namespace, &owner.name),
            location: None,
            adopt,
        };
        Some(Self {
            kind: match has.origin {
                IdentityOrigin::Referenced => Kind::Existing { field: BY_ID },
                IdentityOrigin::Created => managed(Adopt::No),
                IdentityOrigin::Adopted => managed(Adopt::Done),
            },
            identity: has.id.clone(),
            accounts: recorded
                .credentials
                .iter()
                .map(|credential| credential.account.clone())
                .collect(),
            roles: recorded
                .role_assignments
                .iter()
                .map(|assignment| RoleRef {
                    role: assignment.role.clone(),
                    definition: assignment.definition,
                    scope: assignment.scope.clone(),
                    terms: RoleTerms::default(),
                })
                .collect(),
            used_before: None,
            may_have_roles: recorded.may_have_roles(),
            orphan: false,
        })
    }

    /// What a spec asks for that cannot be used, as far as it parses; none when the identity does not.
    pub(super) fn by_claims(binding: &Binding, config: &OperatorConfig) -> Option<Self> {
        let meant = binding.identity.as_ref()?;
        let role = |(definition, scope): &(RoleDefinitionGuid, Scope)| RoleRef {
            role: definition.to_string(),
            definition: *definition,
            scope: scope.clone(),
            terms: RoleTerms::default(),
        };
        Some(Self {
            identity: meant.id(&binding.owner, config),
            kind: match meant {
                IdentityRef::Existing(existing) => Kind::existing(existing),
                IdentityRef::Managed(managed) => Kind::Managed {
                    derived: managed.name.is_none(),
                    location: None,
                    adopt: if managed.adopt { Adopt::Asked } else { Adopt::No },
                },
            },
            accounts: binding.claims.accounts.iter().cloned().collect(),
            roles: binding.claims.roles.iter().map(role).collect(),
            used_before: None,
            may_have_roles: binding.recorded.may_have_roles(),
            orphan: false,
        })
    }

    /// How much it is of what policies limit.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            federated_credentials: self.accounts.len(),
            managed_identities: usize::from(matches!(self.kind, Kind::Managed { .. })),
            role_assignments: self.roles.len(),
        }
    }

    /// Whether the identity has a name that only another binding may have.
    pub(super) fn takes_a_reserved_name(&self) -> bool {
        self.identity.name.is_reserved() && !matches!(self.kind, Kind::Managed { derived: true, .. })
    }

    /// The same, to be left in Azure when the binding goes or not.
    pub(super) fn ending(self, policy: DeletionPolicy) -> Self {
        Self {
            orphan: policy == DeletionPolicy::Orphan,
            ..self
        }
    }
}
