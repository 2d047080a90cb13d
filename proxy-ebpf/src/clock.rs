//! What time it is.

use aya_ebpf::helpers::generated::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};

/// Whether the kernel has `bpf_ktime_get_coarse_ns` (Linux 5.11): the agent sets it before it loads the programs, and the verifier
/// leaves out what is then never reached.
#[unsafe(no_mangle)]
static HAS_COARSE_CLOCK: u8 = 0;

/// Seconds of CLOCK_MONOTONIC, a few milliseconds late: the kernel's note of the last tick, for which the counter is not read.
#[inline(always)]
pub(crate) fn now() -> u32 {
    // SAFETY: a constant of this object, read as the loader has left it; the helpers have no preconditions.
    let nanoseconds = unsafe {
        if (&raw const HAS_COARSE_CLOCK).read_volatile() == 0 {
            bpf_ktime_get_ns()
        } else {
            bpf_ktime_get_coarse_ns()
        }
    };
    seconds(nanoseconds)
}

/// Multiplied, because a division takes longer than all else that is done with the time. Exact to 17 ms and 10⁻⁸ of it.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "136 years of uptime")]
const fn seconds(nanoseconds: u64) -> u32 {
    /// 2⁵⁵ / 10⁹.
    const PER_UNIT: u64 = 36_028_797;
    (((nanoseconds >> 24) * PER_UNIT) >> 31) as u32
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_second_is_a_second_for_as_long_as_a_node_is_up() {
        for expected in [0, 1, 59, 3_600, 86_400, 31_536_000, 100 * 31_536_000_u64] {
            let middle = expected * 1_000_000_000 + 500_000_000;
            let wrong = i64::from(seconds(middle)) - i64::try_from(expected).unwrap();
            assert!(
                wrong.unsigned_abs() <= expected / 50_000_000,
                "{expected}: {wrong}"
            );
        }
    }

    #[test]
    fn no_second_is_left_out_and_none_comes_twice() {
        let mut last = 0;
        for tick in 0..2_000_000_u64 {
            let now = seconds(tick * 4_000_000);
            assert!(now == last || now == last + 1, "tick {tick}: {last}, {now}");
            last = now;
        }
    }
}
