//! The lock protocol in a simulated world; all of it is in the tests. See `storage-core/docs/locking.md`, "The model".
