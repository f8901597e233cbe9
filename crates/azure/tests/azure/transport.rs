//! The transport: the bound on what is read of an answer.

use wio_core::fault::AzureCause;

use crate::fixtures::{answered, id, response};

#[tokio::test]
async fn a_body_beyond_all_bounds_is_not_read() {
    let long = "x".repeat(4 * 1024 * 1024 + 1);
    let announced = response(200, &[("content-length", "99999999")], "{}");
    for answer in [response(200, &[], long.clone()), response(500, &[], long), announced] {
        let (azure, _) = answered(vec![answer]);
        let fault = azure.get_identity(&id("orders")).await.unwrap_err();
        assert!(
            matches!(&fault.cause, AzureCause::Malformed(why) if why.contains("4 MiB")),
            "{fault}"
        );
    }
}
