//! The commands as text. They are those of docs/quickstart.md; what is filled in stands in variables before them.

use crate::output::{plain, shell};

const AZURE: &str = include_str!("azure.sh");
const HELM: &str = include_str!("helm.sh");
const IMAGE: &str = "docs/quickstart.md#5-the-image";

/// What is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// None is the one that the Azure CLI has chosen.
    pub(crate) subscription: Option<String>,
    pub(crate) location: String,
    /// The resource group of the identities of bindings.
    pub(crate) group: String,
    /// That of the operator's own.
    pub(crate) operator_group: String,
    /// What the operator's federated credential is called.
    pub(crate) cluster: String,
    pub(crate) issuer: String,
    /// The registry with the image.
    pub(crate) registry: Option<String>,
    /// Why Entra cannot reach the issuer.
    pub(crate) unreachable: Option<&'static str>,
}

/// All of it for a shell, in a clone of the repository.
pub(crate) fn shell_script(plan: &Plan) -> String {
    format!("{}{}\n{AZURE}\n{}", warning(plan), variables(plan), install(plan))
}

/// A module of Terraform for what is in Azure, and what installs the operator with its output.
pub(crate) fn terraform(plan: &Plan) -> String {
    let subscription = plan
        .subscription
        .as_deref()
        .map_or_else(|| "var.subscription_id".to_owned(), hcl);
    let mut lines = vec![
        "module \"workload_identity_operator\" {".to_owned(),
        "  source          = \"./config/azure\"".to_owned(),
        format!("  subscription_id = {subscription}"),
        format!("  location        = {}", hcl(&plan.location)),
        format!(
            "  issuers         = {{ {} = {} }}",
            hcl(&plan.cluster),
            hcl(&plan.issuer)
        ),
    ];
    lines.push(format!("  resource_group  = {}", hcl(&plan.group)));
    lines.push(format!("\n  operator_resource_group = {}", hcl(&plan.operator_group)));
    lines.extend(
        [
            "}",
            "",
            "output \"client_id\" {",
            "  value = module.workload_identity_operator.client_id",
            "}",
            "",
        ]
        .map(str::to_owned),
    );
    format!("{}{}", warning(plan), lines.join("\n"))
}

fn warning(plan: &Plan) -> String {
    let Some(why) = plan.unreachable else {
        return String::new();
    };
    let told = format!(
        "{}: {why}, so none of this gives a token before that is changed",
        plan.issuer
    );
    format!("{}\n", shell::comment(&told))
}

fn variables(plan: &Plan) -> String {
    let subscription = match &plan.subscription {
        Some(id) => format!(
            "SUBSCRIPTION={}\naz account set --subscription \"$SUBSCRIPTION\"",
            shell::word(id)
        ),
        None => "SUBSCRIPTION=$(az account show --query id --output tsv)".to_owned(),
    };
    let mut lines = vec![subscription];
    for (name, value) in [
        ("LOCATION", &plan.location),
        ("GROUP", &plan.group),
        ("OPERATOR_GROUP", &plan.operator_group),
        ("CLUSTER", &plan.cluster),
        ("ISSUER", &plan.issuer),
    ] {
        lines.push(format!("{name}={}", shell::word(value)));
    }
    lines.extend(
        plan.registry
            .as_ref()
            .map(|registry| format!("REGISTRY={}", shell::word(registry))),
    );
    lines.push(String::new());
    lines.join("\n")
}

fn install(plan: &Plan) -> String {
    match plan.registry {
        Some(_) => HELM.to_owned(),
        // No image is published, so none can be guessed.
        None => format!(": \"${{REGISTRY:?say which registry has the image, as {IMAGE} does}}\"\n{HELM}"),
    }
}

/// A text of Terraform, in which nothing is evaluated.
fn hcl(text: &str) -> String {
    let escaped = plain(text).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace("${", "$${").replace("%{", "%%{"))
}
