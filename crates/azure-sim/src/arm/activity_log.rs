//! The activity log of a subscription: <https://learn.microsoft.com/rest/api/monitor/activity-logs/list>.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::access::caller::Caller;
use crate::activity::{Act, Event};
use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::clock::shown;
use crate::cloud::Cloud;
use crate::incoming::Incoming;
use crate::state::State;
use crate::target::{Target, segments};

/// Between the year 1 and 1970, in tenths of a microsecond.
const TICKS_BEFORE_UNIX_EPOCH: i128 = 621_355_968_000_000_000;

/// Which entries a list holds. No other patterns are allowed than these.
struct Filter {
    from: Timestamp,
    to: Timestamp,
    only: Option<(Only, String)>,
}

/// What one more term of a filter can be about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Only {
    Group,
    Resource,
    Provider,
    Correlation,
}

/// Writes down what a write came to.
pub(super) fn write(cloud: &Cloud, (incoming, target): (&Incoming, &Target), caller: &Caller, answer: &Answer) {
    let (Some(subscription), Some(action)) = (target.subscription(), target.action(&incoming.method)) else {
        return;
    };
    if !incoming.writes() {
        return;
    }
    let sent = incoming.header("x-ms-correlation-request-id");
    let act = Act {
        subscription: subscription.to_owned(),
        resource: format!("/{}", segments(&incoming.path).join("/")),
        action,
        method: incoming.method.to_string(),
        principal: caller.principal.clone(),
        client: caller.client.clone(),
        correlation_id: sent.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned),
    };
    let config = cloud.settings();
    cloud.with_state(|state, now| {
        let when = (now, config.activity_log_lateness, config.seed);
        state.activity.write(&act, answer.status.as_u16(), when);
    });
}

pub(super) fn list(call: &Call<'_>, state: &State, subscription: &str) -> Outcome<Answer> {
    let filter = Filter::read(call.incoming.query("$filter"))?;
    let fields: Option<Vec<&str>> = call
        .incoming
        .query("$select")
        .map(|fields| fields.split(',').map(str::trim).collect());
    let seen = state.activity.seen(subscription, call.now);
    let matching = seen.filter(|event| filter.holds(event));
    call.page(matching.map(|event| (key(event), selected(rendered(call, event), fields.as_deref()))))
}

/// The newest comes first.
fn key(event: &Event) -> String {
    format!("{:020}", u64::MAX - event.number)
}

fn selected(entry: Map<String, Value>, fields: Option<&[&str]>) -> Value {
    let Some(fields) = fields else {
        return Value::Object(entry);
    };
    let is_asked = |name: &String| fields.iter().any(|field| field.eq_ignore_ascii_case(name));
    Value::Object(entry.into_iter().filter(|(name, _)| is_asked(name)).collect())
}

fn rendered(call: &Call<'_>, event: &Event) -> Map<String, Value> {
    let Event {
        number,
        at,
        submitted,
        about,
        came_to,
    } = event;
    let id = Uuid::new_v5(&call.config.seed.unwrap_or_default(), &number.to_be_bytes());
    let ticks = at.as_nanosecond() / 100 + TICKS_BEFORE_UNIX_EPOCH;
    let (event_name, status) = match came_to {
        None => ("BeginRequest", "Started"),
        Some(status) if *status < 400 => ("EndRequest", "Succeeded"),
        Some(_) => ("EndRequest", "Failed"),
    };
    let sub_status = came_to.map_or_else(String::new, in_words);
    let provider = provider(&about.action);
    let entry = json!({
        "authorization": { "action": about.action, "scope": about.resource },
        "caller": about.principal,
        "claims": {
            "aud": "https://management.core.windows.net/",
            "iss": format!("https://sts.windows.net/{}/", call.config.tenant_id),
            "appid": about.client,
            "http://schemas.microsoft.com/identity/claims/objectidentifier": about.principal,
            "http://schemas.microsoft.com/identity/claims/tenantid": call.config.tenant_id,
        },
        "correlationId": about.correlation_id,
        "description": "",
        "eventDataId": id,
        "eventName": localized(event_name),
        "category": localized("Administrative"),
        "httpRequest": { "clientRequestId": about.correlation_id, "clientIpAddress": "192.0.2.1", "method": about.method },
        "id": format!("{}/events/{id}/ticks/{ticks}", about.resource),
        "level": if status == "Failed" { "Error" } else { "Informational" },
        "resourceGroupName": group(&about.resource).unwrap_or_default(),
        "resourceProviderName": localized(provider),
        "resourceId": about.resource,
        "resourceType": localized(about.action.rsplit_once('/').map_or("", |(kind, _)| kind)),
        "operationId": about.correlation_id,
        "operationName": localized(&about.action),
        "properties": { "statusCode": sub_status },
        "status": localized(status),
        "subStatus": localized(&sub_status),
        "eventTimestamp": shown(*at),
        "submissionTimestamp": shown(*submitted),
        "subscriptionId": about.subscription,
        "tenantId": call.config.tenant_id,
    });
    match entry {
        Value::Object(entry) => entry,
        _ => Map::new(),
    }
}

fn localized(value: &str) -> Value {
    json!({ "value": value, "localizedValue": value })
}

/// A status as the log writes it: `Created`, `NotFound`.
fn in_words(status: u16) -> String {
    let known = StatusCode::from_u16(status).ok();
    let words = known.and_then(|status| status.canonical_reason()).unwrap_or_default();
    words.split(' ').collect()
}

fn provider(action: &str) -> &str {
    action.split('/').next().unwrap_or_default()
}

fn group(resource: &str) -> Option<&str> {
    let mut segments = resource.split('/').skip(3);
    let is_group = segments.next()?.eq_ignore_ascii_case("resourceGroups");
    segments.next().filter(|_| is_group)
}

// === impl Filter ===

impl Filter {
    /// Reads `eventTimestamp ge '…'`, then perhaps `eventTimestamp le '…'`, and then one of the four that narrow it down. In which words
    /// another one is refused is in no quotation.
    fn read(text: Option<&str>) -> Outcome<Self> {
        let refuse = |why: &str| Answer::bad_request("BadRequest", format!("The filter is not supported: {why}."));
        let mut filter = Self {
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            only: None,
        };
        let mut begins = false;
        for term in text.unwrap_or_default().split(" and ").map(str::trim) {
            let words: Vec<&str> = term.split(' ').collect();
            let [name, operator, value] = words.as_slice() else {
                return Err(refuse(term));
            };
            let value = value.trim_matches('\'');
            match (name.to_lowercase().as_str(), *operator) {
                ("eventtimestamp", "ge") => {
                    filter.from = value.parse().map_err(|_| refuse(term))?;
                    begins = true;
                }
                ("eventtimestamp", "le") => filter.to = value.parse().map_err(|_| refuse(term))?,
                (name, "eq") if filter.only.is_none() => {
                    let only = Only::of(name).ok_or_else(|| refuse(term))?;
                    filter.only = Some((only, value.to_owned()));
                }
                _ => return Err(refuse(term)),
            }
        }
        begins.then_some(filter).ok_or_else(|| refuse("it says no start"))
    }

    fn holds(&self, event: &Event) -> bool {
        let about = &event.about;
        let is_meant = |(only, value): &(Only, String)| {
            let found = match only {
                Only::Group => group(&about.resource).unwrap_or_default(),
                Only::Resource => about.resource.as_str(),
                Only::Provider => provider(&about.action),
                Only::Correlation => about.correlation_id.as_str(),
            };
            found.eq_ignore_ascii_case(value)
        };
        (self.from..=self.to).contains(&event.at) && self.only.as_ref().is_none_or(is_meant)
    }
}

// === impl Only ===

impl Only {
    fn of(name: &str) -> Option<Self> {
        match name {
            "resourcegroupname" => Some(Self::Group),
            "resourceuri" => Some(Self::Resource),
            "resourceprovider" => Some(Self::Provider),
            "correlationid" => Some(Self::Correlation),
            _ => None,
        }
    }
}
