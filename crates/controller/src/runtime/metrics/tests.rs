//! What is served, held against the page of metrics and the alert rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use kube::runtime::watcher::Event;
use wio_core::cluster::IssuerState;
use wio_core::policy::Limits;
use wio_testkit::fixtures::binding;

use super::*;
use crate::caches::visits::Visits;

/// Metrics of which each was counted once, so that its labels show.
fn counted() -> Metrics {
    let index = Index::new(Visits::default());
    let bound = binding("shop", "orders").managed().service_account("orders").build();
    index.take_in(&Event::Apply(bound), |_| Limits::default());
    let metrics = Metrics::new(
        (&Arc::new(index), ActiveNamespaces::All),
        &Arc::default(),
        &Heartbeat::default(),
    );
    metrics.passes().are("giving", 0, 0);
    metrics.led(true, 0);
    let second = Duration::from_secs(1);
    metrics.issuer(IssuerState::Settled);
    metrics.held([("policies", false), ("settings", false)]);
    metrics.orphans([("seen", 0), ("held", 0), ("reported", 0)]);
    metrics.reconciled(Reason::Succeeded, second);
    metrics.became_ready(second);
    metrics.queued(Lane::ALL.map(|lane| (lane, 0)));
    metrics.waited(Lane::Revocation, second);
    metrics.followed([("identities", 0), ("roles", 0), ("log", 0)]);
    metrics.doubted("log");
    metrics.corrected(CorrectedKind::Identity);
    metrics.budgets.get_or_create(&BudgetLabels { kind: "reads" }).set(0);
    let (operation, outcome) = ("get_identity", "200");
    metrics
        .requests
        .get_or_create(&RequestLabels { operation, outcome })
        .inc();
    metrics
        .request_duration
        .get_or_create(&OperationLabels { operation })
        .observe(1.0);
    metrics
        .watch_age
        .get_or_create(&WatchLabels { resource: "namespaces" })
        .set(0);
    metrics
}

/// A metric as it is served: its type, its meaning, its labels.
#[derive(Debug, Default)]
struct Served {
    kind: String,
    about: String,
    labels: BTreeSet<String>,
}

fn served() -> BTreeMap<String, Served> {
    let text = counted().text().unwrap();
    let mut served: BTreeMap<String, Served> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, about)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            served.entry(name.to_owned()).or_default().about = about.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            served.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some((name, rest)) = line.split_once('{') {
            let base = served
                .keys()
                .filter(|base| name.starts_with(base.as_str()))
                .max_by_key(|base| base.len());
            let base = base.unwrap_or_else(|| panic!("{line} has no type")).clone();
            let labels = rest.split('}').next().unwrap_or_default().split("\",");
            let names = labels
                .filter_map(|label| label.split_once('='))
                .map(|(name, _)| name.to_owned());
            let served = served.get_mut(&base).unwrap();
            served.labels.extend(names.filter(|name| name != "le"));
        }
    }
    served
}

/// The name as it is queried.
fn queried(name: &str, kind: &str) -> String {
    match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        "histogram" => format!("{name}_bucket, {name}_sum, {name}_count"),
        _ => name.to_owned(),
    }
}

fn page() -> String {
    let mut page = "\
# Metrics
Served at `/metrics` on port 8080 in the OpenMetrics text format, by each replica for itself; what counts bindings is 0 on those that stand by. Labels are bounded: no metric names an
object. A histogram has `_bucket`, `_sum` and `_count`. [Alert rules](../charts/workload-identity-operator/files/alerts.yaml), a
[dashboard](../charts/workload-identity-operator/files/dashboard.json) for Grafana, and [what to do](runbook.md).

| metric | type | labels | meaning |
|---|---|---|---|
"
    .to_owned();
    for (name, Served { kind, about, labels }) in served() {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let shown = match kind.as_str() {
            "histogram" => name,
            _ => queried(&name, &kind),
        };
        writeln!(page, "| `{shown}` | {kind} | {} | {about} |", labels.join(", ")).unwrap();
    }
    page
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `RENEW=1 cargo test -p wio-controller the_page_of_metrics` writes it anew.
#[test]
fn the_page_of_metrics_is_what_is_served() {
    let path = repository().join("docs/metrics.md");
    let page = page();
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, page,
        "docs/metrics.md is another one: RENEW=1 cargo test -p wio-controller the_page_of_metrics"
    );
}

#[test]
fn the_alert_rules_and_the_dashboard_ask_for_metrics_that_are_served() {
    let served = served();
    let served: BTreeSet<String> = served
        .iter()
        .flat_map(|(name, served)| {
            queried(name, &served.kind)
                .split(", ")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    for (file, least) in [("alerts.yaml", 10), ("dashboard.json", 20)] {
        let path = repository().join("charts/workload-identity-operator/files").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let words = text.split(|c| !is_name(c));
        let asked: BTreeSet<&str> = words
            .filter(|word| ["wio_", "process_"].iter().any(|of| word.starts_with(of)))
            .collect();
        assert!(asked.len() >= least, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.into_iter().filter(|name| !served.contains(*name)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "{file}");
    }
}

#[test]
fn what_alerts_and_panels_ask_the_increase_of_is_served_before_it_counts() {
    let index = Arc::new(Index::new(Visits::default()));
    let text = Metrics::new((&index, ActiveNamespaces::All), &Arc::default(), &Heartbeat::default())
        .text()
        .unwrap();
    for line in [
        "wio_azure_corrections_total{kind=\"identity\"} 0",
        "wio_azure_corrections_total{kind=\"federated_credential\"} 0",
        "wio_azure_corrections_total{kind=\"role_assignment\"} 0",
        "wio_service_accounts_changed_back_total 0",
    ] {
        assert!(text.lines().any(|served| served == line), "{line}: {text}");
    }
}
