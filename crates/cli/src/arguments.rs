//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use wio_azure::ManagedClusterId;
use wio_core::names::ResourceGroupId;
use wio_core::names::{CredentialName, ResourceGroupName, SubscriptionId};
use wio_kubeconfig::Choice;

use crate::azure::AzureArguments;
use crate::ending::Ending;
use crate::importing::Only;
use crate::output::{DataFormat, Format};

const AFTER_HELP: &str = "\
It asks with your own rights. What you may not read is named, and the rest is shown.

Exit codes:
   0  all is well
   1  it could not be carried out
   2  it was carried out, and what was asked for is not so
  64  it was not understood

Begin with:
  kubectl wib status -A
  kubectl wib status orders -n shop";

const STATUS_EXAMPLES: &str = "\
Examples:
  kubectl wib status                      those of the namespace
  kubectl wib status orders -n shop       one of them
  kubectl wib status -A -o json | jq '.items[] | select(.well | not) | .nextStep'";

const DOCTOR_EXAMPLES: &str = "\
It ends with 0 when nothing is red, with 2 when something is, and with 1 when nothing is red and something could not be looked at.
docs/doctor.md explains each line.

Examples:
  kubectl wib doctor                      everything, with what mends what is wrong
  kubectl wib doctor --cluster-id \"$(az aks show --resource-group shop --name shop --query id --output tsv)\"
  kubectl wib doctor --fix                the commands alone, to read and to run yourself
  kubectl wib doctor -o json | jq '.checks[] | select(.level == \"red\") | .id'";

const BOOTSTRAP_EXAMPLES: &str = "\
The commands are those of docs/quickstart.md and run in a clone of the repository. With --check it ends with 0 when nothing is missing, with
2 when something is, and with 1 when something could not be looked at.

Examples:
  kubectl wib bootstrap --cluster-name shop --registry myregistry \\
    --cluster-id \"$(az aks show --resource-group shop --name shop --query id --output tsv)\" > bootstrap.sh
  kubectl wib bootstrap --cluster-name shop --terraform > operator.tf
  kubectl wib bootstrap --subscription 00000000-0000-0000-0000-000000000000 --check";

const PLAN_EXAMPLES: &str = "\
It ends with 0 when nothing would change, and with 2 when something would.

Examples:
  kubectl wib plan orders                 what the operator has still to do
  kubectl wib plan orders --delete        what would go with it
  kubectl wib plan -f policy.yaml         which bindings would gain or lose what
  kustomize build . | kubectl wib plan -f -";

const IMPORT_EXAMPLES: &str = "\
It changes nothing, in the cluster and elsewhere. What it cannot carry on it names in comments, and ends with 2.
A credential that another tool made stays as it is, and the binding rests on it (docs/migration.md).

Examples:
  kubectl wib import -A --only policies | kubectl apply --server-side -f -
  kubectl wib import -A | kubectl wib plan -f -
  terraform state pull > state.json; kubectl wib import -n shop --terraform-state state.json";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  kubectl wib explain AADSTS700213        what Entra means, and what to do
  kubectl wib explain NotPermitted        who has to act, and what the runbook says
  kubectl wib explain RequestDisallowedByPolicy";

const VERIFY_EXAMPLES: &str = "\
It ends with 0 when Entra gave a token for each service account, with 2 when it refused one, and with 1 when it could not be tried.
One success is no proof for all: for some minutes after a change another region of Entra can still refuse.

Examples:
  kubectl wib verify orders
  kubectl wib verify orders --service-account mails
  kubectl wib verify orders --scope https://vault.azure.net/.default";

const RECONCILE_EXAMPLES: &str = "\
With --wait it ends with 0 when the binding is ready, and with 2 when it is not.

Example:
  kubectl wib reconcile orders --wait --timeout 90s";

/// Asks what works, what does not, and why, of WorkloadIdentityBindings.
#[derive(Clone, Debug, Parser)]
#[command(name = "kubectl-wib", bin_name = "kubectl wib", version, after_help = AFTER_HELP)]
pub struct Arguments {
    /// Which cluster is asked, and by whom.
    #[command(flatten)]
    pub connection: Connection,

    /// Colours: on a terminal, always or never. NO_COLOR says never.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    color: ColorChoice,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The cluster that is asked, and who asks: as kubectl's own flags.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Connection {
    /// The kubeconfig file, instead of KUBECONFIG's or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The kubeconfig's context, instead of the current one.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,

    /// The kubeconfig's cluster, instead of the context's.
    #[arg(long, global = true, value_name = "NAME")]
    cluster: Option<String>,

    /// The kubeconfig's user, instead of the context's.
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,

    /// The user to impersonate.
    #[arg(long = "as", global = true, value_name = "USER")]
    impersonate: Option<String>,

    /// A group to impersonate; may be given several times.
    #[arg(long = "as-group", global = true, value_name = "GROUP", requires = "impersonate")]
    impersonate_groups: Vec<String>,

    /// The namespace, instead of the context's.
    #[arg(long, short, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Shows identity, credentials, roles, service accounts and pods of bindings, what is wrong, and the next step.
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArguments),
    /// Examines the whole installation and the identities around it, and says by which commands to mend what is wrong.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(Box<DoctorArguments>),
    /// Shows what the operator would do: for a binding, or before a file with bindings and policies is applied.
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(PlanArguments),
    /// Prints the commands that make the operator's own identity and install it, filled in from the cluster.
    #[command(after_help = BOOTSTRAP_EXAMPLES)]
    Bootstrap(Box<BootstrapArguments>),
    /// Explains a code of Entra's or Azure's, a reason or a condition, and says what to do. Asks nothing: it works without a cluster.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArguments),
    /// Asks Entra for a token as the pods of the service accounts would, and says why there is none. Your own rights have to allow
    /// create on serviceaccounts/token. Neither token is shown or kept.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArguments),
    /// Has the operator look at Azure now.
    #[command(after_help = RECONCILE_EXAMPLES)]
    Reconcile(ReconcileArguments),
    /// Has the operator write nothing for a binding until it is resumed; what stands keeps working.
    Suspend(Named),
    /// Has the operator go on with a binding that was suspended.
    Resume(Named),
    /// Writes bindings, and the policies that they need, for what other tools made: annotated service accounts, pod-managed identity, Azure Service
    /// Operator, Crossplane, Terraform.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArguments),
    /// Writes the completion script of a shell, for the program kubectl-wib.
    Completion {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Writes manual pages into a folder, one for each command.
    Man {
        /// The folder, which must exist.
        #[arg(value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// How to show what was found.
#[derive(Clone, Debug, Args)]
pub struct DoctorArguments {
    /// Print only the commands that mend what is red or yellow. None is run.
    #[arg(long, conflicts_with = "output")]
    pub(crate) fix: bool,

    /// The cluster of AKS, as its resource id: `az aks show --query id`. Azure is read with your own login then.
    #[arg(long, value_name = "ID")]
    pub(crate) cluster_id: Option<ManagedClusterId>,

    /// Read Azure with your own login (workload identity where the environment has it, else the Azure CLI's) also without a cluster's id.
    #[arg(long)]
    pub(crate) azure: bool,

    #[command(flatten)]
    pub(crate) login: AzureArguments,

    /// For programs: json or yaml.
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) output: Option<DataFormat>,
}

/// What to fill in, and in which form.
#[derive(Clone, Debug, Args)]
pub struct BootstrapArguments {
    /// The subscription; the one that the Azure CLI has chosen when it is left out.
    #[arg(long, value_name = "GUID")]
    pub(crate) subscription: Option<SubscriptionId>,

    /// The region, such as westeurope; that of the nodes when it is left out.
    #[arg(long, value_name = "REGION")]
    pub(crate) location: Option<String>,

    /// The resource group that is made for the identities of bindings.
    #[arg(long, value_name = "NAME", default_value = "workload-identities")]
    pub(crate) resource_group: ResourceGroupName,

    /// The resource group that is made for the operator's own identity.
    #[arg(long, value_name = "NAME", default_value = "workload-identity-operator")]
    pub(crate) operator_resource_group: ResourceGroupName,

    /// What the operator's federated credential is called: a name for the cluster.
    #[arg(long, value_name = "NAME", default_value = "cluster")]
    pub(crate) cluster_name: CredentialName,

    /// The cluster of AKS, as its resource id: `az aks show --query id`. The operator reads there by which identities the cluster itself acts, and
    /// refuses them to bindings.
    #[arg(long, value_name = "ID")]
    pub(crate) cluster_id: Option<ManagedClusterId>,

    /// The Azure Container Registry with the operator's image: its name, without .azurecr.io.
    #[arg(long, value_name = "NAME")]
    pub(crate) registry: Option<String>,

    /// Print a module of Terraform for what is in Azure, instead of commands.
    #[arg(long, conflicts_with_all = ["check", "bicep"])]
    pub(crate) terraform: bool,

    /// Print Bicep for what is in Azure, instead of commands.
    #[arg(long, conflicts_with = "check")]
    pub(crate) bicep: bool,

    /// Say what of it is done, in Azure and in the cluster, by reads with your own login, and print no commands. It takes --subscription.
    #[arg(long, requires = "subscription")]
    pub(crate) check: bool,

    #[command(flatten)]
    pub(crate) login: AzureArguments,
}

/// Which bindings to show, and how.
#[derive(Clone, Debug, Args)]
pub struct StatusArguments {
    /// The binding; all of the namespace when it is left out.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Those of all namespaces.
    #[arg(long, short = 'A', conflicts_with = "name")]
    pub(crate) all_namespaces: bool,

    /// For programs: json, yaml or name.
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

/// What to foretell.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["name", "files"]))]
pub struct PlanArguments {
    /// The binding, as it stands in the cluster.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// A file with bindings and policies that somebody means to apply; - is the standard input. May be given several times. The API server
    /// rehearses them (a dry run), and nothing is changed.
    #[arg(long = "filename", short = 'f', value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,

    /// What if NAME were deleted.
    #[arg(long, requires = "name")]
    pub(crate) delete: bool,

    /// Read Azure with your own login (workload identity where the environment has it, else the Azure CLI's), instead of taking it to be as the
    /// status tells.
    #[arg(long)]
    pub(crate) azure: bool,

    /// For programs: json, yaml or name.
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,

    #[command(flatten)]
    pub(crate) login: AzureArguments,
}

/// What to explain.
#[derive(Clone, Debug, Args)]
pub struct ExplainArguments {
    /// AADSTS700213, NotPermitted or ScopeLocked, for example; or a message with an AADSTS code in it.
    #[arg(value_name = "CODE|REASON", required = true)]
    pub(crate) what: Vec<String>,

    /// For programs: json or yaml.
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) output: Option<DataFormat>,
}

/// Whose tokens to ask for.
#[derive(Clone, Debug, Args)]
pub struct VerifyArguments {
    #[command(flatten)]
    pub(crate) named: Named,

    /// One service account, also one that the binding does not name; all that it names when it is left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) service_account: Option<String>,

    /// What the access token is for, for example https://vault.azure.net/.default, instead of Azure Resource Manager.
    #[arg(long, value_name = "SCOPE", help_heading = "Azure")]
    pub(crate) scope: Option<String>,

    #[command(flatten)]
    pub(crate) azure: AzureArguments,

    /// For programs: json or yaml.
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) output: Option<DataFormat>,
}

/// Which binding the operator is to look for, and whether to wait.
#[derive(Clone, Debug, Args)]
pub struct ReconcileArguments {
    #[command(flatten)]
    pub(crate) named: Named,

    /// Wait until the operator has looked and is done, and say what it found.
    #[arg(long)]
    pub(crate) wait: bool,

    /// How long to wait, such as 90s or 5m.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Where to look for what other tools made.
#[derive(Clone, Debug, Args)]
pub struct ImportArguments {
    /// In all namespaces.
    #[arg(long, short = 'A')]
    pub(crate) all_namespaces: bool,

    /// A state of Terraform, as `terraform state pull` writes it. May be given several times.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) terraform_state: Vec<PathBuf>,

    /// A resource group, as /subscriptions/GUID/resourceGroups/NAME, in which managed identities are looked up by their client ids with your own
    /// login: an annotated service account names no more. May be given several times.
    #[arg(long = "group", value_name = "ID")]
    pub(crate) groups: Vec<ResourceGroupId>,

    /// The policies alone, which have to stand before the bindings, or the bindings alone.
    #[arg(long, value_name = "KIND")]
    pub(crate) only: Option<Only>,

    #[command(flatten)]
    pub(crate) login: AzureArguments,
}

/// A binding by name.
#[derive(Clone, Debug, Args)]
pub struct Named {
    /// The binding.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    let parsed = parsed.and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "write a duration such as 90s, 5m or 1h30m".to_owned())
}

// === impl Arguments ===

impl Arguments {
    /// Those of this process. What they ask for that is no command, such as help, is written at once.
    ///
    /// # Errors
    /// How the process is to end when there is nothing more to do.
    pub fn from_command_line() -> Result<Self, Ending> {
        let arguments = Self::try_parse().map_err(|told| {
            // It goes where clap wants it; when nobody reads it, there is nobody to tell.
            let _ = told.print();
            match told.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ending::Well,
                _ => Ending::NotUnderstood,
            }
        })?;
        match arguments.color {
            ColorChoice::Auto => {}
            ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
            ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
        }
        Ok(arguments)
    }
}

// === impl Connection ===

impl Connection {
    pub(crate) fn choice(&self) -> Choice {
        Choice {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            impersonate: self.impersonate.clone(),
            impersonate_groups: self.impersonate_groups.clone(),
        }
    }
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Json, Self::Yaml, Self::Name]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Name => "name",
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_may_stand_before_and_behind_the_command() {
        for line in ["kubectl-wib -n shop status orders", "kubectl-wib status orders -n shop"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(arguments.connection.namespace.as_deref(), Some("shop"));
        }
    }

    #[test]
    fn a_duration_is_read_as_people_write_it() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert!(duration("-5s").is_err() && duration("soon").is_err());
    }
}
