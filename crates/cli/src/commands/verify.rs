//! `kubectl wib verify`.

use std::io::Write;

use wio_azure::Prover;

use crate::arguments::VerifyArguments;
use crate::ending::Ending;
use crate::output::{DataFormat, write_data};
use crate::session::Session;
use crate::verify::{Verdict, Wanted, tree, verify};

pub(crate) async fn run(asked: &VerifyArguments, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    run_with(asked, session, &asked.azure.prover()?, out).await
}

/// Verifies by somebody who is at hand.
pub(crate) async fn run_with(
    asked: &VerifyArguments,
    session: &Session,
    prover: &Prover,
    out: &mut impl Write,
) -> anyhow::Result<Ending> {
    let wanted = Wanted {
        binding: &asked.named.name,
        service_account: asked.service_account.as_deref(),
        scope: asked.scope.as_deref(),
    };
    let found = verify(session, prover, &wanted).await?;
    match asked.output {
        None => tree(&found).write(out)?,
        Some(form) => write_data(&found, form == DataFormat::Yaml, out)?,
    }
    Ok(match found.verdict {
        Verdict::Proven => Ending::Well,
        Verdict::Refused => Ending::NotSo,
        Verdict::NotTried => Ending::Failed,
    })
}
