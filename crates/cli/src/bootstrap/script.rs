//! The commands as text. They are those of docs/quickstart.md; what is filled in stands in variables before them.

use wio_azure::ManagedClusterId;

use crate::output::{plain, shell};

const AZURE: &str = include_str!("azure.sh");
const HELM: &str = include_str!("helm.sh");
const IMAGE: &str = "docs/quickstart.md#5-the-image";
const CLUSTER: &str = "docs/quickstart.md#1-the-cluster";
/// The operator's client id, as what makes its identity gives it.
const OF_TERRAFORM: &str = "CLIENT_ID=$(terraform output -raw client_id)";
const OF_BICEP: &str = "CLIENT_ID=$(az deployment sub show --name workload-identity-operator --query properties.outputs.clientId.value --output tsv)";

/// What is known of the AKS cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Aks {
    /// It is this one.
    Is(ManagedClusterId),
    /// It is none: no node is of Azure.
    Not,
    /// Nobody said.
    Unsaid,
}

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
    pub(crate) aks: Aks,
    pub(crate) issuer: String,
    /// The registry with the image.
    pub(crate) registry: Option<String>,
    /// Why Entra cannot reach the issuer.
    pub(crate) unreachable: Option<&'static str>,
}

/// All of it for a shell, in a clone of the repository.
pub(crate) fn shell_script(plan: &Plan) -> String {
    format!("{}{}\n{AZURE}\n{}", warning(plan, "#"), variables(plan), install(plan))
}

/// A module of Terraform for what is in Azure, and in comments what installs the operator with its output.
pub(crate) fn terraform(plan: &Plan) -> String {
    let subscription = plan
        .subscription
        .as_deref()
        .map_or_else(|| "var.subscription_id".to_owned(), hcl);
    let of_cluster = |value: &str| format!("{{ {} = {} }}", hcl(&plan.cluster), hcl(value));
    let mut arguments = vec![
        ("source", "\"./config/azure\"".to_owned()),
        ("subscription_id", subscription),
        ("location", hcl(&plan.location)),
        ("issuers", of_cluster(&plan.issuer)),
        ("resource_group", hcl(&plan.group)),
        ("operator_resource_group", hcl(&plan.operator_group)),
    ];
    if let Aks::Is(id) = &plan.aks {
        arguments.push(("clusters", of_cluster(&id.to_string())));
    }
    let arguments = arguments
        .iter()
        .map(|(name, value)| format!("  {name:<23} = {value}\n"));
    format!(
        "{}module \"workload_identity_operator\" {{\n{}}}\n\noutput \"client_id\" {{\n  value = \
         module.workload_identity_operator.client_id\n}}\n{}",
        warning(plan, "#"),
        arguments.collect::<String>(),
        installing(plan, "#", OF_TERRAFORM),
    )
}

/// A module of Bicep for a subscription, and in comments what deploys it and installs the operator with its output.
pub(crate) fn bicep(plan: &Plan) -> String {
    let mut parameters = vec![
        ("location", &plan.location),
        ("issuer", &plan.issuer),
        ("cluster", &plan.cluster),
        ("resourceGroup", &plan.group),
        ("operatorResourceGroup", &plan.operator_group),
    ];
    let id = match &plan.aks {
        Aks::Is(id) => Some(id.to_string()),
        Aks::Not | Aks::Unsaid => None,
    };
    parameters.extend(id.iter().map(|id| ("clusterId", id)));
    let parameters = parameters
        .iter()
        .map(|(name, value)| format!("    {name}: {}\n", literal(value)));
    let deploy = format!(
        "az deployment sub create --name workload-identity-operator --location {} --template-file operator.bicep\n{OF_BICEP}",
        shell::word(&plan.location)
    );
    format!(
        "{}targetScope = 'subscription'\n\nmodule operator 'config/azure/main.json' = {{\n  name: 'workload-identity-operator'\n  params: \
         {{\n{}  }}\n}}\n\noutput clientId string = operator.outputs.clientId\n{}",
        warning(plan, "//"),
        parameters.collect::<String>(),
        installing(plan, "//", &deploy),
    )
}

/// The commands that follow, in comments.
fn installing(plan: &Plan, mark: &str, client_id: &str) -> String {
    let commands = format!("{}{client_id}\n{}", variables(plan), install(plan));
    let told = format!("\n{mark} When this is applied, in a shell:\n");
    commands.lines().fold(told, |all, line| all + &commented(line, mark))
}

/// What is to be known before, in comments of whichever language.
fn warning(plan: &Plan, mark: &str) -> String {
    let mut told = Vec::new();
    if let Some(why) = plan.unreachable {
        told.push(format!(
            "{}: {why}, so none of this gives a token before that is changed",
            plan.issuer
        ));
    }
    match &plan.aks {
        Aks::Is(id) if is_elsewhere(plan, id) => told.push(format!(
            "{id} is in another subscription: add that to AssignableScopes of the role Cluster Reader, or the operator cannot be given it there"
        )),
        Aks::Unsaid => told.push(format!(
            "with --cluster-id, as {CLUSTER} finds it, the identities by which the cluster itself acts are protected from bindings"
        )),
        Aks::Is(_) | Aks::Not => {}
    }
    told.iter()
        .fold(String::new(), |all, line| all + &commented(line, mark))
}

fn commented(line: &str, mark: &str) -> String {
    format!("{mark} {}\n", plain(line))
}

fn is_elsewhere(plan: &Plan, id: &ManagedClusterId) -> bool {
    let here = plan.subscription.as_deref();
    here.is_some_and(|here| !id.group.subscription.to_string().eq_ignore_ascii_case(here))
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
    lines.push(match &plan.aks {
        Aks::Is(id) => format!("CLUSTER_ID={}", shell::word(&id.to_string())),
        Aks::Not => "CLUSTER_ID=".to_owned(),
        // An empty one is an answer too.
        Aks::Unsaid => format!(": \"${{CLUSTER_ID?say which AKS cluster it is, as {CLUSTER} does}}\""),
    });
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

/// A text of Bicep, in which nothing is evaluated.
fn literal(text: &str) -> String {
    let escaped = plain(text).replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{}'", escaped.replace("${", "\\${"))
}

/// A text of Terraform, in which nothing is evaluated.
fn hcl(text: &str) -> String {
    let escaped = plain(text).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace("${", "$${").replace("%{", "%%{"))
}
