//! How often each rule of a cascade is taken, so that every endpoint gets its share.

use std::fmt;

/// The share of an endpoint among those that no rule before it has taken: its weight over the sum of theirs.
///
/// Printed as kube-proxy prints it. Its own is one over how many there are: the same number if all weights are equal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probability {
    pub(super) weight: u16,
    /// The sum of this endpoint's weight and of those after it.
    pub(super) of: u64,
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the weights of 2^37 endpoints add up to less than 2^53"
        )]
        let share = f64::from(self.weight) / self.of as f64;
        write!(f, "{share:.10}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(weight: u16, of: u64) -> String {
        Probability { weight, of }.to_string()
    }

    #[test]
    fn equal_shares_are_printed_as_kube_proxy_prints_them() {
        for (n, text) in [
            (1, "1.0000000000"),
            (2, "0.5000000000"),
            (3, "0.3333333333"),
            (7, "0.1428571429"),
            // Go rounds a half to the even digit.
            (2048, "0.0004882812"),
            (10_000, "0.0001000000"),
            (100_001, "0.0000099999"),
        ] {
            assert_eq!(printed(1, n), text, "{n}");
            assert_eq!(printed(65_535, n * 65_535), text, "{n}");
        }
    }

    #[test]
    fn a_share_is_the_weight_over_the_sum_of_the_weights_that_are_left() {
        assert_eq!(printed(3, 4), "0.7500000000");
        assert_eq!(printed(65_535, 65_536), "0.9999847412");
        assert_eq!(printed(1, 65_536), "0.0000152588");
    }
}
