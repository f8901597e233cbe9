//! What is people's: the specs of bindings, and what they wrote on service accounts.

use std::sync::Arc;

use serde_json::Value;

use super::Judged;
use crate::history::{CLIENT_ID, History, Moment, text};
use crate::plan::Act;
use crate::world::{MADE_BY, SOMEBODY};

/// Each object with what it was in the moment before; none when it is gone.
fn kept<'a>(
    before: &'a [Arc<Value>],
    now: &'a [Arc<Value>],
) -> impl Iterator<Item = (&'a Arc<Value>, Option<&'a Arc<Value>>)> {
    let uid = |object: &'a Arc<Value>| text(object, "/metadata/uid");
    before
        .iter()
        .map(move |was| (was, now.iter().find(|is| uid(is) == uid(was))))
}

fn name(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name")
    )
}

/// Nothing but status and finalizer of a binding changes without its people.
pub(super) fn spec(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (before, now) in history.steps() {
        let edited = history.did(now.at, |act| {
            matches!(
                act,
                Act::AddAccount(_)
                    | Act::DropAccount(_)
                    | Act::Suspend(_)
                    | Act::Resume(_)
                    | Act::Ask(..)
                    | Act::Unask(..)
                    | Act::ExportInto(..)
            )
        });
        for (was, is) in kept(&before.bindings, &now.bindings) {
            let Some(is) = is.filter(|is| !Arc::ptr_eq(is, was)) else {
                continue;
            };
            let same = |pointer: &str| was.pointer(pointer) == is.pointer(pointer);
            let theirs = same("/metadata/labels") && same("/metadata/annotations") && (edited || same("/spec"));
            judged.case(theirs, || {
                format!("{:.1} s: {} was edited by nobody", now.at.as_secs_f64(), name(is))
            });
        }
    }
    judged
}

/// What somebody else made or wrote on a service account stays.
pub(super) fn accounts(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (before, now) in history.steps() {
        for (was, is) in kept(&before.accounts, &now.accounts) {
            judged.case(account_stays(history, now, was, is.map(|is| &**is)), || {
                format!(
                    "{:.1} s: what somebody has on {} was touched",
                    now.at.as_secs_f64(),
                    name(was)
                )
            });
        }
    }
    judged
}

fn account_stays(history: &History, now: &Moment, was: &Value, is: Option<&Value>) -> bool {
    let label = format!("/metadata/labels/{MADE_BY}");
    let made_by_somebody = text(was, &label) == SOMEBODY;
    let Some(is) = is else {
        return !made_by_somebody || history.did(now.at, |act| matches!(act, Act::LoseAccount(_)));
    };
    let kept = !made_by_somebody || text(is, &label) == SOMEBODY;
    let claimed = text(was, CLIENT_ID) == SOMEBODY && text(is, CLIENT_ID) != SOMEBODY;
    kept && (!claimed || history.did(now.at, |act| matches!(act, Act::Unclaim(_))))
}
