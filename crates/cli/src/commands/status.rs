//! `kubectl wib status`.

use std::io::Write;

use anyhow::bail;
use kube::ResourceExt;
use serde::Serialize;

use crate::arguments::StatusArguments;
use crate::ending::Ending;
use crate::output::{Format, write_data, write_name};
use crate::report::{Report, gather, report, tree};
use crate::session::Session;

#[derive(Serialize)]
struct Reports {
    items: Vec<Report>,
}

pub(crate) async fn run(asked: &StatusArguments, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    let around = gather(session, asked.all_namespaces).await?;
    let meant = around.bindings.iter().filter(|binding| {
        asked.all_namespaces
            || (binding.namespace().as_deref() == Some(session.namespace.as_str())
                && asked.name.as_ref().is_none_or(|name| binding.name_any() == *name))
    });
    let reports: Vec<Report> = meant.map(|binding| report(binding, &around)).collect();
    match (&asked.name, reports.is_empty()) {
        (Some(name), true) => bail!("there is no WorkloadIdentityBinding {}/{name}", session.namespace),
        (None, true) if asked.output.is_none() => {
            let place = if asked.all_namespaces {
                "in any namespace".to_owned()
            } else {
                format!("in namespace {}", session.namespace)
            };
            writeln!(out, "there is no WorkloadIdentityBinding {place}")?;
        }
        _ => write(reports, asked, out)?,
    }
    Ok(Ending::Well)
}

fn write(reports: Vec<Report>, asked: &StatusArguments, out: &mut impl Write) -> anyhow::Result<()> {
    match asked.output {
        None => {
            for report in &reports {
                tree(report).write(out)?;
            }
        }
        Some(Format::Name) => {
            for report in &reports {
                write_name(&report.name, out)?;
            }
        }
        Some(format @ (Format::Json | Format::Yaml)) => {
            let yaml = format == Format::Yaml;
            match (&asked.name, reports.first()) {
                (Some(_), Some(one)) => write_data(one, yaml, out)?,
                _ => write_data(&Reports { items: reports }, yaml, out)?,
            }
        }
    }
    Ok(())
}
