//! The abuse suite against admission alone.

use std::sync::Arc;

use anyhow::{Result, ensure};
use wio_e2e::abuse::Suite;
use wio_e2e::world::World;
use wio_testkit::abuse::{self, Layer, Verdict};

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    // Its policies have every binding decided anew.
    vec![case!(admission_answers_every_case_of_the_abuse_suite_as_it_must).alone()]
}

async fn admission_answers_every_case_of_the_abuse_suite_as_it_must(world: Arc<World>) -> Result<()> {
    const SHOWN_CHARS: usize = 600;
    let cases = abuse::cases();
    let suite = Suite::prepare(&world.cluster, cases).await?;
    let mut broken = Vec::new();
    for case in cases {
        let answer = suite.answer(case).await;
        let (says, why) = match &answer {
            Ok(answer) if answer.is(&case.admission) => (answer.word(), None),
            Ok(answer) => (
                answer.word(),
                Some(format!("{:?} was expected, not {answer:?}", case.admission)),
            ),
            Err(error) => ("no answer", Some(format!("{error:#}"))),
        };
        let why: Option<String> = why.map(|why| why.chars().take(SHOWN_CHARS).collect());
        broken.extend(why.iter().map(|why| format!("{}: {why}", case.id)));
        abuse::record(&Verdict {
            id: case.id.clone(),
            layer: Layer::Admission,
            says: says.to_owned(),
            broken: why,
        });
    }
    suite.clean().await?;
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}
