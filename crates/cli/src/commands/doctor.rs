//! `kubectl wib doctor`.

use std::io::Write;

use crate::arguments::DoctorArguments;
use crate::doctor::{Way, commands, examine, gather, trees};
use crate::ending::Ending;
use crate::output::{DataFormat, write_data};
use crate::session::Session;

pub(crate) async fn run(asked: &DoctorArguments, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    let way = (asked.azure || asked.cluster_id.is_some()).then(|| Way {
        azure: asked.login.open().map_err(|error| format!("{error:#}").into()),
        id: asked.cluster_id.clone(),
    });
    let found = examine(&Box::pin(gather(session, way.as_ref())).await);
    match (asked.output, asked.fix) {
        (Some(format), _) => write_data(&found, format == DataFormat::Yaml, out)?,
        (None, true) => commands(&found, out)?,
        (None, false) => {
            for tree in trees(&found) {
                tree.write(out)?;
            }
        }
    }
    Ok(match (found.red, found.unknown) {
        (0, 0) => Ending::Well,
        (0, _) => Ending::Failed,
        _ => Ending::NotSo,
    })
}
