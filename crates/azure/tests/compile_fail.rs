//! What does not compile: writing to Azure without the permission that only authorization gives.

#[test]
fn nobody_writes_without_a_permission_or_makes_one_himself() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
