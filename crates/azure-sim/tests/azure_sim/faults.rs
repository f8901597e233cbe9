//! Scripted faults: what goes wrong between a caller and Azure.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use wio_azure_sim::{Config, Fault, ResourceKind};

use crate::cloud::{Cloud, credential, identity};

const LONG: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_refused_write_was_not_carried_out() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.simulator.inject(
        Fault::on("PUT")
            .kind(ResourceKind::Identity)
            .respond(503, "ServiceUnavailable"),
    );
    cloud.put_identity("ide").await.expect_error(503, "ServiceUnavailable");
    cloud.get(&identity("ide")).await.expect_status(404);
    cloud.put_identity("ide").await.expect_status(201);
}

#[tokio::test]
async fn a_write_can_succeed_and_its_answer_be_lost() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.put_identity("ide").await.expect_status(201);
    cloud.simulator.inject(
        Fault::on("PUT")
            .suffix("/one")
            .execute()
            .respond(500, "InternalServerError"),
    );
    cloud
        .put_credential("ide", "one", "a")
        .await
        .expect_error(500, "InternalServerError");
    cloud.get(&credential("ide", "one")).await.expect_status(200);

    cloud
        .simulator
        .inject(Fault::on("PUT").suffix("/two").execute().drop_connection());
    let path = format!("{}?api-version=2024-11-30", credential("ide", "two"));
    let body = crate::cloud::trust(crate::cloud::ISSUER, "b", crate::cloud::AUDIENCE);
    assert!(cloud.try_send("PUT", &path, Some(&body)).await.is_err());
    cloud.get(&credential("ide", "two")).await.expect_status(200);

    cloud
        .simulator
        .inject(Fault::on("DELETE").suffix("/ide").execute().drop_connection());
    let path = format!("{}?api-version=2024-11-30", identity("ide"));
    assert!(cloud.try_send("DELETE", &path, None).await.is_err());
    cloud.get(&identity("ide")).await.expect_status(404);
}

#[tokio::test]
async fn a_dropped_connection_leaves_nothing_done_unless_asked_to() {
    let cloud = Cloud::new(Config::default()).await;
    cloud
        .simulator
        .inject(Fault::on("PUT").kind(ResourceKind::Identity).drop_connection());
    let path = format!("{}?api-version=2024-11-30", identity("ide"));
    let body = serde_json::json!({"location": "westeurope"});
    assert!(cloud.try_send("PUT", &path, Some(&body)).await.is_err());
    cloud.get(&identity("ide")).await.expect_status(404);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_is_never_answered_and_a_write_may_be_done_all_the_same() {
    let cloud = Cloud::new(Config::default()).await;
    cloud
        .simulator
        .inject(Fault::on("GET").kind(ResourceKind::Identity).hang());
    assert!(timeout(LONG, cloud.get(&identity("ide"))).await.is_err());
    cloud
        .simulator
        .inject(Fault::on("PUT").kind(ResourceKind::Identity).execute().hang());
    assert!(timeout(LONG, cloud.put_identity("ide")).await.is_err());
    cloud.get(&identity("ide")).await.expect_status(200);
}

#[tokio::test(start_paused = true)]
async fn a_credential_write_that_hangs_after_it_was_done_does_not_lock_its_identity() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.put_identity("ide").await.expect_status(201);
    cloud
        .simulator
        .inject(Fault::on("PUT").kind(ResourceKind::Credential).execute().hang());
    assert!(timeout(LONG, cloud.put_credential("ide", "one", "a")).await.is_err());
    cloud.put_credential("ide", "two", "b").await.expect_status(201);
    cloud.get(&credential("ide", "one")).await.expect_status(200);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_request_is_answered_properly_and_later() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.simulator.inject(Fault::on("PUT").delay(Duration::from_secs(30)));
    let begin = Instant::now();
    cloud.put_identity("ide").await.expect_status(201);
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_write_takes_effect_at_the_end_of_its_latency() {
    let cloud = Cloud::new(Config::default()).await;
    cloud
        .simulator
        .reconfigure(|config| config.latency = Duration::from_secs(2));
    let (written, read) = tokio::join!(cloud.put_identity("ide"), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cloud.simulator.snapshot().identities.len()
    });
    written.expect_status(201);
    assert_eq!(read, 0);
    assert_eq!(cloud.simulator.snapshot().identities.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_write_is_carried_out_long_after_its_caller_gave_up() {
    let cloud = Cloud::new(Config::default()).await;
    let late = Fault::on("PUT").kind(ResourceKind::Identity);
    let minute = Duration::from_mins(1);
    cloud
        .simulator
        .inject(late.respond(504, "GatewayTimeout").execute_after(minute));
    cloud.put_identity("ide").await.expect_error(504, "GatewayTimeout");
    cloud.get(&identity("ide")).await.expect_status(404);
    tokio::time::sleep(minute + Duration::from_secs(1)).await;
    cloud.get(&identity("ide")).await.expect_status(200);

    cloud.simulator.inject(Fault::on("DELETE").delay(minute));
    assert!(
        timeout(Duration::from_secs(10), cloud.delete(&identity("ide")))
            .await
            .is_err()
    );
    cloud.get(&identity("ide")).await.expect_status(200);
    tokio::time::sleep(minute).await;
    cloud.get(&identity("ide")).await.expect_status(404);
}

#[tokio::test]
async fn faults_skip_count_and_are_cleared() {
    let cloud = Cloud::new(Config::default()).await;
    let status = async || cloud.get(&identity("ide")).await.status.as_u16();
    cloud.simulator.inject(
        Fault::on("GET")
            .path("userassignedidentities")
            .skip(1)
            .times(2)
            .respond(500, "Oops"),
    );
    assert_eq!(
        [status().await, status().await, status().await, status().await],
        [404, 500, 500, 404]
    );
    cloud.simulator.inject(Fault::any().forever().respond(500, "Oops"));
    assert_eq!([status().await, status().await], [500, 500]);
    cloud.simulator.clear_faults();
    assert_eq!(status().await, 404);
}

#[tokio::test]
async fn a_fault_brings_its_own_headers() {
    let cloud = Cloud::new(Config::default()).await;
    let date = "Wed, 21 Oct 2026 07:28:00 GMT";
    cloud.simulator.inject(
        Fault::on("GET")
            .respond(429, "TooManyRequests")
            .header("Retry-After", date),
    );
    let answer = cloud.get(&identity("ide")).await.expect_error(429, "TooManyRequests");
    assert_eq!(answer.header("retry-after"), Some(date));
}

#[tokio::test]
async fn the_log_tells_which_requests_a_fault_met_and_what_became_of_the_others() {
    let cloud = Cloud::new(Config::default()).await;
    cloud.simulator.clear_requests();
    cloud.simulator.inject(Fault::on("PUT").drop_connection());
    let path = format!("{}?api-version=2024-11-30", identity("ide"));
    let body = serde_json::json!({"location": "westeurope"});
    assert!(cloud.try_send("PUT", &path, Some(&body)).await.is_err());
    cloud.put_identity("ide").await.expect_status(201);
    cloud.get(&credential("ide", "fic")).await.expect_status(404);
    let log = cloud.simulator.requests();
    let seen: Vec<_> = log
        .iter()
        .map(|entry| (entry.method.as_str(), entry.status, entry.injected, entry.writes))
        .collect();
    assert_eq!(
        seen,
        [
            ("PUT", None, true, true),
            ("PUT", Some(201), false, true),
            ("GET", Some(404), false, false)
        ]
    );
    assert_eq!(log[1].body, Some(body));
    assert_eq!(log[1].api_version.as_deref(), Some("2024-11-30"));
    assert_eq!(
        log[1].principal,
        Some(Config::static_principal(crate::cloud::TOKEN).to_string())
    );
    assert_eq!(
        log[1].action.as_deref(),
        Some("Microsoft.ManagedIdentity/userAssignedIdentities/write")
    );
    assert_eq!(log[2].kind, ResourceKind::Credential);
    assert!(log[2].error_code.is_some());
    assert!(log.iter().is_sorted_by_key(|entry| entry.sequence));
}
