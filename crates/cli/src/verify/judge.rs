//! What a refusal means for a binding: Entra's code, and what the token says otherwise than the record. Pure.

use wio_api::WorkloadIdentityBindingStatus;
use wio_azure::{Claims, Refusal};
use wio_core::entra::{Claim, Explanation, Passes, explanation};

use super::compare::{difference, in_common};
use super::data::{Difference, Given, Presented, Refused};

/// The trust that the binding's status records for a service account, or what comes nearest to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// None when the status has none: nothing was written for the cluster's issuer yet.
    pub(crate) issuer: Option<String>,
    /// The subject of its credential, or of the credential whose subject is nearest; none when there is no credential.
    pub(crate) subject: Option<String>,
    pub(crate) audience: Option<String>,
    /// Whether a credential is recorded for this very service account.
    pub(crate) its_own: bool,
}

/// Whose proof it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) binding: &'a str,
    pub(crate) account: &'a str,
    /// Whether the spec names the service account.
    pub(crate) bound: bool,
}

/// The claims as they are shown.
pub(crate) fn presented(claims: &Claims) -> Presented {
    Presented {
        iss: claims.issuer.clone().unwrap_or_default(),
        sub: claims.subject.clone().unwrap_or_default(),
        aud: claims.audiences.clone(),
        exp: claims.expires.map(|at| at.to_string()),
    }
}

/// The claims as they are shown.
pub(crate) fn given(claims: Claims) -> Given {
    Given {
        oid: claims.object,
        appid: claims.application,
        tid: claims.tenant,
        aud: claims.audiences,
        exp: claims.expires.map(|at| at.to_string()),
    }
}

/// A refusal, explained, and what to do about it.
pub(crate) fn refused(refusal: Refusal, token: &Presented, trust: &Trust, whose: Whose<'_>) -> (Refused, String) {
    let known = refusal.code.and_then(explanation);
    let about_credentials = known.is_some_and(is_about_credentials);
    let differences = if about_credentials {
        trust.differences(token)
    } else {
        Vec::new()
    };
    let next = next_step(known, &refusal, &differences, whose);
    let explained = Refused {
        code: refusal.code.map(|code| format!("AADSTS{code}")),
        meaning: known.map(|known| known.meaning.to_owned()),
        passes_by_itself: known.map(|known| if whose.bound { known.passes } else { Passes::No }.to_string()),
        message: refusal.message,
        trace_id: refusal.trace_id,
        differences,
    };
    (explained, next)
}

/// Whether a code says that no federated credential agrees with the token.
fn is_about_credentials(known: &Explanation) -> bool {
    const NONE_MATCHES: u32 = 70_021;
    known.claim.is_some() || known.codes.contains(&NONE_MATCHES)
}

fn next_step(known: Option<&Explanation>, refusal: &Refusal, differences: &[Difference], whose: Whose<'_>) -> String {
    let Whose {
        namespace,
        binding,
        account,
        bound,
    } = whose;
    let Some(known) = known else {
        return match refusal.code {
            Some(code) => format!("Microsoft's words: https://login.microsoftonline.com/error?code={code}"),
            None => "see Entra's words".to_owned(),
        };
    };
    if !is_about_credentials(known) {
        return about_the_rest(refusal.code, known, whose);
    }
    if !bound {
        return format!(
            "the binding does not name service account {account}: add it to spec.serviceAccounts, or let the pods run as one that is there"
        );
    }
    let differs = |claim: Claim| differences.iter().any(|one| one.claim == claim.to_string());
    if differs(Claim::Issuer) {
        return format!(
            "the cluster issues its tokens as another issuer than the credentials trust: the operator follows it, see kubectl wib status {binding} -n {namespace}; two minutes after that, ask again"
        );
    }
    if differs(Claim::Audience) {
        return format!(
            "the pods present another audience than the credential trusts: set spec.audience of {binding} to what they present, or the operator's default (--audience)"
        );
    }
    if !differences.is_empty() {
        return format!(
            "the record is behind the spec: kubectl wib reconcile {binding} -n {namespace} --wait; two minutes after that, ask again"
        );
    }
    format!(
        "the token says what is recorded, so the credential in Azure is younger than two minutes, or somebody edited or deleted it: kubectl wib reconcile {binding} -n {namespace} --wait has it put back; two minutes after that, ask again"
    )
}

/// What to do about a refusal that is not about federated credentials. What the table says of applications is true of their pods; this token is
/// a moment old, and the client id is the one of the status.
fn about_the_rest(code: Option<u32>, known: &Explanation, whose: Whose<'_>) -> String {
    const UNKNOWN_APPLICATION: u32 = 700_016;
    const NOT_IN_TIME: u32 = 700_024;
    let Whose { namespace, binding, .. } = whose;
    match code {
        Some(UNKNOWN_APPLICATION) => format!(
            "an identity that was made a moment ago is known within minutes; where somebody deleted it, kubectl wib reconcile {binding} -n {namespace} --wait has it made anew"
        ),
        Some(NOT_IN_TIME) => "the token is a moment old: set the clock of the API server right".to_owned(),
        _ => known.next_step.to_owned(),
    }
}

// === impl Trust ===

impl Trust {
    /// What the status records for a service account whose subject is this.
    pub(crate) fn recorded(status: &WorkloadIdentityBindingStatus, account: &str, subject: &str) -> Self {
        let credentials = &status.federated_credentials;
        let its_own = credentials.iter().find(|one| one.service_account == account);
        let nearest = || credentials.iter().max_by_key(|one| in_common(&one.subject, subject));
        let credential = its_own.or_else(nearest);
        // Somebody else's credential is not described in the status, and stands for its own subject.
        let foreign = status
            .service_accounts
            .iter()
            .any(|one| one.name == account && one.foreign_credential.is_some());
        let foreign = foreign && its_own.is_none();
        Self {
            issuer: status.issuer.clone(),
            subject: credential.filter(|_| !foreign).map(|one| one.subject.clone()),
            audience: credential.filter(|_| !foreign).map(|one| one.audience.clone()),
            its_own: its_own.is_some() || foreign,
        }
    }

    fn differences(&self, token: &Presented) -> Vec<Difference> {
        let Presented { iss, sub, aud, .. } = token;
        let audience = aud.first().map_or("", String::as_str);
        let pairs = [
            (Claim::Issuer, iss.as_str(), &self.issuer),
            (Claim::Subject, sub.as_str(), &self.subject),
            (Claim::Audience, audience, &self.audience),
        ];
        let differ = pairs
            .into_iter()
            .filter_map(|(claim, token, recorded)| difference(claim, token, recorded.as_ref()?));
        differ.collect()
    }
}
