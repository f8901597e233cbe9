//! The definitions of our own kinds, looked at before anything is taken away: what disappears with its definition was not
//! wished away.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use tokio::sync::Mutex;
use tokio::time::Instant;
use wio_api::WorkloadIdentityBinding;
use wio_core::authorize::NotPermitted;
use wio_core::crd_guard::{CrdState, Crds, PoliciesLeft, shares};
use wio_core::fault::Fault;
use wio_core::policy::Policies;

use crate::context::Context;
use crate::kubernetes::request;

/// How long the answer that nothing may be taken away is believed. Believing it for too long takes nothing away, and in that
/// state every binding of the cluster may ask again and again.
const WITHHELD_FOR: Duration = Duration::from_secs(10);

/// The last look at the definitions.
#[derive(Debug, Default)]
pub(crate) struct LastLook(Mutex<Option<Look>>);

#[derive(Debug)]
struct Look {
    begun: Instant,
    found: Result<Crds, Fault>,
}

/// Whether a binding that is being deleted was wished away.
///
/// # Errors
/// Why nothing may be taken away, or why that could not be found out.
pub(crate) async fn deletion(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    policies: &Policies,
) -> Result<(), Fault> {
    let definitions = ctx.definitions.look(&ctx.client).await?;
    let shared = || ctx.bindings.find(|other| shares(binding, other)).is_some();
    let verdict = if policies.is_empty() && shared() {
        definitions.deletion_of_shared(binding, &left(ctx, policies))
    } else {
        definitions.deletion()
    };
    verdict.map_err(Fault::Blocked)
}

/// Whether what these policies do not allow any more was wished away.
///
/// # Errors
/// Why nothing may be taken away, or why that could not be found out.
pub(crate) async fn denial(
    ctx: &Context,
    binding: &WorkloadIdentityBinding,
    policies: &Policies,
    why: &NotPermitted,
) -> Result<(), Fault> {
    let definitions = ctx.definitions.look(&ctx.client).await?;
    definitions
        .denial(binding, &left(ctx, policies), why)
        .map_err(Fault::Blocked)
}

fn left(ctx: &Context, policies: &Policies) -> PoliciesLeft {
    if policies.is_empty() {
        PoliciesLeft::none(|holds| ctx.bindings.find(holds))
    } else {
        PoliciesLeft::Some
    }
}

// === impl LastLook ===

impl LastLook {
    /// A look that began after it was asked for: a definition that disappears does so before its objects. Whoever asks while
    /// one is under way shares the next one with all others that wait for it.
    async fn look(&self, client: &Client) -> Result<Crds, Fault> {
        let asked = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(look) = last.as_ref().filter(|look| look.serves(asked)) {
            return look.found.clone();
        }
        let begun = Instant::now();
        let found = read(client).await;
        *last = Some(Look {
            begun,
            found: found.clone(),
        });
        found
    }
}

impl Look {
    fn serves(&self, asked: Instant) -> bool {
        let withholds = matches!(&self.found, Ok(definitions) if definitions.deletion().is_err());
        self.begun > asked || withholds && self.begun.elapsed() < WITHHELD_FOR
    }
}

async fn read(client: &Client) -> Result<Crds, Fault> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let [bindings, policies] = Crds::NAMES.map(|name| {
        let api = &api;
        async move {
            let operation = || format!("find out whether the custom resource definition {name} stands");
            let found = request(operation, api.get_metadata_opt(name)).await?;
            Ok::<_, Fault>(CrdState::of(found.as_ref().map(|definition| &definition.metadata)))
        }
    });
    let (bindings, policies) = tokio::try_join!(bindings, policies)?;
    Ok(Crds { bindings, policies })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(begun: Instant, bindings: CrdState) -> Look {
        let policies = CrdState::Stands { since: None };
        Look {
            begun,
            found: Ok(Crds { bindings, policies }),
        }
    }

    /// A definition that was deleted after that look would be missed.
    #[tokio::test(start_paused = true)]
    async fn that_all_is_well_is_believed_only_of_a_look_that_began_later() {
        let asked = Instant::now();
        let well = |begun| look(begun, CrdState::Stands { since: None });
        assert!(!well(asked).serves(asked));
        assert!(well(asked + Duration::from_millis(1)).serves(asked));
    }

    #[tokio::test(start_paused = true)]
    async fn that_something_is_wrong_is_believed_for_a_while() {
        let seen = look(Instant::now(), CrdState::Gone);
        tokio::time::advance(WITHHELD_FOR / 2).await;
        assert!(seen.serves(Instant::now()));
        tokio::time::advance(WITHHELD_FOR).await;
        assert!(!seen.serves(Instant::now()));
    }
}
