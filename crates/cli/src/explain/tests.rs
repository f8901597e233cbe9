//! Explanations as a person reads them.

use wio_api::{ConditionType, Reason};
use wio_core::entra::EXPLANATIONS;
use wio_core::reasons::AZURE_CODES;

use super::{explain, write};

fn read(asked: &str) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    write(&explain(asked).unwrap(), &mut out).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

#[test]
fn a_code_of_entras_says_what_to_do() {
    assert_eq!(
        read("AADSTS700211"),
        "AADSTS700211 (Entra): the issuer differs
├─ passes by itself: perhaps, within minutes
└─ next step: compare. A missing slash at the end is a difference; an issuer of AKS ends with one. Is the pod in another cluster?
"
    );
    let message =
        "ClientAuthenticationError: AADSTS70021: No matching federated identity record found. Trace ID: AADSTS1";
    assert!(read(message).starts_with("AADSTS70021 (Entra): no federated credential matches"));
    assert!(read("70025").contains("means the same: AADSTS70021"), "digits alone");
}

#[test]
fn a_reason_says_who_acts_and_what_the_runbook_says() {
    let told = read("scopelocked");
    for line in [
        "ScopeLocked: A management lock forbids the request.",
        "├─ who acts: somebody: the operator only looks again, in pauses that grow from ten seconds to ten minutes",
        "├─ Azure's codes: ScopeLocked",
        "└─ next step: Have the lock removed; the operator tries again by itself",
        "Runbook, 16 Every other reason",
        "  remove the lock, or keep it and the binding as it is: a deletion waits for it. While the next try waits for Azure's budgets it goes on to \
         say so; the annotation `workloadidentity.dev/reconcile-at` has it tell of the wait",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is not in\n{told}");
    }
}

#[test]
fn a_code_of_azures_leads_to_its_reason() {
    let told = read("RequestDisallowedByPolicy");
    assert!(told.starts_with("RequestDisallowedByPolicy (Azure): An Azure Policy forbids the request."));
    assert!(told.contains("├─ reason: DisallowedByPolicy\n"), "{told}");
}

#[test]
fn everything_that_is_known_is_explained_by_its_name() {
    let entra = EXPLANATIONS.iter().flat_map(|one| one.codes);
    let entra = entra.map(|code| format!("AADSTS{code}"));
    let reasons = Reason::ALL.iter().map(ToString::to_string);
    let conditions = ConditionType::ALL.iter().map(ToString::to_string);
    let azure = AZURE_CODES.iter().map(|(code, _)| (*code).to_owned());
    for name in entra.chain(reasons).chain(conditions).chain(azure) {
        assert_eq!(explain(&name).unwrap().name, name);
    }
}

#[test]
fn what_is_not_known_is_told_with_what_is_near() {
    let told = |asked| explain(asked).unwrap_err().to_string();
    assert_eq!(
        told("NotPermited"),
        "NotPermited is no code or reason that is known here; near it: NotPermitted"
    );
    let code = told("AADSTS70022");
    assert!(code.contains("near it: AADSTS70021, "), "{code}");
    assert!(
        code.ends_with("https://login.microsoftonline.com/error?code=70022"),
        "{code}"
    );
    assert_eq!(told("what?"), "what? is no code or reason that is known here");
}
