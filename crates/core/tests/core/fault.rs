//! What a fault says for certain about what was asked, and the words for it.

use std::time::Duration;

use wio_api::Reason;
use wio_core::fault::{
    AzureAnswer, AzureCause, AzureFault, Blocked, BudgetShort, Fault, HeldField, KubernetesCause, KubernetesFault,
};

use crate::given::{VAULT, name};

fn azure(cause: AzureCause) -> Fault {
    Fault::Azure(AzureFault {
        operation: "write it".to_owned(),
        cause,
    })
}

fn kubernetes(cause: KubernetesCause) -> Fault {
    Fault::Kubernetes(KubernetesFault {
        operation: "write it".to_owned(),
        cause,
    })
}

fn blocked() -> Fault {
    Fault::Blocked(Blocked {
        reason: Reason::NotDecided,
        message: "wait".to_owned(),
    })
}

fn answer(status: u16) -> AzureCause {
    AzureCause::Answer(AzureAnswer {
        status,
        ..AzureAnswer::default()
    })
}

fn answer_of_server(status: u16) -> KubernetesCause {
    KubernetesCause::Answer {
        status,
        reason: "Reason".to_owned(),
        message: "why".to_owned(),
    }
}

fn short(ready_in: Duration) -> AzureCause {
    AzureCause::Budget(BudgetShort {
        budget: "writes".to_owned(),
        ready_in,
    })
}

/// Whoever takes a write that may have been carried out for one that was not loses sight of what it made.
#[test]
fn an_answer_says_that_a_write_was_not_carried_out_only_when_it_refuses_it() {
    for (status, refused) in [
        (200, false),
        (307, false),
        (399, false),
        (400, true),
        (403, true),
        (407, true),
        // Somebody on the way did not wait for the end.
        (408, false),
        (409, true),
        (429, true),
        (498, true),
        (499, false),
        (500, false),
        (503, false),
    ] {
        assert_eq!(azure(answer(status)).is_refusal(), refused, "Azure {status}");
        let of_server = kubernetes(answer_of_server(status));
        assert_eq!(of_server.is_refusal(), refused, "the API server {status}");
    }
}

#[test]
fn without_an_answer_a_write_was_certainly_not_carried_out_only_when_it_never_left() {
    let text = || "why".to_owned();
    for (fault, refused) in [
        (azure(AzureCause::Timeout), false),
        (azure(AzureCause::Transport(text())), false),
        (azure(AzureCause::Malformed(text())), false),
        (azure(AzureCause::Credential(text())), true),
        (azure(AzureCause::Refused(text())), true),
        (azure(AzureCause::NotAdmitted), true),
        (azure(short(Duration::ZERO)), true),
        (azure(AzureCause::RoleScopeNotFound(name(VAULT))), true),
        (kubernetes(KubernetesCause::Transport(text())), false),
        (kubernetes(KubernetesCause::Malformed(text())), false),
        (kubernetes(KubernetesCause::NamespaceTerminating), true),
        (kubernetes(KubernetesCause::FieldsHeld(Vec::new())), true),
        (blocked(), true),
    ] {
        assert_eq!(fault.is_refusal(), refused, "{fault}");
    }
}

#[test]
fn a_budget_is_spent_when_azure_says_so_or_the_request_waits_for_its_turn() {
    for (cause, throttled, unsent) in [
        (answer(429), true, false),
        (short(Duration::ZERO), true, true),
        (answer(503), false, false),
        (AzureCause::Timeout, false, false),
        (AzureCause::NotAdmitted, false, false),
    ] {
        assert_eq!(cause.is_throttled(), throttled, "{cause:?}");
        assert_eq!(azure(cause.clone()).was_not_sent(), unsent, "{cause:?}");
    }
    assert!(!kubernetes(answer_of_server(429)).was_not_sent());
    assert!(!blocked().was_not_sent());
}

/// They stand in a condition, which must not change while nothing changes.
#[test]
fn the_words_for_a_turn_that_comes_do_not_change_within_a_minute() {
    for (seconds, words) in [
        (0, "less than a minute"),
        (59, "less than a minute"),
        (60, "about 1 minute"),
        (61, "about 2 minutes"),
        (120, "about 2 minutes"),
    ] {
        assert_eq!(
            azure(short(Duration::from_secs(seconds))).to_string(),
            format!("could not write it: Azure's budget of writes is spent for now; its turn comes in {words}"),
        );
    }
}

#[test]
fn an_answer_is_told_with_its_code_and_message_as_far_as_it_has_them() {
    let told = |status, code: &str, message: &str| {
        let cause = AzureCause::Answer(AzureAnswer {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            ..AzureAnswer::default()
        });
        azure(cause).to_string()
    };
    assert_eq!(
        told(403, "Code", "Not you.\n Not here."),
        "could not write it: Azure answered 403 Code: Not you. Not here."
    );
    assert_eq!(told(500, "", ""), "could not write it: Azure answered 500");
    assert_eq!(
        told(429, "Code", "Wait 17 seconds."),
        "could not write it: Azure answered 429 Code: it asks to slow down"
    );
}

#[test]
fn what_is_no_answer_is_told_with_what_is_known_of_it() {
    let held = |manager: &str, empty| HeldField {
        manager: manager.to_owned(),
        field: format!(".of-{manager}"),
        empty,
    };
    for (fault, words) in [
        (
            azure(AzureCause::Transport("reset".to_owned())),
            "could not write it: Azure could not be reached: reset",
        ),
        (
            azure(AzureCause::Credential(
                "AADSTS70021: No match. Trace ID: 1 Correlation ID: 2".to_owned(),
            )),
            "could not write it: no token for Azure could be had: AADSTS70021: No match.",
        ),
        (
            kubernetes(answer_of_server(403)),
            "could not write it: the API server answered 403 Reason: why",
        ),
        (
            kubernetes(KubernetesCause::FieldsHeld(vec![held("a", false), held("b", true)])),
            "could not write it: field manager \"a\" holds .of-a with another value, field manager \"b\" holds .of-b with an empty \
             value; remove it there, or set conflictPolicy: Force to take it over",
        ),
        (blocked(), "wait"),
    ] {
        assert_eq!(fault.to_string(), words);
    }
}
