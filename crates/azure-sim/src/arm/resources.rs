//! The resources of a subscription, of whatever type.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::model::Identity;
use crate::state::State;
use crate::target::lies_within;

const TYPE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// Lists them. A filter by tag goes with no other, as in Azure.
pub(super) fn list(call: &Call<'_>, state: &State, subscription: &str) -> Outcome<Answer> {
    let terms = terms(call.incoming.query("$filter").unwrap_or_default())?;
    let scope = format!("/subscriptions/{subscription}");
    let listed = call.listed(state).identities.iter();
    let matching = listed.filter(|(key, identity)| lies_within(key, &scope) && holds(&terms, identity));
    call.page(matching.map(|(key, identity)| (key.clone(), rendered(identity))))
}

/// The terms of a filter as `tagName eq 'a' and tagValue eq 'b'`, by their names in lower case.
fn terms(filter: &str) -> Outcome<BTreeMap<String, String>> {
    let invalid = || {
        Answer::bad_request(
            "InvalidFilterInQueryString",
            format!("Invalid $filter '{filter}' specified in the query string."),
        )
    };
    let mut terms = BTreeMap::new();
    for term in filter.split(" and ").map(str::trim).filter(|term| !term.is_empty()) {
        let (name, value) = term.split_once(" eq ").ok_or_else(invalid)?;
        let value = value
            .trim()
            .strip_prefix('\'')
            .and_then(|value| value.strip_suffix('\''));
        terms.insert(
            name.trim().to_lowercase(),
            value.ok_or_else(invalid)?.replace("''", "'"),
        );
    }
    let known = [
        "tagname",
        "tagvalue",
        "resourcetype",
        "resourcegroup",
        "name",
        "location",
    ];
    let by_tag = terms.keys().filter(|name| name.starts_with("tag")).count();
    if terms.keys().any(|name| !known.contains(&name.as_str())) || (by_tag > 0 && by_tag < terms.len()) {
        return Err(invalid());
    }
    Ok(terms)
}

fn holds(terms: &BTreeMap<String, String>, identity: &Identity) -> bool {
    let tag = |name: &str| {
        let found = identity.tags.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    };
    terms.iter().all(|(name, wanted)| match name.as_str() {
        "tagname" => tag(wanted).is_some(),
        "tagvalue" => terms.get("tagname").and_then(|name| tag(name)) == Some(wanted),
        "resourcetype" => wanted.eq_ignore_ascii_case(TYPE),
        "resourcegroup" => wanted.eq_ignore_ascii_case(&identity.id.resource_group),
        "name" => wanted.eq_ignore_ascii_case(&identity.id.name),
        "location" => *wanted == identity.location,
        _ => false,
    })
}

fn rendered(identity: &Identity) -> Value {
    json!({
        "id": identity.id.to_string().replacen("/resourcegroups/", "/resourceGroups/", 1),
        "name": identity.id.name,
        "type": TYPE,
        "location": identity.location,
        "tags": identity.tags,
    })
}
