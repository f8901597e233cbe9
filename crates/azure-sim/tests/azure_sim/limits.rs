//! Budgets and throttling, under paused time.

use std::time::Duration;

use serde_json::json;
use wio_azure_sim::{Budget, Config, Limits, ProviderLimits, Quota};

use crate::cloud::{Answer, Cloud, GROUP, credential, identity};

/// Budgets small enough to be spent in a test, with the rates of Azure.
fn small() -> Config {
    let limits = Limits {
        reads: Budget {
            capacity: 5,
            per_second: 25.0,
        },
        writes: Budget {
            capacity: 5,
            per_second: 10.0,
        },
        deletes: Budget {
            capacity: 2,
            per_second: 0.1,
        },
        ..Limits::default()
    };
    Config {
        limits: Some(limits),
        ..Config::default()
    }
}

#[track_caller]
fn assert_throttled(answer: &Answer, seconds: u64) {
    assert_eq!(answer.status, 429, "{answer:#?}");
    assert!(answer.body["error"]["code"].is_string(), "{answer:#?}");
    assert_eq!(answer.number("retry-after"), seconds);
}

#[tokio::test(start_paused = true)]
async fn azures_own_budgets_are_the_default() {
    let cloud = Cloud::new(Config::default()).await;
    let read = cloud.get(GROUP).await.expect_status(200);
    assert_eq!(read.number("x-ms-ratelimit-remaining-subscription-reads"), 249);
    let written = cloud.put_identity("ide").await.expect_status(201);
    assert_eq!(
        written.number("x-ms-ratelimit-remaining-subscription-writes"),
        198,
        "the group was the first"
    );
    let deleted = cloud.delete(&identity("ide")).await.expect_status(200);
    assert_eq!(deleted.number("x-ms-ratelimit-remaining-subscription-deletes"), 199);
}

#[tokio::test(start_paused = true)]
async fn both_families_of_headers_say_what_is_left() {
    let cloud = Cloud::new(Config::default()).await;
    let read = cloud.get(GROUP).await.expect_status(200);
    assert_eq!(read.number("x-ms-ratelimit-remaining-subscription-reads"), 249);
    assert_eq!(
        read.number("x-ms-ratelimit-remaining-subscription-global-reads"),
        16_499
    );
    let written = cloud.put_identity("ide").await.expect_status(201);
    assert_eq!(
        written.number("x-ms-ratelimit-remaining-subscription-global-writes"),
        11_998,
        "the group was the first"
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_gateway_does_not_find_says_nothing_of_budgets() {
    let cloud = Cloud::new(Config::default()).await;
    let said = |answer: &Answer| {
        let mut names = answer.headers.keys();
        names.any(|name| name.as_str().starts_with("x-ms-ratelimit"))
    };
    let absent = cloud.get(&identity("none")).await.expect_status(404);
    assert_eq!(absent.header("x-ms-failure-cause"), Some("gateway"));
    assert!(!said(&absent), "{absent:#?}");
    cloud.put_identity("ide").await.expect_status(201);
    let by_provider = cloud.get(&credential("ide", "none")).await.expect_status(404);
    assert!(said(&by_provider), "{by_provider:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_read_of_the_tenant_says_what_is_left_there() {
    let cloud = Cloud::new(Config::default()).await;
    for left in [249, 248] {
        let read = cloud
            .get("/subscriptions?api-version=2022-12-01")
            .await
            .expect_status(200);
        assert_eq!(read.number("x-ms-ratelimit-remaining-tenant-reads"), left);
        assert_eq!(read.header("x-ms-ratelimit-remaining-subscription-reads"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_is_answered_with_429_until_it_has_refilled() {
    let cloud = Cloud::new(small()).await;
    for name in ["one", "two", "three", "four"] {
        cloud.put_identity(name).await.expect_status(201);
    }
    let throttled = cloud.put_identity("five").await;
    assert_throttled(&throttled, 1);
    assert!(
        !cloud
            .simulator
            .snapshot()
            .identities
            .iter()
            .any(|identity| identity.id.name == "five")
    );
    cloud.get(GROUP).await.expect_status(200);
    tokio::time::advance(Duration::from_secs(1)).await;
    cloud.put_identity("five").await.expect_status(201);
}

#[tokio::test(start_paused = true)]
async fn retry_after_says_when_the_budget_holds_a_call_again() {
    let cloud = Cloud::new(small()).await;
    for _ in 0..2 {
        cloud.delete(&identity("ide")).await.expect_status(204);
    }
    assert_throttled(&cloud.delete(&identity("ide")).await, 10);
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_throttled(&cloud.delete(&identity("ide")).await, 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    cloud.delete(&identity("ide")).await.expect_status(204);
}

#[tokio::test(start_paused = true)]
async fn each_principal_and_each_subscription_has_its_own_budget() {
    let cloud = Cloud::new(small().with_static_token("another")).await;
    for _ in 0..2 {
        cloud.delete(&identity("ide")).await.expect_status(204);
    }
    assert_throttled(&cloud.delete(&identity("ide")).await, 10);
    cloud
        .with_token("another")
        .delete(&identity("ide"))
        .await
        .expect_status(204);
    let elsewhere = GROUP.replace(
        "00000000-0000-0000-0000-000000000000",
        "00000000-0000-0000-0000-000000000001",
    );
    let answer = cloud.delete(&elsewhere).await;
    assert_ne!(answer.status, 429, "{answer:#?}");
}

#[tokio::test(start_paused = true)]
async fn eighty_identities_can_be_created_in_twenty_seconds_in_a_region() {
    let cloud = Cloud::new(Config::default()).await;
    for number in 0..80 {
        cloud.put_identity(&format!("ide{number}")).await.expect_status(201);
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_throttled(&cloud.put_identity("ide80").await, 15);
    cloud.put_identity("ide3").await.expect_status(200);
    cloud
        .put(&identity("north"), &json!({"location": "northeurope"}))
        .await
        .expect_status(201);
    tokio::time::advance(Duration::from_secs(15)).await;
    cloud.put_identity("ide80").await.expect_status(201);
}

#[tokio::test(start_paused = true)]
async fn the_identities_of_all_subscriptions_count_in_the_tenants_window() {
    let window = Duration::from_secs(20);
    let limits = Limits {
        creations_in_tenant: Quota { count: 2, window },
        ..Limits::default()
    };
    let cloud = Cloud::new(Config {
        limits: Some(limits),
        ..Config::default()
    })
    .await;
    let elsewhere = |id: &str| {
        id.replace(
            "00000000-0000-0000-0000-000000000000",
            "00000000-0000-0000-0000-000000000001",
        )
    };
    cloud
        .put(&elsewhere(GROUP), &json!({"location": "westeurope"}))
        .await
        .expect_status(201);
    cloud.put_identity("one").await.expect_status(201);
    let body = json!({"location": "westeurope"});
    cloud.put(&elsewhere(&identity("two")), &body).await.expect_status(201);
    assert_throttled(&cloud.put(&elsewhere(&identity("three")), &body).await, 20);
    tokio::time::advance(window).await;
    cloud
        .put(&elsewhere(&identity("three")), &body)
        .await
        .expect_status(201);
}

#[tokio::test(start_paused = true)]
async fn the_managed_identity_provider_enforces_its_own_table_when_asked_to() {
    let limits = Limits {
        provider: Some(ProviderLimits::default()),
        ..Limits::default()
    };
    let cloud = Cloud::new(Config {
        limits: Some(limits),
        ..Config::default()
    })
    .await;
    cloud.put_identity("ide").await.expect_status(201);
    assert_throttled(&cloud.put_identity("ide").await, 4);
    cloud.put_identity("other").await.expect_status(201);
    assert_throttled(&cloud.put_identity("third").await, 1);
    tokio::time::advance(Duration::from_secs(4)).await;
    cloud.put_credential("ide", "fic", "a").await.expect_status(201);
}

#[tokio::test(start_paused = true)]
async fn without_limits_nothing_is_counted_and_nothing_said() {
    let cloud = Cloud::new(Config {
        limits: None,
        ..Config::default()
    })
    .await;
    for number in 0..500 {
        cloud.put_identity(&format!("ide{number}")).await.expect_status(201);
    }
    let answer = cloud.get(GROUP).await;
    let said = answer
        .headers
        .keys()
        .any(|name| name.as_str().starts_with("x-ms-ratelimit"));
    assert!(!said, "{answer:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_for_its_token_costs_nothing() {
    let cloud = Cloud::new(small()).await;
    for _ in 0..10 {
        cloud.with_token("nobody").put_identity("ide").await.expect_status(401);
    }
    cloud.put_identity("ide").await.expect_status(201);
}
