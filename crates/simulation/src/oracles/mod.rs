//! The rules of the domain, as far as a history shows them: one pure function each.

mod azure;
mod barred;
mod conditions;
mod exports;
mod order;
mod people;
mod proofs;
mod restarts;
mod trust;
mod wire;

use crate::history::History;

/// A rule that histories are held to.
#[derive(Debug)]
pub struct Oracle {
    /// The rule's number.
    pub rule: &'static str,
    /// What it says.
    pub text: &'static str,
    /// Judges a history.
    pub judge: fn(&History) -> Judged,
}

/// What an oracle says of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// How many times there was something to judge.
    pub cases: usize,
    /// The first breach.
    pub broken: Option<String>,
}

/// All of them, in the order of the rules. Rules 19 and 20 speak of costs, which a history of a small world does not show; rule 7 is judged
/// at the end of each play, when nothing is left to do.
pub const ALL: &[Oracle] = &[
    Oracle {
        rule: "1",
        text: "what is somebody else's is never touched",
        judge: azure::foreign,
    },
    Oracle {
        rule: "1",
        text: "what somebody has on a service account stays",
        judge: people::accounts,
    },
    Oracle {
        rule: "2",
        text: "what is written is named for this cluster's bindings",
        judge: wire::names,
    },
    Oracle {
        rule: "3, 16",
        text: "what stands of a binding stands under its finalizer",
        judge: azure::finalizer,
    },
    Oracle {
        rule: "4",
        text: "trust ends before the identity does",
        judge: azure::identity_last,
    },
    Oracle {
        rule: "4",
        text: "trust ends before a role assignment does",
        judge: order::roles,
    },
    Oracle {
        rule: "4",
        text: "trust ends before the client id on its service account does",
        judge: order::marks,
    },
    Oracle {
        rule: "5",
        text: "an identity is read before it is deleted",
        judge: wire::read_before_delete,
    },
    Oracle {
        rule: "6",
        text: "one writer of an identity's credentials",
        judge: wire::one_writer,
    },
    Oracle {
        rule: "8",
        text: "a client id follows its credential",
        judge: trust::client_id,
    },
    Oracle {
        rule: "9",
        text: "only the API server's issuers are trusted",
        judge: trust::issuer,
    },
    Oracle {
        rule: "10",
        text: "no write carries a spec",
        judge: wire::spec,
    },
    Oracle {
        rule: "10",
        text: "the spec is the user's",
        judge: people::spec,
    },
    Oracle {
        rule: "11",
        text: "policies that vanish together end nothing",
        judge: trust::mass,
    },
    Oracle {
        rule: "12",
        text: "no token in an object",
        judge: wire::secrets,
    },
    Oracle {
        rule: "13",
        text: "a look before the first PUT of an identity",
        judge: wire::look_first,
    },
    Oracle {
        rule: "14",
        text: "trust ends for a reason of its own",
        judge: trust::reason,
    },
    Oracle {
        rule: "15",
        text: "a former issuer's credential goes after the new one came",
        judge: trust::new_first,
    },
    Oracle {
        rule: "17",
        text: "nothing is given that is not asked for and permitted",
        judge: trust::permitted,
    },
    Oracle {
        rule: "17",
        text: "what is not permitted any more is taken away within minutes, whatever goes wrong elsewhere",
        judge: trust::revoked,
    },
    Oracle {
        rule: "18",
        text: "the binding, or one that shares the trust, was seen live shortly before a grant",
        judge: wire::seen_live,
    },
    Oracle {
        rule: "1",
        text: "a ConfigMap that is not the binding's own is never touched",
        judge: exports::foreign,
    },
    Oracle {
        rule: "export",
        text: "a ConfigMap is told of in its binding's status before it is written",
        judge: exports::announced,
    },
    Oracle {
        rule: "export",
        text: "what is written there are the ids of the binding's identity",
        judge: exports::ids,
    },
    Oracle {
        rule: "export",
        text: "a binding that is ready has the ids of its status exported",
        judge: exports::as_told,
    },
    Oracle {
        rule: "17",
        text: "a role is given under the condition that is asked for",
        judge: conditions::asked,
    },
    Oracle {
        rule: "proof",
        text: "Ready is proven where that is asked for: Entra gave a token for what stands now",
        judge: proofs::ready,
    },
    Oracle {
        rule: "restart",
        text: "nothing is restarted twice for one client id",
        judge: restarts::once,
    },
    Oracle {
        rule: "restart",
        text: "a restart is a mark and nothing else",
        judge: restarts::mark,
    },
    Oracle {
        rule: "restart",
        text: "only where a binding that has been ready for a while asks for it, and after its service account has the client id",
        judge: restarts::asked,
    },
    Oracle {
        rule: "cluster",
        text: "nobody is trusted to be an identity by which the cluster acts",
        judge: barred::cluster,
    },
    Oracle {
        rule: "cluster",
        text: "no service account carries its client id",
        judge: barred::marks,
    },
];

// === impl Judged ===

impl Judged {
    fn case(&mut self, holds: bool, breach: impl FnOnce() -> String) {
        self.cases += 1;
        if !holds && self.broken.is_none() {
            self.broken = Some(breach());
        }
    }
}
