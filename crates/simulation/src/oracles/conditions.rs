//! The conditions of role assignments.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::Judged;
use super::trust::is_blinding;
use crate::history::{History, Moment, Owned, text};

/// How long after an edit what was asked before may be given: what was sent lands within 75 s.
const LANDED: Duration = Duration::from_secs(90);
/// The same where an operator does not hear of it.
const HEARD: Duration = Duration::from_mins(9);

/// A role is given under the condition that is asked for, and not without it.
pub(super) fn asked(history: &History) -> Judged {
    let mut judged = Judged::default();
    let blind = history.acts.iter().any(|timed| is_blinding(&timed.act));
    let bound = if blind { HEARD } else { LANDED };
    let mut principals: BTreeSet<(Uuid, usize)> = BTreeSet::new();
    for (before, now) in history.steps() {
        for (n, owned) in history.owners.iter().enumerate() {
            let identities = now
                .azure
                .identities
                .iter()
                .filter(|identity| identity.id.name == owned.identity);
            principals.extend(identities.map(|identity| (identity.principal_id, n)));
        }
        for role in &now.azure.role_assignments {
            let was = before.azure.role_assignments.iter().find(|was| was.name == role.name);
            if was.is_some_and(|was| was.condition == role.condition) {
                continue;
            }
            let mut of = principals
                .iter()
                .filter(|(principal, _)| *principal == role.principal_id);
            let Some(owned) = of.next().and_then(|(_, n)| history.owners.get(*n)) else {
                continue;
            };
            let mut moments = history.between(now.at.saturating_sub(bound), now.at);
            let asked = moments.any(|moment| asks(moment, owned, role.condition.as_deref()));
            judged.case(asked, || {
                format!(
                    "{:.1} s: {}/{} has its role under {:?}, which it did not ask for",
                    now.at.as_secs_f64(),
                    owned.namespace,
                    owned.name,
                    role.condition
                )
            });
        }
    }
    judged
}

fn asks(moment: &Moment, owned: &Owned, condition: Option<&str>) -> bool {
    let roles = History::binding(moment, owned).and_then(|binding| binding.pointer("/spec/roleAssignments"));
    let roles = roles.and_then(Value::as_array);
    roles.is_some_and(|roles| {
        roles
            .iter()
            .any(|role| text(role, "/condition") == condition.unwrap_or_default())
    })
}
