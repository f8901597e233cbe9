//! `kubectl wib import`.

use std::io::Write;

use kube::api::ListParams;
use serde_json::Value;

use crate::arguments::ImportArguments;
use crate::ending::Ending;
use crate::importing::{Asked, Only, Written, find, write};
use crate::output::plain;
use crate::pages::list;
use crate::session::{Session, told};

pub(crate) async fn run(asked: &ImportArguments, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    let azure = (!asked.groups.is_empty()).then(|| asked.login.open()).transpose()?;
    let issuer = session.discovery().await.ok().map(|discovery| discovery.issuer);
    let found = find(
        &Asked {
            everywhere: asked.all_namespaces,
            states: &asked.terraform_state,
            groups: &asked.groups,
            azure: azure.as_ref(),
            issuer: issuer.as_deref(),
        },
        session,
    )
    .await?;
    let bindings = if asked.all_namespaces {
        kube::Api::all(session.client.clone())
    } else {
        session.bindings()
    };
    let existing = match list(&bindings, &ListParams::default()).await {
        Ok(listed) => listed,
        // Policies and bindings may be written down before the operator is installed.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(told(error).context("the bindings")),
    };
    let within = (!asked.all_namespaces).then_some(session.namespace.as_str());
    let written = write(&found, &existing, within);
    print(&written, asked.only, out)?;
    Ok(if written.left.is_empty() {
        Ending::Well
    } else {
        Ending::NotSo
    })
}

fn print(written: &Written, only: Option<Only>, out: &mut impl Write) -> anyhow::Result<()> {
    for note in &written.notes {
        writeln!(out, "# {}", plain(note))?;
    }
    for left in &written.left {
        writeln!(out, "# NOT CARRIED ON: {}: {}", plain(&left.what), plain(&left.why))?;
    }
    let policies = written.policies.iter().filter(|_| only != Some(Only::Bindings));
    let bindings = written.bindings.iter().filter(|_| only != Some(Only::Policies));
    let all: Vec<&Value> = policies.chain(bindings).collect();
    if !all.is_empty() && only != Some(Only::Bindings) {
        writeln!(
            out,
            "# Read the policies before you apply them: each lets its namespace have the identities that it names."
        )?;
    }
    if all.is_empty() {
        writeln!(out, "# nothing was found that no binding has")?;
    }
    for object in all {
        write!(out, "---\n{}", serde_yaml_ng::to_string(object)?)?;
    }
    Ok(())
}
