//! Chance that can be repeated: a failure names the seed, `LAMINA_TEST_SEED` sets it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of numbers (xorshift).
#[derive(Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// One with a seed of this run, which `case` says at the beginning.
    pub fn of_case(case: &str) -> Self {
        let given = std::env::var("LAMINA_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()));
        let seed: u64 = given.unwrap_or_else(now);
        println!("{case}: LAMINA_TEST_SEED={seed}");
        Random { seed, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// What to set to have the same again.
    pub fn seed(&self) -> String {
        format!("LAMINA_TEST_SEED={}", self.seed)
    }

    /// A number below `bound`, which isn't nought.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 16) % bound
    }
}
