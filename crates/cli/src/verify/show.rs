//! What was found, as a person reads it.

use super::data::{Difference, Given, Presented, Proof, Refused, Roles, Verdict, Verification};
use crate::output::tree::{Mark, Node};

/// What was found, as a tree.
pub(crate) fn tree(found: &Verification) -> Node {
    let Verification {
        namespace,
        name,
        identity,
        ..
    } = found;
    let verdict = match found.verdict {
        Verdict::Proven => "Entra gives tokens of its identity",
        Verdict::Refused => "Entra refuses",
        Verdict::NotTried => "it could not be tried",
    };
    let title = format!("WorkloadIdentityBinding {namespace}/{name}: {verdict}");
    let known = Node::plain(format!("Identity {}", identity.name)).with([
        Node::plain(format!("client id {}", identity.client_id)),
        Node::plain(format!("tenant id {}", identity.tenant_id)),
    ]);
    let asked = Node::plain(format!("asked at {} for {}", found.authority, found.scope));
    let proofs = found.service_accounts.iter().map(proof);
    let note = (found.verdict == Verdict::Proven).then(|| Node::plain(found.note));
    let nodes = [known, asked].into_iter().chain(proofs);
    Node::new(mark(found.verdict), title).with(nodes.chain([roles(&found.roles)]).chain(note))
}

const fn mark(verdict: Verdict) -> Mark {
    match verdict {
        Verdict::Proven => Mark::Good,
        Verdict::Refused => Mark::Bad,
        Verdict::NotTried => Mark::Waiting,
    }
}

fn proof(proof: &Proof) -> Node {
    let said = match (&proof.refusal, &proof.not_tried) {
        (Some(refusal), _) => heading(refusal),
        (None, Some(why)) => format!("could not be tried: {why}"),
        (None, None) => "a token was given".to_owned(),
    };
    let title = format!("Service account {}: {said}", proof.service_account);
    let notes = proof
        .notes
        .iter()
        .map(|note| Node::new(Mark::Waiting, format!("note: {note}")));
    let next = proof
        .next_step
        .iter()
        .map(|step| Node::plain(format!("Next step: {step}")));
    Node::new(mark(proof.verdict), title)
        .with(proof.presented.iter().map(presented))
        .with(proof.given.iter().map(given))
        .with(proof.refusal.iter().flat_map(refused))
        .with(notes)
        .with(next)
}

fn heading(refusal: &Refused) -> String {
    let code = refusal.code.as_deref().unwrap_or("a refusal without a code");
    match &refusal.meaning {
        Some(meaning) => format!("{code}: {meaning}"),
        None => code.to_owned(),
    }
}

fn presented(token: &Presented) -> Node {
    let claims = [
        ("iss", Some(token.iss.as_str())),
        ("sub", Some(token.sub.as_str())),
        ("aud", Some(token.aud.join(", ").as_str()).filter(|aud| !aud.is_empty())),
        ("exp", token.exp.as_deref()),
    ]
    .map(claim);
    Node::plain("its token").with(claims.into_iter().flatten())
}

fn given(token: &Given) -> Node {
    let audience = token.aud.join(", ");
    let claims = [
        ("oid", token.oid.as_deref()),
        ("appid", token.appid.as_deref()),
        ("tid", token.tid.as_deref()),
        ("aud", Some(audience.as_str()).filter(|aud| !aud.is_empty())),
        ("exp", token.exp.as_deref()),
    ]
    .map(claim);
    let claims: Vec<Node> = claims.into_iter().flatten().collect();
    let opaque = claims.is_empty().then(|| Node::plain("it says nothing of itself"));
    Node::plain("the access token, which was thrown away").with(claims.into_iter().chain(opaque))
}

fn claim((name, value): (&str, Option<&str>)) -> Option<Node> {
    Some(Node::plain(format!("{name:<5} {}", value?)))
}

fn refused(refusal: &Refused) -> Vec<Node> {
    let mut nodes = vec![Node::plain(format!("Entra says: {}", refusal.message))];
    if let Some(trace) = &refusal.trace_id {
        nodes.push(Node::plain(format!("trace id {trace}")));
    }
    nodes.extend(refusal.differences.iter().map(difference));
    if let Some(passes) = &refusal.passes_by_itself {
        nodes.push(Node::plain(format!("passes by itself: {passes}")));
    }
    nodes
}

/// The two values one under the other, and a caret under the first character that differs.
fn difference(difference: &Difference) -> Node {
    let caret = " ".repeat(difference.same_characters);
    Node::new(Mark::Bad, format!("the {} differs", difference.claim)).with([
        Node::plain(format!("token      {}", difference.token)),
        Node::plain(format!("credential {}", difference.credential)),
        Node::plain(format!("           {caret}^ {}", difference.in_words())),
    ])
}

fn roles(roles: &Roles) -> Node {
    let recorded = roles
        .recorded
        .iter()
        .map(|one| Node::plain(format!("{} at {}", one.role, one.scope)));
    let recorded: Vec<Node> = recorded.collect();
    let none = |nodes: &[Node]| nodes.is_empty().then(|| Node::plain("none"));
    let nobody = none(&recorded);
    let of_binding = Node::plain("given by the binding").with(recorded.into_iter().chain(nobody));
    let now = roles.now.as_ref().map(|now| {
        let lines: Vec<Node> = now
            .iter()
            .map(|one| {
                let by = if one.recorded { "" } else { ", not by the binding" };
                Node::plain(format!("{} at {}{by}", one.role, one.scope))
            })
            .collect();
        let nobody = none(&lines);
        Node::plain("in Azure now; those of groups that it is in are not seen").with(lines.into_iter().chain(nobody))
    });
    let unseen = roles
        .not_looked_at
        .iter()
        .map(|what| Node::plain(format!("not looked at in Azure: {what}")));
    Node::plain("Roles of the identity").with([of_binding].into_iter().chain(now).chain(unseen))
}
