//! URLs of resources: no name leads to another resource.

use wio_core::names::{CredentialName, IdentityId, IdentityName};

use crate::fixtures::{SUBSCRIPTION, resource_id};

/// A name `a/../b` fetched `b`, and `%2f` is a slash to some servers. The types that the client's methods ask for cannot
/// hold such a name; what would happen if one could, a unit test of `msi/call.rs` shows.
#[test]
fn a_name_that_leads_elsewhere_cannot_even_be_said() {
    for bad in [
        "a/../b",
        "a%2fb",
        "a%2F..%2Fb",
        "..",
        ".",
        "../orders",
        "a b",
        "a?b",
        "a#b",
        "a\\b",
        "",
        "orders/",
    ] {
        assert!(bad.parse::<IdentityName>().is_err(), "{bad}");
        assert!(bad.parse::<CredentialName>().is_err(), "{bad}");
        assert!(resource_id(bad).parse::<IdentityId>().is_err(), "{bad}");
        let in_group = format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{bad}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders"
        );
        assert!(in_group.parse::<IdentityId>().is_err(), "{bad}");
    }
}
