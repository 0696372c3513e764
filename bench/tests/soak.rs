//! A soak of seconds: what `just soak` does for minutes, so that its books are known to balance.

use std::process::Command;

#[test]
fn a_short_soak_leaves_nothing_behind_and_its_books_balance() -> std::io::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).args(["soak", "0.3"]).output()?;
    let (said, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complaint}");
    assert!(said.contains("PASS what each kind of client saw is what the gateway counted"), "{said}");
    Ok(())
}
