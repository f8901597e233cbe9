//! A Prometheus that scrapes the operator and judges by the chart's alert rules.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON by keys only, where what is missing is null"
)]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use url::Url;

use crate::paths::{part, repository};
use crate::ports::free_port;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

const START: Duration = Duration::from_mins(1);

/// A running Prometheus. Dropping it ends it.
pub struct Prometheus {
    _process: Process,
    url: String,
    web: reqwest::Client,
}

// === impl Prometheus ===

impl Prometheus {
    /// Starts one that scrapes what is served at an address each second.
    pub async fn start(scratch: &Scratch, address: &str) -> Result<Self> {
        let target = address.trim_start_matches("http://");
        let rules = repository().join("charts/workload-identity-operator/files/alerts.yaml");
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{job_name: operator, static_configs: [{{targets: ['{target}']}}]}}]\n",
            rules.display()
        );
        let listen = format!("127.0.0.1:{}", free_port()?);
        let mut process = Program::new(part("prometheus")?)
            .flag("config.file", scratch.write("prometheus.yaml", settings)?)
            .flag("storage.tsdb.path", scratch.folder("prometheus")?)
            .flag("web.listen-address", &listen)
            .start("prometheus", &scratch.logs())?;
        let url = format!("http://{listen}");
        process.until_healthy(&format!("{url}/-/ready"), START).await?;
        Ok(Self {
            _process: process,
            url,
            web: reqwest::Client::builder()
                .no_proxy()
                .build()
                .context("making an HTTP client")?,
        })
    }

    /// The series that a query finds now.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let answer = self.get("query", &[("query", query)]).await?;
        let found = answer["result"].as_array().cloned();
        found.with_context(|| format!("`{query}` was answered with {answer}"))
    }

    /// The alert rules, each with its `health`.
    pub async fn rules(&self) -> Result<Vec<Value>> {
        let answer = self.get("rules", &[]).await?;
        let groups = answer["groups"].as_array().into_iter().flatten();
        let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
        Ok(rules.cloned().collect())
    }

    async fn get(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let url = Url::parse_with_params(&format!("{}/api/v1/{what}", self.url), parameters)?;
        let answer = self.web.get(url).send().await?.text().await?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| format!("{what}: {answer}"))?;
        ensure!(answer["status"] == "success", "{parameters:?}: {answer}");
        Ok(answer["data"].clone())
    }
}
