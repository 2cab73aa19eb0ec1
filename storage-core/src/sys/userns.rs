//! Whether this process lives in a user namespace of its own.

/// The map of the initial user namespace: every id is itself.
const INITIAL: [&str; 3] = ["0", "0", "4294967295"];

/// Whether this process is inside a user namespace that is not the initial one.
pub fn is_inside() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.split_whitespace().eq(INITIAL))
}
