//! The caller's own way to Azure, for reads alone, and the way of proofs.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use wio_azure::{ApiVersion, Azure, Cloud, Endpoints, Prover};

/// How Azure is asked.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Azure")]
pub struct AzureArguments {
    /// The Azure cloud. Without it the one whose Entra AZURE_AUTHORITY_HOST names, or else public.
    #[arg(long, env = "WIO_CLOUD", value_name = "CLOUD")]
    cloud: Option<CloudName>,

    /// The endpoint of Azure Resource Manager, instead of the cloud's own.
    #[arg(long, env = "WIO_ARM_ENDPOINT", value_name = "URL")]
    arm_endpoint: Option<String>,
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

impl AzureArguments {
    /// A client with the caller's own login: by workload identity where the environment has it, else that of the Azure CLI. It refuses to write.
    ///
    /// # Errors
    /// What cannot be used.
    pub(crate) fn open(&self) -> anyhow::Result<Azure> {
        Ok(Azure::from_environment(self.endpoints()?, None)?.writing_while(Duration::ZERO, || false))
    }

    /// Who asks Entra for a token of a binding's identity: nothing of the caller's own login is in it.
    ///
    /// # Errors
    /// What cannot be used.
    pub(crate) fn prover(&self) -> anyhow::Result<Prover> {
        Ok(Prover::from_environment(self.endpoints()?)?)
    }

    fn endpoints(&self) -> anyhow::Result<Endpoints> {
        let asked = self.cloud.map(|cloud| match cloud {
            CloudName::Public => Cloud::Public,
            CloudName::Usgov => Cloud::UsGovernment,
            CloudName::China => Cloud::China,
        });
        let authority = std::env::var("AZURE_AUTHORITY_HOST").ok();
        let cloud = Cloud::choose(asked, authority.as_deref()).context("--cloud")?;
        Endpoints::new(cloud, self.arm_endpoint.as_deref(), ApiVersion::default()).context("--arm-endpoint")
    }
}
