//! What the types forbid: each program in `compile_fail/` breaks a rule, named in its first line, and must not compile.

#[test]
fn programs_that_break_a_locking_rule_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
