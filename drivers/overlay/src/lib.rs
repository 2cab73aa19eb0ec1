//! The overlay graph driver.
