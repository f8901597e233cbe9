//! Absence: that something is not in Azure, with the proof of it. Not finding something proves nothing; only some of Azure's words do.

use crate::fault::{AzureAnswer, AzureCause};

/// The kinds of things that are asked for. A code can prove that one is gone and say nothing about another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A managed identity.
    Identity,
    /// A federated credential of an identity.
    Credential,
    /// A role assignment at a scope.
    RoleAssignment,
    /// What role assignments hold for.
    Scope,
}

/// The proof that something is not in Azure: the code by which Azure said so. Only [`Absence::proven`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    code: &'static str,
}

/// What a request to delete something found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It was there, and is gone by this request.
    SeenGoing,
    /// It was not there. Right after a write that is no proof: it may not be known everywhere yet, or still be on its way.
    NotThere,
}

impl Kind {
    /// The codes that mean that a thing of this kind, or what it would be in, does not exist. All come with 404. Every other code
    /// says nothing about the thing: `InvalidResourceType` is about an api-version that a cloud lacks, `SubscriptionNotFound` about what
    /// may only be invisible, and an answer without a code is a proxy's.
    const fn gone(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["ResourceNotFound", "ResourceGroupNotFound"],
            Self::Credential => &[
                "NotFound",
                "ResourceNotFound",
                "ParentResourceNotFound",
                "ResourceGroupNotFound",
            ],
            Self::RoleAssignment => &[
                "RoleAssignmentNotFound",
                "ResourceNotFound",
                "ParentResourceNotFound",
                "ResourceGroupNotFound",
            ],
            Self::Scope => &["ResourceNotFound", "ParentResourceNotFound", "ResourceGroupNotFound"],
        }
    }
}

impl Absence {
    /// The proof that an error is, when it says that what was asked for is gone.
    #[must_use]
    pub fn proven(kind: Kind, cause: &AzureCause) -> Option<Self> {
        let AzureCause::Answer(AzureAnswer { status: 404, code, .. }) = cause else {
            return None;
        };
        let gone = kind.gone().iter().find(|gone| *gone == code)?;
        Some(Self { code: gone })
    }

    /// The code by which Azure said so.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.code
    }
}
