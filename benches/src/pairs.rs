//! Two sides measured in turns.

/// What pairs of measurements came to: one of the one side and one of the other, in changing order (AB, BA), so that what
/// drifts hits both alike.
///
/// A pair gives one ratio. Told are their median and the 95 % interval of it by order statistics, which supposes nothing about
/// their distribution.
#[derive(Debug, Default)]
pub struct Pairs {
    ratios: Vec<f64>,
    micros: Vec<f64>,
}

impl Pairs {
    /// Adds `pairs` more. `measure` does what side 0 or side 1 does, so many rounds of it, and gives the nanoseconds.
    pub fn add(&mut self, pairs: u64, rounds: u64, mut measure: impl FnMut(usize, u64) -> f64) {
        for pair in 0..pairs {
            let (one, two) = if pair % 2 == 0 {
                let one = measure(0, rounds);
                (one, measure(1, rounds))
            } else {
                let two = measure(1, rounds);
                (measure(0, rounds), two)
            };
            self.ratios.push(one / two);
            self.micros.push(one / rounds as f64 / 1000.0);
        }
    }

    /// Prints the ratio of side 0 to side 1.
    pub fn print(mut self, what: &str) {
        let (low, middle, high) = median_with_interval(&mut self.ratios);
        let (_, each, _) = median_with_interval(&mut self.micros);
        println!("{what}: {middle:.4}, 95 % interval {low:.4} to {high:.4} ({each:.1} µs a round)");
    }
}

/// The median, and the order statistics between which that of the population lies in 95 of 100 cases.
fn median_with_interval(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    // 0.98 times the root of their number is 1.96 standard deviations of how many lie below the median.
    let half = (values.len() * 9604 / 10_000).isqrt() + 1;
    let middle = values.len() / 2;
    let last = values.len() - 1;
    (values[middle.saturating_sub(half)], values[middle], values[(middle + half).min(last)])
}
