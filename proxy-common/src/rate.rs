//! How often something may happen.

use crate::wire::{wire_struct, wire_types};

wire_struct! {
    /// A token bucket: 1,000 at once after a second of silence, one more in each millisecond.
    pub struct RateLimit {
        /// Milliseconds of CLOCK_MONOTONIC at which `left` was right.
        filled: u32,
        left: u32,
    }
}

wire_types! { RateLimit = 8 }

impl RateLimit {
    /// The most that may happen at once.
    pub const BURST: u32 = 1_000;

    /// As a map begins: zeros.
    pub const FULL: Self = Self { filled: 0, left: 0 };

    /// Whether it may happen at `now`, in milliseconds of CLOCK_MONOTONIC.
    #[inline(always)]
    pub const fn allows(&mut self, now: u32) -> bool {
        let idle = now.wrapping_sub(self.filled);
        // The machine's first second apart, a bucket of zeros has been idle long enough.
        self.left = if idle >= Self::BURST {
            Self::BURST
        } else {
            let left = self.left + idle;
            if left > Self::BURST { Self::BURST } else { left }
        };
        self.filled = now;
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::RateLimit;

    fn allowed(limit: &mut RateLimit, now: u32, asked: u32) -> u32 {
        (0..asked).map(|_| u32::from(limit.allows(now))).sum()
    }

    #[test]
    fn a_burst_is_allowed_and_then_one_each_millisecond() {
        let mut limit = RateLimit::FULL;
        assert_eq!(allowed(&mut limit, 5_000, 3_000), 1_000);
        assert_eq!(allowed(&mut limit, 5_000, 1), 0);
        assert_eq!(allowed(&mut limit, 5_007, 10), 7);
        assert_eq!(allowed(&mut limit, 5_999, 2_000), 992);
    }

    #[test]
    fn silence_fills_the_bucket_and_never_more_than_that() {
        let mut limit = RateLimit::FULL;
        assert_eq!(allowed(&mut limit, 5_000, 400), 400);
        assert_eq!(allowed(&mut limit, 5_900, 3_000), 1_000);
        assert_eq!(allowed(&mut limit, 100_000, 3_000), 1_000);
    }

    #[test]
    fn the_clock_may_begin_anew() {
        let mut limit = RateLimit::FULL;
        assert_eq!(allowed(&mut limit, u32::MAX, 1_000), 1_000);
        assert_eq!(allowed(&mut limit, 2, 10), 3);
    }
}
