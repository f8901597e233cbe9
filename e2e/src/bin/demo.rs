//! `make demo`: the main job on real parts, from a binding to the token that a pod's application gets.

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use clap::builder::FalseyValueParser;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};
use wio_api::keys::{CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION};
use wio_e2e::cluster::{Cluster, EXISTING};
use wio_e2e::namespace::Namespace;
use wio_e2e::paths::repository;
use wio_e2e::pods;
use wio_e2e::process::Signal;
use wio_e2e::progress::{Progress, Style, Took, aligned};
use wio_e2e::simulator::{PLATFORM_GROUP, identity_id};
use wio_e2e::workload::SignIn;
use wio_e2e::world::World;

/// As a shell says that Ctrl-C ended a program.
const INTERRUPTED: u8 = 130;

/// Shows the main job on real parts: one binding gives a pod its token.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Leave everything running until Ctrl-C, and say how to use it.
    #[arg(long, env = "KEEP", value_parser = FalseyValueParser::new())]
    keep: bool,
    /// What took how long before this began; it is listed at the end.
    #[arg(long, value_name = "NAME=SECONDS")]
    took: Vec<Took>,
}

/// Something that is printed under a heading.
struct Section {
    heading: String,
    /// The command that shows the same, if there is one.
    command: Option<String>,
    text: String,
}

/// What came of one pod's request for a token.
struct Verdict {
    good: bool,
    text: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run(Arguments::parse())).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let style = Style::of_stdout();
    let progress = Progress::new(arguments.took);
    introduce(style);
    let started = tokio::select! {
        world = World::start(|part| progress.step(&format!("starting {part}"))) => Some(world?),
        () = asked_to_end()? => None,
    };
    let Some(world) = started else {
        Cluster::clean_named().await?;
        return Ok(interrupted());
    };
    let shown = tokio::select! {
        shown = show(&world, &progress, style) => Some(shown),
        () = asked_to_end()? => None,
    };
    let all_good = match shown {
        Some(Ok(all_good)) => all_good,
        Some(Err(error)) => {
            world.stop().await?;
            return Err(error);
        }
        None => {
            world.stop().await?;
            return Ok(interrupted());
        }
    };
    if arguments.keep {
        print!("{}", how_to_use(&world, style).await);
        progress.step("running until Ctrl-C");
        asked_to_end()?.await;
        println!();
    }
    progress.step("stopping everything");
    world.stop().await?;
    println!("\n{}\n{}", style.heading("How long each part took"), progress.times());
    ensure!(all_good, "what was checked above does not all hold");
    Ok(ExitCode::SUCCESS)
}

fn interrupted() -> ExitCode {
    println!("\ninterrupted; everything was stopped");
    ExitCode::from(INTERRUPTED)
}

/// Says what will be seen, and in whose cluster.
fn introduce(style: Style) {
    println!("{}", style.heading("One binding gives a pod its token"));
    let (api_server, cluster) = match std::env::var_os(EXISTING) {
        None => ("kube-apiserver", String::new()),
        Some(file) => (
            "the API server of your cluster",
            format!(
                "Your cluster is that of {EXISTING}, {}. It must be one to throw away: the operator, its rules of admission, the pod\n\
                 webhook and two namespaces are installed there, and removed at the end.\n",
                file.display()
            ),
        ),
    };
    println!("Real: {api_server}, the pod webhook, kubectl, Microsoft's Python library. Simulated: Azure.\n{cluster}");
}

/// Completes at Ctrl-C, or when it is asked to end otherwise.
fn asked_to_end() -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("waiting for a signal")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Does the main job and prints what there is to see. Returns whether all is as it should be.
async fn show(world: &World, progress: &Progress, style: Style) -> Result<bool> {
    match Box::pin(tour(world, progress)).await {
        Ok((sections, verdicts)) => {
            println!();
            for section in sections {
                print!("{}", section.shown(style));
            }
            println!("{}", style.heading("What was checked"));
            for verdict in &verdicts {
                println!("{:<6}  {}", if verdict.good { "ok" } else { "FAILED" }, verdict.text);
            }
            println!();
            Ok(verdicts.iter().all(|verdict| verdict.good))
        }
        Err(error) => {
            eprintln!("\n{}", world.report());
            Err(error)
        }
    }
}

async fn tour(world: &World, progress: &Progress) -> Result<(Vec<Section>, Vec<Verdict>)> {
    progress.step("the operator once more, as a replica that was elected");
    elect(world).await?;
    progress.step("what others own in config/samples: a platform team's identity, a chart's service account");
    furnish(world).await?;

    apply(world, progress, "config/samples/policies").await?;
    wait_for_all(world, progress, &["wip", "--all"]).await?;
    apply(world, progress, "config/samples/bindings").await?;
    wait_for_all(world, progress, &["wib", "--all", "--all-namespaces"]).await?;

    progress.step("pods through the webhook; Microsoft's library asks for tokens with what it put on them");
    let (shop, bank) = (Namespace::new(world, "shop"), Namespace::new(world, "bank"));
    imitate(&shop, "orders", "stranger").await?;
    let (orders, (_, payments), (_, stranger)) = tokio::try_join!(
        sign_in(&shop, "orders"),
        sign_in(&bank, "payments"),
        sign_in(&shop, "stranger"),
    )?;
    let (pod, orders) = orders;
    let verdicts = vec![
        verdict(&shop, "orders", &orders).await?,
        verdict(&bank, "payments", &payments).await?,
        refusal("shop/stranger", &stranger),
    ];

    progress.step("what a person wants to see");
    Ok((sections(world, &pod, &orders).await?, verdicts))
}

/// Has the operator take part in an election, as it does in a cluster.
async fn elect(world: &World) -> Result<()> {
    let mut operator = world.operator.lock().await;
    operator.elect(true);
    operator.restart(Signal::Terminate).await
}

/// Makes what the samples expect to be there.
async fn furnish(world: &World) -> Result<()> {
    let payments = identity_id(PLATFORM_GROUP, "payments");
    world.simulator.put_identity(&payments).await?;
    for namespace in ["shop", "bank"] {
        world.cluster.create_namespace(namespace).await?;
    }
    let kubectl = &world.cluster.kubectl;
    kubectl
        .run(&["create", "serviceaccount", "payments", "--namespace=bank"])
        .await
        .map(drop)
}

async fn apply(world: &World, progress: &Progress, folder: &str) -> Result<()> {
    progress.step(&format!("kubectl apply --server-side --kustomize {folder}"));
    let path = repository().join(folder);
    let path = path.to_str().context("the repository's path is not Unicode")?;
    let apply = ["apply", "--server-side", "--kustomize", path];
    world.cluster.kubectl.run(&apply).await.map(drop)
}

/// Waits until all of these are Ready; says what they say when one does not get there.
async fn wait_for_all(world: &World, progress: &Progress, which: &[&str]) -> Result<()> {
    let kubectl = &world.cluster.kubectl;
    progress.step(&format!("kubectl wait {} --for=condition=Ready", which.join(" ")));
    let wait = [&["wait"], which, &["--for=condition=Ready", "--timeout=120s"]].concat();
    if let Err(error) = kubectl.run(&wait).await {
        let which = which.iter().filter(|word| **word != "--all").copied();
        let describe: Vec<&str> = ["describe"].into_iter().chain(which).collect();
        bail!("{error:#}\n{}", kubectl.run(&describe).await?);
    }
    Ok(())
}

async fn sections(world: &World, pod: &Pod, orders: &SignIn) -> Result<Vec<Section>> {
    let environment: Vec<[String; 2]> = pods::environment(pod)?
        .into_iter()
        .map(|(name, value)| [name, value])
        .collect();
    let claims = orders.claims().context("the application of pod shop/orders")?;
    Ok(vec![
        command(world, "The bindings", &["get", "wib", "--all-namespaces"]).await?,
        command(
            world,
            "One of them in full",
            &["describe", "wib", "orders", "--namespace=shop"],
        )
        .await?,
        command(
            world,
            "Its service account",
            &["get", "serviceaccount", "orders", "--namespace=shop", "--output=yaml"],
        )
        .await?,
        Section {
            heading: "What the webhook put into the environment of pod shop/orders".to_owned(),
            command: None,
            text: aligned(&environment),
        },
        Section {
            heading: "The claims of the access token that its application got".to_owned(),
            command: None,
            text: aligned(&rows(claims)),
        },
        wib(
            world,
            "What would become of it",
            &["plan", "orders", "--delete", "--namespace=shop"],
        )
        .await?,
        wib(world, "What the plugin says of all", &["status", "--all-namespaces"]).await?,
        wib(
            world,
            "Whether Entra gives its pods a token, and neither is shown",
            &["verify", "orders", "--namespace=shop"],
        )
        .await?,
        wib(
            world,
            "The whole installation; here the operator runs beside the cluster, there are no nodes, and Azure is not asked",
            &["doctor"],
        )
        .await?,
    ])
}

/// Creates a pod of the service account of its own name, and lets its application ask for a token.
async fn sign_in(namespace: &Namespace<'_>, name: &str) -> Result<(Pod, SignIn)> {
    let pod = namespace.pod(name, name).await?;
    let sign_in = namespace.sign_in(&pod).await?;
    Ok((pod, sign_in))
}

/// Makes a service account that carries the client id of a binding that does not name it.
async fn imitate(namespace: &Namespace<'_>, binding: &str, service_account: &str) -> Result<()> {
    let identity = namespace.identity(binding).await?;
    let client_id = format!("{CLIENT_ID_ANNOTATION}={}", identity.client_id);
    let tenant_id = format!("{TENANT_ID_ANNOTATION}={}", identity.tenant_id);
    namespace
        .kubectl(&["create", "serviceaccount", service_account])
        .await?;
    namespace.annotate(service_account, &[&client_id, &tenant_id]).await
}

async fn command(world: &World, heading: &str, arguments: &[&str]) -> Result<Section> {
    let text = world.cluster.kubectl.run(arguments).await?;
    Ok(Section {
        heading: heading.to_owned(),
        command: Some(format!("kubectl {}", arguments.join(" "))),
        text,
    })
}

async fn wib(world: &World, heading: &str, arguments: &[&str]) -> Result<Section> {
    let told = world
        .cluster
        .kubectl
        .wib(arguments, None, &world.simulator.variables())
        .await?;
    ensure!(told.code != 1, "{}{}", told.out, told.err);
    Ok(Section {
        heading: heading.to_owned(),
        command: Some(format!("kubectl wib {}", arguments.join(" "))),
        text: told.out,
    })
}

fn rows(claims: &Map<String, Value>) -> Vec<[String; 2]> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    claims.iter().map(|(name, value)| [name.clone(), text(value)]).collect()
}

/// Whether a binding's pod got the token of the binding's identity.
async fn verdict(namespace: &Namespace<'_>, name: &str, sign_in: &SignIn) -> Result<Verdict> {
    let principal = namespace.identity(name).await?.principal_id;
    let pod = format!("{}/{name}", namespace.name);
    Ok(match sign_in.claims() {
        Ok(claims) => match claims.get("oid").and_then(Value::as_str) {
            Some(oid) if oid == principal => Verdict {
                good: true,
                text: format!("{pod}: oid {oid} = status.identity.principalId"),
            },
            oid => Verdict {
                good: false,
                text: format!(
                    "{pod}: oid {} is not status.identity.principalId {principal}",
                    oid.unwrap_or("is missing")
                ),
            },
        },
        Err(error) => Verdict {
            good: false,
            text: format!("{pod}: {error:#}"),
        },
    })
}

/// Whether a pod that no binding names was refused, although it carries the right client id.
fn refusal(pod: &str, sign_in: &SignIn) -> Verdict {
    const NO_SUCH_SUBJECT: &str = "AADSTS700213";
    match sign_in.must_be_refused_with(NO_SUCH_SUBJECT) {
        Ok(()) => Verdict {
            good: true,
            text: format!("{pod}, with the same client id but in no binding: refused with {NO_SUCH_SUBJECT}"),
        },
        Err(error) => Verdict {
            good: false,
            text: format!("{pod}, in no binding, was not refused as it should: {error:#}"),
        },
    }
}

async fn how_to_use(world: &World, style: Style) -> String {
    let shown = |path: &std::path::Path| path.display().to_string();
    let (azure, authority) = (world.simulator.url(), shown(world.simulator.authority()));
    let ask = |what: &str| format!("curl --silent --cacert {authority} {azure}_sim/{what} | python3 -m json.tool");
    let operator = world.operator.lock().await.address().to_owned();
    let uses = [
        (
            "kubectl and Helm",
            vec![
                format!("export KUBECONFIG={}", shown(&world.cluster.kubeconfig)),
                format!("export PATH={}:$PATH", shown(&repository().join(".build/e2e/bin"))),
                "kubectl get wib --all-namespaces".to_owned(),
                "kubectl delete wib orders --namespace shop".to_owned(),
            ],
        ),
        (
            "what exists in the simulated Azure, and what it was asked",
            vec![ask("snapshot"), ask("requests")],
        ),
        (
            "the operator",
            vec![
                format!("curl --silent {operator}/metrics"),
                format!("tail -f {}", shown(&world.scratch.logs().join("operator.log"))),
            ],
        ),
    ];
    let lines: Vec<String> = uses
        .into_iter()
        .flat_map(|(about, commands)| std::iter::once(style.aside(&format!("# {about}"))).chain(commands))
        .map(|line| format!("  {line}"))
        .collect();
    let text = lines.join("\n");
    format!(
        "{}\n{text}\n\n",
        style.heading("Everything runs until Ctrl-C. In another terminal:")
    )
}

// === impl Section ===

impl Section {
    fn shown(&self, style: Style) -> String {
        let command = self
            .command
            .as_ref()
            .map(|it| format!("{}\n", style.aside(&format!("$ {it}"))));
        let (heading, command, text) = (
            style.heading(&self.heading),
            command.unwrap_or_default(),
            self.text.trim_end(),
        );
        format!("{heading}\n{command}{text}\n\n")
    }
}
