//! The command line and its twins in the environment.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgAction, Parser, ValueEnum};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use uuid::Uuid;
use wio_api::VerificationMode;
use wio_azure::{ApiVersion, Azure, Cloud, Endpoints, ManagedClusterId};
use wio_controller::{Clock, LeaseSettings, Settings};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::config::OperatorConfig;
use wio_core::election::Terms;
use wio_core::names::{
    Audience, ClientId, IdentityId, Issuer, Location, Namespace, ResourceGroupId, ResourceGroupName,
    RoleDefinitionGuid, SubscriptionId,
};
use wio_core::tags::{DefaultTag, IgnoredTag, default_tags};

use crate::{durations, listener};

const AFTER_HELP: &str = "\
How it signs in to Azure is chosen by the environment, never by trying one after the other, and
with --client-id it is the first way or none:
  1. workload identity, when AZURE_CLIENT_ID, AZURE_TENANT_ID and
     AZURE_FEDERATED_TOKEN_FILE are set;
  2. the node's managed identity, when it runs in a cluster
     (AZURE_CLIENT_ID names it when there are several);
  3. the login of the Azure CLI.
HTTPS_PROXY and NO_PROXY hold for Azure, and outside a cluster for the
Kubernetes API too, where a kubeconfig's proxy-url comes first. A proxy is of
http://, https:// or socks5://.
AZURE_AUTHORITY_HOST replaces the cloud's Entra endpoint, and SSL_CERT_FILE
the certificates that are trusted.

For example, on a workstation after `az login`, with the cluster that kubectl uses:
  workload-identity-operator --log-format text \\
    --subscription-id 00000000-0000-0000-0000-000000000000 \\
    --resource-group workload-identities --location westeurope

`workload-identity-operator ask http://<host>:8080/readyz` asks one that runs elsewhere whether it
is ready, as `helm test` does.\n";

/// Gives the pods of Kubernetes service accounts Microsoft Entra tokens, with no secret anywhere.
///
/// The operator watches WorkloadIdentityBindings and reconciles, for each, the managed identity, its federated
/// credentials and the annotated service accounts. It runs in a cluster with its service account, or outside with
/// KUBECONFIG.
#[derive(Debug, Parser)]
#[command(
    name = "workload-identity-operator",
    version,
    after_help = AFTER_HELP
)]
#[allow(clippy::struct_excessive_bools, reason = "a flag of a command line is there or not")]
pub(crate) struct Arguments {
    /// The subscription in which managed identities are created.
    #[arg(
        long,
        env = "AZURE_SUBSCRIPTION_ID",
        value_name = "GUID",
        help_heading = "Where identities live"
    )]
    subscription_id: SubscriptionId,

    /// The resource group in which managed identities are created. It must exist.
    #[arg(
        long,
        env = "WIO_RESOURCE_GROUP",
        value_name = "NAME",
        help_heading = "Where identities live"
    )]
    resource_group: ResourceGroupName,

    /// The region of managed identities, for example westeurope.
    #[arg(
        long,
        env = "WIO_LOCATION",
        value_name = "REGION",
        help_heading = "Where identities live"
    )]
    location: Location,

    /// Ask for a WorkloadIdentityPolicy also for a managed identity in the operator's own resource group, which needs none otherwise. With an
    /// identity one gets tokens, also for applications of the tenant that ask for no assignment.
    #[arg(
        long,
        env = "WIO_REQUIRE_POLICY",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        action = ArgAction::Set,
        help_heading = "Where identities live"
    )]
    require_policy: bool,

    /// An identity that no binding may have, as its resource id: those by which the cluster itself acts on Azure (of its
    /// control plane, kubelets and add-ons). The operator's own is one without being named. May be given
    /// several times, or as a list with commas.
    #[arg(
        long = "protected-identity",
        env = "WIO_PROTECTED_IDENTITIES",
        value_name = "ID",
        value_delimiter = ',',
        help_heading = "What no policy can allow"
    )]
    protected_identities: Vec<IdentityId>,

    /// A resource group whose identities no binding may have, as /subscriptions/<id>/resourceGroups/<name>: the cluster's
    /// node resource group. May be given several times, or as a list with commas.
    #[arg(
        long = "protected-resource-group",
        env = "WIO_PROTECTED_RESOURCE_GROUPS",
        value_name = "ID",
        value_delimiter = ',',
        help_heading = "What no policy can allow"
    )]
    protected_groups: Vec<ResourceGroupId>,

    /// The cluster's own resource in Azure, as the resource id of the AKS cluster. The identities by which it acts, of its control plane, kubelets and
    /// add-ons, and its node resource group are protected without being named. The operator reads them there, with
    /// Microsoft.ContainerService/managedClusters/read, and until it could it gives nothing new through an identity that stands.
    #[arg(
        long,
        env = "WIO_CLUSTER_ID",
        value_name = "ID",
        help_heading = "What no policy can allow"
    )]
    cluster_id: Option<ManagedClusterId>,

    /// A role that policies may allow all the same, by name or GUID: Owner, User Access Administrator or Role Based Access Control
    /// Administrator, with which one can give oneself any other, or one that is locked where identities stand, such as Contributor.
    #[arg(
        long = "unlocked-role",
        env = "WIO_UNLOCKED_ROLES",
        value_name = "ROLE",
        value_delimiter = ',',
        help_heading = "What no policy can allow"
    )]
    unlocked_roles: Vec<RoleDefinitionGuid>,

    /// A tag that every managed identity gets whose binding does not give it another value, as name=value. May be given several times, or as a
    /// list with commas.
    #[arg(
        long = "default-tag",
        env = "WIO_DEFAULT_TAGS",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        help_heading = "Tags"
    )]
    default_tags: Vec<DefaultTag>,

    /// A tag that is others', such as one that an Azure Policy writes, by its name or by how names begin and '*': the operator neither writes nor
    /// removes it, and no value of it is drift. May be given several times, or as a list with commas.
    #[arg(
        long = "ignored-tag",
        env = "WIO_IGNORED_TAGS",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Tags"
    )]
    ignored_tags: Vec<IgnoredTag>,

    /// Accept a service account issuer that Microsoft Entra cannot reach: a private name or address, or no https. Without it bindings
    /// of such a cluster say IssuerUnreachable. For test set-ups with an Entra of their own.
    #[arg(long, env = "WIO_ALLOW_PRIVATE_ISSUER", help_heading = "The cluster's issuer")]
    allow_private_issuer: bool,

    /// An issuer that the cluster had before and nobody has any more. The operator keeps federated credentials of a former issuer
    /// that it did not itself see replaced, because another cluster may have it; named here they go 25 hours later. May be given
    /// several times, or as a list with commas.
    #[arg(
        long = "former-issuer",
        env = "WIO_FORMER_ISSUERS",
        value_name = "URL",
        value_delimiter = ',',
        help_heading = "The cluster's issuer"
    )]
    former_issuers: Vec<Issuer>,

    /// The client id of the operator's own identity. With it the operator signs in by workload identity as that identity or ends at once:
    /// where the pod webhook did not mutate its pod, it never takes the node's identity.
    #[arg(long, env = "WIO_CLIENT_ID", value_name = "GUID", help_heading = "Azure")]
    client_id: Option<ClientId>,

    /// The audience of federated credentials whose binding names none. It must be what the pod webhook mints.
    #[arg(long, env = "WIO_AUDIENCE", value_name = "TEXT", default_value = Audience::DEFAULT, help_heading = "Azure")]
    audience: Audience,

    /// Whether the readiness of bindings is proven whose spec.verification does not say: with TokenExchange a token of each service account is exchanged
    /// with Microsoft Entra after each change and once a day. It needs the right to mint tokens of service accounts.
    #[arg(
        long,
        env = "WIO_VERIFICATION",
        value_name = "MODE",
        default_value = "None",
        ignore_case = true,
        help_heading = "Azure"
    )]
    verification: ProofName,

    /// The Azure cloud. Without it the one whose Entra AZURE_AUTHORITY_HOST names, as the pod webhook does, or else public.
    #[arg(long, env = "WIO_CLOUD", value_name = "CLOUD", help_heading = "Azure")]
    cloud: Option<CloudName>,

    /// The endpoint of Azure Resource Manager, instead of the cloud's own. It must accept the cloud's tokens.
    #[arg(long, env = "WIO_ARM_ENDPOINT", value_name = "URL", help_heading = "Azure")]
    arm_endpoint: Option<String>,

    /// The version of the API of Microsoft.ManagedIdentity.
    #[arg(long, env = "WIO_API_VERSION", value_name = "DATE", default_value = ApiVersion::DEFAULT, help_heading = "Azure")]
    api_version: ApiVersion,

    /// Act in these namespaces alone: a binding elsewhere is left as it is, also when it is denied or deleted, and gets no status. What is there is read
    /// all the same, so that it is not taken for gone. May be given several times, or as a list with commas.
    #[arg(
        long = "watch-namespaces",
        env = "WIO_WATCH_NAMESPACES",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Namespaces"
    )]
    watch_namespaces: Vec<Namespace>,

    /// Act in all namespaces but these, in which bindings are left as they are. May be given several times, or as a list with commas.
    #[arg(
        long = "exclude-namespaces",
        env = "WIO_EXCLUDE_NAMESPACES",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "watch_namespaces",
        help_heading = "Namespaces"
    )]
    exclude_namespaces: Vec<Namespace>,

    /// How often Azure is asked for changes behind the operator's back: by lists of identities and role assignments and, every five minutes
    /// at the most seldom, the activity log; and for each binding by itself where those do not show all that it has, give or take a fifth.
    #[arg(
        long,
        env = "WIO_DRIFT_INTERVAL",
        value_name = "DURATION",
        default_value = "30m",
        value_parser = duration,
        help_heading = "Pace"
    )]
    drift_interval: Duration,

    /// How often Azure is looked at for each binding by itself, whatever lists and the activity log show, give or take a fifth. With more than
    /// 3,300 bindings it takes longer, so that all of them cost no more than 280 reads an hour. As short as the drift interval, and no
    /// list is asked for.
    #[arg(
        long,
        env = "WIO_SWEEP_INTERVAL",
        value_name = "DURATION",
        default_value = "24h",
        value_parser = duration,
        help_heading = "Pace"
    )]
    sweep_interval: Duration,

    /// The most bindings of one namespace that are reconciled at once.
    #[arg(
        long,
        env = "WIO_CONCURRENCY",
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Pace"
    )]
    concurrency: u16,

    /// Look at the pods of bound service accounts, and say in status.workloads which of them have a token and why others have none: when something
    /// changed, every drift interval, and again within minutes while some have none. It needs the right to list pods.
    #[arg(long, env = "WIO_WORKLOADS", help_heading = "Pods")]
    workloads: bool,

    /// Restart Deployments, StatefulSets and DaemonSets whose pods run without a token, where spec.rollout of a binding asks for it: each once for a client
    /// id, one after the other. It needs --workloads, and the right to patch them.
    #[arg(long, env = "WIO_ROLLOUTS", help_heading = "Pods")]
    rollouts: bool,

    /// The namespace of the Lease by which one of several replicas is elected to lead; the others stand by. Without it this is the only
    /// one, as on a workstation.
    #[arg(long, env = "WIO_LEASE_NAMESPACE", value_name = "NAME", help_heading = "Replicas")]
    lease_namespace: Option<Namespace>,

    /// For how long the Lease is held from each renewal, and so how long it takes until another replica leads after a crash: from 3s to 5m.
    #[arg(
        long,
        env = "WIO_LEASE_DURATION",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = lease_duration,
        help_heading = "Replicas"
    )]
    lease_duration: Duration,

    /// Where /livez, /readyz and /metrics are served: by default at every address, of IPv6 too where the machine has it.
    #[arg(
        long,
        env = "WIO_LISTEN",
        value_name = "ADDRESS",
        default_value = "[::]:8080",
        help_heading = "Observation"
    )]
    listen: SocketAddr,

    /// What is logged: a level, or directives such as info,wio_azure=debug.
    #[arg(
        long,
        env = "WIO_LOG",
        value_name = "FILTER",
        default_value = "info",
        value_parser = log_filter,
        help_heading = "Observation"
    )]
    pub(crate) log: String,

    /// How it is logged.
    #[arg(
        long,
        env = "WIO_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "json",
        help_heading = "Observation"
    )]
    pub(crate) log_format: LogFormat,

    /// The name of the operator's pod, which Events carry.
    #[arg(long, env = "POD_NAME", value_name = "NAME", help_heading = "Observation")]
    pod_name: Option<String>,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// An Azure cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CloudName {
    /// The worldwide cloud.
    Public,
    /// Azure for the government of the United States.
    Usgov,
    /// Azure in China.
    China,
}

/// How Ready is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum ProofName {
    /// It is not.
    None,
    /// A token of each service account is exchanged with Microsoft Entra.
    TokenExchange,
}

impl From<ProofName> for VerificationMode {
    fn from(name: ProofName) -> Self {
        match name {
            ProofName::None => Self::None,
            ProofName::TokenExchange => Self::TokenExchange,
        }
    }
}

impl Arguments {
    /// The client of Azure that the arguments and the environment ask for.
    pub(crate) fn azure(&self) -> anyhow::Result<Azure> {
        let asked = self.cloud.map(|cloud| match cloud {
            CloudName::Public => Cloud::Public,
            CloudName::Usgov => Cloud::UsGovernment,
            CloudName::China => Cloud::China,
        });
        let authority = std::env::var("AZURE_AUTHORITY_HOST").ok();
        let cloud = Cloud::choose(asked, authority.as_deref()).context("--cloud (WIO_CLOUD)")?;
        let endpoints = Endpoints::new(cloud, self.arm_endpoint.as_deref(), self.api_version.clone())
            .context("--arm-endpoint (WIO_ARM_ENDPOINT)")?;
        Ok(Azure::from_environment(endpoints, self.client_id)?)
    }

    /// Where health and metrics are served from now on.
    pub(crate) async fn listener(&self) -> anyhow::Result<TcpListener> {
        let address = self.listen;
        listener::bind(address).await.with_context(|| {
            format!("cannot serve health and metrics on {address}; choose another address with --listen (WIO_LISTEN)")
        })
    }

    pub(crate) fn settings(self) -> Settings {
        Settings {
            config: OperatorConfig {
                group: ResourceGroupId {
                    subscription: self.subscription_id,
                    name: self.resource_group,
                },
                location: self.location,
                require_policy: self.require_policy,
                audience: self.audience,
                protected_identities: self.protected_identities,
                protected_groups: self.protected_groups,
                own_cluster: wio_core::config::OwnCluster::Settled,
                former_issuers: self.former_issuers.into_iter().collect(),
                allow_private_issuer: self.allow_private_issuer,
                unlocked_roles: self.unlocked_roles.into_iter().collect(),
                default_tags: default_tags(self.default_tags),
                ignored_tags: self.ignored_tags,
                namespaces: ActiveNamespaces::new(
                    self.watch_namespaces.into_iter().collect(),
                    self.exclude_namespaces.into_iter().collect(),
                ),
                verification: self.verification.into(),
            },
            cluster: self.cluster_id,
            drift_interval: self.drift_interval,
            sweep_interval: self.sweep_interval,
            concurrency: self.concurrency,
            workloads: self.workloads,
            rollouts: self.rollouts,
            lease: self.lease_namespace.map(|namespace| LeaseSettings {
                namespace: namespace.to_string(),
                // A container that starts again in the same pod is not the one that held the lease.
                identity: format!("{}_{}", self.pod_name.as_deref().unwrap_or("operator"), Uuid::new_v4()),
                terms: Terms::new(self.lease_duration),
            }),
            instance: self.pod_name,
            clock: Clock::default(),
        }
    }
}

/// The duration of a lease.
fn lease_duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_mins(5);
    let duration = durations::parse(text).filter(|duration| (Terms::SHORTEST..=LONGEST).contains(duration));
    duration.ok_or_else(|| "write whole numbers with their units, such as 30s or 1m30s, from 3s to 5m".to_owned())
}

/// A duration such as 90s, 30m, 1h30m or 1d.
fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_hours(7 * 24);
    const RULE: &str = "write whole numbers with their units, such as 90s, 30m, 1h30m or 1d, from 1m to 7d";
    // Tests cannot wait for a minute. For anybody else a look a second at each binding uses Azure's budget up.
    let least = if std::env::var_os("WIO_TEST_PACE").is_some() {
        1
    } else {
        60
    };
    let duration = durations::parse(text).filter(|duration| (least..=LONGEST.as_secs()).contains(&duration.as_secs()));
    duration.ok_or_else(|| RULE.to_owned())
}

/// Directives of a log filter, which are parsed again when logging starts.
fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "{error}; write a level (error, warn, info, debug, trace) or directives such as info,wio_azure=debug"
        )),
    }
}
