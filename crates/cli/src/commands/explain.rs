//! `kubectl wib explain`.

use std::io::Write;

use crate::arguments::ExplainArguments;
use crate::ending::Ending;
use crate::explain::{explain, write};
use crate::output::{DataFormat, write_data};

/// Explains, and asks nothing for it.
pub(crate) fn run(asked: &ExplainArguments, out: &mut impl Write) -> anyhow::Result<Ending> {
    let explained = explain(&asked.what.join(" "))?;
    match asked.output {
        None => write(&explained, out)?,
        Some(form) => write_data(&explained, form == DataFormat::Yaml, out)?,
    }
    Ok(Ending::Well)
}
