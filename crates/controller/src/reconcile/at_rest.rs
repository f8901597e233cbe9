//! What is known of Azure for a binding of which no pass is under way, packed: of thousands one or two are looked at at a time (docs/adr/0028).

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wio_core::observed::{
    AzureState, IdentityFacts, ObservedCredential, ObservedIdentity, ObservedRoleAssignment, ObservedRoleAssignments,
    PresentIdentity, Tags,
};
use wio_core::role_terms::RoleTerms;

use crate::runtime::packing::{Packed, Packer};

/// What is known of Azure, kept until the next pass.
#[derive(Debug)]
pub(super) enum AtRest {
    Text(Packed),
    /// With a place that could not be read, of which a text would not tell why.
    Whole(Box<AzureState>),
}

/// What is known of Azure, for a pass. Most passes change nothing of it: it is kept as it was, and not packed anew.
#[derive(Clone, Debug)]
pub(crate) struct Awake {
    state: Box<AzureState>,
    kept: Option<Packed>,
}

/// What is known of Azure, as it is written down.
#[derive(Serialize, Deserialize)]
struct Form {
    present: Option<Present>,
    roles: Vec<Role>,
}

#[derive(Serialize, Deserialize)]
struct Present {
    client_id: Uuid,
    principal_id: Uuid,
    tenant_id: Uuid,
    tags: Vec<(String, String)>,
    credentials: Vec<Credential>,
}

#[derive(Serialize, Deserialize)]
struct Credential {
    name: String,
    issuer: String,
    subject: Option<String>,
    audiences: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Role {
    name: Uuid,
    scope: String,
    definition: String,
    principal: Uuid,
    terms: Option<Terms>,
}

#[derive(Serialize, Deserialize)]
struct Terms {
    condition: Option<String>,
    description: Option<String>,
}

// === impl AtRest ===

impl AtRest {
    fn of(state: Box<AzureState>, packer: &mut Packer) -> Self {
        match Form::of(&state).and_then(|form| serde_json::to_vec(&form).ok()) {
            Some(text) => Self::Text(packer.pack(text, is_typical(&state))),
            None => Self::Whole(state),
        }
    }

    /// The state, as it was.
    pub(super) fn state(&self) -> Option<Box<AzureState>> {
        match self {
            Self::Text(text) => {
                let form: Form = serde_json::from_slice(&text.unpack()?).ok()?;
                form.state().map(Box::new)
            }
            Self::Whole(state) => Some(state.clone()),
        }
    }

    /// The same, for a pass.
    pub(super) fn awake(self) -> Option<Awake> {
        let state = self.state()?;
        let kept = match self {
            Self::Text(text) => Some(text),
            Self::Whole(_) => None,
        };
        Some(Awake { state, kept })
    }
}

// === impl Awake ===

impl Awake {
    /// What was seen just now.
    pub(super) fn new(state: AzureState) -> Self {
        Self {
            state: Box::new(state),
            kept: None,
        }
    }

    pub(super) const fn state(&self) -> &AzureState {
        &self.state
    }

    /// It is so by now.
    pub(super) fn write(&mut self, state: &AzureState) {
        if *self.state != *state {
            self.state.as_mut().clone_from(state);
            self.kept = None;
        }
    }

    /// The same, kept until the next pass.
    pub(super) fn rest(self, packer: &mut Packer) -> AtRest {
        match self.kept {
            Some(text) => AtRest::Text(text),
            None => AtRest::of(self.state, packer),
        }
    }
}

/// Whether others will be like it: it is there, and trusts somebody.
fn is_typical(state: &AzureState) -> bool {
    let present = state.identity.present();
    present.is_some_and(|present| !present.credentials.is_empty())
}

// === impl Form ===

impl Form {
    fn of(state: &AzureState) -> Option<Self> {
        Some(Self {
            present: state.identity.present().map(Present::of),
            roles: state.role_assignments.complete()?.iter().map(Role::of).collect(),
        })
    }

    fn state(self) -> Option<AzureState> {
        let identity = match self.present {
            Some(present) => ObservedIdentity::Present(present.identity()?),
            None => ObservedIdentity::Absent,
        };
        let roles = self.roles.into_iter().map(Role::assignment);
        Some(AzureState {
            identity,
            role_assignments: ObservedRoleAssignments::read(roles.collect::<Option<_>>()?),
        })
    }
}

impl Present {
    fn of(present: &PresentIdentity) -> Self {
        let PresentIdentity {
            facts,
            tags,
            credentials,
        } = present;
        let text = |(name, value): (&String, &String)| (name.clone(), value.clone());
        Self {
            client_id: facts.client_id.as_uuid(),
            principal_id: facts.principal_id.as_uuid(),
            tenant_id: facts.tenant_id.as_uuid(),
            tags: tags.iter().map(text).collect(),
            credentials: credentials.iter().map(Credential::of).collect(),
        }
    }

    fn identity(self) -> Option<PresentIdentity> {
        let credentials = self.credentials.into_iter().map(Credential::observed);
        Some(PresentIdentity {
            facts: IdentityFacts {
                client_id: self.client_id.into(),
                principal_id: self.principal_id.into(),
                tenant_id: self.tenant_id.into(),
            },
            tags: self.tags.into_iter().collect::<Tags>(),
            credentials: credentials.collect::<Option<_>>()?,
        })
    }
}

impl Credential {
    fn of(credential: &ObservedCredential) -> Self {
        let ObservedCredential {
            name,
            issuer,
            subject,
            audiences,
        } = credential.clone();
        Self {
            name: name.to_string(),
            issuer,
            subject,
            audiences,
        }
    }

    fn observed(self) -> Option<ObservedCredential> {
        Some(ObservedCredential {
            name: self.name.parse().ok()?,
            issuer: self.issuer,
            subject: self.subject,
            audiences: self.audiences,
        })
    }
}

impl Role {
    fn of(assignment: &ObservedRoleAssignment) -> Self {
        let ObservedRoleAssignment {
            name,
            scope,
            definition,
            principal,
            terms,
        } = assignment.clone();
        Self {
            name: name.as_uuid(),
            scope,
            definition: definition.to_string(),
            principal: principal.as_uuid(),
            terms: terms.map(|terms| Terms {
                condition: terms.condition,
                description: terms.description,
            }),
        }
    }

    fn assignment(self) -> Option<ObservedRoleAssignment> {
        Some(ObservedRoleAssignment {
            name: self.name.into(),
            scope: self.scope,
            definition: self.definition.parse().ok()?,
            principal: self.principal.into(),
            terms: self.terms.map(|terms| RoleTerms {
                condition: terms.condition,
                description: terms.description,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use wio_core::fault::{AzureCause, AzureFault};
    use wio_core::names::RoleDefinitionGuid;
    use wio_core::observed::Unread;

    use super::*;

    fn guid(n: u128) -> Uuid {
        Uuid::from_u128(n + 1)
    }

    /// One as an operator leaves it, with what differs from one to the other.
    fn state(n: u128) -> AzureState {
        let credential = |n: u128| ObservedCredential {
            name: format!("wib-{n:016x}-orders-{n}").parse().unwrap(),
            issuer: "https://oidc.example.com/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/".to_owned(),
            subject: Some(format!("system:serviceaccount:shop:orders-{n}")),
            audiences: vec!["api://AzureADTokenExchange".to_owned()],
        };
        let flexible = ObservedCredential {
            subject: None,
            audiences: Vec::new(),
            ..credential(9)
        };
        let tags = [
            ("workloadidentity.dev-cluster", guid(7).to_string()),
            ("workloadidentity.dev-binding", format!("shop/orders-{n}")),
            ("workloadidentity.dev-binding-uid", guid(n * 3).to_string()),
        ];
        let role = |terms| ObservedRoleAssignment {
            name: guid(n * 5).into(),
            scope: "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11".to_owned(),
            definition: RoleDefinitionGuid::CONTRIBUTOR,
            principal: guid(n * 7).into(),
            terms,
        };
        let terms = RoleTerms {
            condition: Some("@Resource[x] StringEquals 'y'".to_owned()),
            description: None,
        };
        AzureState {
            identity: ObservedIdentity::Present(PresentIdentity {
                facts: IdentityFacts {
                    client_id: guid(n * 13).into(),
                    principal_id: guid(n * 7).into(),
                    tenant_id: guid(17).into(),
                },
                tags: tags.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
                credentials: if n == 0 {
                    vec![credential(n), flexible]
                } else {
                    vec![credential(n)]
                },
            }),
            role_assignments: ObservedRoleAssignments::read(if n == 0 {
                vec![role(None), role(Some(terms))]
            } else {
                Vec::new()
            }),
        }
    }

    fn kept(state: &AzureState, packer: &mut Packer) -> AtRest {
        AtRest::of(Box::new(state.clone()), packer)
    }

    #[test]
    fn what_was_put_to_rest_is_as_it_was() {
        let mut packer = Packer::default();
        let absent = AzureState {
            identity: ObservedIdentity::Absent,
            role_assignments: ObservedRoleAssignments::read(Vec::new()),
        };
        for state in (0..100).map(state).chain([absent]) {
            let rests = kept(&state, &mut packer);
            assert!(matches!(rests, AtRest::Text(_)));
            assert_eq!(rests.state().as_deref(), Some(&state));
        }
    }

    /// Whoever forgot it would take what may stand there for gone.
    #[test]
    fn a_place_that_could_not_be_read_is_not_forgotten() {
        let mut state = state(1);
        let unread = Unread {
            why: AzureFault {
                operation: "list the role assignments".to_owned(),
                cause: AzureCause::Timeout,
            },
            remembered: true,
        };
        let place = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11".parse().unwrap();
        state.role_assignments.not_read(&place, unread, Vec::new());
        assert_eq!(kept(&state, &mut Packer::default()).state().as_deref(), Some(&state));
    }

    /// Each pass packed all of it anew, though next to none had seen or written anything.
    #[test]
    fn what_no_pass_changed_is_kept_as_it_was() {
        let mut packer = Packer::default();
        let AtRest::Text(before) = kept(&state(1), &mut packer) else {
            unreachable!()
        };
        let mut awake = AtRest::Text(before.clone()).awake().unwrap();
        awake.write(&state(1));
        let same = |rests: &AtRest| matches!(rests, AtRest::Text(text) if text.is(&before));
        assert!(same(&awake.clone().rest(&mut packer)));
        awake.write(&state(2));
        let rests = awake.rest(&mut packer);
        assert!(!same(&rests));
        assert_eq!(rests.state().as_deref(), Some(&state(2)));
    }

    #[test]
    fn one_like_others_takes_a_fraction_of_its_text() {
        let mut packer = Packer::default();
        kept(&state(1), &mut packer);
        let AtRest::Text(rests) = kept(&state(4711), &mut packer) else {
            unreachable!()
        };
        let text = serde_json::to_vec(&Form::of(&state(4711)).unwrap()).unwrap().len();
        assert!(rests.len() * 3 < text, "{} of {text} bytes", rests.len());
    }
}
