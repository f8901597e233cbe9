//! Exchanges tokens of a binding's service accounts with Entra, to prove that it is ready. When, and what comes of it, the core says.
//!
//! **A token is held for as long as its exchange takes.** It is of a type that shows nothing, and its text is read from the answer by nobody else: kube's own
//! client would log an answer that it cannot read.

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use wio_azure::{Asked, NoAccess, Prover, Token};
use wio_core::fault::{Fault, KubernetesCause};
use wio_core::names::Namespace;
use wio_core::outcome::Outcome;
use wio_core::recorded::Recorded;
use wio_core::verification::{Answer, Exchange, Presented, Proof, Refused, SETTLING};

use super::context::Context;
use super::knowledge::Memory;
use super::status;
use super::turn::Turn;
use crate::runtime::request::{is_not_found, malformed, request};

/// The shortest life that the API server gives a token.
const LIFETIME_SECONDS: u32 = 600;

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempted {
    /// What can be done now is done.
    Done,
    /// The pace of all exchanges admits no other one now; the queue wakes the binding.
    Waits,
}

/// Has the outcome of a pass tell of the binding's proof, and exchanges what is due where nothing else is to be done.
pub(super) async fn prove(
    ctx: &Context,
    turn: &Turn<'_>,
    target: status::Target<'_>,
    outcome: Outcome,
    memory: &mut Memory,
) -> (Outcome, Attempted) {
    if !outcome.is_to_be_proven() {
        return (outcome, Attempted::Done);
    }
    let recorded = Recorded::from(target.object.status.as_ref());
    let mut outcome = outcome.recalling(&recorded.exchanges, (ctx.clients.api.clock)());
    let uid = outcome.desired().map(|desired| desired.owner().uid.clone());
    let Some((proof, uid)) = outcome.provable().zip(uid) else {
        return (outcome, Attempted::Done);
    };
    proof.hear(&ctx.books.slots.heard(&uid));
    let due = proof.due();
    let generation = target.lifecycle.generation;
    let settles = memory.looks.touched_by_us().map(|wrote| wrote + SETTLING);
    let settles = settles.max(Some(Instant::now() + proof.settles_within()));
    let attempts = memory.attempts.get_or_insert_default();
    attempts.settle(settles, generation);
    if due.is_empty() || attempts.waits() {
        attempts.plan_next(proof);
        return (outcome, Attempted::Done);
    }
    if turn.for_exchanges(due.len()).is_err() {
        attempts.plan_next(proof);
        return (outcome, Attempted::Waits);
    }
    attempts.begin(generation);
    let Some(namespace) = target
        .object
        .metadata
        .namespace
        .as_deref()
        .and_then(|name| name.parse().ok())
    else {
        return (outcome, Attempted::Done);
    };
    turn.errand().run(exchange_all(ctx, &namespace, &due, proof)).await;
    // What was heard meanwhile may be later than what was asked.
    proof.hear(&ctx.books.slots.heard(&uid));
    attempts.tried(proof);
    attempts.plan_next(proof);
    (outcome, Attempted::Done)
}

async fn exchange_all(ctx: &Context, namespace: &Namespace, due: &[Exchange], proof: &mut Proof) {
    for exchange in due {
        // The lease may have been lost on the way: then another operator does it.
        if !ctx.books.leadership.may_write() {
            return;
        }
        let answer = exchange_one(ctx, namespace, exchange).await;
        ctx.books.metrics.token_exchanged(&answer);
        if answer != Answer::Passed {
            tracing::warn!(account = %exchange.account, ?answer, "a token was not exchanged");
        }
        proof.take_in(exchange, &answer);
    }
}

async fn exchange_one(ctx: &Context, namespace: &Namespace, exchange: &Exchange) -> Answer {
    let prover = match Prover::over(&ctx.clients.azure) {
        Ok(prover) => prover,
        Err(why) => return Answer::NotTried(format!("the address of Microsoft Entra: {why}")),
    };
    match mint(ctx, namespace, exchange).await {
        Ok(token) => present(&prover, exchange, &token).await,
        Err(fault) if is_not_found(&fault) => Answer::AccountGone,
        Err(fault) => refused_by_api_server(&fault),
    }
}

async fn present(prover: &Prover, exchange: &Exchange, token: &Token) -> Answer {
    let asked = Asked {
        tenant: exchange.tenant,
        client: exchange.client,
        scope: prover.arm_scope(),
        assertion: token,
    };
    match prover.exchange(&asked).await {
        Ok(_thrown_away) => Answer::Passed,
        Err(NoAccess::NotTried(why)) => Answer::NotTried(why),
        Err(NoAccess::Refused(refusal)) => {
            let claims = token.claims();
            Answer::Refused(Refused {
                code: refusal.code,
                words: refusal.message,
                presented: claims.map_or_else(Presented::default, |claims| Presented {
                    issuer: claims.issuer,
                    subject: claims.subject,
                    audiences: claims.audiences,
                }),
            })
        }
    }
}

/// The token of an answer, and nothing else of it.
#[derive(Deserialize)]
struct Minted {
    status: MintedStatus,
}

#[derive(Deserialize)]
struct MintedStatus {
    token: String,
}

/// A token of a service account for the audience that its credential trusts.
async fn mint(ctx: &Context, namespace: &Namespace, exchange: &Exchange) -> Result<Token, Fault> {
    let account = &exchange.account;
    let operation = || format!("mint a token of the service account {account}");
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let asked = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(&token_request(exchange)).unwrap_or_default())
        .map_err(|error| malformed(operation(), &error.to_string()))?;
    let answer = request(operation, ctx.clients.api.client.request_text(asked)).await?;
    // The error of the parser would quote what it read.
    let minted: Minted =
        serde_json::from_str(&answer).map_err(|_| malformed(operation(), "the API server's answer holds no token"))?;
    Ok(Token::from(minted.status.token))
}

fn token_request(exchange: &Exchange) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "audiences": [exchange.audience.as_str()], "expirationSeconds": LIFETIME_SECONDS },
    })
}

fn refused_by_api_server(fault: &Fault) -> Answer {
    match fault {
        Fault::Kubernetes(told) => match &told.cause {
            KubernetesCause::Answer {
                status: 401 | 403,
                message,
                ..
            } => Answer::Forbidden(message.clone()),
            _ => Answer::NotTried(fault.to_string()),
        },
        Fault::Azure(_) | Fault::Blocked(_) => Answer::NotTried(fault.to_string()),
    }
}
