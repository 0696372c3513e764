//! What cannot cross is refused by the compiler, at the type, with what to use instead.

#[test]
fn what_cannot_cross_is_refused() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/refused/*.rs");
}
