//! Draws a plan from a seed.

use std::time::Duration;

use crate::chance::Numbers;
use crate::plan::{
    Act, ApiEffect, ApiFault, Asked, AzureEffect, AzureFault, Candidate, Deployed, Maker, Outlives, Plan, Planned,
    Setup, Struck, Timed,
};

/// What caches are filled from.
pub(crate) const WATCHED: [&str; 4] = [
    "workloadidentitybindings",
    "workloadidentitypolicies",
    "namespaces",
    "serviceaccounts",
];

/// The plan of a seed.
pub(crate) fn draw(seed: u64) -> Plan {
    let mut numbers = Numbers::new(seed);
    let namespaces = 1 + numbers.index(3);
    let workloads = numbers.percent(60);
    let setup = Setup {
        workloads,
        rollouts: workloads && numbers.percent(85),
        cluster: numbers.percent(40),
    };
    let bindings: Vec<Planned> = (0..how_many(&mut numbers))
        .map(|_| binding(&mut numbers, namespaces, setup))
        .collect();
    let operators = [candidate(&mut numbers), candidate(&mut numbers)];
    let mut acts: Vec<Timed> = (0..bindings.len())
        .map(|n| Timed {
            at: Duration::from_millis(2_000 + numbers.below(40_000)),
            act: Act::Create(n),
        })
        .collect();
    let within = within(&mut numbers);
    for _ in 0..=numbers.index(8) {
        let at = Duration::from_millis(1_000 + numbers.below(within));
        acts.extend(some(&mut numbers, &bindings, namespaces, at));
    }
    if setup.workloads {
        acts.extend(pods(&mut numbers, &bindings));
    }
    for (n, planned) in bindings.iter().enumerate() {
        if planned.asks.contains(&Asked::Export) && numbers.percent(20) {
            let at = Duration::from_secs(1);
            acts.push(Timed {
                at,
                act: Act::MakeMap(n),
            });
        }
    }
    acts.sort_by_key(|timed| timed.at);
    // Faults wait for a request: the next look comes within a minute or so.
    let heard = Duration::from_millis(2_000 + numbers.below(75_000));
    let faults_end = acts.last().map_or(heard, |last| last.at + heard);
    Plan {
        seed,
        namespaces,
        bindings,
        operators,
        setup,
        acts,
        faults_end,
    }
}

/// How many bindings there are: mostly few, because most of what can go wrong takes two, and a play costs as much as it has bindings.
fn how_many(numbers: &mut Numbers) -> usize {
    match numbers.below(100) {
        0..=29 => 1,
        30..=69 => 2,
        70..=84 => 3,
        85..=94 => 4,
        _ => 5,
    }
}

/// Within how many milliseconds things happen: mostly close to each other.
fn within(numbers: &mut Numbers) -> u64 {
    match numbers.below(10) {
        0..=4 => 60_000,
        5..=7 => 120_000,
        _ => 300_000,
    }
}

fn candidate(numbers: &mut Numbers) -> Candidate {
    const LEASES: [u64; 5] = [15, 30, 60, 60, 60];
    const SKEWS: [i64; 5] = [-90, 0, 0, 0, 90];
    Candidate {
        skew: SKEWS.get(numbers.index(SKEWS.len())).copied().unwrap_or_default(),
        lease: LEASES.get(numbers.index(LEASES.len())).copied().unwrap_or(30),
    }
}

fn binding(numbers: &mut Numbers, namespaces: usize, setup: Setup) -> Planned {
    let barred = setup.cluster && numbers.percent(20);
    let existing = !barred && numbers.percent(50);
    let role = !existing && !barred && numbers.percent(30);
    let outlives = match numbers.below(100) {
        0..=14 if !existing && !barred => Outlives::Identity,
        // Where something rests on a policy, a policy has to allow it, and none here does.
        15..=29 if !existing && !barred && !role => Outlives::Everything,
        _ => Outlives::Nothing,
    };
    Planned {
        namespace: numbers.index(namespaces),
        existing,
        accounts: 1 + numbers.index(2),
        role,
        outlives,
        foreign: numbers.percent(25),
        barred,
        asks: [
            (Asked::Export, 30),
            (Asked::Proof, 30),
            (Asked::Restart, if setup.workloads { 60 } else { 10 }),
            (Asked::Condition, 40),
        ]
        .into_iter()
        .filter_map(|(asked, percent)| numbers.percent(percent).then_some(asked))
        .collect(),
    }
}

/// Pods that run, before or after the binding is there.
fn pods(numbers: &mut Numbers, bindings: &[Planned]) -> Vec<Timed> {
    let deployed = (0..=numbers.index(2)).map(|_| {
        let n = numbers.index(bindings.len());
        let deployed = Deployed {
            maker: if numbers.percent(70) {
                Maker::Deployment
            } else {
                Maker::StatefulSet
            },
            replicas: 1 + numbers.index(2),
            takes: Duration::from_secs(1 + numbers.below(40)),
            hopeless: numbers.percent(20),
        };
        Timed {
            at: Duration::from_millis(500 + numbers.below(60_000)),
            act: Act::Deploy(n, deployed),
        }
    });
    deployed.collect()
}

/// Something that happens, with what ends it.
fn some(numbers: &mut Numbers, bindings: &[Planned], namespaces: usize, at: Duration) -> Vec<Timed> {
    let one = |act| vec![Timed { at, act }];
    let (n, namespace) = (numbers.index(bindings.len()), numbers.index(namespaces));
    let later = at + Duration::from_millis(500 + numbers.below(90_000));
    let pair = |first, second| vec![Timed { at, act: first }, Timed { at: later, act: second }];
    let watched = WATCHED
        .get(numbers.index(WATCHED.len()))
        .copied()
        .unwrap_or("namespaces");
    match numbers.below(150) {
        0..=9 => one(Act::Delete(n)),
        10..=15 => pair(Act::Delete(n), Act::Create(n)),
        16..=21 => one(Act::AddAccount(n)),
        22..=27 => one(Act::DropAccount(n)),
        28..=33 => pair(Act::Narrow(namespace), Act::Widen(namespace)),
        34..=36 => one(Act::Narrow(namespace)),
        37..=39 => pair(Act::Unlabel(namespace), Act::Label(namespace)),
        40..=41 => pair(Act::PoliciesVanish, Act::PoliciesReturn),
        42..=43 => one(Act::Issuer(1 + numbers.index(2))),
        44..=46 => one(Act::LoseCredential),
        47..=48 => one(Act::EditCredential),
        49..=50 => one(Act::LoseIdentity),
        51 => one(Act::TagPolicy),
        52..=74 => one(Act::Azure(azure(numbers))),
        75..=77 => one(Act::Lag(Duration::from_secs(1 + numbers.below(30)))),
        78..=87 => one(Act::Api(api(numbers))),
        88 => one(Act::LoseEvent(watched)),
        89..=90 => pair(Act::HoldEvents(watched), Act::ReleaseEvents(watched)),
        91..=92 => one(if numbers.percent(50) {
            Act::BreakWatches
        } else {
            Act::Relist
        }),
        93..=95 => one(Act::Crash),
        96..=97 => pair(Act::Second, Act::SecondEnds),
        98..=101 => pair(Act::Suspend(n), Act::Resume(n)),
        102..=104 => one(Act::LoseAccount(n)),
        105..=108 => pair(Act::Claim(n), Act::Unclaim(n)),
        109..=111 => {
            let mut acts = pair(Act::CutOff, Act::Reconnect);
            acts.push(Timed {
                at: at + Duration::from_millis(200),
                act: Act::Second,
            });
            acts
        }
        other => asking(numbers, (n, bindings.len()), other - 112, (at, later)),
    }
}

/// Something that happens to what a binding asks for beside its trust.
fn asking(
    numbers: &mut Numbers,
    (n, bindings): (usize, usize),
    which: u64,
    (at, later): (Duration, Duration),
) -> Vec<Timed> {
    const ASKED: [Asked; 4] = [Asked::Export, Asked::Proof, Asked::Restart, Asked::Condition];
    let one = |act| vec![Timed { at, act }];
    let pair = |first, second| vec![Timed { at, act: first }, Timed { at: later, act: second }];
    let asked = ASKED.get(numbers.index(ASKED.len())).copied().unwrap_or(Asked::Export);
    match which {
        0..=3 => one(Act::Ask(n, asked)),
        4..=6 => one(Act::Unask(n, asked)),
        7..=9 => pair(Act::Unask(n, asked), Act::Ask(n, asked)),
        10..=11 => one(Act::ExportInto(n, numbers.index(bindings))),
        12..=14 => one(Act::MakeMap(n)),
        15..=16 => one(Act::EditMap(n)),
        17 => one(Act::LoseMap(n)),
        18..=19 => one(Act::Undeploy(n)),
        20..=22 => one(Act::LosePod(n)),
        23 => one(Act::Unmark(n)),
        24..=25 => pair(Act::Withdraw, Act::Publish),
        26..=27 => one(Act::Unheard(Duration::from_secs(1 + numbers.below(120)))),
        28..=30 => one(Act::Azure(exchange(numbers))),
        _ => one(Act::Api(struck(numbers))),
    }
}

/// A token exchange that goes wrong.
fn exchange(numbers: &mut Numbers) -> AzureFault {
    let drawn = azure(numbers);
    AzureFault {
        method: "POST",
        skip: drawn.skip % 3,
        effect: match drawn.effect {
            AzureEffect::Status(409 | 500) | AzureEffect::Late(_) => AzureEffect::Refused,
            other => other,
        },
        executed: false,
    }
}

/// A request about what a binding asks for beside its trust that goes wrong.
fn struck(numbers: &mut Numbers) -> ApiFault {
    const STRUCK: [Struck; 5] = [
        Struck::Pods,
        Struck::Makers,
        Struck::Restarts,
        Struck::Tokens,
        Struck::ConfigMaps,
    ];
    let drawn = api(numbers);
    ApiFault {
        struck: STRUCK.get(numbers.index(STRUCK.len())).copied().unwrap_or(Struck::Pods),
        skip: drawn.skip % 3,
        effect: match drawn.effect {
            ApiEffect::Status(422) => ApiEffect::Status(403),
            other => other,
        },
        executed: drawn.executed,
    }
}

fn azure(numbers: &mut Numbers) -> AzureFault {
    const METHODS: [&str; 6] = ["PUT", "PUT", "PUT", "GET", "DELETE", "DELETE"];
    let method = METHODS.get(numbers.index(METHODS.len())).copied().unwrap_or("PUT");
    let effect = match numbers.below(10) {
        0 => AzureEffect::Status(409),
        1 => AzureEffect::Status(429),
        2 => AzureEffect::Status(500),
        3 => AzureEffect::Status(503),
        4 => AzureEffect::Hang,
        5 => AzureEffect::Drop,
        6 => AzureEffect::Slow(Duration::from_secs(1 + numbers.below(60))),
        7 => AzureEffect::Late(Duration::from_secs(1 + numbers.below(65))),
        _ => AzureEffect::Crash,
    };
    let executed = numbers.percent(50) && !matches!(effect, AzureEffect::Status(409 | 429));
    AzureFault {
        method,
        skip: u32::try_from(numbers.below(5)).unwrap_or_default(),
        executed,
        effect,
    }
}

fn api(numbers: &mut Numbers) -> ApiFault {
    const STATUSES: [u16; 5] = [409, 422, 429, 500, 503];
    let effect = match numbers.index(8) {
        n @ 0..=4 => ApiEffect::Status(STATUSES.get(n).copied().unwrap_or(500)),
        5 => ApiEffect::Drop,
        6 => ApiEffect::Hang,
        _ => ApiEffect::Crash,
    };
    ApiFault {
        struck: Struck::Writes,
        skip: numbers.index(8),
        executed: numbers.percent(50) && !matches!(effect, ApiEffect::Status(409 | 422 | 429)),
        effect,
    }
}
