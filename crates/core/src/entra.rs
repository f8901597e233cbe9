//! Entra's codes: why it gives no token for a service account's, and what a person does about it. The table of
//! `docs/troubleshooting.md` is this one.

use std::fmt;

/// What a code of Entra means. Codes are hints and no contract: the words beside one may say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The numbers behind `AADSTS`: those that mean the same.
    pub codes: &'static [u32],
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub next_step: &'static str,
    /// Whether it passes by itself.
    pub passes: Passes,
    /// The claim of the service account's token that no credential has.
    pub claim: Option<Claim>,
}

/// Whether a refusal passes when nobody does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// It does not.
    No,
    /// Within minutes, where what it is about was written a moment ago, or Entra itself is in trouble.
    WithinMinutes,
    /// Within an hour, where the issuer or its keys are new.
    WithinAnHour,
}

/// A claim that a federated credential is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// `iss`.
    Issuer,
    /// `sub`.
    Subject,
    /// `aud`.
    Audience,
}

/// The table.
pub const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        codes: &[70_021, 70_025],
        meaning: "no federated credential matches; the identity has none",
        next_step: "written less than two minutes ago: wait, and do not ask in a tight loop, which can prolong it. Else somebody deleted it: the operator puts it back, and says so by an Event `DriftCorrected`",
        passes: Passes::WithinMinutes,
        claim: None,
    },
    Explanation {
        codes: &[700_211],
        meaning: "the issuer differs",
        next_step: "compare. A missing slash at the end is a difference; an issuer of AKS ends with one. Is the pod in another cluster?",
        passes: Passes::WithinMinutes,
        claim: Some(Claim::Issuer),
    },
    Explanation {
        codes: &[700_212],
        meaning: "the audience differs",
        next_step: "compare. It must be what the webhook mints: set `spec.audience`, or the operator's default",
        passes: Passes::WithinMinutes,
        claim: Some(Claim::Audience),
    },
    Explanation {
        codes: &[700_213],
        meaning: "the subject differs",
        next_step: "the pod runs as a service account that the binding does not name, or in another namespace; or it was written less than two minutes ago",
        passes: Passes::WithinMinutes,
        claim: Some(Claim::Subject),
    },
    Explanation {
        codes: &[7_002_138],
        meaning: "the subject is the same but for capitals",
        next_step: "a credential that somebody wrote by hand: delete it",
        passes: Passes::No,
        claim: Some(Claim::Subject),
    },
    Explanation {
        codes: &[700_016],
        meaning: "no such application in the tenant",
        next_step: "a wrong client id or tenant in the pod; or an identity that was made a moment ago",
        passes: Passes::WithinMinutes,
        claim: None,
    },
    Explanation {
        codes: &[700_024],
        meaning: "the token is too old or not yet valid",
        next_step: "the application keeps the token in memory: read the file again each time. Compare the clocks",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[7_000_272],
        meaning: "the key that signed the token is not known",
        next_step: "a new cluster, or new keys of one: Entra keeps an issuer's keys for up to an hour",
        passes: Passes::WithinAnHour,
        claim: None,
    },
    Explanation {
        codes: &[700_027],
        meaning: "the signature does not agree with the issuer's key",
        next_step: "two clusters have one issuer, or the keys that it publishes are old: publish the keys of this cluster",
        passes: Passes::WithinAnHour,
        claim: None,
    },
    Explanation {
        codes: &[90_061, 50_166, 501_661],
        meaning: "Entra cannot reach the issuer",
        next_step: "both documents of the issuer must be public: runbook 11",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[7_002_381],
        meaning: "a policy of the tenant forbids it",
        next_step: "ask the tenant's administrators",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[53_003],
        meaning: "a Conditional Access policy blocks it",
        next_step: "ask the tenant's administrators; the sign-in log of the tenant names the policy",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[90_002, 900_023],
        meaning: "there is no such tenant in this cloud",
        next_step: "correct `AZURE_TENANT_ID`; where the tenant is of another cloud, `AZURE_AUTHORITY_HOST`",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[7_000_112],
        meaning: "the identity is disabled in the tenant",
        next_step: "ask the tenant's administrators to enable it again",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[500_011],
        meaning: "what the token is asked for is not known in the tenant",
        next_step: "correct the scope that the application asks for; the federated credential matched",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[1_002_012],
        meaning: "the scope does not end with `/.default`",
        next_step: "ask for the resource and `/.default`, for example `https://vault.azure.net/.default`",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[700_222],
        meaning: "the token was issued by Entra itself",
        next_step: "present the service account's token that lies in `AZURE_FEDERATED_TOKEN_FILE`, and no access token",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[50_027],
        meaning: "what was presented is no JSON Web Token",
        next_step: "present what lies in `AZURE_FEDERATED_TOKEN_FILE`, whole",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[5_002_738],
        meaning: "the token is signed with another algorithm than RS256",
        next_step: "start the API server with an RSA key in `--service-account-signing-key-file`",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[7_000_215, 7_000_216, 7_000_222],
        meaning: "the application presents a secret, or nothing",
        next_step: "take `AZURE_CLIENT_SECRET` out of the pod, and use the workload identity credential of its library: a managed identity has no secrets",
        passes: Passes::No,
        claim: None,
    },
    Explanation {
        codes: &[90_033, 90_055, 50_196],
        meaning: "Entra is busy, in trouble, or was asked too often",
        next_step: "wait, and let the application ask once and keep the access token until it expires",
        passes: Passes::WithinMinutes,
        claim: None,
    },
];

/// What a code means: the number behind `AADSTS`. None for one that the table does not know.
#[must_use]
pub fn explanation(code: u32) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|one| one.codes.contains(&code))
}

/// The first code that a text names, as `AADSTS700213` does in Entra's words.
#[must_use]
pub fn code_in(text: &str) -> Option<u32> {
    const PREFIX: &str = "AADSTS";
    let upper = text.to_ascii_uppercase();
    upper.split(PREFIX).skip(1).find_map(|after| {
        let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

// === impl Passes ===

impl fmt::Display for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::WithinMinutes => "perhaps, within minutes",
            Self::WithinAnHour => "perhaps, within an hour",
        })
    }
}

// === impl Claim ===

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issuer => "issuer",
            Self::Subject => "subject",
            Self::Audience => "audience",
        })
    }
}
