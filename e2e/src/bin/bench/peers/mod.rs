//! `make bench-peers`: the operator beside Microsoft's Azure Service Operator, each on an API server and a simulator of its own, with the same
//! work to do.

mod page;
mod place;

use std::time::Duration;

use anyhow::{Context, Result};
use wio_e2e::aso::SYNC_PERIOD;
use wio_e2e::operator::{DRIFT_INTERVAL, SWEEP_INTERVAL};
use wio_e2e::paths::{built, part};
use wio_e2e::progress::Progress;

use crate::asked::Calls;
use crate::{ACCOUNTS, LATENCY, float, floor, mebibytes};

use page::{Row, Unit};
pub(crate) use page::{Section, markdown, plain};
use place::{Place, Side};

pub(crate) const PAGE: &str = "docs/bench/peers.md";
/// Longer than the slower of the two takes for hundreds.
const DEADLINE: Duration = Duration::from_mins(30);
/// Until what a start costs is over.
const SETTLED: Duration = Duration::from_secs(10);
/// Equal for both, and so short that a measurement ends: an hour and half an hour as their charts have it.
const INTERVAL: Duration = Duration::from_secs(30);
const SHORT: &str = "30s";
const INTERVALS: u32 = 3;
/// As many reconciles of each kind at once as ours has by default, where the peer has 1.
const AT_ONCE: (&str, &str) = ("MAX_CONCURRENT_RECONCILES", "16");

/// The bars: theirs is to be so many times ours.
const MEMORY: f64 = 10.0;
const TIME: f64 = 1.0;
const CALLS_AT_REST: f64 = 50.0;

/// What was measured of one side.
struct Measured {
    none: u64,
    took: Duration,
    cpu: Duration,
    rollout: Calls,
    all: u64,
    restarted: (Duration, Calls),
}

/// Both with each of these numbers of bindings; at rest, and with more at once, with the first of them.
pub(crate) async fn peers(counts: &[usize], progress: &Progress) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    for (n, count) in counts.iter().enumerate() {
        let rests = n == 0;
        // First the one that needs more of the machine, and so may fail.
        let (theirs, their_rest) = one(Side::Theirs, *count, rests, progress).await?;
        let (ours, our_rest) = one(Side::Ours, *count, rests, progress).await?;
        let mut section = of_rollout(*count, &ours, &theirs);
        if rests {
            sections.push(at_first(&ours, &theirs)?);
            section.rows.extend(more_at_once(*count, &ours, progress).await?);
        }
        sections.push(section);
        if rests {
            sections.push(of_rest(*count, &our_rest, &their_rest));
        }
    }
    Ok(sections)
}

/// Measures one side from its start on.
async fn one(side: Side, count: usize, rests: bool, progress: &Progress) -> Result<(Measured, Vec<Calls>)> {
    progress.step(&format!("{}: starting it on parts of its own", side.name()));
    let mut place = Place::start(side, &[]).await?;
    let measured = measure(&mut place, (side, count), progress).await;
    let measured = measured.with_context(|| place.report())?;
    let rest = if rests {
        let rest = at_rest(&mut place, side, progress).await;
        rest.with_context(|| place.report())?
    } else {
        Vec::new()
    };
    Ok((measured, rest))
}

async fn measure(place: &mut Place, (side, count): (Side, usize), progress: &Progress) -> Result<Measured> {
    tokio::time::sleep(SETTLED).await;
    let (none, _) = place.process()?.memory()?;
    let before = place.process()?.cpu()?;
    place.latency(LATENCY).await?;
    progress.step(&format!("{}: {count} new bindings", side.name()));
    let begin = place.now().await?;
    let took = place.roll_out(count).await?;
    let (_, rollout) = place.quiet(begin).await?;
    let (all, _) = place.process()?.memory()?;
    let cpu = place.process()?.cpu()?.saturating_sub(before);
    progress.step(&format!("{}: a restart with {count}", side.name()));
    let begin = place.restart(&[]).await?;
    let restarted = place.quiet(begin).await?;
    Ok(Measured {
        none,
        took,
        cpu,
        rollout,
        all,
        restarted,
    })
}

/// What is asked in some intervals at rest: by ours once as it is deployed, and once with each binding looked at by itself.
async fn at_rest(place: &mut Place, side: Side, progress: &Progress) -> Result<Vec<Calls>> {
    let ways: &[(&str, &str)] = match side {
        Side::Ours => &[(DRIFT_INTERVAL, SHORT), (SWEEP_INTERVAL, SHORT)],
        Side::Theirs => &[(SYNC_PERIOD, SHORT)],
    };
    // Who writes all of it in each interval would not end before the next one.
    place.latency(Duration::ZERO).await?;
    let mut asked = Vec::new();
    for way in ways {
        progress.step(&format!("{}: at rest, with {}={}", side.name(), way.0, way.1));
        place.restart(&[*way]).await?;
        tokio::time::sleep(INTERVAL).await;
        let mark = place.mark().await?;
        tokio::time::sleep(INTERVAL * INTERVALS).await;
        asked.push(place.since(mark).await?);
    }
    Ok(asked)
}

/// The size of both, and what they take before there is anything to do.
fn at_first(ours: &Measured, theirs: &Measured) -> Result<Section> {
    let own = size(&built("workload-identity-operator", "workload-identity-operator")?)?;
    let other = size(&part("azure-service-operator")?)?;
    Ok(Section {
        title: "Before there is a binding".to_owned(),
        rows: vec![
            Row::new("size of the binary, stripped", (own, other), Unit::Megabytes),
            Row::new(
                "memory",
                (mebibytes(ours.none), mebibytes(theirs.none)),
                Unit::Mebibytes,
            )
            .at_least(MEMORY),
        ],
    })
}

fn size(path: &std::path::Path) -> Result<f64> {
    let file = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(float(file.len()) / 1e6)
}

fn of_rollout(count: usize, ours: &Measured, theirs: &Measured) -> Section {
    let floor = floor(count, 1 + ACCOUNTS);
    let both = |value: &dyn Fn(&Measured) -> f64| (value(ours), value(theirs));
    let each = |value: &dyn Fn(&Calls) -> usize| {
        let of = |measured: &Measured| float(value(&measured.rollout)) / float(count);
        (of(ours), of(theirs))
    };
    let answered = |status: u16| both(&move |it| float(it.rollout.azure_answered(status)));
    Section {
        title: format!("{count} new bindings"),
        rows: vec![
            Row::new(
                &format!("until all are Ready; Azure's budgets allow {floor:.1} s"),
                both(&|it| it.took.as_secs_f64()),
                Unit::Seconds,
            )
            .at_least(TIME),
            Row::new("ARM writes for each", each(&Calls::azure_writes), Unit::Count),
            Row::new("ARM reads for each", each(&Calls::azure_reads), Unit::Count),
            Row::new("answers of 429, in all", answered(429), Unit::Whole),
            Row::new("answers of 409, in all", answered(409), Unit::Whole),
            Row::new(
                "Kubernetes writes for each",
                each(&Calls::kubernetes_writes),
                Unit::Count,
            ),
            Row::new(
                "processor time, in all",
                both(&|it| it.cpu.as_secs_f64()),
                Unit::Seconds,
            ),
            Row::new(
                "memory with all of them",
                both(&|it| mebibytes(it.all)),
                Unit::Mebibytes,
            )
            .at_least(MEMORY),
            Row::new(
                "a restart: until nothing is asked any more",
                both(&|it| it.restarted.0.as_secs_f64()),
                Unit::Seconds,
            )
            .at_least(TIME),
            Row::new(
                "ARM writes after it, in all",
                both(&|it| float(it.restarted.1.azure_writes())),
                Unit::Whole,
            ),
            Row::new(
                "ARM reads after it, in all",
                both(&|it| float(it.restarted.1.azure_reads())),
                Unit::Whole,
            ),
            Row::new(
                "Kubernetes writes after it, in all",
                both(&|it| float(it.restarted.1.kubernetes_writes())),
                Unit::Whole,
            ),
        ],
    }
}

/// The same roll-out by a peer that does more at once than its chart has it do.
async fn more_at_once(count: usize, ours: &Measured, progress: &Progress) -> Result<[Row; 2]> {
    progress.step(&format!(
        "{}: {count} new bindings, with {}={}",
        Side::Theirs.name(),
        AT_ONCE.0,
        AT_ONCE.1
    ));
    let place = Place::start(Side::Theirs, &[AT_ONCE]).await?;
    tokio::time::sleep(SETTLED).await;
    place.latency(LATENCY).await?;
    let begin = place.now().await?;
    let took = place.roll_out(count).await.with_context(|| place.report())?;
    let (_, theirs) = place.quiet(begin).await?;
    let told = |what: &str| format!("{what}, if the peer does {} at once (its default is 1)", AT_ONCE.1);
    let throttled = (ours.rollout.azure_answered(429), theirs.azure_answered(429));
    Ok([
        Row::new(
            &told("until all are Ready"),
            (ours.took.as_secs_f64(), took.as_secs_f64()),
            Unit::Seconds,
        ),
        Row::new(
            &told("answers of 429"),
            (float(throttled.0), float(throttled.1)),
            Unit::Whole,
        ),
    ])
}

fn of_rest(count: usize, ours: &[Calls], theirs: &[Calls]) -> Section {
    let each =
        |calls: &Calls, value: &dyn Fn(&Calls) -> usize| float(value(calls)) / float(count) / f64::from(INTERVALS);
    let all = |calls: &Calls| calls.azure.len();
    let mut rows = Vec::new();
    // Theirs has one way.
    for (n, (ours, theirs)) in ours.iter().zip(theirs.iter().cycle()).enumerate() {
        let row = |what: &str, value: &dyn Fn(&Calls) -> usize| {
            let how = if n == 0 {
                ""
            } else {
                ", where ours looks at each binding by itself"
            };
            let both = (each(ours, value), each(theirs, value));
            Row::new(&format!("{what}{how}"), both, Unit::Count)
        };
        let calls = row("calls to ARM", &all);
        rows.extend([
            if n == 0 { calls.at_least(CALLS_AT_REST) } else { calls },
            row("of them writes", &Calls::azure_writes),
            row("Kubernetes writes", &Calls::kubernetes_writes),
        ]);
    }
    Section {
        title: format!("At rest with {count}, for each binding and interval"),
        rows,
    }
}
