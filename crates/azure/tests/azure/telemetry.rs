//! Telemetry: what a callback is told of exchanges.

use std::sync::{Arc, Mutex};

use wio_azure::{Budgets, Exchange};

use crate::fixtures::{answered, error_response, id, identity_body, response};

#[tokio::test]
async fn a_callback_is_told_of_every_exchange_and_of_what_is_left() {
    let (azure, _) = answered(vec![
        response(
            200,
            &[
                ("x-ms-ratelimit-remaining-subscription-reads", "11"),
                ("x-ms-ratelimit-remaining-subscription-global-reads", "7"),
            ],
            identity_body("orders").to_string(),
        ),
        error_response(418, "Teapot"),
        response(200, &[], "garbage"),
    ]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let untold = azure.clone();
    let azure = azure.on_exchange(move |exchange: &Exchange| log.lock().unwrap().push(exchange.clone()));
    azure.clone().get_identity(&id("orders")).await.unwrap();
    azure.get_identity(&id("orders")).await.unwrap_err();
    azure.list_credentials(&id("orders")).await.unwrap_err();
    let seen: Vec<_> = told
        .lock()
        .unwrap()
        .iter()
        .map(|e| (e.operation.as_str(), e.outcome, e.budgets))
        .collect();
    let left = Budgets {
        reads: Some(7),
        ..Budgets::default()
    };
    assert_eq!(
        seen,
        [
            ("get_identity", "200", left),
            ("get_identity", "4xx", Budgets::default()),
            ("list_credentials", "200", Budgets::default()),
        ]
    );
    untold.list_credentials(&id("orders")).await.unwrap_err();
    assert_eq!(told.lock().unwrap().len(), 3, "a clone made before tells nobody");
}
