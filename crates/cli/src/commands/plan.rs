//! `kubectl wib plan`.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context, bail};
use wio_azure::Azure;
use wio_core::case::Case;
use wio_core::observed::AzureState;
use wio_core::role_assignment_scopes::Last;

use crate::arguments::PlanArguments;
use crate::ending::Ending;
use crate::output::{Format, write_data, write_name};
use crate::planning::{
    Change, Comparison, Forecasts, Key, Named, World, consider, foresee_restarts, in_doubt, read, rehearse, write,
};
use crate::session::Session;

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
    let comparison = Comparison::new(&before, &after);
    for key in keys {
        let cases = comparison.cases(&key);
        // One that nobody named is shown when the change makes a difference to it; Azure is not asked for that.
        if !meant.contains(&key) && comparison.is_same(&cases) {
            continue;
        }
        let azure = match (&azure, &cases.after) {
            (Some(azure), Some(case)) => observed(azure, case).await?,
            _ => None,
        };
        match comparison.of(&cases, azure) {
            Some(forecast) => forecasts.bindings.push(Named::new(&key, forecast)),
            None if meant.contains(&key) => forecasts.without_ground.push(format!("{}/{}", key.0, key.1)),
            None => {}
        }
    }
    consider(&mut forecasts, session).await;
    foresee_restarts(&mut forecasts, &after, session).await;
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
