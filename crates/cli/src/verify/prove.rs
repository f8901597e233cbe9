//! Asks for the tokens, one service account after the other.

use anyhow::{Context, ensure};
use kube::ResourceExt;
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use wio_azure::{Asked, NoAccess, Prover, Token};
use wio_core::names::{Audience, ClientId, TenantId};

use super::data::{Identity, Proof, Roles, Verdict, Verification};
use super::judge::{Trust, Whose, given, presented, refused};
use super::mint::{Carried, audience_of_pods, carried, mint};
use super::roles;
use crate::session::Session;

const NOTE: &str =
    "One success is no proof for all: for some minutes after a change another region of Entra can still refuse";

/// What is to be verified.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// The binding.
    pub(crate) binding: &'a str,
    /// One service account; all that the binding names when there is none.
    pub(crate) service_account: Option<&'a str>,
    /// What the access tokens are for; Azure Resource Manager when there is none.
    pub(crate) scope: Option<&'a str>,
}

/// The identity, and who asks for its tokens.
struct Attempt<'a> {
    session: &'a Session,
    prover: &'a Prover,
    binding: &'a WorkloadIdentityBinding,
    status: &'a WorkloadIdentityBindingStatus,
    client: ClientId,
    tenant: TenantId,
    scope: &'a str,
}

/// Asks Entra for a token for each service account.
///
/// # Errors
/// When there is nothing yet that could be asked for.
pub(crate) async fn verify(session: &Session, prover: &Prover, wanted: &Wanted<'_>) -> anyhow::Result<Verification> {
    let binding = session.binding(wanted.binding).await?;
    let nothing = WorkloadIdentityBindingStatus::default();
    let status = binding.status.as_ref().unwrap_or(&nothing);
    let missing = || {
        format!(
            "its identity has no client id and tenant yet, so there is nothing to ask for: kubectl wib status {} -n {}",
            wanted.binding, session.namespace
        )
    };
    let recorded = status.identity.as_ref().with_context(missing)?;
    let client: Option<ClientId> = recorded.client_id.as_deref().and_then(|id| id.parse().ok());
    let tenant: Option<TenantId> = recorded.tenant_id.as_deref().and_then(|id| id.parse().ok());
    let attempt = Attempt {
        session,
        prover,
        binding: &binding,
        status,
        client: client.with_context(missing)?,
        tenant: tenant.with_context(missing)?,
        scope: wanted.scope.unwrap_or(prover.arm_scope()),
    };
    let named = binding.spec.service_accounts.iter().map(|one| one.name.as_str());
    let accounts: Vec<&str> = match wanted.service_account {
        Some(one) => vec![one],
        None => named.collect(),
    };
    ensure!(
        !accounts.is_empty(),
        "{}/{} names no service account",
        session.namespace,
        wanted.binding
    );
    let mut proofs = Vec::new();
    let mut token = None;
    for account in accounts {
        let (proof, access) = attempt.prove(account).await;
        proofs.push(proof);
        token = token.or(access);
    }
    Ok(Verification {
        namespace: session.namespace.clone(),
        name: wanted.binding.to_owned(),
        verdict: Verdict::together(proofs.iter().map(|proof| proof.verdict)),
        identity: Identity {
            name: recorded.name.clone(),
            client_id: attempt.client.to_string(),
            tenant_id: attempt.tenant.to_string(),
            principal_id: recorded.principal_id.clone(),
        },
        authority: prover.authority(),
        scope: attempt.scope.to_owned(),
        service_accounts: proofs,
        roles: attempt.roles(token.as_ref()).await,
        note: NOTE,
    })
}

// === impl Attempt ===

impl Attempt<'_> {
    /// What came of one service account, and the access token where there is one.
    async fn prove(&self, account: &str) -> (Proof, Option<Token>) {
        let mut proof = Proof {
            service_account: account.to_owned(),
            verdict: Verdict::NotTried,
            presented: None,
            given: None,
            refusal: None,
            not_tried: None,
            notes: Vec::new(),
            next_step: None,
        };
        match self.exchange(account, &mut proof).await {
            Ok(token) => {
                proof.verdict = Verdict::Proven;
                proof.given = token.claims().map(given);
                let whose = format!("{} -n {}", self.binding.name_any(), self.session.namespace);
                proof.next_step = (!proof.notes.is_empty()).then(|| format!("kubectl wib status {whose} says more"));
                (proof, Some(token))
            }
            Err(why) => {
                // Nothing was tried where there is no refusal.
                proof.not_tried = why;
                (proof, None)
            }
        }
    }

    /// The access token; else why it was not tried, or nothing where Entra refused, which the proof tells.
    async fn exchange(&self, account: &str, proof: &mut Proof) -> Result<Token, Option<String>> {
        let subject = format!("system:serviceaccount:{}:{account}", self.session.namespace);
        let trust = Trust::recorded(self.status, account, &subject);
        let whose = Whose {
            namespace: &self.session.namespace,
            binding: &self.binding.name_any(),
            account,
            bound: self.binding.spec.service_accounts.iter().any(|one| one.name == account),
        };
        let carried = carried(self.session, account).await.map_err(Some)?;
        proof.notes = self.notes(carried, &trust, whose);
        let asked = self.binding.spec.audience.as_deref();
        let expected = trust.audience.as_deref().or(asked).unwrap_or(Audience::DEFAULT);
        // What its pods present is what Entra judges.
        let pods = audience_of_pods(self.session, account, expected).await;
        let audience = pods.as_deref().unwrap_or(expected);
        let assertion = mint(self.session, account, audience).await.map_err(Some)?;
        let claims = assertion.claims();
        let claims = claims.ok_or_else(|| Some("what the API server gives is no JSON Web Token".to_owned()))?;
        let shown = presented(&claims);
        proof.presented = Some(shown.clone());
        let asked = Asked {
            tenant: self.tenant,
            client: self.client,
            scope: self.scope,
            assertion: &assertion,
        };
        match self.prover.exchange(&asked).await {
            Ok(token) => Ok(token),
            Err(NoAccess::NotTried(why)) => Err(Some(format!("Entra gave no answer: {why}"))),
            Err(NoAccess::Refused(refusal)) => {
                let (refusal, next_step) = refused(refusal, &shown, &trust, whose);
                proof.verdict = Verdict::Refused;
                proof.refusal = Some(refusal);
                proof.next_step = Some(next_step);
                Err(None)
            }
        }
    }

    /// What a person is to know beside the answer: its pods may ask for something else than was asked for here.
    fn notes(&self, carried: Option<Carried>, trust: &Trust, whose: Whose<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        if !whose.bound {
            notes.push("the binding does not name it".to_owned());
        } else if !trust.its_own {
            notes.push("the binding's status has no credential for it yet".to_owned());
        }
        let Some(carried) = carried else {
            notes.push("its annotations were not looked at: you may not read it".to_owned());
            return notes;
        };
        let other = |carried: Option<&String>, ours: &str| carried.is_none_or(|one| !one.eq_ignore_ascii_case(ours));
        if other(carried.client_id.as_ref(), &self.client.to_string()) {
            notes.push(match carried.client_id {
                Some(other) => format!("its pods ask for another identity: it carries the client id {other}"),
                None => "its pods ask for no identity: it carries no client id".to_owned(),
            });
        } else if let Some(tenant) = carried
            .tenant_id
            .filter(|one| other(Some(one), &self.tenant.to_string()))
        {
            notes.push(format!(
                "its pods ask in another tenant: it carries the tenant id {tenant}"
            ));
        }
        notes
    }

    async fn roles(&self, token: Option<&Token>) -> Roles {
        let azure = token
            .filter(|_| self.scope == self.prover.arm_scope())
            .map(|token| self.prover.azure(token));
        let why = if token.is_some() {
            "the access token is for something else than Azure Resource Manager"
        } else {
            "there is no access token to look with"
        };
        match azure {
            Some(azure) => roles::look(&azure, self.binding, self.status).await,
            None => roles::recorded(self.status, why),
        }
    }
}
