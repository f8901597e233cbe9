//! `kubectl wib plan`.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context, bail};
use wio_azure::Azure;
use wio_core::case::Case;
use wio_core::observed::AzureState;
use wio_core::role_assignment_scopes::Last;
use wio_core::snapshot::Snapshot;

use crate::arguments::PlanArguments;
use crate::ending::Ending;
use crate::output::{Format, write_data, write_name};
use crate::planning::{
    Asked, Change, Forecast, Forecasts, Key, Named, World, foresee, in_doubt, read, rehearse, write,
};
use crate::session::Session;

/// A cluster as it is or would be, and the snapshot of it.
struct Seen<'a>(&'a World, Snapshot);

pub(crate) async fn run(asked: &PlanArguments, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    let azure = asked.azure.then(|| asked.login.open()).transpose()?;
    let changes = Change::read(&asked.files, &session.namespace)?;
    let own = std::iter::once(session.namespace.clone()).filter(|_| asked.name.is_some());
    let places = changes
        .iter()
        .filter_map(|change| change.namespace().map(str::to_owned));
    let before = read(session, &own.chain(places).collect()).await?;
    let mut after = before.clone();
    let mut forecasts = Forecasts {
        not_read: before.not_read.clone(),
        ..Forecasts::default()
    };
    let named = if let Some(name) = &asked.name {
        vec![there(name, asked.delete, session, &mut after)?]
    } else {
        let (named, refused) = rehearse(changes, session, &mut after).await?;
        forecasts.refused = refused;
        named
    };
    let meant: BTreeSet<Key> = named.iter().cloned().collect();
    let everyone = after.keys().filter(|key| asked.name.is_none() && !meant.contains(key));
    let keys: Vec<Key> = named.iter().cloned().chain(everyone).collect();
    let (before, after) = (Seen(&before, before.snapshot()), Seen(&after, after.snapshot()));
    for key in keys {
        // One that nobody named is shown when the change makes a difference to it; Azure is not asked for that.
        if !meant.contains(&key) && makes_no_difference(&key, (&before, &after)).await? {
            continue;
        }
        match of_one(&key, (&before, &after), azure.as_ref()).await? {
            Some(forecast) => forecasts.bindings.push(Named::new(&key, forecast)),
            None if meant.contains(&key) => forecasts.without_ground.push(format!("{}/{}", key.0, key.1)),
            None => {}
        }
    }
    tell(&forecasts, asked.output, out)?;
    Ok(if forecasts.is_still() {
        Ending::Well
    } else {
        Ending::NotSo
    })
}

fn tell(forecasts: &Forecasts, output: Option<Format>, out: &mut impl Write) -> anyhow::Result<()> {
    match output {
        None => write(forecasts, out),
        Some(Format::Name) => forecasts.bindings.iter().try_for_each(|one| write_name(&one.name, out)),
        Some(format @ (Format::Json | Format::Yaml)) => write_data(forecasts, format == Format::Yaml, out),
    }
}

/// The binding that is there under a name, in the world deleted if that is asked for.
fn there(name: &str, delete: bool, session: &Session, world: &mut World) -> anyhow::Result<Key> {
    let key: Key = (
        session.namespace.parse().context("--namespace")?,
        name.parse().context("the binding's name")?,
    );
    if !world.keys().any(|one| one == key) {
        bail!("there is no WorkloadIdentityBinding {}/{name}", session.namespace);
    }
    if delete {
        world.delete(&key);
    }
    Ok(key)
}

async fn makes_no_difference(key: &Key, (before, after): (&Seen<'_>, &Seen<'_>)) -> anyhow::Result<bool> {
    let without = of_one(key, (before, before), None).await?;
    let with = of_one(key, (before, after), None).await?;
    Ok(match (without, with) {
        (Some(without), Some(with)) => without.comes_to(&with),
        (without, with) => without == with,
    })
}

/// The forecast for a binding; none for one whose namespace is not known.
async fn of_one(
    key: &Key,
    (before, after): (&Seen<'_>, &Seen<'_>),
    azure: Option<&Azure>,
) -> anyhow::Result<Option<Forecast>> {
    let case = |seen: &Seen<'_>| -> Option<Case> { seen.1.case(seen.1.binding(&key.0, &key.1)?) };
    let Some(then) = case(after) else { return Ok(None) };
    let state = match azure {
        Some(azure) => observed(azure, &then).await?,
        None => None,
    };
    let accounts = after.0.service_accounts(&then);
    Ok(Some(foresee(Asked {
        before: case(before).as_ref(),
        after: &then,
        accounts,
        azure: state,
    })))
}

async fn observed(azure: &Azure, case: &Case) -> anyhow::Result<Option<AzureState>> {
    let Some(identity) = in_doubt(case) else {
        return Ok(None);
    };
    let binding = &case.candidate.binding;
    let last = if binding.lifecycle.deleting {
        Last::Yes
    } else {
        Last::No
    };
    let state = azure.observe(binding, &identity, last).await;
    let state = state.map_err(|fault| anyhow::anyhow!("{fault}"));
    Ok(Some(state.with_context(|| {
        format!("Azure, for {}/{}", binding.owner.namespace, binding.owner.name)
    })?))
}
