//! The audit trail: who was given what and lost what, and why.

use wio_testkit::fixtures::binding;

use crate::log::Log;
use crate::orphans::force;
use crate::world::*;

/// An operator with these rights whose log says nothing of what it did cannot be held to account.
#[tokio::test(start_paused = true)]
async fn each_thing_that_is_given_or_taken_away_is_one_line_that_says_why() {
    let log = Log::begin();
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        let given = log.lines(": given");
        assert_eq!(given.len(), 3, "identity, credential and annotations: {given:#?}");
        for line in &given {
            assert!(line.contains("orders") && line.contains("needs no policy"), "{line}");
        }
        let of_azure = given.iter().filter(|line| line.contains("request_id=")).count();
        assert_eq!(of_azure, 2, "{given:#?}");
        tokio::time::sleep(DRIFT * 2).await;
        assert_eq!(log.lines(": given").len(), 3, "what changes nothing is not told");
        world.delete("orders");
        world.gone("orders").await;
        let taken = log.lines(": taken away");
        assert!(
            taken.iter().all(|line| line.contains("the binding is deleted")),
            "{taken:#?}"
        );
        for what in ["federated credential", "service account orders", "what=\"identity\""] {
            assert_eq!(
                taken.iter().filter(|line| line.contains(what)).count(),
                1,
                "{what}: {taken:#?}"
            );
        }
        let so_far = taken.len();
        world.create(binding(NAMESPACE, "web").managed().service_account("web"));
        world.ready("web").await;
        force(world, "web").await;
        world.until("the orphan is gone", |world| !world.has_identity()).await;
        let taken = log.lines(": taken away");
        assert!(taken.len() > so_far, "{taken:#?}");
        for line in &taken[so_far..] {
            assert!(line.contains("shop/web") && line.contains("is gone without"), "{line}");
        }
    })
    .await;
}
