//! The command `lamina`.
fn main() {}
