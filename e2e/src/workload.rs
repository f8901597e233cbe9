//! A pod's application, played by Microsoft's Python library: it gets exactly what the pod would have got.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::paths::{python, repository};
use crate::pods;
use crate::process::{Program, output};
use crate::scratch::Scratch;

const DEADLINE: Duration = Duration::from_mins(2);
/// What the token is asked for: Azure Resource Manager, as any Azure API.
const SCOPE: &str = "https://management.azure.com/.default";

/// What the application got.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum SignIn {
    /// An access token.
    Granted {
        /// Its claims.
        claims: Map<String, Value>,
    },
    /// No token.
    Refused {
        /// What the library says.
        error: String,
        /// Entra's code, such as `AADSTS70021`, when Entra refused it.
        code: Option<String>,
    },
}

/// Lets the application of a pod ask for an access token. `authority` signed Entra's certificate, in PEM.
pub async fn sign_in(scratch: &Scratch, client: &Client, pod: &Pod, authority: &Path) -> Result<SignIn> {
    let environment = pods::environment(pod)?;
    let path = environment
        .get("AZURE_FEDERATED_TOKEN_FILE")
        .context("the pod has no AZURE_FEDERATED_TOKEN_FILE")?;
    let token = pods::projected_token(pod, path)?;
    let volumes = format!("pods/{}", pod.uid().unwrap_or_default());
    scratch.write(&format!("{volumes}{path}"), pods::mint(client, pod, &token).await?)?;
    let request = json!({ "environment": environment, "root": scratch.path().join(&volumes), "scope": SCOPE });
    let program = Program::new(python()?)
        .arg(repository().join("e2e/workload.py"))
        .env("REQUESTS_CA_BUNDLE", authority)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let printed = output(program, Some(request.to_string().as_bytes()), DEADLINE).await?;
    serde_json::from_str(&printed).with_context(|| format!("reading {printed}"))
}

// === impl SignIn ===

impl SignIn {
    /// The claims of the token; a refusal is an error.
    pub fn claims(&self) -> Result<&Map<String, Value>> {
        match self {
            Self::Granted { claims } => Ok(claims),
            Self::Refused { error, .. } => Err(anyhow!("no token: {error}")),
        }
    }

    /// Fails unless Entra refused the token with this code.
    pub fn must_be_refused_with(&self, expected: &str) -> Result<()> {
        match self {
            Self::Refused {
                code: Some(code),
                error,
            } => ensure!(code == expected, "not {expected}, but {error}"),
            Self::Refused { code: None, error } => return Err(anyhow!("it was not Entra that refused: {error}")),
            Self::Granted { claims } => return Err(anyhow!("a token was granted: {claims:?}")),
        }
        Ok(())
    }
}
