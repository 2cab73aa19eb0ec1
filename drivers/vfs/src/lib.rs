//! The vfs graph driver.
